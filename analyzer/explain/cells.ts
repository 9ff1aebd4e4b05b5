/**
 * Numbers that were broken in a cell of a table, where its lines are not known to be one row (tables.ts has those): sqlite3,
 * psql and `column` break what is wider than a column at its width, amid a number as well, and print the rest below it, in
 * a line whose cells before that are empty.
 */
import { hitsOf, placesOf } from './hits.js';
import type { Seen } from './lines.js';
import { folded } from './template.js';
import { endsInNumber, endsInReport } from './wrapped.js';

const DIVIDERS = '|│┃║';
/** Empty cells in front of digits. psql marks a break on both sides of it. */
const EMPTY_CELLS = /^[\s>|│┃║]+[.…]?(?=x?[\da-f]{1,16}(?!\w))/i;
export const ONLY_EMPTY_CELLS = /^[\s>|│┃║]*$/;
/** The rest of a number, and what closes it where nothing else is in the cell. */
export const REST = /^(x?[\da-f]+)(?:["'\x60)\]},;]+$)?/i;
const MARK = /^[.…]/;
/** A cell that is full ends in digits, or in what stands before them. */
const FULL = /(?:[\da-f]|0x)(?=[.…]?\s?$)/i;
const PREFIX = /0x$/i;
const ERROR = /error\W{0,3}0x$/i;
/** All of a number that is printed without zeros in front. */
const NO_ERROR = /error\W{0,3}0x0$/i;
/** The next column, where nothing but blanks divides them. */
const NEXT_COLUMN = / {2,}|$/;

export const isDivider = (sign: string): boolean => sign !== '' && DIVIDERS.includes(sign);

/** The place of the next divider, or of the end of the line. */
function dividerAfter(line: string, from: number): number {
  let at = from;
  while (at < line.length && !isDivider(line.charAt(at))) at++;
  return at;
}

/** Where the cell ends that begins at a place of a line and of the next; null where it does not, or not in both. */
function endOfCell(line: string, next: string, from: number): number | null {
  const front = from - (isDivider(next.charAt(from - 1)) ? 1 : 2);
  if (isDivider(next.charAt(front))) {
    const end = dividerAfter(line, from);
    const isAligned = dividerAfter(next, from) === end || next.trimEnd().length <= end;
    return line.charAt(front) === next.charAt(front) && isAligned ? end : null;
  }
  const isColumn = line.slice(0, from).trim() !== '' && line.slice(from - 2, from) === '  ';
  return isColumn ? from + line.slice(from).search(NEXT_COLUMN) : null;
}

/**
 * A line and the next one, with all digits of a number in the first where it goes on in the cell below; null where it does
 * not. The next is empty where it has nothing else.
 */
function withCell(line: string, next: string): readonly [line: string, next: string] | null {
  const before = EMPTY_CELLS.exec(next)?.[0];
  const from = before?.length ?? 0;
  const end = before === undefined ? null : endOfCell(line, next, from);
  const last = end === null ? null : FULL.exec(line.slice(from, end));
  if (end === null || last === null) return null;
  const to = from + last.index + last[0].length;
  const front = line.slice(0, to);
  const below = next.slice(from, Math.max(end, from)).trimEnd();
  const [moved = '', digits = ''] = REST.exec(below) ?? [];
  const left = next.slice(0, from).replace(/[.…]$/, ' ') + ' '.repeat(moved.length) + next.slice(from + moved.length);
  const hasMore = !ONLY_EMPTY_CELLS.test(line.slice(0, from)) || isLacking(line.slice(end), next.slice(end));
  if (!isNumber(front, below, hasMore ? digits : '')) return null;
  return [front + moved + line.slice(to).replace(MARK, ''), ONLY_EMPTY_CELLS.test(left) ? '' : left];
}

/** A line has something in cells that the next leaves empty. */
const isLacking = (rest: string, below: string): boolean =>
  !ONLY_EMPTY_CELLS.test(rest) && ONLY_EMPTY_CELLS.test(below);

/**
 * A text ends amid a number of a report or of a row: of an error nothing else may be in the cell below. One that has as many
 * digits as its printer always writes is known as cut, and its line, of which the rest is missing, stays as it is. Below an
 * error of any instruction there may be a list.
 * @param digits those below; empty where the next line may be a row of its own, as lines of a dump are
 */
export function isNumber(front: string, below: string, digits: string): boolean {
  if (NO_ERROR.test(front)) return false;
  if (PREFIX.test(front)) return ERROR.test(front);
  const text = folded(front);
  const hits = hitsOf(text, placesOf(text), front, true);
  return (
    endsInReport(front, below, () => [below]) === true ||
    hits.some((hit) => {
      const { opens, digits: least } = hit.row;
      if (opens !== 'dump' && least.at(-1) !== 1) return false;
      return endsInNumber(text, [hit], opens === 'dump' ? below : digits, true);
    })
  );
}

/** The next line is null where it has nothing but the rest of a number. */
type Both = readonly [line: Seen, next: Seen | null];

function joined(line: Seen, next: Seen): Both {
  const cells = withCell(line.text, next.text);
  if (cells === null) return [line, next];
  const [text, rest] = cells;
  if (rest === '') return [{ ...line, text, length: line.length + 1 + next.length }, null];
  return [
    { ...line, text },
    { ...next, text: rest },
  ];
}

/** Lines with all digits of numbers that were broken in cells of tables. */
export function* withCells(lines: Iterable<Seen>): Generator<Seen> {
  let last: Seen | null = null;
  for (const line of lines) {
    const both: Both = last === null ? [line, null] : joined(last, line);
    if (both[1] !== null) yield both[0];
    last = both[1] ?? both[0];
  }
  if (last !== null) yield last;
}
