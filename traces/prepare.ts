/** Segments made ready: which rows are new, and the tags of the chunk that they end. */
import { chunkOver, layoutOf, type TableChunk } from './column.js';
import { chunkTags, type Tags } from './digest.js';
import type { Prepared, Segment } from './sink.js';

/** The new rows of a segment; there may be none where it only ends a chunk. */
export const newRows = ({ table, buffer, before, from, to }: Segment): TableChunk =>
  chunkOver(layoutOf(table), buffer, before + from, from, to);

const NO_TAGS: Tags = new Map();

/** `encode` answers the message and the tags of rows that are stored together. */
export function prepareSegment(
  segment: Segment,
  encode: (chunk: TableChunk) => { readonly message: Uint8Array | null; readonly tags: Tags },
): Prepared {
  const { table, buffer, before, from, to, last } = segment;
  const chunk = newRows(segment);
  const { message, tags } = chunk.rows === 0 ? { message: null, tags: NO_TAGS } : encode(chunk);
  const whole = from === 0 || !last ? tags : chunkTags(chunkOver(layoutOf(table), buffer, before, 0, to));
  const ended = last ? { rows: to, tags: whole } : null;
  return { table, first: chunk.first, rows: chunk.rows, tags, ended, message };
}
