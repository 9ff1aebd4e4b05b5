/**
 * A record batch carries the description of its chunk, so that a stream can be read without the manifest. Arrow has a
 * place for it: custom metadata of the message, pairs of key and value. The one pair stands at the end of the metadata,
 * so that all that comes before the value is the same for every batch of a table.
 */
import { field, follow, point, setString, setVtable, stringAt } from './flatbuffer.js';

const KEY = Buffer.from('trapline.chunk');
/** Where the parts of the vector lie, from its begin. */
const LAID = { vtable: 8, pair: 16, key: 28, value: 48 } as const;
const text = new TextDecoder('utf-8', { fatal: true });

/** Bytes that the vector takes before the value. */
export const BEFORE_VALUE = LAID.value;

/** The vector of custom metadata up to its value, at an offset that is aligned to 8 bytes. */
export function beginDescription(view: DataView, at: number): void {
  view.setUint32(at, 1, true);
  point(view, at + 4, at + LAID.pair);
  setVtable(view, at + LAID.vtable, 8, 12, 4, 8); // key, value
  view.setInt32(at + LAID.pair, LAID.pair - LAID.vtable, true);
  point(view, at + LAID.pair + 4, at + LAID.key);
  point(view, at + LAID.pair + 8, at + LAID.value);
  setString(view, at + LAID.key, KEY);
}

/** Bytes of a value with what belongs to it, padded to 8. */
export const valueLength = (description: Uint8Array): number => (4 + description.length + 1 + 7) & ~7;

/**
 * The value of the pair in a vector of custom metadata; null where it is another one.
 * @throws RangeError where the vector is none
 */
export function descriptionAt(metadata: DataView, vector: number): string | null {
  if (metadata.getUint32(vector, true) !== 1) return null;
  const pair = follow(metadata, vector + 4);
  const [key, value] = [field(metadata, pair, 0), field(metadata, pair, 1)];
  if (key === null || value === null) return null;
  if (Buffer.compare(stringAt(metadata, follow(metadata, key)), KEY) !== 0) return null;
  try {
    return text.decode(stringAt(metadata, follow(metadata, value)));
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
