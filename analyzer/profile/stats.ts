/** Exact statistics over durations that lie sorted in the pieces of one array, a piece a cell. */
import { relativeError } from '../histogram.js';
import { DurationSorter, sortDurations } from './sort.js';

/** Of a set of durations. Percentiles are by nearest rank: values that were measured, never between two. */
export interface Times {
  readonly samples: number;
  readonly total: number;
  readonly mean: number;
  /** Standard error of the mean as a part of it, as `perf kvm stat` has it; 0 of fewer than two. */
  readonly error: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Nearest-rank percentile of ascending values; `share` in (0, 1]. */
export const percentile = (ascending: Float64Array, share: number): number =>
  ascending[rankOf(ascending.length, share)] ?? 0;

/** Index of the value that a share of `count` ascending values do not pass. */
export const rankOf = (count: number, share: number): number => Math.max(0, Math.ceil(share * count) - 1);

/** Durations of all cells: those of cell c are ascending at [starts[c], starts[c + 1]). */
export interface SortedCells {
  readonly starts: Uint32Array;
  readonly values: Float64Array;
  /** By cell: their sum, and the sum of the squares of their distances from its mean. */
  readonly sums: Float64Array;
  readonly squares: Float64Array;
}

/** The same with its sums. */
export function withSums(starts: Uint32Array, values: Float64Array): SortedCells {
  const count = starts.length - 1;
  const sums = new Float64Array(count);
  const squares = new Float64Array(count);
  for (let cell = 0; cell < count; cell++) {
    const [from, to] = [starts[cell] as number, starts[cell + 1] as number];
    let sum = 0;
    for (let i = from; i < to; i++) sum += values[i] as number;
    const mean = from === to ? 0 : sum / (to - from);
    let square = 0;
    for (let i = from; i < to; i++) square += ((values[i] as number) - mean) ** 2;
    sums[cell] = sum;
    squares[cell] = square;
  }
  return { starts, values, sums, squares };
}

/** Values up to which a set is put together and sorted; beyond, and with few cells, ranks are found by bisection. */
const FEW = 4096;

/** Statistics of the values of some cells; null of none. */
export function timesOf(sorted: SortedCells, cells: Iterable<number>): Times | null {
  const { starts, values, sums } = sorted;
  let [samples, total, min, max] = [0, 0, Number.POSITIVE_INFINITY, 0];
  const held: number[] = [];
  for (const cell of cells) {
    const [from, to] = [starts[cell] as number, starts[cell + 1] as number];
    if (from === to) continue;
    held.push(cell);
    samples += to - from;
    total += sums[cell] as number;
    min = Math.min(min, values[from] as number);
    max = Math.max(max, values[to - 1] as number);
  }
  if (samples === 0) return null;
  const mean = total / samples;
  let squares = 0;
  for (const cell of held) {
    const count = (starts[cell + 1] as number) - (starts[cell] as number);
    squares += (sorted.squares[cell] as number) + count * ((sums[cell] as number) / count - mean) ** 2;
  }
  const at = ranked(sorted, held, samples, min, max);
  return {
    samples,
    total,
    mean,
    error: relativeError(samples, mean, squares),
    min,
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p999: at(0.999),
    max,
  };
}

/** Percentiles of the values of cells, of which there are `samples` from `min` to `max`. */
function ranked(
  { starts, values }: SortedCells,
  cells: readonly number[],
  samples: number,
  min: number,
  max: number,
): (share: number) => number {
  const [only] = cells;
  if (cells.length === 1 && only !== undefined) {
    const first = starts[only] as number;
    return (share) => values[first + rankOf(samples, share)] as number;
  }
  if (samples <= FEW || samples < cells.length * FEW_A_CELL) {
    const all = new Float64Array(samples);
    let at = 0;
    for (const cell of cells) {
      const part = values.subarray(starts[cell], starts[cell + 1]);
      all.set(part, at);
      at += part.length;
    }
    sortDurations(all);
    return (share) => percentile(all, share);
  }
  return (share) => {
    const rank = rankOf(samples, share);
    let [low, high] = [min, max];
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      let below = 0;
      for (const cell of cells) below += upTo(values, starts[cell] as number, starts[cell + 1] as number, middle);
      if (below > rank) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** Fewer samples than this a cell, and sorting is cheaper than asking each cell for ranks. */
const FEW_A_CELL = 64;

/** How many of ascending values [from, to) are at most `limit`. */
function upTo(values: Float64Array, from: number, to: number, limit: number): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low - from;
}

/** Durations in the order in which they were measured, with the cell of each, put into the order of the cells. */
export function sortCells(cells: Uint32Array, durations: Float64Array, count: number): SortedCells {
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < cells.length; i++) {
    const after = (cells[i] as number) + 1;
    starts[after] = (starts[after] as number) + 1;
  }
  for (let c = 0; c < count; c++) starts[c + 1] = (starts[c + 1] as number) + (starts[c] as number);
  const next = starts.slice();
  const values = new Float64Array(durations.length);
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i] as number;
    const at = next[cell] as number;
    values[at] = durations[i] as number;
    next[cell] = at + 1;
  }
  let longest = 0;
  for (let c = 0; c < count; c++) longest = Math.max(longest, (starts[c + 1] as number) - (starts[c] as number));
  const sorter = new DurationSorter(longest);
  for (let c = 0; c < count; c++) sorter.sort(values.subarray(starts[c], starts[c + 1]));
  return withSums(starts, values);
}
