/** Lazy flags as generated code keeps them: see cpu/flags.ts for the representation. */
import { type I32, type I64, i32, i64, type Local } from '../../wasm/assembler.js';
import { bits, type Context, k, type Size, signExtend } from './context.js';

const TOP = 1n << 63n;

/** Stores a carry-out vector of an operation of `size`: its top two bits to 63:62, bit 3 kept, the rest clear. */
export function setCarries(c: Context, size: Size, vector: I64): void {
  if (size === 8) {
    c.setCarry(i64.and(vector, k(0xc000_0000_0000_0008n)));
    return;
  }
  const v = c.keep(vector);
  c.setCarry(i64.or(i64.shl(v.get, k(64 - bits(size))), i64.and(v.get, k(8))));
}

/** Carries out of a + b (+ carry in) with the given sum. */
export const carriesOfSum = (a: I64, b: I64, sum: I64): I64 =>
  i64.or(i64.and(a, b), i64.and(i64.or(a, b), i64.xor(sum, k(-1))));

/** Borrows of a - b (- borrow in) with the given difference. */
export const borrowsOf = (a: I64, b: I64, difference: I64): I64 =>
  i64.or(i64.and(i64.xor(a, k(-1)), i64.or(b, difference)), i64.and(b, difference));

/** Result of a logical instruction: CF, OF and AF clear (AF is undefined in the manual). */
export function setLogic(c: Context, size: Size, result: I64): void {
  c.setResult(signExtend(size, result));
  c.setCarry(k(0));
}

/** Sets CF and OF alone; both are i64 of 0 or 1. */
export function setCarryOverflow(c: Context, cf: Local<'i64'>, of: I64): void {
  const rest = i64.and(c.carry, k(~(3n << 62n)));
  c.setCarry(i64.or(i64.or(rest, i64.shl(cf.get, k(63))), i64.shl(i64.and(i64.xor(cf.get, of), k(1)), k(62))));
}

/** Sets CF alone, leaving OF: OF is bit 63 ^ bit 62, so both move with CF. */
export function setCarryOnly(c: Context, cf: I64): void {
  const flip = c.keep(i64.xor(i64.shrU(c.carry, k(63)), i64.and(cf, k(1))));
  c.setCarry(i64.xor(c.carry, i64.or(i64.shl(flip.get, k(63)), i64.shl(flip.get, k(62)))));
}

/** Result of INC or DEC with its carry vector: CF stays. */
export function setKeepingCarry(c: Context, size: Size, vector: I64): void {
  const v = c.keep(size === 8 ? vector : i64.shl(vector, k(64 - bits(size))));
  const auxiliary = size === 8 ? v.get : i64.shrU(v.get, k(64 - bits(size)));
  const old = c.keep(i64.and(c.carry, k(TOP)));
  const overflow = i64.and(i64.xor(v.get, i64.shl(v.get, k(1))), k(TOP));
  c.setCarry(i64.or(i64.or(old.get, i64.shrU(i64.xor(overflow, old.get), k(1))), i64.and(auxiliary, k(8))));
}

export const carryFlag = (c: Context): I64 => i64.shrU(c.carry, k(63));
const signVector = (c: Context): I64 => i64.xor(c.result, i64.shl(c.carry, k(59)));
const overflowVector = (c: Context): I64 => i64.xor(c.carry, i64.shl(c.carry, k(1)));
const negative = (v: I64): I32 => i64.ltS(v, k(0));

export const zeroFlag = (c: Context): I32 => i64.eqz(c.result);
export const signFlag = (c: Context): I32 => negative(signVector(c));
export const overflowFlag = (c: Context): I32 => negative(overflowVector(c));
export const parityFlag = (c: Context): I32 =>
  i64.eqz(i64.and(i64.popcnt(i64.and(i64.xor(c.result, i64.shrU(c.carry, k(8))), k(0xff))), k(1)));
export const adjustFlag = (c: Context): I64 => i64.and(i64.shrU(c.carry, k(3)), k(1));

const below = (c: Context): I32 => negative(c.carry);
const less = (c: Context): I32 => negative(i64.xor(signVector(c), overflowVector(c)));

/** The sixteen conditions in the manual's encoding order: Intel SDM Vol. 1, "EFLAGS Condition Codes". */
export const CONDITIONS: readonly { readonly name: string; readonly holds: (c: Context) => I32 }[] = [
  { name: 'o', holds: overflowFlag },
  { name: 'no', holds: (c) => i32.eqz(overflowFlag(c)) },
  { name: 'b', holds: below },
  { name: 'ae', holds: (c) => i32.eqz(below(c)) },
  { name: 'e', holds: zeroFlag },
  { name: 'ne', holds: (c) => i32.eqz(zeroFlag(c)) },
  { name: 'be', holds: (c) => i32.or(below(c), zeroFlag(c)) },
  { name: 'a', holds: (c) => i32.eqz(i32.or(below(c), zeroFlag(c))) },
  { name: 's', holds: signFlag },
  { name: 'ns', holds: (c) => i32.eqz(signFlag(c)) },
  { name: 'p', holds: parityFlag },
  { name: 'np', holds: (c) => i32.eqz(parityFlag(c)) },
  { name: 'l', holds: less },
  { name: 'ge', holds: (c) => i32.eqz(less(c)) },
  { name: 'le', holds: (c) => i32.or(less(c), zeroFlag(c)) },
  { name: 'g', holds: (c) => i32.eqz(i32.or(less(c), zeroFlag(c))) },
];
