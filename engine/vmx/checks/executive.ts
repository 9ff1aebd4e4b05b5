/** Checks on the executive-VMCS pointer, of VM entries that return from SMM (an SMM-transfer monitor makes them). */
import { VMX_MSR } from '../capabilities.js';
import { ENTRY, VM_ERROR } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Row, section } from './check.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const POINTER = F.EXECUTIVE_VMCS_POINTER;

const returns = (s: CheckState): boolean => !t.entry(s, ENTRY.smm) && s.register('SMM') !== 0;
const wellFormed = (s: CheckState): boolean => t.pageAligned(s, POINTER) && t.inWidth(s, POINTER);
const READS = [POINTER, 'SMM', ...t.ENTRY_CONTROLS] as const;

const pointerRows: readonly Row[] = [
  [
    'controls.executive.aligned',
    'bits 11:0 of the executive-VMCS pointer are 0 where the entry returns from SMM',
    READS,
    (s) => !returns(s) || t.pageAligned(s, POINTER),
  ],
  [
    'controls.executive.width',
    'the executive-VMCS pointer does not exceed the physical-address width where the entry returns from SMM',
    READS,
    (s) => !returns(s) || t.inWidth(s, POINTER),
  ],
  [
    'controls.executive.revision',
    'the region that the executive-VMCS pointer names begins with the VMCS revision identifier, where the entry returns from SMM',
    [...READS, 'memory'],
    (s) =>
      !returns(s) ||
      !wellFormed(s) ||
      s.memory(s.low(POINTER), s.high(POINTER)) === (s.capabilityLow(VMX_MSR.basic) & 0x7fff_ffff),
  ],
];

const vmxonRows: readonly Row[] = [
  [
    'controls.executive.vmxon',
    'the executive-VMCS pointer is the VMXON pointer with "deactivate dual-monitor treatment"',
    [...READS, 'VMXON_POINTER'],
    (s) =>
      !returns(s) ||
      !t.entry(s, ENTRY.deactivateDualMonitor) ||
      !wellFormed(s) ||
      (s.high(POINTER) === 0 && s.low(POINTER) === s.register('VMXON_POINTER')),
  ],
];

export const executiveChecks: readonly Check[] = [
  ...section('controls', CITE.executive, pointerRows, { error: VM_ERROR.entryExecutiveVmcs }),
  ...section('controls', CITE.executive, vmxonRows, { error: VM_ERROR.entryExecutiveNotVmxon }),
];
