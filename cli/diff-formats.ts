/**
 * A comparison for machines and forges: JSON, Markdown for a pull request, JUnit XML, GitHub annotations. All that came
 * out of a trace or a file is escaped by the rules of the format.
 */
import type { Diff, Divergence } from '../analyzer/diff.js';
import { exitsMissing, type Lack, same, sameness } from '../analyzer/diff-outcome.js';
import { escapeXml } from '../analyzer/export/document.js';
import type { Profile } from '../analyzer/profile/profile.js';
import { type Check, checksOf, measured, type Report, reasonsOf, saidOf, summaryOf } from './diff-checks.js';
import {
  bothOf,
  exitText,
  levelsOf,
  marksOf,
  meanText,
  reasonTexts,
  signed,
  TIME_TITLES,
  timeCells,
  timeSections,
  UNCERTAIN,
} from './diff-text.js';
import type { Output } from './output.js';
import { formatNumber } from './table.js';

function json(report: Report, out: Output): void {
  const { leftFile, rightFile, answer, lacks, verdicts } = report;
  const { left, right, ...rest } = answer;
  const side = (path: string, { unit, exits, failedEarly, refused, lost }: Profile, { lack, lacksExits }: Lack) => ({
    path,
    unit,
    exits: lacksExits ? null : exits,
    failedEarly,
    refused,
    lost,
    lack,
  });
  const { outcome, why } = sameness(report);
  out.json({
    ...rest,
    left: side(leftFile, left, lacks.left),
    right: side(rightFile, right, lacks.right),
    same: same(report),
    undecided: outcome === 'undecided' ? why : null,
    budgets: verdicts,
    checks: checksOf(report).map(({ name, outcome, says }) => ({ name, outcome, says })),
    remarks: saidOf(report),
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

function markdownTimes(answer: Diff, out: Output): void {
  const { unit } = answer.right;
  const marks = marksOf(answer);
  const mark = (text: string): string => (marks === null ? text : `**${text}**`);
  for (const { title, certain, changes } of timeSections(answer)) {
    out.line(`**${title}**\n`);
    const rows = changes.map((change) => timeCells(unit, { ...change, reason: markdownText(change.reason) }, mark));
    markdownTable(out, TIME_TITLES, rows);
    for (const change of changes.slice(0, MOST_ROWS)) {
      const note = meanText(unit, change);
      if (note !== null) out.line(`- ${markdownText(`${change.reason}: ${note}`)}`);
    }
    if (!certain) out.line(`\n${UNCERTAIN}\n`);
  }
  if (marks !== null) out.line(`\nBold: ${marks}.\n`);
}

function markdown(report: Report, out: Output): void {
  const { answer, verdicts, leftFile, rightFile } = report;
  const checks = checksOf(report);
  const said = (['broken', 'undecided', 'kept'] as const).flatMap((outcome) => {
    const count = checks.filter((check) => check.outcome === outcome).length;
    return count === 0 ? [] : [`${MARKS[outcome]} ${count}`];
  });
  out.line(`### VM exits: ${said.join(', ')}`);
  out.line(`\n${markdownText(leftFile)} → ${markdownText(rightFile)}: ${markdownText(summaryOf(report))}\n`);
  if (verdicts.length > 0) {
    const rows = verdicts.map((verdict) => [
      markdownText(verdict.budget),
      measured(verdict.baseline, verdict),
      measured(verdict.value, verdict),
      measured(verdict.limit, verdict),
      [MARKS[verdict.outcome], ...reasonsOf(verdict).map(markdownText)].join('; '),
    ]);
    markdownTable(out, ['budget', 'baseline', 'value', 'limit', ''], rows);
  }
  if (exitsMissing(report) === null) markdownChanges(answer, out);
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

const TITLES = {
  budget: { kept: 'Budget kept', broken: 'Budget broken', undecided: 'Budget undecided' },
  exits: { kept: 'Same exits', broken: 'Exits differ', undecided: 'Exits undecided' },
} as const;
const titleOf = ({ of, outcome }: Check): string => TITLES[of][outcome];

/** One test case; `element` null where it passes. */
interface Case {
  readonly name: string;
  readonly element: 'failure' | 'error' | null;
  readonly type: string;
  readonly message: string;
  readonly text: string;
}

/**
 * The elements that Jenkins, GitLab and GitHub actions read: testsuites, testsuite, testcase, failure, error. Their
 * attributes are those of the schema of Jenkins's xUnit plugin (junit-10.xsd), which refuses any other: a case has no
 * `file` and `line`, and the text begins with them instead. What the comparison as a whole says, and what a check that
 * passes rests on, is the suite's output.
 */
function junitDocument(out: Output, runs: string, cases: readonly Case[], said: string | null): void {
  const number = (element: Case['element']): number => cases.filter((one) => one.element === element).length;
  const counts = `tests="${cases.length}" failures="${number('failure')}" errors="${number('error')}"`;
  out.line('<?xml version="1.0" encoding="UTF-8"?>');
  out.line(`<testsuites name="trapline" ${counts}>`);
  out.line(`  <testsuite name="${escapeXml(runs)}" ${counts} skipped="0">`);
  for (const { name, element, type, message, text } of cases) {
    const head = `    <testcase classname="trapline.diff" name="${escapeXml(name)}"`;
    if (element === null) {
      out.line(`${head}/>`);
      continue;
    }
    const title = `type="${type.toLowerCase()}" message="${escapeXml(message)}"`;
    out.line(`${head}>`);
    out.line(`      <${element} ${title}>${escapeXml(text)}</${element}>`);
    out.line('    </testcase>');
  }
  if (said !== null) out.line(`    <system-out>${escapeXml(said)}</system-out>`);
  out.line('  </testsuite>');
  out.line('</testsuites>');
}

const ELEMENTS = { kept: null, broken: 'failure', undecided: 'error' } as const;

function junit(report: Report, out: Output): void {
  const checks = checksOf(report);
  const cases = checks.map((check) => {
    const { name, outcome, says, place } = check;
    const at = place === null ? '' : `${place.file}:${place.line}: `;
    return { name, element: ELEMENTS[outcome], type: titleOf(check), message: says, text: `${at}${name}: ${says}` };
  });
  const kept = checks.filter(({ of, outcome }) => of === 'budget' && outcome === 'kept');
  const said = [summaryOf(report), ...kept.map((check) => `${titleOf(check)}: ${check.name}: ${check.says}`)];
  junitDocument(out, `${report.leftFile} → ${report.rightFile}`, cases, said.join('\n'));
}

/** Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions; @actions/core. */
const githubText = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const githubProperty = (text: string): string => githubText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

const LEVELS = { kept: 'notice', broken: 'error', undecided: 'error' } as const;

function github(report: Report, out: Output): void {
  for (const check of checksOf(report)) {
    const { name, outcome, says, place } = check;
    const at = place === null ? '' : `file=${githubProperty(place.file)},line=${place.line},`;
    const title = githubProperty(titleOf(check));
    out.line(`::${LEVELS[outcome]} ${at}title=${title}::${githubText(`${name}: ${says}`)}`);
  }
  // without budgets the one check has said them
  if (report.verdicts.length === 0) return;
  for (const remark of saidOf(report)) out.line(`::warning title=Runs compared::${githubText(remark)}`);
}

/** There is nothing to compare: `says` why, in one line. What reads the format is told instead of finding it empty. */
type Refusal = (runs: string, says: string, out: Output) => void;

const REFUSED = 'Runs not compared';

export const REFUSALS: { readonly [format in Format]: Refusal } = {
  json(_runs, says, out) {
    out.json({ undecided: says, checks: [{ name: REFUSED.toLowerCase(), outcome: 'undecided', says }] });
  },
  markdown(runs, says, out) {
    out.line(`### VM exits: ${MARKS.undecided}`);
    out.line(`\n${markdownText(runs)}: ${markdownText(says)}`);
  },
  junit(runs, says, out) {
    const refused = {
      name: REFUSED.toLowerCase(),
      element: 'error',
      type: REFUSED,
      message: says,
      text: says,
    } as const;
    junitDocument(out, runs, [refused], null);
  },
  github(_runs, says, out) {
    out.line(`::error title=${REFUSED}::${githubText(says)}`);
  },
};

export const FORMATS = { json, markdown, junit, github } as const satisfies {
  readonly [format: string]: (report: Report, out: Output) => void;
};
export type Format = keyof typeof FORMATS;
