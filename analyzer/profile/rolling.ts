/**
 * A profile of a recording that is still going on: counts, rates and handler times by level and reason, of all so far
 * and of the newest window, in bounded memory for hours. Times are kept as histograms (../histogram.ts), so that
 * percentiles are told to 0.4 %; count, mean and maximum are exact. Rates are by the recording's own clock.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import type { Chunk } from '../../traces/store.js';
import { Histogram } from '../histogram.js';
import { UNKNOWN_LEVEL } from './event.js';
import type { NameOf } from './lane-names.js';
import { reasonName } from './profile.js';
import { WordTable } from './table.js';
import { Clock, narrow, type Unit } from './view.js';
import { ExitWalker, type WalkedExit } from './walk.js';

/** What is told apart: lane, level, architecture, reason. Beyond these, all else is counted as one. */
const MAX_CELLS = 4096;
const HIGH = 0x1_0000_0000;
const SECOND = 1e9;
const ISA = [null, 'vmx', 'svm'] as const;

/** What is said of some exits. Times are in ns, from exit to entry; null where none was measured. */
export interface Figures {
  readonly count: number;
  /** Exits per second; null where there is no clock, or it stood still. */
  readonly rate: number | null;
  /** Part of all exits, and of all handler time. */
  readonly share: number;
  readonly timeShare: number;
  readonly times: {
    readonly total: number;
    readonly mean: number;
    readonly p50: number;
    readonly p99: number;
    readonly max: number;
  } | null;
}

export interface RollingRow {
  /** What it was grouped by: a VM or a vCPU, or empty. */
  readonly group: string;
  readonly level: number | null;
  readonly isa: 'vmx' | 'svm' | null;
  readonly reason: string;
  /** A VM entry that failed. */
  readonly failed: boolean;
  /** Since the start. */
  readonly all: Figures;
  /** Of the newest window in which events came. */
  readonly recent: Figures;
}

export interface Totals {
  /** Nanoseconds by the recording's clock. */
  readonly span: number;
  readonly events: number;
  readonly exits: number;
  readonly entries: number;
  readonly failedEntries: number;
  /** Events that the recorder lost, and where it did: it may not say how many. */
  readonly lost: number;
  readonly gaps: number;
}

export interface Rolling {
  readonly unit: Unit;
  /** Time of the newest event, ns of the recording's clock; null where there is none. */
  readonly newest: number | null;
  readonly all: Totals;
  readonly recent: Totals;
  readonly rows: readonly RollingRow[];
}

interface Cell {
  readonly lane: number;
  readonly level: number;
  readonly isa: number;
  readonly failed: boolean;
  readonly reason: bigint;
  /** False for the cell of all that is beyond MAX_CELLS. */
  readonly told: boolean;
  count: number;
  recentCount: number;
  readonly times: Histogram;
  recentTimes: Histogram | null;
}

/** Counted since the last window was closed, and the closed windows. */
interface Tally {
  events: number;
  exits: number;
  entries: number;
  failedEntries: number;
  lost: number;
  gaps: number;
}
const nothing = (): Tally => ({ events: 0, exits: 0, entries: 0, failedEntries: 0, lost: 0, gaps: 0 });

export class RollingProfile {
  readonly #walker = new ExitWalker((exit) => this.#exit(exit));
  readonly #clock = new Clock();
  readonly #table = new WordTable();
  readonly #cells: Cell[] = [];
  /** Cells of the window that is open, and of the one that was closed last. */
  #open = new Map<Cell, { count: number; times: Histogram | null }>();
  #closed: Cell[] = [];
  #events = 0;
  #before: Tally = nothing();
  #recent: Tally = nothing();
  #first: number | null = null;
  #newest: number | null = null;
  #edge: number | null = null;
  #recentSpan = 0;

  /** Rows of the event table so far. */
  get events(): number {
    return this.#events;
  }

  /** Time of the newest event in ns; null where there is none, or its clock counts something else. */
  get newest(): number | null {
    return this.#clock.unit === 'ns' ? this.#newest : null;
  }

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    if (chunk.table !== 'event') return;
    this.#events += chunk.rows;
    this.#visit(chunk);
    this.#walker.take(chunk);
  }

  #visit(chunk: Chunk): void {
    const clock = this.#clock.of(chunk);
    if (clock === null) return;
    const kind = narrow(chunk.column('kind')).cells;
    for (let i = 0; i < chunk.rows; i++) {
      if (clock.valid[i] !== 1 || kind[i] === EVENT_KINDS.lost) continue;
      const time = (clock.cells[2 * i + 1] as number) * HIGH + (clock.cells[2 * i] as number);
      if (this.#first === null || time < this.#first) this.#first = time;
      if (this.#newest === null || time > this.#newest) this.#newest = time;
    }
    this.#edge ??= this.#first;
  }

  #exit(exit: WalkedExit): void {
    const cell = this.#cell(exit);
    let open = this.#open.get(cell);
    if (open === undefined) {
      open = { count: 0, times: null };
      this.#open.set(cell, open);
    }
    open.count += 1;
    if (exit.time < 0) return;
    open.times ??= new Histogram();
    open.times.record(exit.time);
  }

  #cell({ lane, level, isa, failed, reasonLow, reasonHigh }: WalkedExit): Cell {
    const what = ((lane << 11) | (level << 3) | (isa << 1) | (failed ? 1 : 0)) >>> 0;
    const found = this.#cells[this.#table.find(what, reasonLow, reasonHigh)];
    if (found !== undefined) return found;
    const told = this.#cells.length < MAX_CELLS;
    if (!told && this.#cells.length > MAX_CELLS) return this.#cells[MAX_CELLS] as Cell;
    if (told) this.#table.index(what, reasonLow, reasonHigh);
    const reason = (BigInt(reasonHigh >>> 0) << 32n) | BigInt(reasonLow >>> 0);
    const times = new Histogram();
    const cell = { lane, level, isa, failed, reason, told, count: 0, recentCount: 0, times, recentTimes: null };
    this.#cells.push(cell);
    return cell;
  }

  /** Closes the exits that no entry will follow, at the end of the recording. */
  end(): void {
    this.#walker.end();
  }

  /** Ends the window that is open and begins another; without events the last one stays. */
  turn(): void {
    const now = this.#tally();
    if (now.events + now.gaps === this.#before.events + this.#before.gaps && this.#open.size === 0) return;
    for (const cell of this.#closed) {
      cell.recentCount = 0;
      cell.recentTimes = null;
    }
    for (const [cell, { count, times }] of this.#open) {
      cell.count += count;
      cell.recentCount = count;
      cell.recentTimes = times;
      if (times !== null) cell.times.merge(times);
    }
    this.#closed = [...this.#open.keys()];
    this.#open = new Map();
    this.#recent = less(now, this.#before);
    this.#before = now;
    this.#recentSpan = this.#newest === null || this.#edge === null ? 0 : this.#newest - this.#edge;
    this.#edge = this.#newest;
  }

  #tally(): Tally {
    const { kinds, lost } = this.#walker;
    const gaps = kinds[EVENT_KINDS.lost] ?? 0;
    return {
      events: this.#events - gaps,
      exits: kinds[EVENT_KINDS.exit] ?? 0,
      entries: kinds[EVENT_KINDS.entry] ?? 0,
      failedEntries: kinds[EVENT_KINDS.entry_failed] ?? 0,
      lost,
      gaps,
    };
  }

  /**
   * What is known after the last `turn`: the busiest rows, `most` at the most. `groupOf` says which rows of different
   * lanes are one, `nameOf` what the recording itself calls its reasons.
   */
  read(groupOf: (lane: number) => string = () => '', most = 500, nameOf: NameOf = () => null): Rolling {
    const groups = new Map<string, Cell[]>();
    for (const cell of this.#cells) {
      const { level, isa, failed, reason, told } = cell;
      const key = told ? JSON.stringify([groupOf(cell.lane), level, isa, failed, reason.toString()]) : '';
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [cell]);
      else group.push(cell);
    }
    // cycles make no seconds
    const timed = this.#clock.unit === 'ns';
    const span = !timed || this.#newest === null || this.#first === null ? 0 : this.#newest - this.#first;
    const recentSpan = timed ? this.#recentSpan : 0;
    const all = new Sums(span);
    const recent = new Sums(recentSpan);
    const gathered = [...groups.values()].flatMap((cells) => {
      const [first] = cells;
      if (first === undefined) return [];
      const whole = all.add(cells.map(({ count, times }) => ({ count, times })));
      const newest = recent.add(cells.map(({ recentCount: count, recentTimes: times }) => ({ count, times })));
      return [{ first, whole, newest }];
    });
    gathered.sort((a, b) => b.whole.count - a.whole.count);
    return {
      unit: this.#clock.unit,
      newest: this.newest,
      all: { span, ...this.#before },
      recent: { span: recentSpan, ...this.#recent },
      rows: gathered.slice(0, most).map(({ first, whole, newest }) => ({
        group: first.told ? groupOf(first.lane) : '',
        level: !first.told || first.level === UNKNOWN_LEVEL ? null : first.level,
        isa: first.told ? (ISA[first.isa] ?? null) : null,
        reason: first.told ? reasonName(first.isa, first.reason, nameOf) : 'all others',
        failed: first.told && first.failed,
        all: all.figures(whole),
        recent: recent.figures(newest),
      })),
    };
  }
}

const less = (now: Tally, before: Tally): Tally => ({
  events: now.events - before.events,
  exits: now.exits - before.exits,
  entries: now.entries - before.entries,
  failedEntries: now.failedEntries - before.failedEntries,
  lost: now.lost - before.lost,
  gaps: now.gaps - before.gaps,
});

interface Part {
  readonly count: number;
  readonly times: Histogram | null;
}

/** Sums over all rows, of which each row is a share. */
class Sums {
  readonly #span: number;
  #count = 0;
  #time = 0;

  constructor(span: number) {
    this.#span = span;
  }

  /** Parts that are one row. */
  add(parts: readonly Part[]): Part {
    const counted = parts.filter(({ times }) => times !== null && times.count > 0);
    const count = parts.reduce((sum, part) => sum + part.count, 0);
    let times = counted[0]?.times ?? null;
    if (counted.length > 1) {
      times = new Histogram();
      for (const part of counted) if (part.times !== null) times.merge(part.times);
    }
    this.#count += count;
    this.#time += times?.sum ?? 0;
    return { count, times };
  }

  figures({ count, times }: Part): Figures {
    return {
      count,
      rate: this.#span > 0 ? (count * SECOND) / this.#span : null,
      share: this.#count === 0 ? 0 : count / this.#count,
      timeShare: times === null || this.#time === 0 ? 0 : times.sum / this.#time,
      times:
        times === null || times.count === 0
          ? null
          : {
              total: times.sum,
              mean: times.mean,
              p50: times.percentile(0.5),
              p99: times.percentile(0.99),
              max: times.max,
            },
    };
  }
}
