/**
 * What the exits of nested guests cost. An exit of L2 ends where L2 runs again. L0 serves it alone, or hands it on to
 * L1 (it is reflected), whose own exits meanwhile are what nesting multiplies: each VMREAD or VMRESUME of L1 is an exit
 * to L0. The same holds for deeper levels.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import type { Chunk } from '../../traces/store.js';
import { countedReason } from './keys.js';
import type { NameOf } from './lane-names.js';
import { reasonName } from './profile.js';
import { sortCells, type Times, timesOf } from './stats.js';
import { Numbers } from './table.js';
import { Clock, EventView, type Narrow, type Unit, type Wide } from './view.js';

/** Exits of a hypervisor in a guest while it served others. */
export interface NestedCause {
  readonly level: number;
  readonly reason: string;
  readonly count: number;
}

/** How exits of a level above the first were served. */
export interface NestedCounts {
  readonly count: number;
  /** Served by L0 alone; handed on; and those, handed on or not, after which the level did not run again. */
  readonly direct: number;
  readonly reflected: number;
  readonly unfinished: number;
  /** Exits of lower levels while others than the unfinished were served, and how many that is for each. */
  readonly exits: number;
  readonly amplification: number;
}

export interface NestedRow extends NestedCounts {
  /** Level that exited, 2 or more. */
  readonly level: number;
  readonly reason: string;
  /** Entries that failed after loading guest state, which end as exits do. */
  readonly failed: boolean;
  /** From the exit to where its level runs again. */
  readonly times: Times | null;
  /** The part of it in L0; the rest is what guests in between took. */
  readonly l0: number;
  /** Which exits, the most first. */
  readonly causes: readonly NestedCause[];
}

/** All rows together, and one by one. */
export interface NestedProfile extends NestedCounts {
  readonly unit: Unit;
  readonly rows: readonly NestedRow[];
}

/** Exits of a level and reason that are served. */
class Group {
  readonly level: number;
  readonly isa: number;
  readonly code: bigint;
  readonly failed: boolean;
  count = 0;
  direct = 0;
  reflected = 0;
  finished = 0;
  exits = 0;
  l0 = 0;
  readonly times = new Numbers();
  readonly causes = new Map<string, { level: number; isa: number; code: bigint; count: number }>();

  constructor(level: number, isa: number, code: bigint, failed: boolean) {
    this.level = level;
    this.isa = isa;
    this.code = code;
    this.failed = failed;
  }
}

/** An exit of a nested guest that is being served. */
interface Served {
  readonly level: number;
  readonly group: Group;
  readonly at: number;
  reflected: boolean;
  /** Exits of lower levels since, and the first of them one by one. */
  exits: number;
  readonly causes: { readonly level: number; readonly isa: number; readonly code: bigint }[];
  l0: number;
}

interface Lane {
  /** Innermost last. */
  served: Served[];
  /** When L0 began to run, or -1. */
  exitAt: number;
}

/** Exits of lower levels that are kept apart for one exit; a hypervisor that never resumes has any number. */
const MOST_CAUSES = 4096;
const HIGH = 0x1_0000_0000;

export class NestedProfiler {
  readonly #clock = new Clock();
  readonly #groups = new Map<string, Group>();
  readonly #lanes = new Map<number, Lane>();
  #origin: bigint | null = null;

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    if (chunk.table !== 'event') return;
    const view = new EventView(chunk);
    const clock = this.#clock.of(chunk);
    for (let i = 0; i < chunk.rows; i++) {
      const kind = view.kind[i] as number;
      if (kind === EVENT_KINDS.exit || kind === EVENT_KINDS.entry_failed) this.#exit(view, i, this.#at(clock, i));
      else if (kind === EVENT_KINDS.entry) this.#entry(view, i, this.#at(clock, i));
      else if (kind === EVENT_KINDS.lost) this.#lanes.clear();
    }
  }

  /** The answer, rows with the most time first; null where no nested guest exits. */
  finish(nameOf: NameOf): NestedProfile | null {
    if (this.#groups.size === 0) return null;
    const rows = [...this.#groups.values()].map((group) => rowOf(group, nameOf));
    rows.sort((a, b) => (b.times?.total ?? 0) - (a.times?.total ?? 0) || b.count - a.count);
    const sum = (pick: (row: NestedRow) => number): number => rows.reduce((all, row) => all + pick(row), 0);
    const [count, unfinished, exits] = [sum((row) => row.count), sum((row) => row.unfinished), sum((row) => row.exits)];
    return {
      unit: this.#clock.unit,
      count,
      direct: sum((row) => row.direct),
      reflected: sum((row) => row.reflected),
      unfinished,
      exits,
      amplification: ratio(exits, count - unfinished),
      rows,
    };
  }

  /** Time since the first event that has one; -1 without a clock. */
  #at(clock: Wide | null, i: number): number {
    if (clock === null || clock.valid[i] !== 1) return -1;
    const [low, high] = [clock.cells[2 * i] as number, clock.cells[2 * i + 1] as number];
    this.#origin ??= (BigInt(high) << 32n) | BigInt(low);
    const origin = this.#origin;
    return (high - Number(origin >> 32n)) * HIGH + (low - Number(origin & 0xffff_ffffn));
  }

  #lane(id: number): Lane {
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = { served: [], exitAt: -1 };
      this.#lanes.set(id, lane);
    }
    return lane;
  }

  #exit(view: EventView, i: number, at: number): void {
    const { lane: lanes, level: levels, isa: isas, reason } = view;
    if (reason.valid[i] === 0 || levels.valid[i] === 0) return;
    const lane = this.#lane(lanes[i] as number);
    const level = levels.cells[i] as number;
    const isa = isas.valid[i] === 1 ? (isas.cells[i] as number) : 0;
    const low = countedReason(isa, reason.cells[2 * i] as number);
    const code = (BigInt(reason.cells[2 * i + 1] as number) << 32n) | BigInt(low);
    lane.exitAt = at;
    lane.served = lane.served.filter((served) => served.level !== level); // it exits again without having run
    for (const served of lane.served) {
      if (served.level < level) continue;
      served.exits += 1;
      if (served.causes.length < MOST_CAUSES) served.causes.push({ level, isa, code });
    }
    if (level < 2) return;
    const group = this.#group(level, isa, code, view.kind[i] === EVENT_KINDS.entry_failed);
    group.count += 1;
    lane.served.push({ level, group, at, reflected: false, exits: 0, causes: [], l0: 0 });
  }

  #entry({ lane: lanes, toLevel }: EventView, i: number, at: number): void {
    const lane = this.#lane(lanes[i] as number);
    if (lane.served.length === 0) return;
    const to = levelAt(toLevel, i);
    const spent = lane.exitAt >= 0 && at >= lane.exitAt ? at - lane.exitAt : 0;
    lane.exitAt = -1;
    if (to === null) {
      lane.served = [];
      return;
    }
    for (const served of lane.served) {
      served.l0 += spent;
      if (served.level > to) reflect(served);
      else if (served.level === to) close(served, at);
    }
    lane.served = lane.served.filter(({ level }) => level > to);
  }

  #group(level: number, isa: number, code: bigint, failed: boolean): Group {
    const id = `${level} ${isa} ${code} ${failed}`;
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = new Group(level, isa, code, failed);
      this.#groups.set(id, group);
    }
    return group;
  }
}

const levelAt = ({ cells, valid }: Narrow, i: number): number | null => (valid[i] === 1 ? (cells[i] as number) : null);

const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** A lower level runs first. */
function reflect(served: Served): void {
  if (!served.reflected) served.group.reflected += 1;
  served.reflected = true;
}

/** The level runs again: what its exit took is known. */
function close({ group, at: from, reflected, exits, causes, l0 }: Served, at: number): void {
  group.finished += 1;
  if (!reflected) group.direct += 1;
  group.exits += exits;
  group.l0 += l0;
  if (from >= 0 && at >= from) group.times.push(at - from);
  for (const { level, isa, code } of causes) {
    const id = `${level} ${isa} ${code}`;
    const cause = group.causes.get(id) ?? { level, isa, code, count: 0 };
    cause.count += 1;
    group.causes.set(id, cause);
  }
}

function rowOf(
  { level, isa, code, failed, count, direct, reflected, finished, exits, l0, times, causes }: Group,
  nameOf: NameOf,
): NestedRow {
  const values = times.ascending();
  return {
    level,
    reason: reasonName(isa, code, nameOf),
    failed,
    count,
    direct,
    reflected,
    unfinished: count - finished,
    exits,
    amplification: ratio(exits, finished),
    times: timesOf(sortCells(new Uint32Array(values.length), values, 1), [0]),
    l0,
    causes: [...causes.values()]
      .map((cause) => ({ level: cause.level, reason: reasonName(cause.isa, cause.code, nameOf), count: cause.count }))
      .sort((a, b) => b.count - a.count),
  };
}
