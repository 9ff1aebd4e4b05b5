/** Every tracepoint of KVM on x86 that has a kind. One that is not here is kept whole, with kind `other`. */
import { EXITS } from './exits.js';
import { INTERRUPTS } from './interrupts.js';
import { MEMORY } from './memory.js';
import { saysOf, type Tracepoints } from './tracepoint.js';

export const TRACEPOINTS: Tracepoints = { ...EXITS, ...INTERRUPTS, ...MEMORY };

/** What the trace's dictionary says of an event of this name, with these fields; null where there is nothing to say. */
export function saysOfEvent(name: string, own: readonly string[] | null): string | null {
  const tracepoint = Object.hasOwn(TRACEPOINTS, name) ? TRACEPOINTS[name] : undefined;
  return tracepoint === undefined ? null : saysOf(tracepoint, own);
}
