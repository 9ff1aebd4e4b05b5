/** How an explanation looks on 80 columns. */

import type { DumpReport, Finding } from '../analyzer/explain/explain.js';
import type { LogReport, Place } from '../analyzer/explain/log.js';
import type { RecordedReport } from '../analyzer/explain/recorded.js';
import type { Verdict } from '../analyzer/explain/sentences.js';
import type { Output, Style } from './output.js';
import { formatHex, formatNumber } from './table.js';
import { WIDTH, wrap } from './wrap.js';

/** A report with where it comes from; what only a recorded run can say is there where it is one. */
export type Reported = DumpReport &
  Partial<Pick<RecordedReport, 'tick' | 'times' | 'writes'> & Pick<LogReport, 'latest' | 'identical'>> & {
    readonly file: string;
  };

/** What is not told of a file. */
export interface Rest {
  readonly file: string;
  readonly more: number;
  /** Line of a log from which on to see it; null: it is no log. */
  readonly from: number | null;
}

const STYLE: { readonly [verdict in Verdict]: Style } = {
  violated: 'red',
  suspect: 'yellow',
  optional: 'yellow',
  undecidable: 'yellow',
  damaged: 'yellow',
  valid: 'green',
};

const STAGE_TITLES: { readonly [stage: string]: string } = {
  controls: 'Controls',
  host: 'Host state',
  guest: 'Guest state',
  msr: 'MSR loading',
  vmcb: 'VMRUN',
};

/** A paragraph with a hanging indent; `head` stands before its first line. */
function paragraph(out: Output, text: string, indent: number, head = ''): void {
  for (const [i, line] of wrap(text, WIDTH - indent).entries())
    out.line(`${i === 0 ? head.padEnd(indent) : ' '.repeat(indent)}${line}`);
}

function list(out: Output, title: string, items: readonly string[]): void {
  if (items.length === 0) return;
  out.line();
  out.title(title);
  for (const item of items) paragraph(out, item, 4, '  -');
}

/** A citation; whole where it is the first one of its chapter. */
function citation(cites: string, cited: Set<string>): string {
  const [, chapter = '', section = ''] = /^(.*?), (\d[\d.]*,? .*)$/.exec(cites) ?? [];
  if (cited.has(chapter)) return `same chapter, ${section}`;
  if (chapter !== '') cited.add(chapter);
  return cites;
}

function printFinding(out: Output, finding: Finding, style: Style, cited: Set<string>): void {
  out.line(`  ${out.paint(style, finding.id)}`);
  paragraph(out, finding.says, 4);
  for (const { field, value, line } of finding.values)
    out.line(out.paint('dim', `      ${field} = ${formatHex(value)}${line > 0 ? `  (line ${line})` : ''}`));
  for (const detail of finding.detail) paragraph(out, detail, 6);
  const permits = finding.stage === 'vmcb' ? finding.permits : `permits ${finding.permits}`;
  paragraph(out, `${permits}${finding.optional ? '; not every processor checks this' : ''}`, 6);
  for (const assumption of finding.assumes) paragraph(out, `assumed: ${assumption}`, 6);
  if (finding.missing.length > 0) paragraph(out, `undecided: ${finding.missing.map(({ name }) => name).join(', ')}`, 6);
  for (const line of wrap(citation(finding.cites, cited), WIDTH - 6)) out.line(out.paint('dim', `      ${line}`));
}

function printFindings(
  out: Output,
  title: string,
  findings: readonly Finding[],
  style: Style,
  cited: Set<string>,
): void {
  for (const stage of new Set(findings.map((finding) => finding.stage))) {
    out.line();
    out.title(`${title}: ${STAGE_TITLES[stage] ?? stage}`);
    for (const finding of findings) if (finding.stage === stage) printFinding(out, finding, style, cited);
  }
}

/** Names of what is missing that are printed without `--all`. */
const MOST_MISSING = 10;

/** Undecidable checks by what they lack. */
function printUndecidable(out: Output, { undecidable }: DumpReport, all: boolean): void {
  if (undecidable.length === 0) return;
  const byMissing = new Map<string, string[]>();
  for (const { id, missing } of undecidable) {
    const [first] = missing;
    const name = first?.name ?? '';
    byMissing.set(name, [...(byMissing.get(name) ?? []), id]);
  }
  out.line();
  out.title(`Undecidable: ${undecidable.length} ${undecidable.length === 1 ? 'check' : 'checks'}, for want of`);
  if (all) {
    for (const [name, ids] of byMissing) paragraph(out, `${name}: ${ids.join(', ')}`, 4, '  -');
    return;
  }
  const most = [...byMissing].sort(([, a], [, b]) => b.length - a.length);
  const shown = most.length > MOST_MISSING + 1 ? most.slice(0, MOST_MISSING) : most;
  const rest = most.length > shown.length ? `, and ${most.length - shown.length} more (--all)` : '';
  paragraph(out, shown.map(([name, ids]) => `${name} (${ids.length})`).join(', ') + rest, 2);
}

const ESSENTIAL = /CR0|CR4|EFER|RFLAGS|INTR_INFO|EVENT_INJ|INTERRUPTIBILITY|ACTIVITY|_CONTROL|_AR_BYTES|_ATTRIB/;

function printDecoded(out: Output, { decoded, violated, suspects }: DumpReport, all: boolean): void {
  const about = new Set([...violated, ...suspects].flatMap(({ values }) => values.map(({ field }) => field)));
  const rows = decoded.filter(({ field }) => all || about.has(field) || (about.size === 0 && ESSENTIAL.test(field)));
  if (rows.length === 0) return;
  out.line();
  out.title(all ? 'Values' : about.size === 0 ? 'Values that matter' : 'Values of these checks');
  for (const { field, value, says } of rows) {
    out.line(`  ${field} = ${formatHex(value)}`);
    paragraph(out, says.join(', '), 6);
  }
}

/** Who wrote what is wrong, of a recorded run. */
function printWrites(out: Output, { writes = [] }: Reported): void {
  if (writes.length === 0) return;
  out.line();
  out.title('Written last by');
  for (const { field, seq, tick, rip, value } of writes) {
    const when = `event ${formatNumber(seq)}, tick ${formatNumber(tick)}`;
    paragraph(out, `${field} = ${formatHex(value)}: VMWRITE at RIP ${formatHex(rip)}, ${when}`, 2);
  }
}

const linesOf = ({ first, last }: Place): string =>
  first === last ? `line ${formatNumber(first)}` : `lines ${formatNumber(first)}-${formatNumber(last)}`;

function placeOf({ format, first, last, tick, times = 1 }: Reported): string {
  const often = times > 1 ? `, ${formatNumber(times)} times` : '';
  if (format === 'recording') return `event ${formatNumber(first)}${often}`;
  if (tick === undefined) return linesOf({ first, last });
  return `event ${formatNumber(first)}, tick ${formatNumber(tick)}${often}`;
}

/** Further dumps of a log that came to the same. */
function printTimes(out: Output, { times = 1, latest, identical }: Reported): void {
  if (latest === undefined || times === 1) return;
  const others = times === 2 ? 'One more' : `${formatNumber(times - 1)} more`;
  const same = identical ? 'like it' : 'failed or ended in the same way, with other values elsewhere (--all)';
  paragraph(out, `${others} ${same}; the last is at ${linesOf(latest)}.`, 0);
}

function printDump(out: Output, report: Reported, all: boolean): void {
  out.title(`${report.title}, ${placeOf(report)}`);
  printTimes(out, report);
  for (const line of wrap(report.sentence, WIDTH)) out.line(out.paint(STYLE[report.verdict], line));
  if (report.damage.length > 0) {
    list(
      out,
      'Damage',
      report.damage.map(({ line, says, what }) => `line ${line}: ${says}: ${what}`),
    );
  }
  const cited = new Set<string>();
  printFindings(out, 'Violated', report.violated, 'red', cited);
  printWrites(out, report);
  printFindings(out, 'Suspected', report.suspects, 'yellow', cited);
  printDecoded(out, report, all);
  list(out, 'What to look at', report.next);
  list(out, 'Not to be misread', report.traps);
  printUndecidable(out, report, all);
  if (report.holds > 0) {
    out.line();
    out.line(out.paint('dim', report.holds === 1 ? '1 check holds.' : `${report.holds} checks hold.`));
  }
}

function printRest(out: Output, { file, more, from }: Rest, reports: readonly Reported[]): void {
  out.line();
  const isForeign = reports.some((report) => report.file === file && report.format === 'recording');
  const says =
    from !== null
      ? `${formatNumber(more)} further dumps, of other kinds, are not told: see them with --from ${from}.`
      : isForeign
        ? `${formatNumber(more)} further failed entries, of other kinds: trapline import and query list them.`
        : `${formatNumber(more)} further kinds of failed entry: look at them with --event.`;
  paragraph(out, from === null ? says : `${file}: ${says}`, 0);
}

/**
 * @param rest of each file what is not among the reports
 * @param named each report with its file: of several that were given, one alone may have one
 */
export function printReports(
  out: Output,
  processor: string,
  reports: readonly Reported[],
  rest: readonly Rest[],
  { all, named }: { readonly all: boolean; readonly named: boolean },
): void {
  if (processor !== 'unknown') out.line(out.paint('dim', `Capabilities of ${processor}`));
  for (const [i, report] of reports.entries()) {
    if (i > 0) {
      out.line();
      out.line('─'.repeat(WIDTH));
    }
    if (named) out.line(out.paint('dim', report.file));
    printDump(out, report, all);
  }
  for (const one of rest) printRest(out, one, reports);
}
