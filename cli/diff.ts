/** `trapline diff`: what changed between two runs, and whether budgets are kept. */

import { type Budget, BudgetError, readBudget, readBudgets } from '../analyzer/budget.js';
import { isReason, judge, LEAST_EFFECT, reasonMeant, SIGNIFICANCE } from '../analyzer/budget-judge.js';
import { compare, type Match } from '../analyzer/diff.js';
import { LEVEL } from '../analyzer/diff-chance.js';
import { DiffSide } from '../analyzer/diff-side.js';
import { READING } from '../analyzer/profile/walk.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { checksOf, type Report } from './diff-checks.js';
import { FORMATS, type Format, REFUSALS } from './diff-formats.js';
import { printChecks, printDiff } from './diff-text.js';
import { CliError, describeError, formatError } from './errors.js';
import { feed } from './feed.js';
import { readBounded } from './files.js';
import { openSymbols, SYMBOLS_DETAILS, SYMBOLS_OPTION } from './symbols.js';

const MATCHES: readonly Match[] = ['rip', 'key', 'reason'];
const DEFAULT_CHANGES = 10;
/** Bytes of a file of budgets. */
const MOST_BUDGETS = 1 << 20;

function readMatch(text: string | null): Match | undefined {
  if (text === null) return undefined;
  const match = MATCHES.find((candidate) => candidate === text);
  if (match === undefined)
    throw new CliError('BAD_VALUE', `diff --match ${text}`, `one of ${MATCHES.join(', ')} is meant`);
  return match;
}

function readFormat(call: Call): Format | 'text' {
  const format = call.value('format') ?? (call.flag('json') ? 'json' : 'text');
  if (call.flag('json') && format !== 'json') {
    throw new CliError('BAD_VALUE', `diff --format ${format}`, '--json asks for another');
  }
  const known: readonly string[] = ['text', ...Object.keys(FORMATS)];
  if (!known.includes(format)) {
    throw new CliError('BAD_VALUE', `diff --format ${format}`, `one of ${known.join(', ')} is meant`);
  }
  return format as Format | 'text';
}

const budgetsOf = (call: Call): Budget[] => [
  ...call
    .values('budget')
    .flatMap((file) => readBudgets(new TextDecoder().decode(readBounded(file, MOST_BUDGETS)), file)),
  ...call.values('fail-on').map((text) => readBudget(text)),
];

const ignoredBy = (call: Call): string[] =>
  call.values('ignore').flatMap((text) => text.split(',').map((name) => name.trim()));

/** A misspelt name would leave nothing out, and the gate would fail for what it was to leave out. */
function checkIgnored(ignored: readonly string[], sides: readonly DiffSide[]): void {
  const profiles = sides.flatMap(({ profile }) => profile ?? []);
  const strange = ignored.find((name) => !isReason(name, profiles));
  if (strange === undefined) return;
  const close = reasonMeant(strange, profiles);
  const advice = close === null ? null : `did you mean ${close}?`;
  throw new BudgetError('UNKNOWN_REASON', `diff --ignore ${strange}`, null, advice);
}

/** A broken budget is an answer, 1; one that cannot be decided is not, and must not pass a gate. */
function exitCode(report: Report): number {
  const outcomes = checksOf(report).map(({ outcome }) => outcome);
  if (outcomes.includes('broken')) return EXIT.differs;
  return outcomes.includes('undecided') ? EXIT.wrong : EXIT.holds;
}

function run(call: Call, format: Format | 'text'): number {
  const [leftFile = '', rightFile = ''] = call.args;
  if (leftFile === '-' && rightFile === '-')
    throw new CliError('BAD_VALUE', 'diff - -', 'standard input can be read once', 'give one of the two as a file');
  const budgets = budgetsOf(call);
  const match = readMatch(call.value('match'));
  const changes = call.integer('changes', 0, 1000) ?? DEFAULT_CHANGES;
  const symbols = openSymbols(call);
  const ignored = ignoredBy(call);
  const sides = [leftFile, rightFile].map((file) => {
    const side = new DiffSide(ignored, { symbols });
    const fed = feed(file, READING, (chunk) => side.take(chunk), call.out);
    side.finish(fed.nameOf, fed.origin);
    return { side, whole: fed.whole };
  });
  const [left, other] = sides;
  if (left === undefined || other === undefined) throw new Error('two sides');
  checkIgnored(ignored, [left.side, other.side]);
  const answer = compare(left.side, other.side, match === undefined ? {} : { match });
  const unrelated = !answer.related && !answer.short;
  const verdicts = budgets.map((budget) => judge({ left: left.side, right: other.side, unrelated }, budget));
  const lacks = { left: left.side, right: other.side };
  const report: Report = { leftFile, rightFile, answer, lacks, verdicts, ignored };
  if (format === 'text') {
    printDiff(call.out, report, changes);
    printChecks(call.out, report);
  } else {
    FORMATS[format](report, call.out);
  }
  return sides.every(({ whole }) => whole) ? exitCode(report) : EXIT.wrong;
}

export const command: Command = {
  arguments: [
    { name: 'LEFT', says: 'the baseline: a trace, or a file that `trapline import` understands' },
    { name: 'RIGHT', says: 'the run to hold against it' },
  ],
  options: [
    {
      name: 'fail-on',
      value: 'BUDGET',
      repeats: true,
      says: 'a condition that RIGHT must keep, such as "exits.EPT_VIOLATION <= 120"; may be given again',
    },
    { name: 'budget', value: 'FILE', repeats: true, says: 'a file of such conditions, one a line, with # comments' },
    {
      name: 'format',
      value: 'FORMAT',
      says: 'text, json, markdown (a pull request), junit (XML) or github (annotations)',
    },
    { name: 'match', value: 'HOW', says: 'how exits are matched: rip, key or reason; else the first that fits' },
    {
      name: 'ignore',
      value: 'REASON,...',
      repeats: true,
      says: 'reasons to leave out of the alignment and of what counts as a difference, such as INTR; may be given again',
    },
    {
      name: 'changes',
      value: 'N',
      says: `how many kinds of exit to list that appeared or vanished (${DEFAULT_CHANGES})`,
    },
    SYMBOLS_OPTION,
    JSON_OPTION,
  ],
  details: [
    'Exits are aligned by content; levels are held against each other from the innermost guest outwards. The exit ' +
      'code is 0 where the exits of both runs are the same, and as many entries are known to have failed without one, 1 where they differ; ' +
      'with budgets, 0 where all are kept, 1 where one is broken. It is 2 where it cannot be decided: a recording was cut, lost events (what was counted may ' +
      'decide a budget all the same) or has no events of exits, a budget on times has too few samples, names a reason of the other architecture, or names the baseline of ' +
      'an unrelated run. Exits that differ where something is missing differ for certain only where more were counted ' +
      'than the other run has. A budget on failed.total is undecided too where the recording would not tell of entries that failed without an exit: of KVM on VMX, record kvm_userspace_exit.',
    'Runs are related where they agree more than their exits in any other order would; of two runs without anything in ' +
      `common fewer than ${LEVEL * 100}% pass for that. Unrelated ones are not aligned, and where it cannot be told it is said.`,
    'A budget is METRIC OP LIMIT. METRIC is exits.REASON, exits.total, failed.REASON, failed.total, ticks.REASON, ' +
      'ticks.total, or latency.STATISTIC.REASON with mean, p50, p90, p99, p99.9 or max of the handler times. failed.total counts entries that failed without an exit too, which no reason tells. L0 to L9 ' +
      'before the reason ask for one level (exits.L2.CPUID). OP is <=, <, ==, >= or >. LIMIT is a number, baseline, ' +
      'baseline + N, baseline - N, baseline + N% or baseline - N%; of a latency, N may have a unit: ns, us, ms or s.',
    'Counts and ticks are exact, and so are budgets on them. Host times are samples: a budget on them is broken only ' +
      `where the statistic is over its limit by ${LEAST_EFFECT * 100}% and a rank test (Mann-Whitney, of the tail that a ` +
      `percentile cuts off) gives chance less than ${SIGNIFICANCE * 100}%; with too few samples the answer is that ` +
      'there is not enough data. Of a run that lost events a budget on times is undecided unless no times that are missing can turn it. What slowed and what got faster is told by the same test, the chance being that of all ' +
      'reasons together; where times that are missing may turn it, it is said to be of the exits that were timed. Times alone do not change the exit code.',
    SYMBOLS_DETAILS,
  ],
  json: {
    match: 'rip, key or reason: what exits were matched by',
    related: 'false where the runs have no more in common than by chance',
    short: 'true where they are too short to tell; they are aligned all the same',
    exact: 'false where there were too many differences for a shortest alignment',
    matched: 'exits that both have',
    vanished: 'exits of LEFT alone',
    appeared: 'exits of RIGHT alone',
    hunks: 'places where the runs part',
    first: 'the first of them: at (seq on either side), before, left, right, more, after; or null',
    changes: 'by content: { exit, vanished, appeared }, at most 1000',
    reasons:
      'level, leftLevel (where it is another, else null), isa, reason, failed, left, right, delta, leftTimes, rightTimes',
    times:
      'what got slower or faster: { level, leftLevel, reason, slower, samples: { left, right }, cost (null where the mean did not move), shifts: { statistic (mean, ' +
      'p50, p90, p99), left, right, p (null of ticks), certain (false where the times that are missing may explain it) }, was, is (all statistics), mean (null, or that it went the other way: { with: p50, p90, p99, max or null, what went with it }) }, the costliest first',
    events: 'kinds whose number changed: { kind, left, right }',
    left: '{ path, unit, exits (null where the recording has no events of them), failedEarly (entries that failed without an exit), refused (nested entries that were), lost, lack (why counts are lower bounds, or null) }',
    right: 'the same of RIGHT',
    same: 'whether the exits that were recorded are the same, and as many entries failed without one',
    undecided:
      'why the recordings do not tell whether the runs had the same exits; null where they do. Where a run or a file of budgets cannot be read the document has why, and `checks`, alone',
    budgets:
      '{ budget, place, outcome (kept, broken, undecided), holds, unit, value, limit, baseline, says, ' +
      'test: { p, left, right } of host times or null }',
    checks: 'what the exit code rests on: the budgets, or without any "same exits", each { name, outcome, says }',
    remarks:
      'what to know before the outcome is believed: what is missing of a run, entries that failed without an exit in one of them, or without budgets would not be seen, unrelated runs, short ones',
  },
  examples: [
    { line: 'trapline diff good.sqlite bad.sqlite', says: 'where two runs part, and what changed' },
    { line: 'trapline diff base.arrow new.arrow --ignore INTR', says: 'without the interrupts of the host' },
    {
      line: 'trapline diff base.arrow new.arrow --fail-on "exits.total <= baseline"',
      says: 'fail a build on one exit more',
    },
    {
      line: 'trapline diff base.arrow new.arrow --budget exits.budget --format github',
      says: 'the same with a file of budgets, as annotations; docs/ci.md has a whole workflow',
    },
  ],
  run(call) {
    const format = readFormat(call);
    try {
      return run(call, format);
    } catch (error) {
      const described = describeError(error);
      const [left = '', right = ''] = call.args;
      if (described !== null && format !== 'text')
        REFUSALS[format](`${left} → ${right}`, formatError(described), call.out);
      throw error;
    }
  },
};
