/** VM-entry checks that editions of the manual had and processors still apply; the engine does none of them. */
import { type Check, section } from '../../engine/vmx/checks/check.js';
import { CITE } from '../../engine/vmx/checks/manual.js';
import * as t from '../../engine/vmx/checks/terms.js';
import { ENTRY } from '../../engine/vmx/controls.js';
import { F } from '../../engine/vmx/fields.js';

const CS_LONG = 13;

export const RETIRED: readonly Check[] = section(
  'guest',
  CITE.guestFlags,
  [
    [
      'guest.ssp.high',
      'bits 63:32 of guest SSP are 0 outside 64-bit mode, with "load CET state" (older editions; later ones only want the bits beyond the linear-address width to agree)',
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
