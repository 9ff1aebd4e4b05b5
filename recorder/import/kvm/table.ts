/** Every tracepoint of KVM on x86 that has a kind. One that is not here is kept whole, with kind `other`. */
import { EXITS } from './exits.js';
import { INTERRUPTS } from './interrupts.js';
import { MEMORY } from './memory.js';
import type { Tracepoints } from './tracepoint.js';

export const TRACEPOINTS: Tracepoints = { ...EXITS, ...INTERRUPTS, ...MEMORY };
