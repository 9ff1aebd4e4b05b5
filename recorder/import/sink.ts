/** Where events go: into the slab of the event table in place, or one by one to who takes them. */
import { EVENT_FIELDS } from '../../engine/observer.js';
import type { Appender, Slab } from '../../traces/store.js';
import type { EventRow } from './row.js';

/** Repairs what is no UTF-8: a column of text must be. */
const repair = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

/** Where the cells of a column lie: in words or, of one byte, in bytes of the slab; its validity bytes or -1. */
export interface Cells {
  readonly column: number;
  readonly width: number;
  readonly first: number;
  readonly valid: number;
}

/** Takes events as they come, where no table of them is wanted. */
export interface EventTaker {
  /** False where it wants nothing of an event of this kind of this lane now: it may be left out (ImportOptions.kinds). */
  wants(kind: number, lane: number): boolean;
  /** `event` is valid during the call only. */
  event(seq: number, event: EventRow): void;
}

/** Where an importer's events go. */
export interface EventSink {
  /** The chunk that is being filled, and the index in it of the row to be written next. */
  readonly slab: Slab;
  readonly row: number;
  /**
   * Where a field's cells lie, for who writes them in place before `write` ends the row; `row` where it goes into the row
   * as any other, null where nobody wants it.
   */
  cells(field: number): Cells | 'row' | null;
  /** Ends the row. */
  write(seq: number, row: EventRow): void;
}

const NOTHING: Slab = { words: new Uint32Array(0), bytes: new Uint8Array(0), touched: new Uint8Array(0) };

/** Hands rows on. */
export class RowSink implements EventSink {
  readonly #taker: EventTaker;
  readonly #wanted: (field: string) => boolean;
  readonly slab = NOTHING;
  readonly row = 0;

  /** `columns` limits which fields are decoded. */
  constructor(taker: EventTaker, columns: readonly string[] | null) {
    this.#taker = taker;
    this.#wanted = (field) => columns === null || columns.includes(field);
  }

  cells(field: number): 'row' | null {
    return this.#wanted(EVENT_FIELDS[field] as string) ? 'row' : null;
  }

  write(seq: number, row: EventRow): void {
    this.#taker.event(seq, row);
  }
}

/** Writes rows into the event table; the columns are looked up once. */
export class TableSink implements EventSink {
  readonly #table: Appender;
  /** By field of EVENT_FIELDS, `#cells` in lines of four: column, width, first, valid. */
  readonly #fields: Int32Array;
  /** Fields of EVENT_FIELDS that are wanted. */
  readonly #wanted: number;
  readonly #seq: Cells;
  readonly #vcpu: Cells;
  readonly #kind: Cells;
  readonly #time: Cells;
  readonly #tracepoint: Cells;
  readonly #tick: Cells;
  readonly #isa: Cells;
  readonly #from: Cells;
  readonly #to: Cells;
  readonly #wantsSeq: boolean;
  readonly #wantsTo: boolean;
  readonly #wantsTracepoint: boolean;
  readonly #bytes: number;
  readonly #text: number;
  /** The chunk of the last row, and the fields that its rows have. */
  #chunk: Slab = NOTHING;
  #touched = 0;

  /** `columns` limits which columns are filled; vcpu, kind, isa, time or tick, and from_level always are. */
  constructor(table: Appender, columns: readonly string[] | null = null) {
    this.#table = table;
    const wants = (name: string): boolean => columns === null || columns.includes(name);
    const cells = (name: string): Cells => cellsOf(table, name);
    this.#fields = Int32Array.from(
      EVENT_FIELDS.map(cells).flatMap(({ column, width, first, valid }) => [column, width, first, valid]),
    );
    this.#wanted = EVENT_FIELDS.reduce((mask, name, i) => (wants(name) ? mask | (1 << i) : mask), 0);
    this.#seq = cells('seq');
    this.#vcpu = cells('vcpu');
    this.#kind = cells('kind');
    this.#time = cells('time_ns');
    this.#tracepoint = cells('tracepoint');
    this.#tick = cells('tick');
    this.#isa = cells('isa');
    this.#from = cells('from_level');
    this.#to = cells('to_level');
    this.#wantsSeq = wants('seq');
    this.#wantsTo = wants('to_level');
    this.#wantsTracepoint = wants('tracepoint');
    this.#bytes = wants('bytes') ? table.index('bytes') : -1;
    this.#text = wants('text') ? table.index('text') : -1;
  }

  get slab(): Slab {
    return this.#table.slab;
  }

  get row(): number {
    return this.#table.filled;
  }

  cells(field: number): Cells | null {
    return (this.#wanted & (1 << field)) === 0 ? null : cellsOf(this.#table, EVENT_FIELDS[field] as string);
  }

  write(seq: number, row: EventRow): void {
    const table = this.#table;
    const { slab, filled } = table;
    if (slab !== this.#chunk) this.#begin(slab);
    const { words, bytes } = slab;
    if (this.#wantsSeq) {
      words[this.#seq.first + 2 * filled] = seq;
      if (seq > 0xffff_ffff) words[this.#seq.first + 2 * filled + 1] = Math.floor(seq / 0x1_0000_0000);
    }
    words[this.#vcpu.first + filled] = row.vcpu;
    bytes[this.#kind.first + filled] = row.kind;
    if (row.hasTime) put64(slab, this.#time, filled, row.timeLow, row.timeHigh);
    else if (row.hasTick) put64(slab, this.#tick, filled, row.timeLow, row.timeHigh);
    if (row.tracepoint >= 0 && this.#wantsTracepoint) put32(slab, this.#tracepoint, filled, row.tracepoint);
    if (row.isa !== 0) put8(slab, this.#isa, filled, row.isa);
    if (row.fromLevel !== 255) put8(slab, this.#from, filled, row.fromLevel);
    if (row.toLevel !== 255 && this.#wantsTo) put8(slab, this.#to, filled, row.toLevel);
    const wanted = row.mask & this.#wanted;
    if ((wanted & ~this.#touched) !== 0) this.#touch(slab, wanted & ~this.#touched);
    if (wanted !== 0) this.#put(slab, filled, wanted, row.words);
    if (row.byteCount > 0 && this.#bytes >= 0) table.bytes(this.#bytes, row.bytes, row.byteCount);
    if (row.textLength > 0 && this.#text >= 0) {
      if (row.plain) table.bytes(this.#text, row.text, row.textLength);
      else table.text(this.#text, repair.decode(row.text.subarray(0, row.textLength)));
    }
    table.end();
  }

  #put({ words, bytes }: Slab, row: number, wanted: number, values: Uint32Array): void {
    const fields = this.#fields;
    for (let rest = wanted; rest !== 0; rest &= rest - 1) {
      const field = 31 - Math.clz32(rest & -rest);
      const width = fields[4 * field + 1] as number;
      const first = fields[4 * field + 2] as number;
      if (width === 8) {
        words[first + 2 * row] = values[2 * field] as number;
        words[first + 2 * row + 1] = values[2 * field + 1] as number;
      } else if (width === 4) words[first + row] = values[2 * field] as number;
      else bytes[first + row] = values[2 * field] as number;
      bytes[(fields[4 * field + 3] as number) + row] = 1;
    }
  }

  /** A new chunk has the columns without which no row is. */
  #begin(slab: Slab): void {
    this.#chunk = slab;
    this.#touched = 0;
    for (const { column } of [...(this.#wantsSeq ? [this.#seq] : []), this.#vcpu, this.#kind]) slab.touched[column] = 1;
  }

  /** The chunk has fields that it did not have before. */
  #touch({ touched }: Slab, more: number): void {
    this.#touched |= more;
    for (let rest = more; rest !== 0; rest &= rest - 1)
      touched[this.#fields[4 * (31 - Math.clz32(rest & -rest))] as number] = 1;
  }
}

/** A column of numbers; those of EVENT_FIELDS are all nullable. */
function cellsOf(table: Appender, name: string): Cells {
  const column = table.index(name);
  const { width, values, valid } = table.place(column);
  return { column, width, first: width === 1 ? values : values >>> 2, valid };
}

function put64(
  { words, bytes, touched }: Slab,
  { column, first, valid }: Cells,
  row: number,
  low: number,
  high: number,
) {
  words[first + 2 * row] = low;
  words[first + 2 * row + 1] = high;
  touched[column] = 1;
  if (valid >= 0) bytes[valid + row] = 1;
}

function put32({ words, bytes, touched }: Slab, { column, first, valid }: Cells, row: number, value: number) {
  words[first + row] = value;
  touched[column] = 1;
  if (valid >= 0) bytes[valid + row] = 1;
}

function put8({ bytes, touched }: Slab, { column, first, valid }: Cells, row: number, value: number) {
  bytes[first + row] = value;
  touched[column] = 1;
  if (valid >= 0) bytes[valid + row] = 1;
}
