/**
 * State that VM entries and exits copy between the VMCS and the vCPU, as tables: field, slot, bytes. The copies are
 * made by loops over these tables, or by functions generated from them (transfer-wasm.ts).
 */
import type { Cpu } from '../cpu/cpu.js';
import { dematerialize } from '../cpu/flags.js';
import { GPR, S, SEG, segBase, segLimit, segRights, segSelector, UNUSABLE } from '../cpu/layout.js';
import type { ExitCause } from './cause.js';
import { CHECKED_BYTES, F, type Field, fieldAt, GUEST_SEGMENTS, REGION } from './fields.js';

export interface Transfer {
  /** Offset in the VMCS region. */
  readonly field: number;
  /** Offset in the vCPU's state. */
  readonly slot: number;
  readonly bytes: Field['bytes'];
}

const transfer = (field: number, slot: number): Transfer => ({ field, slot, bytes: fieldAt(field)?.bytes ?? 8 });

/** Guest state that every VM exit saves and every VM entry loads: Vol. 3C, "Guest Register State". */
export const GUEST_ALWAYS: readonly Transfer[] = [
  ...GUEST_SEGMENTS.flatMap((segment, n) => [
    transfer(segment.selector, segSelector(n)),
    transfer(segment.base, segBase(n)),
    transfer(segment.limit, segLimit(n)),
    transfer(segment.rights, segRights(n)),
  ]),
  transfer(F.GUEST_CR0, S.CR0),
  transfer(F.GUEST_CR3, S.CR3),
  transfer(F.GUEST_CR4, S.CR4),
  transfer(F.GUEST_GDTR_BASE, S.GDTR_BASE),
  transfer(F.GUEST_GDTR_LIMIT, S.GDTR_LIMIT),
  transfer(F.GUEST_IDTR_BASE, S.IDTR_BASE),
  transfer(F.GUEST_IDTR_LIMIT, S.IDTR_LIMIT),
  transfer(F.GUEST_RSP, GPR.RSP),
  transfer(F.GUEST_RIP, S.RIP),
  transfer(F.GUEST_SYSENTER_CS, S.SYSENTER_CS),
  transfer(F.GUEST_SYSENTER_ESP, S.SYSENTER_ESP),
  transfer(F.GUEST_SYSENTER_EIP, S.SYSENTER_EIP),
  transfer(F.GUEST_INTERRUPTIBILITY_INFO, S.INTERRUPTIBILITY),
  transfer(F.GUEST_ACTIVITY_STATE, S.ACTIVITY),
  transfer(F.GUEST_PENDING_DBG_EXCEPTIONS, S.PENDING_DEBUG),
];

/** Copied where a control asks for it. */
export const GUEST_DEBUG: readonly Transfer[] = [
  transfer(F.GUEST_DR7, S.DR7),
  transfer(F.GUEST_IA32_DEBUGCTL, S.DEBUGCTL),
];
export const GUEST_PAT: readonly Transfer[] = [transfer(F.GUEST_IA32_PAT, S.PAT)];
export const GUEST_EFER: readonly Transfer[] = [transfer(F.GUEST_IA32_EFER, S.EFER)];
export const GUEST_PERF: readonly Transfer[] = [transfer(F.GUEST_IA32_PERF_GLOBAL_CTRL, S.PERF_GLOBAL_CTRL)];
export const GUEST_PDPTES: readonly Transfer[] = [
  transfer(F.GUEST_PDPTR0, S.PDPTE0),
  transfer(F.GUEST_PDPTR1, S.PDPTE1),
  transfer(F.GUEST_PDPTR2, S.PDPTE2),
  transfer(F.GUEST_PDPTR3, S.PDPTE3),
];

/** Host state that every VM exit loads: Vol. 3C, "Loading Host State". */
export const HOST_ALWAYS: readonly Transfer[] = [
  transfer(F.HOST_CR0, S.CR0),
  transfer(F.HOST_CR3, S.CR3),
  transfer(F.HOST_CR4, S.CR4),
  transfer(F.HOST_ES_SELECTOR, segSelector(SEG.ES)),
  transfer(F.HOST_CS_SELECTOR, segSelector(SEG.CS)),
  transfer(F.HOST_SS_SELECTOR, segSelector(SEG.SS)),
  transfer(F.HOST_DS_SELECTOR, segSelector(SEG.DS)),
  transfer(F.HOST_FS_SELECTOR, segSelector(SEG.FS)),
  transfer(F.HOST_GS_SELECTOR, segSelector(SEG.GS)),
  transfer(F.HOST_TR_SELECTOR, segSelector(SEG.TR)),
  transfer(F.HOST_FS_BASE, segBase(SEG.FS)),
  transfer(F.HOST_GS_BASE, segBase(SEG.GS)),
  transfer(F.HOST_TR_BASE, segBase(SEG.TR)),
  transfer(F.HOST_GDTR_BASE, S.GDTR_BASE),
  transfer(F.HOST_IDTR_BASE, S.IDTR_BASE),
  transfer(F.HOST_IA32_SYSENTER_CS, S.SYSENTER_CS),
  transfer(F.HOST_IA32_SYSENTER_ESP, S.SYSENTER_ESP),
  transfer(F.HOST_IA32_SYSENTER_EIP, S.SYSENTER_EIP),
  transfer(F.HOST_RSP, GPR.RSP),
  transfer(F.HOST_RIP, S.RIP),
];

/** Lazy flags (cpu/flags.ts) in which all six arithmetic flags are clear: the high half of the carry is 0. */
export const CLEAR_FLAGS = dematerialize(0);
const DATA_RIGHTS = 0xc093;
const CODE64_RIGHTS = 0xa09b;
const NO_LIMIT = 0xffff_ffff;
/** What every VM exit sets; a 32-bit host and null selectors need more (host-state.ts). */
export const HOST_CONSTANTS: readonly (readonly [slot: number, value: number])[] = [
  ...[SEG.ES, SEG.CS, SEG.SS, SEG.DS].map((n) => [segBase(n), 0] as const),
  ...[SEG.ES, SEG.CS, SEG.SS, SEG.DS, SEG.FS, SEG.GS].map((n) => [segLimit(n), NO_LIMIT] as const),
  ...[SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS].map((n) => [segRights(n), DATA_RIGHTS] as const),
  [segRights(SEG.CS), CODE64_RIGHTS],
  [segLimit(SEG.TR), 0x67],
  [segRights(SEG.TR), 0x8b],
  [segSelector(SEG.LDTR), 0],
  [segBase(SEG.LDTR), 0],
  [segLimit(SEG.LDTR), 0],
  [segRights(SEG.LDTR), UNUSABLE],
  [S.GDTR_LIMIT, 0xffff],
  [S.IDTR_LIMIT, 0xffff],
  [S.DR7, 0x400],
  [S.DEBUGCTL, 0],
  [S.CPL, 0],
  [S.ACTIVITY, 0],
  [S.PENDING_DEBUG, 0],
  // Guest operation ends: nothing is intercepted, translated by EPT or timed any more.
  [S.VMX_NONROOT, 0],
  [S.EPTP, 0],
  [S.VPID, 0],
  [S.VMX_TIMER, 0],
  // RFLAGS is 2.
  [S.RFLAGS_REST, 2],
  [S.FLAG_RESULT, CLEAR_FLAGS.resultLow],
  [S.FLAG_CARRY, CLEAR_FLAGS.carryLow],
];
export const HOST_PAT: readonly Transfer[] = [transfer(F.HOST_IA32_PAT, S.PAT)];
export const HOST_EFER: readonly Transfer[] = [transfer(F.HOST_IA32_EFER, S.EFER)];
export const HOST_PERF: readonly Transfer[] = [transfer(F.HOST_IA32_PERF_GLOBAL_CTRL, S.PERF_GLOBAL_CTRL)];

/** Copies fields of the VMCS at `region` of `ram` into slots of `state`; high bytes of narrow fields become 0. */
export function load(table: readonly Transfer[], ram: DataView, region: number, state: DataView): void {
  for (const { field, slot, bytes } of table) {
    const at = region + field;
    state.setUint32(slot, bytes === 2 ? ram.getUint16(at, true) : ram.getUint32(at, true), true);
    state.setUint32(slot + 4, bytes === 8 ? ram.getUint32(at + 4, true) : 0, true);
  }
}

/** The other way round. */
export function save(table: readonly Transfer[], ram: DataView, region: number, state: DataView): void {
  for (const { field, slot, bytes } of table) {
    const at = region + field;
    ram.setUint32(at, bytes === 2 ? state.getUint16(slot, true) : state.getUint32(slot, true), true);
    ram.setUint32(at + 4, bytes === 8 ? state.getUint32(slot + 4, true) : 0, true);
  }
}

/**
 * The last good entry of a VMCS, kept in its own region: the checked fields as they were, and the list that `compare`
 * makes. Both are the processor's business, like the rest of the region.
 */
export const SHADOW = 2048 - REGION.fields;
export const CHANGED = 3648;

/** The copies that every entry and exit makes, between the VMCS region at an address of RAM and a vCPU's state. */
export interface StateCopies {
  /** Writes the exit-information fields that every exit has, and ends the event that the entry injected. */
  record(cpu: Cpu, region: number, cause: ExitCause): void;
  saveGuest(cpu: Cpu, region: number): void;
  loadGuest(cpu: Cpu, region: number): void;
  loadHost(cpu: Cpu, region: number): void;
  /**
   * Compares the checked fields with their shadow, brings the shadow up to date, leaves the offsets of those that
   * differed at CHANGED as 16-bit words, and answers how many there were.
   */
  compare(cpu: Cpu, region: number): number;
}

function compareLoop(cpu: Cpu, region: number): number {
  const ram = cpu.memory.view;
  let changed = 0;
  for (let field: number = REGION.fields; field < CHECKED_BYTES; field += 8) {
    const at = region + field;
    const low = ram.getUint32(at, true);
    const high = ram.getUint32(at + 4, true);
    if (low === ram.getUint32(at + SHADOW, true) && high === ram.getUint32(at + SHADOW + 4, true)) continue;
    ram.setUint32(at + SHADOW, low, true);
    ram.setUint32(at + SHADOW + 4, high, true);
    ram.setUint16(region + CHANGED + 2 * changed, field, true);
    changed++;
  }
  return changed;
}

/** Exit-information fields of one word each, as `record` writes them. */
export const INFORMATION = [
  [F.VM_EXIT_REASON, 'reason'],
  [F.VM_EXIT_INTR_INFO, 'interruption'],
  [F.VM_EXIT_INTR_ERROR_CODE, 'errorCode'],
  [F.VM_EXIT_INSTRUCTION_LEN, 'instructionLength'],
  [F.VMX_INSTRUCTION_INFO, 'instructionInfo'],
] as const;
/** Fields that are 0 unless an event was under delivery. */
export const VECTORING = [F.IDT_VECTORING_INFO_FIELD, F.IDT_VECTORING_ERROR_CODE] as const;

function recordLoop(cpu: Cpu, region: number, cause: ExitCause): void {
  const ram = cpu.memory.view;
  const set = (field: number, low: number, high = 0): void => {
    ram.setUint32(region + field, low, true);
    ram.setUint32(region + field + 4, high, true);
  };
  for (const [field, key] of INFORMATION) set(field, cause[key]);
  for (const field of VECTORING) set(field, 0);
  set(F.EXIT_QUALIFICATION, cause.qualificationLow, cause.qualificationHigh);
  set(F.VM_ENTRY_INTR_INFO_FIELD, ram.getUint32(region + F.VM_ENTRY_INTR_INFO_FIELD, true) & 0x7fff_ffff);
}

export const loopCopies: StateCopies = {
  record: recordLoop,
  saveGuest: (cpu, region) => save(GUEST_ALWAYS, cpu.memory.view, region, cpu.state),
  loadGuest: (cpu, region) => load(GUEST_ALWAYS, cpu.memory.view, region, cpu.state),
  loadHost: (cpu, region) => {
    load(HOST_ALWAYS, cpu.memory.view, region, cpu.state);
    for (const [slot, value] of HOST_CONSTANTS) cpu.setU32(slot, value);
  },
  compare: compareLoop,
};
