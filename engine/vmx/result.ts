/** How VMX instructions report success and failure: Vol. 3C, "Conventions" of the VMX instruction reference. */
import type { Cpu } from '../cpu/cpu.js';
import { ARITHMETIC, FLAG } from '../cpu/flags.js';
import { S } from '../cpu/layout.js';
import { F } from './fields.js';
import { hasVmcs, put, touch, vmcsAddress } from './vmcs.js';

const setFlags = (cpu: Cpu, flags: number): void => {
  cpu.rflags = (cpu.rflags & ~ARITHMETIC) | flags;
};

/** VMsucceed. */
export const succeed = (cpu: Cpu): void => setFlags(cpu, 0);

/** VMfailInvalid: there is no current VMCS to hold an error number. */
export function failInvalid(cpu: Cpu): void {
  setFlags(cpu, FLAG.CF);
  cpu.begin('vmfail').set('code', 0);
  cpu.put('vmcs', S.VMCS_POINTER);
  cpu.put('rip', S.RIP);
  cpu.commit();
}

/** VMfailValid with a VM-instruction error number. */
export function failValid(cpu: Cpu, error: number): void {
  setFlags(cpu, FLAG.ZF);
  touch(cpu, vmcsAddress(cpu));
  put(cpu, F.VM_INSTRUCTION_ERROR, error);
  cpu.begin('vmfail').set('code', error);
  cpu.put('vmcs', S.VMCS_POINTER);
  cpu.put('rip', S.RIP);
  cpu.commit();
}

/** VMfail: valid where there is a current VMCS. */
export function fail(cpu: Cpu, error: number): void {
  if (hasVmcs(cpu)) failValid(cpu, error);
  else failInvalid(cpu);
}
