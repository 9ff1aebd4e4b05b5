/** Checks on the host-state area, and those related to address-space size. */
import { VMX_MSR } from '../capabilities.js';
import { ENTRY, EXIT, EXIT2 } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Row, section } from './check.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const EFER_DEFINED = 0xd01;
const EFER_LME = 8;
const EFER_LMA = 10;
const CR0_WP = 16;
const CR4_PAE = 5;
/** Loads of RIP are judged by the paging mode, those of other registers by what the processor supports. */
const CR4_LA57 = 12;
const LINEAR_BITS_4_LEVELS = 48;
const CR4_PCIDE = 17;
const CR4_CET = 23;
/** IBRS to DDPD_U, and BHI_DIS_S: what some processor has of IA32_SPEC_CTRL. */
export const SPEC_CTRL_DEFINED = 0x5ff;
/** Reserved bits of IA32_S_CET and IA32_U_CET: 9:6. */
export const CET_RESERVED = 0x3c0;
/** Bits 1:0, of shadow stacks; and 5:2 and 63:10, of indirect-branch tracking. */
const SHADOW_STACK_BITS = 3;
const BRANCH_TRACKING_BITS = 0xffff_fc3c;

/** A value of IA32_S_CET has no bit of a half of CET that the processor lacks (Vol. 4, table 2-2, 6A2H). */
export const supportedCet = (s: CheckState, field: number): boolean =>
  (t.clear(s, field, SHADOW_STACK_BITS) || s.has('CET_SS')) &&
  (t.clear(s, field, BRANCH_TRACKING_BITS, 0xffff_ffff) || s.has('CET_IBT'));
export const SUPPORTED_CET =
  'has no bit of shadow stacks (1:0) or of indirect-branch tracking (5:2 and 63:10) where the processor has no such feature';

const host64 = (s: CheckState): boolean => t.exit(s, EXIT.host64);

const canonicalRow = (id: string, field: number, what: string): Row => [
  id,
  `${what} is canonical`,
  [field],
  (s) => t.canonical(s, field),
];

/** A value that counts only where a VM-exit control loads it. */
const loaded = (id: string, field: number, control: number, says: string, holds: (s: CheckState) => boolean): Row => [
  id,
  says,
  [field, ...t.EXIT_CONTROLS],
  (s) => !t.exit(s, control) || holds(s),
];

const registerRows: readonly Row[] = [
  [
    'host.cr0.fixed',
    'host CR0 has no bit that VMX operation does not support (IA32_VMX_CR0_FIXED0 and FIXED1)',
    [F.HOST_CR0],
    (s) => t.fixed(s, F.HOST_CR0, VMX_MSR.cr0Fixed0, VMX_MSR.cr0Fixed1),
  ],
  [
    'host.cr4.fixed',
    'host CR4 has no bit that VMX operation does not support (IA32_VMX_CR4_FIXED0 and FIXED1)',
    [F.HOST_CR4],
    (s) => t.fixed(s, F.HOST_CR4, VMX_MSR.cr4Fixed0, VMX_MSR.cr4Fixed1),
  ],
  [
    'host.cr4.cet_needs_wp',
    'host CR4.CET is 1 only with CR0.WP',
    [F.HOST_CR4, F.HOST_CR0],
    (s) => !t.bit(s, F.HOST_CR4, CR4_CET) || t.bit(s, F.HOST_CR0, CR0_WP),
  ],
  [
    'host.cr3.width',
    'host CR3 does not exceed the physical-address width, but for bits 62:61 where the processor has LAM',
    [F.HOST_CR3],
    (s) => t.validCr3(s, F.HOST_CR3),
  ],
  canonicalRow('host.sysenter_esp.canonical', F.HOST_IA32_SYSENTER_ESP, 'host IA32_SYSENTER_ESP'),
  canonicalRow('host.sysenter_eip.canonical', F.HOST_IA32_SYSENTER_EIP, 'host IA32_SYSENTER_EIP'),
  loaded(
    'host.perf_global_ctrl.reserved',
    F.HOST_IA32_PERF_GLOBAL_CTRL,
    EXIT.loadPerf,
    'reserved bits of host IA32_PERF_GLOBAL_CTRL are 0',
    (s) => t.clear(s, F.HOST_IA32_PERF_GLOBAL_CTRL, ~s.countersLow, ~s.countersHigh),
  ),
  loaded('host.pat', F.HOST_IA32_PAT, EXIT.loadPat, 'each byte of host IA32_PAT is 0, 1, 4, 5, 6 or 7', (s) =>
    t.validPat(s, F.HOST_IA32_PAT),
  ),
  loaded('host.efer.reserved', F.HOST_IA32_EFER, EXIT.loadEfer, 'reserved bits of host IA32_EFER are 0', (s) =>
    t.clear(s, F.HOST_IA32_EFER, ~EFER_DEFINED, 0xffff_ffff),
  ),
  loaded(
    'host.efer.lma',
    F.HOST_IA32_EFER,
    EXIT.loadEfer,
    'host IA32_EFER.LMA equals "host address-space size"',
    (s) => t.bit(s, F.HOST_IA32_EFER, EFER_LMA) === host64(s),
  ),
  loaded(
    'host.efer.lme',
    F.HOST_IA32_EFER,
    EXIT.loadEfer,
    'host IA32_EFER.LME equals "host address-space size"',
    (s) => t.bit(s, F.HOST_IA32_EFER, EFER_LME) === host64(s),
  ),
  loaded(
    'host.s_cet.reserved',
    F.HOST_S_CET,
    EXIT.loadCet,
    'bits 9:6 of host IA32_S_CET are 0, and bits 11:10 are not both 1',
    (s) => t.clear(s, F.HOST_S_CET, CET_RESERVED) && (s.low(F.HOST_S_CET) & 0xc00) !== 0xc00,
  ),
  loaded('host.s_cet.supported', F.HOST_S_CET, EXIT.loadCet, `host IA32_S_CET ${SUPPORTED_CET}`, (s) =>
    supportedCet(s, F.HOST_S_CET),
  ),
  loaded('host.ssp.aligned', F.HOST_SSP, EXIT.loadCet, 'bits 1:0 of host SSP are 0', (s) => t.clear(s, F.HOST_SSP, 3)),
  loaded(
    'host.interrupt_ssp_table.canonical',
    F.HOST_INTR_SSP_TABLE,
    EXIT.loadCet,
    'host IA32_INTERRUPT_SSP_TABLE_ADDR is canonical',
    (s) => t.canonical(s, F.HOST_INTR_SSP_TABLE),
  ),
  [
    'host.spec_ctrl.reserved',
    'reserved bits of host IA32_SPEC_CTRL are 0 with the VM-exit control "load IA32_SPEC_CTRL"',
    [F.HOST_IA32_SPEC_CTRL, ...t.EXIT2_CONTROLS],
    (s) => !t.exit2(s, EXIT2.loadSpecCtrl) || t.clear(s, F.HOST_IA32_SPEC_CTRL, ~SPEC_CTRL_DEFINED, 0xffff_ffff),
  ],
  loaded('host.pkrs.high', F.HOST_IA32_PKRS, EXIT.loadPkrs, 'bits 63:32 of host IA32_PKRS are 0', (s) =>
    t.below4G(s, F.HOST_IA32_PKRS),
  ),
];

const selector = (name: string, field: number): Row => [
  `host.${name.toLowerCase()}.selector`,
  `RPL and TI of the host ${name} selector are 0`,
  [field],
  (s) => t.clear(s, field, 7),
];

const segmentRows: readonly Row[] = [
  selector('CS', F.HOST_CS_SELECTOR),
  selector('SS', F.HOST_SS_SELECTOR),
  selector('DS', F.HOST_DS_SELECTOR),
  selector('ES', F.HOST_ES_SELECTOR),
  selector('FS', F.HOST_FS_SELECTOR),
  selector('GS', F.HOST_GS_SELECTOR),
  selector('TR', F.HOST_TR_SELECTOR),
  ['host.cs.null', 'the host CS selector is not 0', [F.HOST_CS_SELECTOR], (s) => s.low(F.HOST_CS_SELECTOR) !== 0],
  ['host.tr.null', 'the host TR selector is not 0', [F.HOST_TR_SELECTOR], (s) => s.low(F.HOST_TR_SELECTOR) !== 0],
  [
    'host.ss.null',
    'the host SS selector is not 0 without "host address-space size"',
    [F.HOST_SS_SELECTOR, ...t.EXIT_CONTROLS],
    (s) => host64(s) || s.low(F.HOST_SS_SELECTOR) !== 0,
  ],
  canonicalRow('host.fs.base', F.HOST_FS_BASE, 'the host FS base'),
  canonicalRow('host.gs.base', F.HOST_GS_BASE, 'the host GS base'),
  canonicalRow('host.gdtr.base', F.HOST_GDTR_BASE, 'the host GDTR base'),
  canonicalRow('host.idtr.base', F.HOST_IDTR_BASE, 'the host IDTR base'),
  canonicalRow('host.tr.base', F.HOST_TR_BASE, 'the host TR base'),
];

const inIa32e = (s: CheckState): boolean => ((s.register('EFER') >>> EFER_LMA) & 1) !== 0;

const addressSpaceRows: readonly Row[] = [
  [
    'host.address_space.guest64_from_32',
    '"IA-32e mode guest" is 0 where the processor is outside IA-32e mode',
    [...t.ENTRY_CONTROLS, 'EFER'],
    (s) => !t.entry(s, ENTRY.ia32e) || inIa32e(s),
  ],
  [
    'host.address_space.host64_from_32',
    '"host address-space size" is 0 where the processor is outside IA-32e mode',
    [...t.EXIT_CONTROLS, 'EFER'],
    (s) => !host64(s) || inIa32e(s),
  ],
  [
    'host.address_space.host32_from_64',
    '"host address-space size" is 1 where the processor is in IA-32e mode',
    [...t.EXIT_CONTROLS, 'EFER'],
    (s) => host64(s) || !inIa32e(s),
  ],
  [
    'host.address_space.guest64_on_host32',
    '"IA-32e mode guest" is 1 only with "host address-space size"',
    [...t.EXIT_CONTROLS, ...t.ENTRY_CONTROLS],
    (s) => host64(s) || !t.entry(s, ENTRY.ia32e),
  ],
  [
    'host.cr4.pcide',
    'host CR4.PCIDE is 0 without "host address-space size"',
    [F.HOST_CR4, ...t.EXIT_CONTROLS],
    (s) => host64(s) || !t.bit(s, F.HOST_CR4, CR4_PCIDE),
  ],
  [
    'host.rip.high',
    'bits 63:32 of host RIP are 0 without "host address-space size"',
    [F.HOST_RIP, ...t.EXIT_CONTROLS],
    (s) => host64(s) || t.below4G(s, F.HOST_RIP),
  ],
  [
    'host.cr4.pae',
    'host CR4.PAE is 1 with "host address-space size"',
    [F.HOST_CR4, ...t.EXIT_CONTROLS],
    (s) => !host64(s) || t.bit(s, F.HOST_CR4, CR4_PAE),
  ],
  [
    'host.rip.canonical',
    'host RIP is canonical for the paging mode of host CR4 (57 bits with LA57, 48 without) with "host address-space size"',
    [F.HOST_RIP, F.HOST_CR4, ...t.EXIT_CONTROLS],
    (s) =>
      !host64(s) || t.canonical(s, F.HOST_RIP, t.bit(s, F.HOST_CR4, CR4_LA57) ? s.linearBits : LINEAR_BITS_4_LEVELS),
  ],
  loaded(
    'host.s_cet.address',
    F.HOST_S_CET,
    EXIT.loadCet,
    'host IA32_S_CET is canonical; without "host address-space size" its bits 63:32 are 0',
    (s) => (host64(s) ? t.canonical(s, F.HOST_S_CET) : t.below4G(s, F.HOST_S_CET)),
  ),
  loaded(
    'host.ssp.address',
    F.HOST_SSP,
    EXIT.loadCet,
    'host SSP is canonical; without "host address-space size" its bits 63:32 are 0',
    (s) => (host64(s) ? t.canonical(s, F.HOST_SSP) : t.below4G(s, F.HOST_SSP)),
  ),
];

export const hostChecks: readonly Check[] = [
  ...section('host', CITE.hostRegisters, registerRows),
  ...section('host', CITE.hostSegments, segmentRows),
  ...section('host', CITE.addressSpace, addressSpaceRows),
];
