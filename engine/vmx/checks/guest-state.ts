/** Checks on guest non-register state and on page-directory-pointer-table entries. */
import { MISC, VMX_MSR } from '../capabilities.js';
import { ACTIVITY, BLOCKING, ENTRY, EVENT_TYPE, PIN, SECONDARY } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Row, section } from './check.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

type Condition = (s: CheckState) => boolean;

const activity = (s: CheckState): number => s.low(F.GUEST_ACTIVITY_STATE);
const blocks = (s: CheckState, mask: number): boolean => (s.low(F.GUEST_INTERRUPTIBILITY_INFO) & mask) !== 0;
const flag = (s: CheckState, n: number): boolean => t.bit(s, F.GUEST_RFLAGS, n);
const TF = 8;
const IF = 9;
const DEBUG_VECTOR = 1;
const MACHINE_CHECK = 18;

/** Activity states that IA32_VMX_MISC reports, by their number. */
const ACTIVITY_SUPPORT = [0, MISC.hlt, MISC.shutdown, MISC.waitForSipi] as const;

function activitySupported(s: CheckState): boolean {
  const state = activity(s);
  if (state === ACTIVITY.active) return true;
  const bit = ACTIVITY_SUPPORT[state];
  return bit !== undefined && (s.capabilityLow(VMX_MSR.misc) & bit) !== 0;
}

/** Events that may be injected into a halted guest: interrupts, NMIs, #DB, #MC, and a pending MTF exit. */
function wakesHlt(s: CheckState): boolean {
  const vector = t.injectedVector(s);
  switch (t.injectedType(s)) {
    case EVENT_TYPE.external:
    case EVENT_TYPE.nmi:
      return true;
    case EVENT_TYPE.hardwareException:
      return vector === DEBUG_VECTOR || vector === MACHINE_CHECK;
    default:
      return t.injectedType(s) === EVENT_TYPE.other && vector === 0;
  }
}

const wakesShutdown: Condition = (s) =>
  t.injectedType(s) === EVENT_TYPE.nmi ||
  (t.injectedType(s) === EVENT_TYPE.hardwareException && t.injectedVector(s) === MACHINE_CHECK);

const activityRows: readonly Row[] = [
  [
    'guest.activity.supported',
    'the activity state is one of 0 to 3 that IA32_VMX_MISC reports',
    [F.GUEST_ACTIVITY_STATE],
    activitySupported,
  ],
  [
    'guest.activity.hlt_dpl',
    'the activity state is not HLT where DPL of SS is not 0',
    [F.GUEST_ACTIVITY_STATE, F.GUEST_SS_AR_BYTES],
    (s) => activity(s) !== ACTIVITY.hlt || t.clear(s, F.GUEST_SS_AR_BYTES, 0x60),
  ],
  [
    'guest.activity.blocking',
    'the activity state is active where events are blocked by STI or MOV SS',
    [F.GUEST_ACTIVITY_STATE, F.GUEST_INTERRUPTIBILITY_INFO],
    (s) => activity(s) === ACTIVITY.active || !blocks(s, BLOCKING.sti | BLOCKING.movSs),
  ],
  [
    'guest.activity.hlt_injection',
    'what is injected into a halted guest is an interrupt, NMI, #DB, #MC or pending MTF exit',
    [F.GUEST_ACTIVITY_STATE, ...t.INJECTION],
    (s) => activity(s) !== ACTIVITY.hlt || !t.injects(s) || wakesHlt(s),
  ],
  [
    'guest.activity.shutdown_injection',
    'what is injected into a guest in shutdown is an NMI or #MC',
    [F.GUEST_ACTIVITY_STATE, ...t.INJECTION],
    (s) => activity(s) !== ACTIVITY.shutdown || !t.injects(s) || wakesShutdown(s),
  ],
  [
    'guest.activity.sipi_injection',
    'nothing is injected into a guest that waits for a SIPI',
    [F.GUEST_ACTIVITY_STATE, ...t.INJECTION],
    (s) => activity(s) !== ACTIVITY.waitForSipi || !t.injects(s),
  ],
  [
    'guest.activity.sipi_in_smm',
    'the activity state is not wait-for-SIPI with "entry to SMM"',
    [F.GUEST_ACTIVITY_STATE, ...t.ENTRY_CONTROLS],
    (s) => activity(s) !== ACTIVITY.waitForSipi || !t.entry(s, ENTRY.smm),
  ],
];

const INTERRUPTIBILITY = [F.GUEST_INTERRUPTIBILITY_INFO] as const;

const interruptibilityRows: readonly Row[] = [
  [
    'guest.interruptibility.reserved',
    'bits 31:5 of the interruptibility state are 0',
    INTERRUPTIBILITY,
    (s) => t.clear(s, F.GUEST_INTERRUPTIBILITY_INFO, 0xffff_ffe0),
  ],
  [
    'guest.interruptibility.sti_and_mov_ss',
    'blocking by STI and by MOV SS are not both indicated',
    INTERRUPTIBILITY,
    (s) => !blocks(s, BLOCKING.sti) || !blocks(s, BLOCKING.movSs),
  ],
  [
    'guest.interruptibility.sti_needs_if',
    'blocking by STI is indicated only with RFLAGS.IF',
    [...INTERRUPTIBILITY, F.GUEST_RFLAGS],
    (s) => !blocks(s, BLOCKING.sti) || flag(s, IF),
  ],
  [
    'guest.interruptibility.injected_interrupt',
    'neither blocking by STI nor by MOV SS is indicated where an external interrupt is injected',
    [...INTERRUPTIBILITY, ...t.INJECTION],
    (s) => !t.injects(s, EVENT_TYPE.external) || !blocks(s, BLOCKING.sti | BLOCKING.movSs),
    'the hypervisor skipped an instruction without clearing the blocking, or injected too early',
  ],
  [
    'guest.interruptibility.injected_nmi_mov_ss',
    'blocking by MOV SS is not indicated where an NMI is injected',
    [...INTERRUPTIBILITY, ...t.INJECTION],
    (s) => !t.injects(s, EVENT_TYPE.nmi) || !blocks(s, BLOCKING.movSs),
  ],
  [
    'guest.interruptibility.smi_outside_smm',
    'blocking by SMI is not indicated outside SMM',
    [...INTERRUPTIBILITY, 'SMM'],
    (s) => !blocks(s, BLOCKING.smi) || s.register('SMM') !== 0,
  ],
  [
    'guest.interruptibility.entry_to_smm',
    'blocking by SMI is indicated with "entry to SMM"',
    [...INTERRUPTIBILITY, ...t.ENTRY_CONTROLS],
    (s) => !t.entry(s, ENTRY.smm) || blocks(s, BLOCKING.smi),
  ],
  [
    'guest.interruptibility.injected_nmi_blocked',
    'blocking by NMI is not indicated where an NMI is injected with "virtual NMIs"',
    [...INTERRUPTIBILITY, ...t.INJECTION, ...t.PIN_CONTROLS],
    (s) => !t.injects(s, EVENT_TYPE.nmi) || !t.pin(s, PIN.virtualNmis) || !blocks(s, BLOCKING.nmi),
  ],
  [
    'guest.interruptibility.enclave_mov_ss',
    'blocking by MOV SS is not indicated with an enclave interruption',
    INTERRUPTIBILITY,
    (s) => !blocks(s, BLOCKING.enclave) || !blocks(s, BLOCKING.movSs),
  ],
  [
    'guest.interruptibility.enclave_support',
    'an enclave interruption is indicated only where the processor has SGX',
    INTERRUPTIBILITY,
    (s) => !blocks(s, BLOCKING.enclave) || s.has('SGX'),
  ],
];

const optionalRows: readonly Row[] = [
  [
    'guest.interruptibility.injected_nmi_sti',
    'blocking by STI is not indicated where an NMI is injected (older editions leave this to the processor)',
    [...INTERRUPTIBILITY, ...t.INJECTION],
    (s) => !t.injects(s, EVENT_TYPE.nmi) || !blocks(s, BLOCKING.sti),
  ],
];

/** A debug exception is pending or must be: single-stepping while STI, MOV SS or HLT holds it back. */
const holdsBack: Condition = (s) => blocks(s, BLOCKING.sti | BLOCKING.movSs) || activity(s) === ACTIVITY.hlt;
const BTF = 1;
const singleSteps: Condition = (s) => flag(s, TF) && !t.bit(s, F.GUEST_IA32_DEBUGCTL, BTF);
const BLD = 11;
const BS = 14;
const RTM = 16;
const PENDING = F.GUEST_PENDING_DBG_EXCEPTIONS;
const STEPPING = [
  PENDING,
  F.GUEST_INTERRUPTIBILITY_INFO,
  F.GUEST_ACTIVITY_STATE,
  F.GUEST_RFLAGS,
  F.GUEST_IA32_DEBUGCTL,
] as const;

const pendingRows: readonly Row[] = [
  [
    'guest.pending_debug.reserved',
    'bits 10:4, 13, 15 and 63:17 of the pending debug exceptions are 0',
    [PENDING],
    (s) => t.clear(s, PENDING, 0xfffe_a7f0, 0xffff_ffff),
  ],
  [
    'guest.pending_debug.bs_set',
    'BS is 1 where RFLAGS.TF is 1 and DEBUGCTL.BTF is 0, with blocking by STI or MOV SS or in HLT',
    STEPPING,
    (s) => !holdsBack(s) || !singleSteps(s) || t.bit(s, PENDING, BS),
  ],
  [
    'guest.pending_debug.bs_clear',
    'BS is 0 where RFLAGS.TF is 0 or DEBUGCTL.BTF is 1, with blocking by STI or MOV SS or in HLT',
    STEPPING,
    (s) => !holdsBack(s) || singleSteps(s) || !t.bit(s, PENDING, BS),
  ],
  [
    'guest.pending_debug.rtm',
    'with RTM, bits 11:0 and 14 are 0, bit 12 is 1 and there is no blocking by MOV SS',
    [PENDING, F.GUEST_INTERRUPTIBILITY_INFO],
    (s) =>
      !t.bit(s, PENDING, RTM) ||
      (t.clear(s, PENDING, 0x4fff & ~0x1000) && t.bit(s, PENDING, 12) && !blocks(s, BLOCKING.movSs)),
  ],
  [
    'guest.pending_debug.bus_lock_support',
    'bit 11 (bus lock) of the pending debug exceptions is 0 where the processor has no OS bus-lock detection',
    [PENDING],
    (s) => !t.bit(s, PENDING, BLD) || s.has('BUS_LOCK_DETECT'),
  ],
  [
    'guest.pending_debug.rtm_support',
    'bit 16 (RTM) of the pending debug exceptions is 0 where the processor has no RTM',
    [PENDING],
    (s) => !t.bit(s, PENDING, RTM) || s.has('RTM'),
  ],
];

const LINK = F.VMCS_LINK_POINTER;
const linked: Condition = (s) => s.low(LINK) !== 0xffff_ffff || s.high(LINK) !== 0xffff_ffff;
/** Only a pointer that is well formed is followed. */
const followed: Condition = (s) => linked(s) && t.pageAligned(s, LINK) && t.inWidth(s, LINK);
const shadowing: Condition = (s) => t.secondary(s, SECONDARY.shadowing);
const linkedWord = (s: CheckState): number => s.memory(s.low(LINK), s.high(LINK));

const differs = (s: CheckState, a: number, b: number): boolean => s.low(a) !== s.low(b) || s.high(a) !== s.high(b);

const linkRows: readonly Row[] = [
  [
    'guest.link.aligned',
    'bits 11:0 of the VMCS link pointer are 0',
    [LINK],
    (s) => !linked(s) || t.pageAligned(s, LINK),
  ],
  [
    'guest.link.width',
    'the VMCS link pointer does not exceed the physical-address width',
    [LINK],
    (s) => !linked(s) || t.inWidth(s, LINK),
    'a VMCS that was cleared to 0 and never written holds 0, which is a pointer; all ones means none',
  ],
  [
    'guest.link.revision',
    'the region that the VMCS link pointer names begins with the VMCS revision identifier',
    [LINK, 'memory'],
    (s) => !followed(s) || (linkedWord(s) & 0x7fff_ffff) === (s.capabilityLow(VMX_MSR.basic) & 0x7fff_ffff),
  ],
  [
    'guest.link.shadow',
    'bit 31 of the first word of the linked region equals "VMCS shadowing"',
    [LINK, 'memory', ...t.SECONDARY_CONTROLS],
    (s) => !followed(s) || linkedWord(s) >>> 31 === (shadowing(s) ? 1 : 0),
  ],
  [
    'guest.link.current',
    'the VMCS link pointer is not the current VMCS, outside SMM or with "entry to SMM"',
    [LINK, 'VMCS_POINTER', 'SMM', ...t.ENTRY_CONTROLS],
    (s) => !linked(s) || t.returnsFromSmm(s) || s.high(LINK) !== 0 || s.low(LINK) !== s.register('VMCS_POINTER'),
  ],
  [
    'guest.link.executive',
    'the VMCS link pointer is not the executive-VMCS pointer where the entry returns from SMM',
    [LINK, F.EXECUTIVE_VMCS_POINTER, 'SMM', ...t.ENTRY_CONTROLS],
    (s) => !linked(s) || !t.returnsFromSmm(s) || differs(s, LINK, F.EXECUTIVE_VMCS_POINTER),
  ],
];

/** PAE paging outside IA-32e mode. */
const usesPdptes: Condition = (s) => t.bit(s, F.GUEST_CR0, 31) && t.bit(s, F.GUEST_CR4, 5) && !t.entry(s, ENTRY.ia32e);
const ept: Condition = (s) => t.secondary(s, SECONDARY.ept);
/** Bits 2:1 and 8:5 of a PDPTE, and all beyond the physical-address width. */
const PDPTE_RESERVED = 0x1e6;
const pdpteFits = (s: CheckState, low: number, high: number): boolean =>
  (low & 1) === 0 || ((low & PDPTE_RESERVED) === 0 && high >>> (s.physicalBits - 32) === 0);
const PAGING = [F.GUEST_CR0, F.GUEST_CR4, ...t.ENTRY_CONTROLS, ...t.SECONDARY_CONTROLS] as const;
const PDPTES = [F.GUEST_PDPTR0, F.GUEST_PDPTR1, F.GUEST_PDPTR2, F.GUEST_PDPTR3] as const;

const pdpteRows: readonly Row[] = PDPTES.flatMap((field, i): Row[] => [
  [
    `guest.pdpte${i}.reserved`,
    `reserved bits of guest PDPTE${i} are 0 where it is present, with EPT and PAE paging`,
    [field, ...PAGING],
    (s) => !usesPdptes(s) || !ept(s) || pdpteFits(s, s.low(field), s.high(field)),
  ],
  [
    `guest.pdpte${i}.memory`,
    `reserved bits of PDPTE ${i} in the table that guest CR3 names are 0 where it is present, with PAE paging and no EPT`,
    [F.GUEST_CR3, 'memory', ...PAGING],
    (s) => {
      if (!usesPdptes(s) || ept(s)) return true;
      const at = ((s.low(F.GUEST_CR3) & 0xffff_ffe0) >>> 0) + 8 * i;
      return pdpteFits(s, s.memory(at, 0), s.memory(at + 4, 0));
    },
  ],
]);

/** Exit qualifications of a failed entry: Vol. 3C, "VM-Entry Failures During or After Loading Guest State". */
const QUALIFICATION = { pdptes: 2, nmi: 3, link: 4 } as const;

export const guestStateChecks: readonly Check[] = [
  ...section('guest', CITE.guestNonRegister, [...activityRows, ...interruptibilityRows]),
  ...section('guest', CITE.guestNonRegister, optionalRows, { qualification: QUALIFICATION.nmi, optional: true }),
  ...section('guest', CITE.guestNonRegister, pendingRows),
  ...section('guest', CITE.guestNonRegister, linkRows, { qualification: QUALIFICATION.link }),
  ...section('guest', CITE.guestPdptes, pdpteRows, { qualification: QUALIFICATION.pdptes }),
];
