/** The profile as the page shows it, of the whole trace or of a stretch: rows with what the exits were about, and the hottest instructions. */
import { bucketOf, bucketRange, type HistogramData } from './histogram.js';
import type { ExitIndex } from './profile/exit-index.js';
import type { NameOf } from './profile/lane-names.js';
import { type Profile, type ProfileRow, profileOf, type Times } from './profile/profile.js';
import type { Symbols } from './symbols/symbols.js';
import type { ProfileLine, ProfileTable, ProfileTimes } from './timeline-answers.js';

const MAX = { lines: 500, keys: 12, rips: 12, name: 120, histograms: 150, bars: 64 } as const;
const ISA = { vmx: 1, svm: 2 } as const;

const clip = (name: string): string => name.slice(0, MAX.name);

/** `more`: what the index does not say: events lost, and what could not be read. */
export function profileTable(
  index: ExitIndex,
  nameOf: NameOf,
  symbols: Symbols | null,
  more: Pick<ProfileTable, 'lost' | 'problem'>,
): ProfileTable {
  return { ...tableOf(profileOf(index, nameOf, { rips: MAX.rips, symbols, histograms: true })), ...more };
}

function tableOf({ unit, exits, open, handled, rows, rips }: Profile): Omit<ProfileTable, 'lost' | 'problem'> {
  return {
    exits,
    unit,
    open,
    handled,
    left: Math.max(0, rows.length - MAX.lines),
    lines: rows.slice(0, MAX.lines).map(lineOf),
    rips: rips.map(({ rip, level, reason, count, share, total, instruction, symbol }) => ({
      rip: `0x${rip.toString(16)}`,
      level,
      reason: clip(reason),
      count,
      share,
      total,
      instruction,
      symbol: symbol === null ? null : clip(symbol),
    })),
  };
}

function lineOf(row: ProfileRow, at: number): ProfileLine {
  const { level, isa, reason, failed, count, share, times, timeShare, keys, histogram } = row;
  const known = keys.filter(({ label }) => label !== '');
  return {
    level,
    isa: isa === null ? null : ISA[isa],
    reason: clip(reason),
    failure: failed,
    count,
    share,
    timeShare,
    times: pick(times),
    keys: known.slice(0, MAX.keys).map((key) => ({ label: clip(key.label), count: key.count, times: pick(key.times) })),
    keysLeft: Math.max(0, known.length - MAX.keys),
    histogram: histogram === null || at >= MAX.histograms ? [] : barsOf(histogram),
  };
}

export function pick(times: Times | null): ProfileTimes | null {
  if (times === null) return null;
  const { mean, p50, p90, p99, p999, max, total } = times;
  return { mean, p50, p90, p99, p999, max, total };
}

/** Buckets of a histogram, so many neighbours put together that a picture holds them. */
export function barsOf({ buckets, min, max }: HistogramData): number[] {
  let together = 1;
  while (bucketOf(max) / together - bucketOf(min) / together >= MAX.bars) together *= 2;
  const bars = new Map<number, number>();
  for (const [index, count] of buckets) {
    const bar = Math.floor(index / together);
    bars.set(bar, (bars.get(bar) ?? 0) + count);
  }
  return [...bars].flatMap(([bar, count]) => [
    bucketRange(bar * together).from,
    bucketRange((bar + 1) * together).from,
    count,
  ]);
}
