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
  /**
   * Gives a trace a name where nothing is. Throws EEXIST, ENOTEMPTY or ENOTDIR where something is by then. What the old
   * name has afterwards, if anything, is free to be removed.
   */
  place(path: string, target: string): void;
  /** The files that hold its rows, whether or not they are there. */
  files(path: string): readonly string[];
  /** Ends of the names of files that SQLite keeps beside its own. */
  readonly beside: readonly string[];
  /** Shows others that a trace is being written, as far as the open files themselves do not, until released. */
  hold(path: string): { release(): void };
  /** Whether somebody is still writing the trace at a path; false where that cannot be told. */
  isWritten(path: string): boolean;
  /** Why a file or a folder that looks like a trace of this store may not be removed; null where it is one, damaged or not. */
  refusal(path: string): string | null;
}

export interface Sink {
  /** Takes a segment and returns the buffer to fill next; the same one if the sink is done with it. */
  append(segment: Segment): ChunkBuffer;
  /** Waits until all that was appended is written, and returns the logical digest so far. */
  settle(): string;
  /** Closes the store, `end`: as a trace that nothing is added to. Nothing is appended after it. */
  close(end: boolean): void;
}
