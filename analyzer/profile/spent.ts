/**
 * Where the time of a trace went, as a whole, by VM, by level and by vCPU: outside / (guest + outside) is a share of
 * time outside the guest.
 *
 * A vCPU is in its guest from an entry to the exit that follows, and outside from an exit to the entry that follows.
 * Both belong to the level of that exit: the level that ran, and whose exit is served. So the share of L2 is what L0
 * takes after exits of L2, until anything runs again on that vCPU: where L0 hands the exit on to L1, the rest of its
 * cost is time in the guest of level 1, and exits of that level (profile/nested.ts adds those up).
 *
 * Unobserved, and in neither part, is time whose beginning or end is missing: before the first entry or exit, behind
 * the last, after an exit without an entry, an entry without an exit (also one that failed), and across lost events. It
 * is in the span of the vCPU, and of its VM, and of no level, since nobody knows which level it was.
 *
 * Every time is of one vCPU, one VM and one level (each may be the unknown one), so that the sums over vCPUs, over VMs
 * and over levels are the same.
 */
import type { Cell } from './cells.js';
import { UNKNOWN_LEVEL } from './event.js';
import type { LaneSpan } from './exit-index.js';
import { laneName, type NameOf, vmNumber } from './lane-names.js';

/** Where the time of some vCPUs went. */
export interface Spent {
  /** From the first to the last event of each vCPU; a lane that neither exits nor enters is none. */
  readonly span: number;
  /** From entries to the exits that followed. */
  readonly guest: number;
  /** From exits to the entries that followed. */
  readonly outside: number;
  /** In what was counted: exits, then that is `outside`; or accesses. */
  readonly handled: number;
}

/** What was counted, of those that are alike. */
interface Count {
  readonly exits: number;
  readonly handled: number;
  /** The part of `handled` for HLT and MWAIT: the guest had nothing to do. */
  readonly halted: number;
}

/** A count, and what those have in common that it is of. */
export interface Counted extends Count {
  readonly cell: Cell;
}

export interface ProfileVm extends Spent, Count {
  /** As the trace numbers them; null where it does not tell VMs apart. */
  readonly vm: number | null;
}

export interface ProfileLevel extends Omit<Spent, 'span'>, Count {
  /** Level that exited; null where the trace does not say it. */
  readonly level: number | null;
}

export interface ProfileLane extends Spent, Count {
  readonly lane: number;
  readonly name: string;
}

const NOTHING: Count = { exits: 0, handled: 0, halted: 0 };

const byHandled = (a: Count, b: Count): number => b.handled - a.handled;

function sumOf<T>(rows: Iterable<T>, pick: (row: T) => number): number {
  let sum = 0;
  for (const row of rows) sum += pick(row);
  return sum;
}

const countOf = (counts: readonly Count[]): Count => ({
  exits: sumOf(counts, ({ exits }) => exits),
  handled: sumOf(counts, ({ handled }) => handled),
  halted: sumOf(counts, ({ halted }) => halted),
});

/** Times of some lanes together. */
export function spentOf(lanes: readonly LaneSpan[]): Pick<Spent, 'span' | 'guest' | 'outside'> {
  const levels = lanes.flatMap((lane) => lane.levels);
  return {
    span: sumOf(lanes, ({ span }) => span),
    guest: sumOf(levels, ({ guest }) => guest),
    outside: sumOf(levels, ({ outside }) => outside),
  };
}

/** By vCPU, of those that exit. */
export function lanesOf(vcpus: readonly LaneSpan[], counted: readonly Counted[], nameOf: NameOf): ProfileLane[] {
  const spans = new Map(vcpus.map((each) => [each.lane, each]));
  const lanes = counted.map(({ cell: { lane }, ...count }) => {
    const span = spans.get(lane);
    return { lane, name: laneName(lane, nameOf), ...spentOf(span === undefined ? [] : [span]), ...count };
  });
  return lanes.sort((a, b) => byHandled(a, b) || a.lane - b.lane);
}

/** By VM, of all vCPUs. */
export function vmsOf(vcpus: readonly LaneSpan[], counted: readonly Counted[], saysOf: NameOf): ProfileVm[] {
  const groups = new Map<number | null, { readonly spans: LaneSpan[]; readonly counts: Count[] }>();
  const groupOf = (lane: number): { readonly spans: LaneSpan[]; readonly counts: Count[] } => {
    const vm = vmNumber(lane, saysOf);
    const group = groups.get(vm) ?? { spans: [], counts: [] };
    groups.set(vm, group);
    return group;
  };
  for (const each of vcpus) groupOf(each.lane).spans.push(each);
  for (const each of counted) groupOf(each.cell.lane).counts.push(each);
  const vms = [...groups].map(([vm, { spans, counts }]) => ({ vm, ...spentOf(spans), ...countOf(counts) }));
  return vms.sort((a, b) => byHandled(a, b) || Number(a.vm) - Number(b.vm));
}

/** By level, of all vCPUs. */
export function levelsOf(vcpus: readonly LaneSpan[], counted: readonly Counted[]): ProfileLevel[] {
  const times = vcpus.flatMap((lane) => lane.levels);
  const counts = new Map(counted.map(({ cell, ...count }) => [cell.level, count]));
  const found = new Set([...counts.keys(), ...times.map(({ level }) => level)]);
  const levels = [...found].map((level) => {
    const same = times.filter((each) => each.level === level);
    return {
      level: level === UNKNOWN_LEVEL ? null : level,
      guest: sumOf(same, ({ guest }) => guest),
      outside: sumOf(same, ({ outside }) => outside),
      ...(counts.get(level) ?? NOTHING),
    };
  });
  return levels.sort((a, b) => byHandled(a, b) || Number(a.level) - Number(b.level));
}
