/**
 * The VM-exit instruction-information field: Vol. 3C, "Information for VM Exits Due to Instruction Execution". The
 * instruction is the one whose record is at S.RECORD.
 */
import type { Insn } from '../cpu/insn.js';
import { S, SEG } from '../cpu/layout.js';

/** log2 of an address size in 16-bit units, as bits 9:7 hold it. */
const sizeCode = (bytes: number): number => (bytes === 2 ? 0 : bytes === 4 ? 1 : 2);

const general = (slot: number): number => (slot < S.ZERO ? slot >> 3 : -1);

/** Bits 27:0 of the common part: the memory operand, or register 1. */
function operand(insn: Insn, register: number): number {
  if (!insn.isMemory) return (register << 3) | (1 << 10);
  const index = general(insn.index);
  const base = general(insn.base);
  return (
    (index >= 0 ? insn.scale : 0) |
    (sizeCode(insn.addressSize) << 7) |
    (insn.segment << 15) |
    (index >= 0 ? index << 18 : 1 << 22) |
    (base >= 0 ? base << 23 : 1 << 27)
  );
}

/** INVEPT, INVVPID, INVPCID (register operand first), VMCLEAR, VMPTRLD, VMPTRST, VMXON (none). */
export const invalidationInfo = (insn: Insn, register: number): number => (operand(insn, 0) | (register << 28)) >>> 0;

/** VMREAD and VMWRITE: `field` is the register that names the field, `other` the other operand where a register. */
export const vmreadInfo = (insn: Insn, field: number, other: number): number =>
  (operand(insn, other) | (field << 28)) >>> 0;

/** SGDT 0, SIDT 1, LGDT 2, LIDT 3; bit 11: 32-bit operand. */
export const tableInfo = (insn: Insn, identity: number): number =>
  (operand(insn, 0) | (insn.size === 2 ? 0 : 1 << 11) | (identity << 28)) >>> 0;

/** SLDT 0, STR 1, LLDT 2, LTR 3. */
export const selectorInfo = (insn: Insn, identity: number): number =>
  (operand(insn, Math.max(0, general(insn.dst))) | (identity << 28)) >>> 0;

/** RDRAND and RDSEED: destination register and operand size. */
export const randomInfo = (insn: Insn): number => ((general(insn.dst) << 3) | (sizeCode(insn.size) << 11)) >>> 0;

/** INS and OUTS: address size, and the segment of OUTS. */
export const stringIoInfo = (insn: Insn, input: boolean): number =>
  (sizeCode(insn.addressSize) << 7) | ((input ? SEG.ES : insn.segment) << 15);
