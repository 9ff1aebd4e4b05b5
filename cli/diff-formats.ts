/**
 * A comparison for machines and forges: JSON, Markdown for a pull request, JUnit XML, GitHub annotations. All that came
 * out of a trace or a file is escaped by the rules of the format.
 */
import type { BudgetedRun, Outcome, Verdict } from '../analyzer/budget-judge.js';
import type { Diff, Divergence } from '../analyzer/diff.js';
import { escapeXml } from '../analyzer/export/document.js';
import type { Profile } from '../analyzer/profile/profile.js';
import {
  bothOf,
  exitText,
  groundsOf,
  levelsOf,
  MARKED,
  meanText,
  measured,
  reasonTexts,
  signed,
  TIME_SECTIONS,
  TIME_TITLES,
  timeCells,
} from './diff-text.js';
import type { Output } from './output.js';
import { formatCount, formatNumber } from './table.js';

/** What is known to be missing of a run. */
export type Lack = Pick<BudgetedRun, 'cut' | 'lack' | 'lacksExits'>;

export interface Report {
  readonly leftFile: string;
  readonly rightFile: string;
  readonly answer: Diff;
  /** What is missing of the left run and of the right one. */
  readonly lacks: { readonly left: Lack; readonly right: Lack };
  readonly verdicts: readonly Verdict[];
  /** Reasons that were left out of the alignment, and whose number is no difference either. */
  readonly ignored: readonly string[];
}

/** Whether the exits of both runs are the same, but for those that are ignored. */
export const same = ({ answer: { hunks, related, reasons }, ignored }: Report): boolean =>
  related && hunks === 0 && reasons.every(({ delta, reason }) => delta === 0 || ignored.includes(reason));

/** Which recording has no events of exits, so that there is nothing to compare; null where both have. */
export function exitsMissing({ leftFile, rightFile, lacks: { left, right } }: Report): string | null {
  const files = [...(left.lacksExits ? [leftFile] : []), ...(right.lacksExits ? [rightFile] : [])];
  return files.length === 0 ? null : `no events of exits in ${files.join(' and ')}: they are unknown, not zero`;
}

/** Whether the exits of both runs are the same, as far as the recordings tell. */
export function sameness(report: Report): { readonly outcome: Outcome; readonly why: string | null } {
  const { left, right } = report.lacks;
  const sides = [left, right];
  const missing = exitsMissing(report);
  if (missing !== null) return { outcome: 'undecided', why: missing };
  // what differs may merely be behind the cut
  if (sides.some(({ cut }) => cut !== null)) return { outcome: 'undecided', why: 'a recording was cut' };
  if (!same(report)) return { outcome: 'broken', why: null };
  const lack = left.lack ?? right.lack;
  return { outcome: lack === null ? 'kept' : 'undecided', why: lack };
}

/** What a gate checks: each budget, or without any that nothing changed. */
interface Check {
  readonly name: string;
  readonly outcome: Verdict['outcome'];
  readonly says: string;
  readonly place: Verdict['place'];
}

export function checksOf(report: Report): Check[] {
  const { answer, verdicts } = report;
  if (verdicts.length === 0) {
    const { outcome, why } = sameness(report);
    const summary = exitsMissing(report) === null ? [summaryOf(answer)] : [];
    const says = [...summary, ...(why === null ? [] : [why])].join('; ');
    return [{ name: 'same exits', outcome, says, place: null }];
  }
  return verdicts.map((verdict) => ({
    name: verdict.budget,
    outcome: verdict.outcome,
    says: groundsOf(verdict),
    place: verdict.place,
  }));
}

function summaryOf({ related, short, matched, vanished, appeared, hunks }: Diff): string {
  if (short) return `too short to tell whether the runs are related: ${changed({ matched, vanished, appeared })}`;
  if (!related) return 'unrelated runs: no more in common than by chance';
  if (hunks === 0) return `${formatCount(matched, 'exit')} alike, no difference`;
  return changed({ matched, vanished, appeared });
}

const changed = ({ matched, vanished, appeared }: Pick<Diff, 'matched' | 'vanished' | 'appeared'>): string =>
  `${formatCount(matched, 'exit')} alike, ${formatNumber(vanished)} vanished, ${formatNumber(appeared)} appeared`;

function json(report: Report, out: Output): void {
  const { leftFile, rightFile, answer, lacks, verdicts } = report;
  const { left, right, ...rest } = answer;
  const side = (path: string, { unit, exits, lost }: Profile, { lack, lacksExits }: Lack) => ({
    path,
    unit,
    exits: lacksExits ? null : exits,
    lost,
    lack,
  });
  out.json({
    ...rest,
    left: side(leftFile, left, lacks.left),
    right: side(rightFile, right, lacks.right),
    same: same(report),
    undecided: sameness(report).why,
    budgets: verdicts,
  });
}

/** GitHub Flavored Markdown, 2.4: any ASCII punctuation may be escaped; a cell of a table is one line. */
const markdownText = (text: string): string => text.replace(/[\\`*_{}[\]<>()#+!|~&@-]/g, '\\$&').replace(/\s+/g, ' ');

const MARKS = { kept: '✅ kept', broken: '❌ **broken**', undecided: '⚠️ undecided' } as const;
/** Rows of a table in a comment. */
const MOST_ROWS = 20;

function markdownTable(out: Output, titles: readonly string[], rows: readonly (readonly string[])[]): void {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  out.line(row(titles));
  out.line(row(titles.map((title, i) => (i === 0 || title === 'reason' || title === '' ? '---' : '---:'))));
  for (const cells of rows.slice(0, MOST_ROWS)) out.line(row(cells));
  if (rows.length > MOST_ROWS) out.line(`\n${formatNumber(rows.length - MOST_ROWS)} more.`);
  out.line();
}

function markdownDivergence(out: Output, { before, left, right, more, after }: Divergence): void {
  const lines = [
    ...before.map((exit) => `  ${exitText(exit)}`),
    ...left.map((exit) => `- ${exitText(exit)}`),
    ...right.map((exit) => `+ ${exitText(exit)}`),
    ...(more > 0 ? [`  ${formatNumber(more)} more`] : []),
    ...after.map((exit) => `  ${exitText(exit)}`),
  ];
  out.line('<details><summary>First divergence</summary>\n');
  // Four spaces make a block of code that no content can end.
  for (const line of lines) out.line(`    ${line.replace(/[\r\n]/g, ' ')}`);
  out.line('\n</details>\n');
}

function markdownTimes({ times, right: { unit } }: Diff, out: Output): void {
  const mark = (text: string): string => (unit === 'ticks' ? text : `**${text}**`);
  for (const { title, slower } of TIME_SECTIONS) {
    const changes = times.filter((change) => change.slower === slower);
    if (changes.length === 0) continue;
    out.line(`**${title}**\n`);
    const rows = changes.map((change) => timeCells(unit, { ...change, reason: markdownText(change.reason) }, mark));
    markdownTable(out, TIME_TITLES, rows);
    for (const change of changes.slice(0, MOST_ROWS)) {
      const note = meanText(unit, change);
      if (note !== null) out.line(`- ${markdownText(`${change.reason}: ${note}`)}`);
    }
  }
  if (unit !== 'ticks' && times.length > 0) out.line(`\nBold: ${MARKED}.\n`);
}

function markdown(report: Report, out: Output): void {
  const { answer, verdicts, leftFile, rightFile, ignored } = report;
  const checks = checksOf(report);
  const said = (['broken', 'undecided', 'kept'] as const).flatMap((outcome) => {
    const count = checks.filter((check) => check.outcome === outcome).length;
    return count === 0 ? [] : [`${MARKS[outcome]} ${count}`];
  });
  out.line(`### VM exits: ${said.join(', ')}`);
  const without = ignored.length === 0 ? '' : `, without ${ignored.join(', ')}`;
  const missing = exitsMissing(report);
  const summary = missing ?? summaryOf(answer) + without;
  out.line(`\n${markdownText(leftFile)} → ${markdownText(rightFile)}: ${markdownText(summary)}\n`);
  if (verdicts.length > 0) {
    const rows = verdicts.map((verdict) => [
      markdownText(verdict.budget),
      measured(verdict.baseline, verdict),
      measured(verdict.value, verdict),
      measured(verdict.limit, verdict),
      MARKS[verdict.outcome] + (verdict.says === null ? '' : `: ${markdownText(verdict.says)}`),
    ]);
    markdownTable(out, ['budget', 'baseline', 'value', 'limit', ''], rows);
  }
  if (missing === null) markdownChanges(answer, out);
}

function markdownChanges(answer: Diff, out: Output): void {
  markdownTimes(answer, out);
  const changed = answer.reasons.filter(({ delta }) => delta !== 0);
  if (changed.length > 0) {
    const reasonText = reasonTexts(answer.reasons);
    const rows = changed.map((row) => [
      levelsOf(row),
      markdownText(reasonText(row)),
      formatNumber(row.left),
      formatNumber(row.right),
      signed(row.delta),
      ...(['p50', 'mean'] as const).map((name) => bothOf(answer, row, name)),
    ]);
    markdownTable(out, ['level', 'reason', 'before', 'after', 'change', 'p50', 'mean'], rows);
  }
  if (answer.first !== null) markdownDivergence(out, answer.first);
}

/**
 * The elements that Jenkins, GitLab and GitHub actions read: testsuites, testsuite, testcase, failure, error. Their
 * attributes are those of the schema of Jenkins's xUnit plugin (junit-10.xsd), which refuses any other: a case has no
 * `file` and `line`, and the text begins with them instead.
 */
function junit(report: Report, out: Output): void {
  const checks = checksOf(report);
  const number = (wanted: Verdict['outcome']): number => checks.filter(({ outcome }) => outcome === wanted).length;
  const counts = `tests="${checks.length}" failures="${number('broken')}" errors="${number('undecided')}"`;
  out.line('<?xml version="1.0" encoding="UTF-8"?>');
  out.line(`<testsuites name="trapline" ${counts}>`);
  out.line(`  <testsuite name="${escapeXml(`${report.leftFile} → ${report.rightFile}`)}" ${counts} skipped="0">`);
  for (const { name, outcome, says, place } of checks) {
    const at = place === null ? '' : `${place.file}:${place.line}: `;
    const head = `    <testcase classname="trapline.diff" name="${escapeXml(name)}"`;
    if (outcome === 'kept') {
      out.line(`${head}/>`);
      continue;
    }
    const element = outcome === 'broken' ? 'failure' : 'error';
    out.line(`${head}>`);
    out.line(
      `      <${element} type="budget ${outcome}" message="${escapeXml(says)}">${escapeXml(`${at}${name}: ${says}`)}</${element}>`,
    );
    out.line('    </testcase>');
  }
  out.line('  </testsuite>');
  out.line('</testsuites>');
}

/** Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions; @actions/core. */
const githubText = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const githubProperty = (text: string): string => githubText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

const LEVELS = { kept: 'notice', broken: 'error', undecided: 'error' } as const;
const TITLES = { kept: 'Budget kept', broken: 'Budget broken', undecided: 'Budget undecided' } as const;

function github(report: Report, out: Output): void {
  for (const { name, outcome, says, place } of checksOf(report)) {
    const at = place === null ? '' : `file=${githubProperty(place.file)},line=${place.line},`;
    out.line(`::${LEVELS[outcome]} ${at}title=${githubProperty(TITLES[outcome])}::${githubText(`${name}: ${says}`)}`);
  }
}

export const FORMATS = { json, markdown, junit, github } as const satisfies {
  readonly [format: string]: (report: Report, out: Output) => void;
};
export type Format = keyof typeof FORMATS;
