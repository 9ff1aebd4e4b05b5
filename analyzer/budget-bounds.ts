/**
 * What a budget comes to where events are missing. Then a count is a lower bound: the true one is anything from there on,
 * and so is a limit that depends on it. Of handlers the times of some are missing: a percentile lies between its values
 * where all of those were faster than any other, and slower. A budget is kept where every possible value keeps it, broken
 * where none does, and undecided otherwise.
 */
import { type Budget, OPERATORS, type Operator, STATISTICS } from './budget.js';
import type { BudgetedRun, Outcome } from './budget-judge.js';
import type { Profile, ProfileRow } from './profile/profile.js';
import { rankOf } from './profile/stats.js';

/** What a number can be. */
export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** The bounds of a number that is known. */
export const exactly = (count: number): Bounds => ({ low: count, high: count });

/**
 * Whether exits may be counted with another level than theirs: levels of a host's exits are told apart by the events
 * before them, of which some are missing. The machine says the level with every exit.
 */
const mayStray = ({ profile }: BudgetedRun, { level }: Metric): boolean => level !== null && profile?.unit !== 'ticks';

/** What a budget is on, or a time that is compared. */
export type Metric = Pick<Budget, 'measure' | 'statistic' | 'level' | 'reason'>;

/** Rows of a profile that a metric is of. */
export const rowsOf = ({ rows }: Profile, { measure, level, reason }: Metric): ProfileRow[] =>
  rows.filter(
    (row) =>
      row.failed === (measure === 'failed') &&
      (level === null || row.level === level) &&
      (reason === null || row.reason === reason),
  );

/** Whether a budget is on entries that failed without an exit too, and so without a reason. */
export const isOfAllFailures = ({ measure, reason }: Budget): boolean => measure === 'failed' && reason === null;

/** Entries that failed without an exit, and so without a reason and a level, where a budget is on such. */
export const failedWithoutExit = ({ failedEarly, refused }: Profile, budget: Budget): number =>
  isOfAllFailures(budget) ? failedEarly + refused : 0;

/** Where the true count of a run lies. */
export function boundsOf(run: BudgetedRun, budget: Budget, counted: number): Bounds {
  if (run.lack !== null || run.lacksExits) {
    return { low: mayStray(run, budget) ? 0 : counted, high: Number.POSITIVE_INFINITY };
  }
  if (run.untold !== null && isOfAllFailures(budget)) return { low: counted, high: Number.POSITIVE_INFINITY };
  // each of those may have been of the level that is asked for
  const unplaced = budget.level === null || run.profile === null ? 0 : failedWithoutExit(run.profile, budget);
  return { low: counted, high: counted + unplaced };
}

/**
 * Handlers of which a run may not have the time, at the most: each lost its exit, or its entry, or was open at a gap.
 * Infinite where the number of lost events is unknown.
 */
function untimed(run: BudgetedRun, metric: Metric): number {
  if (run.lack === null) return 0;
  if (run.lost === null || run.profile === null || mayStray(run, metric)) return Number.POSITIVE_INFINITY;
  return rowsOf(run.profile, metric).reduce((sum, { count, times }) => sum + count - (times?.samples ?? 0), run.lost);
}

/** Where a statistic of handlers lies of which some times may be missing; a mean may then be anything. */
export function timeBounds(run: BudgetedRun, metric: Metric): Bounds {
  const times = run.times(metric.level, metric.reason);
  const missing = untimed(run, metric);
  const share = STATISTICS[metric.statistic ?? 'mean'];
  if (share === null) return { low: 0, high: Number.POSITIVE_INFINITY };
  const rank = rankOf(times.length + missing, share);
  return { low: times[rank - missing] ?? 0, high: times[rank] ?? Number.POSITIVE_INFINITY };
}

/** What a budget on handler times comes to whatever the times are that are missing. */
export function decideTimes(left: BudgetedRun, right: BudgetedRun, budget: Budget): Outcome {
  const against = budget.baseline ? timeBounds(left, budget) : exactly(0);
  return decide(budget.operator, timeBounds(right, budget), limitBounds(budget, against));
}

/** What it means for a budget that a run lacks something. */
export const meaningOf = (run: BudgetedRun, budget: Budget): string =>
  mayStray(run, budget) ? 'so exits may be counted with another level' : 'so the counts are lower bounds';

/** The limit of a budget, by the count of the baseline where it names that. */
export const limitOf = ({ percent, amount }: Budget, baseline: number | null): number =>
  (baseline ?? 0) + (percent ? ((baseline ?? 0) * amount) / 100 : amount);

/** Where the limit lies, by where the count of the baseline does. */
export function limitBounds(budget: Budget, { low, high }: Bounds): Bounds {
  const isNothing = budget.percent && budget.amount === -100;
  const last = Number.isFinite(high) ? limitOf(budget, high) : isNothing ? 0 : high;
  return { low: limitOf(budget, low), high: last };
}

/** Operators as conditions that hold from some number on, or up to one: their ends tell of all that lies between. */
const PARTS: { readonly [operator in Operator]: readonly Operator[] } = {
  '<=': ['<='],
  '<': ['<'],
  '==': ['<=', '>='],
  '>=': ['>='],
  '>': ['>'],
};

/** What a condition comes to for every value and every limit within bounds. */
export function decide(operator: Operator, value: Bounds, limit: Bounds): Outcome {
  const answers = PARTS[operator].map((part) => {
    const holds = OPERATORS[part];
    return [holds(value.high, limit.low), holds(value.low, limit.high)];
  });
  if (answers.some((ends) => !ends.includes(true))) return 'broken';
  return answers.flat().includes(false) ? 'undecided' : 'kept';
}
