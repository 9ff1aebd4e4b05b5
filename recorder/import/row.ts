/** One event on its way into the trace: the engine's record, and what only a host's trace says. */
import { EVENT_FIELDS, type EventField, EventRecord } from '../../engine/observer.js';
import type { Appender } from '../../traces/store.js';
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
    const limit = LIMITS[index] as number;
    if (high !== 0 ? limit !== Number.POSITIVE_INFINITY : low > limit) return false;
    this.mask |= 1 << index;
    this.words[2 * index] = low;
    this.words[2 * index + 1] = high;
    return true;
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

/** Columns of the event table by index, looked up once. */
export class EventSink {
  readonly #table: Appender;
  readonly #fields: readonly number[];
  readonly #seq: number;
  readonly #vcpu: number;
  readonly #time: number;
  readonly #kind: number;
  readonly #isa: number;
  readonly #from: number;
  readonly #to: number;
  readonly #bytes: number;
  readonly #text: number;

  constructor(table: Appender) {
    this.#table = table;
    this.#fields = EVENT_FIELDS.map((name) => table.index(name));
    this.#seq = table.index('seq');
    this.#vcpu = table.index('vcpu');
    this.#time = table.index('time_ns');
    this.#kind = table.index('kind');
    this.#isa = table.index('isa');
    this.#from = table.index('from_level');
    this.#to = table.index('to_level');
    this.#bytes = table.index('bytes');
    this.#text = table.index('text');
  }

  write(seq: number, row: EventRow): void {
    const table = this.#table;
    table.number(this.#seq, seq);
    table.words(this.#vcpu, row.vcpu, 0);
    table.words(this.#kind, row.kind, 0);
    if (row.hasTime) table.words(this.#time, row.timeLow, row.timeHigh);
    if (row.isa !== 0) table.words(this.#isa, row.isa, 0);
    if (row.fromLevel !== 255) table.words(this.#from, row.fromLevel, 0);
    if (row.toLevel !== 255) table.words(this.#to, row.toLevel, 0);
    for (let rest = row.mask; rest !== 0; rest &= rest - 1) {
      const i = 31 - Math.clz32(rest & -rest);
      table.words(this.#fields[i] as number, row.words[2 * i] as number, row.words[2 * i + 1] as number);
    }
    if (row.byteCount > 0) table.bytes(this.#bytes, row.bytes, row.byteCount);
    if (row.textLength > 0) {
      if (row.plain) table.bytes(this.#text, row.text, row.textLength);
      else table.text(this.#text, repair.decode(row.text.subarray(0, row.textLength)));
    }
    table.end();
  }
}
