/** Checks on guest control registers, debug registers and MSRs, descriptor tables, RIP, RFLAGS and SSP. */
import { VMX_MSR } from '../capabilities.js';
import { ENTRY, EVENT_TYPE, SECONDARY } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Row, section } from './check.js';
import { CET_RESERVED, SPEC_CTRL_DEFINED, SUPPORTED_CET, supportedCet } from './host.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const CR0_PE = 0;
const CR0_WP = 16;
const CR0_PG = 31;
const PE_AND_PG = 0x8000_0001;
const CR4_PAE = 5;
const CR4_PCIDE = 17;
const CR4_CET = 23;
const EFER_DEFINED = 0xd01;
const EFER_LME = 8;
const EFER_LMA = 10;
const FLAGS_IF = 9;
const FLAGS_VM = 17;
const FLAGS_RESERVED = 0xffc0_8028;
/** LBR, BTF, bus-lock detection, TR to FREEZE_PERFMON, ENABLE_UNCORE_PMI, FREEZE_WHILE_SMM, RTM_DEBUG. */
const DEBUGCTL_DEFINED = 0xffc7;
const DEBUGCTL_BUS_LOCK = 2;
const DEBUGCTL_RTM = 15;
/** TraceEn to BranchEn, MTCFreq, CycThresh, PSBFreq, EventEn; ADDRn_CFG, DisTNT, InjectPsbPmiOnEnable. */
const RTIT_DEFINED = { low: 0x8f7b_ffff, high: 0x0180_ffff } as const;
/** LBREn, OS, USR, CALL_STACK, and the seven kinds of branches. */
const LBR_DEFINED = 0x007f_000f;
const CS_LONG = 13;

const ia32e = (s: CheckState): boolean => t.entry(s, ENTRY.ia32e);
const unrestricted = (s: CheckState): boolean => t.secondary(s, SECONDARY.unrestricted);
/** 64-bit mode after the entry. */
const mode64 = (s: CheckState): boolean => ia32e(s) && t.bit(s, F.GUEST_CS_AR_BYTES, CS_LONG);

/** A value that counts only where a VM-entry control loads it. */
const loaded = (id: string, field: number, control: number, says: string, holds: (s: CheckState) => boolean): Row => [
  id,
  says,
  [field, ...t.ENTRY_CONTROLS],
  (s) => !t.entry(s, control) || holds(s),
];

const canonicalRow = (id: string, field: number, what: string): Row => [
  id,
  `${what} is canonical`,
  [field],
  (s) => t.canonical(s, field),
];

const controlRows: readonly Row[] = [
  [
    'guest.cr0.fixed',
    'guest CR0 has no bit that VMX operation does not support; PE and PG are free in an unrestricted guest',
    [F.GUEST_CR0, ...t.SECONDARY_CONTROLS],
    (s) => t.fixed(s, F.GUEST_CR0, VMX_MSR.cr0Fixed0, VMX_MSR.cr0Fixed1, unrestricted(s) ? PE_AND_PG : 0),
    'CR0.NE is 0, or PE or PG is 0 without "unrestricted guest"',
  ],
  [
    'guest.cr0.paging_needs_protection',
    'guest CR0.PE is 1 where CR0.PG is 1',
    [F.GUEST_CR0],
    (s) => !t.bit(s, F.GUEST_CR0, CR0_PG) || t.bit(s, F.GUEST_CR0, CR0_PE),
  ],
  [
    'guest.cr4.fixed',
    'guest CR4 has no bit that VMX operation does not support (IA32_VMX_CR4_FIXED0 and FIXED1)',
    [F.GUEST_CR4],
    (s) => t.fixed(s, F.GUEST_CR4, VMX_MSR.cr4Fixed0, VMX_MSR.cr4Fixed1),
    'CR4.VMXE is 0, or the guest was given a feature that this processor lacks',
  ],
  [
    'guest.cr4.cet_needs_wp',
    'guest CR4.CET is 1 only with CR0.WP',
    [F.GUEST_CR4, F.GUEST_CR0],
    (s) => !t.bit(s, F.GUEST_CR4, CR4_CET) || t.bit(s, F.GUEST_CR0, CR0_WP),
  ],
  loaded(
    'guest.debugctl.reserved',
    F.GUEST_IA32_DEBUGCTL,
    ENTRY.loadDebug,
    'reserved bits of guest IA32_DEBUGCTL are 0',
    (s) => t.clear(s, F.GUEST_IA32_DEBUGCTL, ~DEBUGCTL_DEFINED, 0xffff_ffff),
  ),
  loaded(
    'guest.debugctl.supported',
    F.GUEST_IA32_DEBUGCTL,
    ENTRY.loadDebug,
    'bits 2 (bus-lock detection) and 15 (RTM debugging) of guest IA32_DEBUGCTL are 0 where the processor has no such feature',
    (s) =>
      (!t.bit(s, F.GUEST_IA32_DEBUGCTL, DEBUGCTL_BUS_LOCK) || s.has('BUS_LOCK_DETECT')) &&
      (!t.bit(s, F.GUEST_IA32_DEBUGCTL, DEBUGCTL_RTM) || s.has('RTM')),
  ),
  [
    'guest.cr0.ia32e_needs_paging',
    'guest CR0.PG is 1 with "IA-32e mode guest"',
    [F.GUEST_CR0, ...t.ENTRY_CONTROLS],
    (s) => !ia32e(s) || t.bit(s, F.GUEST_CR0, CR0_PG),
  ],
  [
    'guest.cr4.ia32e_needs_pae',
    'guest CR4.PAE is 1 with "IA-32e mode guest"',
    [F.GUEST_CR4, ...t.ENTRY_CONTROLS],
    (s) => !ia32e(s) || t.bit(s, F.GUEST_CR4, CR4_PAE),
  ],
  [
    'guest.cr4.pcide',
    'guest CR4.PCIDE is 0 without "IA-32e mode guest"',
    [F.GUEST_CR4, ...t.ENTRY_CONTROLS],
    (s) => ia32e(s) || !t.bit(s, F.GUEST_CR4, CR4_PCIDE),
  ],
  [
    'guest.cr3.width',
    'guest CR3 does not exceed the physical-address width, but for bits 62:61 where the processor has LAM',
    [F.GUEST_CR3],
    (s) => t.validCr3(s, F.GUEST_CR3),
  ],
  loaded('guest.dr7.high', F.GUEST_DR7, ENTRY.loadDebug, 'bits 63:32 of guest DR7 are 0', (s) =>
    t.below4G(s, F.GUEST_DR7),
  ),
  canonicalRow('guest.sysenter_esp.canonical', F.GUEST_SYSENTER_ESP, 'guest IA32_SYSENTER_ESP'),
  canonicalRow('guest.sysenter_eip.canonical', F.GUEST_SYSENTER_EIP, 'guest IA32_SYSENTER_EIP'),
  loaded(
    'guest.perf_global_ctrl.reserved',
    F.GUEST_IA32_PERF_GLOBAL_CTRL,
    ENTRY.loadPerf,
    'reserved bits of guest IA32_PERF_GLOBAL_CTRL are 0',
    (s) => t.clear(s, F.GUEST_IA32_PERF_GLOBAL_CTRL, ~s.countersLow, ~s.countersHigh),
  ),
  loaded('guest.pat', F.GUEST_IA32_PAT, ENTRY.loadPat, 'each byte of guest IA32_PAT is 0, 1, 4, 5, 6 or 7', (s) =>
    t.validPat(s, F.GUEST_IA32_PAT),
  ),
  loaded('guest.efer.reserved', F.GUEST_IA32_EFER, ENTRY.loadEfer, 'reserved bits of guest IA32_EFER are 0', (s) =>
    t.clear(s, F.GUEST_IA32_EFER, ~EFER_DEFINED, 0xffff_ffff),
  ),
  loaded(
    'guest.efer.lma',
    F.GUEST_IA32_EFER,
    ENTRY.loadEfer,
    'guest IA32_EFER.LMA equals "IA-32e mode guest"',
    (s) => t.bit(s, F.GUEST_IA32_EFER, EFER_LMA) === ia32e(s),
  ),
  [
    'guest.efer.lme',
    'guest IA32_EFER.LME equals LMA where guest CR0.PG is 1',
    [F.GUEST_IA32_EFER, F.GUEST_CR0, ...t.ENTRY_CONTROLS],
    (s) =>
      !t.entry(s, ENTRY.loadEfer) ||
      !t.bit(s, F.GUEST_CR0, CR0_PG) ||
      t.bit(s, F.GUEST_IA32_EFER, EFER_LMA) === t.bit(s, F.GUEST_IA32_EFER, EFER_LME),
  ],
  loaded('guest.bndcfgs.reserved', F.GUEST_BNDCFGS, ENTRY.loadBndcfgs, 'bits 11:2 of guest IA32_BNDCFGS are 0', (s) =>
    t.clear(s, F.GUEST_BNDCFGS, 0xffc),
  ),
  loaded(
    'guest.bndcfgs.canonical',
    F.GUEST_BNDCFGS,
    ENTRY.loadBndcfgs,
    'the address in guest IA32_BNDCFGS is canonical',
    (s) => t.canonical(s, F.GUEST_BNDCFGS),
  ),
  loaded(
    'guest.s_cet.reserved',
    F.GUEST_S_CET,
    ENTRY.loadCet,
    'bits 9:6 of guest IA32_S_CET are 0, and bits 11:10 are not both 1',
    (s) => t.clear(s, F.GUEST_S_CET, CET_RESERVED) && (s.low(F.GUEST_S_CET) & 0xc00) !== 0xc00,
  ),
  loaded('guest.s_cet.supported', F.GUEST_S_CET, ENTRY.loadCet, `guest IA32_S_CET ${SUPPORTED_CET}`, (s) =>
    supportedCet(s, F.GUEST_S_CET),
  ),
  loaded('guest.s_cet.canonical', F.GUEST_S_CET, ENTRY.loadCet, 'guest IA32_S_CET is canonical', (s) =>
    t.canonical(s, F.GUEST_S_CET),
  ),
  loaded(
    'guest.interrupt_ssp_table.canonical',
    F.GUEST_INTR_SSP_TABLE,
    ENTRY.loadCet,
    'guest IA32_INTERRUPT_SSP_TABLE_ADDR is canonical',
    (s) => t.canonical(s, F.GUEST_INTR_SSP_TABLE),
  ),
  loaded(
    'guest.rtit_ctl.reserved',
    F.GUEST_IA32_RTIT_CTL,
    ENTRY.loadRtit,
    'reserved bits of guest IA32_RTIT_CTL are 0',
    (s) => t.clear(s, F.GUEST_IA32_RTIT_CTL, ~RTIT_DEFINED.low, ~RTIT_DEFINED.high),
  ),
  loaded(
    'guest.lbr_ctl.reserved',
    F.GUEST_IA32_LBR_CTL,
    ENTRY.loadLbr,
    'reserved bits of guest IA32_LBR_CTL are 0',
    (s) => t.clear(s, F.GUEST_IA32_LBR_CTL, ~LBR_DEFINED, 0xffff_ffff),
  ),
  loaded(
    'guest.spec_ctrl.reserved',
    F.GUEST_IA32_SPEC_CTRL,
    ENTRY.loadSpecCtrl,
    'reserved bits of guest IA32_SPEC_CTRL are 0',
    (s) => t.clear(s, F.GUEST_IA32_SPEC_CTRL, ~SPEC_CTRL_DEFINED, 0xffff_ffff),
  ),
  loaded('guest.pkrs.high', F.GUEST_IA32_PKRS, ENTRY.loadPkrs, 'bits 63:32 of guest IA32_PKRS are 0', (s) =>
    t.below4G(s, F.GUEST_IA32_PKRS),
  ),
  loaded('guest.uinv.high', F.GUEST_UINV, ENTRY.loadUinv, 'bits 15:8 of guest UINV are 0', (s) =>
    t.clear(s, F.GUEST_UINV, 0xff00),
  ),
];

const tableRows: readonly Row[] = [
  canonicalRow('guest.gdtr.base', F.GUEST_GDTR_BASE, 'the guest GDTR base'),
  canonicalRow('guest.idtr.base', F.GUEST_IDTR_BASE, 'the guest IDTR base'),
  [
    'guest.gdtr.limit',
    'bits 31:16 of the guest GDTR limit are 0',
    [F.GUEST_GDTR_LIMIT],
    (s) => t.clear(s, F.GUEST_GDTR_LIMIT, 0xffff_0000),
  ],
  [
    'guest.idtr.limit',
    'bits 31:16 of the guest IDTR limit are 0',
    [F.GUEST_IDTR_LIMIT],
    (s) => t.clear(s, F.GUEST_IDTR_LIMIT, 0xffff_0000),
  ],
];

const flagRows: readonly Row[] = [
  [
    'guest.rip.high',
    'bits 63:32 of guest RIP are 0 outside 64-bit mode ("IA-32e mode guest" or CS.L is 0)',
    [F.GUEST_RIP, F.GUEST_CS_AR_BYTES, ...t.ENTRY_CONTROLS],
    (s) => t.below4G(s, F.GUEST_RIP) || mode64(s),
  ],
  [
    'guest.rip.linear_width',
    'bits of guest RIP beyond the linear-address width are identical in 64-bit mode; it need not be canonical',
    [F.GUEST_RIP, F.GUEST_CS_AR_BYTES, ...t.ENTRY_CONTROLS],
    (s) => t.inLinearWidth(s, F.GUEST_RIP) || !mode64(s),
  ],
  [
    'guest.rflags.reserved',
    'bits 63:22, 15, 5 and 3 of guest RFLAGS are 0',
    [F.GUEST_RFLAGS],
    (s) => t.clear(s, F.GUEST_RFLAGS, FLAGS_RESERVED, 0xffff_ffff),
  ],
  ['guest.rflags.bit1', 'bit 1 of guest RFLAGS is 1', [F.GUEST_RFLAGS], (s) => t.bit(s, F.GUEST_RFLAGS, 1)],
  [
    'guest.rflags.vm_in_ia32e',
    'guest RFLAGS.VM is 0 with "IA-32e mode guest"',
    [F.GUEST_RFLAGS, ...t.ENTRY_CONTROLS],
    (s) => !t.bit(s, F.GUEST_RFLAGS, FLAGS_VM) || !ia32e(s),
  ],
  [
    'guest.rflags.vm_needs_protection',
    'guest RFLAGS.VM is 0 where CR0.PE is 0',
    [F.GUEST_RFLAGS, F.GUEST_CR0],
    (s) => !t.bit(s, F.GUEST_RFLAGS, FLAGS_VM) || t.bit(s, F.GUEST_CR0, CR0_PE),
  ],
  [
    'guest.rflags.if_for_injection',
    'guest RFLAGS.IF is 1 where an external interrupt is injected',
    [F.GUEST_RFLAGS, ...t.INJECTION],
    (s) => !t.injects(s, EVENT_TYPE.external) || t.bit(s, F.GUEST_RFLAGS, FLAGS_IF),
    'the hypervisor injected an interrupt without waiting for the interrupt window',
  ],
  loaded('guest.ssp.aligned', F.GUEST_SSP, ENTRY.loadCet, 'bits 1:0 of guest SSP are 0', (s) =>
    t.clear(s, F.GUEST_SSP, 3),
  ),
  loaded(
    'guest.ssp.linear_width',
    F.GUEST_SSP,
    ENTRY.loadCet,
    'bits of guest SSP beyond the linear-address width are identical; it need not be canonical',
    (s) => t.inLinearWidth(s, F.GUEST_SSP),
  ),
];

export const guestRegisterChecks: readonly Check[] = section('guest', CITE.guestRegisters, controlRows);
export const guestTableChecks: readonly Check[] = [
  ...section('guest', CITE.guestTables, tableRows),
  ...section('guest', CITE.guestFlags, flagRows),
];
