/** Bytes in order, of which a few are in memory: from a file, from a pipe, or as they are decompressed. */
import type { ByteSource } from '../source.js';
import type { RandomBytes } from './scanner.js';

const SIZE = 1 << 20;
/** Consumed bytes that are kept at the most. */
const MOST_KEPT = 4 << 20;

/** Who still needs bytes that were consumed. */
export interface Keeper {
  /** Offset in the input of the first byte that it needs; Infinity where it needs none. */
  readonly first: number;
  /** From now on it must do without them. */
  release(): void;
}

export class Window {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  /** Bytes [start, end) have not been consumed. */
  start = 0;
  end = 0;
  /** Offset in the input of the byte at `start`. */
  offset: number;
  keeper: Keeper | null = null;
  readonly #more: (target: Uint8Array, at: number) => number;

  /** `more` fills its target from `at` on and says how many bytes there were, 0 at the end. */
  constructor(more: (target: Uint8Array, at: number) => number, offset = 0, size = SIZE) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.#more = more;
    this.offset = offset;
  }

  get left(): number {
    return this.end - this.start;
  }

  /** True if the next `count` bytes are in memory, reading them if need be. */
  ensure(count: number): boolean {
    if (this.end - this.start >= count) return true;
    this.#make(Math.min(count, SIZE));
    while (this.end - this.start < count) {
      // what a file says of its size is believed only as far as bytes have come
      if (this.end === this.bytes.length) this.#make(Math.min(count, 2 * this.left));
      const got = this.#more(this.bytes, this.end);
      if (got === 0) return false;
      this.end += got;
    }
    return true;
  }

  consume(count: number): void {
    this.start += count;
    this.offset += count;
  }

  /** Passes over bytes without keeping them; false where the input ends before. */
  skip(count: number): boolean {
    let rest = count;
    while (rest > 0) {
      if (this.left === 0 && !this.ensure(1)) return false;
      const part = Math.min(rest, this.left);
      this.consume(part);
      rest -= part;
    }
    return true;
  }

  /** Adds bytes at the end. */
  push(bytes: Uint8Array): void {
    this.#make(this.left + bytes.length);
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  /** Makes room for `count` bytes from `start` on. */
  #make(count: number): void {
    if (this.start + count <= this.bytes.length) return;
    const first = this.#first();
    const before = this.start - first;
    // what is kept must not be moved again for every few bytes
    if (before + count > this.bytes.length || 2 * before > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(before + count, 2 * this.bytes.length));
      bytes.set(this.bytes.subarray(first, this.end));
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    } else this.bytes.copyWithin(0, first, this.end);
    this.end -= first;
    this.start = before;
  }

  /** Index of the first byte that stays. */
  #first(): number {
    const { start, keeper } = this;
    if (keeper === null) return start;
    const first = keeper.first - this.offset + start;
    if (first >= start) return start;
    if (start - first <= MOST_KEPT) return first;
    keeper.release();
    return start;
  }
}

export const pipeWindow = (source: ByteSource): Window => new Window((target, at) => source.read(target, at));

/** Window over bytes [from, to) of a file. */
export function fileWindow(file: RandomBytes, from: number, to: number): Window {
  let position = from;
  const more = (target: Uint8Array, at: number): number => {
    const wanted = Math.max(0, Math.min(target.length - at, to - position));
    const got = wanted === 0 ? 0 : file.readAt(target.subarray(at, at + wanted), position);
    position += got;
    return got;
  };
  return new Window(more, from, Math.max(8, Math.min(SIZE, to - from)));
}
