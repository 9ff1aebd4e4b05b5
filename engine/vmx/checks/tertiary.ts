/**
 * Checks on VM-execution controls that came with tertiary controls: IPI virtualization, HLAT, EPT permissions for
 * paging, APIC-timer virtualization; and PASID translation and Intel PT, whose controls are older.
 */
import { ENTRY, EXIT, PRIMARY, SECONDARY, TERTIARY } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Read, type Row, section } from './check.js';
import { type Condition, page } from './execution.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const ipi: Condition = (s) => t.tertiary(s, TERTIARY.ipi);
const hlat: Condition = (s) => t.tertiary(s, TERTIARY.hlat);
const timer: Condition = (s) => t.tertiary(s, TERTIARY.apicTimer);
const pasid: Condition = (s) => t.secondary(s, SECONDARY.pasid);

/** Bits that select PWT and PCD of HLAT paging lie between. */
const HLATP_RESERVED = 0xfe7;
const POINTER_BYTES = 8;
const TRACE_ENABLE = 1;

const TERTIARY_AND_SECONDARY: readonly Read[] = [...t.TERTIARY_CONTROLS, F.SECONDARY_VM_EXEC_CONTROL];

/** A tertiary control that needs EPT. */
const needsEpt = (name: string, control: number, what: string): Row => [
  `controls.${name}.needs_ept`,
  `"${what}" is 1 only with "enable EPT"`,
  TERTIARY_AND_SECONDARY,
  (s) => !t.tertiary(s, control) || t.secondary(s, SECONDARY.ept),
];

/** The last entry of the PID-pointer table, by halves in numbers that hold it exactly, is within the width. */
function lastPointerInWidth(s: CheckState): boolean {
  const last = s.low(F.PID_POINTER_TABLE) + s.low(F.LAST_PID_POINTER_INDEX) * POINTER_BYTES;
  return s.high(F.PID_POINTER_TABLE) + Math.floor(last / 2 ** 32) < 2 ** (s.physicalBits - 32);
}

const rows: readonly Row[] = [
  [
    'controls.ipi.needs_tpr_shadow',
    '"IPI virtualization" is 1 only with "use TPR shadow"',
    t.TERTIARY_CONTROLS,
    (s) => !ipi(s) || t.primary(s, PRIMARY.tprShadow),
  ],
  [
    'controls.ipi.aligned',
    'bits 2:0 of the PID-pointer table address are 0',
    [F.PID_POINTER_TABLE, ...t.TERTIARY_CONTROLS],
    (s) => !ipi(s) || t.clear(s, F.PID_POINTER_TABLE, 7),
  ],
  [
    'controls.ipi.width',
    'the PID-pointer table address does not exceed the physical-address width',
    [F.PID_POINTER_TABLE, ...t.TERTIARY_CONTROLS],
    (s) => !ipi(s) || t.inWidth(s, F.PID_POINTER_TABLE),
  ],
  [
    'controls.ipi.end',
    'the last entry of the PID-pointer table does not exceed the physical-address width',
    [F.PID_POINTER_TABLE, F.LAST_PID_POINTER_INDEX, ...t.TERTIARY_CONTROLS],
    (s) => !ipi(s) || lastPointerInWidth(s),
  ],
  needsEpt('hlat', TERTIARY.hlat, 'enable HLAT'),
  needsEpt('paging_write', TERTIARY.pagingWrite, 'EPT paging-write control'),
  needsEpt('guest_paging_verification', TERTIARY.guestPagingVerification, 'guest-paging verification'),
  needsEpt('pebs_guest_physical', TERTIARY.pebsGuestPhysical, 'PEBS uses guest physical addresses'),
  [
    'controls.hlat.reserved',
    'bits 2:0 and 11:5 of the HLAT pointer are 0',
    [F.HLAT_POINTER, ...t.TERTIARY_CONTROLS],
    (s) => !hlat(s) || t.clear(s, F.HLAT_POINTER, HLATP_RESERVED),
  ],
  [
    'controls.hlat.width',
    'the HLAT pointer does not exceed the physical-address width',
    [F.HLAT_POINTER, ...t.TERTIARY_CONTROLS],
    (s) => !hlat(s) || t.inWidth(s, F.HLAT_POINTER),
  ],
  [
    'controls.apic_timer.delivery',
    '"APIC-timer virtualization" is 1 only with "virtual-interrupt delivery"',
    TERTIARY_AND_SECONDARY,
    (s) => !timer(s) || t.secondary(s, SECONDARY.interruptDelivery),
  ],
  [
    'controls.apic_timer.rdtsc_exiting',
    '"RDTSC exiting" is 0 with "APIC-timer virtualization"',
    t.TERTIARY_CONTROLS,
    (s) => !timer(s) || !t.primary(s, PRIMARY.rdtsc),
  ],
  [
    'controls.apic_timer.vector',
    'bits 15:8 of the virtual-timer vector are 0 with "APIC-timer virtualization"',
    [F.VIRTUAL_TIMER_VECTOR, ...t.TERTIARY_CONTROLS],
    (s) => !timer(s) || t.clear(s, F.VIRTUAL_TIMER_VECTOR, 0xff00),
  ],
  ...page('pasid_low', F.LOW_PASID_DIRECTORY, t.SECONDARY_CONTROLS, pasid, 'the low PASID directory address'),
  ...page('pasid_high', F.HIGH_PASID_DIRECTORY, t.SECONDARY_CONTROLS, pasid, 'the high PASID directory address'),
  [
    'controls.pt_guest_physical.entry',
    '"Intel PT uses guest physical addresses" is 1 only with "load IA32_RTIT_CTL" and "clear IA32_RTIT_CTL"',
    [...t.SECONDARY_CONTROLS, ...t.ENTRY_CONTROLS, ...t.EXIT_CONTROLS],
    (s) => !t.secondary(s, SECONDARY.ptGuestPhysical) || (t.entry(s, ENTRY.loadRtit) && t.exit(s, EXIT.clearRtit)),
  ],
  [
    'controls.pt.tracing_host',
    '"load IA32_RTIT_CTL" is 0 where the processor is tracing at the entry (IA32_RTIT_CTL.TraceEn)',
    [...t.ENTRY_CONTROLS, 'RTIT_CTL'],
    (s) => !t.entry(s, ENTRY.loadRtit) || (s.register('RTIT_CTL') & TRACE_ENABLE) === 0,
    'Intel PT was started on the host after the VMCS was set up',
  ],
];

export const tertiaryChecks: readonly Check[] = section('controls', CITE.execution, rows, { ofExecutive: true });
