/** A trace as the page looks at it: read once, then every viewport is answered from memory. */
import { TraceError } from '../traces/errors.js';
import type { TraceReader } from '../traces/store.js';
import { notesOf, originOf } from './origin.js';
import { indexOf } from './profile/beside.js';
import type { ExitIndex } from './profile/exit-index.js';
import type { NameOf } from './profile/lane-names.js';
import type { Symbols } from './symbols/symbols.js';
import {
  AXES,
  type Axis,
  type Domain,
  type Filter,
  type Flame,
  type Gap,
  type Overview,
  type Place,
  type ProfileTable,
  type Scope,
  type View,
} from './timeline-answers.js';
import { type Exits, indexWithin, markStack, readExits, type Within } from './timeline-exits.js';
import { categoryMask, lanesOf, textMask } from './timeline-filter.js';
import { flameOf } from './timeline-flame.js';
import { type EventIndex, type Hole, IndexBuilder, LIMITS, NO_LANE } from './timeline-index.js';
import { type LaneColumns, layOut, lowerBound } from './timeline-lanes.js';
import { profileTable } from './timeline-profile.js';
import { gapsOf, viewOf } from './timeline-view.js';

export interface Window {
  readonly axis: Axis;
  /** In units of the axis; `from` below `to`. */
  readonly from: number;
  readonly to: number;
  /** Bins wanted at the most. */
  readonly bins: number;
}

export interface Timeline {
  readonly index: EventIndex;
  readonly overview: Overview;
  view(window: Window, filter: Filter): Promise<View>;
  /** The event of a lane that is nearest to a place and passes the filter; null where there is none. */
  nearest(axis: Axis, lane: number, x: number, filter: Filter): Promise<Place | null>;
  /**
   * The next event (`direction` 1) or the previous one (-1) after `seq` that passes the filter, in the order of the
   * recording; null at the end. `failures`: failures alone.
   */
  step(seq: number, direction: 1 | -1, filter: Filter, failures: boolean): Promise<Place | null>;
  /** Null where there is no such event, or it cannot be read. */
  place(seq: number): Place | null;
  /** Profile and flame graph of the exits that begin in a stretch. */
  profile(scope: Scope): Promise<ProfileTable>;
  flame(scope: Scope): Promise<Flame>;
}

/** Facts of the run that the page shows, in this order. */
const FACTS = ['source', 'cpu', 'image_name', 'ticks', 'outcome', 'semantics', 'format', 'digest'] as const;
const FACT_LENGTH = 2000;
/** Layouts of filtered events that are kept for the next question. */
const KEPT_LAYOUTS = 4;

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Reads a trace's events and makes a timeline of them. `progress` is told the share that was read, 0 to 1; `symbols`
 * name the guest's functions.
 * Never throws for a damaged trace: what cannot be read is a gap, and `overview.problems` says so.
 */
export async function readTimeline(
  reader: TraceReader,
  name: string,
  progress?: (share: number) => void,
  symbols: Symbols | null = null,
): Promise<Timeline> {
  const builder = new IndexBuilder(reader);
  while (builder.next()) {
    progress?.(builder.progress);
    await breathe();
  }
  return new IndexedTimeline(reader, name, builder.finish(), symbols);
}

interface Scoped {
  readonly index: ExitIndex;
  readonly lost: number;
  readonly problem: string | null;
}

class IndexedTimeline implements Timeline {
  readonly index: EventIndex;
  readonly overview: Overview;
  readonly #reader: TraceReader;
  readonly #layouts = new Map<string, Promise<LaneColumns[]>>();
  readonly #masks = new Map<string, Promise<Uint8Array | null>>();
  readonly #gaps = new Map<Axis, Gap[]>();
  readonly #tables = new Map<string, Promise<ProfileTable>>();
  readonly #flames = new Map<string, Promise<Flame>>();
  readonly #symbols: Symbols | null;
  readonly #nameOf: NameOf;
  readonly #saysOf: NameOf;
  #exits: Promise<Exits> | null = null;

  constructor(reader: TraceReader, name: string, index: EventIndex, symbols: Symbols | null) {
    this.#reader = reader;
    this.#symbols = symbols;
    this.#nameOf = (domain, code) => reader.name(domain, code);
    this.#saysOf = (domain, code) => reader.dictionary(domain).get(code)?.says ?? null;
    this.index = index;
    this.overview = overviewOf(reader, name, index, symbols !== null);
  }

  async view(window: Window, filter: Filter): Promise<View> {
    const all = await this.#layout(window.axis, filter);
    const lanes = lanesOf(this.index, filter).flatMap((lane) => all[lane] ?? []);
    const x = this.#x(window.axis);
    const categories = categoryMask(this.index, filter);
    const view = viewOf(this.index, x, { ...window, categories, lanes });
    const passes = (gap: Gap): boolean =>
      gap.vcpu === null || filter.vcpus.length === 0 || filter.vcpus.includes(gap.vcpu);
    const gaps = gapsOf(this.#gapsOn(window.axis).filter(passes), window.from, window.to, view);
    return { axis: window.axis, ...view, gaps };
  }

  async nearest(axis: Axis, lane: number, x: number, filter: Filter): Promise<Place | null> {
    const columns = (await this.#layout(axis, filter))[lane];
    if (columns === undefined) return null;
    const mask = categoryMask(this.index, filter);
    const start = lowerBound(columns.x, x);
    const passes = (at: number): boolean => mask[columns.category[at] ?? 0] === 1;
    let after = start;
    while (after < columns.rows.length && !passes(after)) after++;
    let before = start - 1;
    while (before >= 0 && !passes(before)) before--;
    const distance = (at: number): number => Math.abs((columns.x[at] ?? Number.POSITIVE_INFINITY) - x);
    const at = before >= 0 && distance(before) < distance(after) ? before : after;
    const row = columns.rows[at];
    return row === undefined ? null : this.place(row);
  }

  async step(seq: number, direction: 1 | -1, filter: Filter, failures: boolean): Promise<Place | null> {
    const mask = categoryMask(this.index, filter);
    if (failures)
      this.index.categories.forEach((category, at) => {
        mask[at] = category.failure ? 1 : 0;
      });
    const lanes = new Set(lanesOf(this.index, filter));
    const keep = await this.#mask(filter);
    const { category, lane, rows } = this.index;
    for (let row = Math.max(-1, Math.min(seq, rows)) + direction; row >= 0 && row < rows; row += direction) {
      if (mask[category[row] ?? 0] === 1 && lanes.has(lane[row] ?? NO_LANE) && (keep === null || keep[row] === 1)) {
        return this.place(row);
      }
    }
    return null;
  }

  place(seq: number): Place | null {
    const { index } = this;
    const lane = index.lane[seq];
    if (lane === undefined || lane === NO_LANE) return null;
    const at: { [axis in Axis]?: number } = { seq };
    if (index.tick !== null) at.tick = index.tick[seq] ?? 0;
    if (index.time !== null) at.time = index.time[seq] ?? 0;
    return { seq, lane, category: index.category[seq] ?? 0, at };
  }

  #x(axis: Axis): Float64Array | null {
    return axis === 'tick' ? this.index.tick : axis === 'time' ? this.index.time : null;
  }

  profile(scope: Scope): Promise<ProfileTable> {
    return remember(this.#tables, JSON.stringify(scope), async () => {
      const { index, ...more } = await this.#scoped(scope);
      return profileTable(index, { nameOf: this.#nameOf, saysOf: this.#saysOf, symbols: this.#symbols }, more);
    });
  }

  flame(scope: Scope): Promise<Flame> {
    return remember(this.#flames, JSON.stringify(scope), async () => {
      const { index, problem } = await this.#scoped(scope);
      return { ...flameOf(index, this.#nameOf, this.#symbols), problem };
    });
  }

  /** The exits of a scope, how many events were lost in it, and what could not be read. */
  async #scoped({ window, vcpus }: Scope): Promise<Scoped> {
    const { lane, lanes, holes } = this.index;
    const x = window === null ? null : this.#x(window.axis);
    const shown = new Set(vcpus);
    const isShown = (row: number): boolean => shown.size === 0 || shown.has(lanes[lane[row] ?? NO_LANE]?.vcpu ?? -1);
    const keep = (row: number): boolean => {
      const at = x === null ? row : (x[row] ?? 0);
      if (window !== null && (at < window.from || at >= window.to)) return false;
      return isShown(row);
    };
    const lost = holes.reduce(
      (sum, hole) => sum + (hole.after !== null && (window === null || keep(hole.after)) ? (hole.lost ?? 0) : 0),
      0,
    );
    const whole = window === null && vcpus.length === 0 ? this.#kept() : null;
    if (whole !== null) return { index: whole, lost, problem: null };
    const exits = await this.#allExits();
    const stretch = window === null ? null : this.#stretch(window, exits.unit);
    const part: Within['part'] = (row, from, to) => {
      if (!isShown(row)) return 0;
      if (stretch === null) return to - from;
      const at = stretch.clock[row] ?? 0;
      return Math.max(0, Math.min(at + to, stretch.to) - Math.max(at + from, stretch.from));
    };
    return { index: indexWithin(exits, { keep, part }), lost, problem: exits.problem };
  }

  /** A window by the clock of handler times; null where there is none. */
  #stretch(
    { axis, from, to }: NonNullable<Scope['window']>,
    unit: Exits['unit'],
  ): (Domain & { clock: Float64Array }) | null {
    const clock = unit === 'ns' ? this.index.time : this.index.tick;
    if (clock === null) return null;
    const x = this.#x(axis);
    // as those that count events: a moment is whole
    if (x === clock) return { clock, from: Math.ceil(from), to: Math.ceil(to) };
    // a row begins when the latest before it and itself did, so that where one window ends the next begins in any order
    const edge = (value: number): number => {
      const row = x === null ? Math.ceil(value) : lowerBound(x, value);
      if (row <= 0) return Number.NEGATIVE_INFINITY;
      if (row >= clock.length) return Number.POSITIVE_INFINITY;
      return clock.subarray(0, row + 1).reduce((latest, at) => Math.max(latest, at));
    };
    return { clock, from: edge(from), to: edge(to) };
  }

  /** The index of the whole trace, which may lie beside it; null where a part of the trace cannot be read. */
  #kept(): ExitIndex | null {
    try {
      return indexOf(this.#reader);
    } catch (error) {
      if (error instanceof TraceError) return null;
      throw error;
    }
  }

  #allExits(): Promise<Exits> {
    this.#exits ??= readExits(this.#reader, breathe);
    return this.#exits;
  }

  #mask({ text, stack }: Filter): Promise<Uint8Array | null> {
    return remember(this.#masks, maskId(text, stack), async () => {
      const words = await textMask(this.#reader, this.index, text, breathe);
      if (stack.length === 0) return words;
      const keep = new Uint8Array(this.index.rows);
      markStack(await this.#allExits(), stack, { nameOf: this.#nameOf, symbols: this.#symbols }, keep);
      for (let row = 0; row < keep.length; row++) {
        const failed = this.index.categories[this.index.category[row] ?? 0]?.failure === true;
        keep[row] = failed || (keep[row] === 1 && (words === null || words[row] === 1)) ? 1 : 0;
      }
      return keep;
    });
  }

  #layout(axis: Axis, filter: Filter): Promise<LaneColumns[]> {
    return remember(this.#layouts, `${axis} ${maskId(filter.text, filter.stack)}`, async () =>
      layOut(this.index, this.#x(axis), await this.#mask(filter)),
    );
  }

  #gapsOn(axis: Axis): Gap[] {
    let gaps = this.#gaps.get(axis);
    if (gaps === undefined) {
      const x = this.#x(axis);
      gaps = this.index.holes.map((hole) => gapOf(hole, x, this.index.rows)).sort((a, b) => a.from - b.from);
      this.#gaps.set(axis, gaps);
    }
    return gaps;
  }
}

const maskId = (text: string, stack: readonly string[]): string => JSON.stringify([text.trim(), stack]);

/** A cache of the latest answers: the map's own order is the order of use. */
function remember<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const made = cache.get(key) ?? make();
  cache.delete(key);
  cache.set(key, made);
  if (cache.size > KEPT_LAYOUTS) for (const oldest of [...cache.keys()].slice(0, 1)) cache.delete(oldest);
  return made;
}

function gapOf(hole: Hole, x: Float64Array | null, rows: number): Gap {
  const at = (row: number): number => (x === null ? row : (x[row] ?? 0));
  const from = hole.before < 0 ? at(0) : at(hole.before);
  const to = hole.after === null ? at(rows - 1) + 1 : hole.after >= rows ? at(rows - 1) : at(hole.after);
  const { vcpu, lost, says } = hole;
  return {
    vcpu,
    from,
    to: Math.max(from, to),
    seq: hole.after !== null && hole.after < rows ? hole.after : null,
    lost,
    gaps: 1,
    says,
  };
}

function domainOf(x: Float64Array): Domain {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const value of x) {
    if (value < from) from = value;
    if (value > to) to = value;
  }
  return { from, to: to + 1 };
}

/** What there is to know of a recording, as its importer says it. */
function remarksOf(reader: TraceReader): string[] {
  const fact = (key: string): string | null => reader.run(key);
  const { cut, damaged } = originOf(fact, reader.complete);
  const places = `${damaged} ${damaged === 1 ? 'place' : 'places'} of the source could not be read`;
  return [...(damaged > 0 && cut === null ? [places] : []), ...notesOf(fact)];
}

function overviewOf(reader: TraceReader, name: string, index: EventIndex, symbols: boolean): Overview {
  const axes: { [axis in Axis]?: Domain } = {};
  for (const axis of AXES) {
    const x = axis === 'tick' ? index.tick : axis === 'time' ? index.time : null;
    if (x !== null) axes[axis] = domainOf(x);
  }
  axes.seq = { from: 0, to: Math.max(1, index.rows) };
  return {
    name,
    store: reader.kind,
    source: reader.run('source')?.slice(0, LIMITS.name) ?? null,
    complete: reader.complete,
    events: index.rows,
    axes,
    timeBase: index.timeBase === null ? null : String(index.timeBase),
    symbols,
    lanes: index.lanes.map((lane) => ({ ...lane, categories: [...lane.categories].sort((a, b) => a - b) })),
    categories: index.categories.map(({ kindName, reason, isa, failure, count }) => ({
      kind: kindName,
      reason,
      isa,
      failure,
      count,
    })),
    gaps: index.holes.length,
    lost: index.holes.reduce((sum, { lost }) => sum + (lost ?? 0), 0),
    failures: index.categories.reduce((sum, { failure, count }) => sum + (failure ? count : 0), 0),
    facts: FACTS.flatMap((key) => {
      const value = reader.run(key);
      return value === null ? [] : [{ name: key, value: value.slice(0, FACT_LENGTH) }];
    }),
    problems: index.problems,
    notes: remarksOf(reader),
  };
}
