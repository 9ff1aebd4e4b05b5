/** Bytes in order, of which a few are in memory: from a file, from a pipe, or as they are decompressed. */
import type { ByteSource } from '../source.js';
import type { RandomBytes } from './scanner.js';

const SIZE = 1 << 20;

export class Window {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  /** The same bytes, but for up to three at the end. */
  words: Uint32Array;
  /** Bytes [start, end) have not been consumed. */
  start = 0;
  end = 0;
  /** Offset in the input of the byte at `start`. */
  offset: number;
  readonly #more: (target: Uint8Array, at: number) => number;

  /** `more` fills its target from `at` on and says how many bytes there were, 0 at the end. */
  constructor(more: (target: Uint8Array, at: number) => number, offset = 0, size = SIZE) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.words = wordsOf(this.bytes);
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
    const kept = this.bytes.subarray(this.start, this.end);
    if (count > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(count, 2 * this.bytes.length));
      bytes.set(kept);
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
      this.words = wordsOf(bytes);
    } else this.bytes.copyWithin(0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
  }
}

const wordsOf = ({ buffer }: Uint8Array<ArrayBuffer>): Uint32Array =>
  new Uint32Array(buffer, 0, buffer.byteLength >>> 2);

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
