/**
 * Whether one set of host times is larger than another: the rank test of Mann and Whitney ("On a Test of Whether one
 * of Two Random Variables is Stochastically Larger than the Other", Annals of Mathematical Statistics, 1947), by its
 * normal approximation with correction for ties (Lehmann, "Nonparametrics", 1.4) and for continuity: by half the
 * smallest step between ranks, which is 1/2 without ties and much where there are few values. Ranks alone count, so
 * one interrupt in the middle of a handler does not decide it.
 */

export interface RankTest {
  /** Pairs in which the sample of `x` is the larger, ties half. */
  readonly u: number;
  readonly z: number;
  /** Probability of at least this U where `x` is not larger than `y`. */
  readonly p: number;
}

/**
 * One-sided test that `x` is larger than `y`; both ascending and not empty. Values below `floor` count as one, smaller
 * than all others: what decides is how many reach it, and how far. Where `floor` is a percentile of both samples pooled,
 * the test keeps its level, because no value's origin enters it. Values equal to `floor` must not join those below:
 * on a coarse clock most of what was slow may be equal to it.
 */
export function rankTest(x: Float64Array, y: Float64Array, floor = Number.NEGATIVE_INFINITY): RankTest {
  const n = x.length;
  const m = y.length;
  const all = n + m;
  let [i, j] = [0, 0];
  let rankSum = 0;
  let ties = 0;
  let tiedBefore = 0;
  let step = Number.POSITIVE_INFINITY;
  while (i < n || j < m) {
    const value = Math.min(x[i] ?? Number.POSITIVE_INFINITY, y[j] ?? Number.POSITIVE_INFINITY);
    const joins = (other: number): boolean => other <= value || other < floor;
    const before = i + j;
    const from = i;
    while (i < n && joins(x[i] as number)) i += 1;
    while (j < m && joins(y[j] as number)) j += 1;
    const tied = i + j - before;
    rankSum += (i - from) * (before + (tied + 1) / 2);
    ties += tied ** 3 - tied;
    if (before > 0) step = Math.min(step, (tiedBefore + tied) / 2);
    tiedBefore = tied;
  }
  const u = rankSum - (n * (n + 1)) / 2;
  const variance = ((n * m) / 12) * (all + 1 - ties / (all * (all - 1)));
  const z = variance > 0 ? (u - (n * m) / 2 - step / 2) / Math.sqrt(variance) : 0;
  return { u, z, p: variance > 0 ? upperTail(z) : 1 };
}

/**
 * Test that more than the part 1 - `share` of n values lies above a limit, `above` of them being there: normal
 * approximation of the binomial with correction for continuity. Returns the probability where it is not so.
 */
export function signTest(above: number, n: number, share: number): number {
  const expected = n * (1 - share);
  return upperTail((above - expected - 0.5) / Math.sqrt(expected * share));
}

/**
 * P(Z > z) of the standard normal distribution, with a relative error below 1.2e-7 everywhere, tails included: the
 * Chebyshev fit of erfc in Press et al., "Numerical Recipes in C", second edition, 6.2.
 */
export function upperTail(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + x / 2);
  const series = COEFFICIENTS.reduceRight((sum, coefficient) => sum * t + coefficient, 0);
  const tail = (t * Math.exp(-x * x + series)) / 2;
  return z < 0 ? 1 - tail : tail;
}

const COEFFICIENTS = [
  -1.265_512_23, 1.000_023_68, 0.374_091_96, 0.096_784_18, -0.186_288_06, 0.278_868_07, -1.135_203_98, 1.488_515_87,
  -0.822_152_23, 0.170_872_77,
] as const;
