/**
 * Columns of one chunk in memory. The fixed-width cells of a chunk lie in one ArrayBuffer (its slab), so that a chunk
 * can be handed to another thread as a whole; text and bytes lie in an arena beside it, with 32-bit offsets.
 */
import { TraceError } from './errors.js';
import { CHUNK_ROWS, type Column, type ColumnType, TABLES, type TableName } from './schema.js';
import type { Cell, Chunk, ColumnData, Row } from './store.js';

/** Bytes of a cell; text and bytes have a 32-bit offset into their arena. */
export const WIDTH: { readonly [type in ColumnType]: number } = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  i64: 8,
  text: 4,
  bytes: 4,
};

export const isVariable = (type: ColumnType): boolean => type === 'text' || type === 'bytes';
export const isWide = (type: ColumnType): boolean => type === 'u64' || type === 'i64';

/** Rows of a full chunk of a table. */
export const chunkRows = (table: TableName): number =>
  table === 'event' || table === 'register' || table === 'memory' ? CHUNK_ROWS[table] : CHUNK_ROWS.other;

/** Where a column lies in the slab of a table's chunks. */
export interface Place {
  readonly column: Column;
  readonly values: number;
  /** Offset of the validity bytes, or -1. */
  readonly valid: number;
}
export interface Layout {
  readonly table: TableName;
  readonly rows: number;
  readonly places: readonly Place[];
  readonly bytes: number;
}

const align = (offset: number): number => (offset + 7) & ~7;
/** Columns a power of two apart would all fall into the same few sets of the cache, and a row writes to all of them. */
const STAGGER = 320;

function layOut(table: TableName): Layout {
  const rows = chunkRows(table);
  let bytes = 0;
  const take = (length: number): number => {
    const at = bytes;
    bytes = align(bytes + length) + STAGGER;
    return at;
  };
  const places = TABLES[table].columns.map((column) => ({
    column,
    values: take(WIDTH[column.type] * (isVariable(column.type) ? rows + 1 : rows)),
    valid: column.nullable ? take(rows) : -1,
  }));
  return { table, rows, places, bytes };
}

const layouts = new Map<TableName, Layout>();
export function layoutOf(table: TableName): Layout {
  let layout = layouts.get(table);
  if (layout === undefined) {
    layout = layOut(table);
    layouts.set(table, layout);
  }
  return layout;
}

/** Storage of one chunk. `touched` has a 1 for each column that got a value. */
export interface ChunkBuffer {
  readonly slab: ArrayBuffer | SharedArrayBuffer;
  readonly arenas: (Uint8Array | null)[];
  readonly touched: Uint8Array;
}

const ARENA_START = 4096;

export function newChunkBuffer(layout: Layout): ChunkBuffer {
  return {
    slab: new ArrayBuffer(layout.bytes),
    arenas: layout.places.map(({ column }) => (isVariable(column.type) ? new Uint8Array(ARENA_START) : null)),
    touched: new Uint8Array(layout.places.length),
  };
}

const shared = (length: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(length));

/** One that several threads see. */
export function newSharedBuffer(layout: Layout): ChunkBuffer {
  return {
    slab: new SharedArrayBuffer(layout.bytes),
    arenas: layout.places.map(({ column }) => (isVariable(column.type) ? shared(ARENA_START) : null)),
    touched: shared(layout.places.length),
  };
}

/** Makes a buffer as good as new for rows that were written below `rows`. */
export function clearChunkBuffer(layout: Layout, buffer: ChunkBuffer, rows: number): void {
  const slab = new Uint8Array(buffer.slab);
  layout.places.forEach(({ column, values, valid }, i) => {
    if (buffer.touched[i] === 0) return;
    const cells = isVariable(column.type) ? rows + 1 : rows;
    slab.fill(0, values, values + cells * WIDTH[column.type]);
    if (valid >= 0) slab.fill(0, valid, valid + rows);
  });
  buffer.touched.fill(0);
}

const roomIn = ({ slab }: ChunkBuffer, length: number): Uint8Array =>
  slab instanceof SharedArrayBuffer ? shared(length) : new Uint8Array(length);

/**
 * Copies the first `rows` rows of a chunk into another buffer of the same layout, whatever that held before. Only
 * columns that have values are copied.
 */
export function copyChunkBuffer(layout: Layout, from: ChunkBuffer, to: ChunkBuffer, rows: number): void {
  const source = new Uint8Array(from.slab);
  const target = new Uint8Array(to.slab);
  layout.places.forEach(({ column, values, valid }, i) => {
    if (from.touched[i] === 0 && to.touched[i] === 0) return;
    const cells = isVariable(column.type) ? rows + 1 : rows;
    target.set(source.subarray(values, values + cells * WIDTH[column.type]), values);
    if (valid >= 0) target.set(source.subarray(valid, valid + rows), valid);
    const arena = from.arenas[i] ?? null;
    if (arena === null) return;
    const used = new Uint32Array(from.slab, values, rows + 1)[rows] ?? 0;
    if ((to.arenas[i]?.length ?? 0) < used) to.arenas[i] = roomIn(to, arena.length);
    to.arenas[i]?.set(arena.subarray(0, used));
  });
  to.touched.set(from.touched);
}

const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

/** One column of one chunk; see ColumnData. Text is UTF-8 in `data`, and decoded where it is asked for. */
export class ColumnVector implements ColumnData {
  readonly name: string;
  readonly type: ColumnType;
  readonly rows: number;
  readonly valid: Uint8Array | null;
  readonly numbers: Uint8Array | Uint16Array | Uint32Array | null;
  readonly big: BigUint64Array | null;
  /** Text and bytes: row i is data[offsets[i], offsets[i + 1]), offsets[0] is 0. */
  readonly offsets: Uint32Array | null;
  readonly data: Uint8Array | null;
  #values: (Uint8Array | string | null)[] | null = null;

  constructor(
    column: Column,
    rows: number,
    cells: Uint8Array | Uint16Array | Uint32Array,
    valid: Uint8Array | null,
    data: Uint8Array | null,
  ) {
    this.name = column.name;
    this.type = column.type;
    this.rows = rows;
    this.valid = valid;
    this.data = data;
    this.offsets = data !== null && cells instanceof Uint32Array ? cells : null;
    this.numbers = data === null ? cells : null;
    this.big = isWide(column.type) ? new BigUint64Array(cells.buffer, cells.byteOffset, rows) : null;
  }

  get values(): (Uint8Array | string | null)[] | null {
    if (this.offsets === null) return null;
    if (this.#values === null) {
      this.#values = [];
      for (let i = 0; i < this.rows; i++) this.#values.push(this.#value(i));
    }
    return this.#values;
  }

  /** Text and bytes: the bytes of a row, null where it has none. */
  bytesAt(i: number): Uint8Array | null {
    if (this.offsets === null || this.data === null || (this.valid !== null && this.valid[i] === 0)) return null;
    return this.data.subarray(this.offsets[i], this.offsets[i + 1]);
  }

  #value(i: number): Uint8Array | string | null {
    const bytes = this.bytesAt(i);
    return bytes !== null && this.type === 'text' ? decoder.decode(bytes) : bytes;
  }

  /** True where no row has a value. */
  get empty(): boolean {
    return this.valid !== null && Buffer.from(this.valid.buffer, this.valid.byteOffset, this.rows).indexOf(1) < 0;
  }

  cell(i: number): Cell {
    if (this.valid !== null && this.valid[i] === 0) return null;
    if (this.offsets !== null) return this.#value(i);
    if (this.big === null) return this.numbers?.[i] ?? null;
    const value = this.big[i] ?? 0n;
    return this.type === 'i64' ? BigInt.asIntN(64, value) : value;
  }
}

/** Cells of a fixed-width column as an array of its type over `buffer`. */
export function cellsOver(
  type: ColumnType,
  buffer: ArrayBuffer | SharedArrayBuffer,
  offset: number,
  rows: number,
): Uint8Array | Uint16Array | Uint32Array {
  if (type === 'u8') return new Uint8Array(buffer, offset, rows);
  if (type === 'u16') return new Uint16Array(buffer, offset, rows);
  if (isVariable(type)) return new Uint32Array(buffer, offset, rows + 1);
  return new Uint32Array(buffer, offset, isWide(type) ? 2 * rows : rows);
}

/** A column without any value. */
export function emptyVector(column: Column, rows: number): ColumnVector {
  const width = isVariable(column.type) ? 4 * (rows + 1) : WIDTH[column.type] * rows;
  const cells = cellsOver(column.type, new ArrayBuffer(width), 0, rows);
  const data = isVariable(column.type) ? new Uint8Array(0) : null;
  return new ColumnVector(column, rows, cells, column.nullable ? new Uint8Array(rows) : null, data);
}

/** Rows of one table, in columns. */
export class TableChunk implements Chunk {
  readonly table: TableName;
  readonly first: number;
  readonly rows: number;
  readonly columns: ReadonlyMap<string, ColumnVector>;

  constructor(table: TableName, first: number, rows: number, columns: readonly ColumnVector[]) {
    this.table = table;
    this.first = first;
    this.rows = rows;
    this.columns = new Map(columns.map((column) => [column.name, column]));
  }

  column(name: string): ColumnVector {
    const column = this.columns.get(name);
    if (column === undefined) throw new TraceError('TRACE_COLUMN', this.table, name);
    return column;
  }

  row(index: number): Row {
    const row: { [column: string]: Cell } = {};
    for (const [name, column] of this.columns) row[name] = column.cell(index);
    return row;
  }
}

/** Rows [from, to) of a buffer as a chunk whose first row has position `first` in its table. Nothing is copied. */
export function chunkOver(layout: Layout, buffer: ChunkBuffer, first: number, from: number, to: number): TableChunk {
  const rows = to - from;
  const vectors = layout.places.map(({ column, values, valid }, i) => {
    const cells = cellsOver(column.type, buffer.slab, values + from * WIDTH[column.type], rows);
    const validity = valid < 0 ? null : new Uint8Array(buffer.slab, valid + from, rows);
    const arena = buffer.arenas[i] ?? null;
    if (arena === null) return new ColumnVector(column, rows, cells, validity, null);
    const start = cells[0] ?? 0;
    const offsets = start === 0 ? cells : cells.map((offset) => offset - start);
    return new ColumnVector(column, rows, offsets, validity, arena.subarray(start, start + (offsets[rows] ?? 0)));
  });
  return new TableChunk(layout.table, first, rows, vectors);
}
