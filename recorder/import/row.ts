/** One event on its way into the trace: the engine's record, and what only a host's trace says. */
import { EVENT_FIELDS, type EventField, EventRecord } from '../../engine/observer.js';
import { MAX_LINE } from './lines.js';

export const FIELD = Object.fromEntries(EVENT_FIELDS.map((name, i) => [name, i])) as Record<EventField, number>;

/** Fields whose column holds fewer than 64 bits, and the largest value of each. */
const LIMIT: { readonly [name in EventField]?: number } = {
  intr_info: 0xffff_ffff,
  error_code: 0xffff_ffff,
  flags: 0xffff_ffff,
  size: 0xff,
};
const LIMITS = EVENT_FIELDS.map((name) => LIMIT[name] ?? Number.POSITIVE_INFINITY);
/** Fields whose column holds all 64 bits. */
const WIDE = EVENT_FIELDS.reduce((mask, name, i) => (LIMIT[name] === undefined ? mask | (1 << i) : mask), 0);

/** The column of a field holds all numbers of `width` bytes; a width below zero is that of numbers with a sign. */
export const holdsWhole = (field: number, width: number): boolean =>
  (WIDE & (1 << field)) !== 0 || (width > 0 && 256 ** width - 1 <= (LIMITS[field] as number));

const utf8 = new TextDecoder('utf-8', { fatal: false });

export class EventRow extends EventRecord {
  /** 1 VMX, 2 SVM, 0 unknown. */
  isa = 0;
  hasTime = false;
  /** The time is in cycles of the TSC, whose frequency nobody said. */
  hasTick = false;
  /** In two halves; so are numbers in general, signed or unsigned. */
  timeLow = 0;
  timeHigh = 0;
  /** What has no column, as the source wrote it; `plain` while all of it is ASCII. */
  readonly text = new Uint8Array(MAX_LINE + 256);
  textLength = 0;
  plain = true;
  /** Number of its tracepoint in the dictionary domain `event`, or -1. */
  tracepoint = -1;
  /** Columns were written in place, not into `words`. */
  isRaw = false;
  /** Number of the line it comes from, and what is wrong with that line, if anything. */
  line = 0;
  problem: string | null = null;

  clear(): void {
    this.mask = 0;
    this.byteCount = 0;
    this.fromLevel = 255;
    this.toLevel = 255;
    this.isa = 0;
    this.tracepoint = -1;
    this.isRaw = false;
    this.hasTime = false;
    this.hasTick = false;
    this.textLength = 0;
    this.plain = true;
    this.problem = null;
  }

  /** Sets field `index` of EVENT_FIELDS; false where its column cannot hold the value. */
  put(index: number, low: number, high: number): boolean {
    const bit = 1 << index;
    if ((WIDE & bit) === 0 && (high !== 0 || low >>> 0 > (LIMITS[index] as number))) return false;
    this.mask |= bit;
    this.words[2 * index] = low;
    this.words[2 * index + 1] = high;
    return true;
  }

  /**
   * Sets `gpa` to the address of a page of 4 KiB, where no better one is known; false where that is of another page, or has
   * more than 64 bits.
   */
  putPage(low: number, high: number): boolean {
    if (high >>> 20 !== 0) return false;
    const [from, upper] = [(low << 12) >>> 0, ((high << 12) | (low >>> 20)) >>> 0];
    if ((this.mask & (1 << FIELD.gpa)) === 0) return this.put(FIELD.gpa, from, upper);
    return this.words[2 * FIELD.gpa + 1] === upper && ((this.words[2 * FIELD.gpa] as number) & ~0xfff) >>> 0 === from;
  }

  /** The bytes of its instruction; null where it has none. */
  instruction(): Uint8Array | null {
    return this.byteCount === 0 ? null : this.bytes.slice(0, this.byteCount);
  }

  /** What has no column, as text. */
  get remark(): string {
    return utf8.decode(this.text.subarray(0, this.textLength));
  }

  /** Adds to the flags. */
  flag(flags: number): void {
    const before = (this.mask & (1 << FIELD.flags)) === 0 ? 0 : (this.words[2 * FIELD.flags] as number);
    this.put(FIELD.flags, before | flags, 0);
  }

  /** Adds bytes that are known to be ASCII. */
  addAscii(bytes: Uint8Array, from: number, to: number): void {
    const { text, textLength } = this;
    const room = Math.min(to - from, text.length - textLength);
    for (let i = 0; i < room; i++) text[textLength + i] = bytes[from + i] as number;
    this.textLength = textLength + room;
  }

  addText(bytes: Uint8Array, from: number, to: number): void {
    const { text, textLength } = this;
    const room = Math.min(to - from, text.length - textLength);
    let all = 0;
    for (let i = 0; i < room; i++) {
      const byte = bytes[from + i] as number;
      text[textLength + i] = byte;
      all |= byte;
    }
    if (all >= 0x80) this.plain = false;
    this.textLength = textLength + room;
  }
}
