/**
 * Stores of software straight into the region of an active VMCS. The manual leaves their effect undefined; here the
 * processor keeps nothing of a VMCS elsewhere, so they count at once, and each is an event.
 */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { PAGE_BYTES } from '../memory/physical.js';
import { FIELD_INDEX } from '../observer.js';
import { FIELDS_END, fieldAt, REGION } from './fields.js';
import { forgetGoodEntry } from './vmcs.js';

const SLOT = 8;

/** Slots of 8 bytes that a store touches. */
function slots(address: number, size: number): number[] {
  const first = address - (address % SLOT);
  const count = Math.ceil((address + size - first) / SLOT);
  return Array.from({ length: count }, (_, i) => first + SLOT * i);
}

function tell(cpu: Cpu, slot: number, old: bigint, address: number, size: number): void {
  const offset = slot % PAGE_BYTES;
  const value = cpu.memory.view.getBigUint64(slot, true);
  const record = cpu.begin('vmcs_store').setNumber('vmcs', slot - offset);
  const field = offset >= REGION.fields && offset < FIELDS_END ? fieldAt(offset) : undefined;
  if (field) record.setAt(FIELD_INDEX.code, field.encoding, 0);
  record.setBig('old', old).setBig('value', value).setNumber('gpa', address).set('size', size);
  cpu.putAt(FIELD_INDEX.rip, S.RIP);
  cpu.commit();
}

/** Tells of stores into watched pages from now on; `isActive` says which of them hold an active VMCS. */
export function watchStores(cpu: Cpu, isActive: (page: number) => boolean): void {
  let before: { readonly slot: number; readonly old: bigint }[] = [];
  cpu.memory.onWatchedWrite = (address, size) => {
    before = [];
    const page = Math.floor(address / PAGE_BYTES);
    if (!isActive(page)) return;
    // What was checked may no longer be what the region holds, its own shadow of it included.
    forgetGoodEntry(cpu, page * PAGE_BYTES);
    before = slots(address, size).map((slot) => ({ slot, old: cpu.memory.view.getBigUint64(slot, true) }));
  };
  cpu.memory.onWatchedWritten = (address, size) => {
    for (const { slot, old } of before) tell(cpu, slot, old, address, size);
    if (before.length > 0) forgetGoodEntry(cpu, address - (address % PAGE_BYTES));
    before = [];
  };
}
