/**
 * What a store does for the writer: it takes segments (new rows of one chunk) and makes them durable. `StoredChunk` is
 * what it remembers of each, and what a reader finds again.
 */
import type { ChunkBuffer } from './column.js';
import type { Tags } from './digest.js';
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

/** A segment made ready to be written, which any thread can do, and what the logical digest has to know of it. */
export interface Prepared {
  readonly table: TableName;
  readonly first: number;
  readonly rows: number;
  readonly tags: Tags;
  /** Where a chunk ends: its rows and tags. */
  readonly ended: { readonly rows: number; readonly tags: Tags } | null;
  /** Arrow: the record batch message. SQLite: nothing, its rows are written from the segment. */
  readonly message: Uint8Array | null;
}

/** The files of a trace that is being written, on whichever thread they are open. */
export interface Backend {
  prepare(segment: Segment): Prepared;
  /**
   * Writes rows; `segment` may be absent only where `message` is there.
   * @throws TraceError where the files cannot grow
   */
  write(prepared: Prepared, segment: Segment | null): void;
  /** Closes the files, `end`: as a trace that nothing is added to. */
  close(end: boolean): void;
}

/** A kind of store. */
export interface Store {
  readonly name: 'sqlite' | 'arrow';
  /** Begins an empty trace at a path where nothing is. */
  begin(path: string): void;
  /** Opens a trace that was begun, to add rows to it. */
  append(path: string): Backend;
  remove(path: string): void;
}

export interface Sink {
  /** Takes a segment and returns the buffer to fill next; the same one if the sink is done with it. */
  append(segment: Segment): ChunkBuffer;
  /** Waits until all that was appended is written, and returns the logical digest so far. */
  settle(): string;
  /** Puts the store in order and closes it. Nothing is appended after it. */
  close(): void;
  /** Closes the store and removes it. */
  remove(): void;
}
