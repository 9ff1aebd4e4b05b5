/**
 * Cells of a profile: exits that agree in everything that a profile can tell apart. Each is a dense index with eight
 * words, found by a hash table without objects. The words are what the index file stores.
 */

/** Words of a cell, in this order. `what` packs level, sub-key kind, architecture and marks as WHAT says. */
export const CELL = {
  lane: 0,
  what: 1,
  reasonLow: 2,
  reasonHigh: 3,
  keyLow: 4,
  keyHigh: 5,
  ripLow: 6,
  ripHigh: 7,
} as const;
export const CELL_WORDS = 8;

/** Bits of `what`: 31:16 level, 15:8 kind and direction of the sub-key (keys.ts), 5:4 architecture, then marks. */
export const WHAT = { failed: 1, hasRip: 2, reflected: 4 } as const;

export const packWhat = (level: number, tag: number, isa: number, marks: number): number =>
  ((level << 16) | (tag << 8) | (isa << 4) | marks) >>> 0;

export const levelIn = (what: number): number => what >>> 16;
export const tagIn = (what: number): number => (what >>> 8) & 0xff;
export const isaIn = (what: number): number => (what >>> 4) & 3;

/** One cell, read from its words. */
export interface Cell {
  readonly lane: number;
  readonly level: number;
  /** 1 VMX, 2 SVM, 0 unknown. */
  readonly isa: number;
  readonly failed: boolean;
  /** An exit of a nested guest that L0 handed on to L1. */
  readonly reflected: boolean;
  readonly reason: bigint;
  readonly tag: number;
  readonly key: bigint;
  readonly rip: bigint | null;
}

const wide = (words: Uint32Array, low: number): bigint =>
  (BigInt(words[low + 1] as number) << 32n) | BigInt(words[low] as number);

export function readCell(words: Uint32Array, index: number): Cell {
  const at = index * CELL_WORDS;
  const what = words[at + CELL.what] as number;
  return {
    lane: words[at + CELL.lane] as number,
    level: levelIn(what),
    isa: isaIn(what),
    failed: (what & WHAT.failed) !== 0,
    reflected: (what & WHAT.reflected) !== 0,
    reason: wide(words, at + CELL.reasonLow),
    tag: tagIn(what),
    key: wide(words, at + CELL.keyLow),
    rip: (what & WHAT.hasRip) === 0 ? null : wide(words, at + CELL.ripLow),
  };
}

export class CellTable {
  #slots = new Int32Array(1 << 11).fill(-1);
  #mask = this.#slots.length - 1;
  #words = new Uint32Array((1 << 10) * CELL_WORDS);
  size = 0;

  /** The words of all cells. */
  get words(): Uint32Array {
    return this.#words.slice(0, this.size * CELL_WORDS);
  }

  /** Index of the cell with these words, which is added where it is new. */
  index(key: Uint32Array): number {
    let slot = this.#hash(key, 0) & this.#mask;
    for (;;) {
      const index = this.#slots[slot] as number;
      if (index < 0) break;
      if (this.#same(index, key)) return index;
      slot = (slot + 1) & this.#mask;
    }
    if (this.size * CELL_WORDS === this.#words.length) {
      this.#grow();
      return this.index(key);
    }
    this.#words.set(key, this.size * CELL_WORDS);
    this.#slots[slot] = this.size;
    this.size += 1;
    return this.size - 1;
  }

  /** Index of the cell with these words, or -1. */
  find(key: Uint32Array): number {
    for (let slot = this.#hash(key, 0) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const index = this.#slots[slot] as number;
      if (index < 0 || this.#same(index, key)) return index;
    }
  }

  #same(index: number, key: Uint32Array): boolean {
    const words = this.#words;
    const at = index * CELL_WORDS;
    for (let i = 0; i < CELL_WORDS; i++) if (words[at + i] !== key[i]) return false;
    return true;
  }

  /**
   * Multilinear hashing, whose products do not wait for one another, by odd words of SHA-256's K; then the finalizer of
   * MurmurHash3, as the best bits of a sum of products are the upper ones.
   */
  #hash(words: Uint32Array, at: number): number {
    let h =
      (Math.imul(words[at] as number, 0x71374491) +
        Math.imul(words[at + 1] as number, 0xb5c0fbcf) +
        Math.imul(words[at + 2] as number, 0xe9b5dba5) +
        Math.imul(words[at + 3] as number, 0x3956c25b) +
        Math.imul(words[at + 4] as number, 0x59f111f1) +
        Math.imul(words[at + 5] as number, 0xab1c5ed5) +
        Math.imul(words[at + 6] as number, 0x12835b01) +
        Math.imul(words[at + 7] as number, 0x550c7dc3)) |
      0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }

  #grow(): void {
    const grown = new Uint32Array(this.#words.length * 2);
    grown.set(this.#words);
    this.#words = grown;
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    this.#mask = this.#slots.length - 1;
    for (let index = 0; index < this.size; index++) {
      let slot = this.#hash(this.#words, index * CELL_WORDS) & this.#mask;
      while ((this.#slots[slot] as number) >= 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = index;
    }
  }
}
