/**
 * Budgets: conditions on a run, alone or against its baseline. `exits.EPT_VIOLATION <= 120`, `exits.total <= baseline`,
 * `exits.L2.CPUID == baseline`, `ticks.MSR_WRITE <= baseline + 5%`. Counts and ticks of deterministic runs are exact,
 * so budgets are; times of hosts are samples, and no budget is granted on them here.
 */
import type { Diff } from './diff.js';
import type { Profile, ProfileRow } from './profile.js';

export const BUDGET_ERRORS = {
  BAD_BUDGET: {
    what: 'not a budget',
    advice: 'write METRIC OP LIMIT, for example "exits.EPT_VIOLATION <= 120" or "exits.total <= baseline"',
  },
  NOISY_BUDGET: { what: 'host times are samples', advice: 'budget exits, or record on the deterministic machine' },
} as const;

export class BudgetError extends Error {
  readonly code: keyof typeof BUDGET_ERRORS;
  readonly what: string;
  readonly where: string;
  readonly why: string | null;
  readonly advice: string;

  constructor(code: keyof typeof BUDGET_ERRORS, where: string, why: string | null = null) {
    super(`${BUDGET_ERRORS[code].what}: ${where}`);
    this.name = 'BudgetError';
    this.code = code;
    this.what = BUDGET_ERRORS[code].what;
    this.where = where;
    this.why = why;
    this.advice = BUDGET_ERRORS[code].advice;
  }
}

const HOLDS = {
  '<=': (value: number, limit: number) => value <= limit,
  '<': (value: number, limit: number) => value < limit,
  '==': (value: number, limit: number) => value === limit,
  '>=': (value: number, limit: number) => value >= limit,
  '>': (value: number, limit: number) => value > limit,
} as const;
type Operator = keyof typeof HOLDS;

export interface Budget {
  readonly text: string;
  readonly measure: 'exits' | 'failed' | 'ticks';
  /** Null: any. */
  readonly level: number | null;
  readonly reason: string | null;
  readonly operator: Operator;
  readonly baseline: boolean;
  /** Added to the baseline, or the limit itself. */
  readonly amount: number;
  /** The amount is a percentage of the baseline. */
  readonly percent: boolean;
}

export interface Verdict {
  readonly budget: string;
  readonly holds: boolean;
  readonly value: number;
  readonly limit: number;
  readonly baseline: number | null;
}

const METRIC = /^(exits|failed|ticks)\.(?:L(\d)\.)?([A-Za-z0-9_]+)$/;
const NUMBER = /^\d+(?:\.\d+)?$/;
const BASELINE = /^baseline(?:\s*([+-])\s*(\d+(?:\.\d+)?)\s*(%)?)?$/;

/** Reads a budget; throws BudgetError BAD_BUDGET. */
export function readBudget(text: string): Budget {
  const parts = /^\s*(\S+?)\s*(<=|>=|==|<|>)\s*(.+?)\s*$/.exec(text);
  if (parts === null) throw new BudgetError('BAD_BUDGET', text);
  const [, name = '', operator = '<=', limit = ''] = parts;
  const metric = METRIC.exec(name);
  if (metric === null) throw new BudgetError('BAD_BUDGET', text, `${name} is no exits.*, failed.* or ticks.*`);
  const against = BASELINE.exec(limit);
  if (against === null && !NUMBER.test(limit)) throw new BudgetError('BAD_BUDGET', text, `${limit} is no limit`);
  return {
    text: text.trim(),
    measure: metric[1] as Budget['measure'],
    level: metric[2] === undefined ? null : Number(metric[2]),
    reason: metric[3] === 'total' ? null : (metric[3] ?? null),
    operator: operator as Operator,
    baseline: against !== null,
    amount: against === null ? Number(limit) : Number(against[2] ?? 0) * (against[1] === '-' ? -1 : 1),
    percent: against?.[3] === '%',
  };
}

function measure({ unit, rows }: Profile, budget: Budget): number {
  if (budget.measure === 'ticks' && unit !== 'ticks') throw new BudgetError('NOISY_BUDGET', budget.text);
  const wanted = (row: ProfileRow): boolean =>
    row.failed === (budget.measure === 'failed') &&
    (budget.level === null || row.level === budget.level) &&
    (budget.reason === null || row.reason === budget.reason);
  const amount = (row: ProfileRow): number => (budget.measure === 'ticks' ? (row.times?.total ?? 0) : row.count);
  return rows.filter(wanted).reduce((sum, row) => sum + amount(row), 0);
}

/** Whether the right run keeps a budget. Throws BudgetError NOISY_BUDGET for ticks of runs that have none. */
export function judge({ left, right }: Pick<Diff, 'left' | 'right'>, budget: Budget): Verdict {
  const value = measure(right, budget);
  const baseline = budget.baseline ? measure(left, budget) : null;
  const slack = budget.percent ? ((baseline ?? 0) * budget.amount) / 100 : budget.amount;
  const limit = (baseline ?? 0) + slack;
  return { budget: budget.text, holds: HOLDS[budget.operator](value, limit), value, limit, baseline };
}
