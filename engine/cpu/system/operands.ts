/**
 * Operands of slow instructions, as the decoder leaves them in a record:
 * - R.dst is operand 0 where that is a register, R.src operand 1 (S.ZERO: none); a general register is its slot, a
 *   segment register its selector slot (segSelector). A memory operand is described by the address fields.
 * - MOV to and from CR and DR: the low byte of the immediate is the register's number, R.dst the general register.
 * - IN and OUT: R.src is RDX's slot, or S.ZERO and the port is the immediate. The data register is RAX at R.size.
 * - Far pointers: offset in bits 31:0 of the immediate, selector in bits 47:32; in memory R.size counts the selector
 *   too (4, 6 or 10). LGDT and LIDT: R.size is 2 for a 16-bit operand. ENTER: nesting level in bits 63:32.
 */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { generalProtection, invalidOpcode } from '../fault.js';
import type { Insn } from '../insn.js';
import { S } from '../layout.js';
import { operandAddress } from '../segments.js';

/** Reads r/m: memory, or the register in `slot`. */
export function readRm(cpu: Cpu, insn: Insn, slot: number, size: AccessSize): bigint {
  if (!insn.isMemory) return cpu.readRegister(slot, size);
  return cpu.linear.load(cpu, operandAddress(cpu, insn, size, false), size);
}

/** Writes r/m: memory of `memorySize` bytes, or the register in `slot` at the operand size. */
export function writeRm(cpu: Cpu, insn: Insn, slot: number, value: bigint, memorySize: AccessSize): void {
  if (!insn.isMemory) cpu.writeRegister(slot, insn.size, value);
  else {
    const masked = BigInt.asUintN(8 * memorySize, value);
    cpu.linear.store(cpu, operandAddress(cpu, insn, memorySize, true), memorySize, masked);
  }
}

/** A selector operand. */
export const readSelector = (cpu: Cpu, insn: Insn, slot: number): number => Number(readRm(cpu, insn, slot, 2));

/** Privileged instructions: #GP(0) outside ring 0. */
export function requireRing0(cpu: Cpu): void {
  if (cpu.cpl !== 0) throw generalProtection();
}

/** Instructions that only protected mode outside virtual-8086 mode recognizes: #UD elsewhere. */
export function requireProtected(cpu: Cpu): void {
  if (!cpu.protectedMode || cpu.virtual8086) throw invalidOpcode();
}

/** The displacement of a memory operand as exit qualifications give it: RIP-relative ones include the next RIP. */
export const displacement = (cpu: Cpu, insn: Insn): bigint =>
  BigInt.asUintN(64, insn.base === S.PAGE_LINEAR ? cpu.u64(S.PAGE_LINEAR) + insn.displacement : insn.displacement);

/** Number of the general register in a slot. */
export const registerNumber = (slot: number): number => slot >> 3;
/** Number of the segment register whose selector slot this is. */
export const segmentNumber = (slot: number): number => (slot - S.SEL) >> 3;

/** RAX:RDX-style pairs: EDX:EAX as one value, and back with the high halves cleared. */
export const readPair = (cpu: Cpu, low: number, high: number): bigint =>
  (BigInt(cpu.u32(high)) << 32n) | BigInt(cpu.u32(low));
export function writePair(cpu: Cpu, low: number, high: number, value: bigint): void {
  cpu.setU32(low, Number(value & 0xffff_ffffn));
  cpu.setU32(high, Number((value >> 32n) & 0xffff_ffffn));
}
