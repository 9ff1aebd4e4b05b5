/**
 * What a budget on counts comes to where events are missing. Then a count is a lower bound: the true one is anything from
 * there on, and so is a limit that depends on it. A budget is kept where every possible count keeps it, broken where none
 * does, and undecided otherwise.
 */
import { type Budget, OPERATORS, type Operator } from './budget.js';
import type { BudgetedRun, Outcome } from './budget-judge.js';

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
const mayStray = ({ profile }: BudgetedRun, { level }: Budget): boolean => level !== null && profile?.unit !== 'ticks';

/** Where the true count of a run lies. */
export function boundsOf(run: BudgetedRun, budget: Budget, counted: number): Bounds {
  if (run.lack === null) return exactly(counted);
  return { low: mayStray(run, budget) ? 0 : counted, high: Number.POSITIVE_INFINITY };
}

/** What it means for a budget that a run lacks something. */
export const meaningOf = (run: BudgetedRun, budget: Budget): string =>
  mayStray(run, budget) ? 'so exits may be counted with another level' : 'so the counts are lower bounds';

/** The limit of a budget, by the count of the baseline where it names that. */
export const limitOf = ({ percent, amount }: Budget, baseline: number | null): number =>
  (baseline ?? 0) + (percent ? ((baseline ?? 0) * amount) / 100 : amount);

/** Where the limit lies, by where the count of the baseline does. */
export function limitBounds(budget: Budget, { low, high }: Bounds): Bounds {
  const growth = budget.percent ? 1 + budget.amount / 100 : 1;
  const first = limitOf(budget, low);
  const last = Number.isFinite(high) ? limitOf(budget, high) : growth === 0 ? 0 : growth * high;
  return { low: Math.min(first, last), high: Math.max(first, last) };
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
