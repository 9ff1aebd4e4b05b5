/**
 * What got slower or faster from one run to another, reason by reason. Ticks of a deterministic machine are compared as
 * they are. Host times are samples, and are judged as budgets are: by the rank test and the least effect, the
 * significance being that of all tests of a comparison together (Bonferroni), so that of a hundred comparisons of equal
 * runs one at the most says anything. Where events were lost, what is told is of the exits that were timed, and is
 * certain only where it is so whatever the times are that are missing.
 */
import { type Bounds, timeBounds } from './budget-bounds.js';
import { chanceLarger, LEAST_EFFECT, leastSamples, SIGNIFICANCE } from './budget-judge.js';
import type { DiffSide } from './diff-side.js';
import type { ProfileRow, Times } from './profile/profile.js';

/** Statistics that are compared: the part of the samples at or below each; null: the mean. */
const SHARES = { mean: null, p50: 0.5, p90: 0.9, p99: 0.99 } as const;
export type Shifting = keyof typeof SHARES;
export const SHIFTING = Object.keys(SHARES) as readonly Shifting[];

/** A statistic that moved, in the unit of the runs. */
export interface Shift {
  readonly statistic: Shifting;
  readonly left: number;
  readonly right: number;
  /** How likely chance is; null of ticks. */
  readonly p: number | null;
  /** Whether it moved that way whatever the times are that are missing of the runs. */
  readonly certain: boolean;
}
type Moved = Omit<Shift, 'certain'>;

/** The statistics of a reason that moved one way. */
export interface TimeChange {
  /** As in the right run. */
  readonly level: number | null;
  /** That of the left run where it is another; else null. */
  readonly leftLevel: number | null;
  readonly reason: string;
  readonly slower: boolean;
  readonly samples: { readonly left: number; readonly right: number };
  /**
   * Time that the right run's exits took more than they would have with the mean of the left, of those that were
   * timed; below 0: less; null where the mean is not among what moved.
   */
  readonly cost: number | null;
  readonly shifts: readonly Shift[];
  /** All statistics of both, whether they moved or not. */
  readonly was: Times;
  readonly is: Times;
  /** Null where the mean went the same way, or next to nowhere. */
  readonly mean: MeanAgainst | null;
}

/** That the mean went the other way: the statistic that went with it, or null where none did. */
export interface MeanAgainst {
  readonly with: 'p50' | 'p90' | 'p99' | 'max' | null;
}

/** Rows of both profiles for one reason. */
export interface RowPair {
  readonly left?: ProfileRow;
  readonly right?: ProfileRow;
}

/** Level of the left row where that of the right row is another: levels are held against each other from the inside out. */
export const otherLevel = ({ left, right }: RowPair): number | null =>
  left === undefined || right === undefined || left.level === right.level ? null : left.level;

/** What moved, the costliest first; nothing where the runs have clocks of two kinds. */
export function timeChanges(left: DiffSide, right: DiffSide, pairs: readonly RowPair[]): TimeChange[] {
  const unit = right.profile?.unit ?? null;
  if (unit === null || unit !== left.profile?.unit) return [];
  const timed = pairs.flatMap(({ left: before, right: after }) =>
    before?.times && after?.times && !after.failed ? [{ before, after, was: before.times, is: after.times }] : [],
  );
  // Each statistic may have moved either way.
  const level = SIGNIFICANCE / (timed.length * SHIFTING.length * 2);
  return timed
    .flatMap(({ before, after, was, is }) => {
      const found =
        unit === 'ticks'
          ? exactShifts(was, is)
          : sampledShifts(was, is, () => [left.rowTimes(before), right.rowTimes(after)], level);
      const isCertain = certainty([left, before], [right, after]);
      const shifts = found.map((moved) => ({ ...moved, certain: isCertain(moved) }));
      return [true, false].flatMap((slower): TimeChange[] => {
        const moved = shifts.filter((shift) => shift.right > shift.left === slower);
        if (moved.length === 0) return [];
        return [
          {
            level: after.level,
            leftLevel: otherLevel({ left: before, right: after }),
            reason: after.reason,
            slower,
            samples: { left: was.samples, right: is.samples },
            cost: moved.some(({ statistic }) => statistic === 'mean') ? (is.mean - was.mean) * is.samples : null,
            shifts: moved,
            was,
            is,
            mean: meanAgainst(was, is, slower),
          },
        ];
      });
    })
    .sort((a, b) => Math.abs(b.cost ?? 0) - Math.abs(a.cost ?? 0));
}

/** What can pull a mean along: most exits, else the slowest ones. */
const PULLING = ['p50', 'p99', 'max', 'p90'] as const;

function meanAgainst(was: Times, is: Times, slower: boolean): MeanAgainst | null {
  const against = (statistic: 'mean' | (typeof PULLING)[number]): boolean => {
    const [less, more] = slower ? [is[statistic], was[statistic]] : [was[statistic], is[statistic]];
    return more > less && more >= less * (1 + LEAST_EFFECT);
  };
  return against('mean') ? { with: PULLING.find(against) ?? null } : null;
}

/** Tells of a statistic of two rows whether the times that are missing may have moved it. */
function certainty(...rows: [left: readonly [DiffSide, ProfileRow], right: readonly [DiffSide, ProfileRow]]) {
  if (rows.every(([{ lack }]) => lack === null)) return () => true;
  return ({ statistic, left, right }: Moved): boolean => {
    const [was, is] = rows.map(([side, row]) => boundsOfRow(side, row, statistic));
    const [less, more] = left < right ? [was, is] : [is, was];
    return less !== undefined && more !== undefined && less.high < more.low;
  };
}

const ANYWHERE: Bounds = { low: 0, high: Number.POSITIVE_INFINITY };

/** The level of exits is in doubt where events were lost, and is not asked for where all of a reason have the same. */
function boundsOfRow(side: DiffSide, { reason, level }: ProfileRow, statistic: Shifting): Bounds {
  const alike = side.profile?.rows.filter((row) => row.reason === reason && !row.failed) ?? [];
  const isAlone = alike.length === 1;
  if (!isAlone && level === null) return ANYWHERE;
  return timeBounds(side, { measure: 'latency', statistic, reason, level: isAlone ? null : level });
}

const exactShifts = (was: Times, is: Times): Moved[] =>
  SHIFTING.flatMap((statistic) =>
    was[statistic] === is[statistic] ? [] : [{ statistic, left: was[statistic], right: is[statistic], p: null }],
  );

/** `samples` are asked for only where a statistic moved enough to be of interest. */
function sampledShifts(
  was: Times,
  is: Times,
  samples: () => readonly [Float64Array, Float64Array],
  level: number,
): Moved[] {
  const moved = SHIFTING.filter((statistic) => {
    const [less, more] = [was[statistic], is[statistic]].toSorted((a, b) => a - b) as [number, number];
    return (
      more > less &&
      more >= less * (1 + LEAST_EFFECT) &&
      Math.min(was.samples, is.samples) >= leastSamples(SHARES[statistic])
    );
  });
  if (moved.length === 0) return [];
  const [before, after] = samples();
  return moved.flatMap((statistic) => {
    const [x, y] = is[statistic] > was[statistic] ? [after, before] : [before, after];
    const p = chanceLarger(x, y, SHARES[statistic]);
    return p < level ? [{ statistic, left: was[statistic], right: is[statistic], p }] : [];
  });
}
