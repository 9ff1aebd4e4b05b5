/**
 * Lines of a log in a table. sqlite3 and psql break what is wider than a column at its width, or before a word, and print
 * the rest below it, in lines whose other cells are empty.
 */
import { reportsIn } from './bare-errors.js';
import { isDivider, isNumber, ONLY_EMPTY_CELLS, REST } from './cells.js';
import { type Hit, hitsOf, placesOf } from './hits.js';
import type { Seen } from './lines.js';
import { mayBeginAfter } from './report-lines.js';
import type { Row } from './row.js';
import { folded } from './template.js';

/** No line of a dump is broken into more. */
const MOST_PIECES = 12;
const FIRST_SIGN = /[^\s|│┃║]/;
/** What stands first in a cell: a word, or a name with its value. */
const FIRST_WORD = /^\s*\S*(?: *= *\S+)?/;
/** psql marks a break on both sides of it. */
const MARK = /^[.…]/;
/** Between a divider and a text; some have none. */
const ROOM = /[\s.…]/;
/** What sqlite3 prints above the cells of a table that has no dividers. */
const RULER = /^-+(?: {2}-+)* *$/;
/** What is below the heads of a table with dividers. */
const DIVIDED_RULER = /^[|│┃║] ?:?[-─━═]{3}[-:─━═|│┃║┼╋╬+ ]*$/;

/** Where the text of a cell is, which has no end where nothing closes the last column. */
interface Cell {
  readonly from: number;
  readonly to: number;
  /** The table has no other column. */
  readonly isOnly: boolean;
}

/** The columns of a table below its ruler, as long as lines have nothing between them. */
type Columns = readonly Cell[];

function columnsOf(line: string): Columns | null {
  if (!RULER.test(line)) return null;
  const runs = [...line.matchAll(/-+/g)];
  return runs.map(({ 0: run, index }) => ({ from: index, to: index + run.length, isOnly: runs.length === 1 }));
}

const textIn = (line: string, { from, to }: Cell): string => line.slice(from, to).trimEnd();

/** A line has nothing but blanks between columns and behind them. */
const isWithin = (line: string, columns: Columns): boolean =>
  columns.every(({ to }, i) => line.slice(to, columns[i + 1]?.from).trim() === '');

/** The only column in which a line has a text, where the one above has one there and in another. */
function columnOf(line: string, below: string, columns: Columns): Cell | null {
  const [cell, ...others] = columns.filter((column) => textIn(below, column) !== '');
  if (cell === undefined || others.length > 0 || textIn(line, cell) === '') return null;
  const hasMore = columns.some((column) => column !== cell && textIn(line, column) !== '');
  return cell.isOnly || hasMore ? cell : null;
}

/** Where the divider is in front of the first cell of a line that is not empty. */
function frontOf(line: string): number {
  let front = line.search(FIRST_SIGN) - 1;
  while (front >= 0 && !isDivider(line.charAt(front))) front--;
  return front;
}

/** The only cell that is not empty in a line, where the one above has a text there and in another, or there is no other. */
function cellOf(line: string, below: string): Cell | null {
  const front = frontOf(below);
  if (front < 0 || line.charAt(front) !== below.charAt(front)) return null;
  const hasRoom = [line, below].every((row) => ROOM.test(row.charAt(front + 1)));
  const from = front + (hasRoom ? 2 : 1);
  const isEnd = (at: number): boolean => isDivider(line.charAt(at)) && line.charAt(at) === below.charAt(at);
  let end = from;
  while (end < line.length && !isEnd(end)) end++;
  const [before, behind] = [line.slice(0, from), line.slice(end)];
  if (ONLY_EMPTY_CELLS.test(line.slice(from, end)) || !ONLY_EMPTY_CELLS.test(below.slice(end))) return null;
  const isOnly = front === 0 && end === line.trimEnd().length - 1;
  const hasMore = !ONLY_EMPTY_CELLS.test(before) || !ONLY_EMPTY_CELLS.test(behind);
  if (!isOnly && !hasMore) return null;
  return { from, to: end < line.length ? end - (hasRoom ? 1 : 0) : Number.POSITIVE_INFINITY, isOnly };
}

/** Where the right side of a box is that has nothing in this row. */
function endOfEmpty(line: string): number | null {
  const end = line.trimEnd().length - 1;
  return end > 1 && isFramed(line, end) && line.slice(1, end).trim() === '' ? end : null;
}

const isFramed = (line: string, end: number): boolean =>
  isDivider(line.charAt(0)) && line.charAt(end) === line.charAt(0) && line.trimEnd().length === end + 1;

/** What is in a row of a box. */
const inBox = (line: string, end: number): Cell => ({ from: line.charAt(1) === ' ' ? 2 : 1, to: end, isOnly: true });

/** A line ends in the number of a report, which is whole and takes nothing of what is below. */
function endsInWhole(front: string, below: string): boolean {
  const text = folded(front);
  const isReported =
    reportsIn(front).some(({ to }) => to === front.length) ||
    hitsOf(text, placesOf(text), front, true).some(({ row, fit }) => row.opens === 'dump' && fit.to === text.length);
  return isReported && !isNumber(front, below, REST.exec(below)?.[1] ?? '');
}

const isWhole = ({ fit: { taken } }: Hit): boolean => taken.every(({ lost }) => lost === null);

/** The rows of a dump that go on from one piece of a cell in the next, and are whole then. */
function rowsAcross(front: string, whole: string): Row[] {
  const [end, text] = [folded(front).length, folded(whole)];
  const hits = hitsOf(text, placesOf(text)).filter(isWhole);
  return hits.filter(({ fit: { from, to } }) => from < end && to > end).map(({ row }) => row);
}

const goesAcross = (front: string, whole: string): boolean => rowsAcross(front, whole).length > 0;

/** A piece begins with a row of a dump, behind no more than a log writes in front of its text. */
const beginsRow = (text: string): boolean =>
  hitsOf(text, placesOf(text)).some((hit) => isWhole(hit) && mayBeginAfter(text.slice(0, hit.fit.from)));

/**
 * A piece is a line of its own: a row, below one that is whole without it, or below what nothing is printed behind. The
 * name of a register may begin like more digits of a number.
 */
function isOther(front: string, piece: string, whole: string): boolean {
  const [above, below, across] = [folded(front), folded(piece), rowsAcross(front, whole)];
  if (!beginsRow(below)) return false;
  const ended = hitsOf(above, placesOf(above)).filter((hit) => hit.fit.to === above.length && isWhole(hit));
  if (ended.length === 0) return across.length === 0 && !mayBeginAfter(front);
  if (ended.some(({ row: { goesOn } }) => goesOn !== undefined && below.startsWith(goesOn))) return false;
  return across.every((row) => ended.some((hit) => hit.row === row));
}

/**
 * The text of a cell that was broken into pieces; null where it was not. A piece has no room for what stands first in the
 * next one, or a row of a dump goes on there: a table that names once what its rows have in common has a row in each line.
 * @param width null where blanks at the end of a piece may be lost
 */
function textOf(pieces: readonly string[], width: number | null, isMarked: boolean): string | null {
  const widest = width ?? Math.max(...pieces.map(({ length }) => length));
  let whole = '';
  for (const [i, piece] of pieces.entries()) {
    const before = pieces[i - 1];
    if (before !== undefined) {
      const room = widest - before.length;
      const rest = pieces
        .slice(i)
        .map((one) => one.padEnd(widest))
        .join('');
      const isBlank = room === 0 && width === null && goesAcross(whole, `${whole} ${rest}`);
      whole += isBlank ? ' ' : ' '.repeat(room);
      const isFull = room <= (FIRST_WORD.exec(piece)?.[0].length ?? 0);
      const isRest = isFull ? !isOther(whole, piece, whole + rest) : goesAcross(whole, whole + rest);
      if (!isMarked && !isRest) return null;
      if (endsInWhole(whole, piece)) return null;
    }
    whole += piece;
  }
  return whole;
}

/**
 * The lines of a row of a table, as one where a cell of it was broken into them.
 * @param isBox they are of one column, and lines around them are given without its sides
 */
function rowOf(lines: readonly Seen[], cells: readonly Cell[], isBox: boolean): readonly Seen[] {
  const [[first, ...others], [cell]] = [lines, cells];
  const isOne = cells.every(({ from, to }) => from === cell?.from && to === cell.to);
  if (first === undefined || cell === undefined || !isOne || lines.length > MOST_PIECES) return lines;
  const isMarked = others.every(({ text }) => MARK.test(text.charAt(cell.from - 1)));
  const isClosed = Number.isFinite(cell.to);
  const pieces = lines.map(({ text }, i) => {
    const piece = textIn(text, cell);
    return isMarked && !isClosed && i < others.length ? piece.slice(0, -1) : piece;
  });
  const whole = textOf(pieces, isClosed ? cell.to - cell.from : null, isMarked);
  if (whole === null) return lines;
  const text = isBox
    ? whole.trimEnd()
    : first.text.slice(0, cell.from) + whole + first.text.slice(cell.to).replace(MARK, ' ');
  return [{ ...first, text, length: lines.reduce((sum, { length }) => sum + length + 1, -1) }];
}

/** A line of a table that has one column, without what is around it: as a terminal of that width shows it. */
const unframed = (line: Seen, cell: Cell | undefined): Seen =>
  cell?.isOnly === true ? { ...line, text: textIn(line.text, cell) } : line;

/** The lines of a table that are gathered: those below the first have one cell that is not empty. */
class Rows {
  #lines: Seen[] = [];
  #cells: Cell[] = [];
  #columns: Columns | null = null;
  /** The lines are more than a row has: they were given as they are. */
  #isLong = false;
  /** Where the right side of a box is, as long as lines are within it that had an empty row. */
  #end: number | null = null;

  *take(line: Seen): Generator<Seen> {
    const columns = columnsOf(line.text);
    const cell = columns === null ? this.#cellOf(line.text) : null;
    if (cell === null) {
      const empty = endOfEmpty(line.text);
      this.#end = empty ?? this.#end;
      yield* this.end();
      if (this.#end !== null && !isFramed(line.text, this.#end)) this.#end = null;
      if (empty !== null) yield { ...line, text: '' };
      else if (columns === null && !DIVIDED_RULER.test(line.text)) this.#lines = [line];
      else yield line;
    } else if (this.#isLong) {
      yield unframed(line, cell);
    } else {
      this.#lines.push(line);
      this.#cells.push(cell);
      if (this.#lines.length > MOST_PIECES) {
        yield* this.#given();
        this.#isLong = true;
      }
    }
    this.#columns = columns ?? (this.#columns !== null && isWithin(line.text, this.#columns) ? this.#columns : null);
  }

  *end(): Generator<Seen> {
    if (!this.#isLong) yield* this.#given();
    [this.#lines, this.#cells, this.#isLong] = [[], [], false];
  }

  #given(): readonly Seen[] {
    const isBox = this.#lines[0] !== undefined && this.#boxOf(this.#lines[0]) !== undefined;
    const whole = rowOf(this.#lines, this.#cells, isBox);
    return whole === this.#lines ? whole.map((line) => unframed(line, this.#cells[0] ?? this.#boxOf(line))) : whole;
  }

  #boxOf({ text }: Seen): Cell | undefined {
    return this.#end !== null && isFramed(text, this.#end) ? inBox(text, this.#end) : undefined;
  }

  #cellOf(line: string): Cell | null {
    const [first] = this.#lines;
    if (first === undefined || DIVIDED_RULER.test(line)) return null;
    return this.#columns !== null && isWithin(line, this.#columns)
      ? columnOf(first.text, line, this.#columns)
      : cellOf(first.text, line);
  }
}

/** Lines with cells that are whole, where tables broke what is wider than a column. */
export function* withRows(lines: Iterable<Seen>): Generator<Seen> {
  const rows = new Rows();
  for (const line of lines) yield* rows.take(line);
  yield* rows.end();
}
