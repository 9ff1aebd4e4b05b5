/**
 * Exact counts by category between any two positions of a lane, in time that does not depend on how many events lie
 * between them: a running count a category is kept every BLOCK events, and only the ends of a range are walked.
 * One level of running counts does what a pyramid of bins does, for any viewport and any width of bins, without
 * rounding to its levels.
 */
import { type EventIndex, NO_LANE } from './timeline-index.js';

const BLOCK = 256;

/** Events of one lane in the order of an axis. */
export interface LaneColumns {
  readonly lane: number;
  readonly rows: Uint32Array;
  readonly x: Float64Array;
  readonly category: Uint16Array;
  /** Running counts before each block: block * categories + category. */
  readonly counts: Uint32Array;
  readonly categories: number;
  /** Positions of failures, ascending. */
  readonly failures: Uint32Array;
}

/**
 * Sorts the events of an index into lanes along an axis (`x` by row; null: the row itself is its place).
 * `keep`, where given, has 1 for each row that is to be there.
 */
export function layOut(index: EventIndex, x: Float64Array | null, keep: Uint8Array | null): LaneColumns[] {
  const sizes = new Uint32Array(index.lanes.length);
  for (let row = 0; row < index.rows; row++) {
    const lane = index.lane[row] ?? NO_LANE;
    if (lane !== NO_LANE && (keep === null || keep[row] === 1)) sizes[lane] = (sizes[lane] ?? 0) + 1;
  }
  const rows = Array.from(sizes, (size) => new Uint32Array(size));
  const filled = new Uint32Array(sizes.length);
  for (let row = 0; row < index.rows; row++) {
    const lane = index.lane[row] ?? NO_LANE;
    const ofLane = rows[lane];
    if (ofLane === undefined || (keep !== null && keep[row] !== 1)) continue;
    const at = filled[lane] ?? 0;
    ofLane[at] = row;
    filled[lane] = at + 1;
  }
  return rows.map((ofLane, lane) => columnsOf(index, x, ofLane, lane));
}

function columnsOf(index: EventIndex, axis: Float64Array | null, rows: Uint32Array, lane: number): LaneColumns {
  if (axis !== null && !ascending(rows, axis)) rows.sort((a, b) => (axis[a] ?? 0) - (axis[b] ?? 0) || a - b);
  const categories = index.categories.length;
  const x = new Float64Array(rows.length);
  const category = new Uint16Array(rows.length);
  const counts = new Uint32Array((Math.floor(rows.length / BLOCK) + 1) * categories);
  const running = new Uint32Array(categories);
  const failures: number[] = [];
  const fails = index.categories.map((each) => each.failure);
  for (let at = 0; at < rows.length; at++) {
    if (at % BLOCK === 0) counts.set(running, (at / BLOCK) * categories);
    const row = rows[at] ?? 0;
    const of = index.category[row] ?? 0;
    x[at] = axis === null ? row : (axis[row] ?? 0);
    category[at] = of;
    running[of] = (running[of] ?? 0) + 1;
    if (fails[of] === true) failures.push(at);
  }
  if (rows.length % BLOCK === 0) counts.set(running, (rows.length / BLOCK) * categories);
  return { lane, rows, x, category, counts, categories, failures: Uint32Array.from(failures) };
}

function ascending(rows: Uint32Array, x: Float64Array): boolean {
  for (let at = 1; at < rows.length; at++) {
    if ((x[rows[at] ?? 0] ?? 0) < (x[rows[at - 1] ?? 0] ?? 0)) return false;
  }
  return true;
}

/** The first position whose value is not below `value`. */
export function lowerBound(sorted: Float64Array | Uint32Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Adds to `into` (by category) the events at positions [from, to). */
export function countRange(lane: LaneColumns, from: number, to: number, into: Uint32Array): void {
  const firstBlock = Math.ceil(from / BLOCK);
  const lastBlock = Math.floor(to / BLOCK);
  if (firstBlock >= lastBlock) {
    walk(lane, from, to, into);
    return;
  }
  walk(lane, from, firstBlock * BLOCK, into);
  const { counts, categories } = lane;
  for (let c = 0; c < categories; c++) {
    const between = (counts[lastBlock * categories + c] ?? 0) - (counts[firstBlock * categories + c] ?? 0);
    into[c] = (into[c] ?? 0) + between;
  }
  walk(lane, lastBlock * BLOCK, to, into);
}

function walk(lane: LaneColumns, from: number, to: number, into: Uint32Array): void {
  const { category } = lane;
  for (let at = from; at < to; at++) {
    const c = category[at] ?? 0;
    into[c] = (into[c] ?? 0) + 1;
  }
}
