/** One event on its way into the trace: the engine's record, and what only a host's trace says. */
import { EVENT_FIELDS, type EventField, EventRecord } from '../../engine/observer.js';
import type { Appender, Slab } from '../../traces/store.js';
import { MAX_LINE } from './lines.js';

export const FIELD = Object.fromEntries(EVENT_FIELDS.map((name, i) => [name, i])) as Record<EventField, number>;

/** Fields whose column holds fewer than 64 bits, and the largest value of each. */
const LIMIT: { readonly [name in EventField]?: number } = {
  intr_info: 0xffff_ffff,
  error_code: 0xffff_ffff,
  flags: 0xffff_ffff,
  size: 0xff,
};
const LIMITS = EVENT_FIELDS.map((name) => LIMIT[name] ?? Number.POSITIVE_INFINITY);
/** Fields whose column holds all 64 bits. */
const WIDE = EVENT_FIELDS.reduce((mask, name, i) => (LIMIT[name] === undefined ? mask | (1 << i) : mask), 0);

/** Repairs what is no UTF-8: a column of text must be. */
const repair = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

export class EventRow extends EventRecord {
  /** 1 VMX, 2 SVM, 0 unknown. */
  isa = 0;
  hasTime = false;
  timeLow = 0;
  timeHigh = 0;
  /** What has no column, as the source wrote it; `plain` while all of it is ASCII. */
  readonly text = new Uint8Array(MAX_LINE + 256);
  textLength = 0;
  plain = true;
  /** Number of the line it comes from, and what is wrong with that line, if anything. */
  line = 0;
  problem: string | null = null;

  clear(): void {
    this.mask = 0;
    this.byteCount = 0;
    this.fromLevel = 255;
    this.toLevel = 255;
    this.isa = 0;
    this.hasTime = false;
    this.textLength = 0;
    this.plain = true;
    this.problem = null;
  }

  /** Sets field `index` of EVENT_FIELDS; false where its column cannot hold the value. */
  put(index: number, low: number, high: number): boolean {
    const bit = 1 << index;
    if ((WIDE & bit) === 0 && (high !== 0 || low > (LIMITS[index] as number))) return false;
    this.mask |= bit;
    this.words[2 * index] = low;
    this.words[2 * index + 1] = high;
    return true;
  }

  /** Adds bytes that are known to be ASCII. */
  addAscii(bytes: Uint8Array, from: number, to: number): void {
    const { text, textLength } = this;
    const room = Math.min(to - from, text.length - textLength);
    for (let i = 0; i < room; i++) text[textLength + i] = bytes[from + i] as number;
    this.textLength = textLength + room;
  }

  addText(bytes: Uint8Array, from: number, to: number): void {
    const room = Math.min(to - from, this.text.length - this.textLength);
    for (let i = 0; i < room; i++) {
      const byte = bytes[from + i] as number;
      this.text[this.textLength + i] = byte;
      if (byte >= 0x80) this.plain = false;
    }
    this.textLength += room;
  }
}

/** The columns beside those of EVENT_FIELDS, behind which they are numbered here. */
const OTHERS = ['seq', 'vcpu', 'time_ns', 'kind', 'isa', 'from_level', 'to_level'] as const;
const NUMBERS = [...EVENT_FIELDS, ...OTHERS];
const [SEQ, VCPU, TIME, KIND, ISA, FROM, TO] = OTHERS.map((_, i) => EVENT_FIELDS.length + i) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/** Writes rows into the slab of the event table in place; the columns are looked up once. */
export class EventSink {
  readonly #table: Appender;
  /** By number of NUMBERS: column, width, index of its first cell in words or bytes, and of its validity or -1. */
  readonly #column: Int32Array;
  readonly #width: Int32Array;
  readonly #first: Int32Array;
  readonly #valid: Int32Array;
  /** Fields of EVENT_FIELDS that are wanted. */
  readonly #wanted: number;
  readonly #wantsSeq: boolean;
  readonly #wantsTo: boolean;
  readonly #bytes: number;
  readonly #text: number;
  #slab: Slab;
  #row = 0;

  /** `columns` limits which columns are filled; vcpu and kind always are. */
  constructor(table: Appender, columns: readonly string[] | null = null) {
    this.#table = table;
    this.#slab = table.slab;
    const wants = (name: string): boolean => columns === null || columns.includes(name);
    const numbers = NUMBERS.map((name) => table.index(name));
    const places = numbers.map((column) => table.place(column));
    this.#column = Int32Array.from(numbers);
    this.#width = Int32Array.from(places, ({ width }) => width);
    this.#first = Int32Array.from(places, ({ width, values }) => (width === 1 ? values : values >>> 2));
    this.#valid = Int32Array.from(places, ({ valid }) => valid);
    this.#wanted = EVENT_FIELDS.reduce((mask, name, i) => (wants(name) ? mask | (1 << i) : mask), 0);
    this.#wantsSeq = wants('seq');
    this.#wantsTo = wants('to_level');
    this.#bytes = wants('bytes') ? table.index('bytes') : -1;
    this.#text = wants('text') ? table.index('text') : -1;
  }

  #put(number: number, low: number, high: number): void {
    const { words, bytes, touched } = this.#slab;
    const row = this.#row;
    const first = this.#first[number] as number;
    const width = this.#width[number] as number;
    if (width === 8) {
      words[first + 2 * row] = low;
      words[first + 2 * row + 1] = high;
    } else if (width === 4) words[first + row] = low;
    else bytes[first + row] = low;
    touched[this.#column[number] as number] = 1;
    const valid = this.#valid[number] as number;
    if (valid >= 0) bytes[valid + row] = 1;
  }

  write(seq: number, row: EventRow): void {
    const table = this.#table;
    this.#slab = table.slab;
    this.#row = table.filled;
    if (this.#wantsSeq) this.#put(SEQ, seq, Math.floor(seq / 0x1_0000_0000));
    this.#put(VCPU, row.vcpu, 0);
    this.#put(KIND, row.kind, 0);
    if (row.hasTime) this.#put(TIME, row.timeLow, row.timeHigh);
    if (row.isa !== 0) this.#put(ISA, row.isa, 0);
    if (row.fromLevel !== 255) this.#put(FROM, row.fromLevel, 0);
    if (row.toLevel !== 255 && this.#wantsTo) this.#put(TO, row.toLevel, 0);
    for (let rest = row.mask & this.#wanted; rest !== 0; rest &= rest - 1) {
      const i = 31 - Math.clz32(rest & -rest);
      this.#put(i, row.words[2 * i] as number, row.words[2 * i + 1] as number);
    }
    if (row.byteCount > 0 && this.#bytes >= 0) table.bytes(this.#bytes, row.bytes, row.byteCount);
    if (row.textLength > 0 && this.#text >= 0) {
      if (row.plain) table.bytes(this.#text, row.text, row.textLength);
      else table.text(this.#text, repair.decode(row.text.subarray(0, row.textLength)));
    }
    table.end();
  }
}
