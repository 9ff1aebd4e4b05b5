/**
 * Folded stacks, one a line, `level;reason;sub-key weight`: what flamegraph.pl, inferno and speedscope read
 * (https://github.com/brendangregg/FlameGraph).
 */
import type { Profile, ProfileKey, ProfileRow } from '../profile/profile.js';

/** What a stack weighs: handler time in ticks or nanoseconds, or how many exits it has. */
export type Weight = 'time' | 'exits';

export interface Stack {
  readonly frames: readonly string[];
  readonly weight: number;
}

const weigh = ({ count, times }: ProfileKey, weight: Weight): number =>
  weight === 'exits' ? count : Math.round(times?.total ?? 0);

function framesOf(row: ProfileRow, { label }: ProfileKey): string[] {
  const level = row.lane === null ? (row.level === null ? 'L?' : `L${row.level}`) : `vCPU ${row.lane}`;
  const reason = row.failed ? `${row.reason} failed entry` : row.reason;
  return label === '' ? [level, reason] : [level, reason, label];
}

/** Stacks of a profile, in its order; none that weighs nothing. By exits where the trace has no times. */
export function stacksOf(profile: Profile, weight: Weight = 'time'): Stack[] {
  const by = profile.unit === null ? 'exits' : weight;
  return profile.rows.flatMap((row) =>
    row.keys.flatMap((key) => {
      const found = weigh(key, by);
      return found > 0 ? [{ frames: framesOf(row, key), weight: found }] : [];
    }),
  );
}

/** A frame ends at a semicolon, and the stack at its last blank: neither may be in a name as it stands. */
const frameText = (frame: string): string => frame.replace(/;/g, ':').replace(/\s+/g, ' ');

export const foldedLine = ({ frames, weight }: Stack): string => `${frames.map(frameText).join(';')} ${weight}`;
