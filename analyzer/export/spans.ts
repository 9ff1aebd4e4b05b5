/**
 * The exits of a trace as nested spans of each lane. A span runs from the exit to the entry that takes its level up
 * again: an exit of L2 that L1 serves lasts until L2 runs, and the exits of L1 meanwhile lie inside. So an entry to
 * level n ends the spans of level n and below, and open spans are of descending level: their number is bounded.
 */
import { EVENT_KINDS, FIELD_INDEX } from '../../engine/observer.js';
import type { Chunk } from '../../traces/store.js';
import { ChunkEvent, HAS, UNKNOWN_LEVEL } from '../profile/event.js';
import { keyLabel, keyOfExit, SubKey } from '../profile/keys.js';
import type { NameOf } from '../profile/lane-names.js';
import { reasonName } from '../profile/profile.js';
import { Clock, COLUMNS, EventView, type Unit, type Wide } from '../profile/view.js';

export const SPAN_COLUMNS: readonly string[] = COLUMNS;

/** An exit that begins. Valid during the call only. */
export interface Span {
  readonly lane: number;
  /** Nanoseconds or ticks since the origin; never falls within a lane. */
  readonly at: number;
  readonly seq: number;
  /** Level and reason, for example `L1 CPUID`. */
  readonly name: string;
  /** What it is about, for example `leaf 0x1`; empty where the exit does not say it. */
  readonly key: string;
  /** Level that exited, null where it is unknown. */
  readonly level: number | null;
  readonly rip: bigint | null;
}

/** Something at one time: an entry that failed, a VMX instruction that failed, a gap. */
export interface Mark {
  readonly lane: number;
  readonly at: number;
  readonly seq: number;
  readonly kind: 'entry_failed' | 'vmfail' | 'lost';
  readonly name: string;
}

export interface SpanTaker {
  open(span: Span): void;
  close(lane: number, at: number): void;
  mark(mark: Mark): void;
}

interface Lane {
  /** Levels of the open spans, descending. */
  readonly open: number[];
  last: number;
}

const HIGH = 0x1_0000_0000;

export class SpanWalker {
  readonly #taker: SpanTaker;
  readonly #nameOf: NameOf;
  readonly #only: number | null;
  readonly #lanes = new Map<number, Lane>();
  readonly #names = new Map<string, string>();
  readonly #key = new SubKey();
  readonly #clock = new Clock();
  #originLow = 0;
  #originHigh = 0;

  /** `only` limits it to one lane. */
  constructor(taker: SpanTaker, nameOf: NameOf, only: number | null = null) {
    this.#taker = taker;
    this.#nameOf = nameOf;
    this.#only = only;
  }

  /** Time of the clock's origin, which is the least of the first chunk that has times. */
  get origin(): bigint {
    return (BigInt(this.#originHigh) << 32n) | BigInt(this.#originLow);
  }

  /** Null: the trace has no clock, and events are one unit apart. */
  get unit(): Unit {
    return this.#clock.unit;
  }

  /** Takes a chunk of the event table with SPAN_COLUMNS, in order. */
  take(chunk: Chunk): void {
    const view = new EventView(chunk);
    const { toLevel } = view;
    const clock = this.#timeOf(chunk);
    const event = new ChunkEvent(view, clock, this.unit);
    for (let i = 0; i < chunk.rows; i++) {
      const id = view.lane[i] as number;
      const kind = view.kind[i] as number;
      if (this.#only !== null && id !== this.#only) {
        if (kind === EVENT_KINDS.lost) this.#gap();
        continue;
      }
      const lane = this.#lane(id);
      lane.last = Math.max(lane.last, this.#at(clock, i, chunk.first, lane));
      if (kind === EVENT_KINDS.exit) {
        event.read(i);
        this.#exit(chunk.first + i, event, id, lane);
      } else if (kind === EVENT_KINDS.entry) {
        this.#end(id, lane, toLevel.valid[i] === 1 ? (toLevel.cells[i] as number) : UNKNOWN_LEVEL);
      } else this.#mark(view, i, kind, id, lane);
    }
  }

  /** Closes what is open, at the last time of its lane. */
  end(): void {
    this.#gap();
  }

  #lane(id: number): Lane {
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = { open: [], last: 0 };
      this.#lanes.set(id, lane);
    }
    return lane;
  }

  #timeOf(chunk: Chunk): Wide | null {
    const known = this.unit !== null;
    const column = this.#clock.of(chunk);
    if (column !== null && !known) this.#setOrigin(column, column.valid.subarray(0, chunk.rows).indexOf(1), chunk.rows);
    return column;
  }

  #setOrigin({ cells, valid }: Wide, first: number, rows: number): void {
    let least = first;
    const high = (i: number): number => cells[2 * i + 1] as number;
    const low = (i: number): number => cells[2 * i] as number;
    for (let i = first; i < rows; i++) {
      if (valid[i] === 1 && (high(i) < high(least) || (high(i) === high(least) && low(i) < low(least)))) least = i;
    }
    this.#originLow = low(least);
    this.#originHigh = high(least);
  }

  #at(clock: Wide | null, i: number, first: number, lane: Lane): number {
    if (clock === null) return this.unit === null ? first + i : lane.last;
    if (clock.valid[i] !== 1) return lane.last;
    return (
      ((clock.cells[2 * i + 1] as number) - this.#originHigh) * HIGH + (clock.cells[2 * i] as number) - this.#originLow
    );
  }

  #exit(seq: number, { mask, words, isa, fromLevel }: ChunkEvent, id: number, lane: Lane): void {
    if ((mask & HAS.reason) === 0) return;
    this.#end(id, lane, fromLevel);
    lane.open.push(fromLevel);
    const [low, high] = [words[2 * FIELD_INDEX.reason] as number, words[2 * FIELD_INDEX.reason + 1] as number];
    this.#key.clear();
    keyOfExit(isa, low, { mask, words }, this.#key);
    const [rip, ripHigh] = [words[2 * FIELD_INDEX.rip] as number, words[2 * FIELD_INDEX.rip + 1] as number];
    this.#taker.open({
      lane: id,
      at: lane.last,
      seq,
      name: this.#name(fromLevel, isa, low, high),
      key: keyLabel(this.#key.tag, this.#key.value),
      level: fromLevel === UNKNOWN_LEVEL ? null : fromLevel,
      rip: (mask & HAS.rip) === 0 ? null : (BigInt(ripHigh) << 32n) | BigInt(rip),
    });
  }

  /** Ends the spans of `level` and below; of all where it is unknown. */
  #end(id: number, { open, last }: Lane, level: number): void {
    for (let top = open.at(-1); top !== undefined && (top <= level || top === UNKNOWN_LEVEL); top = open.at(-1)) {
      open.pop();
      this.#taker.close(id, last);
    }
  }

  #mark(view: EventView, i: number, kind: number, lane: number, { last: at }: Lane): void {
    const seq = view.chunk.first + i;
    const [low, high] = [view.reason.cells[2 * i] as number, view.reason.cells[2 * i + 1] as number];
    if (kind === EVENT_KINDS.entry_failed) {
      const from = view.level.valid[i] === 1 ? (view.level.cells[i] as number) : UNKNOWN_LEVEL;
      const by = view.isa.valid[i] === 1 ? (view.isa.cells[i] as number) : 0;
      const why = view.reason.valid[i] === 1 ? `: ${this.#name(from, by, low, high)}` : '';
      this.#taker.mark({ lane, at, seq, kind: 'entry_failed', name: `VM entry failed${why}` });
    } else if (kind === EVENT_KINDS.vmfail) {
      const number = view.code.valid[i] === 1 ? `, error ${view.code.cells[2 * i]}` : '';
      this.#taker.mark({ lane, at, seq, kind: 'vmfail', name: `VMfail${number}` });
    } else if (kind === EVENT_KINDS.lost) {
      const { cells, valid } = view.value;
      const count = (cells[2 * i + 1] as number) * HIGH + (cells[2 * i] as number);
      this.#gap();
      this.#taker.mark({ lane, at, seq, kind: 'lost', name: valid[i] === 1 ? `${count} events lost` : 'events lost' });
    }
  }

  /** After a gap nobody knows which entry belongs to which exit. */
  #gap(): void {
    for (const [id, lane] of this.#lanes) this.#end(id, lane, UNKNOWN_LEVEL);
  }

  #name(level: number, isa: number, low: number, high: number): string {
    const id = `${level} ${isa} ${high} ${low}`;
    let name = this.#names.get(id);
    if (name === undefined) {
      const reason = reasonName(isa, (BigInt(high) << 32n) | BigInt(low), this.#nameOf);
      name = level === UNKNOWN_LEVEL ? reason : `L${level} ${reason}`;
      if (this.#names.size < MOST_NAMES) this.#names.set(id, name);
    }
    return name;
  }
}

/** Names kept; a hostile trace may have as many as it has exits. */
const MOST_NAMES = 4096;
