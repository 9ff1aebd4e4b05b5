/**
 * Records of perf.data in the order of their time. perf writes the rings of all CPUs one after the other, round after
 * round: what is older than the newest record of the round before last cannot be overtaken any more
 * (tools/perf/util/ordered-events.c). Each ring is in order by itself, so a round is a few runs to merge.
 */
import { Merge, type Timed } from './ring.js';
import type { Keeper, Window } from './window.js';

/** Bytes that may wait for the end of a round; beyond them the older half goes on without. */
const MOST = 64 << 20;
/** Records that may wait. */
const MOST_RECORDS = 1 << 20;
/** Bytes that have gone on are kept until there are so many, and more than those that wait. */
const IDLE = 1 << 20;
/** Bytes that are reserved for copies at the least. */
const SMALLEST = 1 << 16;

const padded = (size: number): number => (size + 7) & ~7;

/** The record that goes on, good during the call only. */
export class QueuedRecord {
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  size = 0;
  timeLow = 0;
  timeHigh = 0;
  /** Offset in the input, for people. */
  offset = 0;
}

/** Place of a record that is still in the window. */
const IN_WINDOW = -1;

/** Records [index, to) of the queue, which are in order. */
class Run implements Timed {
  readonly #queue: PerfQueue;
  readonly cpu: number;
  readonly to: number;
  index: number;
  timeLow = 0;
  timeHigh = 0;

  constructor(queue: PerfQueue, order: number, from: number, to: number) {
    this.#queue = queue;
    this.cpu = order;
    this.index = from - 1;
    this.to = to;
  }

  next(): boolean {
    this.index += 1;
    if (this.index >= this.to) return false;
    this.timeLow = this.#queue.lows[this.index] as number;
    this.timeHigh = this.#queue.highs[this.index] as number;
    return true;
  }
}

const later = (high: number, low: number, thanHigh: number, thanLow: number): boolean =>
  high > thanHigh || (high === thanHigh && low > thanLow);

export class PerfQueue implements Keeper {
  readonly #emit: (record: QueuedRecord) => void;
  readonly #record = new QueuedRecord();
  /** Records of this window stay in it as long as it keeps them; others are copied. */
  #window: Window | null = null;
  /** Offset in the input of the first record that waits in the window. */
  first = Number.POSITIVE_INFINITY;
  /** Copies of records that the window does not have, and the bytes of it that are used. */
  #bytes = new Uint8Array(new ArrayBuffer(0));
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  /** Bytes of all records, and of those of them that have gone on; their numbers. */
  #filled = 0;
  #idle = 0;
  #count = 0;
  #gone = 0;
  #places = new Int32Array(1024);
  #sizes = new Uint32Array(1024);
  lows = new Uint32Array(1024);
  highs = new Uint32Array(1024);
  #offsets = new Float64Array(1024);
  /** What waits: first and behind the last record of each run but the last, which goes on to the end. */
  #runs: { readonly from: number; readonly to: number }[] = [];
  /** Where the last run begins. */
  #begin = 0;
  #newestLow = 0;
  #newestHigh = 0;
  #limitLow = 0;
  #limitHigh = 0;
  #doneLow = 0;
  #doneHigh = 0;
  /** Records that came after later ones had gone on. */
  late = 0;

  constructor(emit: (record: QueuedRecord) => void) {
    this.#emit = emit;
  }

  /** Leaves records of `window`, whose offset goes on by what it consumes, where they are. */
  stayIn(window: Window): void {
    this.#window = window;
    window.keeper = this;
  }

  /** Takes the record of `size` bytes at `at` of a window. */
  add(window: Window, at: number, size: number, timeLow: number, timeHigh: number, offset: number): void {
    if (this.#filled - this.#idle + size > MOST || this.#count - this.#gone >= MOST_RECORDS) this.#relieve();
    const index = this.#count;
    if (index === this.#places.length) this.#reserve();
    const last = index - 1;
    if (index > this.#begin && later(this.highs[last] as number, this.lows[last] as number, timeHigh, timeLow)) {
      this.#runs.push({ from: this.#begin, to: index });
      this.#begin = index;
    }
    if (window === this.#window) {
      this.#places[index] = IN_WINDOW;
      if (offset < this.first) this.first = offset;
    } else this.#places[index] = this.#copy(window.bytes, at, size);
    this.#sizes[index] = size;
    this.lows[index] = timeLow;
    this.highs[index] = timeHigh;
    this.#offsets[index] = offset;
    this.#filled += padded(size);
    this.#count += 1;
    if (later(timeHigh, timeLow, this.#newestHigh, this.#newestLow)) {
      this.#newestLow = timeLow;
      this.#newestHigh = timeHigh;
    }
    if (later(this.#doneHigh, this.#doneLow, timeHigh, timeLow)) this.late += 1;
  }

  /** Copies a record, and returns where to. */
  #copy(bytes: Uint8Array, at: number, size: number): number {
    const place = this.#used;
    if (place + size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(SMALLEST, 2 * this.#bytes.length, place + size));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#bytes.set(bytes.subarray(at, at + size), place);
    this.#used = padded(place + size);
    return place;
  }

  /** Copies what waits in the window, which keeps it no longer. */
  release(): void {
    const window = this.#window;
    if (window === null) return;
    const start = window.offset - window.start;
    for (const { from, to } of [...this.#runs, { from: this.#begin, to: this.#count }]) {
      for (let i = from; i < to; i++) {
        if (this.#places[i] !== IN_WINDOW) continue;
        this.#places[i] = this.#copy(window.bytes, (this.#offsets[i] as number) - start, this.#sizes[i] as number);
      }
    }
    this.first = Number.POSITIVE_INFINITY;
  }

  /** Ends a round. */
  round(): void {
    this.#flush(this.#limitHigh, this.#limitLow);
    this.#limitLow = this.#newestLow;
    this.#limitHigh = this.#newestHigh;
  }

  /** Hands on everything that waits. */
  end(): void {
    this.#flush(0xffff_ffff, 0xffff_ffff);
  }

  #waiting(): Run[] {
    const runs = [...this.#runs, { from: this.#begin, to: this.#count }];
    return runs.map(({ from, to }, i) => new Run(this, i, from, to));
  }

  /** Without rounds, the older half of the time that waits goes on. */
  #relieve(): void {
    let low = this.#newestLow;
    let high = this.#newestHigh;
    for (const run of this.#waiting()) {
      if (!run.next() || !later(high, low, run.timeHigh, run.timeLow)) continue;
      low = run.timeLow;
      high = run.timeHigh;
    }
    const oldest = BigInt(high) * 0x1_0000_0000n + BigInt(low);
    const newest = BigInt(this.#newestHigh) * 0x1_0000_0000n + BigInt(this.#newestLow);
    const middle = oldest + (newest - oldest) / 2n;
    this.#flush(Number(middle >> 32n), Number(middle & 0xffff_ffffn));
    if (this.#filled - this.#idle > MOST / 2 || this.#count - this.#gone > MOST_RECORDS / 2) this.end();
  }

  #flush(high: number, low: number): void {
    const runs = this.#waiting();
    const merge = new Merge(runs);
    for (let run = merge.first(); run !== undefined; run = merge.first()) {
      if (later(run.timeHigh, run.timeLow, high, low)) break;
      this.#doneLow = run.timeLow;
      this.#doneHigh = run.timeHigh;
      this.#hand(run.index);
      merge.advance();
    }
    const last = runs.pop();
    this.#begin = last?.index ?? this.#count;
    this.#runs = runs.flatMap(({ index, to }) => (index < to ? [{ from: index, to }] : []));
    const empty = this.#runs.length === 0 && this.#begin === this.#count;
    if (empty || (this.#idle > IDLE && 2 * this.#idle > this.#filled)) this.#compact();
    this.first = this.#firstInWindow();
  }

  #hand(index: number): void {
    const record = this.#record;
    const place = this.#places[index] as number;
    const window = this.#window;
    record.offset = this.#offsets[index] as number;
    if (place !== IN_WINDOW) {
      record.view = this.#view;
      record.at = place;
    } else if (window !== null) {
      record.view = window.view;
      record.at = record.offset - window.offset + window.start;
    }
    record.size = this.#sizes[index] as number;
    record.timeLow = this.lows[index] as number;
    record.timeHigh = this.highs[index] as number;
    this.#idle += padded(record.size);
    this.#gone += 1;
    this.#emit(record);
  }

  /** Records come in the order in which they lie there. */
  #firstInWindow(): number {
    for (const { from, to } of [...this.#runs, { from: this.#begin, to: this.#count }]) {
      for (let i = from; i < to; i++) if (this.#places[i] === IN_WINDOW) return this.#offsets[i] as number;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Moves what waits to the front, in the order in which it came. */
  #compact(): void {
    const runs = [...this.#runs, { from: this.#begin, to: this.#count }];
    let count = 0;
    this.#filled = 0;
    this.#used = 0;
    const moved = runs.map(({ from, to }) => {
      const first = count;
      for (let i = from; i < to; i++, count++) this.#move(i, count);
      return { from: first, to: count };
    });
    this.#begin = moved.pop()?.from ?? count;
    this.#runs = moved;
    this.#count = count;
    this.#idle = 0;
    this.#gone = 0;
  }

  #move(from: number, to: number): void {
    const size = this.#sizes[from] as number;
    const place = this.#places[from] as number;
    this.#places[to] = place;
    if (place !== IN_WINDOW) {
      this.#bytes.copyWithin(this.#used, place, place + size);
      this.#places[to] = this.#used;
      this.#used += padded(size);
    }
    this.#sizes[to] = size;
    this.lows[to] = this.lows[from] as number;
    this.highs[to] = this.highs[from] as number;
    this.#offsets[to] = this.#offsets[from] as number;
    this.#filled += padded(size);
  }

  #reserve(): void {
    const length = 2 * this.#places.length;
    const grow = <T extends Uint32Array | Int32Array | Float64Array>(old: T, grown: T): T => {
      grown.set(old);
      return grown;
    };
    this.#places = grow(this.#places, new Int32Array(length));
    this.#sizes = grow(this.#sizes, new Uint32Array(length));
    this.lows = grow(this.lows, new Uint32Array(length));
    this.highs = grow(this.highs, new Uint32Array(length));
    this.#offsets = grow(this.#offsets, new Float64Array(length));
  }
}
