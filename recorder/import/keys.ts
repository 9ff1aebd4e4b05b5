/** Finding the keys of an event in what is printed of it. */
import { type Cursor, isBlank, isWord } from './cursor.js';
import { ARCHITECTURE, type Key } from './events.js';
import { type EventRow, FIELD } from './row.js';

const EQUALS = 0x3d;
const COLON = 0x3a;

/** Index of the key at the cursor if it is the expected one or one of the two behind it, which is then skipped; else -1. */
export function nextKey(keys: readonly Key[], expected: number, cursor: Cursor): number {
  const { bytes, at, end } = cursor;
  for (let i = expected; i < keys.length && i < expected + 3; i++) {
    const { name } = keys[i] as Key;
    const to = at + name.length;
    if (to > end || (to < end && isWord(bytes[to] as number) && isWord(name[name.length - 1] as number))) continue;
    let same = 0;
    while (same < name.length && bytes[at + same] === name[same]) same += 1;
    if (same < name.length) continue;
    cursor.at = to;
    return i;
  }
  return -1;
}

/** Index of a key by its bytes, or -1. */
export function findKey(keys: readonly Key[], bytes: Uint8Array, start: number, end: number): number {
  for (let k = 0; k < keys.length; k++) {
    const { name } = keys[k] as Key;
    if (name.length !== end - start) continue;
    let same = 0;
    while (same < name.length && bytes[start + same] === name[same]) same += 1;
    if (same === name.length) return k;
  }
  return -1;
}

/** Fills what a key itself says. */
export function imply({ implies }: Key, row: EventRow): void {
  for (const { field, value } of implies) {
    if (field === ARCHITECTURE) row.isa = value;
    else if (field === FIELD.flags) row.flag(value);
    else row.put(field, value, 0);
  }
}

/** Skips blanks, and the signs between a name and its value. */
export function skipAssignment(cursor: Cursor): void {
  const { bytes, end } = cursor;
  let i = cursor.at;
  while (i < end && (isBlank(bytes[i] as number) || bytes[i] === COLON || bytes[i] === EQUALS)) i += 1;
  cursor.at = i;
}
