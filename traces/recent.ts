/** 64-bit numbers that were met lately, for who asks at each event whether its place is new: no bigint is made. */

/** A power of two. */
const SLOTS = 1024;

export class Recent {
  readonly #lows = new Int32Array(SLOTS);
  readonly #highs = new Int32Array(SLOTS);
  readonly #used = new Uint8Array(SLOTS);

  /** True where it was met and nothing took its slot since; false else, and from now on it was. */
  meet(low: number, high: number): boolean {
    low |= 0;
    high |= 0;
    const slot = (low ^ (low >>> 10)) & (SLOTS - 1);
    if (this.#used[slot] === 1 && this.#lows[slot] === low && this.#highs[slot] === high) return true;
    this.#used[slot] = 1;
    this.#lows[slot] = low;
    this.#highs[slot] = high;
    return false;
  }
}
