/** Writes numbers and names into a row's text as bytes: no string is made for an event. */
import { ascii } from '../cursor.js';
import type { EventRow } from '../row.js';

const HEX = ascii('0123456789abcdef');
const SPACE = 0x20;
const MINUS = 0x2d;
/** No number is longer. */
const LONGEST = 24;
const scratch = new Uint8Array(LONGEST);

export function addSpace(row: EventRow): void {
  if (row.textLength > 0) addByte(row, SPACE);
}

function addByte(row: EventRow, byte: number): void {
  if (row.textLength >= row.text.length) return;
  row.text[row.textLength] = byte;
  row.textLength += 1;
}

/** Adds bytes that are ASCII. */
export function addBytes(row: EventRow, bytes: Uint8Array): void {
  row.addAscii(bytes, 0, bytes.length);
}

export function addHexByte(row: EventRow, byte: number): void {
  addByte(row, HEX[byte >> 4] as number);
  addByte(row, HEX[byte & 15] as number);
}

const nibbles = (value: number): number => (35 - Math.clz32(value)) >> 2 || 1;

/** `0x` and the digits of a 64-bit number. */
export function addHex(row: EventRow, low: number, high: number): void {
  const { text, textLength } = row;
  const upper = high === 0 ? 0 : nibbles(high);
  const length = 2 + (high === 0 ? nibbles(low) : upper + 8);
  const direct = textLength + length <= text.length;
  const target = direct ? text : scratch;
  const start = direct ? textLength : 0;
  target[start] = 0x30;
  target[start + 1] = 0x78;
  let at = start + length;
  let rest = low;
  for (const end = start + 2 + upper; at > end; rest >>>= 4) target[--at] = HEX[rest & 15] as number;
  rest = high;
  for (const end = start + 2; at > end; rest >>>= 4) target[--at] = HEX[rest & 15] as number;
  if (direct) row.textLength = textLength + length;
  else row.addAscii(scratch, 0, length);
}

/** A whole number of 2^53 at the most, in magnitude. */
export function addDecimal(row: EventRow, value: number): void {
  if (value < 0) addByte(row, MINUS);
  let rest = Math.abs(value);
  if (rest < 10) {
    addByte(row, 0x30 + rest);
    return;
  }
  let at = LONGEST;
  while (rest > 0x7fff_ffff) {
    const next = Math.floor(rest / 10);
    scratch[--at] = 0x30 + (rest - 10 * next);
    rest = next;
  }
  let small = rest | 0;
  do {
    const next = (small / 10) | 0;
    scratch[--at] = 0x30 + (small - 10 * next);
    small = next;
  } while (small > 0);
  row.addAscii(scratch, at, LONGEST);
}
