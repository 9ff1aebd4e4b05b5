/** Times of lines, in halves of 32 bits (time.ts): of seconds and a fraction, of microseconds, or of cycles. */
import { type Cursor, isBlank, isDigit } from './cursor.js';

const DOT = 0x2e;
const COLON = 0x3a;
const MICRO = 0x75; // u
const SECOND = 0x73; // s
/** How long until the next line, by trace_mark of kernel/trace/trace_output.c: more than 100 s, 1 s, ... or no mark. */
const MARKS: ReadonlySet<number> = new Set(Array.from('$@*#!+ ', (mark) => mark.charCodeAt(0)));

const NS = 1_000_000_000;
const HALF = 0x1_0000_0000;
/** Nanoseconds of the last digit of a fraction, by the number of its digits. */
const UNIT = Array.from({ length: 10 }, (_, digits) => 10 ** (9 - digits));
/** Digits of 64 bits. */
const MOST_DIGITS = 20;
const MICRO_DIGITS = 6;

export class StampReader {
  low = 0;
  high = 0;
  /** Digits behind the decimal point of the last one; 0: it counts what the clock of the recording counts. */
  digits = 0;
  /** The second of the last time, and when it began in nanoseconds. */
  #seconds = 0;
  #secondLow = 0;
  #secondHigh = 0;

  /** `seconds.fraction:` into nanoseconds, exactly; or, in a line with a head, what clocks are written in otherwise. */
  read(cursor: Cursor, bare: boolean): boolean {
    const { bytes, at, end } = cursor;
    let i = at;
    let seconds = 0;
    for (; i < end && isDigit(bytes[i] as number); i++) seconds = seconds * 10 + (bytes[i] as number) - 0x30;
    if (i === at) return false;
    if (i - at > 10 || bytes[i] !== DOT) return !bare && this.#whole(cursor, i);
    i += 1;
    const point = i;
    let fraction = 0;
    for (; i < end && isDigit(bytes[i] as number); i++) fraction = fraction * 10 + (bytes[i] as number) - 0x30;
    const digits = i - point;
    if (digits === 0 || digits > 9 || bytes[i] !== COLON) return false;
    if (seconds !== this.#seconds) this.#begin(seconds);
    const low = this.#secondLow + fraction * (UNIT[digits] as number);
    this.low = low | 0;
    this.high = (this.#secondHigh + (low > 0xffff_ffff ? 1 : 0)) | 0;
    this.digits = digits;
    cursor.at = i + 1;
    return true;
  }

  /**
   * `count:` of a clock that counts no nanoseconds, and `123us :` of a latency trace or of what the kernel dumps when it
   * dies (lat_print_timestamp of kernel/trace/trace_output.c); the digits end at `to`.
   */
  #whole(cursor: Cursor, to: number): boolean {
    const { bytes, at, end } = cursor;
    if (to - at > MOST_DIGITS) return false;
    let i = to;
    const isMicro = bytes[i] === MICRO && bytes[i + 1] === SECOND;
    if (isMicro) i += MARKS.has(bytes[i + 2] as number) ? 3 : 2;
    if (i >= end || bytes[i] !== COLON || (i + 1 < end && !isBlank(bytes[i + 1] as number))) return false;
    cursor.at = at;
    let low = 0;
    let high = 0;
    for (let k = at; k < to; k++) {
      low = low * 10 + (bytes[k] as number) - 0x30;
      high = high * 10 + Math.floor(low / HALF);
      low = low % HALF;
    }
    if (isMicro) {
      low *= 1000;
      high = high * 1000 + Math.floor(low / HALF);
    }
    if (high >= HALF) return false;
    this.low = (low % HALF) | 0;
    this.high = high | 0;
    this.digits = isMicro ? MICRO_DIGITS : 0;
    cursor.at = i + 1;
    return true;
  }

  /** Remembers when a second begins, in nanoseconds: most lines are of the same second as the line before. */
  #begin(seconds: number): void {
    // seconds * 1e9 may pass 2^53: in two parts of seconds, 16 bits apart
    const upper = Math.floor(seconds / 65_536) * NS;
    const sum = (upper % 65_536) * 65_536 + (seconds % 65_536) * NS;
    this.#seconds = seconds;
    this.#secondLow = sum >>> 0;
    this.#secondHigh = Math.floor(upper / 65_536) + Math.floor(sum / HALF);
  }
}
