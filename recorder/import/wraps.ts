/**
 * Texts whose lines were broken at a width: by a terminal or `fold` at a column, within words (hard), or by mail and
 * `fold -s` at a blank (soft). Which it may be, and where, is told by the beginning of the text: nothing is joined unless
 * nearly all lines that are no event by themselves are then part of one, and the importer takes what reads best. Text
 * that is not wrapped is read as it is.
 */
import { isBlank } from './cursor.js';
import { MAX_LINE } from './lines.js';
import { Prefix } from './prefix.js';
import { beginsGraph, TracerLine } from './tracers.js';

const QUOTE = 0x3e; // >
const BLANK = 0x20;
const EQUALS = 0x3d;
const LF = 0x0a;
const CR = 0x0d;

/** Bytes of the text that are looked at. */
export const SAMPLE = 65_536;
/** Nobody breaks shorter lines, and longer ones need no breaking. */
const NARROWEST = 40;
const WIDEST = 400;
/** Fewest breaks that tell a style, and how many lines for each of them may be left that are part of nothing. */
const LEAST_BREAKS = 3;
const LEFT_OVER = 0.1;
/** Part of the lines of a text in quoted-printable that end in a soft line break, at the least: the ends join them. */
const QUOTED = 0.2;
/** Blanks that may have been cut from the end of a full line. */
const STRIPPED = 16;

/**
 * What begins an event: its task, CPU and time, as function_graph or as others print them; a time alone; or its name. A line
 * that begins with more than the others of its text is an event too, and no part of one.
 */
type Beginning = 'task' | 'time' | 'name';

const TASK = /^[>\s]*[^\s>].*?\s\[\d{3,7}\]\s+(?:[\w.#]{3,8}\s+)?(?:\d+(?:\.\d+)?:|[\d.]*$)/;
const TIME = /^[>\s]*\d+\.\d+:/;
const beginsTask = (text: string): boolean => TASK.test(text) || beginsGraph(text);
/** Whether an event begins in a line, as far as its head says; the grammar of prefixes knows names. */
const HEADS: { readonly [beginning in Beginning]: (text: string) => boolean } = {
  task: beginsTask,
  time: (text) => beginsTask(text) || TIME.test(text),
  name: beginsTask,
};
const TIME_LAST = /\s\d+\.\d+:\s*$/;
/** Bytes in which a head ends. */
const LONGEST_HEAD = 256;
const latin1 = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.min(end - start, LONGEST_HEAD)).toString('latin1');

export interface WrapStyle {
  /** Broken at a column or at a blank; `stripped`: with blanks cut from the ends of lines. */
  readonly kind: 'hard' | 'soft';
  readonly stripped: boolean;
  /** Bytes of a full line. */
  readonly width: number;
  readonly beginning: Beginning;
  /** Blanks before each line that goes on. */
  readonly indent: number;
}

/** Whether a line is something else than an event or a part of one, such as a header or a frame of a call chain. */
export type Alone = (bytes: Uint8Array, start: number, end: number) => boolean;

/** Behind the quote marks of mail, and a blank behind each. */
function behindQuotes(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end && bytes[i] === QUOTE) i += bytes[i + 1] === BLANK && i + 1 < end ? 2 : 1;
  return i;
}

/** Puts lines together again; what it has is one line behind another, each told once the next one says that it ended. */
export class Unwrapper {
  readonly #style: WrapStyle;
  readonly #alone: Alone;
  readonly #prefix = new Prefix();
  readonly #tracer = new TracerLine();
  /** The line that is being put together, and the one that has ended: `length` bytes, from line `line` of the text on. */
  #open = new Uint8Array(2 * MAX_LINE);
  #openLength = 0;
  #openLine = 0;
  /** Bytes of the last piece as it stands in the text; -1: nothing is open. */
  #piece = -1;
  bytes = new Uint8Array(2 * MAX_LINE);
  length = 0;
  line = 0;
  /** How often a line was put behind another. */
  joins = 0;

  constructor(style: WrapStyle, alone: Alone) {
    this.#style = style;
    this.#alone = alone;
  }

  /** Takes the next line of the text; true where the one before it has ended. */
  take(bytes: Uint8Array, start: number, end: number, line: number): boolean {
    if (this.#continues(bytes, start, end)) {
      this.#append(bytes, start, end);
      return false;
    }
    const ended = this.end();
    this.#open.set(bytes.subarray(start, end));
    this.#openLength = end - start;
    this.#openLine = line;
    this.#piece = end - start;
    return ended;
  }

  /** Ends the line that is open; false where none is. */
  end(): boolean {
    if (this.#piece < 0) return false;
    [this.bytes, this.#open] = [this.#open, this.bytes];
    this.length = this.#openLength;
    this.line = this.#openLine;
    this.#piece = -1;
    return true;
  }

  #continues(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#piece <= 0 || start === end || this.#openLength + 2 * (end - start) > MAX_LINE) return false;
    const from = this.#behindMarks(bytes, start, end);
    if (from === end || !(this.#full(bytes, from, end) || this.#isHead)) return false;
    return !this.#alone(bytes, start, end) && !this.begins(bytes, start, end) && !this.#follows(bytes, start, end);
  }

  /** Whether the line is an event behind a whole one: the name of an event that is broken behind its head comes once. */
  #follows(bytes: Uint8Array, start: number, end: number): boolean {
    const prefix = this.#prefix;
    return prefix.parse(bytes, start, end) && prefix.parse(this.#open, 0, this.#openLength);
  }

  /** Whether nothing more went into the last piece. */
  #full(bytes: Uint8Array, from: number, end: number): boolean {
    const { kind, width, stripped } = this.#style;
    const piece = this.#piece;
    const missing = stripped ? STRIPPED : 0;
    if (kind === 'hard') return piece <= width && piece >= width - missing;
    let word = from;
    while (word < end && !isBlank(bytes[word] as number)) word += 1;
    return piece <= width + STRIPPED && piece + missing + 1 + word - from > width; // the sample may have had no full line
  }

  /** True where what is open ends behind its time. */
  get #isHead(): boolean {
    const last = this.#open.subarray(Math.max(0, this.#openLength - LONGEST_HEAD), this.#openLength);
    return this.#style.beginning !== 'name' && TIME_LAST.test(latin1(last, 0, last.length));
  }

  /** True where an event begins in a line, even if its name comes later. */
  begins(bytes: Uint8Array, start: number, end: number): boolean {
    const { beginning } = this.#style;
    return (
      HEADS[beginning](latin1(bytes, start, end)) || (beginning === 'name' && this.#prefix.parse(bytes, start, end))
    );
  }

  /** True where the line that has ended is an event, or what a tracer prints beside those. */
  get isEvent(): boolean {
    if (!this.begins(this.bytes, 0, this.length)) return false;
    return this.#prefix.parse(this.bytes, 0, this.length) || this.#tracer.take(this.bytes, 0, this.length) === 'event';
  }

  /** Where the text of a line that goes on begins. */
  #behindMarks(bytes: Uint8Array, start: number, end: number): number {
    let from = this.#open[0] === QUOTE ? behindQuotes(bytes, start, end) : start;
    const { kind, indent } = this.#style;
    const most = kind === 'soft' ? end : Math.min(end, from + indent);
    while (from < most && isBlank(bytes[from] as number)) from += 1;
    return from;
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    const { kind, width } = this.#style;
    const from = this.#behindMarks(bytes, start, end);
    const blanks = kind === 'hard' ? Math.max(0, width - this.#piece) : this.#endsInBlank ? 0 : 1;
    this.#open.fill(BLANK, this.#openLength, this.#openLength + blanks);
    this.#openLength += blanks;
    this.#open.set(bytes.subarray(from, end), this.#openLength);
    this.#openLength += end - from;
    this.#piece = end - start;
    this.joins += 1;
  }

  get #endsInBlank(): boolean {
    return isBlank(this.#open[this.#openLength - 1] ?? 0);
  }
}

interface Line {
  readonly start: number;
  readonly end: number;
}

/** Whole lines of a text. */
function linesOf(bytes: Uint8Array): Line[] {
  const lines: Line[] = [];
  for (let start = 0; ; ) {
    const feed = bytes.indexOf(LF, start);
    if (feed < 0) return lines;
    lines.push({ start, end: feed > start && bytes[feed - 1] === CR ? feed - 1 : feed });
    start = feed + 1;
  }
}

const NO_STYLE: WrapStyle = { kind: 'hard', stripped: false, width: 0, beginning: 'name', indent: 0 };

/** Styles that would explain the lines of a text that are no event, by its first bytes; none where it is not wrapped. */
export function stylesOf(sample: Uint8Array, alone: Alone): WrapStyle[] {
  const lines = linesOf(sample);
  const broken = lines.filter(({ start, end }) => end > start && sample[end - 1] === EQUALS);
  if (broken.length > lines.length * QUOTED) return [];
  for (const beginning of ['task', 'time', 'name'] as const) {
    const parts = partsOf(sample, lines, alone, beginning);
    if (parts.length < LEAST_BREAKS) return []; // every line begins an event
    const styles = candidates(sample, lines, parts, beginning);
    const found = styles.filter((style) => explains(sample, lines, alone, style));
    // a piece of an event that has a task may look like one without
    if (found.length > 0) return found;
  }
  return [];
}

/** Indices of lines that may go on from the line before: they are no event and nothing else. */
function partsOf(sample: Uint8Array, lines: readonly Line[], alone: Alone, beginning: Beginning): number[] {
  const reader = new Unwrapper({ ...NO_STYLE, beginning }, alone);
  return lines.flatMap(({ start, end }, i) => {
    const before = lines[i - 1];
    if (start === end || before === undefined || before.start === before.end) return [];
    return alone(sample, start, end) || reader.begins(sample, start, end) ? [] : [i];
  });
}

/** Styles that these parts may come from. */
function candidates(
  sample: Uint8Array,
  lines: readonly Line[],
  parts: readonly number[],
  beginning: Beginning,
): WrapStyle[] {
  const lengths = parts.map((i) => lengthOf(lines[i - 1])).filter((length) => length <= WIDEST);
  const counts = new Map<number, number>();
  for (const length of lengths) counts.set(length, (counts.get(length) ?? 0) + 1);
  const usual = [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0]?.[0] ?? 0;
  const longest = Math.max(0, ...lengths);
  const indent = Math.min(...parts.map((i) => blanksOf(sample, lines[i])));
  const widths = [...new Set([usual, longest])].filter((width) => width >= NARROWEST);
  return widths.flatMap((width) =>
    [false, true].flatMap((stripped): WrapStyle[] => [
      { kind: 'hard', stripped, width, beginning, indent: indent > 1 ? indent : 0 },
      { kind: 'soft', stripped, width, beginning, indent: 0 },
    ]),
  );
}

const lengthOf = (line: Line | undefined): number => (line === undefined ? 0 : line.end - line.start);

function blanksOf(sample: Uint8Array, line: Line | undefined): number {
  if (line === undefined) return 0;
  const from = behindQuotes(sample, line.start, line.end);
  let i = from;
  while (i < line.end && isBlank(sample[i] as number)) i += 1;
  return i - from;
}

/** Whether nearly all lines that are no event are part of one, as the style puts them together. */
function explains(sample: Uint8Array, lines: readonly Line[], alone: Alone, style: WrapStyle): boolean {
  const unwrapper = new Unwrapper(style, alone);
  let [events, left, inside] = [0, 0, false];
  const judge = (): void => {
    const { bytes, length } = unwrapper;
    if (length === 0) inside = false;
    else if (unwrapper.isEvent) {
      events += 1;
      inside = true;
    } else if (inside && !alone(bytes, 0, length)) left += 1;
  };
  for (const [i, { start, end }] of lines.entries()) if (unwrapper.take(sample, start, end, i)) judge();
  const { joins } = unwrapper;
  const most = style.width + (style.kind === 'soft' ? STRIPPED : 0);
  const wider = lines.filter(({ start, end }) => end - start > most && unwrapper.begins(sample, start, end)).length;
  if (wider > joins * LEFT_OVER) return false;
  return joins >= LEAST_BREAKS && events >= LEAST_BREAKS && left <= joins * LEFT_OVER;
}
