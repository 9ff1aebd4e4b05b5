/** VM entries: Intel SDM Vol. 3C, chapter "VM Entries". */
import type { Cpu } from '../cpu/cpu.js';
import { deliverEvent } from '../cpu/delivery.js';
import { FLAG } from '../cpu/flags.js';
import { S, SEG, segRights } from '../cpu/layout.js';
import { loadPdptes } from '../memory/paging.js';
import { FIELD_INDEX } from '../observer.js';
import { evaluate } from './checks/evaluate.js';
import { CHECKS, FIRST_MSR_RULE } from './checks/table.js';
import { ACTIVITY, BLOCKING, ENTRY, EVENT_TYPE, INTR, PIN, PRIMARY, SECONDARY, VM_ERROR } from './controls.js';
import { enterHost, secondaryControls } from './exit.js';
import { VM_ENTRY_FAILURE } from './exit-reasons.js';
import { F, REGION } from './fields.js';
import { vmxIntercepts } from './intercepts.js';
import { loadMsrArea } from './msr-area.js';
import { failInvalid, failValid, loadFlags } from './result.js';
import { startTimer } from './timer.js';
import { GUEST_DEBUG, GUEST_EFER, GUEST_PAT, GUEST_PDPTES, GUEST_PERF, load } from './transfer.js';
import { hasVmcs, low, put, REASON, touch, vmcsAddress, whole } from './vmcs.js';

const CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5;
const EFER_LMA = 0x400;
const EFER_LME = 0x100;
/** ET, NW, CD and the reserved bits of CR0 that a VM entry does not load. */
const CR0_KEPT = 0x7ffa_ffd0;
const LAUNCHED = 1;

/** Loads what controls ask for, beyond the registers that every entry loads: Vol. 3C, "Loading Guest State". */
function loadControlled(cpu: Cpu, controls: number, region: number): void {
  const ram = cpu.memory.view;
  const { state } = cpu;
  if (controls & ENTRY.loadDebug) {
    load(GUEST_DEBUG, ram, region, state);
    cpu.setU32(S.DR7, (cpu.u32(S.DR7) & 0xffff_2fff) | 0x400);
  }
  if (controls & ENTRY.loadPat) load(GUEST_PAT, ram, region, state);
  if (controls & ENTRY.loadPerf) load(GUEST_PERF, ram, region, state);
  if (controls & ENTRY.loadEfer) {
    load(GUEST_EFER, ram, region, state);
    return;
  }
  // LMA follows the control; LME too where paging is on, else it stays.
  const bits = state.getUint32(S.CR0, true) & CR0_PG ? EFER_LMA | EFER_LME : EFER_LMA;
  const efer = state.getUint32(S.EFER, true);
  const wanted = controls & ENTRY.ia32e ? efer | bits : efer & ~bits;
  if (wanted !== efer) cpu.setU32(S.EFER, wanted);
}

function loadGuestState(cpu: Cpu, secondary: number, region: number): void {
  const ram = cpu.memory.view;
  const { state } = cpu;
  const cr0 = state.getUint32(S.CR0, true);
  cpu.vmx.copies.loadGuest(cpu, region);
  cpu.setU32(S.CR0, (cr0 & CR0_KEPT) | (state.getUint32(S.CR0, true) & ~CR0_KEPT));
  const flags = ram.getUint32(region + F.GUEST_RFLAGS, true);
  loadFlags(cpu, flags);
  const controls = ram.getUint32(region + F.VM_ENTRY_CONTROLS, true);
  loadControlled(cpu, controls, region);
  // The DPL of SS is the privilege level, usable or not.
  const dpl = (state.getUint32(segRights(SEG.SS), true) >>> 5) & 3;
  cpu.setU32(S.CPL, flags & FLAG.VM ? 3 : state.getUint32(S.CR0, true) & 1 ? dpl : 0);
  // PDPTEs count outside IA-32e mode only.
  if (secondary & SECONDARY.ept && !(controls & ENTRY.ia32e)) load(GUEST_PDPTES, ram, region, state);
}

/** Enters guest operation: level, translations, intercepts, TSC and timer. */
function enterGuest(cpu: Cpu, secondary: number, level: number, region: number): void {
  const ram = cpu.memory.view;
  const { state } = cpu;
  cpu.setU32(S.LEVEL, level);
  cpu.setU32(S.VMX_NONROOT, 1);
  if (secondary & SECONDARY.ept) {
    state.setUint32(S.EPTP, ram.getUint32(region + F.EPT_POINTER, true), true);
    state.setUint32(S.EPTP + 4, ram.getUint32(region + F.EPT_POINTER + 4, true), true);
  }
  cpu.setU32(S.VPID, secondary & SECONDARY.vpid ? ram.getUint32(region + F.VIRTUAL_PROCESSOR_ID, true) : 0);
  cpu.intercepts = vmxIntercepts;
  if (ram.getUint32(region + F.CPU_BASED_VM_EXEC_CONTROL, true) & PRIMARY.tscOffset) {
    const offset = whole(cpu, F.TSC_OFFSET);
    cpu.setU64(S.VMX_TSC_OFFSET, offset);
    cpu.setU64(S.TSC_OFFSET, BigInt.asUintN(64, cpu.u64(S.TSC_OFFSET) + offset));
  }
  cpu.updateMode();
  if (!(secondary & SECONDARY.vpid)) cpu.translations.flushVpid(0);
  cpu.translations.retag();
}

/** A violated check, as an event. */
function tellCheck(cpu: Cpu, index: number): void {
  cpu.begin('check').setAt(FIELD_INDEX.code, index, 0);
  cpu.putAt(FIELD_INDEX.vmcs, S.VMCS_POINTER);
  cpu.commit();
}

/** A failed entry after its basic checks: loads the host as a VM exit does, but saves nothing of the guest. */
function failEntry(cpu: Cpu, reason: number, qualification: number): void {
  touch(cpu, vmcsAddress(cpu));
  const all = (VM_ENTRY_FAILURE | reason) >>> 0;
  put(cpu, F.VM_EXIT_REASON, all);
  put(cpu, F.EXIT_QUALIFICATION, qualification);
  const record = cpu.begin('entry_failed', cpu.u32(S.HOST_LEVEL), cpu.u32(S.HOST_LEVEL));
  cpu.putAt(FIELD_INDEX.vmcs, S.VMCS_POINTER);
  record.setAt(FIELD_INDEX.reason, all, 0).setAt(FIELD_INDEX.qualification, qualification, 0);
  record.setBig('rip', whole(cpu, F.GUEST_RIP)).setBig('cr3', whole(cpu, F.GUEST_CR3));
  cpu.commit();
  enterHost(cpu, false);
  cpu.spend(1);
}

/** Level that an entry from here enters. */
const guestLevel = (cpu: Cpu): number => cpu.u32(S.ENTRY_LEVEL) || cpu.level + 1;

function tellEntry(cpu: Cpu, level: number, region: number): void {
  const record = cpu.begin('entry', cpu.level, level);
  const ram = cpu.memory.view;
  cpu.putAt(FIELD_INDEX.vmcs, S.VMCS_POINTER);
  cpu.putAt(FIELD_INDEX.rip, S.RIP);
  cpu.putAt(FIELD_INDEX.cr3, S.CR3);
  const info = ram.getUint32(region + F.VM_ENTRY_INTR_INFO_FIELD, true);
  if (info & INTR.valid) {
    record.setAt(FIELD_INDEX.intr_info, info, 0);
    const errorCode = ram.getUint32(region + F.VM_ENTRY_EXCEPTION_ERROR_CODE, true);
    if (info & INTR.errorCode) record.setAt(FIELD_INDEX.error_code, errorCode, 0);
  }
  cpu.commit();
}

/** Vol. 3C, "Event Injection". A fault of EPT on the way is a VM exit of its own. */
function inject(cpu: Cpu, info: number): void {
  const type = (info >>> 8) & 7;
  if (type === EVENT_TYPE.other) return;
  const errorCode = info & INTR.errorCode ? low(cpu, F.VM_ENTRY_EXCEPTION_ERROR_CODE) : null;
  cpu.setU32(S.INTERRUPTIBILITY, cpu.u32(S.INTERRUPTIBILITY) & ~(BLOCKING.sti | BLOCKING.movSs));
  cpu.setU32(S.ACTIVITY, ACTIVITY.active);
  // What the event does is not the work of the instruction that entered.
  cpu.setU32(S.RECORD, 0);
  deliverEvent(cpu, info & 0xff, type, errorCode, low(cpu, F.VM_ENTRY_INSTRUCTION_LEN));
}

/** The part after all checks on controls, host and guest state. */
function enter(cpu: Cpu, launch: boolean): void {
  const region = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  const secondary = secondaryControls(cpu);
  const level = guestLevel(cpu);
  cpu.setU32(S.HOST_LEVEL, cpu.level);
  loadGuestState(cpu, secondary, region);
  const count = ram.getUint32(region + F.VM_ENTRY_MSR_LOAD_COUNT, true);
  const failure = count ? loadMsrArea(cpu, whole(cpu, F.VM_ENTRY_MSR_LOAD_ADDR), count) : null;
  if (failure) {
    for (const rule of failure.violated) tellCheck(cpu, FIRST_MSR_RULE + rule);
    failEntry(cpu, REASON.msrLoading, failure.entry);
    return;
  }
  tellEntry(cpu, level, region);
  if (launch) ram.setUint32(region + REGION.launched, LAUNCHED, true);
  enterGuest(cpu, secondary, level, region);
  loadGuestPdptes(cpu, secondary);
  cpu.spend(1);
  if (ram.getUint32(region + F.PIN_BASED_VM_EXEC_CONTROL, true) & PIN.timer) startTimer(cpu);
  const info = ram.getUint32(region + F.VM_ENTRY_INTR_INFO_FIELD, true);
  if (info & INTR.valid) inject(cpu, info);
}

/** Without EPT, PAE paging reads its PDPTEs from memory; they were checked. */
function loadGuestPdptes(cpu: Cpu, secondary: number): void {
  if (secondary & SECONDARY.ept || cpu.longMode) return;
  if (cpu.u32(S.CR0) & CR0_PG && cpu.u32(S.CR4) & CR4_PAE) loadPdptes(cpu, cpu.u64(S.CR3));
}

/** Basic checks of VMLAUNCH and VMRESUME in the manual's order; false: failed and told. */
function basicChecks(cpu: Cpu, launch: boolean): boolean {
  if (!hasVmcs(cpu)) {
    failInvalid(cpu);
    return false;
  }
  const region = vmcsAddress(cpu);
  // A shadow VMCS cannot be entered.
  if (cpu.memory.view.getUint32(region, true) >>> 31) {
    failInvalid(cpu);
    return false;
  }
  if (cpu.u32(S.INTERRUPTIBILITY) & BLOCKING.movSs) {
    failValid(cpu, VM_ERROR.entryMovSs);
    return false;
  }
  const launched = cpu.memory.view.getUint32(region + REGION.launched, true) === LAUNCHED;
  if (launch === launched) {
    failValid(cpu, launch ? VM_ERROR.vmlaunchNotClear : VM_ERROR.vmresumeNotLaunched);
    return false;
  }
  return true;
}

/**
 * VMLAUNCH or VMRESUME past its privilege checks. True: the CPU stands in the guest, or at the host's RIP after a
 * failed entry or a VM exit that the entry itself caused; false: the instruction failed and the next one follows.
 */
export function vmEntry(cpu: Cpu, launch: boolean): boolean {
  if (!basicChecks(cpu, launch)) return false;
  const verdict = evaluate(cpu);
  if (!verdict) {
    enter(cpu, launch);
    return true;
  }
  for (const index of verdict.violated) tellCheck(cpu, index);
  if (verdict.stage !== 'guest') {
    failValid(cpu, verdict.stage === 'controls' ? VM_ERROR.entryControls : VM_ERROR.entryHostState);
    return false;
  }
  cpu.setU32(S.HOST_LEVEL, cpu.level);
  failEntry(cpu, REASON.guestState, CHECKS[verdict.violated[0] ?? 0]?.qualification ?? 0);
  return true;
}
