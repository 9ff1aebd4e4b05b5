/** A look at the events of a trace while it is written: the same rows go to their trace, and numbers of them to whoever looks on. */
import { ColumnVector, cellsOver, emptyVector, type Layout, layoutOf, TableChunk, WIDTH } from '../../traces/column.js';
import type { TableName } from '../../traces/schema.js';
import type { Appender, Chunk, ColumnPlace, FinishOptions, Row, Slab, TraceWriter } from '../../traces/store.js';

type Take = (chunk: Chunk) => void;

/** Rows [from, to) of a slab as a chunk over the same memory, without its texts and bytes. */
function numbersOver(layout: Layout, { bytes }: Slab, first: number, from: number, to: number): TableChunk {
  const rows = to - from;
  const { buffer } = bytes;
  if (!(buffer instanceof ArrayBuffer)) throw new Error('a slab in shared memory');
  const vectors = layout.places.map(({ column, values, valid }) => {
    if (WIDTH[column.type] === 0 || column.type === 'text' || column.type === 'bytes') return emptyVector(column, rows);
    const cells = cellsOver(column.type, buffer, bytes.byteOffset + values + from * WIDTH[column.type], rows);
    const validity = valid < 0 ? null : new Uint8Array(buffer, bytes.byteOffset + valid + from, rows);
    return new ColumnVector(column, rows, cells, validity, null);
  });
  return new TableChunk(layout.table, first, rows, vectors);
}

/** An appender that shows rows before their chunk goes away. */
class Tap implements Appender {
  readonly #inner: Appender;
  readonly #layout: Layout;
  readonly #take: Take;
  /** Rows of the current chunk that were shown. */
  #shown = 0;

  constructor(inner: Appender, table: TableName, take: Take) {
    this.#inner = inner;
    this.#layout = layoutOf(table);
    this.#take = take;
  }

  get rows(): number {
    return this.#inner.rows;
  }

  get slab(): Slab {
    return this.#inner.slab;
  }

  get filled(): number {
    return this.#inner.filled;
  }

  get capacity(): number {
    return this.#inner.capacity;
  }

  place(column: number): ColumnPlace {
    return this.#inner.place(column);
  }

  index(column: string): number {
    return this.#inner.index(column);
  }

  number(column: number, value: number): void {
    this.#inner.number(column, value);
  }

  words(column: number, low: number, high: number): void {
    this.#inner.words(column, low, high);
  }

  big(column: number, value: bigint): void {
    this.#inner.big(column, value);
  }

  text(column: number, value: string): void {
    this.#inner.text(column, value);
  }

  bytes(column: number, value: Uint8Array, length?: number): void {
    this.#inner.bytes(column, value, length);
  }

  end(): void {
    if (this.#inner.filled + 1 === this.#inner.capacity) this.#last();
    this.#inner.end();
  }

  advance(count: number): void {
    if (this.#inner.filled + count === this.#inner.capacity) this.#last();
    this.#inner.advance(count);
  }

  /** Rows at once are for slow paths, which events of an import do not take. */
  row(_row: Row): never {
    throw new Error('only rows that are written cell by cell can be looked at');
  }

  /** Shows what is complete of the chunk that is being filled. */
  show(): void {
    this.#showTo(this.#inner.filled);
  }

  #last(): void {
    this.#showTo(this.#inner.capacity);
    this.#shown = 0;
  }

  #showTo(to: number): void {
    if (to <= this.#shown) return;
    const { slab, rows, filled } = this.#inner;
    this.#take(numbersOver(this.#layout, slab, rows - filled + this.#shown, this.#shown, to));
    this.#shown = to;
  }
}

/** A writer whose events are shown to `take` in order, each once; a chunk is valid during the call only. */
export class TapWriter implements TraceWriter {
  readonly #inner: TraceWriter;
  readonly #take: Take;
  readonly #replaces: () => boolean;
  #events: Tap | null = null;

  /** `replaces` says of a trace that lacks its end whether it may replace another all the same. */
  constructor(inner: TraceWriter, take: Take, replaces: () => boolean = () => false) {
    this.#inner = inner;
    this.#take = take;
    this.#replaces = replaces;
  }

  get path(): string {
    return this.#inner.path;
  }

  setRun(key: string, value: string | Uint8Array): void {
    this.#inner.setRun(key, value);
  }

  define(domain: string, code: number | bigint, name: string, says?: string): void {
    this.#inner.define(domain, code, name, says);
  }

  table(name: TableName): Appender {
    if (name !== 'event') return this.#inner.table(name);
    this.#events ??= new Tap(this.#inner.table(name), name, this.#take);
    return this.#events;
  }

  /** Shows the events that are complete and were not shown yet. */
  show(): void {
    this.#events?.show();
  }

  flush(): void {
    this.#inner.flush();
  }

  finish(options?: FinishOptions): { readonly digest: string } {
    this.show();
    return this.#inner.finish(this.#replaces() ? { ...options, replaces: true } : options);
  }

  abandon(): void {
    this.#inner.abandon();
  }
}
