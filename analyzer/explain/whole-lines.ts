/** Lines of a log as they are looked at: what a table broke is whole, and what is for a terminal or of a string is gone. */
import { withCells } from './cells.js';
import { unescaped } from './escaped.js';
import type { Line, Seen } from './lines.js';
import { withRows } from './tables.js';
import { plain } from './template.js';

/** Lines longer than this are no line of a dump; the rest of one is not looked at. */
const LONGEST = 2000;

function* seen(lines: Iterable<Line>): Generator<Seen> {
  for (const { text, number } of lines) {
    const raw = unescaped(text);
    yield { text: plain(raw.length > LONGEST ? raw.slice(0, LONGEST) : raw), length: raw.length, number };
  }
}

/** The lines of a log, each with what was broken off it in cells below. */
export const wholeLines = (lines: Iterable<Line>): Generator<Seen> => withCells(withRows(seen(lines)));
