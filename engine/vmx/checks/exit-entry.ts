/** Checks on VM-exit and VM-entry control fields. */
import { MISC, VMX_MSR } from '../capabilities.js';
import { ENTRY, EVENT_TYPE, EXIT, INTR, PIN, PRIMARY, SECONDARY } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Row, section } from './check.js';
import { reservedRow } from './execution.js';
import { injectsSystemCall, USES_FRED, usesFred } from './fred.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const ENTRY_BYTES = 16;

/** The address of an area's last byte, by halves in numbers that hold it exactly, is within the width. */
function lastByteInWidth(s: CheckState, address: number, count: number): boolean {
  const last = s.low(address) + s.low(count) * ENTRY_BYTES - 1;
  const high = s.high(address) + Math.floor(last / 2 ** 32);
  return high < 2 ** (s.physicalBits - 32);
}

/** Rules of an MSR area, which count only where it is not empty. */
const area = (name: string, address: number, count: number, what: string): Row[] => [
  [
    `controls.${name}.aligned`,
    `bits 3:0 of ${what} address are 0`,
    [address, count],
    (s) => s.low(count) === 0 || t.clear(s, address, 0xf),
  ],
  [
    `controls.${name}.width`,
    `${what} address does not exceed the physical-address width`,
    [address, count],
    (s) => s.low(count) === 0 || t.inWidth(s, address),
  ],
  [
    `controls.${name}.end`,
    `the last byte of ${what} area does not exceed the physical-address width`,
    [address, count],
    (s) => s.low(count) === 0 || lastByteInWidth(s, address, count),
  ],
];

/** "This check is not performed by VM entries that return from SMM" (34.15.4.2). */
const timerRows: readonly Row[] = [
  [
    'controls.save_timer',
    '"save VMX-preemption timer value" is 1 only with "activate VMX-preemption timer"',
    [...t.PIN_CONTROLS, ...t.EXIT_CONTROLS],
    (s) => t.pin(s, PIN.timer) || !t.exit(s, EXIT.saveTimer),
  ],
];

const areaRows: readonly Row[] = [
  ...area('exit_msr_store', F.VM_EXIT_MSR_STORE_ADDR, F.VM_EXIT_MSR_STORE_COUNT, 'the VM-exit MSR-store'),
  ...area('exit_msr_load', F.VM_EXIT_MSR_LOAD_ADDR, F.VM_EXIT_MSR_LOAD_COUNT, 'the VM-exit MSR-load'),
];

const MTF_SUPPORT = PRIMARY.trapFlag;
/** IA32_VMX_BASIC bit 56: hardware exceptions may come with or without an error code, whatever the vector. */
const ANY_ERROR_CODE = 1 << (56 - 32);
const NESTED_EXCEPTION = 1 << 13;
/** IA32_VMX_BASIC bit 58. */
const NESTED_EXCEPTION_SUPPORT = 1 << (58 - 32);
/** #DF, #TS, #NP, #SS, #GP, #PF, #AC. */
const PUSH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);

const delivers = (s: CheckState): boolean => (s.low(F.VM_ENTRY_INTR_INFO_FIELD) & INTR.errorCode) !== 0;
const protectedGuest = (s: CheckState): boolean => t.bit(s, F.GUEST_CR0, 0);

/** The monitor trap flag may be injected where its control may be 1. */
function supportsTrapFlag(s: CheckState): boolean {
  const isTrue = (s.capabilityHigh(VMX_MSR.basic) & (1 << (55 - 32))) !== 0;
  return (s.capabilityHigh(isTrue ? 0x48e : 0x482) & MTF_SUPPORT) !== 0;
}

function vectorFits(s: CheckState): boolean {
  const vector = t.injectedVector(s);
  switch (t.injectedType(s)) {
    case EVENT_TYPE.nmi:
      return vector === 2;
    case EVENT_TYPE.hardwareException:
      return vector <= 31;
    case EVENT_TYPE.other:
      // Without MTF and FRED the type itself is reserved, which is the other rule's.
      return injectsSystemCall(s) ? usesFred(s) : vector === 0 && (supportsTrapFlag(s) || !s.has('FRED'));
    default:
      return true;
  }
}

function errorCodeFits(s: CheckState): boolean {
  if (t.injectedType(s) !== EVENT_TYPE.hardwareException) return !delivers(s);
  // Only an unrestricted guest can be in real mode; for any other, PE must be 1, which the guest state is checked for.
  if (t.secondary(s, SECONDARY.unrestricted) && !protectedGuest(s)) return !delivers(s);
  if (s.capabilityHigh(VMX_MSR.basic) & ANY_ERROR_CODE) return true;
  return delivers(s) === PUSH_ERROR_CODE.has(t.injectedVector(s));
}

function lengthFits(s: CheckState): boolean {
  const type = t.injectedType(s);
  if (type < EVENT_TYPE.softwareInterrupt || (type === EVENT_TYPE.other && !injectsSystemCall(s))) return true;
  const length = s.low(F.VM_ENTRY_INSTRUCTION_LEN);
  return length <= 15 && (length > 0 || (s.capabilityLow(VMX_MSR.misc) & MISC.zeroLengthInjection) !== 0);
}

const injectionRows: readonly Row[] = [
  [
    'controls.injection.type',
    'an injected event has no reserved type: not 1, and 7 only where the monitor trap flag or FRED is supported',
    t.INJECTION,
    (s) => {
      if (!t.injects(s) || (t.injectedType(s) !== 1 && t.injectedType(s) !== EVENT_TYPE.other)) return true;
      return t.injectedType(s) === EVENT_TYPE.other && (supportsTrapFlag(s) || s.has('FRED'));
    },
  ],
  [
    'controls.injection.vector',
    'the vector fits the type: 2 for an NMI, at most 31 for a hardware exception, 0 for a pending MTF exit, 1 or 2 for SYSCALL and SYSENTER in a guest that uses FRED',
    [...t.INJECTION, ...USES_FRED],
    (s) => !t.injects(s) || vectorFits(s),
  ],
  [
    'controls.injection.error_code',
    'an error code is delivered exactly with a hardware exception that pushes one, in a guest with CR0.PE',
    [...t.INJECTION, F.GUEST_CR0, ...t.SECONDARY_CONTROLS],
    (s) => !t.injects(s) || errorCodeFits(s),
    'an exception that pushes an error code was injected without one, or one was kept for an event that has none',
  ],
  [
    'controls.injection.reserved',
    'bits 30:14 and 12 of the interruption information are 0',
    t.INJECTION,
    (s) => !t.injects(s) || t.clear(s, F.VM_ENTRY_INTR_INFO_FIELD, 0x7fff_d000),
  ],
  [
    'controls.injection.nested',
    'bit 13 (nested exception) is 1 only with a hardware exception, where IA32_VMX_BASIC bit 58 allows it',
    t.INJECTION,
    (s) =>
      !t.injects(s) ||
      t.clear(s, F.VM_ENTRY_INTR_INFO_FIELD, NESTED_EXCEPTION) ||
      (t.injectedType(s) === EVENT_TYPE.hardwareException &&
        (s.capabilityHigh(VMX_MSR.basic) & NESTED_EXCEPTION_SUPPORT) !== 0),
  ],
  [
    'controls.injection.error_code_reserved',
    'bits 31:16 of a delivered error code are 0',
    [...t.INJECTION, F.VM_ENTRY_EXCEPTION_ERROR_CODE],
    (s) => !t.injects(s) || !delivers(s) || t.clear(s, F.VM_ENTRY_EXCEPTION_ERROR_CODE, 0xffff_0000),
  ],
  [
    'controls.injection.length',
    'a software event, SYSCALL or SYSENTER has an instruction length of 1 to 15, or 0 where IA32_VMX_MISC bit 30 allows it',
    [...t.INJECTION, F.VM_ENTRY_INSTRUCTION_LEN],
    (s) => !t.injects(s) || lengthFits(s),
  ],
];

const entryRows: readonly Row[] = [
  reservedRow('entry'),
  ...injectionRows,
  ...area('entry_msr_load', F.VM_ENTRY_MSR_LOAD_ADDR, F.VM_ENTRY_MSR_LOAD_COUNT, 'the VM-entry MSR-load'),
  [
    'controls.entry_to_smm.outside_smm',
    '"entry to SMM" is 0 outside SMM',
    [...t.ENTRY_CONTROLS, 'SMM'],
    (s) => !t.entry(s, ENTRY.smm) || s.register('SMM') !== 0,
  ],
  [
    'controls.dual_monitor.outside_smm',
    '"deactivate dual-monitor treatment" is 0 outside SMM',
    [...t.ENTRY_CONTROLS, 'SMM'],
    (s) => !t.entry(s, ENTRY.deactivateDualMonitor) || s.register('SMM') !== 0,
  ],
  [
    'controls.entry_to_smm.excludes_dual_monitor',
    '"entry to SMM" and "deactivate dual-monitor treatment" are not both 1',
    t.ENTRY_CONTROLS,
    (s) => !t.entry(s, ENTRY.smm) || !t.entry(s, ENTRY.deactivateDualMonitor),
  ],
];

export const exitEntryChecks: readonly Check[] = [
  ...section('controls', CITE.exit, [reservedRow('exit'), reservedRow('exit2')]),
  ...section('controls', CITE.exit, timerRows, { ofExecutive: true }),
  ...section('controls', CITE.exit, areaRows),
  ...section('controls', CITE.entry, entryRows),
];
