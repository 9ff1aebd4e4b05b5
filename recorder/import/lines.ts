/** Lines of a byte source in place: no copies, no strings, bounded memory. */
import { ImportError } from './errors.js';
import { type ByteSource, isEnded } from './source.js';

/** Longer lines occur in no trace; a bound keeps hostile input from filling the memory. */
export const MAX_LINE = 65_536;
const CHUNK = 1 << 18;
const LF = 0x0a;
const CR = 0x0d;

export class LineReader {
  readonly #source: ByteSource;
  readonly bytes = new Uint8Array(CHUNK + 4 * MAX_LINE);
  /** The same bytes: a Buffer searches with memchr, but loops over a Uint8Array are faster. */
  readonly #search = Buffer.from(this.bytes.buffer);
  /** Bytes [start, end) are the current line without its end; [previousStart, previousEnd) the one before. */
  start = 0;
  end = 0;
  previousStart = 0;
  previousEnd = 0;
  /** Number of the current line, from 1. */
  line = 0;
  /** What of the input was passed over instead of a line; null: a line is there. */
  torn: ImportError | null = null;
  /** The next line goes on where NULs parted this one. */
  #begun = false;
  #filled = 0;
  #next = 0;
  /** Offset in the input of bytes[0]. */
  #base = 0;
  /** Position of the first NUL from #next on, or -1. */
  #nul = -1;
  #ended = false;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#fill();
    if (this.bytes[0] === 0xef && this.bytes[1] === 0xbb && this.bytes[2] === 0xbf) this.#next = 3; // byte order mark
  }

  /** The first bytes of the input, as many as asked for if there are so many; before the first line alone. */
  sample(most: number): Uint8Array {
    while (this.#filled < most && !this.#ended) this.#fill();
    return this.bytes.subarray(this.#next, Math.min(this.#filled, most));
  }

  /** What has been read of the input from the current line on. */
  get ahead(): Uint8Array {
    return this.bytes.subarray(this.start, this.#filled);
  }

  /** Reads what comes next, before the first line alone; false at the end. */
  more(): boolean {
    this.#fill();
    return !this.#ended;
  }

  /** Offset of the current line in the input. */
  get offset(): number {
    return this.#base + this.start;
  }

  /** Bytes consumed so far. */
  get consumed(): number {
    return this.#base + this.#next;
  }

  where(): string {
    return `${this.#source.name}:${this.line} (offset ${this.offset})`;
  }

  #fill(): void {
    const keep = Math.min(this.start, this.previousStart);
    if (keep > 0) {
      this.bytes.copyWithin(0, keep, this.#filled);
      this.start -= keep;
      this.end -= keep;
      this.previousStart -= keep;
      this.previousEnd -= keep;
      this.#next -= keep;
      this.#filled -= keep;
      this.#base += keep;
      if (this.#nul >= 0) this.#nul -= keep;
    }
    const count = this.#source.read(this.bytes, this.#filled);
    if (count === 0) this.#ended = true;
    if (this.#nul < 0) {
      const found = this.#search.subarray(this.#filled, this.#filled + count).indexOf(0);
      if (found >= 0) this.#nul = this.#filled + found;
    }
    this.#filled += count;
  }

  /**
   * Moves to the next line; false at the end. What no text has is passed over: NULs, which part lines like a line end,
   * and the whole of a line that is too long. `torn` then says so, and the line is empty.
   */
  next(): boolean {
    this.previousStart = this.torn === null ? this.start : this.#next;
    this.previousEnd = this.torn === null ? this.end : this.#next;
    this.torn = null;
    this.start = this.#next;
    let scanned = this.#next;
    let feed = this.#search.indexOf(LF, scanned);
    while (feed < 0 || feed >= this.#filled) {
      scanned = this.#filled;
      if (scanned - this.start > MAX_LINE || this.#ended) break;
      const before = this.start;
      this.#fill();
      scanned -= before - this.start;
      feed = this.#search.indexOf(LF, scanned);
    }
    if (feed < 0 || feed >= this.#filled) feed = this.#filled;
    // the rest of a line that somebody did not wait for
    if (feed === this.#filled && this.#ended && isEnded(this.#source)) return false;
    if (this.start >= this.#filled) return false;
    if (this.#begun) this.#begun = false;
    else this.line += 1;
    // within the bound, as more of the line is there or not by how the input arrives
    if (this.#nul >= 0 && this.#nul < feed && this.#nul - this.start <= MAX_LINE) {
      this.#passNuls();
      return true;
    }
    if (feed - this.start > MAX_LINE) {
      this.#passLine();
      return true;
    }
    this.end = feed;
    this.#next = Math.min(feed + 1, this.#filled);
    if (this.end > this.start && this.bytes[this.end - 1] === CR) this.end -= 1;
    return true;
  }

  #passNuls(): void {
    const why = `a NUL byte at offset ${this.#base + this.#nul}`;
    this.torn = new ImportError('BINARY_INPUT', this.where(), why);
    this.#next = this.#nul;
    do {
      while (this.#next < this.#filled && this.bytes[this.#next] === 0) this.#next += 1;
    } while (this.#next === this.#filled && this.#refill());
    this.#begun = true;
    this.#settle();
  }

  #passLine(): void {
    this.torn = new ImportError('LINE_TOO_LONG', this.where(), `more than ${MAX_LINE} bytes`);
    let feed = -1;
    do {
      feed = this.#search.subarray(0, this.#filled).indexOf(LF, this.#next);
      if (feed < 0) this.#next = this.#filled;
    } while (feed < 0 && this.#refill());
    if (feed >= 0) this.#next = feed + 1;
    this.#settle();
  }

  /** Reads on, forgetting all that was read; false at the end. */
  #refill(): boolean {
    this.start = this.end = this.previousStart = this.previousEnd = this.#next;
    this.#nul = -1;
    this.#fill();
    return !this.#ended;
  }

  /** Leaves an empty line behind what was passed over. */
  #settle(): void {
    this.start = this.end = this.#next;
    this.#nul = this.#search.subarray(0, this.#filled).indexOf(0, this.#next);
  }
}
