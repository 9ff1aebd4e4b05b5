/** Numbers that look random and are the same in every run: each case of each seed has its own. */

export interface Random {
  /** A whole number from 0 to `count` - 1. */
  below(count: number): number;
  /** One of a list that has some. */
  pick<T>(list: readonly T[]): T;
}

/** Mixes two numbers into 32 bits (the finaliser of MurmurHash3). */
function mix(seed: number, other: number): number {
  let state = Math.imul(seed ^ Math.imul(other + 0x9e37_79b9, 0x85eb_ca6b), 0xc2b2_ae35);
  state = Math.imul(state ^ (state >>> 16), 0x85eb_ca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2_ae35);
  return (state ^ (state >>> 16)) >>> 0;
}

/** The numbers of one case (mulberry32). */
export function randomOf(seed: number, run: number): Random {
  let state = mix(seed, run);
  const below = (count: number): number => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return Math.floor((((word ^ (word >>> 14)) >>> 0) / 0x1_0000_0000) * count);
  };
  return { below, pick: <T>(list: readonly T[]): T => list[below(list.length)] as T };
}
