/**
 * Records of perf.data in the order of their time. perf writes the rings of all CPUs one after the other, round after
 * round: what is older than the newest record of the round before last cannot be overtaken any more
 * (tools/perf/util/ordered-events.c). Each ring is in order by itself, so a round is a few runs to merge.
 */
import { Merge, type Timed } from './ring.js';

/** Bytes that may wait for the end of a round; beyond them the older half goes on without. */
const MOST = 64 << 20;
/** Records that may wait. */
const MOST_RECORDS = 1 << 20;
/** Bytes that have gone on are kept until there are so many, and more than those that wait. */
const IDLE = 1 << 20;

/** The record that goes on, good during the call only. */
export class QueuedRecord {
  view = new DataView(new ArrayBuffer(0));
  at = 0;
  size = 0;
  timeLow = 0;
  timeHigh = 0;
  /** Offset in the input, for people. */
  offset = 0;
}

/** Where records come from: bytes, and the same as words. */
interface Source {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

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

export class PerfQueue {
  readonly #emit: (record: QueuedRecord) => void;
  readonly #record = new QueuedRecord();
  #words = new Uint32Array(1 << 14);
  #bytes = new Uint8Array(this.#words.buffer);
  #view = new DataView(this.#words.buffer);
  #filled = 0;
  #count = 0;
  /** Bytes of records that have gone on, and their number. */
  #idle = 0;
  #gone = 0;
  #places = new Uint32Array(1024);
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

  /** Takes a copy of the record of `size` bytes at `at`. */
  add({ bytes, words }: Source, at: number, size: number, timeLow: number, timeHigh: number, offset: number): void {
    if (this.#filled - this.#idle + size > MOST || this.#count - this.#gone >= MOST_RECORDS) this.#relieve();
    this.#reserve(size);
    const index = this.#count;
    const last = index - 1;
    if (index > this.#begin && later(this.highs[last] as number, this.lows[last] as number, timeHigh, timeLow)) {
      this.#runs.push({ from: this.#begin, to: index });
      this.#begin = index;
    }
    this.#copy(bytes, words, at, size);
    this.#places[index] = this.#filled;
    this.#sizes[index] = size;
    this.lows[index] = timeLow;
    this.highs[index] = timeHigh;
    this.#offsets[index] = offset;
    this.#filled = (this.#filled + size + 7) & ~7;
    this.#count += 1;
    if (later(timeHigh, timeLow, this.#newestHigh, this.#newestLow)) {
      this.#newestLow = timeLow;
      this.#newestHigh = timeHigh;
    }
    if (later(this.#doneHigh, this.#doneLow, timeHigh, timeLow)) this.late += 1;
  }

  /** Records of files lie at multiples of 8: words of them are copied faster by a loop than bytes by a call. */
  #copy(bytes: Uint8Array, words: Uint32Array, at: number, size: number): void {
    if (((at | size) & 3) !== 0) {
      this.#bytes.set(bytes.subarray(at, at + size), this.#filled);
      return;
    }
    const target = this.#words;
    const first = at >>> 2;
    const to = this.#filled >>> 2;
    for (let i = 0; i < size >>> 2; i++) target[to + i] = words[first + i] as number;
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
  }

  #hand(index: number): void {
    const record = this.#record;
    record.view = this.#view;
    record.at = this.#places[index] as number;
    record.size = this.#sizes[index] as number;
    record.timeLow = this.lows[index] as number;
    record.timeHigh = this.highs[index] as number;
    record.offset = this.#offsets[index] as number;
    this.#idle += (record.size + 7) & ~7;
    this.#gone += 1;
    this.#emit(record);
  }

  /** Moves what waits to the front, in the order in which it came. */
  #compact(): void {
    const runs = [...this.#runs, { from: this.#begin, to: this.#count }];
    let count = 0;
    this.#filled = 0;
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
    this.#bytes.copyWithin(this.#filled, place, place + size);
    this.#places[to] = this.#filled;
    this.#sizes[to] = size;
    this.lows[to] = this.lows[from] as number;
    this.highs[to] = this.highs[from] as number;
    this.#offsets[to] = this.#offsets[from] as number;
    this.#filled = (this.#filled + size + 7) & ~7;
  }

  #reserve(size: number): void {
    if (this.#filled + size > this.#bytes.length) {
      const length = Math.max(2 * this.#bytes.length, this.#filled + size);
      const words = new Uint32Array((length + 3) >>> 2);
      words.set(this.#words);
      this.#words = words;
      this.#bytes = new Uint8Array(words.buffer);
      this.#view = new DataView(words.buffer);
    }
    if (this.#count < this.#places.length) return;
    const length = 2 * this.#places.length;
    const grow = (old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const grown = new Uint32Array(length);
      grown.set(old);
      return grown;
    };
    this.#places = grow(this.#places);
    this.#sizes = grow(this.#sizes);
    this.lows = grow(this.lows);
    this.highs = grow(this.highs);
    const offsets = new Float64Array(length);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
  }
}
