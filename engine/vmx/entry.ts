/** VM entries: Intel SDM Vol. 3C, chapter "VM Entries". */
import type { Cpu } from '../cpu/cpu.js';
import { deliverEvent } from '../cpu/delivery.js';
import { NestedPageFault } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { S, SEG, segRights } from '../cpu/layout.js';
import { loadPdptes } from '../memory/paging.js';
import { evaluate } from './checks/evaluate.js';
import { CHECKS, FIRST_MSR_RULE } from './checks/table.js';
import { ACTIVITY, BLOCKING, ENTRY, EVENT_TYPE, INTR, PRIMARY, SECONDARY, VM_ERROR } from './controls.js';
import { enterHost, secondaryControls } from './exit.js';
import { VM_ENTRY_FAILURE } from './exit-reasons.js';
import { F, REGION } from './fields.js';
import { exitForNestedFault, vmxIntercepts } from './intercepts.js';
import { loadMsrArea } from './msr-area.js';
import { failInvalid, failValid } from './result.js';
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
function loadControlled(cpu: Cpu, controls: number): void {
  const region = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  if (controls & ENTRY.loadDebug) {
    load(GUEST_DEBUG, ram, region, cpu.state);
    cpu.setU32(S.DR7, (cpu.u32(S.DR7) & 0xffff_2fff) | 0x400);
  }
  if (controls & ENTRY.loadPat) load(GUEST_PAT, ram, region, cpu.state);
  if (controls & ENTRY.loadPerf) load(GUEST_PERF, ram, region, cpu.state);
  if (controls & ENTRY.loadEfer) load(GUEST_EFER, ram, region, cpu.state);
  else {
    // LMA follows the control; LME too where paging is on, else it stays.
    const ia32e = (controls & ENTRY.ia32e) !== 0;
    const paging = (cpu.u32(S.CR0) & CR0_PG) !== 0;
    const bits = paging ? EFER_LMA | EFER_LME : EFER_LMA;
    cpu.setU32(S.EFER, ia32e ? cpu.u32(S.EFER) | bits : cpu.u32(S.EFER) & ~bits);
  }
}

function loadGuestState(cpu: Cpu, secondary: number): void {
  const region = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  const cr0 = cpu.u32(S.CR0);
  cpu.vmx.copies.loadGuest(cpu, region);
  cpu.setU32(S.CR0, (cr0 & CR0_KEPT) | (cpu.u32(S.CR0) & ~CR0_KEPT));
  cpu.rflags = low(cpu, F.GUEST_RFLAGS);
  loadControlled(cpu, low(cpu, F.VM_ENTRY_CONTROLS));
  // The DPL of SS is the privilege level, usable or not.
  cpu.setU32(S.CPL, (cpu.u32(segRights(SEG.SS)) >>> 5) & 3);
  if (cpu.rflags & FLAG.VM) cpu.setU32(S.CPL, 3);
  else if (!(cpu.u32(S.CR0) & 1)) cpu.setU32(S.CPL, 0);
  if (secondary & SECONDARY.ept) load(GUEST_PDPTES, ram, region, cpu.state);
}

/** Enters guest operation: level, translations, intercepts, TSC and timer. */
function enterGuest(cpu: Cpu, secondary: number, level: number): void {
  cpu.setU32(S.LEVEL, level);
  cpu.setU32(S.VMX_NONROOT, 1);
  if (secondary & SECONDARY.ept) {
    cpu.setU32(S.EPTP, low(cpu, F.EPT_POINTER));
    cpu.state.setUint32(S.EPTP + 4, cpu.memory.view.getUint32(vmcsAddress(cpu) + F.EPT_POINTER + 4, true), true);
  }
  cpu.setU32(S.VPID, secondary & SECONDARY.vpid ? low(cpu, F.VIRTUAL_PROCESSOR_ID) : 0);
  cpu.intercepts = vmxIntercepts;
  if (low(cpu, F.CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.tscOffset) {
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
  cpu.begin('check').set('code', index);
  cpu.put('vmcs', S.VMCS_POINTER);
  cpu.commit();
}

/** A failed entry after its basic checks: loads the host as a VM exit does, but saves nothing of the guest. */
function failEntry(cpu: Cpu, reason: number, qualification: number): void {
  touch(cpu, vmcsAddress(cpu));
  const all = (VM_ENTRY_FAILURE | reason) >>> 0;
  put(cpu, F.VM_EXIT_REASON, all);
  put(cpu, F.EXIT_QUALIFICATION, qualification);
  const record = cpu.begin('entry_failed', cpu.u32(S.HOST_LEVEL), cpu.u32(S.HOST_LEVEL));
  cpu.put('vmcs', S.VMCS_POINTER);
  record.set('reason', all).set('qualification', qualification);
  record.setBig('rip', whole(cpu, F.GUEST_RIP)).setBig('cr3', whole(cpu, F.GUEST_CR3));
  cpu.commit();
  enterHost(cpu, false);
  cpu.spend(1);
}

/** Level that an entry from here enters. */
const guestLevel = (cpu: Cpu): number => cpu.u32(S.ENTRY_LEVEL) || cpu.level + 1;

function tellEntry(cpu: Cpu, level: number): void {
  const record = cpu.begin('entry', cpu.level, level);
  cpu.put('vmcs', S.VMCS_POINTER);
  const at = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  record.set('rip', ram.getUint32(at + F.GUEST_RIP, true), ram.getUint32(at + F.GUEST_RIP + 4, true));
  record.set('cr3', ram.getUint32(at + F.GUEST_CR3, true), ram.getUint32(at + F.GUEST_CR3 + 4, true));
  const info = low(cpu, F.VM_ENTRY_INTR_INFO_FIELD);
  if (info & INTR.valid) {
    record.set('intr_info', info);
    if (info & INTR.errorCode) record.set('error_code', low(cpu, F.VM_ENTRY_EXCEPTION_ERROR_CODE));
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
  try {
    deliverEvent(cpu, info & 0xff, type, errorCode, low(cpu, F.VM_ENTRY_INSTRUCTION_LEN));
  } catch (error) {
    if (!(error instanceof NestedPageFault)) throw error;
    exitForNestedFault(cpu, error.kind, error.qualification, error.gva, error.gpa);
  }
}

/** The part after all checks on controls, host and guest state. */
function enter(cpu: Cpu, launch: boolean): void {
  const secondary = secondaryControls(cpu);
  const level = guestLevel(cpu);
  cpu.setU32(S.HOST_LEVEL, cpu.level);
  loadGuestState(cpu, secondary);
  const count = low(cpu, F.VM_ENTRY_MSR_LOAD_COUNT);
  const failure = count ? loadMsrArea(cpu, whole(cpu, F.VM_ENTRY_MSR_LOAD_ADDR), count) : null;
  if (failure) {
    for (const rule of failure.violated) tellCheck(cpu, FIRST_MSR_RULE + rule);
    failEntry(cpu, REASON.msrLoading, failure.entry);
    return;
  }
  tellEntry(cpu, level);
  if (launch) {
    touch(cpu, vmcsAddress(cpu));
    cpu.memory.view.setUint32(vmcsAddress(cpu) + REGION.launched, LAUNCHED, true);
  }
  enterGuest(cpu, secondary, level);
  loadGuestPdptes(cpu, secondary);
  cpu.spend(1);
  startTimer(cpu);
  const info = low(cpu, F.VM_ENTRY_INTR_INFO_FIELD);
  if (info & INTR.valid) inject(cpu, info);
}

/** Without EPT, PAE paging reads its PDPTEs from memory; they were checked. */
function loadGuestPdptes(cpu: Cpu, secondary: number): void {
  const pae = cpu.u32(S.CR0) & CR0_PG && cpu.u32(S.CR4) & CR4_PAE && !(cpu.u32(S.EFER) & EFER_LMA);
  if (pae && !(secondary & SECONDARY.ept)) loadPdptes(cpu, cpu.u64(S.CR3));
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
