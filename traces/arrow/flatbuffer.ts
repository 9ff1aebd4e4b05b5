/**
 * Flatbuffers (https://flatbuffers.dev/internals): a table begins with the distance to its vtable, which holds its own
 * size, that of the table, and where each field lies in it (0: nowhere). Offsets to tables, vectors and strings are from
 * where they stand, and only point forward. Bytes that are read are untrusted: a DataView throws a RangeError.
 */
import { Malformed } from './malformed.js';

/** Writes a vtable: sizes and places of fields. */
export function setVtable(view: DataView, at: number, ...entries: readonly number[]): void {
  entries.forEach((entry, i) => {
    view.setUint16(at + 2 * i, entry, true);
  });
}

export const point = (view: DataView, at: number, to: number): void => view.setUint32(at, to - at, true);

/** A string takes its length, its bytes, and a zero. */
export function setString(view: DataView, at: number, bytes: Uint8Array): void {
  view.setUint32(at, bytes.length, true);
  new Uint8Array(view.buffer, view.byteOffset + at + 4, bytes.length).set(bytes);
}

/** Offset of field `id` of the table at `table`, or null where it has none. */
export function field(view: DataView, table: number, id: number): number | null {
  const vtable = table - view.getInt32(table, true);
  const entry = 4 + 2 * id;
  const offset = entry < view.getUint16(vtable, true) ? view.getUint16(vtable + entry, true) : 0;
  return offset === 0 ? null : table + offset;
}

/** Where the offset that lies at `at` points. */
export const follow = (view: DataView, at: number): number => at + view.getUint32(at, true);

export function stringAt(view: DataView, at: number): Uint8Array {
  const length = view.getUint32(at, true);
  if (at + 4 + length > view.byteLength) throw new Malformed('a string ends behind the metadata');
  return new Uint8Array(view.buffer, view.byteOffset + at + 4, length);
}
