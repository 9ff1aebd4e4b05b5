/**
 * All that a profile needs of a trace: its exits counted and timed by cell (cells.ts), with what bounds them. Built in
 * one pass over the events; every table of a profile, however grouped, is made from it without reading the trace again.
 */
import type { Chunk } from '../../traces/store.js';
import { type AccessEvent, AccessWalker } from './access.js';
import { CELL, CELL_WORDS, CellTable, packWhat, WHAT } from './cells.js';
import { type SortedCells, sortCells, withSums } from './stats.js';
import type { Unit } from './view.js';
import { type Code, ExitWalker, type WalkedExit } from './walk.js';

/** Times that belong to a level: what it ran before its exits, and what passed after them. */
export interface LevelTime {
  /** UNKNOWN_LEVEL where the trace does not say it. */
  readonly level: number;
  readonly guest: number;
  readonly outside: number;
}

/** What a lane has besides exits. */
export interface LaneSpan {
  readonly lane: number;
  /** From its first to its last event; NaN where that is not known. */
  readonly span: number;
  /** The parts of that from entries to exits and from exits to entries, by the level that exited; the rest was not observed. */
  readonly levels: readonly LevelTime[];
  /** Entries that were tried. */
  readonly entries: number;
  /** Nested entries that the hypervisor refused, so that none was tried. */
  readonly refused: number;
  /** Those of them that failed without an exit, as VMfail does; KVM tells user space so. */
  readonly failedEarly: number;
}

export interface ExitIndex {
  readonly unit: Unit;
  /** Events that the recorder lost. */
  readonly lost: number;
  readonly lanes: readonly LaneSpan[];
  /** Exits that are counted without their RIP, or even by reason alone, because there are more than MOST_CELLS of those. */
  readonly coarse: number;
  /** CELL_WORDS words a cell. */
  readonly cells: Uint32Array;
  /** Exits of each cell, with a time or without. */
  readonly counts: Float64Array;
  /** Handler times of each cell. */
  readonly times: SortedCells;
  /**
   * Of a stretch: by cell, the handler time that lies in it, also of exits before it, so that a cell with a time may have
   * no exit. Without it that is the sum of `times`.
   */
  readonly within?: Float64Array;
  /** Instruction bytes by RIP. */
  readonly code: ReadonlyMap<bigint, Code>;
}

/**
 * Cells that are told apart by RIP. Exits of further ones are counted without it, and beyond twice as many by reason
 * alone, so that a trace of any number of places takes a bounded amount of memory besides its times.
 */
const MOST_CELLS = 1 << 20;
const TAG_BITS = 0xff00;

/** Takes numbers into arrays that grow by doubling. */
export class Growing<T extends Float64Array | Uint32Array> {
  readonly #make: (length: number) => T;
  #cells: T;
  length = 0;

  constructor(make: (length: number) => T) {
    this.#make = make;
    this.#cells = make(1024);
  }

  push(value: number): void {
    if (this.length === this.#cells.length) this.#grow(2 * this.length);
    this.#cells[this.length++] = value;
  }

  add(index: number, value: number): void {
    if (index >= this.#cells.length) this.#grow(2 * index);
    this.length = Math.max(this.length, index + 1);
    this.#cells[index] = (this.#cells[index] as number) + value;
  }

  get values(): T {
    return this.#cells.subarray(0, this.length) as T;
  }

  #grow(length: number): void {
    const grown = this.#make(length);
    grown.set(this.#cells);
    this.#cells = grown;
  }
}

/** The cells of exits, from whatever walks over the events. */
export class ExitCells {
  readonly #cells = new CellTable();
  readonly #most: number;
  readonly #key = new Uint32Array(CELL_WORDS);
  /** Exits that were put into a coarser cell than their own. */
  coarse = 0;

  constructor(most = MOST_CELLS) {
    this.#most = most;
  }

  get size(): number {
    return this.#cells.size;
  }

  /** The words of all cells. */
  get words(): Uint32Array {
    return this.#cells.words;
  }

  /** Index of the cell that an exit belongs to. */
  index(exit: WalkedExit): number {
    const key = this.#key;
    const marks =
      (exit.failed === true ? WHAT.failed : 0) |
      (exit.hasRip === true ? WHAT.hasRip : 0) |
      (exit.reflected === true ? WHAT.reflected : 0);
    key[CELL.lane] = exit.lane;
    key[CELL.what] = packWhat(exit.level, exit.key.tag, exit.isa, marks);
    key[CELL.reasonLow] = exit.reasonLow;
    key[CELL.reasonHigh] = exit.reasonHigh;
    key[CELL.keyLow] = exit.key.low;
    key[CELL.keyHigh] = exit.key.high;
    key[CELL.ripLow] = exit.hasRip === true ? exit.ripLow : 0;
    key[CELL.ripHigh] = exit.hasRip === true ? exit.ripHigh : 0;
    return this.#cell(key);
  }

  /** Where there are too many, the RIP goes first, then the sub-key. */
  #cell(key: Uint32Array): number {
    if (this.#cells.size < this.#most) return this.#cells.index(key);
    const found = this.#cells.find(key);
    if (found >= 0) return found;
    this.coarse += 1;
    key[CELL.what] = ((key[CELL.what] as number) & ~WHAT.hasRip) >>> 0;
    key.fill(0, CELL.ripLow);
    if (this.#cells.size < 2 * this.#most) return this.#cells.index(key);
    const known = this.#cells.find(key);
    if (known >= 0) return known;
    key[CELL.what] = ((key[CELL.what] as number) & ~TAG_BITS) >>> 0;
    key.fill(0, CELL.keyLow);
    return this.#cells.index(key);
  }
}

/** Gathers exits, from whatever walks over the events. */
export class ExitCounter {
  readonly #cells: ExitCells;
  readonly #counts = new Growing((length) => new Float64Array(length));
  readonly #timed = new Growing((length) => new Uint32Array(length));
  readonly #durations = new Growing((length) => new Float64Array(length));

  constructor(most = MOST_CELLS) {
    this.#cells = new ExitCells(most);
  }

  /** Counts an exit, and returns the index of its cell; cells are numbered as they are met. */
  take(exit: WalkedExit): number {
    const cell = this.#cells.index(exit);
    this.#counts.add(cell, 1);
    if (exit.time >= 0) {
      this.#timed.push(cell);
      this.#durations.push(exit.time);
    }
    return cell;
  }

  finish(): Pick<ExitIndex, 'cells' | 'counts' | 'times' | 'coarse'> {
    return {
      coarse: this.#cells.coarse,
      cells: this.#cells.words,
      counts: this.#counts.values.slice(),
      times: sortCells(this.#timed.values, this.#durations.values, this.#cells.size),
    };
  }
}

/** What is counted: exits, or accesses that the host emulates (access.ts). The names are those of `perf kvm stat`. */
export type CountedEvent = 'vmexit' | AccessEvent;

export class ExitIndexBuilder {
  readonly #counter = new ExitCounter();
  readonly #walker: ExitWalker;
  readonly #accesses: AccessWalker | null;

  constructor(event: CountedEvent = 'vmexit') {
    const count = (exit: WalkedExit): void => {
      this.#counter.take(exit);
    };
    this.#walker = new ExitWalker(event === 'vmexit' ? count : () => {});
    this.#accesses = event === 'vmexit' ? null : new AccessWalker(event, count);
  }

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    this.#walker.take(chunk);
    this.#accesses?.take(chunk);
  }

  /** What takes events one by one instead, in order; null where accesses are counted, which need all of them. */
  get events(): Pick<ExitWalker, 'wants' | 'event'> | null {
    return this.#accesses === null ? this.#walker : null;
  }

  /** The index; nothing may be taken afterwards. */
  finish(): ExitIndex {
    return indexOf(this.#walker, this.#counter);
  }
}

/** The index of what a walker handed out to a counter; neither takes anything afterwards. */
export function indexOf(walker: ExitWalker, counter: ExitCounter): ExitIndex {
  walker.end();
  return { unit: walker.unit, lost: walker.lost, lanes: walker.spans, ...counter.finish(), code: walker.code };
}

/** The part of an index that some lanes have. */
export function onlyLanes(index: ExitIndex, keep: (lane: number) => boolean): ExitIndex {
  const kept = Array.from(index.counts, (_, i) => i).filter((i) => keep(index.cells[i * CELL_WORDS + CELL.lane] ?? 0));
  const { starts, values } = index.times;
  const sizes = kept.map((i) => (starts[i + 1] as number) - (starts[i] as number));
  const to = new Uint32Array(kept.length + 1);
  const durations = new Float64Array(sizes.reduce((sum, size) => sum + size, 0));
  const cells = new Uint32Array(kept.length * CELL_WORDS);
  kept.forEach((i, n) => {
    const at = to[n] as number;
    cells.set(index.cells.subarray(i * CELL_WORDS, (i + 1) * CELL_WORDS), n * CELL_WORDS);
    durations.set(values.subarray(starts[i], starts[i + 1]), at);
    to[n + 1] = at + (sizes[n] as number);
  });
  return {
    ...index,
    lanes: index.lanes.filter(({ lane }) => keep(lane)),
    cells,
    counts: Float64Array.from(kept, (i) => index.counts[i] as number),
    times: withSums(to, durations),
  };
}
