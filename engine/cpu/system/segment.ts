/** Instructions on segment registers and selectors: MOV, PUSH and POP, LDS and its kin, LAR, LSL, VERR, VERW, ARPL. */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { BLOCKING } from '../delivery.js';
import { type Descriptor, descriptorAddress, isNull, readDescriptor, SYSTEM } from '../descriptor.js';
import { generalProtection, invalidOpcode, VECTOR } from '../fault.js';
import { FLAG } from '../flags.js';
import { S, SEG, segBase } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { isCanonical, loadSegment, operandAddress } from '../segments.js';
import { Stack } from '../stack.js';
import { CR4 } from './control.js';
import { readSelector, requireProtected, segmentNumber, writeRm } from './operands.js';

const accessSize = (size: number): AccessSize => (size === 8 ? 8 : size === 4 ? 4 : 2);

/** Loading SS blocks interrupts and debug exceptions until the next instruction is done: the run loop ends it. */
function shadowAfterSs(cpu: Cpu, n: number): void {
  if (n === SEG.SS) cpu.setU32(S.INTERRUPTIBILITY, cpu.u32(S.INTERRUPTIBILITY) | BLOCKING.movSs);
}

const movToSegment: SlowInstruction = (cpu, insn) => {
  const n = segmentNumber(insn.dst);
  if (n === SEG.CS || n > SEG.GS) throw invalidOpcode();
  loadSegment(cpu, n, readSelector(cpu, insn, insn.src));
  shadowAfterSs(cpu, n);
  return OUTCOME.nextLeave;
};

/** To memory always 16 bits; to a register the operand size, zero-extended. */
const movFromSegment: SlowInstruction = (cpu, insn) => {
  writeRm(cpu, insn, insn.dst, BigInt(cpu.u32(insn.src) & 0xffff), 2);
  return OUTCOME.next;
};

const pushSegment: SlowInstruction = (cpu, insn) => {
  const stack = Stack.current(cpu);
  const size = accessSize(insn.size);
  const selector = BigInt(cpu.u32(insn.dst) & 0xffff);
  if (size === 4) {
    // A 32-bit push moves ESP by 4 and writes 2 bytes: Intel SDM Vol. 2, "PUSH".
    stack.skip(-2);
    stack.push(2, selector);
  } else stack.push(size, selector);
  stack.commit();
  return OUTCOME.next;
};

const popSegment: SlowInstruction = (cpu, insn) => {
  const n = segmentNumber(insn.dst);
  const stack = Stack.current(cpu);
  const size = accessSize(insn.size);
  const selector = Number(stack.pop(2));
  stack.skip(size - 2);
  loadSegment(cpu, n, selector);
  // POP SS: the pointer moves at the width of the stack that was popped from.
  stack.commit();
  shadowAfterSs(cpu, n);
  return OUTCOME.nextLeave;
};

/** LDS, LES, LSS, LFS, LGS: offset, then selector. */
const loadFar =
  (n: number): SlowInstruction =>
  (cpu, insn) => {
    if (!insn.isMemory) throw invalidOpcode();
    const size = accessSize(insn.size);
    const offset = cpu.linear.load(cpu, operandAddress(cpu, insn, size, false), size);
    const selector = Number(cpu.linear.load(cpu, operandAddress(cpu, insn, 2, false, size), 2));
    loadSegment(cpu, n, selector);
    cpu.writeRegister(insn.dst, insn.size, offset);
    return OUTCOME.nextLeave;
  };

const setZero = (cpu: Cpu, zero: boolean): void => {
  cpu.rflags = zero ? cpu.rflags | FLAG.ZF : cpu.rflags & ~FLAG.ZF;
};

const LAR_TYPES = [SYSTEM.tss16, SYSTEM.ldt, SYSTEM.tss16Busy, SYSTEM.callGate16, SYSTEM.taskGate];
const LAR_WIDE = [SYSTEM.tss32, SYSTEM.tss32Busy, SYSTEM.callGate32];
const LSL_TYPES = [SYSTEM.tss16, SYSTEM.ldt, SYSTEM.tss16Busy];
const LSL_WIDE = [SYSTEM.tss32, SYSTEM.tss32Busy];
/** In IA-32e mode the 16-bit types and the task gate are not valid, but for the LDT. */
const types = (cpu: Cpu, narrow: readonly number[], wide: readonly number[]): readonly number[] =>
  cpu.longMode ? [SYSTEM.ldt, ...wide] : [...narrow, ...wide];

/** The descriptor of a selector, where the current level may see it; null: ZF is to be clear. */
function visible(cpu: Cpu, selector: number, systemTypes: readonly number[]): Descriptor | null {
  if (isNull(selector) || descriptorAddress(cpu, selector) === null) return null;
  const descriptor = readDescriptor(cpu, selector, VECTOR.GP);
  if (!descriptor.isSegment && !systemTypes.includes(descriptor.type)) return null;
  const level = Math.max(cpu.cpl, selector & 3);
  return descriptor.isConforming || level <= descriptor.dpl ? descriptor : null;
}

const lar: SlowInstruction = (cpu, insn) => {
  requireProtected(cpu);
  const descriptor = visible(cpu, readSelector(cpu, insn, insn.src), types(cpu, LAR_TYPES, LAR_WIDE));
  if (descriptor) cpu.writeRegister(insn.dst, insn.size, BigInt((descriptor.high & 0x00ff_ff00) >>> 0));
  setZero(cpu, descriptor !== null);
  return OUTCOME.next;
};

const lsl: SlowInstruction = (cpu, insn) => {
  requireProtected(cpu);
  const descriptor = visible(cpu, readSelector(cpu, insn, insn.src), types(cpu, LSL_TYPES, LSL_WIDE));
  if (descriptor) cpu.writeRegister(insn.dst, insn.size, BigInt(descriptor.limit));
  setZero(cpu, descriptor !== null);
  return OUTCOME.next;
};

const verify =
  (write: boolean): SlowInstruction =>
  (cpu, insn) => {
    requireProtected(cpu);
    const descriptor = visible(cpu, readSelector(cpu, insn, insn.dst), []);
    setZero(cpu, descriptor !== null && (write ? descriptor.isWritableData : descriptor.isReadable));
    return OUTCOME.next;
  };

const arpl: SlowInstruction = (cpu, insn) => {
  requireProtected(cpu);
  const destination = readSelector(cpu, insn, insn.dst);
  const rpl = Number(cpu.readRegister(insn.src, 2)) & 3;
  const adjusts = (destination & 3) < rpl;
  if (adjusts) writeRm(cpu, insn, insn.dst, BigInt((destination & 0xfffc) | rpl), 2);
  setZero(cpu, adjusts);
  return OUTCOME.next;
};

/** RDFSBASE and its kin exist in 64-bit mode with CR4.FSGSBASE. */
function requireBaseAccess(cpu: Cpu): void {
  if (!cpu.mode64 || !(cpu.u64(S.CR4) & CR4.FSGSBASE)) throw invalidOpcode();
}

const readBase =
  (segment: number): SlowInstruction =>
  (cpu, insn) => {
    requireBaseAccess(cpu);
    cpu.writeRegister(insn.dst, insn.size, cpu.u64(segBase(segment)));
    return OUTCOME.next;
  };

const writeBase =
  (segment: number): SlowInstruction =>
  (cpu, insn) => {
    requireBaseAccess(cpu);
    const base = cpu.readRegister(insn.dst, insn.size);
    if (!isCanonical(base)) throw generalProtection();
    cpu.setU64(segBase(segment), base);
    return OUTCOME.next;
  };

export const SEGMENT: SlowTable = {
  mov_to_segment: movToSegment,
  mov_from_segment: movFromSegment,
  push_segment: pushSegment,
  pop_segment: popSegment,
  lds: loadFar(SEG.DS),
  les: loadFar(SEG.ES),
  lss: loadFar(SEG.SS),
  lfs: loadFar(SEG.FS),
  lgs: loadFar(SEG.GS),
  lar,
  lsl,
  verr: verify(false),
  verw: verify(true),
  arpl,
  rdfsbase: readBase(SEG.FS),
  rdgsbase: readBase(SEG.GS),
  wrfsbase: writeBase(SEG.FS),
  wrgsbase: writeBase(SEG.GS),
};
