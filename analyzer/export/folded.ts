/**
 * Folded stacks, one a line, `level;reason;sub-key weight`: what flamegraph.pl, inferno and speedscope read
 * (https://github.com/brendangregg/FlameGraph). With symbols, the guest's function is the frame behind the level.
 */
import { type BreakdownRow, breakdownOf, type DimensionName } from '../profile/breakdown.js';
import type { ExitIndex } from '../profile/exit-index.js';
import type { NameOf } from '../profile/lane-names.js';
import type { Symbols } from '../symbols/symbols.js';

/** What a stack weighs: handler time in ticks or nanoseconds, or how many exits it has. */
export type Weight = 'time' | 'exits';

export interface Stack {
  readonly frames: readonly string[];
  readonly weight: number;
}

export interface StackOptions {
  readonly weight?: Weight;
  /** The first frame. */
  readonly by?: 'level' | 'vcpu';
  readonly symbols?: Symbols | null;
}

const weigh = ({ count, times }: BreakdownRow, weight: Weight): number =>
  weight === 'exits' ? count : Math.round(times?.total ?? 0);

/** Frame of code that no symbol names. */
const UNNAMED = '[unknown]';

/** Stacks of an index, the heaviest first; none that weighs nothing. By exits where the trace has no times. */
export function stacksOf(
  index: ExitIndex,
  nameOf: NameOf,
  { weight = 'time', by = 'level', symbols = null }: StackOptions = {},
): Stack[] {
  const used = index.unit === null ? 'exits' : weight;
  const dimensions: DimensionName[] = symbols === null ? [by, 'reason', 'key'] : [by, 'symbol', 'reason', 'key'];
  const stacks = breakdownOf(index, dimensions, { nameOf, symbols }).flatMap((row) => {
    const found = weigh(row, used);
    const frames = row.labels.flatMap((label, i) => {
      if (label !== '') return [label];
      return dimensions[i] === 'symbol' ? [UNNAMED] : [];
    });
    return found > 0 ? [{ frames, weight: found }] : [];
  });
  return stacks.sort((a, b) => b.weight - a.weight);
}

/** A frame ends at a semicolon, and the stack at its last blank: neither may be in a name as it stands. */
const frameText = (frame: string): string => frame.replace(/;/g, ':').replace(/\s+/g, ' ');

export const foldedLine = ({ frames, weight }: Stack): string => `${frames.map(frameText).join(';')} ${weight}`;
