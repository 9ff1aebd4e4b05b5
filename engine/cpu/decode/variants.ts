/**
 * What instructions at places of modified code were before: code that rewrites itself mostly alternates between few
 * opcodes and changes immediates. A variant is a whole record; it serves again where the bytes are the same but for the
 * immediate, because what comes before the immediate decides how an instruction is decoded.
 */
import { R, RECORD_BYTES } from '../insn.js';

export interface ImmediatePlace {
  /** From the instruction's first byte. */
  readonly offset: number;
  /** 0, 1, 2, 4 or 8 bytes. */
  readonly size: number;
}

interface Variant {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly immediate: ImmediatePlace;
}

/** Variants of one place. */
const MOST = 8;

export class VariantCache {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #places = new Map<number, Variant[]>();

  constructor(buffer: ArrayBuffer) {
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
  }

  clear(): void {
    this.#places.clear();
  }

  /** Keeps the record of a place, which was decoded from its bytes just now. */
  keep(place: number, record: number, immediate: ImmediatePlace): void {
    const variants = this.#places.get(place) ?? [];
    if (variants.length === MOST) variants.shift();
    const length = this.#view.getUint8(record + R.length);
    const bytes = this.#bytes.slice(record, record + RECORD_BYTES);
    variants.push({ words: new Uint32Array(bytes.buffer), bytes, length, immediate });
    this.#places.set(place, variants);
  }

  /** Makes the record of a place from what is kept, if that fits its length and the bytes at `code` in linear memory. */
  restore(place: number, record: number, code: number): boolean {
    const variants = this.#places.get(place);
    if (!variants) return false;
    const length = this.#view.getUint8(record + R.length);
    for (const variant of variants) {
      if (variant.length !== length || !this.#fits(variant, code)) continue;
      // Loops, because `set` and `copyWithin` cost more than so few bytes.
      const { words } = variant;
      for (let i = 0; i < RECORD_BYTES / 4; i++) this.#words[(record >>> 2) + i] = words[i] ?? 0;
      for (let i = 0; i < length; i++) this.#bytes[record + R.bytes + i] = this.#bytes[code + i] ?? 0;
      if (variant.immediate.size > 0)
        this.#setImmediate(record, code + variant.immediate.offset, variant.immediate.size);
      return true;
    }
    return false;
  }

  #fits({ bytes, length, immediate }: Variant, code: number): boolean {
    const end = immediate.offset + immediate.size;
    for (let i = 0; i < length; i++) {
      if (i >= immediate.offset && i < end) continue;
      if (bytes[R.bytes + i] !== this.#bytes[code + i]) return false;
    }
    return true;
  }

  /** Immediates are kept sign-extended to 64 bits. */
  #setImmediate(record: number, at: number, size: number): void {
    const view = this.#view;
    const low = size === 1 ? view.getInt8(at) : size === 2 ? view.getInt16(at, true) : view.getInt32(at, true);
    view.setInt32(record + R.immediate, low, true);
    view.setInt32(record + R.immediate + 4, size === 8 ? view.getInt32(at + 4, true) : low >> 31, true);
  }
}
