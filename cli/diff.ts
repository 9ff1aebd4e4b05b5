/** `trapline diff`: what changed between two runs, and whether budgets are kept. */

import { type Change, compare, type Diff, type Divergence, type ExitLine, type Match } from '../analyzer/diff.js';
import { judge, readBudget, type Verdict } from '../analyzer/diff-budget.js';
import { DiffSide } from '../analyzer/diff-side.js';
import type { Profile, Times } from '../analyzer/profile.js';
import { COLUMNS } from '../analyzer/profile-view.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError } from './errors.js';
import { feed } from './feed.js';
import type { Output } from './output.js';
import { formatHex, formatNs, formatNumber, type TableColumn } from './table.js';

const MATCHES: readonly Match[] = ['rip', 'key', 'reason'];
const MATCHED_BY: { readonly [match in Match]: string } = {
  rip: 'reason, what it was about, and RIP',
  key: 'reason and what it was about',
  reason: 'reason alone',
};
const DEFAULT_CHANGES = 10;

const right = (title: string): TableColumn => ({ title, align: 'right' });

const signed = (n: number): string => (n > 0 ? `+${formatNumber(n)}` : n < 0 ? `−${formatNumber(-n)}` : '0');

function paintDelta(out: Output, delta: number): string {
  if (delta === 0) return out.paint('dim', '0');
  return out.paint(delta > 0 ? 'yellow' : 'green', signed(delta));
}

const levelOf = (level: number | null): string => (level === null ? '?' : `L${level}`);

function exitText({ level, reason, failed, key, rip }: ExitLine): string {
  const about = key === '' ? '' : ` ${key}`;
  return `${levelOf(level)} ${reason}${failed ? ' failed entry' : ''}${about}${rip === null ? '' : ` at ${formatHex(rip)}`}`;
}

function printDivergence(out: Output, { before, left, right: other, more, after }: Divergence): void {
  out.line();
  const [exit] = [...left, ...other];
  out.title(`First divergence${exit === undefined ? '' : `, event ${formatNumber(exit.seq)}`}`);
  for (const line of before) out.line(out.paint('dim', `    ${exitText(line)}`));
  for (const line of left) out.line(out.paint('red', `  - ${exitText(line)}`));
  for (const line of other) out.line(out.paint('green', `  + ${exitText(line)}`));
  if (more > 0) out.line(out.paint('dim', `    ${formatNumber(more)} more`));
  for (const line of after) out.line(out.paint('dim', `    ${exitText(line)}`));
}

function printChanges(out: Output, changes: readonly Change[], most: number): void {
  if (changes.length === 0 || most === 0) return;
  out.line();
  out.title('What appeared and vanished');
  out.table(
    [right('vanished'), right('appeared'), { title: 'exit', shrinks: 20 }],
    changes
      .slice(0, most)
      .map(({ exit, vanished, appeared }) => [
        vanished === 0 ? '' : out.paint('red', formatNumber(vanished)),
        appeared === 0 ? '' : out.paint('green', formatNumber(appeared)),
        exitText(exit),
      ]),
  );
  if (changes.length > most) out.line(out.paint('dim', `${formatNumber(changes.length - most)} more kinds of exit`));
}

const mean = (unit: Profile['unit'], times: Times | null): string => {
  if (times === null) return '';
  return unit === 'ns' ? formatNs(times.mean) : formatNumber(times.mean, 1);
};

function printReasons(out: Output, { reasons, left, right: other }: Diff): void {
  out.line();
  out.title('Exits by reason');
  out.table(
    [
      right('L'),
      { title: 'reason', shrinks: 16 },
      right('left'),
      right('right'),
      right('delta'),
      { ...right('mean left'), drops: 1 },
      { ...right('mean right'), drops: 1 },
    ],
    reasons.map((row) => [
      levelOf(row.level),
      row.failed ? `${row.reason} failed entry` : row.reason,
      formatNumber(row.left),
      formatNumber(row.right),
      paintDelta(out, row.delta),
      mean(left.unit, row.leftTimes),
      mean(other.unit, row.rightTimes),
    ]),
  );
}

function printEvents(out: Output, { events }: Diff): void {
  const other = events.filter(({ kind }) => kind !== 'exit' && kind !== 'entry' && kind !== 'entry_failed');
  if (other.length === 0) return;
  out.line();
  out.title('Other events whose number changed');
  out.table(
    [{ title: 'kind' }, right('left'), right('right'), right('delta')],
    other.map((row) => [
      row.kind,
      formatNumber(row.left),
      formatNumber(row.right),
      paintDelta(out, row.right - row.left),
    ]),
  );
}

function printDiff(out: Output, answer: Diff, changes: number): void {
  if (!answer.related) {
    out.line(out.paint('yellow', 'Unrelated runs: next to nothing in common, so nothing was aligned.'));
  } else {
    const places = `${formatNumber(answer.hunks)} place${answer.hunks === 1 ? '' : 's'}`;
    const parts = [`${formatNumber(answer.matched)} exits alike`];
    if (answer.vanished > 0) parts.push(out.paint('red', `${formatNumber(answer.vanished)} vanished`));
    if (answer.appeared > 0) parts.push(out.paint('green', `${formatNumber(answer.appeared)} appeared`));
    out.line(parts.join(', ') + (answer.hunks === 0 ? '; no difference' : `, in ${places}`));
    out.line(
      out.paint(
        'dim',
        `matched by ${MATCHED_BY[answer.match]}${answer.exact ? '' : '; too many differences for a shortest alignment'}`,
      ),
    );
  }
  if (answer.first !== null) printDivergence(out, answer.first);
  printChanges(out, answer.changes, changes);
  if (answer.hunks === 0 && answer.related) return;
  printReasons(out, answer);
  printEvents(out, answer);
}

function printVerdicts(out: Output, verdicts: readonly Verdict[]): void {
  for (const { budget, holds, value, limit, baseline } of verdicts) {
    const against = baseline === null ? '' : ` (baseline ${formatNumber(baseline)})`;
    const word = holds ? out.paint('green', 'kept') : out.paint('red', 'BROKEN');
    out.line(`budget ${word}: ${budget}: ${formatNumber(value)}, limit ${formatNumber(limit)}${against}`);
  }
}

function readMatch(text: string | null): Match | undefined {
  if (text === null) return undefined;
  const match = MATCHES.find((candidate) => candidate === text);
  if (match === undefined)
    throw new CliError('BAD_VALUE', `diff --match ${text}`, `one of ${MATCHES.join(', ')} is meant`);
  return match;
}

const same = ({ hunks, related, reasons }: Diff): boolean =>
  related && hunks === 0 && reasons.every(({ delta }) => delta === 0);

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
    { name: 'match', value: 'HOW', says: 'how exits are matched: rip, key or reason; else the first that fits' },
    { name: 'ignore', value: 'REASON', repeats: true, says: 'a reason to leave out of the alignment, such as INTR' },
    {
      name: 'changes',
      value: 'N',
      says: `how many kinds of exit to list that appeared or vanished (${DEFAULT_CHANGES})`,
    },
    JSON_OPTION,
  ],
  details: [
    'Exits are aligned by content; levels are held against each other from the innermost guest outwards. The exit ' +
      'code is 0 where the exits of both runs are the same, 1 where they differ; with budgets, 0 where all are kept ' +
      'and 1 where one is broken.',
    'A budget is METRIC OP LIMIT. METRIC is exits.REASON, exits.total, failed.REASON, failed.total, ticks.REASON or ' +
      'ticks.total, with L0 to L9 before the reason for one level (exits.L2.CPUID). OP is <=, <, ==, >= or >. LIMIT is ' +
      'a number, baseline, baseline + N, baseline - N or baseline + N%. Counts and ticks are exact; host times are ' +
      'samples and cannot be budgeted here.',
  ],
  json: {
    match: 'rip, key or reason: what exits were matched by',
    related: 'false where the runs have next to nothing in common',
    exact: 'false where there were too many differences for a shortest alignment',
    matched: 'exits that both have',
    vanished: 'exits of LEFT alone',
    appeared: 'exits of RIGHT alone',
    hunks: 'places where the runs part',
    first: 'the first of them: before, left, right, more, after; or null',
    changes: 'by content: { exit, vanished, appeared }, at most 1000',
    reasons: 'level, reason, failed, left, right, delta, leftTimes, rightTimes',
    events: 'kinds whose number changed: { kind, left, right }',
    left: '{ path, unit, exits, lost }',
    right: 'the same of RIGHT',
    same: 'whether the exits are the same',
    budgets: '{ budget, holds, value, limit, baseline }',
  },
  examples: [
    { line: 'trapline diff good.sqlite bad.sqlite', says: 'where two runs part, and what changed' },
    {
      line: 'trapline diff base.arrow new.arrow --fail-on "exits.total <= baseline"',
      says: 'fail a build on one exit more',
    },
  ],
  run(call) {
    const [leftFile = '', rightFile = ''] = call.args;
    const budgets = call.values('fail-on').map(readBudget);
    const match = readMatch(call.value('match'));
    const changes = call.integer('changes', 0, 1000) ?? DEFAULT_CHANGES;
    const sides = [leftFile, rightFile].map((file) => {
      const side = new DiffSide(call.values('ignore'));
      const fed = feed(file, COLUMNS, (chunk) => side.take(chunk), call.out);
      side.finish(fed.nameOf);
      return { side, whole: fed.whole };
    });
    const [left, other] = sides;
    if (left === undefined || other === undefined) throw new Error('two sides');
    const answer = compare(left.side, other.side, match === undefined ? {} : { match });
    const verdicts = budgets.map((budget) => judge(answer, budget));
    if (call.flag('json')) {
      const { left: leftProfile, right: rightProfile, ...rest } = answer;
      const side = (path: string, { unit, exits, lost }: Profile) => ({ path, unit, exits, lost });
      call.out.json({
        ...rest,
        left: side(leftFile, leftProfile),
        right: side(rightFile, rightProfile),
        same: same(answer),
        budgets: verdicts,
      });
    } else {
      printDiff(call.out, answer, changes);
      if (verdicts.length > 0) call.out.line();
      printVerdicts(call.out, verdicts);
    }
    if (!sides.every(({ whole }) => whole)) return EXIT.wrong;
    const holds = verdicts.length > 0 ? verdicts.every((verdict) => verdict.holds) : same(answer);
    return holds ? EXIT.holds : EXIT.differs;
  },
};
