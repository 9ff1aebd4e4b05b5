/**
 * What a trace store offers, whatever it is made of. Rows travel in columns: a ColumnBuffer is one chunk of one table,
 * and both stores read and write nothing else, so that digest, conversion and analysis are the same over both.
 */
import type { ColumnType, TableName } from './schema.js';

/** A cell as row-wise code sees it; u64 is unsigned bigint or, below 2^53, a number when written. */
export type Cell = number | bigint | string | Uint8Array | null;
export type Row = { readonly [column: string]: Cell };

/** One column of one chunk. Cells that are null hold zero, so that equal rows are equal bytes. */
export interface ColumnData {
  readonly name: string;
  readonly type: ColumnType;
  /** One byte a row, 1 where there is a value; absent where the column is not nullable. */
  readonly valid: Uint8Array | null;
  /** u8, u16, u32: the values. u64, i64: low and high words alternating. Otherwise null. */
  readonly numbers: Uint8Array | Uint16Array | Uint32Array | null;
  /** u64 and i64 once more, as 64-bit values over the same buffer. Otherwise null. */
  readonly big: BigUint64Array | null;
  /** text and bytes: one entry a row. Otherwise null. */
  readonly values: (Uint8Array | string | null)[] | null;
}

/** Rows of one table, in order. `first` is the position of row 0 in the table. */
export interface Chunk {
  readonly table: TableName;
  readonly first: number;
  readonly rows: number;
  column(name: string): ColumnData;
  /** One row as an object, for slow paths: u64 as bigint. */
  row(index: number): Row;
}

export interface TraceReader {
  readonly path: string;
  readonly kind: 'sqlite' | 'arrow';
  /** Keys of RUN_KEYS that the trace has. */
  run(key: string): string | null;
  image(): Uint8Array | null;
  /** True where the recorder closed the trace in order. */
  readonly complete: boolean;
  rows(table: TableName): number;
  /**
   * Chunks of a table in order, those alone that hold rows [from, to). `columns` limits what is read.
   * Each chunk's length and digest are checked as it is read; throws TraceError where they do not hold.
   */
  chunks(table: TableName, options?: { from?: number; to?: number; columns?: readonly string[] }): Iterable<Chunk>;
  /** Name of a code in a dictionary domain, or null. */
  name(domain: string, code: number | bigint): string | null;
  dictionary(domain: string): ReadonlyMap<bigint, { readonly name: string; readonly says: string | null }>;
  /** The logical digest (traces/digest.ts) over all rows in order: the same in both stores. Reads the whole trace. */
  digest(): string;
  /** Digest of a table's index (traces/digest.ts): another where any of its rows is. Reads no rows. */
  fingerprint(table: TableName): string;
  /**
   * What of its files is not as it was written though no row depends on it, in words: other readers of them may stumble
   * over it. Reads the whole trace, whose chunks are known to be good.
   */
  flaws(): string[];
  close(): void;
}

/**
 * The chunk that an appender is filling, for producers of millions of rows a second, who write cells in place: those of
 * column c begin at byte `place(c).values`, row after row. `end()` or `advance()` may replace it by the next chunk.
 */
export interface Slab {
  readonly bytes: Uint8Array;
  /** The same bytes as 32-bit words; all columns are aligned to 8 bytes. */
  readonly words: Uint32Array;
  /** One byte a column, to be set to 1 where a cell of it was written. */
  readonly touched: Uint8Array;
}

/** Where a column lies in the slab: bytes a cell (0: text or bytes), its cells, its validity bytes (-1: none). */
export interface ColumnPlace {
  readonly width: number;
  readonly values: number;
  readonly valid: number;
}

/** Fast appending to one table, column by column; a row is complete with `end()`. */
export interface Appender {
  readonly rows: number;
  readonly slab: Slab;
  /** Rows of the slab that are written, hence the index of the next, and rows that it has in all. */
  readonly filled: number;
  readonly capacity: number;
  place(column: number): ColumnPlace;
  /** Completes `count` rows whose cells were written in place; at most `capacity - filled`. */
  advance(count: number): void;
  /** Index of a column, to be looked up once. */
  index(column: string): number;
  number(column: number, value: number): void;
  /** A 64-bit cell from its two 32-bit halves. */
  words(column: number, low: number, high: number): void;
  big(column: number, value: bigint): void;
  text(column: number, value: string): void;
  /** The first `length` bytes of `value`; all of them without it. */
  bytes(column: number, value: Uint8Array, length?: number): void;
  end(): void;
  /** A whole row at once, for slow paths. Missing columns are null. */
  row(row: Row): void;
}

export interface FinishOptions {
  /** The run ended in order. */
  readonly complete?: boolean;
  /** It may take the place of the trace that it is to replace; without it, if it is complete. */
  readonly replaces?: boolean;
}

export interface TraceWriter {
  /** Where the trace is: once it is finished, another than was asked for where it did not replace the one there. */
  readonly path: string;
  setRun(key: string, value: string | Uint8Array): void;
  define(domain: string, code: number | bigint, name: string, says?: string): void;
  table(name: TableName): Appender;
  /** Makes everything appended so far that fills a chunk durable, and short tables (input, checkpoint) whole. */
  flush(): void;
  /** Writes the rest, the digest, and `complete` unless told that the run did not end in order. */
  finish(options?: FinishOptions): { readonly digest: string };
  /** Gives up the trace and removes what was written. */
  abandon(): void;
}
