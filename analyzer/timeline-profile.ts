/** The profile as the page shows it, of the whole trace or of a stretch: rows with what the exits were about, and the hottest instructions. */
import { bucketOf, bucketRange, type HistogramData } from './histogram.js';
import { labelText } from './profile/breakdown.js';
import type { ExitIndex } from './profile/exit-index.js';
import { levelName, type NameOf, vmName } from './profile/lane-names.js';
import { type Profile, type ProfileRow, profileOf, type Times } from './profile/profile.js';
import type { Symbols } from './symbols/symbols.js';
import type { ProfileLine, ProfileSpent, ProfileSpentLine, ProfileTable, ProfileTimes } from './timeline-answers.js';

const MAX = { lines: 500, keys: 12, rips: 12, spent: 64, name: 120, histograms: 150, bars: 64 } as const;
const ISA = { vmx: 1, svm: 2 } as const;

const clip = (name: string): string => name.slice(0, MAX.name);

/** What the trace and its symbols call things. */
interface Names {
  readonly nameOf: NameOf;
  readonly saysOf: NameOf;
  readonly symbols: Symbols | null;
}

/** `more`: what the index does not say: events lost, and what could not be read. */
export function profileTable(
  index: ExitIndex,
  { nameOf, ...names }: Names,
  more: Pick<ProfileTable, 'lost' | 'problem'>,
): ProfileTable {
  return { ...tableOf(profileOf(index, nameOf, { rips: MAX.rips, histograms: true, ...names })), ...more };
}

function tableOf(profile: Profile): Omit<ProfileTable, 'lost' | 'problem'> {
  const { unit, exits, open, handled, rows, rips, guest, outside } = profile;
  return {
    time: guest + outside > 0 ? { guest, outside } : null,
    spent: guest + outside > 0 ? spentOf(profile) : [],
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

/** By VM, level and vCPU, where there are several of each. */
function spentOf({ vms, levels, lanes }: Profile): ProfileSpent[] {
  const line = (name: string, row: Omit<Profile['levels'][number], 'level'>, span?: number): ProfileSpentLine => ({
    name: clip(name),
    exits: row.exits,
    guest: row.guest,
    outside: row.outside,
    halted: row.halted,
    unobserved: span === undefined || Number.isNaN(span) ? null : Math.max(0, span - row.guest - row.outside),
  });
  const tables: ProfileSpent[] = [
    table(
      'VM',
      vms.map((row) => line(labelText('vm', row.vm === null ? '' : vmName(row.vm)), row, row.span)),
    ),
    table(
      'level',
      levels.map((row) => line(levelName(row.level), row)),
    ),
    table(
      'vCPU',
      lanes.map((row) => line(row.name, row, row.span)),
    ),
  ];
  return tables.filter(({ lines }) => lines.length > 1);
}

const table = (by: ProfileSpent['by'], lines: readonly ProfileSpentLine[]): ProfileSpent => ({
  by,
  lines: lines.slice(0, MAX.spent),
  left: Math.max(0, lines.length - MAX.spent),
});

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
