/**
 * Records of perf.data in the order of their time. perf writes the rings of all CPUs round after round
 * (tools/perf/util/ordered-events.c). Each ring is in order by itself, so a round is a few runs to merge. Records stay
 * where they were read as long as their window keeps them: a run says only where it begins and ends.
 */
import { halvesOf, later, timeOf } from '../time.js';
import { type SampleLayout, timeAt } from './perf-attr.js';
import { HEADER, isQueued, RECORD } from './perf-records.js';
import { Merge, type Timed } from './ring.js';
import { Rounds } from './rounds.js';
import type { Keeper, Window } from './window.js';

/** Bytes that may wait for the end of a round; beyond them the older half goes on without. */
const MOST = 64 << 20;
/** Runs that may wait. */
const MOST_RUNS = 1 << 16;
/** Bytes that are reserved for copies at the least. */
const SMALLEST = 1 << 16;

/** The record that goes on, good during the call only. */
export interface QueuedRecord {
  readonly view: DataView;
  readonly at: number;
  readonly size: number;
  readonly timeLow: number;
  readonly timeHigh: number;
  /** Offset in the input, for people. */
  readonly offset: number;
}

/** Bytes that may move: the byte of position p lies at p - offset + start of `view`. */
interface Place {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly offset: number;
}

/** Records one behind the other at positions [from, to), in the order of time, which all have in the same place; it stands at one of them. */
class Run implements Timed, QueuedRecord {
  place: Place;
  from: number;
  to: number;
  /** What its positions were more than they are, before it was copied. */
  moved = 0;
  /** Order among equal times. */
  cpu = 0;
  view: DataView;
  at = 0;
  size = 0;
  timeLow = 0;
  timeHigh = 0;
  /** Offset of all its records for people, where it is not their position; else -1. */
  readonly origin: number;
  readonly #little: boolean;
  /** Where in each of its records the time lies. */
  readonly #time: number;
  #end = 0;

  constructor(little: boolean, time: number, place: Place, from: number, origin: number) {
    this.#little = little;
    this.#time = time;
    this.origin = origin;
    this.place = place;
    this.from = from;
    this.to = from;
    this.view = place.view;
  }

  get offset(): number {
    return this.origin < 0 ? this.at - this.place.start + this.place.offset + this.moved : this.origin;
  }

  /** Makes ready to go through its records; nothing may move until `close`. */
  open(order: number): void {
    const { view, start, offset } = this.place;
    this.cpu = order;
    this.view = view;
    this.at = this.from - offset + start;
    this.#end = this.to - offset + start;
    this.size = 0;
  }

  /** Moves to the next record; false at the end. */
  next(): boolean {
    const little = this.#little;
    const at = this.at + this.size;
    this.at = at;
    if (at >= this.#end) return false;
    const { view } = this;
    const time = at + this.#time;
    const first = view.getInt32(time, little);
    const second = view.getInt32(time + 4, little);
    this.timeLow = little ? first : second;
    this.timeHigh = little ? second : first;
    this.size = view.getUint16(at + 6, little);
    return true;
  }

  /** Its records have their time at `time`. */
  isTimedAt(time: number): boolean {
    return this.#time === time;
  }

  /** Forgets the records that it went past; false where none is left. */
  close(): boolean {
    this.from = this.at - this.place.start + this.place.offset;
    return this.from < this.to;
  }
}

/** Copies of the records that their windows could not keep. */
class Copies implements Place {
  readonly start = 0;
  readonly offset = 0;
  bytes = new Uint8Array(new ArrayBuffer(0));
  view = new DataView(this.bytes.buffer);
  #used = 0;

  /** Takes in `runs`, besides those that it has, which are among `all`. */
  take(runs: readonly Run[], all: readonly Run[]): void {
    const size = (some: readonly Run[]): number => some.reduce((sum, { from, to }) => sum + to - from, 0);
    const more = size(runs);
    if (this.#used + more > this.bytes.length) {
      const kept = all.filter(({ place }) => place === this);
      const old = this.bytes;
      this.bytes = new Uint8Array(Math.max(SMALLEST, 2 * (size(kept) + more)));
      this.view = new DataView(this.bytes.buffer);
      this.#used = 0;
      for (const run of kept) this.#copy(run, old.subarray(run.from, run.to));
    }
    for (const run of runs) {
      const { bytes, start, offset } = run.place;
      this.#copy(run, bytes.subarray(run.from - offset + start, run.to - offset + start));
    }
  }

  #copy(run: Run, bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#used);
    run.place = this;
    run.moved += run.from - this.#used;
    run.from = this.#used;
    run.to = this.#used + bytes.length;
    this.#used = run.to;
  }
}

export class PerfQueue {
  readonly #little: boolean;
  readonly #layout: () => SampleLayout | null;
  readonly #emit: (record: QueuedRecord) => void;
  readonly #copies = new Copies();
  #runs: Run[] = [];
  /** Bytes of the runs. */
  #waiting = 0;
  readonly #rounds = new Rounds();
  /** Rounds that ended. */
  rounds = 0;
  /** Time of the record that came last. */
  #lastLow = 0;
  #lastHigh = 0;

  /** `layout` says where the time of records lies; null while that is unknown. */
  constructor(little: boolean, layout: () => SampleLayout | null, emit: (record: QueuedRecord) => void) {
    this.#little = little;
    this.#layout = layout;
    this.#emit = emit;
  }

  /** Leaves records of `window` where they are, as long as it keeps them. */
  stayIn(window: Window): void {
    const runs = (): Run[] => this.#runs.filter(({ place }) => place === window);
    const copies = this.#copies;
    const all = (): readonly Run[] => this.#runs;
    window.keeper = {
      get first(): number {
        return runs().reduce((first, { from }) => Math.min(first, from), Number.POSITIVE_INFINITY);
      },
      release(): void {
        copies.take(runs(), all());
      },
    } satisfies Keeper;
  }

  /**
   * Takes and consumes the records at the start of a window that it stays in, up to the first that is incomplete, has no
   * time or is not to be put into order, and returns their number. `origin` is where they lie in the input, for people,
   * if their position in the window does not say it.
   */
  take(window: Window, origin = -1): number {
    const layout = this.#layout();
    if (layout === null) return 0;
    if (this.#waiting > MOST || this.#runs.length > MOST_RUNS) this.#relieve();
    const little = this.#little;
    const { view, start, end, offset } = window;
    const rounds = this.#rounds;
    let run = this.#last(window, origin);
    let lastLow = this.#lastLow;
    let lastHigh = this.#lastHigh;
    let mayBeLate = true;
    let count = 0;
    let at = start;
    while (at + HEADER <= end) {
      const size = view.getUint16(at + 6, little);
      const type = view.getUint32(at, little);
      if (size < HEADER || at + size > end || !isQueued(type)) break;
      const time = timeAt(layout, type, size);
      if (time < 0) break;
      const first = view.getInt32(at + time, little);
      const second = view.getInt32(at + time + 4, little);
      const low = little ? first : second;
      const high = little ? second : first;
      if (low === 0 && high === 0 && type === RECORD.lostSamples) break; // perf's own, which has no time: see PerfEvents
      if (run === null || !run.isTimedAt(time) || later(lastHigh, lastLow, high, low)) {
        if (run !== null) rounds.comes(lastLow, lastHigh);
        run = this.#begin(window, at - start + offset, origin, time);
        mayBeLate = true;
      }
      if (mayBeLate) mayBeLate = rounds.isLate(low, high); // once a record of a run is not, none behind it is
      at += size;
      count += 1;
      run.to = at - start + offset;
      lastLow = low;
      lastHigh = high;
    }
    if (count > 0) rounds.comes(lastLow, lastHigh);
    this.#lastLow = lastLow;
    this.#lastHigh = lastHigh;
    this.#waiting += at - start;
    window.consume(at - start);
    return count;
  }

  #begin(window: Window, from: number, origin: number, time: number): Run {
    const run = new Run(this.#little, time, window, from, origin);
    this.#runs.push(run);
    return run;
  }

  /** The run that goes on where a window begins, if there is one. */
  #last(window: Window, origin: number): Run | null {
    const run = this.#runs.at(-1);
    return run?.place === window && run.to === window.offset && run.origin === origin ? run : null;
  }

  /** Records that came after later ones had gone on. */
  get late(): number {
    return this.#rounds.late;
  }

  /** Ends a round. */
  round(): void {
    this.rounds += 1;
    this.#flush(this.#rounds.limitHigh, this.#rounds.limitLow);
    this.#rounds.end();
  }

  /** Hands on everything that waits. */
  end(): void {
    this.#flush(-1, -1);
  }

  /** Without rounds, the older half of the time that waits goes on. */
  #relieve(): void {
    const { newestLow, newestHigh } = this.#rounds;
    let [low, high] = [newestLow, newestHigh];
    for (const run of this.#runs) {
      run.open(0);
      if (!run.next() || !later(high, low, run.timeHigh, run.timeLow)) continue;
      low = run.timeLow;
      high = run.timeHigh;
    }
    const oldest = timeOf(high, low);
    const middle = oldest + (timeOf(newestHigh, newestLow) - oldest) / 2n;
    this.#flush(...halvesOf(middle));
    if (this.#waiting > MOST / 2 || this.#runs.length > MOST_RUNS / 2) this.end();
  }

  #flush(high: number, low: number): void {
    this.#runs.forEach((run, order) => {
      run.open(order);
    });
    const merge = new Merge(this.#runs);
    let goneLow = 0;
    let goneHigh = 0;
    for (let run = merge.first(); run !== undefined; run = merge.first()) {
      if (later(run.timeHigh, run.timeLow, high, low)) break;
      goneLow = run.timeLow;
      goneHigh = run.timeHigh;
      this.#emit(run);
      merge.advance();
    }
    this.#rounds.goes(goneLow, goneHigh); // the last is the newest
    this.#runs = this.#runs.filter((run) => run.close());
    this.#waiting = this.#runs.reduce((sum, { from, to }) => sum + to - from, 0);
  }
}
