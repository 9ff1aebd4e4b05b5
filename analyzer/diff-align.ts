/**
 * Alignment of two sequences of symbols: Myers, "An O(ND) Difference Algorithm and Its Variations" (Algorithmica,
 * 1986), the greedy forward form. Up to EXACT differences the result is a shortest one. Beyond, it goes on in steps:
 * the best path so far is followed half its way, and where that path finds little in common, a block that came or went
 * is looked for as a whole. Time is bounded by the length of the sequences, and equal runs cost one pass.
 */

/** Differences up to which a shortest alignment is found: its trace takes EXACT^2 / 2 words. */
export const EXACT = 4096;
/** Differences looked ahead beyond that. */
const STRIDE = 512;
const LEAST_STRIDE = 64;
/** Symbols that must agree for a block to count as found again, and how often a block is looked for. */
const GRAM = 48;
const SEARCHES = 64;

export interface Alignment {
  /** For each symbol of `a` its partner's index in `b`, or -1. Partners ascend. */
  readonly partner: Int32Array;
  readonly matched: number;
  /** True where no alignment has fewer differences. */
  readonly exact: boolean;
}

/** Two sequences, and the rectangle [i, n) x [j, m) that is still to be aligned. */
class Aligner {
  readonly #a: Uint32Array;
  readonly #b: Uint32Array;
  readonly partner: Int32Array;
  matched = 0;
  #i = 0;
  #j = 0;
  #n: number;
  #m: number;
  /** Furthest x on each diagonal; -1 where no path got to. */
  readonly #furthest = new Int32Array(2 * EXACT + 5);
  /** The same after each difference d: d + 1 diagonals from d * (d + 1) / 2 on. */
  #trace = new Int32Array(1 << 12);
  #searches = 0;
  #stride = STRIDE;

  constructor(a: Uint32Array, b: Uint32Array) {
    this.#a = a;
    this.#b = b;
    this.#n = a.length;
    this.#m = b.length;
    this.partner = new Int32Array(a.length).fill(-1);
  }

  /** Aligns all; true where the result is a shortest one. */
  run(): boolean {
    this.#skipEqual();
    while (this.#n > this.#i && this.#m > this.#j && this.#a[this.#n - 1] === this.#b[this.#m - 1]) {
      this.#n -= 1;
      this.#m -= 1;
      this.partner[this.#n] = this.#m;
      this.matched += 1;
    }
    if (this.#search(EXACT)) return true;
    while (this.#i < this.#n && this.#j < this.#m && !this.#search(this.#stride)) this.#step();
    return false;
  }

  #skipEqual(): void {
    while (this.#i < this.#n && this.#j < this.#m && this.#a[this.#i] === this.#b[this.#j]) {
      this.partner[this.#i] = this.#j;
      this.matched += 1;
      this.#i += 1;
      this.#j += 1;
    }
  }

  /** Looks for a path with at most `most` differences to the far corner; true where there was one, now matched. */
  #search(most: number): boolean {
    const width = this.#n - this.#i;
    const height = this.#m - this.#j;
    const limit = Math.min(most, width + height);
    const furthest = this.#furthest;
    const centre = EXACT + 2;
    for (let d = 0; d <= limit; d++) {
      const base = (d * (d + 1)) / 2;
      if (base + d >= this.#trace.length) this.#grow();
      furthest[centre - d - 1] = -1;
      furthest[centre + d + 1] = -1;
      for (let k = -d; k <= d; k += 2) {
        let x = 0;
        if (d > 0) x = enter(furthest[centre + k - 1] as number, furthest[centre + k + 1] as number, k, width, height);
        if (x >= 0) x = this.#slide(x, k, width, height);
        furthest[centre + k] = x;
        this.#trace[base + (k + d) / 2] = x;
        if (x === width && x - k === height) {
          this.#follow(d, k);
          return true;
        }
      }
    }
    return false;
  }

  /** End of the run of equal symbols that starts at x on diagonal k. */
  #slide(from: number, k: number, width: number, height: number): number {
    const a = this.#a;
    const b = this.#b;
    const last = Math.min(width, height + k);
    let x = from;
    for (let p = this.#i + x, q = this.#j + x - k; x < last && a[p] === b[q]; x++, p++, q++);
    return x;
  }

  /**
   * After a search in vain: half way along the path that got furthest, or past a block that came or went. Where little
   * agrees, looking far is of no use: the stride shrinks, and grows again where the runs agree.
   */
  #step(): void {
    const stride = this.#stride;
    let best = -stride;
    for (let k = -stride; k <= stride; k += 2) if (this.#reach(stride, k) > this.#reach(stride, best)) best = k;
    let k = best;
    const half = stride / 2;
    for (let d = stride; d > half; d--) k = this.#previous(d, k);
    const common = (this.#reach(half, k) - half) / 2;
    const poor = common < 2 * half;
    if (poor && this.#skipBlock()) return;
    this.#stride = poor ? Math.max(LEAST_STRIDE, half) : Math.min(STRIDE, 2 * stride);
    const x = this.#at(half, k);
    this.#follow(half, k);
    this.#i += x;
    this.#j += x - k;
  }

  /** Symbols of both sides behind the path on diagonal k after d differences. */
  #reach(d: number, k: number): number {
    const x = this.#at(d, k);
    return x < 0 ? -1 : 2 * x - k;
  }

  #at(d: number, k: number): number {
    return k < -d || k > d ? -1 : (this.#trace[(d * (d + 1)) / 2 + (k + d) / 2] as number);
  }

  /** Diagonal from which the path came to diagonal k with difference d. */
  #previous(d: number, k: number): number {
    const left = this.#at(d - 1, k - 1);
    const above = this.#at(d - 1, k + 1);
    const x = enter(left, above, k, this.#n - this.#i, this.#m - this.#j);
    return x === above ? k + 1 : k - 1;
  }

  /** Matches the runs of the path that ends on diagonal k after d differences. */
  #follow(d: number, k: number): void {
    let diagonal = k;
    for (let e = d; e >= 0; e--) {
      const end = this.#at(e, diagonal);
      const from = e === 0 ? diagonal : this.#previous(e, diagonal);
      const start = e === 0 ? 0 : this.#at(e - 1, from) + (from < diagonal ? 1 : 0);
      for (let x = start; x < end; x++) this.partner[this.#i + x] = this.#j + x - diagonal;
      this.matched += end - start;
      diagonal = from;
    }
  }

  /** Looks for what comes next on one side further on in the other; true where it was found and skipped to. */
  #skipBlock(): boolean {
    if (this.#searches >= SEARCHES) return false;
    this.#searches += 1;
    const came = find(this.#b, this.#j, this.#m, this.#a, this.#i, this.#n);
    const gone = find(this.#a, this.#i, this.#n, this.#b, this.#j, this.#m);
    if (came < 0 && gone < 0) return false;
    if (gone < 0 || (came >= 0 && came - this.#j <= gone - this.#i)) this.#j = came;
    else this.#i = gone;
    this.#skipEqual();
    return true;
  }

  #grow(): void {
    const grown = new Int32Array(this.#trace.length * 2);
    grown.set(this.#trace);
    this.#trace = grown;
  }
}

/** Where a path enters diagonal k: by a step right from k - 1 or down from k + 1, whichever gets further; -1: by none. */
function enter(left: number, above: number, k: number, width: number, height: number): number {
  const right = left >= 0 && left < width ? left + 1 : -1;
  const down = above >= 0 && above - k <= height ? above : -1;
  return Math.max(right, down);
}

/** First position in [from, to) of `hay` where the GRAM symbols of `needle` at `at` stand; -1 where they do not. */
function find(hay: Uint32Array, from: number, to: number, needle: Uint32Array, at: number, end: number): number {
  if (end - at < GRAM || to - from < GRAM) return -1;
  let wanted = 0;
  let rolling = 0;
  let power = 1;
  for (let k = 0; k < GRAM; k++) {
    wanted = (Math.imul(wanted, BASE) + (needle[at + k] as number)) | 0;
    rolling = (Math.imul(rolling, BASE) + (hay[from + k] as number)) | 0;
    if (k > 0) power = Math.imul(power, BASE);
  }
  for (let p = from; ; p++) {
    if (rolling === wanted && same(hay, p, needle, at)) return p;
    if (p + GRAM >= to) return -1;
    rolling = (rolling - Math.imul(hay[p] as number, power)) | 0;
    rolling = (Math.imul(rolling, BASE) + (hay[p + GRAM] as number)) | 0;
  }
}

const BASE = 0x01000193;

function same(hay: Uint32Array, p: number, needle: Uint32Array, at: number): boolean {
  for (let k = 0; k < GRAM; k++) if (hay[p + k] !== needle[at + k]) return false;
  return true;
}

/** Aligns two sequences. */
export function align(a: Uint32Array, b: Uint32Array): Alignment {
  const aligner = new Aligner(a, b);
  const exact = aligner.run();
  return { partner: aligner.partner, matched: aligner.matched, exact };
}

/** An upper bound of what two sequences can have in common: symbols in both, whatever their order. */
export function commonSymbols(a: Uint32Array, b: Uint32Array, symbols: number): number {
  const counts = new Uint32Array(symbols);
  for (const symbol of a) counts[symbol] = (counts[symbol] as number) + 1;
  let common = 0;
  for (const symbol of b) {
    const left = counts[symbol] as number;
    if (left === 0) continue;
    counts[symbol] = left - 1;
    common += 1;
  }
  return common;
}
