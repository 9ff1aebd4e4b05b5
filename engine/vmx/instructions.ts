/**
 * VMX instructions, with their faults in the manual's order: #UD, then the VM exit of a guest, then #GP for the
 * privilege level, then the operand, then what the instruction itself refuses.
 */
import type { Cpu } from '../cpu/cpu.js';
import { generalProtection, invalidOpcode } from '../cpu/fault.js';
import type { Insn } from '../cpu/insn.js';
import type { Intercepted } from '../cpu/intercepts.js';
import { S, SEG, segRights } from '../cpu/layout.js';
import { OUTCOME, type Outcome, type SlowInstruction, type SlowTable } from '../cpu/outcome.js';
import { operandAddress } from '../cpu/segments.js';
import { displacement } from '../cpu/system/operands.js';
import { VMX_MSR } from './capabilities.js';
import { VM_ERROR } from './controls.js';
import { vmEntry } from './entry.js';
import * as operation from './operations.js';
import { fail } from './result.js';

const CR4_VMXE = 1 << 13;
/** IA32_FEATURE_CONTROL: locked, VMXON outside SMX. */
const FEATURES = 0b101;
const CODE_LONG = 0x2000;

/** 64-bit mode, from the decoder's key: cheaper than EFER and CS. */
const inMode64 = (cpu: Cpu): boolean => (cpu.u32(S.MODE) & 2) !== 0;

/** Real-address, virtual-8086 and compatibility mode know no VMX instruction. */
const isForeignMode = (cpu: Cpu): boolean =>
  !inMode64(cpu) &&
  (!cpu.protectedMode || cpu.virtual8086 || (cpu.longMode && !(cpu.u32(segRights(SEG.CS)) & CODE_LONG)));

/** #UD, VM exit, #GP: false where the exit happened. `qualified`: a memory operand, whose displacement is reported. */
function mayExecute(cpu: Cpu, insn: Insn, what: Intercepted, qualified: boolean): boolean {
  if (cpu.u32(S.VMX_ON) === 0 || isForeignMode(cpu)) throw invalidOpcode();
  if (cpu.nonRoot) {
    cpu.intercepts.instruction(cpu, what, qualified && insn.isMemory ? displacement(cpu, insn) : undefined);
    return false;
  }
  if (cpu.cpl !== 0) throw generalProtection();
  return true;
}

const pointerOperand = (cpu: Cpu, insn: Insn): bigint => cpu.linear.load(cpu, operandAddress(cpu, insn, 8, false), 8);

/** CR0 and CR4 hold what VMX operation fixes. */
function fixedBitsHold(cpu: Cpu): boolean {
  const { read } = cpu.vmx.capabilities;
  const holds = (value: bigint, fixed0: number, fixed1: number): boolean =>
    (read(fixed0) & ~value) === 0n && (value & ~read(fixed1)) === 0n;
  return (
    holds(cpu.u64(S.CR0), VMX_MSR.cr0Fixed0, VMX_MSR.cr0Fixed1) &&
    holds(cpu.u64(S.CR4), VMX_MSR.cr4Fixed0, VMX_MSR.cr4Fixed1)
  );
}

const vmxon: SlowInstruction = (cpu, insn) => {
  if (!insn.isMemory || !(cpu.u32(S.CR4) & CR4_VMXE) || isForeignMode(cpu)) throw invalidOpcode();
  if (cpu.u32(S.VMX_ON)) {
    if (!mayExecute(cpu, insn, 'vmxon', true)) return OUTCOME.switched;
    fail(cpu, VM_ERROR.vmxonInRoot);
    return OUTCOME.next;
  }
  const enabled = (cpu.u32(S.FEATURE_CONTROL) & FEATURES) === FEATURES;
  if (cpu.cpl !== 0 || !enabled || !fixedBitsHold(cpu)) throw generalProtection();
  operation.vmxon(cpu, pointerOperand(cpu, insn));
  return OUTCOME.next;
};

/** VMCLEAR and VMPTRLD. */
const withPointer =
  (what: 'vmclear' | 'vmptrld', run: (cpu: Cpu, address: bigint) => boolean): SlowInstruction =>
  (cpu, insn) => {
    if (!insn.isMemory) throw invalidOpcode();
    if (!mayExecute(cpu, insn, what, true)) return OUTCOME.switched;
    run(cpu, pointerOperand(cpu, insn));
    return OUTCOME.next;
  };

const vmptrst: SlowInstruction = (cpu, insn) => {
  if (!insn.isMemory) throw invalidOpcode();
  if (!mayExecute(cpu, insn, 'vmptrst', true)) return OUTCOME.switched;
  cpu.linear.store(cpu, operandAddress(cpu, insn, 8, true), 8, cpu.u64(S.VMCS_POINTER));
  operation.vmptrst(cpu);
  return OUTCOME.next;
};

/** Encodings have 32 bits: in 64-bit mode a register with more names no field. */
const NO_FIELD = 0xffff_ffff;
const encodingIn = (cpu: Cpu, slot: number, wide: boolean): number =>
  wide && cpu.u32(slot + 4) !== 0 ? NO_FIELD : cpu.u32(slot);

const vmread: SlowInstruction = (cpu, insn) => {
  if (!mayExecute(cpu, insn, 'vmread', true)) return OUTCOME.switched;
  const wide = inMode64(cpu);
  const encoding = encodingIn(cpu, insn.src, wide);
  if (insn.isMemory) {
    // The store may fault, and must then leave nothing behind: probe first.
    const linear = operandAddress(cpu, insn, wide ? 8 : 4, true);
    cpu.linear.probeStore(cpu, linear, wide ? 8 : 4);
    if (!operation.vmread(cpu, encoding, wide)) return OUTCOME.next;
    const { low, high } = operation.read;
    cpu.linear.store(cpu, linear, wide ? 8 : 4, BigInt(low) | (BigInt(high) << 32n));
    return OUTCOME.next;
  }
  if (operation.vmread(cpu, encoding, wide)) {
    cpu.state.setUint32(insn.dst, operation.read.low, true);
    cpu.state.setUint32(insn.dst + 4, operation.read.high, true);
  }
  return OUTCOME.next;
};

const vmwrite: SlowInstruction = (cpu, insn) => {
  if (!mayExecute(cpu, insn, 'vmwrite', true)) return OUTCOME.switched;
  const wide = inMode64(cpu);
  const encoding = encodingIn(cpu, insn.dst, wide);
  if (insn.isMemory) {
    const size = wide ? 8 : 4;
    const value = cpu.linear.load(cpu, operandAddress(cpu, insn, size, false), size);
    operation.vmwrite(cpu, encoding, Number(value & 0xffff_ffffn), Number(value >> 32n));
  } else operation.vmwrite(cpu, encoding, cpu.u32(insn.src), wide ? cpu.u32(insn.src + 4) : 0);
  return OUTCOME.next;
};

const enter =
  (what: 'vmlaunch' | 'vmresume'): SlowInstruction =>
  (cpu, insn): Outcome => {
    if (!mayExecute(cpu, insn, what, false)) return OUTCOME.switched;
    return vmEntry(cpu, what === 'vmlaunch') ? OUTCOME.switched : OUTCOME.next;
  };

const vmxoff: SlowInstruction = (cpu, insn) => {
  if (!mayExecute(cpu, insn, 'vmxoff', false)) return OUTCOME.switched;
  operation.vmxoff(cpu);
  return OUTCOME.nextLeave;
};

/** In guests of any mode VMCALL exits; in root operation there is no SMM monitor to call. */
const vmcall: SlowInstruction = (cpu) => {
  if (cpu.u32(S.VMX_ON) === 0) throw invalidOpcode();
  if (cpu.nonRoot) {
    cpu.intercepts.instruction(cpu, 'vmcall');
    return OUTCOME.switched;
  }
  if (isForeignMode(cpu)) throw invalidOpcode();
  if (cpu.cpl !== 0) throw generalProtection();
  fail(cpu, VM_ERROR.vmcallInRoot);
  return OUTCOME.next;
};

/** INVEPT and INVVPID: type in a register, descriptor of 16 bytes in memory. */
const invalidate =
  (
    what: 'invept' | 'invvpid',
    run: (cpu: Cpu, type: bigint, first: bigint, second: bigint) => boolean,
  ): SlowInstruction =>
  (cpu, insn) => {
    if (!insn.isMemory) throw invalidOpcode();
    if (!mayExecute(cpu, insn, what, true)) return OUTCOME.switched;
    const type = cpu.mode64 ? cpu.u64(insn.dst) : BigInt(cpu.u32(insn.dst));
    const first = cpu.linear.load(cpu, operandAddress(cpu, insn, 16, false), 8);
    const second = cpu.linear.load(cpu, operandAddress(cpu, insn, 8, false, 8), 8);
    run(cpu, type, first, second);
    return OUTCOME.nextLeave;
  };

/** No model has VM functions yet: #UD everywhere. */
const vmfunc: SlowInstruction = () => {
  throw invalidOpcode();
};

export const vmxInstructions: SlowTable = {
  vmxon,
  vmxoff,
  vmclear: withPointer('vmclear', operation.vmclear),
  vmptrld: withPointer('vmptrld', operation.vmptrld),
  vmptrst,
  vmread,
  vmwrite,
  vmlaunch: enter('vmlaunch'),
  vmresume: enter('vmresume'),
  vmcall,
  invept: invalidate('invept', operation.invept),
  invvpid: invalidate('invvpid', operation.invvpid),
  vmfunc,
};
