/**
 * The form of a column that both the digest and the Arrow store are made of: how many nulls, which rows, and the cells
 * with all that repeats taken out. Equal columns have equal forms.
 */
import { type ColumnVector, isVariable, WIDTH } from './column.js';
import { type Lane, splitLanes } from './lanes.js';
import type { ColumnType } from './schema.js';
import { packValidity, type Validity } from './validity.js';

export interface ColumnForm extends Validity {
  readonly rows: number;
  /**
   * Integers: lanes of bytes, lowest first; none where every row is null. Nulls of one-byte columns hold 0. Text and
   * bytes: 32-bit offsets from 0, and the data. Arrays may be good until the next form is made only.
   */
  readonly parts: readonly Lane[];
}

/** Integers of more than 16 bits are taken apart into lanes. */
export const hasLanes = (type: ColumnType): boolean => !isVariable(type) && WIDTH[type] > 2;

const ALL_VALID: Validity = { nulls: 0, bits: null };

export const bytesOf = (view: Uint8Array | Uint16Array | Uint32Array): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

export function formOf({ type, rows, valid, numbers, offsets, data }: ColumnVector): ColumnForm {
  const { nulls, bits } = valid === null ? ALL_VALID : packValidity(valid);
  if (nulls === rows) return { rows, nulls, bits, parts: [] };
  if (offsets !== null && data !== null) return { rows, nulls, bits, parts: [bytesOf(offsets), data] };
  if (numbers instanceof Uint32Array) {
    const lanes = splitLanes(numbers, WIDTH[type] === 8 ? 8 : 4, bits === null ? null : valid);
    return { rows, nulls, bits, parts: lanes };
  }
  return { rows, nulls, bits, parts: numbers === null ? [] : [constantOr(bytesOf(numbers), type)] };
}

/** The byte that a column of bytes consists of, if it is always the same. */
export function constantOr(bytes: Uint8Array, type: ColumnType): Lane {
  if (type !== 'u8') return bytes;
  const same = Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0;
  return same ? (bytes[0] as number) : bytes;
}
