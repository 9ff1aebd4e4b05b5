/** A viewport: counts by bin, lane and category, or the events themselves where they are few. */

import { EVENT_KINDS } from '../engine/observer.js';
import type { Domain, Gap, LaneView, View } from './timeline-answers.js';
import type { EventIndex } from './timeline-index.js';
import { countRange, type LaneColumns, lowerBound } from './timeline-lanes.js';

/** Bounds of an answer: events sent one by one, numbers in all cells, bins, lanes. */
export const VIEW_LIMITS = { events: 4000, cells: 40_000, bins: 4096, lanes: 256, gaps: 2000 } as const;

/** How far back an exit is looked for whose handling reaches into the viewport. */
const LOOK_BACK = 4096;

export interface ViewRequest {
  readonly from: number;
  readonly to: number;
  /** Bins wanted at the most. */
  readonly bins: number;
  /** By category: 1 where it is shown. */
  readonly categories: Uint8Array;
  /** Lanes that are shown, in order. */
  readonly lanes: readonly LaneColumns[];
}

type ViewBody = Omit<View, 'axis' | 'gaps'>;

/**
 * Bins are powers of two wide and start at multiples of their width, so that they stay what they are while the
 * viewport moves. They are made wider until the answer keeps within VIEW_LIMITS.
 */
export function viewOf(index: EventIndex, x: Float64Array | null, request: ViewRequest): ViewBody {
  const lanes = request.lanes.slice(0, VIEW_LIMITS.lanes);
  const lanesLeftOut = request.lanes.length - lanes.length;
  const totals = totalsOf(request);
  const common = { lanesLeftOut, extent: extentOf(request), passing: passingOf(request), totals };
  let shown = 0;
  for (let i = 1; i < totals.length; i += 2) shown += totals[i] ?? 0;
  const bins = Math.max(1, Math.min(VIEW_LIMITS.bins, Math.floor(request.bins)));
  let step = 2 ** Math.max(0, Math.ceil(Math.log2((request.to - request.from) / bins)));
  if (shown <= VIEW_LIMITS.events) {
    const grid = gridOf(request, step);
    const views = lanes.map((lane) => eventsOf(index, x, lane, request)).filter((lane) => lane.events.length > 0);
    return { detail: 'events', ...grid, ...common, lanes: views };
  }
  for (;;) {
    const grid = gridOf(request, step);
    const views: LaneView[] = [];
    let size = 0;
    for (const lane of lanes) {
      const view = binsOf(lane, grid, request.categories);
      size += view.cells.length + view.failures.length;
      if (view.cells.length + view.failures.length > 0) views.push(view);
      if (size > 3 * VIEW_LIMITS.cells && grid.bins > 1) break;
    }
    if (size <= 3 * VIEW_LIMITS.cells || grid.bins === 1) {
      return { detail: 'bins', ...grid, ...common, lanes: views };
    }
    step *= 2;
  }
}

interface Grid {
  readonly start: number;
  readonly step: number;
  readonly bins: number;
}

function gridOf(request: ViewRequest, step: number): Grid {
  const first = Math.floor(request.from / step);
  return { start: first * step, step, bins: Math.max(1, Math.ceil(request.to / step) - first) };
}

function passingOf({ lanes, categories }: ViewRequest): number {
  const counts = new Uint32Array(categories.length);
  for (const lane of lanes) countRange(lane, 0, lane.rows.length, counts);
  return counts.reduce((sum, count, category) => sum + (categories[category] === 1 ? count : 0), 0);
}

function extentOf({ lanes, categories }: ViewRequest): Domain | null {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const { x, category } of lanes) {
    let first = 0;
    while (first < x.length && categories[category[first] ?? 0] !== 1) first++;
    if (first === x.length) continue;
    let last = x.length - 1;
    while (categories[category[last] ?? 0] !== 1) last--;
    from = Math.min(from, x[first] ?? from);
    to = Math.max(to, x[last] ?? to);
  }
  return to < from ? null : { from, to: to + 1 };
}

function totalsOf(request: ViewRequest): number[] {
  const counts = new Uint32Array(request.categories.length);
  for (const lane of request.lanes) {
    countRange(lane, lowerBound(lane.x, request.from), lowerBound(lane.x, request.to), counts);
  }
  const totals: number[] = [];
  counts.forEach((count, category) => {
    if (count > 0 && request.categories[category] === 1) totals.push(category, count);
  });
  return totals;
}

function binsOf(lane: LaneColumns, grid: Grid, categories: Uint8Array): LaneView {
  const cells: number[] = [];
  const counts = new Uint32Array(categories.length);
  let from = lowerBound(lane.x, grid.start);
  for (let bin = 0; bin < grid.bins && from < lane.x.length; bin++) {
    // an empty stretch is crossed in one step
    bin = Math.max(bin, Math.floor(((lane.x[from] ?? 0) - grid.start) / grid.step));
    if (bin >= grid.bins) break;
    const to = lowerBound(lane.x, grid.start + (bin + 1) * grid.step);
    counts.fill(0);
    countRange(lane, from, to, counts);
    for (let c = 0; c < counts.length; c++) {
      const count = counts[c] ?? 0;
      if (count > 0 && categories[c] === 1) cells.push(bin, c, count);
    }
    from = to;
  }
  return { lane: lane.lane, cells, failures: failuresOf(lane, grid), events: [] };
}

function failuresOf(lane: LaneColumns, grid: Grid): number[] {
  const found: number[] = [];
  const end = grid.start + grid.bins * grid.step;
  let previous = -1;
  for (let i = lowerBound(lane.failures, lowerBound(lane.x, grid.start)); i < lane.failures.length; i++) {
    const at = lane.failures[i] ?? 0;
    const x = lane.x[at] ?? 0;
    if (x >= end) break;
    const bin = Math.floor((x - grid.start) / grid.step);
    if (bin === previous) found[found.length - 1] = (found.at(-1) ?? 0) + 1;
    else found.push(bin, lane.rows[at] ?? 0, 1);
    previous = bin;
  }
  return found;
}

function eventsOf(index: EventIndex, x: Float64Array | null, lane: LaneColumns, request: ViewRequest): LaneView {
  const first = lowerBound(lane.x, request.from);
  const last = lowerBound(lane.x, request.to);
  const events: number[] = [];
  const endOf = (row: number): number => {
    const end = index.end[row] ?? 0;
    return end === 0 ? -1 : x === null ? end : (x[end] ?? -1);
  };
  for (let at = first - 1; at >= Math.max(0, first - LOOK_BACK); at--) {
    const row = lane.rows[at] ?? 0;
    const category = lane.category[at] ?? 0;
    if (index.categories[category]?.kind !== EVENT_KINDS.exit) continue;
    if (endOf(row) >= request.from && request.categories[category] === 1) {
      events.push(row, category, lane.x[at] ?? 0, endOf(row));
    }
    break;
  }
  for (let at = first; at < last; at++) {
    const category = lane.category[at] ?? 0;
    const row = lane.rows[at] ?? 0;
    if (request.categories[category] === 1) events.push(row, category, lane.x[at] ?? 0, endOf(row));
  }
  return { lane: lane.lane, cells: [], failures: [], events };
}

/** Gaps that a viewport touches, at the most one a bin and vCPU: those that fall into one bin become one. */
export function gapsOf(gaps: readonly Gap[], from: number, to: number, grid: Grid): Gap[] {
  const found: Gap[] = [];
  const latest = new Map<number | null, number>();
  for (const gap of gaps) {
    if (gap.to < from || gap.from > to) continue;
    const at = latest.get(gap.vcpu);
    const before = at === undefined ? undefined : found[at];
    const bin = (value: number): number => Math.floor((value - grid.start) / grid.step);
    if (
      at !== undefined &&
      before !== undefined &&
      (bin(before.to) === bin(gap.to) || found.length >= VIEW_LIMITS.gaps)
    ) {
      const lost = before.lost === null || gap.lost === null ? null : before.lost + gap.lost;
      found[at] = { ...before, to: Math.max(before.to, gap.to), lost, gaps: before.gaps + gap.gaps };
    } else {
      latest.set(gap.vcpu, found.length);
      found.push(gap);
    }
  }
  return found;
}
