/** The profile as the page shows it: rows with what the exits were about, and the hottest instructions. */
import type { TraceReader } from '../traces/store.js';
import { indexOf } from './profile/beside.js';
import { type Profile, type ProfileRow, profileOf, type Times } from './profile/profile.js';
import type { ProfileLine, ProfileTable, ProfileTimes } from './timeline-answers.js';

const MAX = { lines: 500, keys: 12, rips: 12, name: 120 } as const;
const ISA = { vmx: 1, svm: 2 } as const;

const clip = (name: string): string => name.slice(0, MAX.name);

/** Throws TraceError where the trace is damaged. */
export function profileTable(reader: TraceReader): ProfileTable {
  return tableOf(profileOf(indexOf(reader), (domain, code) => reader.name(domain, code), { rips: MAX.rips }));
}

function tableOf({ unit, exits, open, lost, handled, rows, rips }: Profile): ProfileTable {
  return {
    exits,
    unit: unit ?? 'ticks',
    open,
    lost,
    handled,
    left: Math.max(0, rows.length - MAX.lines),
    lines: rows.slice(0, MAX.lines).map(lineOf),
    rips: rips.map(({ rip, level, reason, count, share, total, instruction }) => ({
      rip: `0x${rip.toString(16)}`,
      level,
      reason: clip(reason),
      count,
      share,
      total,
      instruction,
    })),
  };
}

function lineOf({ level, isa, reason, failed, count, share, times, timeShare, keys }: ProfileRow): ProfileLine {
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
  };
}

function pick(times: Times | null): ProfileTimes | null {
  if (times === null) return null;
  const { mean, p50, p99, max, total } = times;
  return { mean, p50, p99, max, total };
}
