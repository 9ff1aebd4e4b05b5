/** What a printed event says beyond what its keys explain, on its way into the event's text, as it is written. */
import { ascii, type Cursor, isBlank, isWord } from './cursor.js';
import type { EventRow } from './row.js';

const BLANK = ascii(' ');

export class Leftover {
  readonly #brief: boolean;
  /** Where the words that were kept last end, while no key came behind them; else -1. */
  #kept = -1;
  /** Signs that count if a word follows them at once: from where to where they are. */
  #signs = -1;
  #signsEnd = -1;

  /** `brief`: nothing is wanted. */
  constructor(brief: boolean) {
    this.#brief = brief;
  }

  begin(): void {
    this.#kept = -1;
    this.#signsEnd = -1;
  }

  /** A key came, which explains what stands there. */
  explained(): void {
    this.#kept = -1;
  }

  /**
   * Passes over what no key explains, [start, end) or, where that is empty, the sign at `start`: a word, or signs, which count
   * beside a word or between blanks; others are those of keys and values.
   */
  skip(start: number, end: number, cursor: Cursor, row: EventRow): void {
    const signs = end > start ? end : signsEnd(cursor, start);
    cursor.at = Math.max(signs, start + 1);
    if (signs > start || this.#kept === start) {
      this.keep(this.#signsEnd === start ? this.#signs : start, cursor, row);
      return;
    }
    if (this.#signsEnd !== start) this.#signs = start;
    this.#signsEnd = cursor.at;
  }

  /** Adds what stands from `start` to the cursor. */
  keep(start: number, cursor: Cursor, row: EventRow): void {
    if (this.#brief) return;
    if (this.#kept < 0 && row.textLength > 0) row.addText(BLANK, 0, 1);
    row.addText(cursor.bytes, this.#kept < 0 ? start : this.#kept, cursor.at);
    this.#kept = cursor.at;
  }
}

/** Where signs between blanks end that begin at `start`; `start` where they are none. */
function signsEnd({ bytes, end }: Cursor, start: number): number {
  if (start > 0 && !isBlank(bytes[start - 1] as number)) return start;
  let at = start;
  while (at < end && !isBlank(bytes[at] as number)) {
    if (isWord(bytes[at] as number)) return start;
    at += 1;
  }
  return at;
}
