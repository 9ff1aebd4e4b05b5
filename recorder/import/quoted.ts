/**
 * Traces that a mail archive left in quoted-printable, line by line: such a text has no `=` of its own, so that its first
 * one tells.
 */
import { decodeQuoted, endOfQuoted } from '../../traces/quoted.js';
import { MAX_LINE } from './lines.js';

const EQUALS = 0x3d;
/** Lines without any `=` after which a text counts as plain. */
const PATIENCE = 4096;

export class QuotedPrintable {
  #state: 'unknown' | 'plain' | 'quoted' = 'unknown';
  #lines = 0;
  /** The decoded line, `length` bytes; `open` where its end is still to come. */
  readonly bytes = new Uint8Array(2 * MAX_LINE);
  length = 0;
  open = false;

  /** True where the line [start, end) belongs to a quoted text; it is then decoded behind what is open. */
  take(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#state === 'unknown') this.#decide(bytes, start, end);
    if (this.#state !== 'quoted') return false;
    if (!this.open) this.length = 0;
    const text = endOfQuoted(bytes, start, end);
    this.open = text < end;
    this.length = decodeQuoted(bytes, start, text, this.bytes, this.length);
    return true;
  }

  #decide(bytes: Uint8Array, start: number, end: number): void {
    this.#lines += 1;
    for (let i = start; i < end; i++) {
      if (bytes[i] !== EQUALS) continue;
      const quoted = i + 1 === end || (bytes[i + 1] === 0x33 && bytes[i + 2] === 0x44 && i + 2 < end);
      this.#state = quoted ? 'quoted' : 'plain';
      return;
    }
    if (this.#lines > PATIENCE) this.#state = 'plain';
  }
}
