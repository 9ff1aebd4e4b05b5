/** The one way into a table: cells go straight into the slab of the chunk that is being filled. */
import {
  type ChunkBuffer,
  clearChunkBuffer,
  isVariable,
  type Layout,
  layoutOf,
  newChunkBuffer,
  WIDTH,
} from './column.js';
import { TraceError } from './errors.js';
import type { ColumnType, TableName } from './schema.js';
import type { Appender, Cell, ColumnPlace, Row, Slab } from './store.js';

const LIMIT: { readonly [type in ColumnType]?: number } = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff };
const HALF = 0x1_0000_0000;
/** Up to so many bytes a loop is faster than a call, and allocates nothing. */
const FEW = 256;
const encoder = new TextEncoder();

/**
 * Takes what the appender has filled: rows [from, to) of its buffer are new; `whole` says that the chunk is full and
 * that the buffer will not be written again. Returns the buffer to go on with.
 */
export type Drain = (appender: TableAppender, buffer: ChunkBuffer, from: number, to: number) => ChunkBuffer;

const slabOf = ({ slab, touched }: ChunkBuffer): Slab => ({
  bytes: new Uint8Array(slab),
  words: new Uint32Array(slab),
  touched,
});

export class TableAppender implements Appender {
  readonly table: TableName;
  readonly layout: Layout;
  readonly #drain: Drain;
  readonly #index: ReadonlyMap<string, number>;
  /** Per column: byte width, offset of its cells in the slab, offset of its validity bytes or -1. */
  readonly #width: Int32Array;
  readonly #values: Int32Array;
  readonly #valid: Int32Array;
  readonly #variable: readonly number[];
  #buffer: ChunkBuffer;
  #slab: Slab;
  #words: Uint32Array;
  #bytes: Uint8Array;
  #touched: Uint8Array;
  /** Rows of the table before this chunk; rows in this chunk; those of them that were drained. */
  #before = 0;
  #row = 0;
  #drained = 0;

  constructor(table: TableName, drain: Drain) {
    this.table = table;
    this.layout = layoutOf(table);
    this.#drain = drain;
    const { places } = this.layout;
    this.#index = new Map(places.map(({ column }, i) => [column.name, i]));
    this.#width = Int32Array.from(places, ({ column }) => (isVariable(column.type) ? 0 : WIDTH[column.type]));
    this.#values = Int32Array.from(places, ({ values }) => values);
    this.#valid = Int32Array.from(places, ({ valid }) => valid);
    this.#variable = places.flatMap(({ column }, i) => (isVariable(column.type) ? [i] : []));
    this.#buffer = newChunkBuffer(this.layout);
    this.#slab = slabOf(this.#buffer);
    this.#words = this.#slab.words;
    this.#bytes = this.#slab.bytes;
    this.#touched = this.#slab.touched;
  }

  get slab(): Slab {
    return this.#slab;
  }

  get filled(): number {
    return this.#row;
  }

  get capacity(): number {
    return this.layout.rows;
  }

  place(column: number): ColumnPlace {
    const place = this.layout.places[column];
    if (place === undefined) throw new TraceError('TRACE_COLUMN', this.table, String(column));
    return { width: this.#width[column] as number, values: place.values, valid: place.valid };
  }

  get rows(): number {
    return this.#before + this.#row;
  }

  index(column: string): number {
    const index = this.#index.get(column);
    if (index === undefined) throw new TraceError('TRACE_COLUMN', this.table, column);
    return index;
  }

  number(column: number, value: number): void {
    this.words(column, value, value / HALF < 0 ? Math.floor(value / HALF) : value / HALF);
  }

  words(column: number, low: number, high: number): void {
    const width = this.#width[column] as number;
    const at = (this.#values[column] as number) + this.#row * width;
    if (width === 8) {
      this.#words[at >>> 2] = low;
      this.#words[(at >>> 2) + 1] = high;
    } else if (width === 1) this.#bytes[at] = low;
    else if (width === 4) this.#words[at >>> 2] = low;
    else if (width === 2) this.#half(at, low);
    else throw new TraceError('TRACE_VALUE', this.table, this.#name(column), 'a number in a column of bytes');
    this.#mark(column);
  }

  big(column: number, value: bigint): void {
    this.words(column, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  }

  text(column: number, value: string): void {
    this.bytes(column, encoder.encode(value));
  }

  bytes(column: number, value: Uint8Array, length = value.length): void {
    if (this.#width[column] !== 0) {
      throw new TraceError('TRACE_VALUE', this.table, this.#name(column), 'bytes in a column of numbers');
    }
    const offset = ((this.#values[column] as number) >>> 2) + this.#row;
    const start = this.#words[offset] as number;
    const end = start + length;
    let arena = this.#buffer.arenas[column] as Uint8Array;
    if (end > arena.length) arena = this.#grow(column, arena, end);
    if (length > FEW) arena.set(length === value.length ? value : value.subarray(0, length), start);
    else for (let i = 0; i < length; i++) arena[start + i] = value[i] as number;
    this.#words[offset + 1] = end;
    this.#mark(column);
  }

  end(): void {
    for (const column of this.#variable) {
      if (this.#touched[column] === 0) continue;
      const offset = ((this.#values[column] as number) >>> 2) + this.#row;
      if ((this.#words[offset + 1] as number) < (this.#words[offset] as number)) {
        this.#words[offset + 1] = this.#words[offset] as number;
      }
    }
    this.#row++;
    if (this.#row === this.layout.rows) this.drain();
  }

  advance(count: number): void {
    if (count < 0 || this.#row + count > this.layout.rows) throw new RangeError(`${count} rows do not fit the chunk`);
    for (const column of this.#variable) {
      if (this.#touched[column] === 0) continue;
      const first = ((this.#values[column] as number) >>> 2) + this.#row;
      this.#words.fill(this.#words[first] as number, first, first + count + 1);
    }
    this.#row += count;
    if (this.#row === this.layout.rows) this.drain();
  }

  row(row: Row): void {
    for (const name of Object.keys(row)) this.index(name);
    try {
      this.layout.places.forEach(({ column }, i) => {
        const value = row[column.name] ?? null;
        if (value !== null) this.#cell(i, column.type, value);
        else if (!column.nullable) throw new TraceError('TRACE_VALUE', this.table, column.name, 'it must have a value');
      });
    } catch (error) {
      this.#forget();
      throw error;
    }
    this.end();
  }

  /** Takes back the cells of a row that did not come to its end. */
  #forget(): void {
    const row = this.#row;
    for (const { column, values, valid } of this.layout.places) {
      const width = WIDTH[column.type];
      const at = values + width * (isVariable(column.type) ? row + 1 : row);
      this.#bytes.fill(0, at, at + width);
      if (valid >= 0) this.#bytes[valid + row] = 0;
    }
  }

  /** Hands rows that are not yet drained to the store; a full chunk makes room for the next. */
  drain(): void {
    if (this.#row > this.#drained) this.#hand();
  }

  /** Hands over the last chunk, even if all its rows were drained before, so that the store knows where it ends. */
  close(): void {
    if (this.#row > 0) this.#hand();
  }

  #hand(): void {
    const from = this.#drained;
    const full = this.#row === this.layout.rows;
    this.#drained = this.#row;
    const next = this.#drain(this, this.#buffer, from, this.#row);
    if (!full) return;
    if (next === this.#buffer) clearChunkBuffer(this.layout, next, this.#row);
    this.#buffer = next;
    this.#slab = slabOf(next);
    this.#words = this.#slab.words;
    this.#bytes = this.#slab.bytes;
    this.#touched = this.#slab.touched;
    this.#before += this.#row;
    this.#row = 0;
    this.#drained = 0;
  }

  /** Position in the table of the first row of the chunk that is being filled. */
  get before(): number {
    return this.#before;
  }

  #half(at: number, value: number): void {
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
  }

  #mark(column: number): void {
    this.#touched[column] = 1;
    const valid = this.#valid[column] as number;
    if (valid >= 0) this.#bytes[valid + this.#row] = 1;
  }

  #grow(column: number, arena: Uint8Array, needed: number): Uint8Array {
    if (needed > 0x7fff_ffff) throw new TraceError('TRACE_VALUE', this.table, this.#name(column), 'over 2 GiB a chunk');
    const grown = new Uint8Array(Math.max(needed, 2 * arena.length));
    grown.set(arena);
    this.#buffer.arenas[column] = grown;
    return grown;
  }

  #cell(index: number, type: ColumnType, value: Exclude<Cell, null>): void {
    if (type === 'text' && typeof value === 'string') this.text(index, value);
    else if (type === 'bytes' && value instanceof Uint8Array) this.bytes(index, value);
    else if (isVariable(type) || typeof value === 'string' || value instanceof Uint8Array) this.#refuse(index, value);
    else if (typeof value === 'bigint') this.#whole(index, type, value);
    else if (Number.isSafeInteger(value)) this.#whole(index, type, BigInt(value));
    else this.#refuse(index, value);
  }

  #whole(index: number, type: ColumnType, value: bigint): void {
    const limit = LIMIT[type];
    const fits =
      type === 'i64'
        ? BigInt.asIntN(64, value) === value
        : value >= 0n && (limit === undefined ? BigInt.asUintN(64, value) === value : value <= BigInt(limit));
    if (!fits) this.#refuse(index, value);
    this.big(index, value);
  }

  #refuse(index: number, value: Exclude<Cell, null>): never {
    const said = typeof value === 'object' ? 'bytes' : String(value).slice(0, 40);
    throw new TraceError('TRACE_VALUE', this.table, this.#name(index), `${said} is no ${this.#type(index)}`);
  }

  #name(index: number): string {
    return this.layout.places[index]?.column.name ?? String(index);
  }

  #type(index: number): string {
    return this.layout.places[index]?.column.type ?? 'column';
  }
}
