/** Every VM-entry check, in the manual's order, and the names by which traces know them. */
import type { Check } from './check.js';
import { executionChecks } from './execution.js';
import { executiveChecks, executiveGuestChecks } from './executive.js';
import { exitEntryChecks } from './exit-entry.js';
import { fredGuestChecks, fredHostChecks } from './fred.js';
import { guestRegisterChecks, guestTableChecks } from './guest-registers.js';
import { guestSegmentChecks } from './guest-segments.js';
import { guestStateChecks } from './guest-state.js';
import { hostChecks } from './host.js';
import { MANUAL } from './manual.js';
import { MSR_RULES } from './msr-loading.js';
import { tertiaryChecks } from './tertiary.js';

export const CHECKS: readonly Check[] = [
  ...executionChecks,
  ...tertiaryChecks,
  ...exitEntryChecks,
  ...executiveChecks,
  ...hostChecks,
  ...fredHostChecks,
  ...guestRegisterChecks,
  ...guestSegmentChecks,
  ...fredGuestChecks,
  ...guestTableChecks,
  ...guestStateChecks,
  ...executiveGuestChecks,
];

/** Number of the first MSR-loading rule in traces; those of CHECKS are their positions. */
export const FIRST_MSR_RULE = CHECKS.length;

/** What a trace's dictionary says of each number that an event of kind `check` may carry. */
export const CHECK_NAMES: readonly { readonly code: number; readonly name: string; readonly says: string }[] = [
  ...CHECKS,
  ...MSR_RULES,
].map(({ id, says, cites }, code) => ({
  code,
  name: id,
  says: `${says}. ${MANUAL}, ${cites.section}, "${cites.title}"`,
}));
