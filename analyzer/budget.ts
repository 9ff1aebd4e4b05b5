/**
 * Budgets: conditions on a run, alone or against its baseline, one a line. `exits.EPT_VIOLATION <= 120`,
 * `exits.total <= baseline`, `exits.L2.CPUID == baseline`, `ticks.MSR_WRITE <= baseline + 5%`,
 * `latency.p99.MSR_WRITE <= 20us`. This file reads them; analyzer/budget-judge.ts judges runs by them.
 */
import { CodedError, type ErrorSpec } from '../engine/errors.js';

export const BUDGET_ERRORS = {
  BAD_BUDGET: {
    what: 'not a budget',
    advice: 'write METRIC OP LIMIT, for example "exits.EPT_VIOLATION <= 120" or "exits.total <= baseline"',
  },
  EMPTY_BUDGET: { what: 'no budget in the file', advice: 'write one a line, for example "exits.total <= baseline"' },
  UNKNOWN_REASON: {
    what: 'no exit reason of that name',
    advice: 'take the name from trapline profile; in a budget, total means all reasons',
  },
  NOISY_BUDGET: {
    what: 'host times are samples',
    advice: 'budget exits, or latency.mean to latency.p99.9 with <=; or record on the deterministic machine',
  },
  MIXED_BUDGET: {
    what: 'times of two kinds cannot be held against each other',
    advice: 'compare ticks with ticks and host times with host times',
  },
} as const satisfies { readonly [code: string]: ErrorSpec };

export class BudgetError extends CodedError<keyof typeof BUDGET_ERRORS> {
  constructor(
    code: keyof typeof BUDGET_ERRORS,
    where: string,
    why: string | null = null,
    advice: string | null = null,
  ) {
    super(BUDGET_ERRORS[code], code, where, why, advice);
  }
}

export const OPERATORS = {
  '<=': (value: number, limit: number) => value <= limit,
  '<': (value: number, limit: number) => value < limit,
  '==': (value: number, limit: number) => value === limit,
  '>=': (value: number, limit: number) => value >= limit,
  '>': (value: number, limit: number) => value > limit,
} as const;
export type Operator = keyof typeof OPERATORS;

/** Statistics of handler times: the part of the samples at or below it; null: their mean. */
export const STATISTICS = { mean: null, p50: 0.5, p90: 0.9, p99: 0.99, 'p99.9': 0.999, max: 1 } as const;
export type Statistic = keyof typeof STATISTICS;

/** Nanoseconds of the units in which a limit may be written. */
const UNITS: { readonly [unit: string]: number } = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** Where a budget stands, for reports that point there. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

export interface Budget {
  readonly text: string;
  readonly place: Place | null;
  readonly measure: 'exits' | 'failed' | 'ticks' | 'latency';
  /** Of measure latency. */
  readonly statistic: Statistic | null;
  /** Null: any. */
  readonly level: number | null;
  readonly reason: string | null;
  readonly operator: Operator;
  readonly baseline: boolean;
  /** Added to the baseline, or the limit itself; nanoseconds where it was written with a unit of time. */
  readonly amount: number;
  /** The amount is a percentage of the baseline. */
  readonly percent: boolean;
  /** The amount was written with a unit of time. */
  readonly timed: boolean;
}

const METRIC = /^(?:(exits|failed|ticks)|latency\.(mean|p50|p90|p99|p99\.9|max))\.(?:L(\d)\.)?([A-Za-z0-9_]+)$/;
const AMOUNT = String.raw`(\d+(?:\.\d+)?)\s*(ns|us|ms|s)?`;
const NUMBER = new RegExp(`^${AMOUNT}$`);
const BASELINE = new RegExp(String.raw`^baseline(?:\s*([+-])\s*${AMOUNT}\s*(%)?)?$`);

/** Reads one budget; throws BudgetError BAD_BUDGET. */
export function readBudget(text: string, place: Place | null = null): Budget {
  const bad = (why: string | null): BudgetError =>
    new BudgetError('BAD_BUDGET', place === null ? text : `${place.file}:${place.line}: ${text.trim()}`, why);
  const parts = /^\s*(\S+?)\s*(<=|>=|==|<|>)\s*(.+?)\s*$/.exec(text);
  if (parts === null) throw bad(null);
  const [, name = '', operator = '<=', limit = ''] = parts;
  const metric = METRIC.exec(name);
  if (metric === null) throw bad(`${name} is no exits.*, failed.*, ticks.* or latency.STATISTIC.*`);
  const against = BASELINE.exec(limit);
  const absolute = NUMBER.exec(limit);
  if (against === null && absolute === null) throw bad(`${limit} is no limit`);
  const [number = '0', unit] = against === null ? (absolute?.slice(1) ?? []) : against.slice(2);
  const percent = against?.[4] === '%';
  if (Number(number) > Number.MAX_SAFE_INTEGER) throw bad(`${limit.slice(0, 40)} is too large to be counted`);
  if (percent && against?.[1] === '-' && Number(number) > 100) throw bad(`${limit} is below nothing`);
  const statistic = (metric[2] ?? null) as Statistic | null;
  if (unit !== undefined && (statistic === null || percent))
    throw bad(`${limit} has a unit that does not belong there`);
  return {
    text: text.trim(),
    place,
    measure: statistic === null ? (metric[1] as Budget['measure']) : 'latency',
    statistic,
    level: metric[3] === undefined ? null : Number(metric[3]),
    reason: metric[4] === 'total' ? null : (metric[4] ?? null),
    operator: operator as Operator,
    baseline: against !== null,
    amount: Number(number) * (UNITS[unit ?? 'ns'] ?? 1) * (against?.[1] === '-' ? -1 : 1),
    percent,
    timed: unit !== undefined,
  };
}

/**
 * Reads a file of budgets, one a line; what follows a # is a comment, empty lines are nothing.
 * @throws BudgetError BAD_BUDGET with file and line, EMPTY_BUDGET where there is none: a gate without a condition
 * would hold for ever
 */
export function readBudgets(text: string, file: string): Budget[] {
  const budgets = text.split(/\r?\n/).flatMap((line, i) => {
    const said = line.replace(/#.*$/, '').trim();
    return said === '' ? [] : [readBudget(said, { file, line: i + 1 })];
  });
  if (budgets.length === 0) throw new BudgetError('EMPTY_BUDGET', file);
  return budgets;
}
