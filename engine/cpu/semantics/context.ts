/**
 * What instruction semantics are written against: operands, guest memory, lazy flags and control flow, as emitters of
 * WebAssembly. The interpreter implements it with operands read from decoded records; a translator can implement it
 * with constants. All values are i64; narrower ones are zero-extended.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, type Local } from '../../wasm/assembler.js';

/** Operand sizes in bytes. */
export type Size = 1 | 2 | 4 | 8;
export const SIZES: readonly Size[] = [1, 2, 4, 8];
/** Sizes of operands that have no 8-bit form. */
export const WORDS: readonly Size[] = [2, 4, 8];

export interface Context {
  readonly f: FunctionBuilder;
  /** A local that is free until the end of this instruction. */
  temp(): Local<'i64'>;
  /** Evaluates once. */
  keep(value: I64): Local<'i64'>;

  readDst(size: Size): I64;
  readSrc(size: Size): I64;
  writeDst(size: Size, value: I64): void;
  writeSrc(size: Size, value: I64): void;
  /** A register by its state offset (cpu/layout.ts). */
  readRegister(slot: number, size: Size): I64;
  writeRegister(slot: number, size: Size, value: I64): void;
  /** The immediate, sign-extended to 64 bits. */
  immediate(): I64;

  /** Linear address of the memory operand; faults where segmentation forbids the access. */
  address(size: Size, write: boolean): Local<'i64'>;
  /** Offset of the memory operand, without segment (LEA). */
  offset(): I64;
  /** Address size mask of the instruction. */
  addressMask(): I64;
  load(size: Size, address: I64): Local<'i64'>;
  store(size: Size, address: I64, value: I64): void;
  /** Reads, computes and writes one operand; write permission is checked before `compute` runs. */
  update(size: Size, address: I64, compute: (old: Local<'i64'>) => I64): void;

  readonly result: I64;
  readonly carry: I64;
  setResult(value: I64): void;
  setCarry(value: I64): void;

  /** Linear address of a string operand: its pointer register at the address size, in the given segment. */
  stringAddress(slot: number, segment: number | 'operand', size: Size, write: boolean): Local<'i64'>;
  /** Moves a pointer register by an element, in the direction of DF, at the address size. */
  advance(slot: number, size: Size): void;
  /** REP: iterates while rCX is not zero and `stop` does not hold; every iteration is a tick and may be the last now. */
  repeat(iteration: () => void, stop: (() => I32) | null): void;

  /** RIP of the following instruction. */
  nextRip(): I64;
  /** RIP of the branch target that the immediate names. */
  target(): I64;
  /** Retires the instruction and continues with the next. */
  next(): void;
  /** Retires the instruction and continues at `rip`. */
  branch(rip: I64): void;
  /** Retires the instruction and continues at `target()`. */
  jump(): void;
  /** Hands the instruction to its slow path in TypeScript. */
  slow(): void;
  /** Raises #DE. */
  divideError(): void;
}

/** One instruction form: a name that the decoder asks for, and its meaning. */
export interface Form {
  readonly name: string;
  /** Ends a straight line: what follows is not executed next, or it takes more than one tick. */
  readonly ends?: boolean;
  readonly emit: (c: Context) => void;
}

export const bits = (size: Size): number => size * 8;
export const mask = (size: Size): bigint => (1n << BigInt(8 * size)) - 1n;
export const signBit = (size: Size): bigint => 1n << BigInt(8 * size - 1);

export const k = i64.const;

export const truncate = (size: Size, value: I64): I64 => {
  if (size === 8) return value;
  return size === 4 ? i64.extendU(i32.wrap(value)) : i64.and(value, k(mask(size)));
};

export const signExtend = (size: Size, value: I64): I64 => {
  if (size === 1) return i64.extend8s(value);
  if (size === 2) return i64.extend16s(value);
  return size === 4 ? i64.extend32s(value) : value;
};

/** A condition as an i64 of 0 or 1. */
export const flag = (condition: I32): I64 => i64.extendU(condition);
