/** Memory accesses from the engine's ring (RING_RECORD) into the trace's `memory` table. */
import { RING_RECORD } from '../../engine/observer.js';
import type { Appender } from '../../traces/store.js';

const { bytes: STRIDE, tick: TICK, gva: GVA, gpa: GPA, value: VALUE, meta: META } = RING_RECORD;
const NO_GVA = 1 << 24;
const CONTINUES = 1 << 25;
/** Bytes of the widest access, a cache line. */
const WIDEST = 64;

export class MemoryRecorder {
  readonly #table: Appender;
  readonly #tick: number;
  readonly #vcpu: number;
  readonly #level: number;
  readonly #kind: number;
  readonly #size: number;
  readonly #gva: number;
  readonly #gpa: number;
  readonly #value: number;
  readonly #wideColumn: number;
  /** Bytes of an access of several records, and how many there are; 0 while it has one record. */
  readonly #wide = new Uint8Array(WIDEST);
  readonly #wideView = new DataView(this.#wide.buffer);
  #length = 0;
  #firstLow = 0;
  #firstHigh = 0;
  #firstSize = 0;
  /** A row was begun; the next record may continue it. */
  #begun = false;

  constructor(table: Appender) {
    this.#table = table;
    this.#tick = table.index('tick');
    this.#vcpu = table.index('vcpu');
    this.#level = table.index('level');
    this.#kind = table.index('kind');
    this.#size = table.index('size');
    this.#gva = table.index('gva');
    this.#gpa = table.index('gpa');
    this.#value = table.index('value');
    this.#wideColumn = table.index('wide');
  }

  /** Rows so far, with the one that may still be continued. */
  get rows(): number {
    return this.#table.rows + (this.#begun ? 1 : 0);
  }

  /** Takes `count` records, oldest first. An access may continue in the next call. */
  take(ring: DataView, count: number): void {
    for (let at = 0, end = count * STRIDE; at < end; at += STRIDE) {
      const meta = ring.getUint32(at + META, true);
      if ((meta & CONTINUES) !== 0) {
        this.#widen(ring, at, meta & 0xff);
        continue;
      }
      if (this.#begun) this.#end();
      this.#begin(ring, at, meta);
    }
  }

  /** Ends the row of the last access. */
  settle(): void {
    if (this.#begun) this.#end();
  }

  #begin(ring: DataView, at: number, meta: number): void {
    const table = this.#table;
    const low = ring.getUint32(at + VALUE, true);
    const high = ring.getUint32(at + VALUE + 4, true);
    table.words(this.#tick, ring.getUint32(at + TICK, true), ring.getUint32(at + TICK + 4, true));
    table.words(this.#vcpu, (meta >>> 16) & 0xff, 0);
    table.words(this.#level, (meta >>> 12) & 0xf, 0);
    table.words(this.#kind, (meta >>> 8) & 0xf, 0);
    table.words(this.#size, meta & 0xff, 0);
    if ((meta & NO_GVA) === 0) {
      table.words(this.#gva, ring.getUint32(at + GVA, true), ring.getUint32(at + GVA + 4, true));
    }
    table.words(this.#gpa, ring.getUint32(at + GPA, true), ring.getUint32(at + GPA + 4, true));
    table.words(this.#value, low, high);
    this.#begun = true;
    this.#length = 0;
    this.#firstLow = low;
    this.#firstHigh = high;
    this.#firstSize = meta & 0xff;
  }

  #widen(ring: DataView, at: number, size: number): void {
    if (!this.#begun) return;
    if (this.#length === 0) {
      this.#wideView.setUint32(0, this.#firstLow, true);
      this.#wideView.setUint32(4, this.#firstHigh, true);
      this.#length = this.#firstSize;
    }
    for (let i = 0; i < size && this.#length < WIDEST; i++) this.#wide[this.#length++] = ring.getUint8(at + VALUE + i);
  }

  #end(): void {
    const table = this.#table;
    if (this.#length > 0) {
      this.#wide.fill(0, this.#length, 8);
      table.words(this.#size, this.#length, 0);
      table.words(this.#value, this.#wideView.getUint32(0, true), this.#wideView.getUint32(4, true));
      if (this.#length > 8) table.bytes(this.#wideColumn, this.#wide, this.#length);
    }
    table.end();
    this.#begun = false;
  }
}
