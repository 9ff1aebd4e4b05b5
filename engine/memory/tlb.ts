/**
 * The TLB of one vCPU: translations of data accesses and fetches, tagged by context, and slow paths of memory
 * accesses for generated code and for TypeScript.
 *
 * Stale entries are visible to a guest, so the TLB is emptied where a checkpoint is taken, in every run that takes it.
 */
import type { Cpu, TranslationControl } from '../cpu/cpu.js';
import { CpuFault, FAULT, NestedPageFault, VECTOR } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { S } from '../cpu/layout.js';
import { hpa } from '../types.js';
import type { AccessSize, LinearMemory } from './access.js';
import { Contexts, type TranslationContext } from './contexts.js';
import { FETCH_TLB, TAG, TLB, VCPU } from './map.js';
import { walk } from './paging.js';
import { PAGE, PAGE_BYTES, PAGE_INFO_BYTES, type PhysicalMemory } from './physical.js';
import type { AccessRing } from './ring.js';
import { ACCESS, Walk } from './walk.js';

const CR4_SMAP = 0x20_0000;
const low32 = (value: bigint): number => Number(value & 0xffff_ffffn);
const high32 = (value: bigint): number => Number((value >> 32n) & 0xffff_ffffn);

export class Tlb implements LinearMemory, TranslationControl {
  readonly #view: DataView;
  readonly #entries: Uint8Array;
  readonly #fetchEntries: Uint8Array;
  readonly #base: number;
  readonly #memory: PhysicalMemory;
  readonly #ring: AccessRing;
  #cpu: Cpu | null = null;
  readonly #contexts = new Contexts();
  /** Context numbers in force: for accesses at the current privilege, and for implicit supervisor accesses. */
  #tag = 0;
  #supervisorTag = 0;
  readonly #walk = new Walk();

  constructor(buffer: ArrayBuffer, base: number, memory: PhysicalMemory, ring: AccessRing) {
    this.#view = new DataView(buffer);
    this.#base = base;
    this.#memory = memory;
    this.#ring = ring;
    this.#entries = new Uint8Array(buffer, base + VCPU.tlb, TLB.entries * TLB.bytes);
    this.#fetchEntries = new Uint8Array(buffer, base + VCPU.fetchTlb, FETCH_TLB.entries * FETCH_TLB.bytes);
  }

  attach(cpu: Cpu): void {
    this.#cpu = cpu;
  }

  get #owner(): Cpu {
    if (!this.#cpu) throw new Error('the TLB has no vCPU');
    return this.#cpu;
  }

  /** Empties everything, as at reset. */
  reset(): void {
    this.#entries.fill(0);
    this.#fetchEntries.fill(0);
    this.#contexts.clear();
    this.retag();
  }

  // Contexts

  #numberOf(privilege: number): number {
    const cpu = this.#owner;
    const vpid = cpu.u32(S.VPID);
    const eptpLow = cpu.u32(S.EPTP);
    const eptpHigh = cpu.u32(S.EPTP + 4);
    const known = this.#contexts.find(vpid, eptpLow, eptpHigh, privilege);
    if (known !== 0) return known;
    if (this.#contexts.full) {
      this.#entries.fill(0);
      this.#fetchEntries.fill(0);
      this.#contexts.clear();
    }
    return this.#contexts.add(vpid, eptpLow, eptpHigh, privilege);
  }

  retag(): void {
    const cpu = this.#owner;
    const user = cpu.cpl === 3;
    const smapOpen = !user && (cpu.u32(S.CR4) & CR4_SMAP) !== 0 && (cpu.u32(S.RFLAGS_REST) & FLAG.AC) !== 0;
    // The second look-up can empty the TLB and take away the first one's number: then ask again.
    do {
      this.#supervisorTag = this.#numberOf(0);
      this.#tag = user || smapOpen ? this.#numberOf(user ? 1 : 2) : this.#supervisorTag;
    } while (this.#numberOf(0) !== this.#supervisorTag);
    cpu.setU32(S.TLB_TAG, this.#tag);
  }

  #forget(matches: (context: TranslationContext) => boolean): void {
    this.#contexts.forget(matches);
    this.retag();
  }

  flush(_global: boolean): void {
    const cpu = this.#owner;
    const vpid = cpu.u32(S.VPID);
    const low = cpu.u32(S.EPTP);
    const high = cpu.u32(S.EPTP + 4);
    this.#forget((c) => c.vpid === vpid && c.eptpLow === low && c.eptpHigh === high);
  }

  flushVpid(vpid: number | null): void {
    this.#forget((c) => (vpid === null ? c.vpid !== 0 : c.vpid === vpid));
  }

  flushEpt(eptp: bigint | null): void {
    if (eptp === null) {
      this.#forget((c) => (c.eptpLow | c.eptpHigh) !== 0);
      return;
    }
    const low = low32(eptp);
    const high = high32(eptp);
    this.#forget((c) => c.eptpLow === low && c.eptpHigh === high);
  }

  flushPage(linear: bigint): void {
    const low = low32(linear);
    this.#view.setBigUint64(this.#entryOf(low) + TLB.read, 0n, true);
    this.#view.setBigUint64(this.#entryOf(low) + TLB.write, 0n, true);
    this.#view.setBigUint64(this.#fetchEntryOf(low) + FETCH_TLB.tag, 0n, true);
  }

  /** A page holds code or is watched now: its fast write tags become slow ones. */
  protect(page: number): void {
    const info = this.#memory.infoBase + page * PAGE_INFO_BYTES;
    const end = this.#base + VCPU.tlb + TLB.entries * TLB.bytes;
    for (let entry = this.#base + VCPU.tlb; entry < end; entry += TLB.bytes) {
      if (this.#view.getUint32(entry + TLB.info, true) !== info) continue;
      const tag = this.#view.getUint32(entry + TLB.write, true);
      if (tag & TAG.contexts) this.#view.setUint32(entry + TLB.write, tag | TAG.slowStore, true);
    }
  }

  #entryOf(low: number): number {
    return this.#base + VCPU.tlb + ((low >>> 12) & (TLB.entries - 1)) * TLB.bytes;
  }
  #fetchEntryOf(low: number): number {
    return this.#base + VCPU.fetchTlb + ((low >>> 12) & (FETCH_TLB.entries - 1)) * FETCH_TLB.bytes;
  }

  // Translation. The linear address comes in two halves; the answer is left in `#walk`.

  /** Leaves a fault in the state's slots. */
  #raise(kind: number, vector: number, errorCode: number, qualification: bigint, low: number, high: number): false {
    const cpu = this.#owner;
    cpu.setU32(S.FAULT_KIND, kind);
    cpu.setU32(S.FAULT_VECTOR, vector);
    cpu.setU32(S.FAULT_ERROR, errorCode);
    cpu.setU64(S.FAULT_QUALIFICATION, qualification);
    cpu.state.setUint32(S.FAULT_GVA, low, true);
    cpu.state.setUint32(S.FAULT_GVA + 4, high, true);
    cpu.setNumber(S.FAULT_GPA, this.#walk.faultGpa);
    return false;
  }

  #translate(low: number, high: number, access: number): boolean {
    const linear = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    walk(this.#owner, linear, access, this.#walk);
    const { fault } = this.#walk;
    if (fault === FAULT.none) return true;
    if (fault === FAULT.exception) {
      return this.#raise(fault, VECTOR.PF, this.#walk.errorCode, linear, low, high);
    }
    return this.#raise(fault, 0, 0, this.#walk.qualification, low, high);
  }

  /** Host address (in linear memory) and guest physical page of a data access; false for a fault. */
  #hostPage = 0;
  #guestPage = 0;
  #inRam = false;
  #lookup(low: number, high: number, write: boolean, implicit: boolean): boolean {
    const cpu = this.#owner;
    const tag = implicit ? this.#supervisorTag : this.#tag;
    const entry = this.#entryOf(low);
    const wanted = ((low & ~0xfff) | tag) >>> 0;
    const found = this.#view.getUint32(entry + (write ? TLB.write : TLB.read), true);
    if (
      (found === wanted || (write && found === (wanted | TAG.slowStore) >>> 0)) &&
      this.#view.getUint32(entry + (write ? TLB.write : TLB.read) + 4, true) === high >>> 0
    ) {
      this.#hostPage = (this.#view.getUint32(entry + TLB.addend, true) + (low & ~0xfff)) >>> 0;
      this.#guestPage =
        this.#view.getUint32(entry + TLB.gpa, true) + this.#view.getUint32(entry + TLB.gpa + 4, true) * 0x1_0000_0000;
      this.#inRam = true;
      return true;
    }
    const user = cpu.cpl === 3 && !implicit ? ACCESS.user : 0;
    const access = (write ? ACCESS.write : 0) | user | (implicit ? ACCESS.implicit : 0);
    if (!this.#translate(low, high, access)) return false;
    this.#fill(entry, wanted, high);
    return true;
  }

  #fill(entry: number, tag: number, high: number): void {
    const { hostFrame, guestFrame, writable } = this.#walk;
    this.#guestPage = guestFrame * PAGE_BYTES;
    this.#inRam = this.#memory.isRam(hostFrame * PAGE_BYTES, PAGE_BYTES);
    if (!this.#inRam) {
      this.#hostPage = hostFrame * PAGE_BYTES;
      return;
    }
    const view = this.#view;
    this.#hostPage = this.#memory.base + hostFrame * PAGE_BYTES;
    view.setUint32(entry + TLB.read, tag, true);
    view.setUint32(entry + TLB.read + 4, high, true);
    let writeTag = 0;
    if (writable) {
      this.#memory.markDirty(hostFrame);
      const slow = this.#memory.hasCode(hostFrame) || (this.#memory.pageBits(hostFrame) & PAGE.watched) !== 0;
      writeTag = slow ? tag | TAG.slowStore : tag;
    }
    view.setUint32(entry + TLB.write, writeTag, true);
    view.setUint32(entry + TLB.write + 4, writable ? high : 0, true);
    view.setUint32(entry + TLB.addend, this.#hostPage - (tag & ~0xfff), true);
    view.setUint32(entry + TLB.info, this.#memory.infoBase + hostFrame * PAGE_INFO_BYTES, true);
    view.setUint32(entry + TLB.gpa, this.#guestPage >>> 0, true);
    view.setUint32(entry + TLB.gpa + 4, Math.floor(this.#guestPage / 0x1_0000_0000), true);
  }

  /** Host frame of a fetch; null for a fault. Also fills the fetch TLB, without a link to a code map. */
  fetch(low: number, high: number): number | null {
    const entry = this.#fetchEntryOf(low);
    const wanted = ((low & ~0xfff) | this.#tag) >>> 0;
    if (
      this.#view.getUint32(entry + FETCH_TLB.tag, true) === wanted &&
      this.#view.getUint32(entry + FETCH_TLB.tag + 4, true) === high >>> 0
    ) {
      return this.#view.getUint32(entry + FETCH_TLB.frame, true);
    }
    const user = this.#owner.cpl === 3 ? ACCESS.user : 0;
    if (!this.#translate(low, high, ACCESS.fetch | user)) return null;
    this.#view.setUint32(entry + FETCH_TLB.tag, wanted, true);
    this.#view.setUint32(entry + FETCH_TLB.tag + 4, high, true);
    this.#view.setUint32(entry + FETCH_TLB.map, 0, true);
    this.#view.setUint32(entry + FETCH_TLB.frame, this.#walk.hostFrame, true);
    this.#view.setUint32(entry + FETCH_TLB.gpa, (this.#walk.guestFrame << 12) >>> 0, true);
    this.#view.setUint32(entry + FETCH_TLB.gpa + 4, this.#walk.guestFrame >>> 20, true);
    return this.#walk.hostFrame;
  }

  /** Guest physical address of the page that `fetch` found last at this linear address. */
  fetchedPage(low: number): number {
    const entry = this.#fetchEntryOf(low) + FETCH_TLB.gpa;
    return this.#view.getUint32(entry, true) + this.#view.getUint32(entry + 4, true) * 0x1_0000_0000;
  }

  /** Lets generated code find a page's code map without asking again. */
  link(low: number, codeMap: number): void {
    this.#view.setUint32(this.#fetchEntryOf(low) + FETCH_TLB.map, codeMap, true);
  }

  /** All code maps are gone; translations stay. */
  unlinkAll(): void {
    for (let i = 0; i < FETCH_TLB.entries; i++) {
      this.#view.setUint32(this.#base + VCPU.fetchTlb + i * FETCH_TLB.bytes + FETCH_TLB.map, 0, true);
    }
  }

  // Accesses of generated code that its TLB look-up did not allow. Faults are left in the state's slots.

  /** Address in linear memory of `size` bytes to load: RAM itself, or a copy in the bounce buffer. 0: fault. */
  slowLoad(low: number, high: number, size: number, write: boolean, implicit: boolean, record: boolean): number {
    const offset = low & 0xfff;
    if (offset + size > PAGE_BYTES) return this.#splitLoad(low, high, size, write, implicit, record);
    if (!this.#lookup(low, high, write, implicit)) return 0;
    const gpa = this.#guestPage + offset;
    let address = this.#hostPage + offset;
    if (!this.#inRam) {
      const value = this.#memory.mmio.read(hpa(address), size);
      this.#view.setBigUint64(BOUNCE, value, true);
      address = BOUNCE;
    }
    if (record) this.#ring.access(this.#owner, 0, size, low, high, gpa, address);
    return address;
  }

  #splitLoad(low: number, high: number, size: number, write: boolean, implicit: boolean, record: boolean): number {
    let gpa = 0;
    for (let i = 0; i < size; i++) {
      const at = low + i;
      const carry = at > 0xffff_ffff ? 1 : 0;
      if (!this.#lookup(at >>> 0, (high + carry) >>> 0, write, implicit)) return 0;
      if (i === 0) gpa = this.#guestPage + (low & 0xfff);
      const offset = at & 0xfff;
      const byte = this.#inRam
        ? this.#view.getUint8(this.#hostPage + offset)
        : this.#memory.read(this.#hostPage + offset, 1);
      this.#view.setUint8(BOUNCE + i, byte);
    }
    if (record) this.#ring.access(this.#owner, 0, size, low, high, gpa, BOUNCE);
    return BOUNCE;
  }

  /** Stores `size` bytes that stand at `source` in linear memory. False: fault, and nothing was written. */
  slowStore(low: number, high: number, size: number, source: number, implicit: boolean, record: boolean): boolean {
    const offset = low & 0xfff;
    if (offset + size > PAGE_BYTES) return this.#splitStore(low, high, size, source, implicit, record);
    if (!this.#lookup(low, high, true, implicit)) return false;
    const gpa = this.#guestPage + offset;
    if (record) this.#ring.access(this.#owner, 1, size, low, high, gpa, source);
    this.#write(offset, size, source);
    return true;
  }

  #write(offset: number, size: number, source: number): void {
    const view = this.#view;
    if (!this.#inRam) {
      let value = view.getBigUint64(source, true);
      if (size < 8) value &= (1n << BigInt(8 * size)) - 1n;
      this.#memory.mmio.write(hpa(this.#hostPage + offset), size, value);
      return;
    }
    const address = this.#hostPage + offset;
    const watched = this.#memory.willWrite(address - this.#memory.base, size);
    if (size === 8) {
      view.setUint32(address, view.getUint32(source, true), true);
      view.setUint32(address + 4, view.getUint32(source + 4, true), true);
    } else if (size === 4) view.setUint32(address, view.getUint32(source, true), true);
    else if (size === 2) view.setUint16(address, view.getUint16(source, true), true);
    else view.setUint8(address, view.getUint8(source));
    if (watched) this.#memory.onWatchedWritten(hpa(address - this.#memory.base), size);
  }

  #splitStore(low: number, high: number, size: number, source: number, implicit: boolean, record: boolean): boolean {
    const first = PAGE_BYTES - (low & 0xfff);
    const secondLow = (low + first) >>> 0;
    const secondHigh = (high + (low + first > 0xffff_ffff ? 1 : 0)) >>> 0;
    // Both pages must allow the store before either is written.
    if (!this.#lookup(low, high, true, implicit)) return false;
    const gpa = this.#guestPage + (low & 0xfff);
    if (!this.#lookup(secondLow, secondHigh, true, implicit)) return false;
    if (record) this.#ring.access(this.#owner, 1, size, low, high, gpa, source);
    for (let i = 0; i < size; i++) {
      const inSecond = i >= first;
      const at = inSecond ? secondLow + i - first : low + i;
      this.#lookup(at >>> 0, inSecond ? secondHigh : high, true, implicit);
      this.#write(at & 0xfff, 1, source + i);
    }
    return true;
  }

  // Accesses of slow instructions: faults are thrown.

  #throw(): never {
    const cpu = this.#owner;
    const kind = cpu.u32(S.FAULT_KIND);
    cpu.setU32(S.FAULT_KIND, FAULT.none);
    const qualification = cpu.u64(S.FAULT_QUALIFICATION);
    if (kind === FAULT.exception) throw new CpuFault(cpu.u32(S.FAULT_VECTOR), cpu.u32(S.FAULT_ERROR), qualification);
    throw new NestedPageFault(
      kind === FAULT.ept_violation ? 'ept_violation' : 'ept_misconfig',
      qualification,
      cpu.u64(S.FAULT_GVA),
      cpu.number(S.FAULT_GPA),
    );
  }

  load(_cpu: Cpu, linear: bigint, size: AccessSize, implicit = false): bigint {
    const address = this.slowLoad(low32(linear), high32(linear), size, false, implicit, this.#ring.enabled);
    if (address === 0) this.#throw();
    const view = this.#view;
    if (size === 8) return view.getBigUint64(address, true);
    if (size === 4) return BigInt(view.getUint32(address, true));
    return BigInt(size === 2 ? view.getUint16(address, true) : view.getUint8(address));
  }

  store(_cpu: Cpu, linear: bigint, size: AccessSize, value: bigint, implicit = false): void {
    this.#view.setBigUint64(OUTGOING, BigInt.asUintN(64, value), true);
    if (!this.slowStore(low32(linear), high32(linear), size, OUTGOING, implicit, this.#ring.enabled)) this.#throw();
  }

  probeStore(_cpu: Cpu, linear: bigint, size: AccessSize): void {
    const low = low32(linear);
    const high = high32(linear);
    if (!this.#lookup(low, high, true, false)) this.#throw();
    const last = low + size - 1;
    if ((low & 0xfff) + size > PAGE_BYTES) {
      if (!this.#lookup(last >>> 0, (high + (last > 0xffff_ffff ? 1 : 0)) >>> 0, true, false)) this.#throw();
    }
  }
}

/** Scratch in the first page of linear memory, which nothing else uses. */
export const BOUNCE = 0x100;
const OUTGOING = 0x110;
