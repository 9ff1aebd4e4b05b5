/**
 * Names of the bits of the fields that dumps print; those of VMX controls are in control-bits.ts, those of SVM
 * alone in svm-bits.ts. Registers: Intel SDM Vol. 3A, "Control Registers".
 */
import { SVM_EXCEPTIONS } from '../../engine/svm/exit-codes.js';
import { VMX_EXIT_MODIFIERS, VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import { VMX_EVENT, VMX_EXITING_EVENT } from '../event-bits.js';
import { type BitField, BREAKPOINTS, exceptions, fieldsOf, flags, number } from './bit-fields.js';
import { CONTROLS } from './control-bits.js';
import { SVM_BITS } from './svm-bits.js';

/** APM Vol. 2, appendix B, "VMSA Layout"; they are those of the SEV_STATUS MSR from its bit 2 on. */
const SEV_FEATURES = flags({
  0: 'SNPActive',
  1: 'vTOM',
  2: 'ReflectVC',
  3: 'RestrictedInjection',
  4: 'AlternateInjection',
  5: 'DebugVirtualization',
  6: 'PreventHostIBS',
  7: 'SNPBTBIsolation',
  8: 'VmplSSS',
  9: 'SecureTSC',
  10: 'VmgexitParameter',
  11: 'PmcVirtualization',
  12: 'IbsVirtualization',
  14: 'VmsaRegProt',
  15: 'SmtProtection',
  16: 'SecureAvic',
  21: 'IbpbOnEntry',
});
const CR0 = flags({
  0: 'PE',
  1: 'MP',
  2: 'EM',
  3: 'TS',
  4: 'ET',
  5: 'NE',
  16: 'WP',
  18: 'AM',
  29: 'NW',
  30: 'CD',
  31: 'PG',
});
const CR4 = flags({
  0: 'VME',
  1: 'PVI',
  2: 'TSD',
  3: 'DE',
  4: 'PSE',
  5: 'PAE',
  6: 'MCE',
  7: 'PGE',
  8: 'PCE',
  9: 'OSFXSR',
  10: 'OSXMMEXCPT',
  11: 'UMIP',
  12: 'LA57',
  13: 'VMXE',
  14: 'SMXE',
  16: 'FSGSBASE',
  17: 'PCIDE',
  18: 'OSXSAVE',
  19: 'KL',
  20: 'SMEP',
  21: 'SMAP',
  22: 'PKE',
  23: 'CET',
  24: 'PKS',
  25: 'UINTR',
  27: 'LASS',
  28: 'LAM_SUP',
  32: 'FRED',
});
const EFER = flags({
  0: 'SCE',
  8: 'LME',
  10: 'LMA',
  11: 'NXE',
  12: 'SVME',
  13: 'LMSLE',
  14: 'FFXSR',
  15: 'TCE',
  17: 'MCOMMIT',
  18: 'INTWB',
  20: 'UAIE',
  21: 'AIBRSE',
});
const RFLAGS = [
  ...flags({ 0: 'CF', 2: 'PF', 4: 'AF', 6: 'ZF', 7: 'SF', 8: 'TF', 9: 'IF', 10: 'DF', 11: 'OF' }),
  number(13, 12, 'IOPL'),
  ...flags({ 14: 'NT', 16: 'RF', 17: 'VM', 18: 'AC', 19: 'VIF', 20: 'VIP', 21: 'ID' }),
];
const DR7 = [...BREAKPOINTS, ...flags({ 11: 'RTM', 13: 'GD' })];
const DEBUGCTL = flags({
  0: 'LBR',
  1: 'BTF',
  2: 'BUS_LOCK_DETECT',
  6: 'TR',
  7: 'BTS',
  8: 'BTINT',
  9: 'BTS_OFF_OS',
  10: 'BTS_OFF_USR',
  11: 'FREEZE_LBRS_ON_PMI',
  12: 'FREEZE_PERFMON_ON_PMI',
  13: 'ENABLE_UNCORE_PMI',
  14: 'FREEZE_WHILE_SMM',
  15: 'RTM_DEBUG',
});

const DATA_TYPES = {
  0: 'read-only',
  1: 'read-only, accessed',
  2: 'read/write',
  3: 'read/write, accessed',
  4: 'read-only, expand-down',
  5: 'read-only, expand-down, accessed',
  6: 'read/write, expand-down',
  7: 'read/write, expand-down, accessed',
  8: 'execute-only',
  9: 'execute-only, accessed',
  10: 'execute/read',
  11: 'execute/read, accessed',
  12: 'execute-only, conforming',
  13: 'execute-only, conforming, accessed',
  14: 'execute/read, conforming',
  15: 'execute/read, conforming, accessed',
} as const;
const SYSTEM_TYPES = {
  1: '16-bit TSS, available',
  2: 'LDT',
  3: '16-bit TSS, busy',
  9: 'TSS, available',
  11: 'TSS, busy',
} as const;
const rights = (types: BitField['values']): BitField[] => [
  number(3, 0, 'type', types),
  ...flags({ 4: 'S' }),
  number(6, 5, 'DPL'),
  ...flags({ 7: 'P', 12: 'AVL', 13: 'L', 14: 'D/B', 15: 'G', 16: 'unusable' }),
];
/** The VMCB keeps the rights without the gap that a descriptor has for the limit. */
const attributes = (types: BitField['values']): BitField[] => [
  number(3, 0, 'type', types),
  ...flags({ 4: 'S' }),
  number(6, 5, 'DPL'),
  ...flags({ 7: 'P', 8: 'AVL', 9: 'L', 10: 'D/B', 11: 'G' }),
];

/**
 * SDM Vol. 3A, "Protected-Mode Exceptions and Interrupts": what AMD calls XF is XM, and 20 is VE. Vector 2 is no
 * exception, and no bit of the bitmap is about NMIs.
 */
const VMX_EXCEPTIONS = Object.fromEntries(
  Object.entries({ ...SVM_EXCEPTIONS, 19: 'XM', 20: 'VE' }).filter(
    ([vector]) => vector !== '2' && Number(vector) <= 21,
  ),
);

export const BITS: { readonly [field: string]: readonly BitField[] } = {
  GUEST_CR0: CR0,
  HOST_CR0: CR0,
  CR0,
  GUEST_CR4: CR4,
  HOST_CR4: CR4,
  CR4,
  GUEST_IA32_EFER: EFER,
  HOST_IA32_EFER: EFER,
  EFER,
  GUEST_RFLAGS: RFLAGS,
  RFLAGS,
  GUEST_DR7: DR7,
  GUEST_IA32_DEBUGCTL: DEBUGCTL,
  // SDM Vol. 3C, "Format of Pending-Debug-Exceptions"; BLD: a bus lock.
  GUEST_PENDING_DBG_EXCEPTIONS: flags({
    0: 'B0',
    1: 'B1',
    2: 'B2',
    3: 'B3',
    11: 'BLD',
    12: 'enabled breakpoint',
    14: 'BS',
    16: 'RTM',
  }),
  GUEST_INTERRUPTIBILITY_INFO: flags({
    0: 'blocking by STI',
    1: 'blocking by MOV SS',
    2: 'blocking by SMI',
    3: 'blocking by NMI',
    4: 'enclave interruption',
  }),
  GUEST_ACTIVITY_STATE: [number(31, 0, 'state', { 0: 'active', 1: 'HLT', 2: 'shutdown', 3: 'wait-for-SIPI' })],
  // SDM Vol. 3C, "Format of Exit Reason".
  VM_EXIT_REASON: [
    number(15, 0, 'basic exit reason', Object.fromEntries(VMX_EXIT_REASONS.map(({ code, name }) => [code, name]))),
    ...VMX_EXIT_MODIFIERS.map(({ bit, name }) => ({ high: bit, low: bit, name })),
    ...flags({ 31: 'VM-entry failure' }),
  ],
  VM_ENTRY_INTR_INFO_FIELD: fieldsOf(VMX_EVENT),
  VM_EXIT_INTR_INFO: fieldsOf(VMX_EXITING_EVENT),
  IDT_VECTORING_INFO_FIELD: fieldsOf(VMX_EVENT),
  SEV_FEATURES,
  GUEST_SEV_FEATURES: SEV_FEATURES,
  ALLOWED_SEV_FEATURES: [...SEV_FEATURES, ...flags({ 63: 'mask enabled' })],
  // SDM Vol. 3C, "Format of Extended-Page-Table Pointer". The address ends at MAXPHYADDR, which is at most 52.
  EPT_POINTER: [
    number(2, 0, 'memory type', { 0: 'uncacheable', 6: 'write-back' }),
    number(5, 3, 'walk', { 3: '4 levels', 4: '5 levels' }),
    ...flags({ 6: 'accessed and dirty flags', 7: 'supervisor shadow-stack control' }),
    { high: 51, low: 12, name: 'EPT paging structure at', isAddress: true },
  ],
  EXCEPTION_BITMAP: exceptions(VMX_EXCEPTIONS),
  ...CONTROLS,
  ...SVM_BITS,
  ...Object.fromEntries(
    ['CS', 'DS', 'SS', 'ES', 'FS', 'GS'].flatMap((name) => [
      [`GUEST_${name}_AR_BYTES`, rights(DATA_TYPES)],
      [`${name}_ATTRIB`, attributes(DATA_TYPES)],
    ]),
  ),
  ...Object.fromEntries(
    ['LDTR', 'TR'].flatMap((name) => [
      [`GUEST_${name}_AR_BYTES`, rights(SYSTEM_TYPES)],
      [`${name}_ATTRIB`, attributes(SYSTEM_TYPES)],
    ]),
  ),
};

/** Bits that every processor wants to be 1 and that mean nothing of their own. */
export const DEFAULT_ONES: { readonly [field: string]: bigint } = {
  PIN_BASED_VM_EXEC_CONTROL: 0x16n,
  CPU_BASED_VM_EXEC_CONTROL: 0x0400_6172n,
  VM_EXIT_CONTROLS: 0x3_6dfbn,
  VM_ENTRY_CONTROLS: 0x11fbn,
  // They read as 1. What lacks bit 1 of RFLAGS breaks a rule, which says so.
  DR6: 0xffff_07f0n,
  GUEST_DR7: 0x400n,
  DR7: 0x400n,
  GUEST_RFLAGS: 0x2n,
  RFLAGS: 0x2n,
};
