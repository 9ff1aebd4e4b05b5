/** How linear memory is divided: vCPU states and their TLBs, page records, decode cache, ring, RAM. */
import { STATE_BYTES } from '../cpu/layout.js';
import { PAGE_BYTES, PAGE_INFO_BYTES } from './physical.js';

/** Data TLB: direct-mapped by page number. Entry: read tag u64, write tag u64, addend u32, page record u32, gpa
 * u64. The addend turns a linear address of the page into an address of linear memory, modulo 2^32. */
export const TLB = { entries: 8192, bytes: 32, read: 0, write: 8, addend: 16, info: 20, gpa: 24 } as const;
/** Where a record stands that says: resolve the branch target. In the first page, which holds scratch alone. */
export const JUMP_RECORD = 0x180;
/** A tag is the page's linear address with these low bits: a context's number, and whether stores must go slow. */
export const TAG = { contexts: 0x7ff, slowStore: 0x800 } as const;
/** Fetch TLB. Entry: tag u64, code map u32 (0: not linked), host frame u32, gpa of the page u64. */
export const FETCH_TLB = { entries: 256, bytes: 32, tag: 0, map: 8, frame: 12, gpa: 16 } as const;
/** A code map: one u32 a byte of the page, the record that starts there or 0. */
export const CODE_MAP_BYTES = PAGE_BYTES * 4;
export const CODE_MAPS = 768;
export const RECORDS = 1 << 18;
export const RECORD_POOL_BYTES = RECORDS * 64;
export const RING_BYTES = 4 << 20;

/** Offsets of a vCPU's parts from its base. */
export const VCPU = { fetchTlb: 0x1000, tlb: 0x1_0000, stride: 0x5_0000 } as const;

export interface MemoryMap {
  readonly vcpus: readonly number[];
  readonly pageInfo: number;
  readonly codeMaps: number;
  readonly records: number;
  readonly ring: number;
  readonly ram: number;
  /** Bytes of the whole, a multiple of 64 KiB. */
  readonly size: number;
}

const align = (value: number, to: number): number => Math.ceil(value / to) * to;

export function memoryMap(vcpuCount: number, ramBytes: number): MemoryMap {
  if (STATE_BYTES > VCPU.fetchTlb) throw new RangeError('vCPU state overlaps its fetch TLB');
  const first = 0x1_0000;
  const vcpus = Array.from({ length: vcpuCount }, (_, i) => first + i * VCPU.stride);
  const pageInfo = first + vcpuCount * VCPU.stride;
  const codeMaps = align(pageInfo + (ramBytes / PAGE_BYTES) * PAGE_INFO_BYTES, PAGE_BYTES);
  const records = codeMaps + CODE_MAPS * CODE_MAP_BYTES;
  const ring = records + RECORD_POOL_BYTES;
  const ram = align(ring + RING_BYTES, 0x1_0000);
  return { vcpus, pageInfo, codeMaps, records, ring, ram, size: align(ram + ramBytes, 0x1_0000) };
}
