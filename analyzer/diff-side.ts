/** One side of a comparison: its exits as cells of a profile, lane by lane, and the symbols they are aligned by. */
import type { Chunk } from '../traces/store.js';
import { samplesOf, samplesOfRow } from './budget-samples.js';
import { lackOf, lacksExits, lostOf, type Origin, untoldOf, WHOLE_RUN } from './origin.js';
import { CELL, CELL_WORDS, isaIn, levelIn, readCell, tagIn, WHAT } from './profile/cells.js';
import { UNKNOWN_LEVEL } from './profile/event.js';
import { ExitCounter, type ExitIndex, Growing, indexOf } from './profile/exit-index.js';
import { keyLabel } from './profile/keys.js';
import type { NameOf } from './profile/lane-names.js';
import { type Profile, type ProfileRow, profileOf, reasonName } from './profile/profile.js';
import type { WordTable } from './profile/table.js';
import { ExitWalker } from './profile/walk.js';
import type { Symbols } from './symbols/symbols.js';

/** How much of an exit must agree: reason; what it was about; the instruction. Each includes the one before. */
export type Match = 'reason' | 'key' | 'rip';

/** What is known of the exits of a reason, besides the reason. */
const SAYS = { key: 1, rip: 2 } as const;

/** What happened at the exits of each cell, as symbols, and what the side says of each symbol's exits. */
export interface Reasons {
  readonly symbols: Uint32Array;
  readonly known: ReadonlyMap<number, number>;
}

/** An exit as a person reads it. */
export interface ExitLine {
  readonly seq: number;
  readonly lane: number;
  readonly level: number | null;
  readonly reason: string;
  readonly failed: boolean;
  readonly key: string;
  readonly rip: bigint | null;
  /** `name+0x1a` of the RIP, where symbols were given and name it. */
  readonly symbol?: string;
}

const NONE: ExitIndex = {
  unit: null,
  lost: 0,
  lanes: [],
  coarse: 0,
  cells: new Uint32Array(0),
  counts: new Float64Array(0),
  times: {
    starts: new Uint32Array(1),
    values: new Float64Array(0),
    sums: new Float64Array(0),
    squares: new Float64Array(0),
  },
  code: new Map(),
};

export class DiffSide {
  readonly #ignore: ReadonlySet<string>;
  /** However many cells: exits of two places must not become alike. */
  readonly #counter = new ExitCounter(Number.POSITIVE_INFINITY);
  readonly #walker: ExitWalker;
  /** Cell and seq of each exit, in the order in which they ended. */
  readonly #cell = new Growing((length) => new Uint32Array(length));
  readonly #seq = new Growing((length) => new Float64Array(length));
  readonly #symbols: Symbols | null;
  #index = NONE;
  /** Exits in the order of their lane's first exit, then of time, without those that are ignored. */
  #order = new Uint32Array(0);
  /** Starts of the lanes in that order; one more than there are lanes. */
  lanes: readonly number[] = [0];
  profile: Profile | null = null;
  #nameOf: NameOf = () => null;
  #origin: Origin = WHOLE_RUN;

  /** `ignore` names reasons to leave out of the alignment; `symbols` name the RIPs of lines. */
  constructor(ignore: Iterable<string> = [], { symbols = null }: { readonly symbols?: Symbols | null } = {}) {
    this.#symbols = symbols;
    this.#ignore = new Set(ignore);
    this.#walker = new ExitWalker((exit) => {
      this.#cell.push(this.#counter.take(exit));
      this.#seq.push(exit.seq);
    });
  }

  /** Takes a chunk of the event table, in order. */
  take(chunk: Chunk): void {
    this.#walker.take(chunk);
  }

  /** Ends the input: sorts by lane, leaves out what is ignored. */
  finish(nameOf: NameOf, origin: Origin = WHOLE_RUN): void {
    this.#nameOf = nameOf;
    this.#origin = origin;
    this.#index = indexOf(this.#walker, this.#counter);
    this.profile = profileOf(this.#index, nameOf, { rips: 0 });
    this.#sort();
  }

  /** Puts the exits into order by counting those of each lane. */
  #sort(): void {
    const cells = this.#cell.values;
    const ignored = this.#ignored();
    const ranks = new Map<number, number>();
    // cells are in the order of their first exits, and so are their lanes
    const rankOf = Int32Array.from(ignored, (isIgnored, cell) => {
      if (isIgnored === 1) return -1;
      const lane = this.#word(cell, CELL.lane);
      const rank = ranks.get(lane) ?? ranks.size;
      ranks.set(lane, rank);
      return rank;
    });
    const starts = new Uint32Array(ranks.size + 1);
    for (let i = 0; i < cells.length; i++) {
      const rank = rankOf[cells[i] as number] as number;
      if (rank >= 0) starts[rank + 1] = (starts[rank + 1] as number) + 1;
    }
    for (let rank = 0; rank < ranks.size; rank++)
      starts[rank + 1] = (starts[rank + 1] as number) + (starts[rank] as number);
    this.lanes = [...starts];
    const order = new Uint32Array(starts[ranks.size] as number);
    for (let i = 0; i < cells.length; i++) {
      const rank = rankOf[cells[i] as number] as number;
      if (rank < 0) continue;
      const at = starts[rank] as number;
      order[at] = i;
      starts[rank] = at + 1;
    }
    this.#order = order;
  }

  get exits(): number {
    return this.#order.length;
  }

  /** Why the recording is not there to its end; null where it is. */
  get cut(): string | null {
    return this.#origin.cut;
  }

  /** What makes its counts lower bounds, in words; null where they are exact. */
  get lack(): string | null {
    return lackOf(this.#origin, this.kinds, this.profile?.lost ?? 0);
  }

  /** How many events it lost; null where that is unknown. */
  get lost(): number | null {
    return lostOf(this.#origin, this.#walker.uncounted, this.profile?.lost ?? 0);
  }

  /** Why it would not tell of entries that failed without an exit; null where it would. */
  get untold(): string | null {
    return untoldOf(this.#origin, this.kinds, this.profile ?? { rows: [], refused: 0 });
  }

  /** Whether it has no events of exits, so that their number is unknown. */
  get lacksExits(): boolean {
    return lacksExits(this.#origin, this.kinds);
  }

  /** Handler times of a level and a reason, ascending, null meaning all. */
  times(level: number | null, reason: string | null): Float64Array {
    return samplesOf(this.#index, level, reason, this.#nameOf);
  }

  /** Handler times of a row of the profile, ascending. */
  rowTimes(row: ProfileRow): Float64Array {
    return samplesOfRow(this.#index, row);
  }

  /** Events by kind. */
  get kinds(): Float64Array {
    return this.#walker.kinds;
  }

  /**
   * What happened at the exits of each cell: actor and reason, as symbols of `table`. Actors are counted from the
   * innermost guest outwards, so that a nested run can be held against one that is not.
   */
  reasons(table: WordTable): Reasons {
    const ignored = this.#ignored();
    const highest = this.#highest();
    const known = new Map<number, number>();
    const symbols = Uint32Array.from(ignored, (isIgnored, cell) => {
      const what = this.#word(cell, CELL.what);
      const level = levelIn(what);
      const actor = level === UNKNOWN_LEVEL ? level : highest - level;
      const first = (actor << 8) | (isaIn(what) << 1) | (what & WHAT.failed ? 1 : 0);
      const symbol = table.index(first, this.#word(cell, CELL.reasonLow), this.#word(cell, CELL.reasonHigh));
      const says = (tagIn(what) === 0 ? 0 : SAYS.key) | (what & WHAT.hasRip ? SAYS.rip : 0);
      if (isIgnored === 0) known.set(symbol, (known.get(symbol) ?? 0) | says);
      return symbol;
    });
    return { symbols, known };
  }

  /** The same in more detail, where both sides say it of that reason: what one source never says is no difference. */
  details(own: Reasons, other: Reasons, rips: boolean, keys: WordTable, table: WordTable): Uint32Array {
    return own.symbols.map((symbol, cell) => {
      const says = (own.known.get(symbol) ?? 0) & (other.known.get(symbol) ?? SAYS.key | SAYS.rip);
      const tag = tagIn(this.#word(cell, CELL.what));
      const detail =
        says & SAYS.key
          ? keys.index(((symbol << 8) | tag) >>> 0, this.#word(cell, CELL.keyLow), this.#word(cell, CELL.keyHigh))
          : keys.index((symbol << 8) >>> 0, 0, 0);
      if (!rips) return detail;
      return says & SAYS.rip
        ? table.index(detail, this.#word(cell, CELL.ripLow), this.#word(cell, CELL.ripHigh))
        : table.index(detail, 0, 0);
    });
  }

  /** Cells whose exits are left out, a 1 each. */
  #ignored(): Uint8Array {
    const ignored = new Uint8Array(this.#index.counts.length);
    if (this.#ignore.size > 0)
      for (let cell = 0; cell < ignored.length; cell++) ignored[cell] = this.#ignore.has(this.#reason(cell)) ? 1 : 0;
    return ignored;
  }

  /** The innermost level that exits. */
  #highest(): number {
    let highest = 0;
    for (let cell = 0; cell < this.#index.counts.length; cell++) {
      const level = levelIn(this.#word(cell, CELL.what));
      if (level !== UNKNOWN_LEVEL) highest = Math.max(highest, level);
    }
    return highest;
  }

  /** What the exits have, in order, of what their cells have. */
  inOrder(ofCells: Uint32Array): Uint32Array {
    const cells = this.#cell.values;
    return this.#order.map((exit) => ofCells[cells[exit] as number] as number);
  }

  /** The exit at a position of the order. */
  line(at: number): ExitLine {
    const exit = this.#order[at] as number;
    const cell = this.#cell.values[exit] as number;
    const { lane, level: word, failed, tag, key, rip } = readCell(this.#index.cells, cell);
    const level = word === UNKNOWN_LEVEL ? null : word;
    const symbol = rip === null ? null : (this.#symbols?.label(level, rip) ?? null);
    return {
      seq: this.#seq.values[exit] as number,
      lane,
      level,
      reason: this.#reason(cell),
      failed,
      key: keyLabel(tag, key),
      rip,
      ...(symbol === null ? {} : { symbol }),
    };
  }

  #reason(cell: number): string {
    const { isa, reason } = readCell(this.#index.cells, cell);
    return reasonName(isa, reason, this.#nameOf);
  }

  #word(cell: number, word: number): number {
    return this.#index.cells[cell * CELL_WORDS + word] as number;
  }
}
