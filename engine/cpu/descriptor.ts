/** Segment and gate descriptors of the GDT, LDT and IDT: Intel SDM Vol. 3A, "Segment Descriptors", "System Descriptors". */
import type { Cpu } from './cpu.js';
import { CpuFault } from './fault.js';
import { S, SEG, segBase, segLimit, segRights, UNUSABLE } from './layout.js';

/** Bits of access rights, in the VMCS format (Intel SDM Vol. 3C, "Guest Register State"), and of a segment's type. */
export const RIGHTS = {
  accessed: 1,
  /** Of data: writable. Of code: readable. */
  writable: 2,
  readable: 2,
  /** Of data: grows down. Of code: conforming. */
  expandDown: 4,
  conforming: 4,
  code: 8,
  /** Code or data; clear: a system descriptor. */
  segment: 0x10,
  present: 0x80,
  long: 0x2000,
  big: 0x4000,
  granular: 0x8000,
} as const;

/** Types of system descriptors. */
export const SYSTEM = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  tss32Busy: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;

/** A descriptor as it stands in its table: two words, and where it was found. */
export class Descriptor {
  readonly selector: number;
  readonly address: bigint;
  readonly low: number;
  readonly high: number;

  constructor(selector: number, address: bigint, raw: bigint) {
    this.selector = selector;
    this.address = address;
    this.low = Number(raw & 0xffff_ffffn);
    this.high = Number((raw >> 32n) & 0xffff_ffffn);
  }

  /** Access rights in the VMCS format. */
  get rights(): number {
    return (this.high >>> 8) & 0xf0ff;
  }
  get type(): number {
    return (this.high >>> 8) & 15;
  }
  get dpl(): number {
    return (this.high >>> 13) & 3;
  }
  get present(): boolean {
    return (this.high & 0x8000) !== 0;
  }
  /** Code or data, not a system descriptor. */
  get isSegment(): boolean {
    return (this.high & 0x1000) !== 0;
  }
  get isCode(): boolean {
    return (this.rights & 0x18) === 0x18;
  }
  get isConforming(): boolean {
    return (this.rights & 0x1c) === 0x1c;
  }
  get isWritableData(): boolean {
    return (this.rights & 0x1a) === 0x12;
  }
  /** Data, or code that may be read. */
  get isReadable(): boolean {
    return this.isSegment && (!this.isCode || (this.rights & RIGHTS.readable) !== 0);
  }
  get base(): number {
    return ((this.low >>> 16) | ((this.high & 0xff) << 16) | (this.high & 0xff00_0000)) >>> 0;
  }
  /** Last valid offset. */
  get limit(): number {
    const raw = (this.low & 0xffff) | (this.high & 0xf_0000);
    return this.rights & RIGHTS.granular ? ((raw << 12) | 0xfff) >>> 0 : raw;
  }
  /** Of a gate: the selector it leads to, and the offset (its low 32 bits). */
  get gateSelector(): number {
    return this.low >>> 16;
  }
  get gateOffset(): number {
    return ((this.low & 0xffff) | (this.high & 0xffff_0000)) >>> 0;
  }
}

/** True for the selectors 0 to 3. */
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

/** Linear addresses outside 64-bit mode have 32 bits. */
export const wrap = (cpu: Cpu, linear: bigint): bigint => BigInt.asUintN(cpu.longMode ? 64 : 32, linear);

/**
 * Where a selector's descriptor of `bytes` bytes stands; null where it lies outside its table. The selector is not
 * null.
 */
export function descriptorAddress(cpu: Cpu, selector: number, bytes = 8): bigint | null {
  const offset = selector & 0xfff8;
  if (!(selector & 4)) {
    if (offset + bytes - 1 > cpu.u32(S.GDTR_LIMIT)) return null;
    return wrap(cpu, cpu.u64(S.GDTR_BASE) + BigInt(offset));
  }
  if (cpu.u32(segRights(SEG.LDTR)) & UNUSABLE || offset + bytes - 1 > cpu.u32(segLimit(SEG.LDTR))) return null;
  return wrap(cpu, cpu.u64(segBase(SEG.LDTR)) + BigInt(offset));
}

/** Reads a selector's descriptor; one that lies outside its table raises `vector` with the selector as error code. */
export function readDescriptor(cpu: Cpu, selector: number, vector: number, external = 0): Descriptor {
  const address = descriptorAddress(cpu, selector);
  if (address === null) throw new CpuFault(vector, (selector & 0xfffc) | external);
  return new Descriptor(selector, address, cpu.linear.load(cpu, address, 8, true));
}

/** Sets the accessed bit of a code or data descriptor in its table; answers its rights, the bit included. */
export function markAccessed(cpu: Cpu, descriptor: Descriptor): number {
  if (!(descriptor.rights & RIGHTS.accessed)) {
    cpu.linear.store(cpu, wrap(cpu, descriptor.address + 4n), 4, BigInt((descriptor.high | 0x100) >>> 0), true);
  }
  return descriptor.rights | RIGHTS.accessed;
}

/** The high half of a 64-bit base or offset, from the second 8 bytes of a 16-byte system descriptor. */
export const readHighHalf = (cpu: Cpu, descriptor: Descriptor): bigint =>
  cpu.linear.load(cpu, wrap(cpu, descriptor.address + 8n), 8, true);

/** Sets or clears the busy bit of a TSS descriptor. */
export function markBusy(cpu: Cpu, descriptor: Descriptor, busy: boolean): void {
  const high = busy ? descriptor.high | 0x200 : descriptor.high & ~0x200;
  cpu.linear.store(cpu, wrap(cpu, descriptor.address + 4n), 4, BigInt(high >>> 0), true);
}
