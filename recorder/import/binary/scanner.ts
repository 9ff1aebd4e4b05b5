/** Numbers and strings of a binary file in order, each checked against what is there before anything is allocated. */
import { ImportError } from '../errors.js';

/** Bytes by their offset. */
export interface RandomBytes {
  readonly name: string;
  readonly size: number;
  /** Fills `target` as far as there are bytes; returns how many. */
  readAt(target: Uint8Array, offset: number): number;
}

export function bytesInMemory(bytes: Uint8Array, name: string): RandomBytes {
  return {
    name,
    size: bytes.length,
    readAt(target, offset) {
      const part = bytes.subarray(offset, offset + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/** The same bytes for who asks for little at a time, mostly in order: `block` bytes are read at once. */
export function readAhead(bytes: RandomBytes, block: number): RandomBytes {
  let held = new Uint8Array(0);
  let from = 0;
  let filled = 0;
  return {
    name: bytes.name,
    size: bytes.size,
    readAt(target, offset) {
      if (target.length >= block) return bytes.readAt(target, offset);
      const at = offset - from;
      if (at < 0 || at + target.length > filled) {
        if (held.length === 0) held = new Uint8Array(block);
        from = offset;
        filled = bytes.readAt(held, offset);
      }
      const part = held.subarray(offset - from, Math.min(filled, offset - from + target.length));
      target.set(part);
      return part.length;
    },
  };
}

const WINDOW = 1 << 16;
const latin1 = new TextDecoder('latin1');

export class Scanner {
  readonly little: boolean;
  readonly end: number;
  at: number;
  readonly #source: RandomBytes;
  readonly #window: Uint8Array;
  readonly #view: DataView;
  #base = 0;
  #filled = 0;

  /** Reads [at, end) of the source. */
  constructor(source: RandomBytes, at: number, end: number, little: boolean) {
    this.#source = source;
    this.at = at;
    this.end = Math.min(end, source.size);
    this.little = little;
    this.#window = new Uint8Array(Math.max(8, Math.min(WINDOW, this.end - at)));
    this.#view = new DataView(this.#window.buffer);
  }

  get left(): number {
    return Math.max(0, this.end - this.at);
  }

  where(): string {
    return `${this.#source.name} (offset ${this.at})`;
  }

  truncated(what: string, needed: number): ImportError {
    return new ImportError('TRUNCATED', this.where(), `${what} needs ${needed} bytes, ${this.left} are left`);
  }

  corrupt(why: string): ImportError {
    return new ImportError('CORRUPT', this.where(), why);
  }

  /** Index in the window of the next `count` bytes, 8 at the most. */
  #take(count: number, what: string): number {
    if (this.left < count) throw this.truncated(what, count);
    if (this.at < this.#base || this.at + count > this.#base + this.#filled) {
      this.#base = this.at;
      this.#filled = this.#source.readAt(this.#window.subarray(0, Math.min(this.#window.length, this.left)), this.at);
      if (this.#filled < count) throw this.truncated(what, count);
    }
    this.at += count;
    return this.at - count - this.#base;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), this.little);
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), this.little);
  }

  /** A 64-bit number that counts or points, so that more than 2^53 makes no sense. */
  u64(what: string): number {
    const start = this.at;
    const value = this.big(what);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    this.at = start;
    throw this.corrupt(`${what} is ${value}`);
  }

  big(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what), this.little);
  }

  bytes(count: number, what: string): Uint8Array {
    if (this.left < count) throw this.truncated(what, count);
    const target = new Uint8Array(count);
    if (this.#source.readAt(target, this.at) < count) throw this.truncated(what, count);
    this.at += count;
    return target;
  }

  /** `count` bytes as text, up to the first NUL. */
  text(count: number, what: string): string {
    const text = latin1.decode(this.bytes(count, what));
    const end = text.indexOf('\0');
    return end < 0 ? text : text.slice(0, end);
  }

  /** A string that a NUL ends. */
  string(what: string, longest = 4096): string {
    let text = '';
    for (;;) {
      const byte = this.u8(what);
      if (byte === 0) return text;
      if (text.length >= longest) throw this.corrupt(`${what} is longer than ${longest} bytes`);
      text += String.fromCharCode(byte);
    }
  }

  skip(count: number, what: string): void {
    if (this.left < count) throw this.truncated(what, count);
    this.at += count;
  }
}
