/**
 * Whether what two runs have in common is more than chance: of few symbols any two sequences share a long subsequence.
 * The yardstick is the same alignment once one side was shuffled, stretch by stretch, which keeps what happens and
 * where and loses only the order.
 */
import { align } from './diff-align.js';

/** Stretches of the left side that are looked at, and their length. */
const STRETCHES = 8;
const LENGTH = 2048;
/** Part of what chance leaves to be found that must have been found. */
const BEYOND = 0.2;
/** Exits between two differences, on average, that need no yardstick. */
const LONG_RUN = 16;

/** An alignment of two sequences, lanes one after the other. */
export interface Matching {
  readonly left: Uint32Array;
  readonly right: Uint32Array;
  /** For each symbol of `left` its partner's index in `right`, or -1. Partners ascend. */
  readonly partner: Int32Array;
  readonly matched: number;
  readonly hunks: number;
}

/** Whether a matching is more than what sequences of these symbols have in common whatever their order. */
export function beyondChance({ left, right, partner, matched, hunks }: Matching): boolean {
  if (matched >= LONG_RUN * hunks) return true;
  const next = generator();
  let [found, chance, possible, reached] = [0, 0, 0, 0];
  for (let k = 0; k < STRETCHES; k++) {
    const from = Math.floor((Math.max(0, left.length - LENGTH) * k) / (STRETCHES - 1));
    const to = Math.min(left.length, from + LENGTH);
    const partners = partner.subarray(from, to).filter((at) => at >= 0);
    if (partners.length === 0) continue;
    const [start, end] = [partners[0] as number, (partners.at(-1) as number) + 1];
    const shuffled = right.slice(start, end);
    shuffle(shuffled, next);
    found += partners.length;
    chance += align(left.subarray(from, to), shuffled).matched;
    possible += Math.min(to - from, end - start);
    reached += end - start;
  }
  // Symbols of one kind match in any order; then being close together is all that can be said for them.
  if (chance >= possible) return found >= possible && 2 * found >= reached;
  return found - chance >= BEYOND * (possible - chance);
}

function shuffle(symbols: Uint32Array, next: (below: number) => number): void {
  for (let i = symbols.length - 1; i > 0; i--) {
    const j = next(i + 1);
    const symbol = symbols[i] as number;
    symbols[i] = symbols[j] as number;
    symbols[j] = symbol;
  }
}

/** The same numbers in every comparison, so that equal questions get equal answers: xorshift (Marsaglia, 2003). */
function generator(): (below: number) => number {
  let state = 0x2545_f491;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 0x1_0000_0000) * below);
  };
}
