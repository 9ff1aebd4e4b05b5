/**
 * Symbols of one file, by address. Where symbols overlap, the innermost with a size has an address; one without a size
 * reaches to the next symbol. Names are made when they are asked for.
 */

export interface SymbolAt {
  readonly name: string;
  /** Where the symbol starts, as its file says. */
  readonly start: bigint;
  /** Bytes from there to the address. */
  readonly offset: bigint;
}

/** How far a symbol without a size reaches where no other follows: asm labels at the end of a program. */
const MOST_UNSIZED = 1n << 20n;
const NOBODY = -1;

/** What a parser says of a symbol besides its address. */
export interface SymbolFacts {
  /** Bytes; 0 where the file does not say. */
  readonly size: bigint;
  /** Whether instructions lie there; others only bound those that come before. */
  readonly code: boolean;
  /** Which of several names of an address is told: the highest, then the fewest leading underscores, then the last. */
  readonly rank: number;
}

/** Takes symbols in any order. */
export class SymbolTableBuilder {
  #starts = new BigUint64Array(1024);
  #sizes = new BigUint64Array(1024);
  #ranks = new Uint8Array(1024);
  #code = new Uint8Array(1024);
  count = 0;

  /** Adds a symbol, whose index is `count` before; `start` is taken modulo 2^64. */
  add(start: bigint, { size, code, rank }: SymbolFacts): void {
    if (this.count === this.#starts.length) this.#grow();
    this.#starts[this.count] = start;
    this.#sizes[this.count] = size;
    this.#ranks[this.count] = rank;
    this.#code[this.count] = code ? 1 : 0;
    this.count += 1;
  }

  /** The table; `nameOf` gives the name of a symbol by its index. */
  build(nameOf: (index: number) => string): SymbolTable {
    const starts = this.#starts;
    const order = this.#order(nameOf);
    const code = this.#code;
    const map = new SegmentMap((symbol) => code[symbol] === 1);
    for (let i = 0; i < order.length; i++) {
      const symbol = order[i] as number;
      const start = starts[symbol] as bigint;
      const following = order[i + 1];
      const next = following === undefined ? null : (starts[following] as bigint);
      map.open(symbol, start, this.#sizes[symbol] as bigint, next);
    }
    map.finish();
    return new SymbolTable(starts.subarray(0, this.count), map, nameOf);
  }

  /** Indices by address, one an address: the symbol whose name is told. */
  #order(nameOf: (index: number) => string): Uint32Array {
    const words = new Uint32Array(this.#starts.buffer);
    const order = Uint32Array.from({ length: this.count }, (_, i) => i);
    const compare = (a: number, b: number): number =>
      (words[2 * a + 1] as number) - (words[2 * b + 1] as number) ||
      (words[2 * a] as number) - (words[2 * b] as number) ||
      a - b;
    if (!isAscending(order, compare)) order.sort(compare);
    let kept = 0;
    for (const symbol of order) {
      const last = kept === 0 ? NOBODY : (order[kept - 1] as number);
      if (last === NOBODY || this.#starts[last] !== this.#starts[symbol]) order[kept++] = symbol;
      else if (this.#better(symbol, last, nameOf)) order[kept - 1] = symbol;
    }
    return order.subarray(0, kept);
  }

  #better(a: number, b: number, nameOf: (index: number) => string): boolean {
    const sized = Number(this.#sizes[a] !== 0n) - Number(this.#sizes[b] !== 0n);
    const order =
      (this.#code[a] as number) - (this.#code[b] as number) ||
      sized ||
      (this.#ranks[a] as number) - (this.#ranks[b] as number);
    return order > 0 || (order === 0 && underscores(nameOf(a)) <= underscores(nameOf(b)));
  }

  #grow(): void {
    const grow = <T extends BigUint64Array | Uint8Array>(from: T, to: T): T => {
      to.set(from as never);
      return to;
    };
    const length = this.#starts.length * 2;
    this.#starts = grow(this.#starts, new BigUint64Array(length));
    this.#sizes = grow(this.#sizes, new BigUint64Array(length));
    this.#ranks = grow(this.#ranks, new Uint8Array(length));
    this.#code = grow(this.#code, new Uint8Array(length));
  }
}

function isAscending(order: Uint32Array, compare: (a: number, b: number) => number): boolean {
  for (let i = 1; i < order.length; i++) if (compare(i - 1, i) > 0) return false;
  return true;
}

const underscores = (name: string): number => name.length - name.replace(/^_+/, '').length;

/** Addresses cut into pieces that each belong to one symbol, or to none. */
class SegmentMap {
  readonly #starts: bigint[] = [];
  readonly #owners: number[] = [];
  readonly #isCode: (symbol: number) => boolean;
  readonly #open: { readonly symbol: number; readonly end: bigint }[] = [];

  constructor(isCode: (symbol: number) => boolean) {
    this.#isCode = isCode;
  }

  /** The next symbol by address; `next` is where the one after it starts. */
  open(symbol: number, start: bigint, size: bigint, next: bigint | null): void {
    this.#closeUntil(start);
    if (size === 0n && this.#open.length > 0) return; // a label within a function
    const limit = start + MOST_UNSIZED;
    const end = size > 0n ? start + size : next !== null && next < limit ? next : limit;
    this.#open.push({ symbol, end });
    this.#put(start, symbol);
  }

  finish(): void {
    this.#closeUntil(null);
  }

  /** The symbol at an address, or NOBODY. */
  at(address: bigint): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as bigint) <= address) low = middle + 1;
      else high = middle;
    }
    return this.#owners[low - 1] ?? NOBODY;
  }

  #closeUntil(limit: bigint | null): void {
    for (let top = this.#open.at(-1); top !== undefined && (limit === null || top.end <= limit); ) {
      const { end } = top;
      while (top !== undefined && top.end <= end) {
        this.#open.pop();
        top = this.#open.at(-1);
      }
      this.#put(end, top?.symbol ?? NOBODY);
    }
  }

  #put(at: bigint, symbol: number): void {
    const owner = symbol !== NOBODY && this.#isCode(symbol) ? symbol : NOBODY;
    if (this.#starts.at(-1) === at) this.#owners[this.#owners.length - 1] = owner;
    else {
      this.#starts.push(at);
      this.#owners.push(owner);
    }
  }
}

export class SymbolTable {
  readonly #starts: BigUint64Array;
  readonly #segments: SegmentMap;
  readonly #nameOf: (index: number) => string;

  constructor(starts: BigUint64Array, segments: SegmentMap, nameOf: (index: number) => string) {
    this.#starts = starts;
    this.#segments = segments;
    this.#nameOf = nameOf;
  }

  get count(): number {
    return this.#starts.length;
  }

  /** The symbol whose code an address lies in, or null. */
  find(address: bigint): SymbolAt | null {
    const symbol = this.#segments.at(address);
    const start = this.#starts[symbol];
    return start === undefined ? null : { name: this.#nameOf(symbol), start, offset: address - start };
  }

  /** Where a symbol of that name starts, or null. Looks at every name. */
  address(name: string): bigint | null {
    for (let i = 0; i < this.count; i++) if (this.#nameOf(i) === name) return this.#starts[i] ?? null;
    return null;
  }
}
