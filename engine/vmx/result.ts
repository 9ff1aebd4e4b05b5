/** How VMX instructions report success and failure: Vol. 3C, "Conventions" of the VMX instruction reference. */
import type { Cpu } from '../cpu/cpu.js';
import { ARITHMETIC, FLAG } from '../cpu/flags.js';
import { S } from '../cpu/layout.js';
import { F } from './fields.js';
import { CLEAR_FLAGS } from './transfer.js';
import { hasVmcs, put, touch, vmcsAddress } from './vmcs.js';

const setFlags = (cpu: Cpu, flags: number): void => {
  cpu.rflags = (cpu.rflags & ~ARITHMETIC) | flags;
};

/** VMsucceed: CF, PF, AF, ZF, SF and OF are clear; without an allocation. */
export function succeed(cpu: Cpu): void {
  cpu.setU32(S.FLAG_RESULT, CLEAR_FLAGS.resultLow);
  cpu.state.setUint32(S.FLAG_CARRY, CLEAR_FLAGS.carryLow, true);
  cpu.state.setUint32(S.FLAG_CARRY + 4, CLEAR_FLAGS.carryHigh, true);
}

/** Loads RFLAGS; most often no arithmetic flag is set, which costs no allocation. */
export function loadFlags(cpu: Cpu, flags: number): void {
  if (flags & ARITHMETIC) {
    cpu.rflags = flags;
    return;
  }
  succeed(cpu);
  cpu.setU32(S.RFLAGS_REST, flags | 2);
}

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
