/** Writes numbers and names into a row's text as bytes: no string is made for an event. */
import { ascii } from '../cursor.js';
import type { EventRow } from '../row.js';

const HEX = ascii('0123456789abcdef');
const SPACE = ascii(' ');
const MINUS = ascii('-');

const digits = new Uint8Array(24);

export function addSpace(row: EventRow): void {
  if (row.textLength > 0) row.addAscii(SPACE, 0, 1);
}

/** Adds bytes that are ASCII. */
export function addBytes(row: EventRow, bytes: Uint8Array): void {
  row.addAscii(bytes, 0, bytes.length);
}

export function addHex(row: EventRow, low: number, high: number): void {
  let at = 24;
  let rest = low;
  if (high !== 0) {
    for (; at > 16; rest >>>= 4) digits[--at] = HEX[rest & 15] as number;
    rest = high;
  }
  do {
    digits[--at] = HEX[rest & 15] as number;
    rest >>>= 4;
  } while (rest !== 0);
  digits[--at] = 0x78;
  digits[--at] = 0x30;
  row.addAscii(digits, at, 24);
}

/** A whole number of 2^53 at the most, in magnitude. */
export function addDecimal(row: EventRow, value: number): void {
  if (value < 0) row.addAscii(MINUS, 0, 1);
  let rest = Math.abs(value);
  let at = 24;
  if (rest <= 0x7fff_ffff) {
    let small = rest | 0;
    do {
      const next = (small / 10) | 0;
      digits[--at] = 0x30 + (small - 10 * next);
      small = next;
    } while (small > 0);
    row.addAscii(digits, at, 24);
    return;
  }
  do {
    const next = Math.floor(rest / 10);
    digits[--at] = 0x30 + (rest - 10 * next);
    rest = next;
  } while (rest > 0);
  row.addAscii(digits, at, 24);
}
