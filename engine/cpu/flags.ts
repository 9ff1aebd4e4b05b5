/**
 * RFLAGS, lazily. FLAG_RESULT is the last result, sign-extended to 64 bits; FLAG_CARRY the carries out of its bits:
 *   CF = carry 63; OF = carry 63 ^ carry 62; AF = carry 3; SF = result 63 ^ carry 4; ZF = result == 0;
 *   PF = even parity of (result ^ carry >> 8) & 0xff.
 * An operation of n bits stores its carry-out vector shifted left by 64 - n, with bit 3 kept and bits 4 to 15 clear;
 * those are set only when flags that no result could have are loaded (POPF, SAHF, IRET).
 */
export const FLAG = {
  CF: 1,
  PF: 4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x1_0000,
  VM: 0x2_0000,
  AC: 0x4_0000,
  VIF: 0x8_0000,
  VIP: 0x10_0000,
  ID: 0x20_0000,
} as const;

/** The six flags that arithmetic sets. */
export const ARITHMETIC = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF;

const evenParity = (byte: number): boolean => {
  let x = byte & 0xff;
  x ^= x >> 4;
  return ((0x6996 >> (x & 15)) & 1) === 0;
};

/** Arithmetic flags from the halves of the two lazy slots. */
export function materialize(resultLow: number, resultHigh: number, carryLow: number, carryHigh: number): number {
  const cf = carryHigh >>> 31;
  let flags = cf;
  if (evenParity(resultLow ^ (carryLow >>> 8))) flags |= FLAG.PF;
  if (carryLow & 8) flags |= FLAG.AF;
  if ((resultLow | resultHigh) === 0) flags |= FLAG.ZF;
  if ((resultHigh >>> 31) ^ ((carryLow >>> 4) & 1)) flags |= FLAG.SF;
  if (cf ^ ((carryHigh >>> 30) & 1)) flags |= FLAG.OF;
  return flags;
}

/** Lazy slots that stand for the given flags: result is 0 or 0x100 (even parity, positive), the rest is in carry. */
export function dematerialize(flags: number): { resultLow: number; carryLow: number; carryHigh: number } {
  const cf = flags & FLAG.CF ? 1 : 0;
  const of = flags & FLAG.OF ? 1 : 0;
  const carryHigh = ((cf << 31) | ((cf ^ of) << 30)) >>> 0;
  let carryLow = 0;
  if (flags & FLAG.AF) carryLow |= 8;
  if (flags & FLAG.SF) carryLow |= 0x10;
  if (!(flags & FLAG.PF)) carryLow |= 0x100;
  return { resultLow: flags & FLAG.ZF ? 0 : 0x100, carryLow, carryHigh };
}
