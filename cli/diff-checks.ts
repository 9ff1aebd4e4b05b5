/** What a comparison amounts to: the checks of its gate, and what is to be known besides. Every format says both. */
import type { BudgetedRun, Outcome, Verdict } from '../analyzer/budget-judge.js';
import type { Diff } from '../analyzer/diff.js';
import { formatCount, formatNs, formatNumber } from './table.js';

/** What is known to be missing of a run. */
export type Lack = Pick<BudgetedRun, 'lack' | 'lacksExits'>;
type Side = 'left' | 'right';
const SIDES: readonly Side[] = ['left', 'right'];

export interface Report {
  readonly leftFile: string;
  readonly rightFile: string;
  readonly answer: Diff;
  readonly lacks: { readonly [side in Side]: Lack };
  readonly verdicts: readonly Verdict[];
  /** Reasons that were left out of the alignment, and whose number is no difference either. */
  readonly ignored: readonly string[];
}

/** What a gate checks: each budget, or without any that the exits of both runs are the same. */
export interface Check {
  readonly of: 'budget' | 'exits';
  readonly name: string;
  readonly outcome: Outcome;
  readonly says: string;
  readonly place: Verdict['place'];
}

/** Entries that failed and have no exit that would tell it, by their name in a profile. */
const FAILURES = {
  failedEarly: 'entries that failed without an exit',
  refused: 'nested entries that were refused',
} as const;

interface Failures {
  readonly name: string;
  readonly left: number;
  readonly right: number;
}

/** Those of which one run has more than the other. */
export const failuresOf = ({ answer: { left, right } }: Report): Failures[] =>
  (Object.keys(FAILURES) as (keyof typeof FAILURES)[]).flatMap((part) =>
    left[part] === right[part] ? [] : [{ name: FAILURES[part], left: left[part], right: right[part] }],
  );

const UNRELATED = 'Unrelated runs: no more in common than by chance, so nothing was aligned';
const SHORT = 'Short runs: too short to tell whether they are related; if they are, they differ as told';

/** Whether the exits that were recorded are the same, but for those that are ignored, and as many entries failed. */
export const same = (report: Report): boolean =>
  report.answer.related &&
  report.answer.hunks === 0 &&
  failuresOf(report).length === 0 &&
  report.answer.reasons.every(({ delta, reason }) => delta === 0 || report.ignored.includes(reason));

/** Which recording has no events of exits, so that there is nothing to compare; null where both have. */
export function exitsMissing({ leftFile, rightFile, lacks: { left, right } }: Report): string | null {
  const files = [...(left.lacksExits ? [leftFile] : []), ...(right.lacksExits ? [rightFile] : [])];
  return files.length === 0 ? null : `no events of exits in ${files.join(' and ')}: they are unknown, not zero`;
}

const lacksOf = ({ lacks }: Report): string[] =>
  SIDES.flatMap((side) => {
    const { lack } = lacks[side];
    return lack === null ? [] : [`${side}: ${lack}, so its counts are lower bounds`];
  });

/** What is to be known of a comparison before its outcome is believed: of what is missing, and of two runs unlike. */
export function remarksOf(report: Report): string[] {
  const { short, related } = report.answer;
  // not zero: what was recorded may lack the events that would tell them
  const told = (count: number): string => (count === 0 ? 'none recorded' : formatNumber(count));
  const failures = failuresOf(report).map(
    ({ name, left, right }) => `${name}: ${told(left)} on the left, ${told(right)} on the right`,
  );
  const remarks = [...lacksOf(report), ...failures];
  if (exitsMissing(report) !== null || related) return remarks;
  return [...remarks, short ? SHORT : UNRELATED];
}

/**
 * Counts that differ whatever was lost: a whole recording has fewer exits of a reason than were counted of the other.
 * Of all levels together, because the loss of all exits of a level moves the others. Null where nothing proves it.
 */
function proofOf(report: Report): string | null {
  const { answer, lacks, ignored } = report;
  const counts = new Map<string, { left: number; right: number }>(
    failuresOf(report).map(({ name, ...count }) => [name, count]),
  );
  for (const { reason, failed, left, right } of answer.reasons) {
    if (ignored.includes(reason)) continue;
    const name = failed ? `${reason} failed entry` : reason;
    const sum = counts.get(name) ?? { left: 0, right: 0 };
    counts.set(name, { left: sum.left + left, right: sum.right + right });
  }
  for (const [name, count] of counts) {
    for (const [bound, whole] of [SIDES, SIDES.toReversed()] as const) {
      if (bound === undefined || whole === undefined || lacks[whole].lack !== null || count[bound] <= count[whole])
        continue;
      return `${name}: at least ${formatNumber(count[bound])} on the ${bound}, ${formatNumber(count[whole])} on the ${whole}`;
    }
  }
  return null;
}

/** Whether the exits of both runs are the same, as far as the recordings tell, and why where that is not plain. */
export function sameness(report: Report): { readonly outcome: Outcome; readonly why: string | null } {
  const missing = exitsMissing(report);
  if (missing !== null) return { outcome: 'undecided', why: missing };
  const lacks = lacksOf(report);
  if (lacks.length === 0) return { outcome: same(report) ? 'kept' : 'broken', why: null };
  // what differs may merely be where events were lost, or behind the cut
  const proof = proofOf(report);
  return proof === null ? { outcome: 'undecided', why: lacks.join('; ') } : { outcome: 'broken', why: proof };
}

/** What was found, in a line: what the alignment says, what there is to remark, and what proves that runs differ. */
export function summaryOf(report: Report): string {
  const { outcome, why } = sameness(report);
  const missing = exitsMissing(report);
  const found = missing ?? alignmentOf(report);
  const proof = outcome === 'broken' ? why : null;
  return [found, ...remarksOf(report), proof].filter((part) => part !== null).join('; ');
}

/** Exits that one run has alone, in words; what the other recording lacks may be just these. */
export const aloneTexts = ({ answer, lacks }: Report): { readonly vanished: string; readonly appeared: string } => ({
  vanished: `${formatNumber(answer.vanished)} vanished${lacks.right.lack === null ? '' : ' or not recorded'}`,
  appeared: `${formatNumber(answer.appeared)} appeared${lacks.left.lack === null ? '' : ' or not recorded before'}`,
});

/** What is alike and what is not; null where nothing was aligned. */
function alignmentOf(report: Report): string | null {
  const { answer, ignored } = report;
  const { related, short, hunks, matched } = answer;
  if (!related && !short) return null;
  const { vanished, appeared } = aloneTexts(report);
  const changed = `${vanished}, ${appeared}`;
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
