/** A hash table from three 32-bit words to a dense index, without objects: one slot a key, open addressing. */
export class WordTable {
  #slots = new Int32Array(1 << 10).fill(-1);
  #mask = this.#slots.length - 1;
  #a = new Uint32Array(1 << 9);
  #b = new Uint32Array(1 << 9);
  #c = new Uint32Array(1 << 9);
  size = 0;

  /** Index of a key, which is added where it is new. */
  index(a: number, b: number, c: number): number {
    let slot = mix(a, b, c) & this.#mask;
    for (;;) {
      const at = this.#slots[slot] as number;
      if (at < 0) break;
      if (this.#a[at] === a && this.#b[at] === b && this.#c[at] === c) return at;
      slot = (slot + 1) & this.#mask;
    }
    if (this.size === this.#a.length) {
      this.#grow();
      return this.index(a, b, c);
    }
    const at = this.size++;
    this.#slots[slot] = at;
    this.#a[at] = a;
    this.#b[at] = b;
    this.#c[at] = c;
    return at;
  }

  /** Index of a key, or -1 where it is none. */
  find(a: number, b: number, c: number): number {
    let slot = mix(a, b, c) & this.#mask;
    for (;;) {
      const at = this.#slots[slot] as number;
      if (at < 0 || (this.#a[at] === a && this.#b[at] === b && this.#c[at] === c)) return at;
      slot = (slot + 1) & this.#mask;
    }
  }

  #grow(): void {
    this.#a = doubled(this.#a);
    this.#b = doubled(this.#b);
    this.#c = doubled(this.#c);
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    this.#mask = this.#slots.length - 1;
    for (let at = 0; at < this.size; at++) {
      let slot = mix(this.#a[at] as number, this.#b[at] as number, this.#c[at] as number) & this.#mask;
      while ((this.#slots[slot] as number) >= 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = at;
    }
  }
}

/** Finalizer of MurmurHash3 over the three words. */
function mix(a: number, b: number, c: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function doubled(words: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(words.length * 2);
  grown.set(words);
  return grown;
}

/** Numbers in one growing column. */
export class Numbers {
  #cells = new Float64Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#cells.length) {
      const grown = new Float64Array(this.#cells.length * 2);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    this.#cells[this.length++] = value;
  }

  /** A sorted copy. */
  ascending(): Float64Array {
    return this.#cells.slice(0, this.length).sort();
  }
}
