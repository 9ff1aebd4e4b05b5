/**
 * A histogram of durations that can be merged with others: of several traces, of the windows of a live view. Buckets
 * are log-linear: exact below 256, and 128 to an octave above, so that a value is told to 1/256 of itself (0.4 %).
 * Count, sum, minimum and maximum are exact, and mean and variance as exact as doubles are. Its size does not depend on
 * how many values it took: 47 KiB at the most.
 *
 * Values are integers from 0 to 2^53 - 1 (nanoseconds or ticks). Merging is associative and commutative but for the
 * rounding of mean and variance: buckets, count, minimum and maximum come out the same in any order.
 */

/** An octave has 2^PRECISION buckets. */
const PRECISION = 7;
const LINEAR = 2 ** PRECISION;
const HIGH = 0x1_0000_0000;
const MOST = Number.MAX_SAFE_INTEGER;

/** How far a percentile may be from the value it stands for, as a part of that value. */
export const RELATIVE_ERROR = 1 / (2 * LINEAR);

/** Position of the highest bit of a value of at least 1. */
const bitOf = (value: number): number =>
  value < HIGH ? 31 - Math.clz32(value) : 63 - Math.clz32(Math.floor(value / HIGH));

/** Index of the bucket that holds a value. */
export function bucketOf(value: number): number {
  if (value < 2 * LINEAR) return value;
  const shift = bitOf(value) - PRECISION;
  return shift * LINEAR + Math.floor(value / 2 ** shift);
}

/** The least value of a bucket, and how many values it holds. */
export function bucketRange(index: number): { readonly from: number; readonly width: number } {
  if (index < 2 * LINEAR) return { from: index, width: 1 };
  const shift = Math.floor(index / LINEAR) - 1;
  const width = 2 ** shift;
  return { from: (index - shift * LINEAR) * width, width };
}

export interface Bucket {
  /** Values from `from` to `to`, both included. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** What a histogram is as plain data, for JSON: `buckets` has index and count of those that are not empty. */
export interface HistogramData {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Sum of the squares of the distances from the mean. */
  readonly squares: number;
  readonly buckets: readonly (readonly [index: number, count: number])[];
}

export class Histogram {
  #counts = new Float64Array(2 * LINEAR);
  #count = 0;
  #sum = 0;
  #mean = 0;
  #squares = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  /** 0 where there are no values. */
  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }

  get max(): number {
    return this.#max;
  }

  get mean(): number {
    return this.#mean;
  }

  /** Standard error of the mean as a part of it, as `perf kvm stat` has it: 0 of fewer than two values. */
  get relativeError(): number {
    return relativeError(this.#count, this.#mean, this.#squares);
  }

  /** Takes a value `times` times; what is no number from 0 to 2^53 - 1 is brought into it, a fraction cut off. */
  record(value: number, times = 1): void {
    const whole = value >= 0 ? Math.floor(Math.min(value, MOST)) : 0;
    if (!(times > 0)) return;
    const index = bucketOf(whole);
    this.#reach(index);
    this.#counts[index] = (this.#counts[index] as number) + times;
    this.#add(times, whole * times, whole, 0, whole, whole);
  }

  /** Adds all that another has. */
  merge(other: Histogram): void {
    if (other.#count === 0) return;
    this.#reach(other.#counts.length - 1);
    for (let i = 0; i < other.#counts.length; i++) {
      this.#counts[i] = (this.#counts[i] as number) + (other.#counts[i] as number);
    }
    this.#add(other.#count, other.#sum, other.#mean, other.#squares, other.#min, other.#max);
  }

  /**
   * The value below or at which a share (0 to 1) of all lie, by nearest rank: within RELATIVE_ERROR, and never beyond
   * the least and the greatest; 0 where there are none.
   */
  percentile(share: number): number {
    if (this.#count === 0) return 0;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    if (rank >= this.#count) return this.#max;
    let seen = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i] as number;
      if (seen < rank) continue;
      const { from, width } = bucketRange(i);
      return Math.min(this.#max, Math.max(this.#min, from + Math.floor((width - 1) / 2)));
    }
    return this.#max;
  }

  /** Buckets that are not empty, ascending. */
  buckets(): Bucket[] {
    return this.#filled().map(([index, count]) => {
      const { from, width } = bucketRange(index);
      return { from, to: from + width - 1, count };
    });
  }

  /**
   * What people look at: powers of two, each cut into `parts` (a power of two, 128 at the most), empty ones between the
   * first and the last included. Exact, since their bounds are bounds of buckets.
   */
  octaves(parts = 1): Bucket[] {
    const counts: { from: number; to: number; count: number }[] = [];
    for (const [index, count] of this.#filled()) {
      const { from, to } = partOf(bucketRange(index).from, parts);
      let last = counts.at(-1);
      while (last !== undefined && last.to + 1 < from) {
        last = { ...partOf(last.to + 1, parts), count: 0 };
        counts.push(last);
      }
      if (last?.from === from) last.count += count;
      else counts.push({ from, to, count });
    }
    return counts;
  }

  toData(): HistogramData {
    const { count, sum, min, max, mean } = this;
    return { count, sum, min, max, mean, squares: this.#squares, buckets: this.#filled() };
  }

  /** The histogram that `data` is of. Throws RangeError where it is none. */
  static fromData(data: HistogramData): Histogram {
    const histogram = new Histogram();
    let count = 0;
    for (const [index, times] of data.buckets) {
      if (!Number.isSafeInteger(index) || index < 0 || index > bucketOf(MOST) || !(times > 0)) {
        throw new RangeError(`no bucket of a histogram: ${index}, ${times}`);
      }
      histogram.#reach(index);
      histogram.#counts[index] = times;
      count += times;
    }
    if (count !== data.count) throw new RangeError(`a histogram of ${data.count} values has ${count}`);
    if (count > 0) histogram.#add(count, data.sum, data.mean, data.squares, data.min, data.max);
    return histogram;
  }

  #filled(): [index: number, count: number][] {
    const filled: [number, number][] = [];
    for (let i = 0; i < this.#counts.length; i++) {
      const count = this.#counts[i] as number;
      if (count > 0) filled.push([i, count]);
    }
    return filled;
  }

  /** Mean and squares of two sets together: Chan, Golub, LeVeque, "Updating formulae" (1979). */
  #add(count: number, sum: number, mean: number, squares: number, min: number, max: number): void {
    const total = this.#count + count;
    const apart = mean - this.#mean;
    this.#squares += squares + (apart * apart * this.#count * count) / total;
    this.#mean += apart * (count / total);
    this.#count = total;
    this.#sum += sum;
    this.#min = Math.min(this.#min, min);
    this.#max = Math.max(this.#max, max);
  }

  #reach(index: number): void {
    if (index < this.#counts.length) return;
    const grown = new Float64Array((Math.floor(index / LINEAR) + 1) * LINEAR);
    grown.set(this.#counts);
    this.#counts = grown;
  }
}

/** The part of an octave that a value lies in. */
function partOf(value: number, parts: number): { from: number; to: number } {
  if (value === 0) return { from: 0, to: 0 };
  const start = 2 ** bitOf(value);
  const width = Math.max(1, start / parts);
  const from = start + Math.floor((value - start) / width) * width;
  return { from, to: from + width - 1 };
}

/** Standard error of a mean as a part of it, from the sum of the squared distances from it. */
export const relativeError = (count: number, mean: number, squares: number): number =>
  count < 2 || mean === 0 ? 0 : Math.sqrt(squares / (count - 1) / count) / mean;
