/**
 * Whether what two runs have in common is more than chance: of few symbols any two sequences share a long subsequence.
 * The yardstick is the same alignment once one side was shuffled, which keeps what happens and loses only the order. Of
 * long runs it is taken stretch by stretch; of short ones, where a single shuffle says little, it is a permutation test
 * (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 3rd edition, 3.2) at a level that is kept exactly
 * for runs whose exits come in any order alike.
 */
import { align, commonSymbols } from './diff-align.js';

/** Stretches of the left side that are looked at, and their length. */
const STRETCHES = 8;
const LENGTH = 2048;
/** Part of what chance leaves to be found that must have been found. */
const BEYOND = 0.2;
/** Exits between two differences, on average, that need no yardstick in long runs. */
const LONG_RUN = 16;

/** Runs with at most this many exits, the shorter one, are short; of the other this many times as much is looked at. */
const SHORT = 512;
const WIDER = 4;
/** How often two runs without anything in common may count as related. */
export const LEVEL = 0.01;
/** Ways to match that are tried one after the other, which share the level. */
const TRIES = 3;
/** Shuffles of which none may do as well as the runs: a chance of 1 in SHUFFLES + 1. */
const SHUFFLES = Math.ceil(TRIES / LEVEL) - 1;
/** With more of them that do as well, runs look as chance makes them; with fewer, they are too short to tell. */
const UNCLEAR = 0.1 * (SHUFFLES + 1);
/** Shuffles after which that is clear. */
const ENOUGH = 99;

/** What the order of two runs says. */
export type Relation = 'related' | 'unrelated' | 'too short';

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
export function relationOf(matching: Matching): Relation {
  const { left, right, matched, hunks } = matching;
  if (hunks === 0) return 'related';
  if (Math.min(left.length, right.length) <= SHORT) return ofShort(matching);
  return matched >= LONG_RUN * hunks || isBeyond(matching) ? 'related' : 'unrelated';
}

/** Compares with one shuffle of each stretch. */
function isBeyond({ left, right, partner }: Matching): boolean {
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

/** Compares with as many shuffles as the level takes. */
function ofShort(matching: Matching): Relation {
  const looked = lookedAt(matching);
  if (looked === null) return 'too short';
  const { left, right, found } = looked;
  const common = commonSymbols(left, right, Math.max(...left, ...right) + 1);
  // symbols of one kind match in any order
  if (new Set([...left, ...right]).size === 1) return 'related';
  const next = generator();
  const shuffled = right.slice();
  let [asGood, perfect, sum] = [0, 0, 0];
  for (let k = 1; k <= SHUFFLES; k++) {
    shuffle(shuffled, next);
    const { matched } = align(left, shuffled);
    sum += matched;
    if (matched >= found) asGood += 1;
    if (matched >= common) perfect += 1;
    if (perfect > 0 && asGood > 0) return 'too short';
    if (k >= ENOUGH && asGood > UNCLEAR) return 'unrelated';
  }
  const chance = sum / SHUFFLES;
  if (asGood === 0 && found - chance >= BEYOND * (common - chance)) return 'related';
  return asGood > UNCLEAR ? 'unrelated' : 'too short';
}

/** What of two runs a permutation test can afford, and what they have in common; null where they lie too far apart. */
function lookedAt({ left, right, partner }: Matching): (Pick<Matching, 'left' | 'right'> & { found: number }) | null {
  const most = WIDER * SHORT;
  if (Math.max(left.length, right.length) <= most) return { left, right, found: align(left, right).matched };
  const from = partner.findIndex((at) => at >= 0);
  const to = partner.findLastIndex((at) => at >= 0) + 1;
  const part = {
    left: left.subarray(from, to),
    right: right.subarray(partner[from], (partner[to - 1] ?? 0) + 1),
  };
  if (from < 0 || Math.max(part.left.length, part.right.length) > most) return null;
  // that its ends match is how the part was chosen
  return { ...part, found: align(part.left, part.right).matched - 2 };
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
