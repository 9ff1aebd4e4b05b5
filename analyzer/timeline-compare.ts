/** A comparison of two traces as the page shows it. */
import { leastSamples } from './budget-judge.js';
import type { ExitLine, ReasonDelta } from './diff.js';
import { aloneWords, type Compared, exitsMissing, remarksOf, sameness, unseenBy, verdictOf } from './diff-outcome.js';
import type { ComparedExit, ComparedReason, Comparison } from './timeline-compare-answers.js';
import { pick } from './timeline-profile.js';

const MAX = { name: 120, reasons: 300 } as const;

const exitOf = ({ seq, level, reason, failed, key, rip }: ExitLine): ComparedExit => ({
  seq,
  level,
  reason: reason.slice(0, MAX.name),
  failure: failed,
  key: key.slice(0, MAX.name),
  rip: rip === null ? null : `0x${rip.toString(16)}`,
});

const reasonOf = ({ level, reason, failed, left, right, leftTimes, rightTimes }: ReasonDelta): ComparedReason => ({
  level,
  reason: reason.slice(0, MAX.name),
  failure: failed,
  left,
  right,
  leftTimes: pick(leftTimes),
  rightTimes: pick(rightTimes),
});

const isJudged = ({ leftTimes, rightTimes }: ReasonDelta): boolean =>
  Math.min(leftTimes?.samples ?? 0, rightTimes?.samples ?? 0) >= leastSamples(null);

/** How the comparison ended, as the command line says it. */
function outcomeOf(compared: Compared): Pick<Comparison, 'alone' | 'same' | 'verdict' | 'remarks' | 'missing'> {
  const verdict = verdictOf(compared);
  return {
    alone: aloneWords(compared),
    same: sameness(compared).outcome === 'kept',
    verdict: verdict === null ? null : { word: verdict.word, says: verdict.says },
    // what the verdict rests on is not said twice, as it would stand right below
    remarks: [...remarksOf(compared), ...unseenBy(compared)].filter(
      (remark) => verdict?.says.includes(remark) !== true,
    ),
    missing: exitsMissing(compared) !== null,
  };
}

export function comparisonOf(compared: Compared): Comparison {
  const { answer } = compared;
  const { match, related, short, exact, left, right, matched, vanished, appeared, hunks, first, reasons, times } =
    answer;
  return {
    match,
    related,
    short,
    exact,
    units: [left.unit, right.unit],
    exits: [left.exits, right.exits],
    matched,
    vanished,
    appeared,
    hunks,
    ...outcomeOf(compared),
    first:
      first === null
        ? null
        : {
            at: [first.at.left, first.at.right],
            before: first.before.map(exitOf),
            left: first.left.map(exitOf),
            right: first.right.map(exitOf),
            more: first.more,
            after: first.after.map(exitOf),
          },
    reasons: reasons.slice(0, MAX.reasons).map(reasonOf),
    judged: right.unit === 'ticks' || reasons.some(isJudged),
    times: times.slice(0, MAX.reasons).map(({ level, reason, slower, samples, cost, shifts }) => ({
      ...{ level, slower, samples, cost, shifts },
      reason: reason.slice(0, MAX.name),
    })),
    left: Math.max(0, reasons.length - MAX.reasons),
  };
}
