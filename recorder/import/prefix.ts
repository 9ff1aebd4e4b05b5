/**
 * What stands before an event's own text. Forms (see the table of variants in the tests):
 *   ftrace      comm-pid [cpu] flags time: event: ...      trace-cmd   comm-pid [cpu] time: event:   ...
 *   perf        comm  pid [cpu]  time:  kvm:event: ...     perf-prof   date time comm pid flags [cpu] time: kvm:event: ...
 *   latency     comm-pid cpuflags time: event: ... of trace-cmd report -l, `us` behind the time where the kernel dumps it
 *   pasted      nothing, a time alone, or `CPU n:`, behind mail quoting
 */
import { ascii, Cursor, isBlank, isDigit, isWord } from './cursor.js';
import { EVENTS, type EventSpec } from './events.js';
import { RecentHeads, RecentNames } from './recent.js';
import { StampReader } from './stamps.js';

const OPEN = 0x5b; // [
const CLOSE = 0x5d;
const COLON = 0x3a;
const DOT = 0x2e;
const DASH = 0x2d;
const SLASH = 0x2f;
const QUOTE = 0x3e; // >
const OPEN_PAREN = 0x28;
const CLOSE_PAREN = 0x29;
const PLUS = 0x2b;
/** Bytes in which the head of a line ends. */
const LONGEST_HEAD = 256;
/** What perf prints of tasks and mappings beside the events. */
const PERF_RECORD = ascii('PERF_RECORD_');
const RAW_FLAGS = ascii('-0x');
const CPU = [0x43, 0x50, 0x55]; // CPU

export class Prefix {
  /** Thread, process (or -1) and host CPU (or -1) of the line. */
  thread = -1;
  process = -1;
  cpu = -1;
  hasTime = false;
  /** Digits behind the point of the time; 0: it is none, but what a clock counts that counts no nanoseconds. */
  digits = 0;
  timeLow = 0;
  timeHigh = 0;
  /** Name of the task, behind what a log may have put before the line: bytes [taskStart, taskEnd). */
  taskStart = 0;
  taskEnd = 0;
  /** Name of the event without its group, and what follows its colon. */
  nameStart = 0;
  nameEnd = 0;
  payload = 0;
  readonly #cursor = new Cursor();
  readonly #stamps = new StampReader();
  /** What is known of the event, if anything. */
  spec: EventSpec | undefined = undefined;
  readonly #heads = new RecentHeads();
  readonly #names = new RecentNames();
  /** Where the time begins. */
  #timeAt = 0;

  /** True where the line [start, end) is an event. A line without CPU counts only if its event is one of KVM's. */
  parse(bytes: Uint8Array, start: number, end: number): boolean {
    this.thread = -1;
    this.process = -1;
    this.cpu = -1;
    this.hasTime = false;
    this.taskStart = this.taskEnd = start;
    if (this.#recent(bytes, start, end)) return true;
    let from = start;
    while (from < end && (isBlank(bytes[from] as number) || bytes[from] === QUOTE)) from += 1;
    for (let i = from; i < end; i++) {
      if (bytes[i] !== OPEN) continue;
      const after = this.#bracket(bytes, i, end);
      if (after > 0 && this.#tail(bytes, after, end, false)) {
        this.#task(bytes, from, i);
        this.#heads.keep(bytes, start, i, this.#timeAt, this);
        return true;
      }
    }
    this.cpu = -1;
    if (this.#tail(bytes, this.#pastedCpu(bytes, from, end), end, true)) {
      // perf without names of tasks and times
      if (!this.hasTime && isDigit(bytes[from] as number)) this.#task(bytes, from, this.#beforeGroup(bytes, from));
      return true;
    }
    return this.#unbracketed(bytes, from, end) || this.#untimed(bytes, from, end);
  }

  /** A line of perf without time, `comm pid [cpu] kvm:event:`: the first word with the name of a group of KVM ends the task. */
  #untimed(bytes: Uint8Array, from: number, end: number): boolean {
    const last = Math.min(end, from + LONGEST_HEAD);
    for (let i = from + 1; i < last; i++) {
      if (!isBlank(bytes[i - 1] as number) || behindGroup(bytes, i, end) === i) continue;
      if (!this.#name(this.#cursor.over(bytes, i, end), true)) continue;
      this.#untimedTask(bytes, from, trimEnd(bytes, from, i));
      return true;
    }
    return false;
  }

  /** `comm pid [cpu]`, and behind it the mode of the CPU (`-F +misc`) or a period. */
  #untimedTask(bytes: Uint8Array, from: number, end: number): void {
    let open = end;
    while (open > from && bytes[open] !== OPEN) open -= 1;
    if (bytes[open] === OPEN && this.#bracket(bytes, open, end) > 0) this.#task(bytes, from, open);
    else {
      const period = digitsBefore(bytes, from, end);
      const before = trimEnd(bytes, from, period);
      const isPeriod = period < end && before < period && digitsBefore(bytes, from, before) < before;
      this.#task(bytes, from, isPeriod ? before : end);
    }
  }

  /** Where the event's name begins with its group. */
  #beforeGroup(bytes: Uint8Array, from: number): number {
    let i = this.nameStart;
    while (i > from && !isBlank(bytes[i - 1] as number)) i -= 1;
    return i;
  }

  /**
   * A line whose CPU is in no bracket: `comm-pid 0d..1. time: event:` in the latency format, `comm pid time: event:` of perf
   * without CPUs. The first time that an event stands behind ends the task.
   */
  #unbracketed(bytes: Uint8Array, from: number, end: number): boolean {
    const cursor = this.#cursor.over(bytes, from, end);
    const last = Math.min(end, from + LONGEST_HEAD);
    for (let i = from + 1; i < last; i++) {
      if (!isDigit(bytes[i] as number) || !isBlank(bytes[i - 1] as number)) continue;
      cursor.at = i;
      if (!this.#time(cursor, false)) continue;
      cursor.skipBlanks();
      if (!this.#name(cursor, false)) continue;
      this.hasTime = true;
      const flags = this.#latency(bytes, from, trimEnd(bytes, from, i));
      this.#task(bytes, from, flags < 0 ? i : flags);
      const { nameStart, nameEnd } = this;
      const isPerf = this.thread >= 0 && bytes.subarray(nameStart, nameEnd).includes(COLON);
      return flags >= 0 || isPerf || isKvmName(bytes, nameStart) || this.spec !== undefined;
    }
    return false;
  }

  /** Where `0d..1.`, a CPU and its flags, or of trace-cmd report -R -l `0-0x24`, begins that ends at `end`; -1: nowhere. */
  #latency(bytes: Uint8Array, from: number, end: number): number {
    let start = end;
    while (start > from && !isBlank(bytes[start - 1] as number)) start -= 1;
    let i = start;
    let cpu = 0;
    for (; i < end && isDigit(bytes[i] as number); i++) cpu = cpu * 10 + (bytes[i] as number) - 0x30;
    if (i === start || i - start > 5) return -1;
    if (startsWith(bytes, i, RAW_FLAGS)) i += RAW_FLAGS.length;
    else if (end - i < 3) return -1;
    if (end - i > 8) return -1;
    for (let k = i; k < end; k++) if (bytes[k] !== DOT && bytes[k] !== 0x23 && !isWord(bytes[k] as number)) return -1;
    this.cpu = cpu;
    return start;
  }

  /** Reads `[cpu]` at `open`; returns what comes after it, or 0. */
  #bracket(bytes: Uint8Array, open: number, end: number): number {
    let i = open + 1;
    let cpu = 0;
    for (; i < end && isDigit(bytes[i] as number); i++) cpu = cpu * 10 + (bytes[i] as number) - 0x30;
    if (i - open < 3 || i - open > 7 || bytes[i] !== CLOSE) return 0;
    this.cpu = cpu;
    return i + 1;
  }

  /** `CPU 3:` as people write it by hand; returns what comes after it. */
  #pastedCpu(bytes: Uint8Array, from: number, end: number): number {
    if (CPU.some((byte, i) => bytes[from + i] !== byte) || !isBlank(bytes[from + 3] ?? 0)) return from;
    let i = from + 4;
    let cpu = 0;
    for (; i < end && i < from + 10 && isDigit(bytes[i] as number); i++) cpu = cpu * 10 + (bytes[i] as number) - 0x30;
    if (i === from + 4 || bytes[i] !== COLON) return from;
    this.cpu = cpu;
    return i + 1;
  }

  /** Flags, time and event name. */
  #tail(bytes: Uint8Array, from: number, end: number, bare: boolean): boolean {
    const cursor = this.#cursor.over(bytes, from, end);
    cursor.skipBlanks();
    this.#timeAt = cursor.at;
    this.hasTime = this.#time(cursor, bare);
    if (!this.hasTime && !bare && this.#flags(cursor)) {
      cursor.skipBlanks();
      this.#timeAt = cursor.at;
      this.hasTime = this.#time(cursor, bare);
    }
    cursor.skipBlanks();
    if (!bare && !this.hasTime) return false;
    return this.#name(cursor, bare);
  }

  /** Four to eight characters such as `d..1`, `.....`, `.N..`. */
  #flags(cursor: Cursor): boolean {
    const { bytes, at, end } = cursor;
    let i = at;
    while (i < end && !isBlank(bytes[i] as number)) {
      const byte = bytes[i] as number;
      if (byte !== DOT && byte !== 0x23 && !isWord(byte)) return false;
      i += 1;
    }
    if (i - at < 3 || i - at > 8) return false;
    cursor.at = i;
    return true;
  }

  #time(cursor: Cursor, bare: boolean): boolean {
    const stamps = this.#stamps;
    if (!stamps.read(cursor, bare)) return false;
    this.timeLow = stamps.low;
    this.timeHigh = stamps.high;
    this.digits = stamps.digits;
    return true;
  }

  /** `group:event:` or `event:`, after the period that some versions of perf print, or trace-cmd's time since the last line. */
  #name(cursor: Cursor, bare: boolean): boolean {
    const { bytes, end } = cursor;
    const first = cursor.peek();
    if (isDigit(first)) {
      cursor.at = cursor.wordEnd();
      cursor.skipBlanks();
    } else if (first === OPEN_PAREN) {
      if (bytes[cursor.at + 1] !== PLUS) return false;
      while (cursor.at < end && cursor.peek() !== CLOSE_PAREN) cursor.at += 1;
      cursor.at += 1;
      cursor.skipBlanks();
    }
    const start = cursor.at;
    const known = this.#names.at(bytes, start, end);
    if (known !== null) {
      this.payload = start + known.length;
      this.nameEnd = this.payload - 1;
      this.nameStart = start + known.from;
      this.spec = known.spec;
      return !bare || known.spec !== undefined || isKvmName(bytes, this.nameStart);
    }
    return this.#readName(cursor, bare);
  }

  #readName(cursor: Cursor, bare: boolean): boolean {
    const { bytes, at: start, end } = cursor;
    if (!isWord(cursor.peek()) || isDigit(cursor.peek())) return false;
    if (startsWith(bytes, start, PERF_RECORD)) return false;
    let to = cursor.nameEnd();
    while (to > start && bytes[to - 1] !== COLON) to -= 1; // the text may follow the colon without a blank
    if (to <= start + 1) return false;
    if (to < end && !isBlank(bytes[to] as number)) return false;
    this.payload = to;
    this.nameEnd = to - 1;
    this.nameStart = behindGroup(bytes, start, to);
    const isGroupAlone = isGroup(bytes, start, to - 1);
    if (isGroupAlone && trimEnd(bytes, to, end) === to) return false; // before its name
    this.spec = EVENTS.get(bytes, this.nameStart, this.nameEnd);
    if (!isGroupAlone) this.#names.keep(bytes, start, this.nameStart, to, this.spec);
    return !bare || isKvmName(bytes, this.nameStart) || this.spec !== undefined;
  }

  /** True where the line begins as one before did, and goes on as an event. */
  #recent(bytes: Uint8Array, start: number, end: number): boolean {
    const head = this.#heads.at(bytes, start, end);
    if (head === null) return false;
    const cursor = this.#cursor.over(bytes, start + head.length, end);
    if (!this.#time(cursor, false)) return false;
    cursor.skipBlanks();
    if (!this.#name(cursor, false)) return false;
    this.hasTime = true;
    this.thread = head.thread;
    this.process = head.process;
    this.cpu = head.cpu;
    this.taskStart = start + head.taskStart;
    this.taskEnd = start + head.taskEnd;
    return true;
  }

  /** Task name, thread and process before the bracket. */
  #task(bytes: Uint8Array, from: number, bracket: number): void {
    let end = trimEnd(bytes, from, bracket);
    if (bytes[end - 1] === CLOSE_PAREN) {
      let open = end - 1;
      while (open > from && bytes[open] !== OPEN_PAREN) open -= 1;
      let first = open + 1;
      while (isBlank(bytes[first] as number)) first += 1;
      const process = integer(bytes, first, end - 1);
      if (process >= 0) this.process = process;
      end = trimEnd(bytes, from, open);
    }
    let digits = digitsBefore(bytes, from, end);
    if (digits === end) {
      // perf-prof puts the flags before the bracket
      let word = end;
      while (word > from && !isBlank(bytes[word - 1] as number)) word -= 1;
      const before = trimEnd(bytes, from, word);
      const behind = digitsBefore(bytes, from, before);
      if (behind < before) {
        end = before;
        digits = behind;
      }
    }
    if (digits === end) {
      this.taskStart = from;
      this.taskEnd = end;
      return;
    }
    this.thread = integer(bytes, digits, end);
    if (bytes[digits - 1] === SLASH) {
      const process = digitsBefore(bytes, from, digits - 1);
      if (process < digits - 1) {
        this.process = integer(bytes, process, digits - 1);
        digits = process;
      }
    }
    const dash = digits > from && bytes[digits - 1] === DASH ? digits - 1 : digits;
    this.taskEnd = trimEnd(bytes, from, dash);
    this.taskStart = from;
  }
}

function startsWith(bytes: Uint8Array, at: number, text: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false;
  return true;
}

const isKvm = (bytes: Uint8Array, at: number): boolean =>
  bytes[at] === 0x6b && bytes[at + 1] === 0x76 && bytes[at + 2] === 0x6d;

/** Where an event's name begins behind `kvm:` or `kvmmmu:`, or `start` where it has no such group. */
function behindGroup(bytes: Uint8Array, start: number, end: number): number {
  if (!isKvm(bytes, start)) return start;
  const mmu = bytes[start + 3] === 0x6d && bytes[start + 4] === 0x6d && bytes[start + 5] === 0x75;
  const colon = mmu ? start + 6 : start + 3;
  return bytes[colon] === COLON && colon + 1 < end - 1 ? colon + 1 : start;
}

/** The name [start, end) is `kvm` or `kvmmmu`, the groups of KVM's events. */
function isGroup(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== 3 && end - start !== 6) return false;
  const mmu = bytes[start + 3] === 0x6d && bytes[start + 4] === 0x6d && bytes[start + 5] === 0x75;
  return isKvm(bytes, start) && (end - start === 3 || mmu);
}

/** Events that count without a prefix: those whose name says that they are KVM's. */
const isKvmName = (bytes: Uint8Array, at: number): boolean => isKvm(bytes, at) && bytes[at + 3] === 0x5f;

function trimEnd(bytes: Uint8Array, from: number, end: number): number {
  let i = end;
  while (i > from && isBlank(bytes[i - 1] as number)) i -= 1;
  return i;
}

function digitsBefore(bytes: Uint8Array, from: number, end: number): number {
  let i = end;
  while (i > from && isDigit(bytes[i - 1] as number)) i -= 1;
  return i;
}

function integer(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    if (!isDigit(bytes[i] as number)) return -1;
    value = value * 10 + (bytes[i] as number) - 0x30;
  }
  return to > from && value <= 0xffff_ffff ? value : -1;
}
