/** Exact statistics over samples that carry the number of their group. */
import type { Numbers } from './table.js';

/** Of a set of durations. Percentiles are by nearest rank: values that were measured, never between two. */
export interface Times {
  readonly samples: number;
  readonly total: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Nearest-rank percentile of ascending values; `share` in (0, 1]. */
export const percentile = (ascending: Float64Array, share: number): number =>
  ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? 0;

/** Statistics of values, which are sorted in place; null of none. */
export function timesOf(values: Float64Array): Times | null {
  if (values.length === 0) return null;
  const ascending = values.sort();
  let total = 0;
  for (const value of ascending) total += value;
  return {
    samples: values.length,
    total,
    mean: total / values.length,
    min: ascending[0] ?? 0,
    p50: percentile(ascending, 0.5),
    p90: percentile(ascending, 0.9),
    p99: percentile(ascending, 0.99),
    max: ascending.at(-1) ?? 0,
  };
}

/** Samples put into the order of their group: values of group g are those at [starts[g], starts[g + 1]). */
export interface Grouped {
  readonly starts: Uint32Array;
  readonly values: Float64Array;
}

/** Counting sort of `values` by `groups`, which are below `count`. */
export function group(groups: Numbers, values: Numbers, count: number): Grouped {
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < groups.length; i++) starts[groups.get(i) + 1] = (starts[groups.get(i) + 1] ?? 0) + 1;
  for (let g = 0; g < count; g++) starts[g + 1] = (starts[g + 1] ?? 0) + (starts[g] ?? 0);
  const next = starts.slice();
  const sorted = new Float64Array(values.length);
  for (let i = 0; i < groups.length; i++) {
    const g = groups.get(i);
    const at = next[g] ?? 0;
    sorted[at] = values.get(i);
    next[g] = at + 1;
  }
  return { starts, values: sorted };
}
