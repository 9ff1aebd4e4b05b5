/** Sides of a comparison that budgets are judged on, made of the events that are told. */
import { DiffSide } from '../../analyzer/diff-side.js';
import type { Origin } from '../../analyzer/origin.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

export function sideOf(events: readonly EventDraft[], origin?: Origin): DiffSide {
  const side = new DiffSide();
  feedEvents(events, (chunk) => side.take(chunk));
  side.finish(() => null, origin);
  return side;
}

/** Exits of a reason, each handled for the ticks or nanoseconds given. */
export const exits = (reason: number, times: readonly number[], clock: 'tick' | 'time_ns' = 'tick'): EventDraft[] =>
  times.flatMap((time, i): EventDraft[] => [
    { kind: 'exit', isa: 1, reason, rip: 1, from_level: 1, [clock]: 1_000_000 * i },
    { kind: 'entry', isa: 1, from_level: 0, [clock]: 1_000_000 * i + time },
  ]);
export const repeat = (count: number, time: number): number[] => Array.from({ length: count }, () => time);
