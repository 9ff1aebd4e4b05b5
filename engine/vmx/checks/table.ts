/** Every VM-entry check, in the manual's order. The position in this list is the check's number in traces. */
import type { Check } from './check.js';

export const CHECKS: readonly Check[] = [];
