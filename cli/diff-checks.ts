/** What a comparison amounts to: the checks of its gate, and what is to be known besides. Every format says both. */
import type { Outcome, Verdict } from '../analyzer/budget-judge.js';
import {
  aloneWords,
  type Compared,
  exitsMissing,
  failuresOf,
  remarksOf,
  sameness,
  unseenBy,
} from '../analyzer/diff-outcome.js';
import { formatCount, formatNs, formatNumber } from './table.js';

export interface Report extends Compared {
  readonly verdicts: readonly Verdict[];
}

/** What a gate checks: each budget, or without any that the exits of both runs are the same. */
export interface Check {
  readonly of: 'budget' | 'exits';
  readonly name: string;
  readonly outcome: Outcome;
  readonly says: string;
  readonly place: Verdict['place'];
}

/** What the comparison would not see; a budget says itself what is unseen of that which it is on. */
export const unseenIn = (report: Report): string[] => (report.verdicts.length === 0 ? unseenBy(report) : []);

/** What is to be known besides the outcome. */
export const saidOf = (report: Report): string[] => [...remarksOf(report), ...unseenIn(report)];

/** What was found, in a line: what the alignment says, what there is to remark, and what proves that runs differ. */
export function summaryOf(report: Report): string {
  const { outcome, why } = sameness(report);
  const missing = exitsMissing(report);
  const found = missing ?? alignmentOf(report);
  const proof = outcome === 'broken' ? why : null;
  return [found, ...saidOf(report), proof].filter((part) => part !== null).join('; ');
}

/** What is alike and what is not; null where nothing was aligned. */
function alignmentOf(report: Report): string | null {
  const { answer, ignored } = report;
  const { related, short, hunks, matched } = answer;
  if (!related && !short) return null;
  const { vanished, appeared } = aloneWords(report);
  const changed = `${formatNumber(answer.vanished)} ${vanished}, ${formatNumber(answer.appeared)} ${appeared}`;
  const without = ignored.length === 0 ? [] : [`without ${ignored.join(', ')}`];
  const difference = hunks > 0 ? [changed] : failuresOf(report).length > 0 ? [] : ['no difference'];
  return [`${formatCount(matched, 'exit')} alike`, ...difference, ...without].join(', ');
}

export function checksOf(report: Report): Check[] {
  if (report.verdicts.length === 0) {
    const { outcome } = sameness(report);
    return [{ of: 'exits', name: 'same exits', outcome, says: summaryOf(report), place: null }];
  }
  return report.verdicts.map((verdict) => {
    const { budget, outcome, place } = verdict;
    return { of: 'budget', name: budget, outcome, says: groundsOf(verdict), place };
  });
}

/** A value of a verdict in its unit; a dash where there is none. */
export function measured(value: number | null, { unit }: Pick<Verdict, 'unit'>): string {
  if (value === null) return '-';
  return unit === 'ns' ? formatNs(value) : formatNumber(value, Number.isInteger(value) ? 0 : 1);
}

/** How likely chance is; by the normal approximation very small ones are no more than very small. */
const chanceText = (p: number): string => (p < 0.001 ? 'p < 0.001' : `p ${p.toPrecision(2)}`);

/** Why, where the numbers alone do not say it, and how many samples it rests on. */
export function reasonsOf({ says, test }: Pick<Verdict, 'says' | 'test'>): string[] {
  if (test === null) return says === null ? [] : [says];
  const samples = [test.left, test.right].filter((count) => count !== null).map((count) => formatNumber(count));
  const rests = `${samples.join(' against ')} samples${test.p === null ? '' : `, ${chanceText(test.p)}`}`;
  return [...(says === null ? [] : [says]), rests];
}

/** What a verdict rests on, in one line. */
function groundsOf(verdict: Verdict): string {
  const { value, limit, baseline } = verdict;
  const against = baseline === null ? '' : ` (baseline ${measured(baseline, verdict)})`;
  const numbers = `${measured(value, verdict)}, limit ${measured(limit, verdict)}${against}`;
  return [numbers, ...reasonsOf(verdict)].join('; ');
}
