/**
 * What VM entries that return from SMM (an SMM-transfer monitor makes them) are checked for besides: the executive-VMCS
 * pointer, the VMCS that it names, and what cannot be carried into VMX root operation, to which the VMXON pointer leads.
 * And whose VM-execution controls they are judged by: those of that VMCS, in VMX root operation none.
 */
import { VMX_MSR } from '../capabilities.js';
import { ACTIVITY, ENTRY, EVENT_TYPE, VM_ERROR } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type CpuRegister, type Row, section } from './check.js';
import type { CpuFeature } from './features.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const POINTER = F.EXECUTIVE_VMCS_POINTER;

const wellFormed = (s: CheckState): boolean => t.pageAligned(s, POINTER) && t.inWidth(s, POINTER);
/** The pointer is the VMXON pointer: the entry goes to VMX root operation. */
const namesVmxon = (s: CheckState): boolean => s.high(POINTER) === 0 && s.low(POINTER) === s.register('VMXON_POINTER');
/** The entry returns from SMM to the VMCS that the pointer names. */
const toExecutive = (s: CheckState): boolean => t.returnsFromSmm(s) && wellFormed(s) && !namesVmxon(s);
const toRoot = (s: CheckState): boolean => t.returnsFromSmm(s) && namesVmxon(s);
const READS = [POINTER, 'SMM', ...t.ENTRY_CONTROLS] as const;
const DESTINATION = [...READS, 'VMXON_POINTER'] as const;

const pointerRows: readonly Row[] = [
  [
    'controls.executive.aligned',
    'bits 11:0 of the executive-VMCS pointer are 0 where the entry returns from SMM',
    READS,
    (s) => !t.returnsFromSmm(s) || t.pageAligned(s, POINTER),
  ],
  [
    'controls.executive.width',
    'the executive-VMCS pointer does not exceed the physical-address width where the entry returns from SMM',
    READS,
    (s) => !t.returnsFromSmm(s) || t.inWidth(s, POINTER),
  ],
  [
    'controls.executive.revision',
    'the region that the executive-VMCS pointer names begins with the VMCS revision identifier, where the entry returns from SMM',
    [...READS, 'memory'],
    (s) =>
      !t.returnsFromSmm(s) ||
      !wellFormed(s) ||
      s.memory(s.low(POINTER), s.high(POINTER)) === (s.capabilityLow(VMX_MSR.basic) & 0x7fff_ffff),
  ],
];

const vmxonRows: readonly Row[] = [
  [
    'controls.executive.vmxon',
    'the executive-VMCS pointer is the VMXON pointer with "deactivate dual-monitor treatment"',
    DESTINATION,
    (s) => !t.returnsFromSmm(s) || !t.entry(s, ENTRY.deactivateDualMonitor) || !wellFormed(s) || namesVmxon(s),
  ],
];

const launchRows: readonly Row[] = [
  [
    'controls.executive.launched',
    'the executive VMCS is launched where the entry returns from SMM to it and keeps the dual-monitor treatment',
    [...DESTINATION, 'EXECUTIVE_LAUNCHED'],
    (s) => !toExecutive(s) || t.entry(s, ENTRY.deactivateDualMonitor) || s.register('EXECUTIVE_LAUNCHED') !== 0,
  ],
];

const controlRows: readonly Row[] = [
  [
    'controls.executive.controls',
    'the VM-execution controls of the executive VMCS pass their checks where the entry returns from SMM to it',
    [...DESTINATION, 'EXECUTIVE_CONTROLS'],
    (s) => !toExecutive(s) || s.register('EXECUTIVE_CONTROLS') !== 0,
    'the executive VMCS was changed in memory by the SMM-transfer monitor, which may not write it while it is active',
  ],
];

const injectionRows: readonly Row[] = [
  [
    'controls.injection.from_smm',
    'an event with another type than 7 and another vector than 0 is not injected where the entry returns from SMM to VMX root operation',
    [...DESTINATION, ...t.INJECTION],
    (s) => !t.injects(s) || t.injectedType(s) === EVENT_TYPE.other || t.injectedVector(s) === 0 || !toRoot(s),
    'an SMM-transfer monitor injected an event although the SMI had come in VMX root operation, where only a hypervisor takes events',
  ],
];

const activityRows: readonly Row[] = [
  [
    'guest.activity.sipi_from_smm',
    'the activity state is not wait-for-SIPI where the entry returns from SMM to VMX root operation',
    [F.GUEST_ACTIVITY_STATE, ...DESTINATION],
    (s) => s.low(F.GUEST_ACTIVITY_STATE) !== ACTIVITY.waitForSipi || !toRoot(s),
  ],
];

export const executiveChecks: readonly Check[] = [
  ...section('controls', CITE.executive, pointerRows, { error: VM_ERROR.entryExecutiveVmcs }),
  ...section('controls', CITE.executive, vmxonRows, { error: VM_ERROR.entryExecutiveNotVmxon }),
  ...section('controls', CITE.executive, launchRows, { error: VM_ERROR.entryExecutiveNotLaunched }),
  ...section('controls', CITE.executive, controlRows, { error: VM_ERROR.entryExecutiveControls }),
  ...section('controls', CITE.executive, injectionRows),
];
export const executiveGuestChecks: readonly Check[] = section('guest', CITE.executive, activityRows);

const EXECUTIVE: ReadonlyMap<number, CpuRegister> = new Map([
  [F.PIN_BASED_VM_EXEC_CONTROL, 'EXECUTIVE_PIN'],
  [F.CPU_BASED_VM_EXEC_CONTROL, 'EXECUTIVE_PRIMARY'],
  [F.SECONDARY_VM_EXEC_CONTROL, 'EXECUTIVE_SECONDARY'],
  [F.TERTIARY_VM_EXEC_CONTROL, 'EXECUTIVE_TERTIARY'],
]);

/** The current VMCS with the VM-execution controls that an entry which returns from SMM is judged by. */
class Returning implements CheckState {
  readonly #current: CheckState;

  constructor(current: CheckState) {
    this.#current = current;
  }
  low(field: number): number {
    const control = EXECUTIVE.get(field);
    if (control === undefined) return this.#current.low(field);
    return namesVmxon(this.#current) ? 0 : this.#current.register(control);
  }
  high(field: number): number {
    return this.#current.high(field);
  }
  capabilityLow(msr: number): number {
    return this.#current.capabilityLow(msr);
  }
  capabilityHigh(msr: number): number {
    return this.#current.capabilityHigh(msr);
  }
  get physicalBits(): number {
    return this.#current.physicalBits;
  }
  get linearBits(): number {
    return this.#current.linearBits;
  }
  register(name: CpuRegister): number {
    return this.#current.register(name);
  }
  has(feature: CpuFeature): boolean {
    return this.#current.has(feature);
  }
  get countersLow(): number {
    return this.#current.countersLow;
  }
  get countersHigh(): number {
    return this.#current.countersHigh;
  }
  memory(low: number, high: number): number {
    return this.#current.memory(low, high);
  }
}

/**
 * Whether an entry violates a check, be it one that returns from SMM: such an entry makes no check of VM-execution
 * controls on the current VMCS, and those of guest state "as if all relevant VM-execution controls were 0" where it goes
 * to VMX root operation, else by the settings in the executive VMCS (34.15.4.2 and 34.15.4.4).
 */
export function violates(check: Check, s: CheckState): boolean {
  if (!t.returnsFromSmm(s)) return !check.holds(s);
  return !check.ofExecutive && !check.holds(new Returning(s));
}
