/**
 * Quoted-printable (RFC 2045, section 6.7), which mail archives leave in pasted traces: `=3D` for `=`, and lines that
 * go on behind a `=` at their end. Such a text has no other `=`, so that its first one tells.
 */
import { isHex } from './cursor.js';
import { MAX_LINE } from './lines.js';

const EQUALS = 0x3d;
/** Lines without any `=` after which a text counts as plain. */
const PATIENCE = 4096;

const digit = (byte: number): number => (byte <= 0x39 ? byte - 0x30 : (byte & 0xdf) - 0x37);

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
    this.open = false;
    for (let i = start; i < end && this.length < this.bytes.length; i++) {
      let byte = bytes[i] as number;
      if (byte === EQUALS) {
        if (i + 1 === end) {
          this.open = true;
          return true;
        }
        if (i + 2 < end && isHex(bytes[i + 1] as number) && isHex(bytes[i + 2] as number)) {
          byte = digit(bytes[i + 1] as number) * 16 + digit(bytes[i + 2] as number);
          i += 2;
        }
      }
      this.bytes[this.length] = byte;
      this.length += 1;
    }
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
