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

export interface QueuedRecord {
  readonly view: DataView;
  readonly at: number;
  readonly size: number;
  readonly timeLow: number;
  readonly timeHigh: number;
  /** Offset in the input, for people. */
  readonly offset: number;
}

class Run implements Timed, QueuedRecord {
  readonly #queue: PerfQueue;
  readonly cpu: number;
  readonly #to: number;
  index: number;
  timeLow = 0;
  timeHigh = 0;

  constructor(queue: PerfQueue, order: number, from: number, to: number) {
    this.#queue = queue;
    this.cpu = order;
    this.index = from - 1;
    this.#to = to;
  }

  get view(): DataView {
    return this.#queue.view;
  }

  get at(): number {
    return this.#queue.places[this.index] as number;
  }

  get size(): number {
    return this.#queue.sizes[this.index] as number;
  }

  get offset(): number {
    return this.#queue.offsets[this.index] as number;
  }

  get left(): number {
    return this.#to - this.index;
  }

  next(): boolean {
    this.index += 1;
    if (this.index >= this.#to) return false;
    this.timeLow = this.#queue.lows[this.index] as number;
    this.timeHigh = this.#queue.highs[this.index] as number;
    return true;
  }
}

const later = (high: number, low: number, thanHigh: number, thanLow: number): boolean =>
  high > thanHigh || (high === thanHigh && low > thanLow);

export class PerfQueue {
  readonly #emit: (record: QueuedRecord) => void;
  #bytes = new Uint8Array(1 << 16);
  view = new DataView(this.#bytes.buffer);
  #filled = 0;
  #count = 0;
  places = new Uint32Array(1024);
  sizes = new Uint32Array(1024);
  lows = new Uint32Array(1024);
  highs = new Uint32Array(1024);
  offsets = new Float64Array(1024);
  /** Where each run begins. */
  #runs: number[] = [];
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
  add(source: Uint8Array, at: number, size: number, timeLow: number, timeHigh: number, offset: number): void {
    if (this.#filled + size > MOST || this.#count >= MOST_RECORDS) this.#relieve();
    this.#reserve(size);
    const index = this.#count;
    const last = index - 1;
    if (index === 0 || later(this.highs[last] as number, this.lows[last] as number, timeHigh, timeLow))
      this.#runs.push(index);
    this.#bytes.set(source.subarray(at, at + size), this.#filled);
    this.places[index] = this.#filled;
    this.sizes[index] = size;
    this.lows[index] = timeLow;
    this.highs[index] = timeHigh;
    this.offsets[index] = offset;
    this.#filled = (this.#filled + size + 7) & ~7;
    this.#count += 1;
    if (later(timeHigh, timeLow, this.#newestHigh, this.#newestLow)) {
      this.#newestLow = timeLow;
      this.#newestHigh = timeHigh;
    }
    if (later(this.#doneHigh, this.#doneLow, timeHigh, timeLow)) this.late += 1;
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

  /** Without rounds, the older half of the time that waits goes on. */
  #relieve(): void {
    let low = this.#newestLow;
    let high = this.#newestHigh;
    for (const start of this.#runs) {
      if (!later(high, low, this.highs[start] as number, this.lows[start] as number)) continue;
      low = this.lows[start] as number;
      high = this.highs[start] as number;
    }
    const oldest = BigInt(high) * 0x1_0000_0000n + BigInt(low);
    const newest = BigInt(this.#newestHigh) * 0x1_0000_0000n + BigInt(this.#newestLow);
    const middle = oldest + (newest - oldest) / 2n;
    this.#flush(Number(middle >> 32n), Number(middle & 0xffff_ffffn));
    if (this.#filled > MOST / 2 || this.#count > MOST_RECORDS / 2) this.end();
  }

  #flush(high: number, low: number): void {
    const runs = this.#runs.map((from, i) => new Run(this, i, from, this.#runs[i + 1] ?? this.#count));
    const merge = new Merge(runs);
    for (let run = merge.first(); run !== undefined; run = merge.first()) {
      if (later(run.timeHigh, run.timeLow, high, low)) break;
      this.#doneLow = run.timeLow;
      this.#doneHigh = run.timeHigh;
      this.#emit(run);
      merge.advance();
    }
    this.#compact(runs);
  }

  /** Moves what is left to the front, in the order in which it came. */
  #compact(runs: readonly Run[]): void {
    const next: number[] = [];
    let count = 0;
    let filled = 0;
    for (const run of runs) {
      if (run.left <= 0) continue;
      next.push(count);
      for (let i = run.index, left = run.left; left > 0; i++, left--) {
        const size = this.sizes[i] as number;
        const place = this.places[i] as number;
        this.#bytes.copyWithin(filled, place, place + size);
        this.places[count] = filled;
        this.sizes[count] = size;
        this.lows[count] = this.lows[i] as number;
        this.highs[count] = this.highs[i] as number;
        this.offsets[count] = this.offsets[i] as number;
        filled = (filled + size + 7) & ~7;
        count += 1;
      }
    }
    this.#runs = next;
    this.#count = count;
    this.#filled = filled;
  }

  #reserve(size: number): void {
    if (this.#filled + size > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.#filled + size));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.view = new DataView(bytes.buffer);
    }
    if (this.#count < this.places.length) return;
    const length = 2 * this.places.length;
    const grow = (old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const grown = new Uint32Array(length);
      grown.set(old);
      return grown;
    };
    this.places = grow(this.places);
    this.sizes = grow(this.sizes);
    this.lows = grow(this.lows);
    this.highs = grow(this.highs);
    const offsets = new Float64Array(length);
    offsets.set(this.offsets);
    this.offsets = offsets;
  }
}
