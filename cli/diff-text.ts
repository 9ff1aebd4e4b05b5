/** What a comparison says, for a person at a terminal. */
import type { Diff, Divergence, ExitLine, Match, ReasonDelta, TimeChange } from '../analyzer/diff.js';
import { aloneWords, exitsMissing, failuresOf, remarksOf, verdictOf } from '../analyzer/diff-outcome.js';
import { SHIFTING } from '../analyzer/diff-times.js';
import type { Profile } from '../analyzer/profile/profile.js';
import { checksOf, type Report, unseenIn } from './diff-checks.js';
import type { Output } from './output.js';
import { formatCount, formatHex, formatNs, formatNumber, type TableColumn } from './table.js';

const MATCHED_BY: { readonly [match in Match]: string } = {
  rip: 'reason, what it was about, and RIP',
  key: 'reason and what it was about',
  reason: 'reason alone',
};

const right = (title: string): TableColumn => ({ title, align: 'right' });

export const signed = (n: number): string => (n > 0 ? `+${formatNumber(n)}` : n < 0 ? `−${formatNumber(-n)}` : '0');

function paintDelta(out: Output, delta: number): string {
  if (delta === 0) return out.paint('dim', '0');
  return out.paint(delta > 0 ? 'yellow' : 'green', signed(delta));
}

export const levelOf = (level: number | null): string => (level === null ? '?' : `L${level}`);

/** The level of a row, or of both runs where they are two. */
export const levelsOf = ({ level, leftLevel }: Pick<ReasonDelta, 'level' | 'leftLevel'>): string =>
  leftLevel === null ? levelOf(level) : `${levelOf(leftLevel)} → ${levelOf(level)}`;

export function exitText({ level, reason, failed, key, rip, symbol }: ExitLine): string {
  const about = key === '' ? '' : ` ${key}`;
  const place = rip === null ? '' : ` at ${formatHex(rip)}${symbol === undefined ? '' : ` ${symbol}`}`;
  return `${levelOf(level)} ${reason}${failed ? ' failed entry' : ''}${about}${place}`;
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

function printChanges(out: Output, { answer: { changes }, lacks }: Report, most: number): void {
  if (changes.length === 0 || most === 0) return;
  const isWhole = lacks.left.lack === null && lacks.right.lack === null;
  out.line();
  out.title(`What appeared and vanished${isWhole ? '' : ', or was not recorded'}`);
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
  if (changes.length > most) out.line(out.paint('dim', `${formatCount(changes.length - most, 'more kind')} of exit`));
}

const timeText = (unit: Profile['unit'], time: number): string =>
  unit === 'ns' ? formatNs(time) : formatNumber(time, Number.isInteger(time) || time >= 1000 ? 0 : 1);

/** From one time to another, once where they read the same, and their unit once where both have it. */
function moveText(unit: Profile['unit'], left: number, right: number): string {
  const [from, to] = [timeText(unit, left), timeText(unit, right)];
  const [, suffix] = to.split(' ');
  return from === to ? to : `${suffix === undefined ? from : from.replace(new RegExp(` ${suffix}$`), '')} → ${to}`;
}

/** A statistic of a reason in both runs, of which one may not have it. */
export function bothOf({ left, right: other }: Diff, row: ReasonDelta, name: 'mean' | 'p50'): string {
  const [before, after] = [row.leftTimes?.[name], row.rightTimes?.[name]];
  if (before === undefined) return after === undefined ? '' : `→ ${timeText(other.unit, after)}`;
  if (after === undefined) return `${timeText(left.unit, before)} →`;
  if (left.unit === other.unit) return moveText(left.unit, before, after);
  return `${timeText(left.unit, before)} → ${timeText(other.unit, after)}`;
}

/** What slowed, and what got faster: titles, and cells of a row for each reason. */
export const TIME_TITLES = ['L', 'reason', 'samples', ...SHIFTING, 'cost'] as const;
const TIME_SECTIONS = [
  { title: 'What slowed', slower: true, certain: true },
  { title: 'What got faster', slower: false, certain: true },
  { title: 'What was slower of the exits that were timed', slower: true, certain: false },
  { title: 'What was faster of the exits that were timed', slower: false, certain: false },
] as const;
/** What is said below those that are not certain. */
export const UNCERTAIN = 'The times that are missing may explain it.';

type TimeSection = Omit<(typeof TIME_SECTIONS)[number], 'slower'> & { readonly changes: readonly TimeChange[] };

const isCertain = ({ shifts }: TimeChange): boolean => shifts.some(({ certain }) => certain);

/** Those that have anything to tell. */
export const timeSections = ({ times }: Diff): TimeSection[] =>
  TIME_SECTIONS.flatMap(({ title, slower, certain }) => {
    const changes = times.filter((change) => change.slower === slower && isCertain(change) === certain);
    return changes.length === 0 ? [] : [{ title, certain, changes }];
  });

/** `mark` marks what is certain, and of samples more than chance. */
export function timeCells(unit: Profile['unit'], change: TimeChange, mark: (text: string) => string): string[] {
  const { reason, samples, cost, shifts, was, is } = change;
  const moved = SHIFTING.map((statistic) => {
    const text = moveText(unit, was[statistic], is[statistic]);
    return shifts.some((shift) => shift.statistic === statistic && shift.certain) ? mark(text) : text;
  });
  const counts = [...new Set([samples.left, samples.right].map((count) => formatNumber(count)))].join(' → ');
  const more = cost === null ? '' : `${cost < 0 ? '−' : '+'}${timeText(unit, Math.abs(cost))}`;
  return [levelsOf(change), reason, counts, ...moved, more];
}

/** How a mean that went the other way is to be read; null where it did not. */
export function meanText(unit: Profile['unit'], { slower, shifts, was, is, mean }: TimeChange): string | null {
  if (mean === null) return null;
  const moved = shifts.map(({ statistic }) => (statistic === 'p50' ? 'median' : statistic)).join(', ');
  const [way, other, tail] = slower ? ['slower', 'faster', 'fell'] : ['faster', 'slower', 'grew'];
  const head = `${moved} ${way}, mean ${other}: `;
  if (mean.with === null) return `${head}so are the ${other === 'faster' ? 'fastest' : 'slowest'} exits`;
  const by = `${mean.with} ${moveText(unit, was[mean.with], is[mean.with])}`;
  return `${head}${mean.with === 'p50' ? `most exits got ${other}` : `the tail ${tail}`}, ${by}`;
}

/** What marks mean, where times are samples or some are missing; null where nothing is marked. */
export function marksOf({ times, right: { unit } }: Diff): string | null {
  if (!times.some(isCertain)) return null;
  const isWhole = times.every(({ shifts }) => shifts.every(({ certain }) => certain));
  if (unit === 'ticks') return isWhole ? null : 'whatever times are missing; the rest may be because of them';
  const chance = 'more than chance, by a rank test';
  return isWhole
    ? `${chance}; the rest may be chance`
    : `${chance}, whatever times are missing; the rest may be chance, or because of them`;
}

function printTimes(out: Output, answer: Diff): void {
  const { unit } = answer.right;
  const marks = marksOf(answer);
  const mark = (text: string): string => (marks === null ? text : `${text}*`);
  for (const { title, certain, changes } of timeSections(answer)) {
    const notes = changes.map((change) => meanText(unit, change));
    out.line();
    out.title(title);
    const rows = changes.map((change) => timeCells(unit, change, mark));
    // logs and pagers get lines of ordinary length
    const shown = TIME_COLUMNS.flatMap(({ title: name }, i) =>
      name === 'p90' && out.width === Number.POSITIVE_INFINITY ? [] : [i],
    );
    out.table(
      shown.flatMap((i) => TIME_COLUMNS[i] ?? []),
      rows.map((row) => shown.map((i) => row[i] ?? '')),
    );
    for (const [i, note] of notes.entries()) if (note !== null) out.line(`${changes[i]?.reason}: ${note}`);
    if (!certain) out.line(out.paint('dim', UNCERTAIN));
  }
  if (marks !== null) out.line(out.paint('dim', `* ${marks}`));
}

const TIME_DROPS: { readonly [title: string]: number } = { p90: 1, cost: 2, samples: 3 };
/** Of TIME_TITLES, with what goes first where a terminal is narrow. */
const TIME_COLUMNS: readonly TableColumn[] = TIME_TITLES.map((title) => {
  const drops = TIME_DROPS[title];
  if (title === 'reason') return { title, shrinks: 13 };
  return drops === undefined ? right(title) : { ...right(title), drops, sparse: true };
});

const ISA_NAMES = { vmx: 'VMX', svm: 'SVM' } as const;

/** Names of reasons, with the architecture where rows are of both: some names are of either. */
export function reasonTexts(rows: readonly ReasonDelta[]): (row: ReasonDelta) => string {
  const both = new Set(rows.flatMap(({ isa }) => isa ?? [])).size > 1;
  return ({ reason, failed, isa }) =>
    `${reason}${failed ? ' failed entry' : ''}${both && isa !== null ? ` (${ISA_NAMES[isa]})` : ''}`;
}

function printReasons(out: Output, answer: Diff): void {
  const reasonText = reasonTexts(answer.reasons);
  out.line();
  out.title('Exits by reason');
  out.table(
    [
      right('L'),
      { title: 'reason', shrinks: 16 },
      right('left'),
      right('right'),
      right('delta'),
      { ...right('p50'), drops: 2, sparse: true },
      { ...right('mean'), drops: 1, sparse: true },
    ],
    answer.reasons.map((row) => [
      levelsOf(row),
      reasonText(row),
      formatNumber(row.left),
      formatNumber(row.right),
      paintDelta(out, row.delta),
      bothOf(answer, row, 'p50'),
      bothOf(answer, row, 'mean'),
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

/** Reasons that come when an interrupt of the host comes: of two runs on a real host they never are the same. */
const INTERRUPTS: ReadonlySet<string> = new Set(['INTR', 'EXTERNAL_INTERRUPT']);

/** What keeps noise out of a comparison, where there is some. */
function printAdvice(out: Output, { left, right: other, changes }: Diff): void {
  if (left.unit === 'ticks' || other.unit === 'ticks') return;
  const noise = new Set(changes.map(({ exit }) => exit.reason).filter((reason) => INTERRUPTS.has(reason)));
  if (noise.size === 0) return;
  const options = [...noise].map((reason) => `--ignore ${reason}`).join(' ');
  out.line(out.paint('dim', `interrupts of the host come when they come; without them: ${options}`));
}

/** `changes`: kinds of exit to list at the most. */
export function printDiff(out: Output, report: Report, changes: number): void {
  const { answer, ignored } = report;
  for (const remark of remarksOf(report)) out.paragraph(out.paint('yellow', remark), 2);
  if (exitsMissing(report) !== null) return;
  if (answer.related || answer.short) {
    const places = formatCount(answer.hunks, 'place');
    const without = ignored.length === 0 ? '' : `, without ${ignored.join(', ')}`;
    const parts = [`${formatCount(answer.matched, 'exit')} alike`];
    const { vanished, appeared } = aloneWords(report);
    if (answer.vanished > 0) parts.push(out.paint('red', `${formatNumber(answer.vanished)} ${vanished}`));
    if (answer.appeared > 0) parts.push(out.paint('green', `${formatNumber(answer.appeared)} ${appeared}`));
    const none = failuresOf(report).length === 0 ? '; no difference' : '';
    out.line(parts.join(', ') + (answer.hunks === 0 ? none : `, in ${places}`));
    out.line(
      out.paint(
        'dim',
        `matched by ${MATCHED_BY[answer.match]}${without}${answer.exact ? '' : '; too many differences for a shortest alignment'}`,
      ),
    );
    printAdvice(out, answer);
  }
  for (const unseen of unseenIn(report)) out.paragraph(out.paint('dim', unseen), 2);
  if (answer.first !== null) printDivergence(out, answer.first);
  printChanges(out, report, changes);
  printTimes(out, answer);
  if (answer.hunks === 0 && answer.related) return;
  printReasons(out, answer);
  printEvents(out, answer);
}

const OUTCOMES = {
  kept: { word: 'kept', style: 'green' },
  broken: { word: 'BROKEN', style: 'red' },
  undecided: { word: 'UNDECIDED', style: 'yellow' },
} as const;

/** Says why it cannot be told whether the exits of two runs are the same, or what tells it though something is missing. */
function printSameness(out: Output, report: Report): void {
  const verdict = verdictOf(report);
  if (verdict === null) return;
  out.line();
  out.paragraph(`${out.paint(OUTCOMES[verdict.outcome].style, verdict.word)} ${verdict.says}`, 2);
}

/** Each budget, or without any whether the exits are the same where that needs a word. */
export function printChecks(out: Output, report: Report): void {
  if (report.verdicts.length === 0) {
    printSameness(out, report);
    return;
  }
  out.line();
  for (const { name, outcome, says } of checksOf(report)) {
    const { word, style } = OUTCOMES[outcome];
    out.paragraph(`budget ${out.paint(style, word)}: ${name}: ${says}`, 2);
  }
}
