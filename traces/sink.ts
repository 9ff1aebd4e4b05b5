/**
 * What a store does for the writer: it takes segments (new rows of one chunk) and makes them durable. `StoredChunk` is
 * what it remembers of each, and what a reader finds again.
 */
import { type ChunkBuffer, chunkOver, layoutOf } from './column.js';
import { chunkTags, type Tags, type TraceDigest } from './digest.js';
import type { TableName } from './schema.js';

/** Rows [from, to) of a chunk buffer are new; `before` is the position in the table of the buffer's first row. */
export interface Segment {
  readonly table: TableName;
  readonly buffer: ChunkBuffer;
  readonly before: number;
  readonly from: number;
  readonly to: number;
  /** The chunk ends here: it is full, or the trace ends. */
  readonly last: boolean;
}

/** A stored run of rows: its place in the file and the tags of its columns. */
export interface StoredChunk {
  readonly table: TableName;
  readonly first: number;
  readonly rows: number;
  /** Arrow: where the record batch lies in the table's file. SQLite: 0 and the bytes of the cells. */
  readonly offset: number;
  readonly length: number;
  readonly tags: Tags;
}

export interface Sink {
  /** Stores a segment and returns the buffer to fill next; the same one if the sink is done with it. */
  append(segment: Segment): ChunkBuffer;
  /** Waits until all that was appended is durable, and returns the logical digest so far. */
  settle(): string;
  /** Puts the store in order and closes it. Nothing is appended after it. */
  close(): void;
  /** Closes the store and removes it. */
  remove(): void;
}

/** The new rows of a segment with their tags; feeds the logical digest where a chunk ends. */
export function tagged(segment: Segment, digest: TraceDigest) {
  const { table, buffer, before, from, to, last } = segment;
  const layout = layoutOf(table);
  const chunk = chunkOver(layout, buffer, before + from, from, to);
  const tags = chunkTags(chunk);
  if (last) digest.add(table, to, from === 0 ? tags : chunkTags(chunkOver(layout, buffer, before, 0, to)));
  return { chunk, tags };
}
