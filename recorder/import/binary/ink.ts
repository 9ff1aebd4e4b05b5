/** Writes numbers and names into a row's text as bytes: no string is made for an event. */
import { ascii } from '../cursor.js';
import type { EventRow } from '../row.js';

const HEX = ascii('0123456789abcdef');
const SPACE = ascii(' ');
const PREFIX = ascii('0x');
const MINUS = ascii('-');

const digits = new Uint8Array(24);

export function addSpace(row: EventRow): void {
  if (row.textLength > 0) row.addText(SPACE, 0, 1);
}

export function addBytes(row: EventRow, bytes: Uint8Array): void {
  row.addText(bytes, 0, bytes.length);
}

export function addHex(row: EventRow, low: number, high: number): void {
  addBytes(row, PREFIX);
  let at = 24;
  let rest = low;
  let upper = high;
  do {
    digits[--at] = HEX[rest & 15] as number;
    rest = ((rest >>> 4) | (upper << 28)) >>> 0;
    upper >>>= 4;
  } while (rest !== 0 || upper !== 0);
  row.addText(digits, at, 24);
}

/** A whole number of 2^53 at the most, in magnitude. */
export function addDecimal(row: EventRow, value: number): void {
  if (value < 0) row.addText(MINUS, 0, 1);
  let rest = Math.abs(value);
  let at = 24;
  do {
    const next = Math.floor(rest / 10);
    digits[--at] = 0x30 + (rest - 10 * next);
    rest = next;
  } while (rest > 0);
  row.addText(digits, at, 24);
}
