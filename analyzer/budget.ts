/**
 * Budgets: conditions on a run, alone or against its baseline, one a line. `exits.EPT_VIOLATION <= 120`,
 * `exits.total <= baseline`, `exits.L2.CPUID == baseline`, `ticks.MSR_WRITE <= baseline + 5%`,
 * `latency.p99.MSR_WRITE <= 20us`. This file reads them; analyzer/budget-judge.ts judges runs by them.
 */
import { CodedError, type ErrorSpec } from '../engine/errors.js';
import { nearest } from './nearest.js';

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

/** Operators as other languages, or other people, write them. */
const OPERATORS_MEANT: { readonly [typed: string]: Operator } = {
  '=<': '<=',
  '≤': '<=',
  '=>': '>=',
  '≥': '>=',
  '=': '==',
  '===': '==',
};
const MEASURES = ['exits', 'failed', 'ticks', 'latency'] as const;
const PERCENTILE = /^p[\d.]+$/i;

/** The statistic that was meant; a percentile that there is none of is no slip of one that there is. */
function statisticMeant(typed: string): string | null {
  const names = Object.keys(STATISTICS);
  return PERCENTILE.test(typed) ? (names.find((name) => name === typed.toLowerCase()) ?? null) : nearest(typed, names);
}

function metricMeant(name: string): string | null {
  const [, first = '', rest = ''] = /^(\w+)\.(.*)$/.exec(name) ?? [];
  const measure = nearest(first, MEASURES);
  if (measure !== 'latency') return measure === null ? null : `${measure}.${levelMeant(rest)}`;
  const [, typed = '', reason = ''] = /^(p\d+\.\d+|\w+)\.(.*)$/i.exec(rest) ?? [];
  const statistic = statisticMeant(typed);
  return statistic === null ? null : `${measure}.${statistic}.${levelMeant(reason)}`;
}

const levelMeant = (reason: string): string => reason.replace(/^l(?=\d\.)/, 'L');

/** The budget that may be meant, its words spelt as they should be; null where no words are near. */
function meantBy(text: string): string | null {
  const [, name = '', typed = '', limit = ''] = /^\s*([^\s<>=≤≥]+)\s*([<>=≤≥]+)\s*(.+?)\s*$/.exec(text) ?? [];
  const metric = metricMeant(name);
  const operator = OPERATORS_MEANT[typed] ?? typed;
  const against = limit.replace(/^[a-z]+/i, (word) => nearest(word, ['baseline']) ?? word);
  return metric === null ? null : `${metric} ${operator} ${against}`;
}

/** Reads one budget; throws BudgetError BAD_BUDGET. */
export function readBudget(text: string, place: Place | null = null): Budget {
  const read = parse(text, place);
  if (!('why' in read)) return read;
  const meant = meantBy(text);
  const advice = meant === null || 'why' in parse(meant, place) ? null : `did you mean ${meant}?`;
  const where = place === null ? text : `${place.file}:${place.line}: ${text.trim()}`;
  throw new BudgetError('BAD_BUDGET', where, read.why, advice);
}

/** Why something is no budget, in words. */
interface Refusal {
  readonly why: string | null;
}

function parse(text: string, place: Place | null): Budget | Refusal {
  const bad = (why: string | null): Refusal => ({ why });
  const parts = /^\s*(\S+?)\s*(<=|>=|==|<|>)\s*(.+?)\s*$/.exec(text);
  if (parts === null) return bad(null);
  const [, name = '', operator = '<=', limit = ''] = parts;
  const metric = METRIC.exec(name);
  if (metric === null) return bad(`${name} is no exits.*, failed.*, ticks.* or latency.STATISTIC.*`);
  const against = BASELINE.exec(limit);
  const absolute = NUMBER.exec(limit);
  if (against === null && absolute === null) return bad(`${limit} is no limit`);
  const [number = '0', unit] = against === null ? (absolute?.slice(1) ?? []) : against.slice(2);
  const percent = against?.[4] === '%';
  if (Number(number) > Number.MAX_SAFE_INTEGER) return bad(`${limit.slice(0, 40)} is too large to be counted`);
  if (percent && against?.[1] === '-' && Number(number) > 100) return bad(`${limit} is below nothing`);
  const statistic = (metric[2] ?? null) as Statistic | null;
  if (unit !== undefined && (statistic === null || percent))
    return bad(`${limit} has a unit that does not belong there`);
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
