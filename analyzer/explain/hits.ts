/** What in a line of a log may be of a dump: heads of rows, and the rows that fit there. */
import { BARE, isCutOff, isToldInFull, mayReport } from './bare-errors.js';
import { isInSentence } from './printed.js';
import { isReportOf, mayBeginAfter, reportsNothing } from './report-lines.js';
import type { Row } from './row.js';
import { ROWS } from './rows.js';
import { type Fit, fit, isOneCase, startsWord } from './template.js';

const headOf = ({ head }: Row): string => head.trim();

const SHORTEST = Math.min(...ROWS.map((row) => headOf(row).length));

const LETTER = /\w/;

/**
 * Any of the heads, the longest first; one that begins with a letter begins a word. Those of a letter stand together, so
 * that most places of a text are passed over by their first character.
 */
function anyOf(heads: Iterable<string>): string {
  const groups = new Map<string, string[]>();
  for (const head of [...heads].sort().reverse()) {
    const [first = '', ...rest] = head;
    groups.set(first, [...(groups.get(first) ?? []), literal(rest.join(''))]);
  }
  const all = [...groups].map(([first, rests]) => ({ first, source: `${literal(first)}(?:${rests.join('|')})` }));
  const words = all.filter(({ first }) => LETTER.test(first)).map(({ source }) => source);
  const others = all.filter(({ first }) => !LETTER.test(first)).map(({ source }) => source);
  return [`(?<![\\w.])(?:${words.join('|')})`, ...others].join('|');
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

const HEADS = anyOf(new Set(ROWS.map(headOf)));
const ANY_CASE_HEADS = anyOf(new Set(ROWS.map((row) => headOf(row).toLowerCase())));
const AS_PRINTED = new RegExp(HEADS, 'g');
const ANY_CASE = new RegExp(ANY_CASE_HEADS, 'gi');

/** The same in a line as it stands in the log, whose blanks are not folded. */
const unfolded = (heads: string): string => heads.replaceAll(' ', '\\s+').replaceAll('=', '\\s*=');
const UNFOLDED_AS_PRINTED = new RegExp(unfolded(HEADS));
const UNFOLDED_ANY_CASE = new RegExp(unfolded(ANY_CASE_HEADS), 'i');

/** Whether a line may be one of a dump. Most are not, and this is all that is done about those. */
export const mayBeRow = (raw: string): boolean =>
  raw.length >= SHORTEST && ((isOneCase(raw) ? UNFOLDED_ANY_CASE : UNFOLDED_AS_PRINTED).test(raw) || mayReport(raw));

/** The rows that may stand where a head does, by the head in lower case: theirs begins like it. */
const ROWS_AT: ReadonlyMap<string, readonly Row[]> = new Map(
  ROWS.map((row) => {
    const head = headOf(row).toLowerCase();
    return [head, ROWS.filter((other) => head.startsWith(headOf(other).toLowerCase()))];
  }),
);

export interface Hit {
  readonly row: Row;
  readonly fit: Fit;
}

/** A head as a word of its own, and the rows that begin with it. */
export interface Place {
  readonly at: number;
  readonly rows: readonly Row[];
}

const NOWHERE: readonly Place[] = [];

/** Of every line of a log: `matchAll` would make a copy of the expression for each. */
export function placesOf(text: string): readonly Place[] {
  const heads = isOneCase(text) ? ANY_CASE : AS_PRINTED;
  heads.lastIndex = 0;
  let found = heads.exec(text);
  if (found === null) return NOWHERE;
  const places: Place[] = [];
  for (; found !== null; found = heads.exec(text)) {
    const { 0: head, index } = found;
    if (startsWord(text, head, index)) places.push({ at: index, rows: ROWS_AT.get(head.toLowerCase()) ?? [] });
  }
  return places;
}

/** Whether a row that begins before a place of a folded line ends behind it: less than `hitsOf` tells, and told sooner. */
export function mayGoOn(text: string, places: readonly Place[], end: number): boolean {
  const anyCase = isOneCase(text);
  return places.some(({ at, rows }) => at < end && rows.some((row) => (fit(row, text, at, anyCase)?.to ?? end) > end));
}

/** Rows that say by themselves that something failed. Those of bare errors are there only where a line reports one. */
const SPEAKS: ReadonlySet<Row> = new Set(
  ROWS.filter(
    ({ family, opens, head }) =>
      opens === 'dump' &&
      (family === 'report' || family === 'qemu') &&
      !Object.values(BARE).some((spelling) => head.startsWith(spelling)),
  ),
);

/** Whether a line does not report what it has of a row, but is of a program, or speaks of it. */
const isSpokenOf = ({ row, fit: { from, to } }: Hit, text: string, line: string): boolean =>
  SPEAKS.has(row) &&
  (reportsNothing(line) ||
    !(row.family === 'qemu' ? isReportOf(text.slice(0, from), text.slice(to)) : mayBeginAfter(text.slice(0, from))) ||
    (row.family === 'qemu' && isInSentence(text.slice(0, from), text.slice(to))));

/** A number of QEMU that may be only the beginning of one. */
export const mayHaveEnd = ({ row, fit: { taken } }: Hit): boolean =>
  row.names.includes('error.hardware') && !taken.some(({ value }) => isToldInFull(value));

/** psql has a mark in front of it where it broke a cell. */
const NEXT_COLUMN = /^(?:\.? ?[|│┃║]| \w)/;
/** How programs mark that they cut a line at the width of a terminal, as journalctl does. */
const CUT_LINE = /^(?:[…⋯]|\.{2,})/;
/** The beginning of a number of QEMU that was broken in a column, before the next one, or cut: it is not known how it goes on. */
const isCut = (hit: Hit, text: string): boolean => {
  const { to, taken } = hit.fit;
  const behind = text.slice(to);
  return (
    mayHaveEnd(hit) &&
    (CUT_LINE.test(behind) || (taken.some(({ value }) => isCutOff(value)) && NEXT_COLUMN.test(behind)))
  );
};

/**
 * Everything of a folded line that fits a row, left to right.
 * @param line the same before it was folded
 * @param isPrinted an error of QEMU is a report, whatever stands beside it
 */
export function hitsOf(text: string, places: readonly Place[], line = text, isPrinted = false): Hit[] {
  const anyCase = isOneCase(text);
  const hits = places.flatMap(({ at, rows }) =>
    rows.flatMap((row): Hit[] => {
      const isOther = row.behind?.test(text.slice(0, at)) === false || row.begins?.test(text.slice(at)) === false;
      const found = isOther ? null : fit(row, text, at, anyCase);
      return found === null ? [] : [{ row, fit: found }];
    }),
  );
  // A row inside a longer one is part of it: `CR3=` of `CR0= CR3= CR4=`.
  return hits.filter(
    (hit) =>
      ((isPrinted && hit.row.family === 'qemu') || !isSpokenOf(hit, text, line)) &&
      !isCut(hit, text) &&
      !hits.some(
        ({ fit: { from, to } }) => from <= hit.fit.from && hit.fit.to <= to && to - from > hit.fit.to - hit.fit.from,
      ),
  );
}

/** Heads of at least this length are unlike other text, and may begin a dump whose first lines are lost. */
const SPEAKING = 9;
export const isSpeaking = ({ head }: Row): boolean => head.length >= SPEAKING;

/** Of a VMCB that Xen prints: other programs print two registers in a line as well, but without its mark. */
const startsVmcb = (row: Row, xen: boolean): boolean =>
  row.names.length > 1 && row.section !== 'segments' && (xen || isSpeaking(row) || row.names.length > 2);

/**
 * Rows of a VMCB of Xen that lines of a VMCS of Xen fit as well: `RSP= RIP=` of the host, as 4.0 to 4.5 print it, and what is
 * left of `CR0= CR3= CR4=` where a character of its front was lost.
 */
export const isOfEither = ({ family, head }: Row): boolean =>
  family === 'xen-vmcb' && (head === 'RSP=' || head === 'CR3=');

/** Whether a dump may begin with a row. */
export const starts = (row: Row, xen: boolean): boolean =>
  row.opens !== undefined ||
  row.family === 'xen-check' ||
  (row.family === 'vmcs' && (isSpeaking(row) || row.names.length > 1)) ||
  (row.family === 'xen-vmcb' && startsVmcb(row, xen));
