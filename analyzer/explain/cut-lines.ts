/**
 * Logs of which every line ends at one column: `cut -c1-80`, a copy of what `less -S` shows, journalctl without `-l`. A
 * value that ends there may be the beginning of one, and nothing in its line tells: 0x8 of 0x80000021 is a number, too.
 */
import type { Dump } from './dump.js';
import { type Hit, hitsOf, placesOf } from './hits.js';
import type { Seen } from './lines.js';
import { momentAt } from './moments.js';
import type { Row } from './row.js';
import { ROWS } from './rows.js';
import { folded, type Taken } from './template.js';
import { unwrap } from './wrapped.js';

/** What a line of a printer is made of. */
type Piece = string | RegExp;

const SLOT = /\{[^{}]+\}/g;
const NUMBER = /^(?:0[xX]?)?[\da-fA-F]*/;
const WORD = /^[^ ]*/;

/** Texts and places of values of a row, in the order of its line. */
function piecesOf({ text }: Row): readonly Piece[] {
  const whole = folded(text).toLowerCase();
  const pieces: Piece[] = [];
  let at = 0;
  for (const { 0: slot, index } of whole.matchAll(SLOT)) {
    pieces.push(whole.slice(at, index).replace(/0x$/, ''), slot === '{*}' || slot === '{@}' ? WORD : NUMBER);
    at = index + slot.length;
  }
  return [...pieces, whole.slice(at)];
}

const PIECES: ReadonlyMap<Row, readonly Piece[]> = new Map(ROWS.map((row) => [row, piecesOf(row)]));

/** A folded text ends before the line of a row does, and is so far what its printer writes. */
function isBeginningOf(row: Row, text: string): boolean {
  let rest = text.toLowerCase();
  for (const piece of PIECES.get(row) ?? []) {
    if (piece === '') continue;
    if (rest === '') return true;
    if (typeof piece === 'string') {
      // A name that is wider than its column has no blank behind its colon.
      const found = [piece, piece.trimEnd()].find((one) => rest.startsWith(one));
      if (found === undefined) return piece.startsWith(rest);
      rest = rest.slice(found.length).trimStart();
      continue;
    }
    const value = piece.exec(rest)?.[0] ?? '';
    if (value === '') return false;
    rest = rest.slice(value.length);
  }
  return false;
}

/** `less -S` and journalctl have these in the last column of a line that goes on. */
const MORE = /[>…]$/;

/** A line that ends at the column where others are cut, without the sign of that. */
export const withoutSign = (line: string): string => line.replace(MORE, '');

/** A line ends amid a row or in a value that lacks digits, and is no whole row of another form. */
function endsAmidRow(line: string): boolean {
  const text = folded(withoutSign(line));
  const places = placesOf(text);
  const fits = hitsOf(text, places).filter(({ fit }) => fit.to === text.length);
  if (fits.length > 0) return !fits.some(({ fit }) => fit.taken.every(isWhole));
  return places.some(({ at, rows }) => rows.some((row) => isBeginningOf(row, text.slice(at))));
}

const isWhole = ({ lost }: Taken): boolean => lost === null;

/** One line that ends amid a row is an accident. */
const CUT = 2;
/** With so many lines of one length that are of no dump, of which none of the log is longer, one is none. */
const OTHERS = 3;
/** Where other lines are longer, as those of a mail around a log, so many are. */
const CUT_AMONG_LONGER = 4;
/** Nobody cuts a log at fewer columns. */
const NARROWEST = 20;

/** Lines of one length, of which no line of a dump is longer. */
interface Edge {
  readonly length: number;
  cut: number;
  /** Lines that are of no dump. */
  others: number;
  /** A line goes on in the next, as those that a terminal broke. */
  isBroken: boolean;
}

/** The next line is the rest of one: the two make a row, or it has no time of its own where that has one. */
function goesOn(line: string, following: readonly string[]): boolean {
  const next = following.find((one) => one.trim() !== '');
  if (next === undefined) return false;
  const isTimed = (one: string): boolean => momentAt(one) !== null;
  return (isTimed(line) && !isTimed(next)) || unwrap(withoutSign(line), following, true, false) !== null;
}

function isCutAt({ length, cut, others }: Edge, longest: number): boolean {
  if (longest > length) return cut >= CUT_AMONG_LONGER;
  return cut >= CUT || others >= OTHERS;
}

/** Looks at the lines of a log, one after the other, and finds the column at which they are cut. */
export class Edges {
  #edge: Edge = { length: NARROWEST - 1, cut: 0, others: 0, isBroken: false };
  #longest = 0;

  /**
   * @param lines the line, and those after it that it may have been broken into
   * @param isRow it may be of a dump
   */
  look(lines: readonly Seen[], isRow: boolean): void {
    const { text = '', length = 0 } = lines[0] ?? {};
    this.#longest = Math.max(this.#longest, length);
    if (length < this.#edge.length) return;
    if (length > this.#edge.length) {
      if (!isRow) return;
      this.#edge = { length, cut: 0, others: 0, isBroken: false };
    }
    if (!isRow) this.#edge.others++;
    if (!isRow || this.#edge.isBroken || !endsAmidRow(text)) return;
    this.#edge.cut++;
    this.#edge.isBroken = goesOn(
      text,
      lines.slice(1).map((line) => line.text),
    );
  }

  /** Null where lines are not cut. */
  get column(): number | null {
    const { length, cut, isBroken } = this.#edge;
    return cut > 0 && !isBroken && isCutAt(this.#edge, this.#longest) ? length : null;
  }
}

/** Behind EFER Linux says where it is from, in brackets. */
const SOURCE = /^ ?\(?\w*$/;

/** What of a folded line that ends at the column where lines are cut fits a row: what ends there is lost. */
export const atEdge = (hits: readonly Hit[], text: string): Hit[] =>
  hits.map(({ row, fit }) => {
    const last = fit.taken.length - 1;
    const isOpen = fit.to === text.length || (row.names.includes('GUEST_IA32_EFER') && SOURCE.test(text.slice(fit.to)));
    const taken = fit.taken.map((one, i) => (isOpen && i === last ? { ...one, lost: 'edge' as const } : one));
    return { row, fit: { ...fit, taken } };
  });

/** A dump whose damage names the column. */
export const toldOfEdge = (dump: Dump, column: number | null): Dump =>
  column === null
    ? dump
    : { ...dump, damage: dump.damage.map((one) => (one.kind === 'edge' ? { ...one, what: `column ${column}` } : one)) };
