/** The profile table of a timeline: count, share and handler time of exits by level and reason. */
import { EVENT_KINDS } from '../engine/observer.js';
import type { ProfileLine, ProfileTable, Times } from './timeline-answers.js';
import { type EventIndex, NO_LANE } from './timeline-index.js';

/** From an exit to the entry that ends its handling; exits without one count, and have no time. */
export function profileTable(index: EventIndex): ProfileTable {
  const clock = index.tick ?? index.time;
  const groups = new Map<string, { level: number | null; category: number; count: number; times: number[] }>();
  let exits = 0;
  for (let row = 0; row < index.rows; row++) {
    const category = index.category[row] ?? 0;
    const lane = index.lane[row] ?? NO_LANE;
    if (lane === NO_LANE || index.categories[category]?.kind !== EVENT_KINDS.exit) continue;
    const level = index.lanes[lane]?.level ?? null;
    const key = `${level} ${category}`;
    let group = groups.get(key);
    if (group === undefined) {
      group = { level, category, count: 0, times: [] };
      groups.set(key, group);
    }
    exits++;
    group.count++;
    const end = index.end[row] ?? 0;
    if (end !== 0 && clock !== null) group.times.push((clock[end] ?? 0) - (clock[row] ?? 0));
  }
  const lines = [...groups.values()].map(({ level, category, count, times }): ProfileLine => {
    const { isa = null, reason = null, failure = false } = index.categories[category] ?? {};
    return { level, isa, reason: reason ?? 'unknown', failure, count, share: count / exits, times: timesOf(times) };
  });
  lines.sort((a, b) => b.count - a.count || a.reason.localeCompare(b.reason));
  return { exits, unit: index.tick === null ? 'ns' : 'ticks', lines };
}

/** Percentiles by nearest rank: values that were measured, never between two. */
function timesOf(values: number[]): Times | null {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const rank = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  const total = sorted.reduce((sum, value) => sum + value, 0);
  return { samples: sorted.length, mean: total / sorted.length, p50: rank(0.5), p99: rank(0.99), max: rank(1), total };
}
