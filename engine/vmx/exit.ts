/** VM exits: Intel SDM Vol. 3C, chapter "VM Exits". */
import type { Cpu } from '../cpu/cpu.js';
import { CpuFault } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { noIntercepts } from '../cpu/intercepts.js';
import { S } from '../cpu/layout.js';
import { loadPdptes } from '../memory/paging.js';
import { FIELD_INDEX } from '../observer.js';
import type { ExitCause } from './cause.js';
import { ABORT, ACTIVITY, BLOCKING, ENTRY, EVENT_TYPE, EXIT, INTR, PIN, PRIMARY, SECONDARY } from './controls.js';
import { F } from './fields.js';
import { hostUsesPdptes, loadHostState } from './host-state.js';
import { loadMsrArea, storeMsrArea } from './msr-area.js';
import { timerLeft } from './timer.js';
import { GUEST_DEBUG, GUEST_EFER, GUEST_PAT, GUEST_PDPTES, save } from './transfer.js';
import { low, put, putWhole, REASON, touch, vmcsAddress, whole } from './vmcs.js';

const CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5;
const EFER_LMA = 0x400;

/** Secondary controls in force: 0 where the primary ones do not activate them. */
export const secondaryControls = (cpu: Cpu): number =>
  low(cpu, F.CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.secondary ? low(cpu, F.SECONDARY_VM_EXEC_CONTROL) : 0;

/** Vol. 3C, "Recording VM-Exit Information and Updating VM-Entry Control Fields". */
function recordInformation(cpu: Cpu, cause: ExitCause): void {
  cpu.vmx.copies.record(cpu, vmcsAddress(cpu), cause);
  if (cause.linear !== null) putWhole(cpu, F.GUEST_LINEAR_ADDRESS, cause.linear);
  if (cause.physical !== null) putWhole(cpu, F.GUEST_PHYSICAL_ADDRESS, BigInt(cause.physical));
  const { vectoring } = cpu;
  if (vectoring === null) return;
  put(cpu, F.IDT_VECTORING_INFO_FIELD, vectoring.info);
  put(cpu, F.IDT_VECTORING_ERROR_CODE, vectoring.errorCode);
  const software = ((vectoring.info >>> 8) & 7) >= EVENT_TYPE.softwareInterrupt;
  if (software) put(cpu, F.VM_EXIT_INSTRUCTION_LEN, vectoring.instructionLength);
}

/** RFLAGS as the exit saves it. During delivery RF is that of the image that delivery would have pushed. */
function savedFlags(cpu: Cpu, cause: ExitCause): number {
  const flags = cpu.rflags;
  if (cause.resumeFlag === 'keep') return flags;
  if (cause.resumeFlag === 'image') return cpu.u32(S.REPEATING) ? flags | FLAG.RF : flags;
  let set = cause.resumeFlag === 'set';
  if (cpu.vectoring) set = ((cpu.vectoring.info >>> 8) & 7) === EVENT_TYPE.hardwareException;
  return set ? flags | FLAG.RF : flags & ~FLAG.RF;
}

/** Vol. 3C, "Saving Guest State". */
function saveGuestState(cpu: Cpu, cause: ExitCause): void {
  const region = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  const { state } = cpu;
  const controls = ram.getUint32(region + F.VM_EXIT_CONTROLS, true);
  cpu.vmx.copies.saveGuest(cpu, region);
  put(cpu, F.GUEST_RFLAGS, savedFlags(cpu, cause));
  const lma = state.getUint32(S.EFER, true) & EFER_LMA;
  if (cpu.vmx.capabilities.savesLma) {
    const entry = ram.getUint32(region + F.VM_ENTRY_CONTROLS, true);
    const saved = lma ? entry | ENTRY.ia32e : entry & ~ENTRY.ia32e;
    if (saved !== entry) ram.setUint32(region + F.VM_ENTRY_CONTROLS, saved, true);
  }
  if (controls & EXIT.saveDebug) save(GUEST_DEBUG, ram, region, state);
  if (controls & EXIT.savePat) save(GUEST_PAT, ram, region, state);
  if (controls & EXIT.saveEfer) save(GUEST_EFER, ram, region, state);
  if (controls & EXIT.saveTimer && ram.getUint32(region + F.PIN_BASED_VM_EXEC_CONTROL, true) & PIN.timer) {
    put(cpu, F.VMX_PREEMPTION_TIMER_VALUE, timerLeft(cpu));
  }
  if (lma || !(state.getUint32(S.CR0, true) & CR0_PG) || !(state.getUint32(S.CR4, true) & CR4_PAE)) return;
  if (secondaryControls(cpu) & SECONDARY.ept) save(GUEST_PDPTES, ram, region, state);
}

function tell(cpu: Cpu, cause: ExitCause): void {
  const record = cpu.begin(cause.reason >>> 31 ? 'entry_failed' : 'exit', cpu.level, cpu.u32(S.HOST_LEVEL));
  cpu.putAt(FIELD_INDEX.vmcs, S.VMCS_POINTER);
  record.setAt(FIELD_INDEX.reason, cause.reason, 0);
  record.setAt(FIELD_INDEX.qualification, cause.qualificationLow, cause.qualificationHigh);
  cpu.putAt(FIELD_INDEX.rip, S.RIP);
  cpu.putAt(FIELD_INDEX.cr3, S.CR3);
  if (cause.interruption & INTR.valid) {
    record.setAt(FIELD_INDEX.intr_info, cause.interruption, 0);
    if (cause.interruption & INTR.errorCode) record.setAt(FIELD_INDEX.error_code, cause.errorCode, 0);
  }
  if (cause.linear !== null) record.setBig('gva', cause.linear);
  if (cause.physical !== null) record.setNumber('gpa', cause.physical);
  if (cause.code >= 0) record.setAt(FIELD_INDEX.code, cause.code, 0);
  if (cause.valueBytes) {
    record.setAt(FIELD_INDEX.value, cause.valueLow, cause.valueHigh);
    record.setAt(FIELD_INDEX.size, cause.valueBytes, 0);
  }
  if (cause.flags) record.setAt(FIELD_INDEX.flags, cause.flags, 0);
  const executing = cpu.u32(S.RECORD);
  if (executing) {
    const insn = cpu.vmx.insn.at(executing);
    record.byteCount = Math.min(insn.length, 15);
    for (let i = 0; i < record.byteCount; i++) record.bytes[i] = insn.byte(i);
  }
  cpu.commit();
}

/** Takes back what of the guest lies outside the registers that the host's values replace. */
function leaveGuest(cpu: Cpu): void {
  const { state } = cpu;
  cpu.setU32(S.LEVEL, state.getUint32(S.HOST_LEVEL, true));
  if (state.getUint32(S.VMX_TSC_OFFSET, true) | state.getUint32(S.VMX_TSC_OFFSET + 4, true)) {
    cpu.setU64(S.TSC_OFFSET, BigInt.asUintN(64, cpu.u64(S.TSC_OFFSET) - cpu.u64(S.VMX_TSC_OFFSET)));
    cpu.setU64(S.VMX_TSC_OFFSET, 0n);
  }
  cpu.setU32(S.REPEATING, 0);
  cpu.intercepts = noIntercepts;
  cpu.vectoring = null;
}

/** Vol. 3C, "VMX Aborts": the processor shuts down; nothing but RESET ends it. */
function abort(cpu: Cpu, indicator: number): void {
  cpu.setU32(S.VMX_NONROOT, 0);
  cpu.memory.view.setUint32(vmcsAddress(cpu) + 4, indicator, true);
  const record = cpu.begin('other').setAt(FIELD_INDEX.code, indicator, 0);
  cpu.putAt(FIELD_INDEX.vmcs, S.VMCS_POINTER);
  record.setAt(FIELD_INDEX.flags, 8, 0);
  cpu.commit();
  cpu.setU32(S.ACTIVITY, ACTIVITY.shutdown);
}

/** Loads the host's state and MSRs; also the end of a VM entry that failed. `nmi`: an NMI caused the exit. */
export function enterHost(cpu: Cpu, nmi: boolean): void {
  const { state } = cpu;
  const ram = cpu.memory.view;
  const region = vmcsAddress(cpu);
  const controls = ram.getUint32(region + F.VM_EXIT_CONTROLS, true);
  const virtualNmis = ram.getUint32(region + F.PIN_BASED_VM_EXEC_CONTROL, true) & PIN.virtualNmis;
  const blocked = nmi || (!virtualNmis && state.getUint32(S.INTERRUPTIBILITY, true) & BLOCKING.nmi);
  leaveGuest(cpu);
  if (state.getUint32(S.EFER, true) & EFER_LMA && !(controls & EXIT.host64)) {
    abort(cpu, ABORT.leave64);
    return;
  }
  loadHostState(cpu, controls);
  cpu.setU32(S.INTERRUPTIBILITY, blocked ? BLOCKING.nmi : 0);
  cpu.updateMode();
  if (!(secondaryControls(cpu) & SECONDARY.vpid)) cpu.translations.flushVpid(0);
  cpu.translations.retag();
  if (hostUsesPdptes(cpu, controls)) {
    try {
      loadPdptes(cpu, cpu.u64(S.CR3));
    } catch (error) {
      if (!(error instanceof CpuFault)) throw error;
      abort(cpu, ABORT.hostPdptes);
      return;
    }
  }
  const count = ram.getUint32(region + F.VM_EXIT_MSR_LOAD_COUNT, true);
  if (count && loadMsrArea(cpu, whole(cpu, F.VM_EXIT_MSR_LOAD_ADDR), count)) abort(cpu, ABORT.loadMsrs);
}

/**
 * Makes a VM exit: records why, saves the guest, stores and loads MSRs, loads the host. Spends one tick. Afterwards the
 * CPU stands at the host's RIP.
 */
export function vmExit(cpu: Cpu, cause: ExitCause): void {
  touch(cpu, vmcsAddress(cpu));
  recordInformation(cpu, cause);
  saveGuestState(cpu, cause);
  tell(cpu, cause);
  const count = low(cpu, F.VM_EXIT_MSR_STORE_COUNT);
  if (count && !storeMsrArea(cpu, whole(cpu, F.VM_EXIT_MSR_STORE_ADDR), count)) {
    leaveGuest(cpu);
    abort(cpu, ABORT.saveMsrs);
  } else {
    const isNmi = (cause.interruption & (INTR.valid | 0x700)) >>> 0 === (INTR.valid | (EVENT_TYPE.nmi << 8)) >>> 0;
    enterHost(cpu, cause.reason === REASON.exception && isNmi);
  }
  cpu.spend(1);
}
