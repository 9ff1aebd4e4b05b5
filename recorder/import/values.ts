/** Reads the value behind a key, however the kernel prints it: as a number, by its name, by the names of its bits. */
import type { Cursor, NameTable } from './cursor.js';
import type { Key } from './events.js';

const BAR = 0x7c;

/** A value in its style: the number it stands for is that of the cursor. */
export function readNumber({ style, codes }: Key, cursor: Cursor): boolean {
  if (style === 'hex') return cursor.hex();
  if (style === 'decimal') return cursor.integer();
  if (style === 'bits') return readBits(codes, cursor);
  return readName(codes, cursor) || cursor.hex();
}

function readName(codes: NameTable<number> | null, cursor: Cursor): boolean {
  const end = cursor.wordEnd();
  const code = codes?.get(cursor.bytes, cursor.at, end);
  if (code === undefined) return false;
  cursor.low = code | 0;
  cursor.high = 0;
  cursor.at = end;
  return true;
}

/** `P|W|0x100`: names of bits, then what has no name in hexadecimal; nothing at all where no bit is set. */
function readBits(codes: NameTable<number> | null, cursor: Cursor): boolean {
  let low = 0;
  let high = 0;
  while (readName(codes, cursor) || cursor.hex()) {
    low |= cursor.low;
    high |= cursor.high;
    if (cursor.peek() !== BAR) break;
    cursor.at += 1;
  }
  cursor.low = low;
  cursor.high = high;
  return true;
}
