/**
 * VM-entry checks that the manual names outside its lists of checks, and that processors apply; the engine does none.
 * Where the manual loads SSP it wants bits 63:32 to be 0 outside 64-bit mode; its list only wants the bits beyond the
 * linear-address width to agree.
 */
import { type Check, section } from '../../engine/vmx/checks/check.js';
import { CITE } from '../../engine/vmx/checks/manual.js';
import * as t from '../../engine/vmx/checks/terms.js';
import { ENTRY } from '../../engine/vmx/controls.js';
import { F } from '../../engine/vmx/fields.js';

const CS_LONG = 13;

export const UNLISTED: readonly Check[] = section(
  'guest',
  CITE.guestPointerLoading,
  [
    [
      'guest.ssp.high',
      'bits 63:32 of guest SSP are 0 outside 64-bit mode, with "load CET state"',
      [F.GUEST_SSP, F.GUEST_CS_AR_BYTES, ...t.ENTRY_CONTROLS],
      (s) =>
        !t.entry(s, ENTRY.loadCet) ||
        t.below4G(s, F.GUEST_SSP) ||
        (t.entry(s, ENTRY.ia32e) && t.bit(s, F.GUEST_CS_AR_BYTES, CS_LONG)),
      'the SSP of an earlier 64-bit guest, or of user space, was left in the VMCS when the vCPU was reset',
    ],
  ],
  { optional: true },
);
