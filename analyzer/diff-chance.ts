/**
 * Whether what two runs have in common is more than chance: of few symbols any two sequences share a long subsequence.
 * The yardstick is the same alignment once one side was shuffled, which keeps what happens and loses only the order. Of
 * long runs it is taken stretch by stretch; of short ones, where a single shuffle says little, it is a permutation test
 * (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 3rd edition, 3.2) at a level that is kept exactly
 * for runs whose exits come in any order alike.
 */
import { align, commonSymbols } from './diff-align.js';

/** Stretches of the left side that are looked at. */
const STRETCHES = 8;

/** How stretches are looked at, and how much more than chance must have been found in them. */
interface Look {
  /** Exits of a stretch; a shuffle costs the square of them. */
  readonly length: number;
  /** Part of what chance leaves to be found. */
  readonly beyond: number;
  /** Standard deviations, taken from as many stretches. */
  readonly deviations: number;
}

/** Student's t of 0.1 % for as many stretches. */
const CLOSE: Look = { length: 2048, beyond: 0.2, deviations: 5 };
/** Most related runs are so much alike that a look at less, by a stricter measure, settles it. */
const QUICK: Look = { length: 512, beyond: 0.6, deviations: 10 };

/** Runs with at most this many exits, the shorter one, are short. */
const SHORT = 256;
/** Exits of the longer one that are looked at, and how many times longer it may be to be looked at as a whole. */
const MOST = 1024;
const WIDER = 2;
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
  const { left, right, hunks } = matching;
  if (hunks === 0 || areOfOneKind(left, right)) return 'related';
  if (Math.min(left.length, right.length) <= SHORT) return ofShort(matching);
  return isBeyond(matching) ? 'related' : 'unrelated';
}

/** Symbols of one kind match in any order. */
function areOfOneKind(left: Uint32Array, right: Uint32Array): boolean {
  const [symbol] = left;
  return left.every((each) => each === symbol) && right.every((each) => each === symbol);
}

const isBeyond = (matching: Matching): boolean => isMore(matching, QUICK) || isMore(matching, CLOSE);

/** Compares each stretch with a shuffle of itself: what is found must be more by far, and by more than shuffles vary. */
function isMore({ left, right, partner }: Matching, { length, beyond: part, deviations }: Look): boolean {
  const next = generator();
  const beyond: number[] = [];
  let [found, chance, possible] = [0, 0, 0];
  for (let k = 0; k < STRETCHES; k++) {
    const from = Math.floor((Math.max(0, left.length - length) * k) / (STRETCHES - 1));
    const to = Math.min(left.length, from + length);
    const partners = partner.subarray(from, to).filter((at) => at >= 0);
    if (partners.length === 0) continue;
    const [start, end] = [partners[0] as number, (partners.at(-1) as number) + 1];
    const shuffled = right.slice(start, end);
    shuffle(shuffled, next);
    const { matched } = align(left.subarray(from, to), shuffled);
    found += partners.length;
    chance += matched;
    possible += Math.min(to - from, end - start);
    beyond.push(partners.length - matched);
  }
  const mean = (found - chance) / Math.max(1, beyond.length);
  const variance = beyond.reduce((sum, each) => sum + (each - mean) ** 2, 0) / Math.max(1, beyond.length - 1);
  // stretches of a run that is hardly longer than one are the same exits over and over
  const spread = left.length >= STRETCHES * length ? Math.sqrt(variance / beyond.length) : Math.sqrt(variance);
  return found > chance && found - chance >= part * (possible - chance) && mean >= deviations * spread;
}

/** Compares with as many shuffles as the level takes. */
function ofShort(matching: Matching): Relation {
  const looked = lookedAt(matching);
  if (looked === null) return isBeyond(matching) ? 'related' : 'unrelated';
  const { left, right, found } = looked;
  const common = commonSymbols(left, right, Math.max(...left, ...right) + 1);
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
  if (asGood === 0 && found - chance >= CLOSE.beyond * (common - chance)) return 'related';
  return asGood > UNCLEAR ? 'unrelated' : 'too short';
}

/**
 * What of two runs a permutation test looks at: of a longer one only the part where the shorter one was found, for a short
 * run can be picked out of any long one. Null where that part is too long to be told from it.
 */
function lookedAt({ left, right, partner }: Matching): (Pick<Matching, 'left' | 'right'> & { found: number }) | null {
  const longer = Math.max(left.length, right.length);
  if (longer <= WIDER * Math.min(left.length, right.length)) return { left, right, found: align(left, right).matched };
  const from = partner.findIndex((at) => at >= 0);
  if (from < 0) return null;
  const to = partner.findLastIndex((at) => at >= 0);
  const part = {
    left: left.subarray(from, to + 1),
    right: right.subarray(partner[from], (partner[to] ?? 0) + 1),
  };
  if (Math.max(part.left.length, part.right.length) > MOST) return null;
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
