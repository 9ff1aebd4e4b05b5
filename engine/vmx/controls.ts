/**
 * Bits of the VMX controls: Intel SDM Vol. 3C, "VM-Execution Control Fields", "VM-Exit Control Fields" and
 * "VM-Entry Control Fields".
 */
import { F } from './fields.js';

/** Pin-based VM-execution controls. */
export const PIN = {
  externalInterrupt: 1 << 0,
  nmi: 1 << 3,
  virtualNmis: 1 << 5,
  timer: 1 << 6,
  posted: 1 << 7,
} as const;

/** Primary processor-based VM-execution controls. */
export const PRIMARY = {
  interruptWindow: 1 << 2,
  tscOffset: 1 << 3,
  hlt: 1 << 7,
  invlpg: 1 << 9,
  mwait: 1 << 10,
  rdpmc: 1 << 11,
  rdtsc: 1 << 12,
  cr3Load: 1 << 15,
  cr3Store: 1 << 16,
  tertiary: 1 << 17,
  cr8Load: 1 << 19,
  cr8Store: 1 << 20,
  tprShadow: 1 << 21,
  nmiWindow: 1 << 22,
  movDr: 1 << 23,
  unconditionalIo: 1 << 24,
  ioBitmaps: 1 << 25,
  trapFlag: 1 << 27,
  msrBitmaps: 1 << 28,
  monitor: 1 << 29,
  pause: 1 << 30,
  secondary: 1 << 31,
} as const;

/** Secondary processor-based VM-execution controls. */
export const SECONDARY = {
  apicAccesses: 1 << 0,
  ept: 1 << 1,
  descriptorTable: 1 << 2,
  rdtscp: 1 << 3,
  x2apic: 1 << 4,
  vpid: 1 << 5,
  wbinvd: 1 << 6,
  unrestricted: 1 << 7,
  apicRegisters: 1 << 8,
  interruptDelivery: 1 << 9,
  pauseLoop: 1 << 10,
  rdrand: 1 << 11,
  invpcid: 1 << 12,
  vmfunc: 1 << 13,
  shadowing: 1 << 14,
  encls: 1 << 15,
  rdseed: 1 << 16,
  pml: 1 << 17,
  eptViolationVe: 1 << 18,
  concealFromPt: 1 << 19,
  xsaves: 1 << 20,
  pasid: 1 << 21,
  modeBasedExecute: 1 << 22,
  subPage: 1 << 23,
  ptGuestPhysical: 1 << 24,
  tscScaling: 1 << 25,
  userWait: 1 << 26,
  pconfig: 1 << 27,
  enclv: 1 << 28,
  busLock: 1 << 30,
  instructionTimeout: 1 << 31,
} as const;

/** Tertiary processor-based VM-execution controls, low half. */
export const TERTIARY = {
  loadIwKey: 1 << 0,
  hlat: 1 << 1,
  pagingWrite: 1 << 2,
  guestPagingVerification: 1 << 3,
  ipi: 1 << 4,
  seamWidth: 1 << 5,
  msrList: 1 << 6,
  specCtrl: 1 << 7,
  apicTimer: 1 << 8,
  pbndkb: 1 << 9,
  pebsGuestPhysical: 1 << 12,
} as const;

/** Primary VM-exit controls. */
export const EXIT = {
  saveDebug: 1 << 2,
  host64: 1 << 9,
  loadPerf: 1 << 12,
  acknowledge: 1 << 15,
  savePat: 1 << 18,
  loadPat: 1 << 19,
  saveEfer: 1 << 20,
  loadEfer: 1 << 21,
  saveTimer: 1 << 22,
  clearBndcfgs: 1 << 23,
  concealFromPt: 1 << 24,
  clearRtit: 1 << 25,
  clearLbr: 1 << 26,
  clearUinv: 1 << 27,
  loadCet: 1 << 28,
  loadPkrs: 1 << 29,
  savePerf: 1 << 30,
  secondary: 1 << 31,
} as const;

/** Secondary VM-exit controls, low half. */
export const EXIT2 = {
  saveFred: 1 << 0,
  loadFred: 1 << 1,
  loadSpecCtrl: 1 << 2,
  busyShadowStack: 1 << 3,
} as const;

/** VM-entry controls. */
export const ENTRY = {
  loadDebug: 1 << 2,
  ia32e: 1 << 9,
  smm: 1 << 10,
  deactivateDualMonitor: 1 << 11,
  loadPerf: 1 << 13,
  loadPat: 1 << 14,
  loadEfer: 1 << 15,
  loadBndcfgs: 1 << 16,
  concealFromPt: 1 << 17,
  loadRtit: 1 << 18,
  loadUinv: 1 << 19,
  loadCet: 1 << 20,
  loadLbr: 1 << 21,
  loadPkrs: 1 << 22,
  loadFred: 1 << 23,
  loadSpecCtrl: 1 << 24,
  seamTelemetry: 1 << 25,
} as const;

/** Interruptibility state: Vol. 3C, "Guest Non-Register State". */
export const BLOCKING = { sti: 1, movSs: 2, smi: 4, nmi: 8, enclave: 16 } as const;
/** Activity state. */
export const ACTIVITY = { active: 0, hlt: 1, shutdown: 2, waitForSipi: 3 } as const;

/** Interruption types of the VM-entry, VM-exit and IDT-vectoring information fields. */
export const EVENT_TYPE = {
  external: 0,
  nmi: 2,
  hardwareException: 3,
  softwareInterrupt: 4,
  privilegedException: 5,
  softwareException: 6,
  other: 7,
} as const;
/** Bits of the interruption-information fields. */
export const INTR = { errorCode: 1 << 11, nmiUnblocking: 1 << 12, valid: 0x8000_0000 } as const;

/** VM-instruction error numbers: Vol. 3C, "VM-Instruction Error Numbers". */
export const VM_ERROR = {
  vmcallInRoot: 1,
  vmclearAddress: 2,
  vmclearVmxon: 3,
  vmlaunchNotClear: 4,
  vmresumeNotLaunched: 5,
  vmresumeAfterVmxoff: 6,
  entryControls: 7,
  entryHostState: 8,
  vmptrldAddress: 9,
  vmptrldVmxon: 10,
  vmptrldRevision: 11,
  unsupportedField: 12,
  readOnlyField: 13,
  vmxonInRoot: 15,
  entryExecutiveVmcs: 16,
  entryExecutiveNotLaunched: 17,
  entryExecutiveNotVmxon: 18,
  vmcallNotClear: 19,
  vmcallExitFields: 20,
  vmcallMsegRevision: 22,
  vmxoffDualMonitor: 23,
  vmcallSmmFeatures: 24,
  entryExecutiveControls: 25,
  entryMovSs: 26,
  invalidInvalidation: 28,
} as const;

/** Errors of an entry that was tried, not of an instruction that may not try one. */
export const ENTRY_ERRORS: ReadonlySet<number> = new Set([
  VM_ERROR.entryControls,
  VM_ERROR.entryHostState,
  VM_ERROR.entryMovSs,
]);

/** VMX-abort indicators: Vol. 3C, "VMX Aborts". */
export const ABORT = {
  saveMsrs: 1,
  hostPdptes: 2,
  corruptVmcs: 3,
  loadMsrs: 4,
  machineCheck: 5,
  leave64: 6,
} as const;

/** A group of controls: its field, and the MSRs that say which settings are allowed (0: there is none). */
export interface ControlGroup {
  readonly name: 'pin' | 'primary' | 'secondary' | 'tertiary' | 'exit' | 'exit2' | 'entry';
  readonly field: number;
  readonly msr: number;
  /** Used instead where IA32_VMX_BASIC bit 55 is set. */
  readonly trueMsr: number;
}

export const CONTROL_GROUPS: readonly ControlGroup[] = [
  { name: 'pin', field: F.PIN_BASED_VM_EXEC_CONTROL, msr: 0x481, trueMsr: 0x48d },
  { name: 'primary', field: F.CPU_BASED_VM_EXEC_CONTROL, msr: 0x482, trueMsr: 0x48e },
  { name: 'secondary', field: F.SECONDARY_VM_EXEC_CONTROL, msr: 0x48b, trueMsr: 0 },
  { name: 'tertiary', field: F.TERTIARY_VM_EXEC_CONTROL, msr: 0x492, trueMsr: 0 },
  { name: 'exit', field: F.VM_EXIT_CONTROLS, msr: 0x483, trueMsr: 0x48f },
  { name: 'exit2', field: F.SECONDARY_VM_EXIT_CONTROLS, msr: 0x493, trueMsr: 0 },
  { name: 'entry', field: F.VM_ENTRY_CONTROLS, msr: 0x484, trueMsr: 0x490 },
];
