/**
 * What lines begin with again and again: the head before the time, which tells thread and host CPU, and the name behind it.
 * Both are known again by their bytes, which is faster than to read them.
 */
import { isBlank } from './cursor.js';
import type { EventSpec } from './events.js';

const OPEN = 0x5b; // [
/** Longer ones are read each time. */
const LONGEST = 128;
/** Heads: most lines are of the few threads that run vCPUs, each with a few flags on a few CPUs; a power of two. */
const HEADS = 16;
/** Names are looked for by three of their bytes, of which the last lies here. */
const LAST_HASHED = 9;
/** 32 less the bits of their hash. */
const NAMES = 26;

/** Who and where a line is of; positions count from its first byte. */
export interface Head {
  readonly thread: number;
  readonly process: number;
  readonly cpu: number;
  readonly taskStart: number;
  readonly taskEnd: number;
}

class Text {
  readonly bytes = new Uint8Array(LONGEST);
  length = 0;

  /** False where it is too long to be kept. */
  keep(bytes: Uint8Array, from: number, to: number): boolean {
    this.length = to - from <= LONGEST ? to - from : 0;
    for (let i = 0; i < this.length; i++) this.bytes[i] = bytes[from + i] as number;
    return this.length > 0;
  }

  isAt(bytes: Uint8Array, from: number): boolean {
    const { bytes: own, length } = this;
    for (let i = 0; i < length; i++) if (own[i] !== bytes[from + i]) return false;
    return true;
  }
}

/** A line up to its time. */
export class RecentHead implements Head {
  thread = -1;
  process = -1;
  cpu = -1;
  taskStart = 0;
  taskEnd = 0;
  readonly #text = new Text();
  /** Where threads of one process differ, and where CPUs do: the last byte before the bracket, and the last in it. */
  #thread = 0;
  #cpu = 0;

  get length(): number {
    return this.#text.length;
  }

  begins(bytes: Uint8Array, start: number, end: number): boolean {
    const text = this.#text;
    const { bytes: own, length } = text;
    if (length === 0 || start + length >= end) return false;
    if (bytes[start + this.#thread] !== own[this.#thread] || bytes[start + this.#cpu] !== own[this.#cpu]) return false;
    return text.isAt(bytes, start);
  }

  keep(bytes: Uint8Array, start: number, bracket: number, to: number, head: Head): void {
    let thread = bracket - 1;
    while (thread > start && isBlank(bytes[thread] as number)) thread -= 1;
    const isKept = thread > start && this.#text.keep(bytes, start, to);
    if (!isKept) return;
    this.#thread = thread - start;
    this.#cpu = bracket - start;
    while (this.#cpu + 1 < to - start && bytes[start + this.#cpu + 1] !== 0x5d) this.#cpu += 1;
    this.thread = head.thread;
    this.process = head.process;
    this.cpu = head.cpu;
    this.taskStart = head.taskStart - start;
    this.taskEnd = head.taskEnd - start;
  }
}

/** The heads of the lines before. */
export class RecentHeads {
  readonly #heads = Array.from({ length: HEADS }, () => new RecentHead());
  #last = 0;

  /** The head that the line [start, end) begins with, or null; a time may follow. */
  at(bytes: Uint8Array, start: number, end: number): RecentHead | null {
    const heads = this.#heads;
    for (let i = 0; i < HEADS; i++) {
      const slot = (this.#last + i) & (HEADS - 1);
      const head = heads[slot] as RecentHead;
      if (!head.begins(bytes, start, end)) continue;
      this.#last = slot;
      return head;
    }
    return null;
  }

  /** Keeps the head [start, to) with its `[` at `bracket`; one whose task has such a bracket too is read each time. */
  keep(bytes: Uint8Array, start: number, bracket: number, to: number, head: Head): void {
    for (let i = start; i < bracket; i++) if (bytes[i] === OPEN) return;
    this.#last = (this.#last + 1) & (HEADS - 1);
    this.#heads[this.#last]?.keep(bytes, start, bracket, to, head);
  }
}

/** An event's name with its group and its colon. */
export class RecentName {
  readonly #text = new Text();
  /** Where the name begins behind the group. */
  from = 0;
  spec: EventSpec | undefined = undefined;

  get length(): number {
    return this.#text.length;
  }

  stands(bytes: Uint8Array, at: number, end: number): boolean {
    const { length } = this.#text;
    return length > 0 && at + length < end && isBlank(bytes[at + length] as number) && this.#text.isAt(bytes, at);
  }

  keep(bytes: Uint8Array, at: number, name: number, to: number, spec: EventSpec | undefined): void {
    this.#text.keep(bytes, at, to);
    this.from = name - at;
    this.spec = spec;
  }
}

/** The names of the lines before. */
export class RecentNames {
  readonly #names = Array.from({ length: 1 << (32 - NAMES) }, () => new RecentName());

  /** The name that stands at `at`, or null. */
  at(bytes: Uint8Array, at: number, end: number): RecentName | null {
    if (at + LAST_HASHED >= end) return null;
    const name = this.#names[hash(bytes, at)] as RecentName;
    return name.stands(bytes, at, end) ? name : null;
  }

  /** Keeps the text [at, to), of which the name begins at `name`. */
  keep(bytes: Uint8Array, at: number, name: number, to: number, spec: EventSpec | undefined): void {
    if (at + LAST_HASHED < bytes.length) this.#names[hash(bytes, at)]?.keep(bytes, at, name, to, spec);
  }
}

function hash(bytes: Uint8Array, at: number): number {
  const some =
    (bytes[at + 4] as number) ^ ((bytes[at + 8] as number) << 8) ^ ((bytes[at + LAST_HASHED] as number) << 16);
  return Math.imul(some, 0x9e37_79b1) >>> NAMES;
}
