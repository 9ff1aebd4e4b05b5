/** Checks on VM-execution control fields. */
import { VMX_MSR } from '../capabilities.js';
import { CONTROL_GROUPS, type ControlGroup, EXIT, PIN, PRIMARY, SECONDARY } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Read, type Row, section } from './check.js';
import { flagsFit, memoryTypeFits, reservedClear, shadowStackFits, walkFits } from './eptp.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

export type Condition = (s: CheckState) => boolean;

const TRUE_CONTROLS = 1 << (55 - 32);

/** Bits that must be 1 are 1, bits that must be 0 are 0, as the group's capability MSR says. */
function allowedSettings(s: CheckState, group: ControlGroup): boolean {
  const value = s.low(group.field);
  // Tertiary and secondary VM-exit controls have 64 bits that may all be 0; the MSR names those that may be 1.
  if (group.name === 'tertiary' || group.name === 'exit2') {
    return (value & ~s.capabilityLow(group.msr)) === 0 && (s.high(group.field) & ~s.capabilityHigh(group.msr)) === 0;
  }
  const isTrue = group.trueMsr !== 0 && (s.capabilityHigh(VMX_MSR.basic) & TRUE_CONTROLS) !== 0;
  const msr = isTrue ? group.trueMsr : group.msr;
  return (s.capabilityLow(msr) & ~value) === 0 && (value & ~s.capabilityHigh(msr)) === 0;
}

const ACTIVATED: { readonly [name in ControlGroup['name']]: Condition } = {
  pin: () => true,
  primary: () => true,
  secondary: (s) => t.primary(s, PRIMARY.secondary),
  tertiary: (s) => t.primary(s, PRIMARY.tertiary),
  exit: () => true,
  exit2: (s) => t.exit(s, EXIT.secondary),
  entry: () => true,
};
const ACTIVATOR: { readonly [name in ControlGroup['name']]: readonly number[] } = {
  pin: [],
  primary: [],
  secondary: t.PRIMARY_CONTROLS,
  tertiary: t.PRIMARY_CONTROLS,
  exit: [],
  exit2: t.EXIT_CONTROLS,
  entry: [],
};

/** `controls.NAME.reserved` for a group of controls. */
export function reservedRow(name: ControlGroup['name']): Row {
  const group = CONTROL_GROUPS.find((candidate) => candidate.name === name) ?? CONTROL_GROUPS[0];
  if (!group) throw new RangeError(name);
  const activated = ACTIVATED[name];
  return [
    `controls.${name}.reserved`,
    `reserved bits of the ${name} controls have the values that the capability MSR ${group.msr.toString(16)}H allows`,
    [group.field, ...ACTIVATOR[name]],
    (s) => !activated(s) || allowedSettings(s, group),
    'the controls were written without masking them by the capability MSR of this processor',
  ];
}

/** An address field: aligned on a page, and within the physical-address width, where a condition holds. */
export const page = (name: string, field: number, reads: readonly Read[], when: Condition, what: string): Row[] => [
  [
    `controls.${name}.aligned`,
    `bits 11:0 of ${what} are 0`,
    [field, ...reads],
    (s) => !when(s) || t.pageAligned(s, field),
  ],
  [
    `controls.${name}.width`,
    `${what} does not exceed the physical-address width`,
    [field, ...reads],
    (s) => !when(s) || t.inWidth(s, field),
  ],
];

const tprShadow: Condition = (s) => t.primary(s, PRIMARY.tprShadow);
const delivers: Condition = (s) => t.secondary(s, SECONDARY.interruptDelivery);
const ept: Condition = (s) => t.secondary(s, SECONDARY.ept);
const posted: Condition = (s) => t.pin(s, PIN.posted);
const ioBitmaps: Condition = (s) => t.primary(s, PRIMARY.ioBitmaps);
const shadowing: Condition = (s) => t.secondary(s, SECONDARY.shadowing);
const EPTP_SWITCHING = 1;
const switching: Condition = (s) =>
  t.secondary(s, SECONDARY.vmfunc) && (s.low(F.VM_FUNCTION_CONTROL) & EPTP_SWITCHING) !== 0;

/** Secondary controls that need another one. */
const needsEpt = (name: string, control: number, what: string): Row => [
  `controls.${name}.needs_ept`,
  `"${what}" is 1 only with "enable EPT"`,
  t.SECONDARY_CONTROLS,
  (s) => !t.secondary(s, control) || ept(s),
];
const needsTprShadow = (name: string, control: number, what: string): Row => [
  `controls.${name}.needs_tpr_shadow`,
  `"${what}" is 1 only with "use TPR shadow"`,
  t.SECONDARY_CONTROLS,
  (s) => !t.secondary(s, control) || tprShadow(s),
];

/** Virtual TPR: byte 80H of the virtual-APIC page; its bits 7:4 count. */
const vtpr = (s: CheckState): number => {
  const low = s.low(F.VIRTUAL_APIC_PAGE_ADDR);
  return (s.memory((low | 0x80) >>> 0, s.high(F.VIRTUAL_APIC_PAGE_ADDR)) >>> 4) & 0xf;
};

const eptpRule = (name: string, says: string, fits: (eptp: number, low: number, high: number) => boolean): Row => [
  `controls.eptp.${name}`,
  says,
  [F.EPT_POINTER, ...t.SECONDARY_CONTROLS],
  (s) => {
    if (!ept(s)) return true;
    const capability = VMX_MSR.eptVpid;
    return fits(s.low(F.EPT_POINTER), s.capabilityLow(capability), s.capabilityHigh(capability));
  },
];

const rows: readonly Row[] = [
  reservedRow('pin'),
  reservedRow('primary'),
  reservedRow('secondary'),
  reservedRow('tertiary'),
  [
    'controls.cr3_targets',
    'the CR3-target count is not greater than IA32_VMX_MISC bits 24:16',
    [F.CR3_TARGET_COUNT],
    (s) => s.low(F.CR3_TARGET_COUNT) <= ((s.capabilityLow(VMX_MSR.misc) >>> 16) & 0x1ff),
  ],
  ...page('io_bitmap_a', F.IO_BITMAP_A, t.PRIMARY_CONTROLS, ioBitmaps, 'I/O bitmap A'),
  ...page('io_bitmap_b', F.IO_BITMAP_B, t.PRIMARY_CONTROLS, ioBitmaps, 'I/O bitmap B'),
  ...page(
    'msr_bitmap',
    F.MSR_BITMAP,
    t.PRIMARY_CONTROLS,
    (s) => t.primary(s, PRIMARY.msrBitmaps),
    'the MSR-bitmap address',
  ),
  ...page('virtual_apic', F.VIRTUAL_APIC_PAGE_ADDR, t.PRIMARY_CONTROLS, tprShadow, 'the virtual-APIC address'),
  [
    'controls.tpr_threshold.reserved',
    'bits 31:4 of the TPR threshold are 0 with "use TPR shadow" and without "virtual-interrupt delivery"',
    [F.TPR_THRESHOLD, ...t.SECONDARY_CONTROLS],
    (s) => !tprShadow(s) || delivers(s) || t.clear(s, F.TPR_THRESHOLD, 0xffff_fff0),
  ],
  [
    'controls.tpr_threshold.vtpr',
    'the TPR threshold is not above bits 7:4 of the virtual TPR, without APIC-access virtualization and virtual-interrupt delivery',
    [F.TPR_THRESHOLD, F.VIRTUAL_APIC_PAGE_ADDR, 'memory', ...t.SECONDARY_CONTROLS],
    (s) =>
      !tprShadow(s) ||
      delivers(s) ||
      t.secondary(s, SECONDARY.apicAccesses) ||
      (s.low(F.TPR_THRESHOLD) & 0xf) <= vtpr(s),
  ],
  needsTprShadow('x2apic', SECONDARY.x2apic, 'virtualize x2APIC mode'),
  needsTprShadow('apic_registers', SECONDARY.apicRegisters, 'APIC-register virtualization'),
  needsTprShadow('interrupt_delivery', SECONDARY.interruptDelivery, 'virtual-interrupt delivery'),
  [
    'controls.virtual_nmis',
    '"virtual NMIs" is 1 only with "NMI exiting"',
    t.PIN_CONTROLS,
    (s) => t.pin(s, PIN.nmi) || !t.pin(s, PIN.virtualNmis),
  ],
  [
    'controls.nmi_window',
    '"NMI-window exiting" is 1 only with "virtual NMIs"',
    [...t.PIN_CONTROLS, ...t.PRIMARY_CONTROLS],
    (s) => t.pin(s, PIN.virtualNmis) || !t.primary(s, PRIMARY.nmiWindow),
  ],
  ...page(
    'apic_access',
    F.APIC_ACCESS_ADDR,
    t.SECONDARY_CONTROLS,
    (s) => t.secondary(s, SECONDARY.apicAccesses),
    'the APIC-access address',
  ),
  [
    'controls.x2apic.excludes_apic_accesses',
    '"virtualize x2APIC mode" and "virtualize APIC accesses" are not both 1',
    t.SECONDARY_CONTROLS,
    (s) => !t.secondary(s, SECONDARY.x2apic) || !t.secondary(s, SECONDARY.apicAccesses),
  ],
  [
    'controls.interrupt_delivery.external',
    '"virtual-interrupt delivery" is 1 only with "external-interrupt exiting"',
    [...t.PIN_CONTROLS, ...t.SECONDARY_CONTROLS],
    (s) => !delivers(s) || t.pin(s, PIN.externalInterrupt),
  ],
  [
    'controls.posted.delivery',
    '"process posted interrupts" is 1 only with "virtual-interrupt delivery"',
    [...t.PIN_CONTROLS, ...t.SECONDARY_CONTROLS],
    (s) => !posted(s) || delivers(s),
  ],
  [
    'controls.posted.acknowledge',
    '"process posted interrupts" is 1 only with "acknowledge interrupt on exit"',
    [...t.PIN_CONTROLS, ...t.EXIT_CONTROLS],
    (s) => !posted(s) || t.exit(s, EXIT.acknowledge),
  ],
  [
    'controls.posted.vector',
    'bits 15:8 of the posted-interrupt notification vector are 0',
    [F.POSTED_INTR_NV, ...t.PIN_CONTROLS],
    (s) => !posted(s) || t.clear(s, F.POSTED_INTR_NV, 0xff00),
  ],
  [
    'controls.posted.aligned',
    'bits 5:0 of the posted-interrupt descriptor address are 0',
    [F.POSTED_INTR_DESC_ADDR, ...t.PIN_CONTROLS],
    (s) => !posted(s) || t.clear(s, F.POSTED_INTR_DESC_ADDR, 0x3f),
  ],
  [
    'controls.posted.width',
    'the posted-interrupt descriptor address does not exceed the physical-address width',
    [F.POSTED_INTR_DESC_ADDR, ...t.PIN_CONTROLS],
    (s) => !posted(s) || t.inWidth(s, F.POSTED_INTR_DESC_ADDR),
  ],
  [
    'controls.vpid',
    'the VPID is not 0 with "enable VPID"',
    [F.VIRTUAL_PROCESSOR_ID, ...t.SECONDARY_CONTROLS],
    (s) => !t.secondary(s, SECONDARY.vpid) || s.low(F.VIRTUAL_PROCESSOR_ID) !== 0,
  ],
  eptpRule(
    'memory_type',
    'the memory type of the EPT pointer is one that IA32_VMX_EPT_VPID_CAP reports',
    memoryTypeFits,
  ),
  eptpRule('walk', 'the page-walk length of the EPT pointer is one that IA32_VMX_EPT_VPID_CAP reports', walkFits),
  eptpRule(
    'accessed_dirty',
    'bit 6 of the EPT pointer is 0 where accessed and dirty flags are not supported',
    flagsFit,
  ),
  eptpRule(
    'shadow_stack',
    'bit 7 of the EPT pointer is 0 where supervisor shadow-stack rights are not supported',
    shadowStackFits,
  ),
  eptpRule('reserved', 'bits 11:8 of the EPT pointer are 0', (eptp) => reservedClear(eptp)),
  [
    'controls.eptp.width',
    'the EPT pointer does not exceed the physical-address width',
    [F.EPT_POINTER, ...t.SECONDARY_CONTROLS],
    (s) => !ept(s) || t.inWidth(s, F.EPT_POINTER),
  ],
  needsEpt('pml', SECONDARY.pml, 'enable PML'),
  ...page('pml', F.PML_ADDRESS, t.SECONDARY_CONTROLS, (s) => t.secondary(s, SECONDARY.pml), 'the PML address'),
  needsEpt('unrestricted', SECONDARY.unrestricted, 'unrestricted guest'),
  needsEpt('mode_based_execute', SECONDARY.modeBasedExecute, 'mode-based execute control for EPT'),
  needsEpt('sub_page', SECONDARY.subPage, 'sub-page write permissions for EPT'),
  ...page(
    'sub_page',
    F.SPP_TABLE_POINTER,
    t.SECONDARY_CONTROLS,
    (s) => t.secondary(s, SECONDARY.subPage),
    'the sub-page-permission-table pointer',
  ),
  needsEpt('pt_guest_physical', SECONDARY.ptGuestPhysical, 'Intel PT uses guest physical addresses'),
  [
    'controls.vmfunc.reserved',
    'bits of the VM-function controls are 0 where IA32_VMX_VMFUNC does not allow them',
    [F.VM_FUNCTION_CONTROL, ...t.SECONDARY_CONTROLS],
    (s) =>
      !t.secondary(s, SECONDARY.vmfunc) ||
      t.clear(s, F.VM_FUNCTION_CONTROL, ~s.capabilityLow(VMX_MSR.vmfunc), ~s.capabilityHigh(VMX_MSR.vmfunc)),
  ],
  [
    'controls.eptp_list.needs_ept',
    '"EPTP switching" is 1 only with "enable EPT"',
    [F.VM_FUNCTION_CONTROL, ...t.SECONDARY_CONTROLS],
    (s) => !switching(s) || ept(s),
  ],
  ...page(
    'eptp_list',
    F.EPTP_LIST_ADDRESS,
    [F.VM_FUNCTION_CONTROL, ...t.SECONDARY_CONTROLS],
    switching,
    'the EPTP-list address',
  ),
  ...page('vmread_bitmap', F.VMREAD_BITMAP, t.SECONDARY_CONTROLS, shadowing, 'the VMREAD-bitmap address'),
  ...page('vmwrite_bitmap', F.VMWRITE_BITMAP, t.SECONDARY_CONTROLS, shadowing, 'the VMWRITE-bitmap address'),
  ...page(
    've_information',
    F.VE_INFO_ADDRESS,
    t.SECONDARY_CONTROLS,
    (s) => t.secondary(s, SECONDARY.eptViolationVe),
    'the virtualization-exception information address',
  ),
  [
    'controls.tsc_multiplier',
    'the TSC multiplier is not 0 with "use TSC scaling"',
    [F.TSC_MULTIPLIER, ...t.SECONDARY_CONTROLS],
    (s) => !t.secondary(s, SECONDARY.tscScaling) || (s.low(F.TSC_MULTIPLIER) | s.high(F.TSC_MULTIPLIER)) !== 0,
  ],
];

export const executionChecks: readonly Check[] = section('controls', CITE.execution, rows, { ofExecutive: true });
