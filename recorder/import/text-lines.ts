/**
 * Lines of text become events. Works on bytes in place; one row is held back, so that a line that a mail program broke in
 * two can still be put together.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import type { TraceWriter } from '../../traces/store.js';
import { Assembly, MAX_NAMES } from './assembly.js';
import { beginningOf, isAlone, isFrame, isHeader, readLost } from './between.js';
import { ascii, Cursor, isBlank, isWord, NameTable } from './cursor.js';
import { type DecodeContext, Decoder } from './decode.js';
import type { ImportError } from './errors.js';
import type { EventSpec } from './events.js';
import type { Lane } from './lanes.js';
import { type LineReader, MAX_LINE } from './lines.js';
import { unlogged } from './logged.js';
import { Prefix } from './prefix.js';
import { QuotedPrintable } from './quoted.js';
import { RawText } from './raw-text.js';
import type { ImportOptions, ImportResult } from './result.js';
import { type EventRow, FIELD } from './row.js';
import type { ByteSource } from './source.js';
import { type TimeStyle, Times } from './times.js';
import { TracerLine } from './tracers.js';
import { VerboseLine } from './verbose.js';
import { Unwrapper, type WrapStyle } from './wraps.js';

/** Places that are no text, without an event between them, after which no more is read. */
const MOST_TORN = 64;
/** Longer names of tasks and events are cut: they are kept until the end. */
const MAX_NAME = 256;
/** Mail breaks no shorter lines. */
const SHORTEST_WRAP = 50;
const INFO = ascii(' info');

const COLON_BLANK = ascii(': ');
/** Heads of the tables of `perf kvm stat report` and of bcc's kvmexit, and of kvm_stat. */
const TABLE = /VM-EXIT\s+Samples|Event\s+Total\s+%Total|KVM_EXIT_REASON\s+COUNT/;
const utf8 = new TextDecoder('utf-8', { fatal: false });

export class TextLines {
  readonly #reader: LineReader;
  readonly #prefix = new Prefix();
  readonly #verbose = new VerboseLine();
  readonly #tracer = new TracerLine();
  readonly #cursor = new Cursor();
  readonly #decoder: Decoder;
  readonly #context: DecodeContext = {
    isa: 0,
    lane: (vcpu) => this.#known ?? this.#trace.lanes.seen(vcpu),
  };
  /** Lane of the thread that the line names, if it does. */
  #known: Lane | null = null;
  readonly #others = new NameTable<number>();
  /** Numbers of tracepoints by the index of their spec; none yet where there is none. */
  readonly #numbers: number[] = [];
  readonly #rawText: RawText;
  readonly #quoted = new QuotedPrintable();
  /** Null: the text is not wrapped. */
  readonly #wraps: Unwrapper | null;
  /** Number of the line that is read. */
  #spec: EventSpec | null = null;
  #number = 0;
  /** The first thing in the text that is none. */
  stopped: ImportError | null = null;
  /** How many there were since the last event, and events before the last of them. */
  #torn = 0;
  #eventsBefore = 0;
  readonly #joined = new Uint8Array(2 * MAX_LINE + 2);
  readonly #trace: Assembly;
  readonly #brief: boolean;
  /** Lane of the row that was decoded last. */
  #lane: Lane | null = null;
  #frames = 0;
  /** Bytes of the longest line that is an event. */
  #widest = 0;
  readonly #times: Times;
  /** The text has the head of a table that some tool made of a recording. */
  table = false;

  /**
   * `style`: how the lines of the text are wrapped; null: they are not. `times`: how they write their times; null: that is
   * not known before the first.
   */
  constructor(
    reader: LineReader,
    open: () => TraceWriter,
    options: ImportOptions,
    style: WrapStyle | null,
    times: TimeStyle | null,
  ) {
    this.#reader = reader;
    this.#trace = new Assembly(open, options);
    this.#times = new Times(times, () => reader.ahead, options.tscHz);
    this.#rawText = new RawText(options.brief !== true);
    this.#brief = options.brief ?? false;
    this.#decoder = new Decoder(this.#brief);
    this.#wraps = style === null ? null : new Unwrapper(style, isAlone);
    options.reasons?.(() => this.#decoder.coined);
  }

  get events(): number {
    return this.#trace.events;
  }

  get damaged(): number {
    return this.#trace.damaged;
  }

  /** Ends the text. */
  end(): void {
    if (this.#wraps?.end()) this.#unwrapped(this.#wraps);
    this.#trace.flush();
  }

  /** Tells something of all of the text. */
  note(says: string): void {
    this.#trace.notes.add(null, says);
  }

  abandon(): void {
    this.#trace.writer?.abandon();
  }

  /** Reads one line, the current one of the reader. */
  line(): void {
    const { bytes, start, end, line, torn } = this.#reader;
    if (torn !== null) {
      this.#tear(torn);
      return;
    }
    if (this.#wraps !== null) {
      if (this.#wraps.take(bytes, start, end, line)) this.#unwrapped(this.#wraps);
      return;
    }
    this.#number = line;
    if (this.#quoted.take(bytes, start, end)) {
      if (!this.#quoted.open) this.#line(this.#quoted.bytes, 0, this.#quoted.length);
    } else {
      this.#line(bytes, start, end);
    }
  }

  /** Something that is no text: what is behind it is read on. */
  #tear(error: ImportError): void {
    if (this.#wraps?.end()) this.#unwrapped(this.#wraps);
    this.#trace.damaged += 1;
    if (this.stopped === null) this.stopped = error;
    else this.#trace.notes.add(this.#reader.line, error.message);
    this.#torn = this.events > this.#eventsBefore ? 1 : this.#torn + 1;
    if (this.events > 0) this.#trace.lose(0, -1, this.#where); // events may have been there
    this.#eventsBefore = this.events;
  }

  /** So much of it is no text that the rest is not worth reading. */
  get isBinary(): boolean {
    return this.#torn >= MOST_TORN;
  }

  #unwrapped({ bytes, length, line }: Unwrapper): void {
    this.#number = line;
    this.#line(bytes, 0, length);
  }

  #line(bytes: Uint8Array, start: number, end: number): void {
    if (this.#prefix.parse(bytes, start, end)) {
      this.#widest = Math.max(this.#widest, end - start);
      this.#event(bytes, end);
    } else this.#rest(bytes, start, end);
  }

  #isVerbose(bytes: Uint8Array, start: number, end: number): boolean {
    const line = this.#verbose;
    return line.take(bytes, start, end) && this.#prefix.parse(line.bytes, 0, line.bytes.length);
  }

  #event(bytes: Uint8Array, end: number): void {
    const { spec } = this.#prefix;
    if (spec !== undefined && spec.kind === EVENT_KINDS.nested_exit) this.#trace.learnNested(this.#prefix.thread);
    this.#trace.flush();
    this.#decode(bytes, end, spec, this.#trace.row);
    if (this.#prefix.hasTime) this.#time(bytes, end, this.#trace.row);
    this.#hold();
  }

  #decode(bytes: Uint8Array, end: number, spec: EventSpec | undefined, row: EventRow): void {
    const prefix = this.#prefix;
    row.clear();
    row.line = this.#number;
    const { thread } = prefix;
    const known = thread < 0 ? null : (this.#trace.lanes.known(thread) ?? this.#threadLane(bytes));
    this.#known = known;
    const cursor = this.#cursor.over(bytes, prefix.payload, end);
    if (spec !== undefined && RawText.begins(cursor, spec) && this.#raw(spec, row)) return;
    const done = spec !== undefined && this.#decoder.decode(spec, cursor, row, this.#context);
    if (!done) this.#whole(bytes, end, row, spec !== undefined);
    this.#place(known, done ? this.#decoder.vcpu : -1);
    if (done && spec.shared) row.tracepoint = this.#numberOf(spec, bytes);
  }

  /** The event is of a thread, or of a vCPU, as far as it says. */
  #place(known: Lane | null, vcpu: number): void {
    const lane = known ?? this.#trace.lanes.ofVcpu(vcpu, this.#where);
    if (vcpu >= 0 && lane.vcpu === null) lane.vcpu = vcpu;
    this.#lane = lane;
  }

  /** Number of the event whose fields are being read. */
  readonly #numberOfSpec = (): number => (this.#spec === null ? -1 : this.#numberOf(this.#spec, this.#cursor.bytes));

  /** Fields by their names; false where they are not those of the event. They are written in place, and nothing joins them. */
  #raw(spec: EventSpec, row: EventRow): boolean {
    const known = this.#known;
    const lane = known ?? this.#trace.lanes.seen(-1);
    this.#spec = spec;
    if (
      !this.#rawText.decode(spec.index, this.#prefix, this.#numberOfSpec, this.#cursor, this.#trace.sink(), row, lane)
    )
      return false;
    row.isRaw = true;
    this.#place(known, this.#rawText.vcpu);
    return true;
  }

  /** A time that is not written like those of the text has lost its decimal point or a digit, or got one. */
  #time(bytes: Uint8Array, end: number, row: EventRow): void {
    if (this.#times.take(this.#prefix, row)) return;
    this.#trace.damage(this.#number, OTHER_TIME, utf8.decode(bytes.slice(this.#prefix.nameStart, end)));
  }

  #threadLane(bytes: Uint8Array): Lane {
    const { thread, process, taskStart, taskEnd } = this.#prefix;
    const task = (): string => unlogged(utf8.decode(bytes.slice(taskStart, Math.min(taskEnd, taskStart + MAX_NAME))));
    return this.#trace.lanes.ofThread(thread, process, task, this.#where);
  }

  readonly #where = (): string => this.#reader.where();

  /** An event that is not understood is kept as it is written. */
  #whole(bytes: Uint8Array, end: number, row: EventRow, damaged: boolean): void {
    row.mask = 0;
    row.byteCount = 0;
    row.textLength = 0;
    row.plain = true;
    row.isa = 0;
    row.kind = EVENT_KINDS.other;
    row.tracepoint = this.#other(bytes);
    row.put(FIELD.code, row.tracepoint, 0);
    if (damaged || !this.#brief) this.#keepText(bytes, end, row);
    if (damaged) row.problem = 'not what this event prints on x86; kept as text';
  }

  #keepText(bytes: Uint8Array, end: number, row: EventRow): void {
    const { nameStart, nameEnd, payload } = this.#prefix;
    let from = payload;
    let to = end;
    while (from < to && isBlank(bytes[from] as number)) from += 1;
    while (to > from && isBlank(bytes[to - 1] as number)) to -= 1;
    row.addText(bytes, nameStart, nameEnd);
    row.addText(COLON_BLANK, 0, COLON_BLANK.length);
    row.addText(bytes, from, to);
  }

  #numberOf({ index }: EventSpec, bytes: Uint8Array): number {
    while (this.#numbers.length <= index) this.#numbers.push(-1); // an array with holes is a slow one
    const known = this.#numbers[index] as number;
    if (known >= 0) return known;
    const number = this.#other(bytes);
    this.#numbers[index] = number;
    return number;
  }

  /** Number of an event's name in the dictionary domain `event`. */
  #other(bytes: Uint8Array): number {
    const { nameStart, nameEnd } = this.#prefix;
    const known = this.#others.get(bytes, nameStart, nameEnd);
    if (known !== undefined) return known;
    const name = bytes.slice(nameStart, Math.min(nameEnd, nameStart + MAX_NAME));
    const code = this.#trace.nameEvent(utf8.decode(name));
    if (code < MAX_NAMES && name.length === nameEnd - nameStart) this.#others.set(name, code);
    return code;
  }

  #hold(): void {
    if (this.#lane !== null) this.#trace.hold(this.#lane);
  }

  /**
   * A line that is none of an event, or of one with a head or a name of its own: a header, a frame of a call chain, lost
   * events, the rest of a broken line, or damage.
   */
  #rest(bytes: Uint8Array, start: number, end: number): void {
    if (start === end) return;
    if (isFrame(bytes, start, end)) {
      this.#frames += 1;
      return;
    }
    if (this.#isVerbose(bytes, start, end)) {
      this.#event(this.#verbose.bytes, this.#verbose.bytes.length);
      return;
    }
    const text = beginningOf(bytes, start, end);
    this.#times.skip(text);
    const lost = readLost(text);
    if (lost !== null) this.#trace.lose(lost.count, lost.cpu, this.#where);
    if (lost !== null || isHeader(text) || this.#isOfTracer(bytes, start, end)) return;
    this.table ||= TABLE.test(text);
    if (this.#join(bytes, start, end)) return;
    this.#trace.damage(this.#number, 'no event', text);
  }

  /** Takes what a tracer prints: its events as those of others, and its calls as what they are, a call chain. */
  #isOfTracer(bytes: Uint8Array, start: number, end: number): boolean {
    const line = this.#tracer;
    const kind = line.take(bytes, start, end);
    if (kind === 'call') this.#frames += 1;
    if (kind !== 'event') return kind === 'call';
    if (!this.#prefix.parse(line.bytes, 0, line.bytes.length)) return false;
    this.#event(line.bytes, line.bytes.length);
    return true;
  }

  /**
   * Puts the line behind the one before, where together they say more than that one alone: as words apart, or where mail
   * broke a word or a number in two, as one.
   */
  #join(bytes: Uint8Array, start: number, end: number): boolean {
    const { previousStart, previousEnd } = this.#reader;
    const { heldLane: lane, held } = this.#trace;
    if (bytes === this.#quoted.bytes || this.#wraps !== null) return false; // long lines are whole again
    if (lane === null || held.isRaw || held.line !== this.#reader.line - 1 || previousEnd - previousStart > MAX_LINE)
      return false;
    let from = start;
    while (from < end && (isBlank(bytes[from] as number) || bytes[from] === 0x3e)) from += 1;
    const before = bytes.subarray(previousStart, previousEnd);
    const behind = bytes.subarray(from, end);
    const broken = before.length >= SHORTEST_WRAP && isWord(before.at(-1) ?? 0) && isWord(behind[0] ?? 0);
    // `info` and `1` are a key each, and `info1` is one
    const wordFirst = broken && endsWith(before, INFO) && !isBlank(behind[0] ?? 0) && isBlank(behind[1] ?? 0);
    if (wordFirst && this.#together(before, behind, false)) return true;
    return this.#together(before, behind, true) || (broken && this.#together(before, behind, false));
  }

  /** Reads both parts as one line, with a blank between them or without; false where that is not better. */
  #together(before: Uint8Array, behind: Uint8Array, apart: boolean): boolean {
    const { held, row } = this.#trace;
    const joined = this.#joined;
    joined.set(before);
    joined[before.length] = 0x20;
    joined.set(behind, before.length + (apart ? 1 : 0));
    const length = before.length + behind.length + (apart ? 1 : 0);
    if (!this.#prefix.parse(joined, 0, length)) return false;
    const { spec } = this.#prefix;
    if (spec === undefined || spec.shared) return false;
    this.#decode(joined, length, spec, row);
    row.hasTime = held.hasTime;
    row.hasTick = held.hasTick;
    row.timeLow = held.timeLow;
    row.timeHigh = held.timeHigh;
    const more = countBits(row.mask) > countBits(held.mask) || held.problem !== null;
    // without a blank, the last value may merely become longer, where no line was whole that is longer than the first part
    const longer = !apart && row.mask === held.mask && before.length >= this.#widest;
    if (row.problem !== null || !(more || longer) || row.textLength > held.textLength) return false;
    this.#hold();
    return true;
  }

  finish(source: ByteSource): ImportResult {
    const { stopped } = this;
    const { line } = this.#reader;
    this.#times.note(this.#trace.notes);
    this.#trace.usesTscHz = this.#times.usesTscHz;
    return this.#trace.finish(
      { source: source.name, format: TEXT_FORMAT, stopped },
      { lines: line, frames: this.#frames },
      this.#decoder.coined,
    );
  }
}

const OTHER_TIME = 'a time that is not written like those of the other lines, and is left out';
/** Of the lines that trace-cmd, perf and tracefs print. */
export const TEXT_FORMAT = 'linux-kvm-text';

const endsWith = (bytes: Uint8Array, end: Uint8Array): boolean =>
  bytes.length >= end.length && end.every((byte, i) => bytes[bytes.length - end.length + i] === byte);

function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
