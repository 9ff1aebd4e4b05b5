/**
 * Pages of the kernel's ring buffer, one host CPU after the other in time: page header, then records with 27 bits of time
 * since the one before. Layout: include/linux/ring_buffer.h (enum ring_buffer_type), kernel/trace/ring_buffer.c, and
 * libtraceevent's kbuffer-parse.c, whose reading of a padding's time is followed.
 */
import { later } from '../time.js';
import type { PageLayout } from './metadata.js';

const PADDING = 29;
const TIME_EXTEND = 30;
const TIME_STAMP = 31;
const COMMIT_MASK = (1 << 27) - 1;
const MISSED_EVENTS = 0x8000_0000;
const MISSED_STORED = 0x4000_0000;
/** An absolute time stamp has 59 bits; the rest stays. */
const STAMP_KEEPS = 0xf800_0000;

/** The pages of one CPU: [start, end) of `view` is the next, its length at most a page. */
export interface Pages {
  readonly view: DataView;
  readonly start: number;
  readonly end: number;
  /** Moves to the next page; false at the end. Throws ImportError where the file ends before it. */
  next(): boolean;
  /** The file ends in this page, which was told where that was found. */
  readonly cut: boolean;
  /** Where the page is, for people. */
  where(): string;
}

export class RingCursor {
  readonly cpu: number;
  readonly #pages: Pages;
  readonly #layout: PageLayout;
  readonly #little: boolean;
  readonly #damage: (where: string, why: string) => void;
  readonly #back: (low: number, high: number) => void;
  view: DataView = new DataView(new ArrayBuffer(0));
  /** The current record: its data, and its time in two halves (time.ts). */
  at = 0;
  length = 0;
  timeLow = 0;
  timeHigh = 0;
  /** Events that the kernel says are missing before the current record; -1 where it does not say how many. */
  missed = 0;
  #next = 0;
  #end = 0;
  /** Pages whose head is zeros since the last that has a record, and where the first is. */
  #blank = 0;
  #blankAt = '';

  /**
   * `damage` is told of pages that contradict themselves; the rest of such a page is skipped. `back` is told the time of
   * the current record where that of the next may be before it; elsewhere times rise.
   */
  constructor(
    cpu: number,
    pages: Pages,
    layout: PageLayout,
    little: boolean,
    damage: (where: string, why: string) => void,
    back: (low: number, high: number) => void = () => {},
  ) {
    this.cpu = cpu;
    this.#pages = pages;
    this.#layout = layout;
    this.#little = little;
    this.#damage = damage;
    this.#back = back;
  }

  where(): string {
    return this.#pages.where();
  }

  /** Moves to the next record; false at the end. */
  next(): boolean {
    const little = this.#little === true;
    const { timeLow, timeHigh } = this;
    for (;;) {
      if (this.#next + 4 > this.#end) {
        if (!this.#page()) return false;
        this.#compare(timeLow, timeHigh);
      }
      const { view } = this;
      const head = this.#next;
      if (head + 4 > this.#end) continue;
      const word = view.getUint32(head, little);
      const type = little ? word & 31 : word >>> 27;
      const delta = little ? word >>> 5 : word & COMMIT_MASK;
      if (type !== 0 && type < PADDING) {
        this.#advance(delta, 0);
        this.at = head + 4;
        this.length = type * 4;
        this.#next = this.at + this.length;
        if (this.#next > this.#end) {
          this.#broken(`a record of ${this.length} bytes`);
          continue;
        }
        return true;
      }
      if (head + 8 > this.#end) {
        if (type !== PADDING) this.#broken('a record without its second word');
        this.#next = this.#end;
        continue;
      }
      const isRecord = this.#long(type, delta, head, view.getUint32(head + 4, little));
      this.#compare(timeLow, timeHigh);
      if (isRecord) return true;
    }
  }

  /** Records with a second word; true where it is one with data. */
  #long(type: number, delta: number, head: number, word: number): boolean {
    switch (type) {
      case TIME_EXTEND:
        this.#advance((word << 27) | delta, word >>> 5);
        this.#next = head + 8;
        return false;
      case TIME_STAMP:
        this.timeLow = (word << 27) | delta;
        this.timeHigh = (this.timeHigh & STAMP_KEEPS) | (word >>> 5);
        this.#next = head + 8;
        return false;
      case PADDING:
        this.#advance(delta, 0);
        this.#next = delta === 0 ? this.#end : head + 4 + word;
        if (this.#next > this.#end) this.#broken(`a gap of ${word} bytes`);
        return false;
      default: {
        this.#advance(delta, 0);
        const length = (word - 4 + 3) & ~3;
        if (word < 4 || word > this.#end - head - 4) {
          this.#broken(`a record of ${word} bytes`);
          return false;
        }
        this.at = head + 8;
        this.length = Math.min(length, this.#end - this.at);
        this.#next = this.at + length;
        return true;
      }
    }
  }

  /** Says where time went back behind that of the current record, as it can with a page or a record of time. */
  #compare(low: number, high: number): void {
    if (later(high, low, this.timeHigh, this.timeLow)) this.#back(low, high);
  }

  #advance(low: number, high: number): void {
    const { timeLow, timeHigh } = this;
    const sum = (timeLow + low) | 0;
    const carry = later(0, low, 0, sum) ? 1 : 0;
    this.timeLow = sum;
    if ((carry | high) === 0) return;
    this.timeHigh = (timeHigh + high + carry) | 0;
    if (later(timeHigh, 0, this.timeHigh, 0)) this.#back(timeLow, timeHigh); // beyond 64 bits
  }

  #broken(why: string): void {
    if (!this.#pages.cut) this.#damage(this.where(), `${why} ends behind its page; the rest of the page is skipped`);
    this.#next = this.#end;
  }

  /** Enters the next page that has a record. */
  #page(): boolean {
    const pages = this.#pages;
    const { commitAt, commitSize, dataAt } = this.#layout;
    while (pages.next()) {
      const { view, start, end } = pages;
      const room = end - start - dataAt;
      if (room < 0) {
        if (!pages.cut) this.#damage(pages.where(), `a page of ${end - start} bytes`);
        continue;
      }
      const word = start + commitAt;
      const commit = view.getUint32(this.#little || commitSize === 4 ? word : word + 4, this.#little);
      let size = commit & COMMIT_MASK;
      if (pages.cut) size = Math.min(size, room);
      else if (size > room) {
        this.#damage(pages.where(), `a page that holds ${size} bytes where ${room} have room`);
        size = 0;
      }
      this.view = view;
      this.timeLow = view.getInt32(this.#little ? start : start + 4, this.#little);
      this.timeHigh = view.getInt32(this.#little ? start + 4 : start, this.#little);
      this.#next = start + dataAt;
      this.#end = this.#next + size;
      if ((commit | this.timeLow | this.timeHigh) === 0) this.#skipBlank();
      if ((commit & MISSED_EVENTS) !== 0) this.missed = this.#missedCount(commit, end, commitSize);
      if (size === 0) continue;
      if (this.#blank > 0) this.#tellBlank();
      return true;
    }
    return false;
  }

  /** The kernel stamps a page as its first record is written; zeros are also what fills a recording up to its end. */
  #skipBlank(): void {
    if (this.#blank === 0) this.#blankAt = this.#pages.where();
    this.#blank += 1;
  }

  /** Zeros before a page that has records are no end: a file that was not written there, or its disk lost them. */
  #tellBlank(): void {
    const what = this.#blank === 1 ? 'a page' : `${this.#blank} pages`;
    this.#damage(this.#blankAt, `${what} of zeros before pages that hold records; what was there is lost`);
    this.#blank = 0;
  }

  /** The count lies behind the data, if the page had room for it. */
  #missedCount(commit: number, end: number, longSize: number): number {
    if ((commit & MISSED_STORED) === 0 || this.#end + longSize > end) return -1;
    const low = this.view.getUint32(this.#little || longSize === 4 ? this.#end : this.#end + 4, this.#little);
    const high = longSize === 4 ? 0 : this.view.getUint32(this.#little ? this.#end + 4 : this.#end, this.#little);
    const count = high * 0x1_0000_0000 + low;
    return Number.isSafeInteger(count) && count > 0 ? count : -1;
  }
}

/** What is merged: the current item of a source, and its time in two halves (time.ts). */
export interface Timed {
  readonly timeLow: number;
  readonly timeHigh: number;
  /** Order among equal times. */
  readonly cpu: number;
  next(): boolean;
}

function before(a: Timed, b: Timed): boolean {
  const { timeHigh, timeLow } = a;
  if (timeHigh !== b.timeHigh) return timeHigh >>> 0 < b.timeHigh >>> 0;
  return timeLow === b.timeLow ? a.cpu < b.cpu : timeLow >>> 0 < b.timeLow >>> 0;
}

/** Sources in the order of time: the earliest, and a heap of the others, whose root it is compared with. */
export class Merge<T extends Timed> {
  readonly #heap: T[] = [];
  #first: T | undefined;

  constructor(sources: Iterable<T>) {
    for (const source of sources) if (source.next()) this.#heap.push(source);
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#sink(i);
    this.#first = this.#pop();
  }

  /** The source whose current item is the earliest. */
  first(): T | undefined {
    return this.#first;
  }

  /** Moves the first source on. */
  advance(): void {
    const first = this.#first;
    if (first === undefined) return;
    if (first.next() === false) {
      this.#first = this.#pop();
      return;
    }
    const heap = this.#heap;
    if (heap.length === 0) return;
    const second = heap[0] as T;
    if (!before(second, first)) return;
    this.#first = second;
    heap[0] = first;
    if (heap.length > 1) this.#sink(0);
  }

  #pop(): T | undefined {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return last;
    const [root] = heap;
    heap[0] = last;
    this.#sink(0);
    return root;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const moved = heap[from] as T;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as T, heap[child] as T)) child += 1;
      if (!before(heap[child] as T, moved)) break;
      heap[at] = heap[child] as T;
      at = child;
    }
    if (at !== from) heap[at] = moved;
  }
}
