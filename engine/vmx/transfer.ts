/**
 * State that VM entries and exits copy between the VMCS and the vCPU, as tables: field, slot, bytes. The copies are
 * made by loops over these tables, or by functions generated from them (transfer-wasm.ts).
 */
import { GPR, S, SEG, segBase, segLimit, segRights, segSelector } from '../cpu/layout.js';
import { F, type Field, fieldAt, GUEST_SEGMENTS } from './fields.js';

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

/** The copies that every entry and exit makes, between the region at `region` of `ram` and a vCPU's state. */
export interface StateCopies {
  saveGuest(ram: DataView, region: number, state: DataView): void;
  loadGuest(ram: DataView, region: number, state: DataView): void;
  loadHost(ram: DataView, region: number, state: DataView): void;
}

export const loopCopies: StateCopies = {
  saveGuest: (ram, region, state) => save(GUEST_ALWAYS, ram, region, state),
  loadGuest: (ram, region, state) => load(GUEST_ALWAYS, ram, region, state),
  loadHost: (ram, region, state) => load(HOST_ALWAYS, ram, region, state),
};
