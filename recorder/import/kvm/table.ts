/** Every tracepoint of KVM on x86 that has a kind. One that is not here is kept whole, with kind `other`. */
import { EXITS } from './exits.js';
import { INTERRUPTS } from './interrupts.js';
import { MEMORY } from './memory.js';
import { saysOf, type Tracepoint, type Tracepoints } from './tracepoint.js';

export const TRACEPOINTS: Tracepoints = { ...EXITS, ...INTERRUPTS, ...MEMORY };

/** The tracepoint of this name, which a recording may have from anywhere. */
export const tracepointOf = (name: string): Tracepoint | undefined =>
  Object.hasOwn(TRACEPOINTS, name) ? TRACEPOINTS[name] : undefined;

/** What the trace's dictionary says of an event of this name, with these fields; null where there is nothing to say. */
export function saysOfEvent(name: string, own: readonly string[] | null): string | null {
  const tracepoint = tracepointOf(name);
  return tracepoint === undefined ? null : saysOf(tracepoint, own);
}
