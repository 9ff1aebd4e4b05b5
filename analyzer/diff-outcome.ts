/**
 * What a comparison amounts to, in the words of every door: whether the exits are the same, what one run has alone, and
 * what is to be known before that is believed.
 */
import type { BudgetedRun, Outcome } from './budget-judge.js';
import type { Diff } from './diff.js';
import { grouped } from './origin.js';

/** What is known to be missing of a run. */
export type Lack = Pick<BudgetedRun, 'lack' | 'lacksExits' | 'untold'>;
type Side = 'left' | 'right';
const SIDES: readonly Side[] = ['left', 'right'];

/** A comparison with what it is of. */
export interface Compared {
  readonly leftFile: string;
  readonly rightFile: string;
  readonly answer: Diff;
  readonly lacks: { readonly [side in Side]: Lack };
  /** Reasons that were left out of the alignment, and whose number is no difference either. */
  readonly ignored: readonly string[];
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
export const failuresOf = ({ answer: { left, right } }: Compared): Failures[] =>
  (Object.keys(FAILURES) as (keyof typeof FAILURES)[]).flatMap((part) =>
    left[part] === right[part] ? [] : [{ name: FAILURES[part], left: left[part], right: right[part] }],
  );

const UNRELATED = 'Unrelated runs: no more in common than by chance, so nothing was aligned';
const SHORT = 'Short runs: too short to tell whether they are related; if they are, they differ as told';

/** Whether the exits that were recorded are the same, but for those that are ignored, and as many entries failed. */
export const same = (compared: Compared): boolean =>
  compared.answer.related &&
  compared.answer.hunks === 0 &&
  failuresOf(compared).length === 0 &&
  compared.answer.reasons.every(({ delta, reason }) => delta === 0 || compared.ignored.includes(reason));

/** Which recording has no events of exits, so that there is nothing to compare; null where both have. */
export function exitsMissing({ leftFile, rightFile, lacks: { left, right } }: Compared): string | null {
  const files = [...(left.lacksExits ? [leftFile] : []), ...(right.lacksExits ? [rightFile] : [])];
  return files.length === 0 ? null : `no events of exits in ${files.join(' and ')}: they are unknown, not zero`;
}

const lacksOf = ({ lacks }: Compared): string[] =>
  SIDES.flatMap((side) => {
    const { lack } = lacks[side];
    return lack === null ? [] : [`${side}: ${lack}, so its counts are lower bounds`];
  });

/** What is to be known of a comparison before its outcome is believed: of what is missing, and of two runs unlike. */
export function remarksOf(compared: Compared): string[] {
  const { short, related } = compared.answer;
  // not zero: what was recorded may lack the events that would tell them
  const told = (count: number): string => (count === 0 ? 'none recorded' : grouped(count));
  const failures = failuresOf(compared).map(
    ({ name, left, right }) => `${name}: ${told(left)} on the left, ${told(right)} on the right`,
  );
  const remarks = [...lacksOf(compared), ...failures];
  if (exitsMissing(compared) !== null || related) return remarks;
  return [...remarks, short ? SHORT : UNRELATED];
}

/**
 * What a comparison of exits would not see: entries that failed without one, where a recording would not tell of them.
 * Nothing where there are no exits to compare.
 */
export function unseenBy(compared: Compared): string[] {
  if (exitsMissing(compared) !== null) return [];
  const [left, right] = SIDES.map((side) => compared.lacks[side].untold);
  const sides =
    left === right
      ? ([['both', left]] as const)
      : ([
          ['left', left],
          ['right', right],
        ] as const);
  return sides.flatMap(([side, untold]) =>
    (untold ?? null) === null ? [] : [`${side}: ${untold}, so that this comparison would not see them`],
  );
}

/**
 * Counts that differ whatever was lost: a whole recording has fewer exits of a reason than were counted of the other.
 * Of all levels together, because the loss of all exits of a level moves the others. Null where nothing proves it.
 */
function proofOf(compared: Compared): string | null {
  const { answer, lacks, ignored } = compared;
  const counts = new Map<string, { left: number; right: number }>(
    failuresOf(compared).map(({ name, ...count }) => [name, count]),
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
      return `${name}: at least ${grouped(count[bound])} on the ${bound}, ${grouped(count[whole])} on the ${whole}`;
    }
  }
  return null;
}

/** Whether the exits of both runs are the same, as far as the recordings tell, and why where that is not plain. */
export function sameness(compared: Compared): { readonly outcome: Outcome; readonly why: string | null } {
  const missing = exitsMissing(compared);
  if (missing !== null) return { outcome: 'undecided', why: missing };
  const lacks = lacksOf(compared);
  if (lacks.length === 0) return { outcome: same(compared) ? 'kept' : 'broken', why: null };
  // what differs may merely be where events were lost, or behind the cut
  const proof = proofOf(compared);
  return proof === null ? { outcome: 'undecided', why: lacks.join('; ') } : { outcome: 'broken', why: proof };
}

interface OutcomeWords {
  readonly outcome: Outcome;
  readonly word: 'UNDECIDED' | 'DIFFERENT';
  readonly says: string;
}

/**
 * The outcome in words: why it cannot be told whether the exits are the same, or what tells it though something is
 * missing. Null where it is plain.
 */
export function verdictOf(compared: Compared): OutcomeWords | null {
  const { outcome, why } = sameness(compared);
  if (why === null) return null;
  return outcome === 'undecided'
    ? { outcome, word: 'UNDECIDED', says: `whether the exits are the same: ${why}` }
    : { outcome, word: 'DIFFERENT', says: `whatever is missing: ${why}` };
}

/** What is said of exits that one run has alone; what the other recording lacks may be just these. */
export const aloneWords = ({
  lacks,
}: Pick<Compared, 'lacks'>): { readonly vanished: string; readonly appeared: string } => ({
  vanished: `vanished${lacks.right.lack === null ? '' : ' or not recorded'}`,
  appeared: `appeared${lacks.left.lack === null ? '' : ' or not recorded before'}`,
});
