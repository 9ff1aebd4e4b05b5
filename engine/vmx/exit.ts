/** VM exits: Intel SDM Vol. 3C, chapter "VM Exits". */
import type { Cpu } from '../cpu/cpu.js';
import { CpuFault } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { noIntercepts } from '../cpu/intercepts.js';
import { S } from '../cpu/layout.js';
import { loadPdptes } from '../memory/paging.js';
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
  const vectoring = cpu.vectoring;
  put(cpu, F.VM_EXIT_REASON, cause.reason);
  put(cpu, F.EXIT_QUALIFICATION, cause.qualificationLow, cause.qualificationHigh);
  put(cpu, F.VM_EXIT_INTR_INFO, cause.interruption);
  put(cpu, F.VM_EXIT_INTR_ERROR_CODE, cause.errorCode);
  put(cpu, F.IDT_VECTORING_INFO_FIELD, vectoring ? vectoring.info : 0);
  put(cpu, F.IDT_VECTORING_ERROR_CODE, vectoring ? vectoring.errorCode : 0);
  const software = vectoring !== null && ((vectoring.info >>> 8) & 7) >= EVENT_TYPE.softwareInterrupt;
  put(cpu, F.VM_EXIT_INSTRUCTION_LEN, software ? vectoring.instructionLength : cause.instructionLength);
  put(cpu, F.VMX_INSTRUCTION_INFO, cause.instructionInfo);
  if (cause.linear !== null) putWhole(cpu, F.GUEST_LINEAR_ADDRESS, cause.linear);
  if (cause.physical !== null) putWhole(cpu, F.GUEST_PHYSICAL_ADDRESS, BigInt(cause.physical));
  const entry = low(cpu, F.VM_ENTRY_INTR_INFO_FIELD);
  if (entry & INTR.valid) put(cpu, F.VM_ENTRY_INTR_INFO_FIELD, entry & 0x7fff_ffff);
}

/** RFLAGS as the exit saves it. During delivery RF is that of the image that delivery would have pushed. */
function savedFlags(cpu: Cpu, cause: ExitCause): number {
  const flags = cpu.rflags;
  if (cause.resumeFlag === 'keep') return flags;
  let set = cause.resumeFlag === 'set';
  if (cpu.vectoring) set = ((cpu.vectoring.info >>> 8) & 7) === EVENT_TYPE.hardwareException;
  return set ? flags | FLAG.RF : flags & ~FLAG.RF;
}

/** Vol. 3C, "Saving Guest State". */
function saveGuestState(cpu: Cpu, cause: ExitCause): void {
  const region = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  const controls = low(cpu, F.VM_EXIT_CONTROLS);
  cpu.vmx.copies.saveGuest(cpu, region);
  put(cpu, F.GUEST_RFLAGS, savedFlags(cpu, cause));
  const efer = cpu.u32(S.EFER);
  if (cpu.vmx.capabilities.savesLma) {
    const entry = low(cpu, F.VM_ENTRY_CONTROLS);
    put(cpu, F.VM_ENTRY_CONTROLS, efer & EFER_LMA ? entry | ENTRY.ia32e : entry & ~ENTRY.ia32e);
  }
  if (controls & EXIT.saveDebug) save(GUEST_DEBUG, ram, region, cpu.state);
  if (controls & EXIT.savePat) save(GUEST_PAT, ram, region, cpu.state);
  if (controls & EXIT.saveEfer) save(GUEST_EFER, ram, region, cpu.state);
  if (controls & EXIT.saveTimer && low(cpu, F.PIN_BASED_VM_EXEC_CONTROL) & PIN.timer) {
    put(cpu, F.VMX_PREEMPTION_TIMER_VALUE, timerLeft(cpu));
  }
  const usesPdptes = cpu.u32(S.CR0) & CR0_PG && cpu.u32(S.CR4) & CR4_PAE && !(efer & EFER_LMA);
  if (usesPdptes && secondaryControls(cpu) & SECONDARY.ept) save(GUEST_PDPTES, ram, region, cpu.state);
}

function tell(cpu: Cpu, cause: ExitCause): void {
  const record = cpu.begin(cause.reason >>> 31 ? 'entry_failed' : 'exit', cpu.level, cpu.u32(S.HOST_LEVEL));
  cpu.put('vmcs', S.VMCS_POINTER);
  record.set('reason', cause.reason);
  record.set('qualification', cause.qualificationLow, cause.qualificationHigh);
  cpu.put('rip', S.RIP);
  cpu.put('cr3', S.CR3);
  if (cause.interruption & INTR.valid) {
    record.set('intr_info', cause.interruption);
    if (cause.interruption & INTR.errorCode) record.set('error_code', cause.errorCode);
  }
  if (cause.linear !== null) record.setBig('gva', cause.linear);
  if (cause.physical !== null) record.setNumber('gpa', cause.physical);
  if (cause.code >= 0) record.set('code', cause.code);
  if (cause.valueBytes) {
    record.set('value', cause.valueLow, cause.valueHigh);
    record.set('size', cause.valueBytes);
  }
  if (cause.flags) record.set('flags', cause.flags);
  if (cause.instructionLength) {
    const insn = cpu.vmx.insn.at(cpu.u32(S.RECORD));
    record.byteCount = Math.min(cause.instructionLength, 15);
    for (let i = 0; i < record.byteCount; i++) record.bytes[i] = insn.byte(i);
  }
  cpu.commit();
}

/** Leaves guest operation: what intercepts, translates and counts for the host from now on. */
function leaveGuest(cpu: Cpu): void {
  cpu.setU32(S.VMX_NONROOT, 0);
  cpu.setU32(S.LEVEL, cpu.u32(S.HOST_LEVEL));
  cpu.setU32(S.EPTP, 0);
  cpu.setU32(S.VPID, 0);
  cpu.setU32(S.VMX_TIMER, 0);
  if (cpu.u32(S.VMX_TSC_OFFSET) | cpu.u32(S.VMX_TSC_OFFSET + 4)) {
    cpu.setU64(S.TSC_OFFSET, BigInt.asUintN(64, cpu.u64(S.TSC_OFFSET) - cpu.u64(S.VMX_TSC_OFFSET)));
    cpu.setU64(S.VMX_TSC_OFFSET, 0n);
  }
  cpu.intercepts = noIntercepts;
  cpu.vectoring = null;
}

/** Vol. 3C, "VMX Aborts": the processor shuts down; nothing but RESET ends it. */
function abort(cpu: Cpu, indicator: number): void {
  cpu.memory.view.setUint32(vmcsAddress(cpu) + 4, indicator, true);
  const record = cpu.begin('other').set('code', indicator);
  cpu.put('vmcs', S.VMCS_POINTER);
  record.set('flags', 8);
  cpu.commit();
  cpu.setU32(S.ACTIVITY, ACTIVITY.shutdown);
}

/** Loads the host's state and MSRs; also the end of a VM entry that failed. Returns false after a VMX abort. */
export function enterHost(cpu: Cpu, nmi: boolean): boolean {
  const flushes = !(secondaryControls(cpu) & SECONDARY.vpid);
  const virtualNmis = (low(cpu, F.PIN_BASED_VM_EXEC_CONTROL) & PIN.virtualNmis) !== 0;
  const leaves64 = (cpu.u32(S.EFER) & EFER_LMA) !== 0 && !(low(cpu, F.VM_EXIT_CONTROLS) & EXIT.host64);
  const blocked = nmi || (!virtualNmis && cpu.u32(S.INTERRUPTIBILITY) & BLOCKING.nmi);
  leaveGuest(cpu);
  if (leaves64) {
    abort(cpu, ABORT.leave64);
    return false;
  }
  loadHostState(cpu);
  cpu.setU32(S.INTERRUPTIBILITY, blocked ? BLOCKING.nmi : 0);
  cpu.updateMode();
  if (flushes) cpu.translations.flushVpid(0);
  cpu.translations.retag();
  if (hostUsesPdptes(cpu)) {
    try {
      loadPdptes(cpu, cpu.u64(S.CR3));
    } catch (error) {
      if (!(error instanceof CpuFault)) throw error;
      abort(cpu, ABORT.hostPdptes);
      return false;
    }
  }
  const count = low(cpu, F.VM_EXIT_MSR_LOAD_COUNT);
  if (count && loadMsrArea(cpu, whole(cpu, F.VM_EXIT_MSR_LOAD_ADDR), count)) {
    abort(cpu, ABORT.loadMsrs);
    return false;
  }
  return true;
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
