/** Where lanes are on the canvas. */
import type { Category, Filter, Lane, Overview } from '../../analyzer/timeline-answers.js';

export interface LaneRow {
  /** Index into Overview.lanes. */
  readonly index: number;
  readonly lane: Lane;
  readonly top: number;
  readonly height: number;
  /** First lane of its vCPU. */
  readonly first: boolean;
}

const HEIGHTS = { least: 30, most: 128 } as const;

/** Whether a lane has events of the kinds that are shown; what it lost is shown over the other lanes. */
function hasKind(lane: Lane, categories: readonly Category[], kinds: readonly string[]): boolean {
  return lane.categories.some((at) => {
    const category = categories[at];
    if (category === undefined) return false;
    return category.failure || (kinds.length === 0 ? category.kind !== 'lost' : kinds.includes(category.kind));
  });
}

/** Lanes that pass the filter, by vCPU and level, as high as `space` pixels allow within bounds. */
export function layLanes(overview: Overview, filter: Filter, space: number): LaneRow[] {
  const passes = (list: readonly number[], value: number): boolean => list.length === 0 || list.includes(value);
  const shown = overview.lanes
    .map((lane, index) => ({ lane, index, level: lane.level ?? -1 }))
    .filter(({ lane, level }) => passes(filter.vcpus, lane.vcpu) && passes(filter.levels, level))
    .filter(({ lane }) => hasKind(lane, overview.categories, filter.kinds))
    .sort((a, b) => a.lane.vcpu - b.lane.vcpu || a.level - b.level);
  const height = Math.round(Math.min(HEIGHTS.most, Math.max(HEIGHTS.least, space / Math.max(1, shown.length))));
  return shown.map(({ lane, index }, at) => ({
    index,
    lane,
    top: at * height,
    height,
    first: shown[at - 1]?.lane.vcpu !== lane.vcpu,
  }));
}
