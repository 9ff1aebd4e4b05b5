/**
 * Times of a text as a whole: how its lines write them, which its beginning tells, and what a time means that is none of its
 * own, such as the difference to the line before.
 */
import { Clock, scaleOf, TSC } from './binary/clock.js';
import { Passage } from './binary/rounds.js';
import { LineReader } from './lines.js';
import { Prefix } from './prefix.js';
import type { Notes } from './result.js';
import type { EventRow } from './row.js';
import { memorySource } from './source.js';
import { halvesOf, timeOf } from './time.js';

export interface TimeStyle {
  /** Digits behind the decimal point in most lines; 0: times are counts of a clock. */
  readonly digits: number;
  /** A time is what passed since the line before: `perf script --deltatime`. */
  readonly differences: boolean;
}

/** What tools print: microseconds and nanoseconds. A text has other fractions throughout, or where it is damaged. */
const USUAL: readonly number[] = [6, 9];
/** Part of the lines of a thread whose time is below the one before, from which times are differences. */
const FALLING = 0.2;
/** Lines that tell differences where the first is not there, which is zero; and how short most of them are, in ns. */
const LEAST_PAIRS = 8;
const SHORT = 10_000_000n;
/** Events that tell how times are written if they agree, and if they do not. */
const AGREEING = 3;
const ENOUGH = 16;

/** What the times of some lines have in common. */
class Survey {
  events = 0;
  /** Lines by the digits of their time, -1 those without. */
  readonly forms = new Map<number, number>();
  #first: bigint | null = null;
  #last = 0n;
  #short = 0;
  #zero = 0;
  #times = 0;
  /** By thread, and of all lines: pairs of times, and how many fall. */
  readonly #threads = new Map<number, bigint>();
  #pairs = 0;
  #falls = 0;
  #fallsOfAll = 0;

  constructor(sample: Uint8Array) {
    const reader = new LineReader(memorySource(sample));
    const prefix = new Prefix();
    while (reader.next()) {
      const { bytes, start, end, torn } = reader;
      if (torn === null && prefix.parse(bytes, start, end)) this.#take(prefix);
    }
  }

  #take({ hasTime, digits, timeLow, timeHigh, thread, cpu }: Prefix): void {
    this.events += 1;
    const form = hasTime ? digits : -1;
    this.forms.set(form, (this.forms.get(form) ?? 0) + 1);
    if (form <= 0) return;
    const time = timeOf(timeHigh, timeLow);
    const key = thread < 0 ? -2 - cpu : thread;
    const before = this.#threads.get(key);
    if (before !== undefined) {
      this.#pairs += 1;
      if (time < before) this.#falls += 1;
    }
    if (this.#first !== null && time < this.#last) this.#fallsOfAll += 1;
    this.#first ??= time;
    this.#last = time;
    this.#times += 1;
    if (time < SHORT) this.#short += 1;
    if (time === 0n) this.#zero += 1;
    if (this.#threads.size < ENOUGH || before !== undefined) this.#threads.set(key, time);
  }

  /**
   * The first difference is zero, and no clock falls in every few lines, of which it needs some that are not zero: a
   * thread's times only rise.
   */
  get #differ(): boolean {
    const isClock = this.#falls === 0 && this.#pairs >= LEAST_PAIRS;
    if (this.#first === 0n)
      return !isClock && this.#fallsOfAll > 0 && this.#fallsOfAll >= FALLING * (this.#times - this.#zero);
    const falling = this.#falls / this.#pairs;
    return this.#pairs >= LEAST_PAIRS && falling >= FALLING && falling <= 1 - FALLING && this.#short * 2 >= this.#times;
  }

  get style(): TimeStyle | null {
    const forms = [...this.forms].filter(([form]) => form >= 0);
    const timed = forms.filter(([form]) => form > 0).sort((a, b) => b[1] - a[1]);
    const counts = this.forms.get(0) ?? 0;
    const times = timed.reduce((sum, [, count]) => sum + count, 0);
    if (counts + times === 0) return null;
    return counts > times
      ? { digits: 0, differences: false }
      : { digits: timed[0]?.[0] ?? 0, differences: this.#differ };
  }

  /** More lines would most likely say the same. */
  get isTold(): boolean {
    const isClear = this.events >= AGREEING && this.forms.size === 1 && this.#first !== 0n;
    return isClear || this.events >= ENOUGH;
  }
}

/** How the lines of a text write their times, by its first bytes; null where none has a time. */
export const timeStyleOf = (sample: Uint8Array): TimeStyle | null => new Survey(sample).style;

/** Whether the first bytes of a text tell how it writes its times. */
export const tellsTimes = (sample: Uint8Array): boolean => new Survey(sample).isTold;

const COUNTS =
  'times without a decimal point are of a clock that counts no nanoseconds: they are kept as cycles of the TSC (clock ' +
  'x86-tsc), which --tsc-hz makes nanoseconds (1G if they are that, as of trace-cmd report --raw-ts); of the clocks counter ' +
  'and uptime they are an order, and no times';
const SUMS = 'times are what passed since the line before (perf script --deltatime): they were added up from 0 on';
const CUT =
  ', and as each is cut to a microsecond, the sums fall behind: perf script --ns gives all digits, and without --deltatime it prints times';

/**
 * `perf script -F +tod`: the last before the time, behind a CPU or a thread, or behind whatever else of a head was asked
 * for, and then before the time, the period and the event alone (perf_sample__fprintf_start and process_event of
 * tools/perf/builtin-script.c). perf-prof begins its lines with one.
 */
const DAY = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6,9}`;
const TIME_OF_DAY = new RegExp(
  String.raw`(?:(?:\]|\s\d+) +(?:\w+ +)?${DAY}\s.*\s|(?<!\S)${DAY} +(?:\d+\.\d+: +)?(?:\d+ +)?)kvm(?:mmu)?:\w`,
);
const OF_DAY =
  'times of day (perf script -F tod) are not read, and threads not told where they stand before a time: print the text with ' +
  'perf script -F -tod,+time';

/** What is to be known of a text by its first bytes; null: nothing. */
export const saidOfDay = (sample: Uint8Array): string | null =>
  TIME_OF_DAY.test(Buffer.from(sample.buffer, sample.byteOffset, sample.length).toString('latin1')) ? OF_DAY : null;

const NS = 1_000_000_000n;
const RECORD_TIME = /\s(\d{1,10})\.(\d{1,9}):\s+PERF_RECORD_/;

/** Makes the times of lines those of their events. */
export class Times {
  #style: TimeStyle | null;
  readonly #ahead: () => Uint8Array;
  readonly #cycles: Clock;
  /** Times are taken as they are. */
  #plain = true;
  /** Times were kept as cycles. */
  #counted = false;
  /** Cycles were made times. */
  usesTscHz = false;
  readonly #order = new Passage();
  #sum = 0n;

  /** `style` null: as the bytes that `ahead` gives say once there is a time. */
  constructor(style: TimeStyle | null, ahead: () => Uint8Array, tscHz: number | undefined) {
    this.#style = style;
    this.#ahead = ahead;
    this.#cycles = new Clock(tscHz === undefined ? null : scaleOf(tscHz), 0n, TSC);
    if (style !== null) this.#settle(style);
  }

  #settle(style: TimeStyle): TimeStyle {
    this.#style = style;
    this.#plain = style.digits > 0 && !style.differences;
    return style;
  }

  /** Gives a row the time of its line, which has one; false where it is not written as those of the text are. */
  take({ digits, timeLow, timeHigh }: Prefix, row: EventRow): boolean {
    const style = this.#style ?? this.#settle(timeStyleOf(this.#ahead()) ?? { digits, differences: false });
    if (digits !== style.digits && !isBeside(digits, style.digits)) return false;
    row.hasTime = true;
    row.timeLow = timeLow;
    row.timeHigh = timeHigh;
    if (!this.#plain) this.#convert(row, style);
    this.#order.passes(row.timeLow, row.timeHigh);
    return true;
  }

  #convert(row: EventRow, { differences }: TimeStyle): void {
    if (differences) {
      this.#pass(timeOf(row.timeHigh, row.timeLow));
      [row.timeHigh, row.timeLow] = halvesOf(this.#sum);
      return;
    }
    const { timeLow, timeHigh } = this.#cycles.at(row.timeLow, row.timeHigh);
    row.timeLow = timeLow;
    row.timeHigh = timeHigh;
    row.hasTime = this.#cycles.hasTime;
    row.hasTick = !row.hasTime;
    this.#counted ||= row.hasTick;
    this.usesTscHz ||= row.hasTime;
  }

  #pass(time: bigint): void {
    this.#sum = BigInt.asUintN(64, this.#sum + time);
  }

  /** A line that is no event passes time too, where perf prints a task's records beside the events. */
  skip(text: string): void {
    if (this.#style?.differences !== true) return;
    const [, seconds, fraction = ''] = RECORD_TIME.exec(text) ?? [];
    if (seconds !== undefined) this.#pass(BigInt(seconds) * NS + BigInt(fraction.padEnd(9, '0')));
  }

  /** What is to be known of the times of this text. */
  note(notes: Notes): void {
    const { late } = this.#order;
    if (late > 0) notes.add(null, `${late === 1 ? '1 event is' : `${late} events are`} older than one before`);
    if (this.#counted) notes.add(null, COUNTS);
    if (this.#style?.differences === true) notes.add(null, this.#style.digits < 9 ? SUMS + CUT : SUMS);
  }
}

/** Both may stand in one text. */
const isBeside = (digits: number, usual: number): boolean =>
  digits > 0 && usual > 0 && (USUAL.includes(digits) || !USUAL.includes(usual));
