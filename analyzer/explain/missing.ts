/** Lines that a printer prints and a dump lacks: those that are always there, and those that the dump itself calls for. */
import type { Shown } from './conditions.js';
import type { Family, Row } from './row.js';
import { ROWS } from './rows.js';

/** A line of a dump. */
export interface Where {
  /** Its line of the log, from 1; that of another where both stand in one string. */
  readonly line: number;
  /** Lines before it, those counted that a string spells. */
  readonly index: number;
}

/** What was read of a dump. */
export interface Read {
  readonly family: Family;
  readonly program: 'kvm' | 'xen';
  readonly first: number;
  /** Where each line was. */
  readonly lines: ReadonlyMap<Row, Where>;
  /** Names that a line had, whichever of its forms it was printed in. */
  readonly given: ReadonlySet<string>;
  /** Lines that begin as they should and do not go on so: they are there. */
  readonly garbled: ReadonlySet<Row>;
  readonly sections: ReadonlySet<string>;
  readonly value: Shown['value'];
}

/** A line is there, if in another form. */
export const hasGiven = ({ lines, given }: Pick<Read, 'lines' | 'given'>, row: Row): boolean =>
  lines.has(row) || row.names.some((name) => name !== null && given.has(name));

const TABLE = /^[GLI]DTR: /i;
const TASK = /^TR: /i;

/**
 * A line of TR that is the end of another: every printer has it behind GDTR, LDTR and IDTR, so that one that is followed
 * by one of those or by itself, where one of those is lost, is what a break amid its name left, `LD` and `TR: sel=`.
 */
export function brokenOff(
  { family, lines, given }: Pick<Read, 'family' | 'lines' | 'given'>,
  next: Row,
): { readonly end: Row; readonly of: Row } | null {
  if (next.family !== family || !(TASK.test(next.head) || TABLE.test(next.head))) return null;
  const end = [...lines.keys()].find(({ head }) => TASK.test(head));
  if (end === undefined) return null;
  const of = ROWS.find(
    (row) =>
      row.family === family &&
      TABLE.test(row.head) &&
      row.head.endsWith(end.head) &&
      row.names.length === end.names.length &&
      row !== next &&
      !hasGiven({ lines, given }, row),
  );
  return of === undefined ? null : { end, of };
}

/** What is there of a dump, for conditions. */
export function shownOf({ lines, value, program }: Pick<Read, 'lines' | 'value' | 'program'>): Shown {
  const printed = new Set([...lines.keys()].flatMap(({ head, text }) => [head, text]));
  return { value, program, has: (text) => printed.has(text) };
}

const lackingOf = (read: Read, isPrinted: (row: Row) => boolean): Row[] =>
  ROWS.filter(
    (row) =>
      row.family === read.family &&
      (row.only ?? read.program) === read.program &&
      isPrinted(row) &&
      !hasGiven(read, row),
  );

/** What a printer always prints and a dump lacks. */
export function lacking(read: Read): Row[] {
  const shown = shownOf(read);
  return lackingOf(read, ({ optional, unless }) => !optional && unless?.(shown) !== true);
}

/** Lines that stand together and are missing. */
interface Gap {
  readonly section: string;
  readonly after: Where | null;
  readonly heads: string[];
}

/** Registers of QEMU are a dump where any of them is there; a report and what Xen refuses are of as many lines as there are. */
const isBounded = ({ family, sections }: Read): boolean =>
  family !== 'report' && family !== 'xen-check' && (family !== 'qemu' || sections.has('registers'));

/** The same and what its own controls call for, section by section and place by place. */
export function missingFrom(read: Read): { readonly line: number; readonly what: string }[] {
  if (!isBounded(read)) return [];
  const shown = shownOf(read);
  const isDue = ({ optional, when, unless }: Row): boolean =>
    unless?.(shown) !== true && (!optional || when?.(shown) === true);
  const due = new Set(lackingOf(read, (row) => isDue(row) && !read.garbled.has(row)));
  const gaps = new Map<string, Gap>();
  let after: Where | null = null;
  for (const row of ROWS) {
    if (row.family !== read.family) continue;
    after = read.lines.get(row) ?? after;
    if (!due.has(row)) continue;
    const id = `${row.section} ${after?.index}`;
    const gap: Gap = gaps.get(id) ?? { section: row.section, after, heads: [] };
    gap.heads.push(nameOf(row));
    gaps.set(id, gap);
  }
  return [...gaps.values()].map(({ section, after: before, heads: names }) => {
    const what = read.sections.has(section) ? `${section}: ${names.join(', ')}` : `all of the ${section} section`;
    return { line: before?.line ?? read.first, what: `${what} (${placeAfter(read, before)})` };
  });
}

/** `CS` of `CS: sel=`, `TSC Offset` of `TSC Offset=`. */
const nameOf = ({ head }: Row): string => head.trim().replace(/(?:: \w+)?[=:{(]*$/, '');

function placeAfter({ first, lines }: Read, before: Where | null): string {
  if (before === null) return `before line ${first}`;
  const { line, index } = before;
  const next = [...lines.values()].filter((other) => other.index > index).sort((a, b) => a.index - b.index)[0];
  if (next === undefined) return `after line ${line}`;
  return next.line === line ? `in line ${line}` : `between lines ${line} and ${next.line}`;
}
