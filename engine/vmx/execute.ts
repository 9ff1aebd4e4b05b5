/**
 * VMX instructions for monitors, which are host code in VMX root operation: the same operations, faults, error numbers
 * and events as the instructions, at one tick each (a VM entry spends its own).
 */
import type { Cpu } from '../cpu/cpu.js';
import { generalProtection, invalidOpcode } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { S } from '../cpu/layout.js';
import { VM_ERROR } from './controls.js';
import { vmEntry } from './entry.js';
import { F } from './fields.js';
import * as operation from './operations.js';
import { fail } from './result.js';
import { low } from './vmcs.js';

/** Ticks that each instruction of a monitor costs. */
const COST = 1;

/** Throws the #UD or #GP that the instruction would raise. */
function require(cpu: Cpu): void {
  if (cpu.u32(S.VMX_ON) === 0 || cpu.nonRoot) throw invalidOpcode();
  if (cpu.cpl !== 0) throw generalProtection();
  cpu.spend(COST);
}

/** Each answers whether it succeeded; `error` says why not. Fields are named by their encoding, as in the instructions. */
export const execute = {
  vmxon(cpu: Cpu, address: bigint): boolean {
    if (cpu.u32(S.VMX_ON)) {
      require(cpu);
      fail(cpu, VM_ERROR.vmxonInRoot);
      return false;
    }
    cpu.spend(COST);
    return operation.vmxon(cpu, address);
  },
  vmxoff(cpu: Cpu): boolean {
    require(cpu);
    return operation.vmxoff(cpu);
  },
  vmclear(cpu: Cpu, address: bigint): boolean {
    require(cpu);
    return operation.vmclear(cpu, address);
  },
  vmptrld(cpu: Cpu, address: bigint): boolean {
    require(cpu);
    return operation.vmptrld(cpu, address);
  },
  vmptrst(cpu: Cpu): bigint {
    require(cpu);
    return operation.vmptrst(cpu);
  },
  /** The field's value, or null where the instruction failed. */
  vmread(cpu: Cpu, encoding: number): bigint | null {
    require(cpu);
    if (!operation.vmread(cpu, encoding, true)) return null;
    return BigInt(operation.read.low) | (BigInt(operation.read.high) << 32n);
  },
  vmwrite(cpu: Cpu, encoding: number, value: bigint): boolean {
    require(cpu);
    return operation.vmwrite(cpu, encoding, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  },
  /** Like VMREAD and VMWRITE of a low word, for fields of at most 32 bits and without BigInt. */
  vmread32(cpu: Cpu, encoding: number): number | null {
    require(cpu);
    return operation.vmread(cpu, encoding, true) ? operation.read.low : null;
  },
  vmwrite32(cpu: Cpu, encoding: number, value: number): boolean {
    require(cpu);
    return operation.vmwrite(cpu, encoding, value >>> 0, 0);
  },
  /** True: the CPU has left root operation, or came back to HOST_RIP by a failed entry. */
  vmlaunch(cpu: Cpu): boolean {
    require(cpu);
    return vmEntry(cpu, true);
  },
  vmresume(cpu: Cpu): boolean {
    require(cpu);
    return vmEntry(cpu, false);
  },
  invept(cpu: Cpu, type: bigint, eptp: bigint): boolean {
    require(cpu);
    return operation.invept(cpu, type, eptp, 0n);
  },
  invvpid(cpu: Cpu, type: bigint, vpid: number, linear: bigint): boolean {
    require(cpu);
    return operation.invvpid(cpu, type, BigInt(vpid), linear);
  },
  /** VM-instruction error of the last instruction that failed; 0 for VMfailInvalid, null where it succeeded. */
  error(cpu: Cpu): number | null {
    const flags = cpu.rflags;
    if (flags & FLAG.CF) return 0;
    return flags & FLAG.ZF ? low(cpu, F.VM_INSTRUCTION_ERROR) : null;
  },
} as const;
