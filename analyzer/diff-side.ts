/** One side of a comparison: its exits in columns, lane by lane, and the symbols they are aligned by. */
import type { Chunk } from '../traces/store.js';
import { Samples } from './budget-samples.js';
import { lackOf, lacksExits, lostOf, type Origin, untoldOf, WHOLE_RUN } from './origin.js';
import { UNKNOWN_LEVEL } from './profile/event.js';
import { keyLabel } from './profile/keys.js';
import type { NameOf } from './profile/lane-names.js';
import { type Profile, type ProfileRow, Profiler, reasonName } from './profile/profile.js';
import type { WordTable } from './profile/table.js';
import { ExitWalker, type WalkedExit } from './profile/walk.js';
import type { Symbols } from './symbols/symbols.js';

/** Words of an exit, in this order. */
const WORDS = {
  lane: 0,
  seq: 1,
  level: 2,
  what: 3,
  reasonLow: 4,
  reasonHigh: 5,
  tag: 6,
  keyLow: 7,
  keyHigh: 8,
  hasRip: 9,
  ripLow: 10,
  ripHigh: 11,
} as const;
const WIDTH = 12;

/** How much of an exit must agree: reason; what it was about; the instruction. Each includes the one before. */
export type Match = 'reason' | 'key' | 'rip';

/** What is known of the exits of a reason, besides the reason. */
const SAYS = { key: 1, rip: 2 } as const;

/** Symbols of what happened at each exit, and what the side says of each symbol's exits. */
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

export class DiffSide {
  readonly #ignore: ReadonlySet<string>;
  readonly #profiler = new Profiler({ rips: 0 });
  readonly #walker = new ExitWalker((exit) => this.#exit(exit));
  #words = new Uint32Array(WIDTH * 1024);
  #count = 0;
  #highest = 0;
  /** Exits in the order of their lane's first exit, then of time. */
  #order = new Uint32Array(0);
  /** Starts of the lanes in that order; one more than there are lanes. */
  lanes: readonly number[] = [0];
  profile: Profile | null = null;
  readonly #samples = new Samples();
  readonly #symbols: Symbols | null;
  #nameOf: NameOf = () => null;
  #origin: Origin = WHOLE_RUN;

  /** `ignore` names reasons to leave out of the alignment; `symbols` name the RIPs of lines. */
  constructor(ignore: Iterable<string> = [], { symbols = null }: { readonly symbols?: Symbols | null } = {}) {
    this.#symbols = symbols;
    this.#ignore = new Set(ignore);
  }

  /** Takes a chunk of the event table, in order. */
  take(chunk: Chunk): void {
    this.#profiler.take(chunk);
    this.#walker.take(chunk);
  }

  #exit(exit: WalkedExit): void {
    this.#samples.take(exit);
    if ((this.#count + 1) * WIDTH > this.#words.length) {
      const grown = new Uint32Array(this.#words.length * 2);
      grown.set(this.#words);
      this.#words = grown;
    }
    if (exit.level !== UNKNOWN_LEVEL) this.#highest = Math.max(this.#highest, exit.level);
    const at = this.#count * WIDTH;
    const words = this.#words;
    words[at + WORDS.lane] = exit.lane;
    words[at + WORDS.seq] = exit.seq;
    words[at + WORDS.level] = exit.level;
    words[at + WORDS.what] = (exit.isa << 1) | (exit.failed ? 1 : 0);
    words[at + WORDS.reasonLow] = exit.reasonLow;
    words[at + WORDS.reasonHigh] = exit.reasonHigh;
    words[at + WORDS.tag] = exit.key.tag;
    words[at + WORDS.keyLow] = exit.key.low;
    words[at + WORDS.keyHigh] = exit.key.high;
    words[at + WORDS.hasRip] = exit.hasRip ? 1 : 0;
    words[at + WORDS.ripLow] = exit.hasRip ? exit.ripLow : 0;
    words[at + WORDS.ripHigh] = exit.hasRip ? exit.ripHigh : 0;
    this.#count += 1;
  }

  /** Ends the input: sorts by lane, leaves out what is ignored. */
  finish(nameOf: NameOf, origin: Origin = WHOLE_RUN): void {
    this.#nameOf = nameOf;
    this.#origin = origin;
    this.#walker.end();
    this.profile = this.#profiler.finish(nameOf);
    const lanes = new Map<number, number[]>();
    const known = new Map<string, boolean>();
    for (let i = 0; i < this.#count; i++) {
      const id = `${this.#word(i, WORDS.what)} ${this.#word(i, WORDS.reasonLow)} ${this.#word(i, WORDS.reasonHigh)}`;
      let ignored = known.get(id);
      if (ignored === undefined) {
        ignored = this.#ignore.has(this.#reason(i));
        known.set(id, ignored);
      }
      if (ignored) continue;
      const lane = this.#word(i, WORDS.lane);
      const list = lanes.get(lane);
      if (list === undefined) lanes.set(lane, [i]);
      else list.push(i);
    }
    const starts = [0];
    for (const list of lanes.values()) starts.push((starts.at(-1) ?? 0) + list.length);
    this.lanes = starts;
    this.#order = Uint32Array.from([...lanes.values()].flat());
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
    return this.#samples.of(level, reason, this.#nameOf);
  }

  /** Handler times of a row of the profile, ascending. */
  rowTimes(row: ProfileRow): Float64Array {
    return this.#samples.ofRow(row);
  }

  /** Events by kind. */
  get kinds(): Float64Array {
    return this.#walker.kinds;
  }

  /**
   * What happened at each exit, in order: actor and reason, as symbols of `table`. Actors are counted from the
   * innermost guest outwards, so that a nested run can be held against one that is not.
   */
  reasons(table: WordTable): Reasons {
    const symbols = new Uint32Array(this.#order.length);
    const known = new Map<number, number>();
    for (let at = 0; at < symbols.length; at++) {
      const i = this.#order[at] as number;
      const level = this.#word(i, WORDS.level);
      const actor = level === UNKNOWN_LEVEL ? level : this.#highest - level;
      const what = (actor << 8) | this.#word(i, WORDS.what);
      const symbol = table.index(what, this.#word(i, WORDS.reasonLow), this.#word(i, WORDS.reasonHigh));
      symbols[at] = symbol;
      const says = (this.#word(i, WORDS.tag) === 0 ? 0 : SAYS.key) | (this.#word(i, WORDS.hasRip) === 0 ? 0 : SAYS.rip);
      known.set(symbol, (known.get(symbol) ?? 0) | says);
    }
    return { symbols, known };
  }

  /** The same in more detail, where both sides say it of that reason: what one source never says is no difference. */
  details(own: Reasons, other: Reasons, rips: boolean, keys: WordTable, table: WordTable): Uint32Array {
    return own.symbols.map((symbol, at) => {
      const i = this.#order[at] as number;
      const says = (own.known.get(symbol) ?? 0) & (other.known.get(symbol) ?? SAYS.key | SAYS.rip);
      let detail = symbol << 8;
      if (says & SAYS.key) {
        const tagged = (detail | this.#word(i, WORDS.tag)) >>> 0;
        detail = keys.index(tagged, this.#word(i, WORDS.keyLow), this.#word(i, WORDS.keyHigh));
      } else {
        detail = keys.index(detail >>> 0, 0, 0);
      }
      if (!rips) return detail;
      const low = says & SAYS.rip ? this.#word(i, WORDS.ripLow) : 0;
      const high = says & SAYS.rip ? this.#word(i, WORDS.ripHigh) : 0;
      return table.index(detail, low, high);
    });
  }

  /** The exit at a position of the order. */
  line(at: number): ExitLine {
    const i = this.#order[at] as number;
    const word = this.#word(i, WORDS.level);
    const level = word === UNKNOWN_LEVEL ? null : word;
    const rip =
      this.#word(i, WORDS.hasRip) === 0 ? null : wide(this.#word(i, WORDS.ripLow), this.#word(i, WORDS.ripHigh));
    const symbol = rip === null ? null : (this.#symbols?.label(level, rip) ?? null);
    return {
      seq: this.#word(i, WORDS.seq),
      lane: this.#word(i, WORDS.lane),
      level,
      reason: this.#reason(i),
      failed: (this.#word(i, WORDS.what) & 1) === 1,
      key: keyLabel(this.#word(i, WORDS.tag), wide(this.#word(i, WORDS.keyLow), this.#word(i, WORDS.keyHigh))),
      rip,
      ...(symbol === null ? {} : { symbol }),
    };
  }

  #reason(i: number): string {
    const code = wide(this.#word(i, WORDS.reasonLow), this.#word(i, WORDS.reasonHigh));
    return reasonName(this.#word(i, WORDS.what) >>> 1, code, this.#nameOf);
  }

  #word(i: number, word: number): number {
    return this.#words[i * WIDTH + word] as number;
  }
}

const wide = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low);
