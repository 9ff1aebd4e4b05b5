/** Sorts durations: whole numbers, most of them below 2^32, by the digits that they have. */

/** Bits of a digit, and the digits of 32 bits. */
const DIGIT = 11;
const BUCKETS = 1 << DIGIT;
const DIGITS = 3;
/** Of fewer values, what the counting of digits costs is more than it saves. */
const FEW = 1024;

/**
 * Sorts in place, ascending. Radix sort on 32 bits, least significant digit first; values that have more bits, or are not
 * whole, are left to the library's sort, which takes six times as long.
 */
export class DurationSorter {
  /** The values as words, once more by their next digit, and for each digit how many words have it. */
  readonly #words: Uint32Array;
  readonly #others: Uint32Array;
  readonly #counts: Uint32Array;

  /** `longest`: of what is sorted at once, the most values. */
  constructor(longest: number) {
    const room = longest < FEW ? 0 : longest;
    this.#words = new Uint32Array(room);
    this.#others = new Uint32Array(room);
    this.#counts = new Uint32Array(room === 0 ? 0 : DIGITS * BUCKETS);
  }

  sort(values: Float64Array): void {
    if (values.length < FEW || !this.#fill(values)) {
      values.sort();
      return;
    }
    let from = this.#words.subarray(0, values.length);
    let to = this.#others.subarray(0, values.length);
    for (let digit = 0; digit < DIGITS; digit++) {
      const places = this.#counts.subarray(digit * BUCKETS, (digit + 1) * BUCKETS);
      if (places.includes(values.length)) continue; // all agree in it
      sumUp(places);
      scatter(from, to, digit * DIGIT, places);
      [from, to] = [to, from];
    }
    values.set(from);
  }

  /**
   * Takes the values as words of 32 bits, and counts their digits, those of each digit behind those of the one before;
   * false where a value is no such word.
   */
  #fill(values: Float64Array): boolean {
    const words = this.#words;
    const counts = this.#counts.fill(0);
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      words[i] = value;
      const word = words[i] as number;
      if (word !== value) return false;
      const low = word & (BUCKETS - 1);
      const middle = BUCKETS + ((word >>> DIGIT) & (BUCKETS - 1));
      const high = 2 * BUCKETS + (word >>> (2 * DIGIT));
      counts[low] = (counts[low] as number) + 1;
      counts[middle] = (counts[middle] as number) + 1;
      counts[high] = (counts[high] as number) + 1;
    }
    return true;
  }
}

/** Sorts values at once, and alone. */
export const sortDurations = (values: Float64Array): void => new DurationSorter(values.length).sort(values);

/** From how many words have a digit to where the first of them goes. */
function sumUp(counts: Uint32Array): void {
  let before = 0;
  for (let digit = 0; digit < counts.length; digit++) {
    const count = counts[digit] as number;
    counts[digit] = before;
    before += count;
  }
}

/** Puts words into the order of one digit; those of the same digit keep their order. */
function scatter(from: Uint32Array, to: Uint32Array, shift: number, places: Uint32Array): void {
  for (let i = 0; i < from.length; i++) {
    const word = from[i] as number;
    const digit = (word >>> shift) & (BUCKETS - 1);
    const at = places[digit] as number;
    places[digit] = at + 1;
    to[at] = word;
  }
}
