/** Tables in a monitor's reserved memory that the processor reads: descriptors, page tables, EPT. */
import { GATE, HANDLER_BYTES, type Reserved, SELECTOR, TSS_BYTES, TSS_OFFSET, VECTORS } from './reserved.js';

const PAGE = 4096;
const LARGE = 0x20_0000;
const ENTRIES = 512;

/** 64-bit words of a page or more. */
const words = (pages: number): BigUint64Array<ArrayBuffer> => new BigUint64Array((pages * PAGE) / 8);
const bytesOf = (table: BigUint64Array<ArrayBuffer>): Uint8Array => new Uint8Array(table.buffer);

/** GDT (null, 64-bit code, data, TSS) and an empty TSS: Intel SDM Vol. 3A, "Segment Descriptors", "TSS Descriptor". */
export function descriptors(reserved: Reserved): Uint8Array {
  const table = words(1);
  const tss = BigInt(reserved.descriptors + TSS_OFFSET);
  table[SELECTOR.code / 8] = 0x00af_9b00_0000_ffffn;
  table[SELECTOR.data / 8] = 0x00cf_9300_0000_ffffn;
  const low = BigInt(TSS_BYTES - 1) | ((tss & 0xff_ffffn) << 16n) | (0x8bn << 40n);
  table[SELECTOR.tss / 8] = low | (((tss >> 24n) & 0xffn) << 56n);
  table[SELECTOR.tss / 8 + 1] = tss >> 32n;
  return bytesOf(table);
}

/** Interrupt gates, one a vector, to the handlers in the gate page: Vol. 3A, "64-Bit Mode IDT". */
export function interruptTable(reserved: Reserved): Uint8Array {
  const table = words(1);
  for (let vector = 0; vector < VECTORS; vector++) {
    const offset = BigInt(reserved.gate + GATE.handlers + HANDLER_BYTES * vector);
    const rights = BigInt(SELECTOR.code) << 16n;
    table[2 * vector] = (offset & 0xffffn) | rights | (0x8e00n << 32n) | (((offset >> 16n) & 0xffffn) << 48n);
    table[2 * vector + 1] = offset >> 32n;
  }
  return bytesOf(table);
}

/** Bits of the entries of a mapping, above the address. */
interface EntryBits {
  readonly table: bigint;
  readonly large: bigint;
  readonly small: bigint;
}

/**
 * PML4, PDPT, page directories and where needed one page table at `base`, which map [0, end) to itself and nothing
 * else; `end` is a multiple of the page size.
 */
function identity(base: number, pages: number, end: number, bits: EntryBits): Uint8Array {
  const table = words(pages);
  const directories = pages - 3;
  const at = (page: number): bigint => BigInt(base + page * PAGE);
  table[0] = at(1) | bits.table;
  const used = Math.ceil(end / (LARGE * ENTRIES));
  for (let i = 0; i < used; i++) table[ENTRIES + i] = at(2 + i) | bits.table;
  const whole = Math.floor(end / LARGE);
  for (let i = 0; i < whole; i++) table[2 * ENTRIES + i] = (BigInt(i) * BigInt(LARGE)) | bits.large;
  if (end % LARGE === 0) return bytesOf(table);
  const last = 2 + directories;
  table[2 * ENTRIES + whole] = at(last) | bits.table;
  for (let i = 0; i < (end % LARGE) / PAGE; i++) {
    table[last * ENTRIES + i] = BigInt(whole * LARGE + i * PAGE) | bits.small;
  }
  return bytesOf(table);
}

const GIB = LARGE * ENTRIES;
const directoriesFor = (end: number): number => Math.ceil(end / GIB);

/** Page tables of the monitor: all of RAM, writable, for supervisors; whole large pages. */
export function hostTables(base: number, memoryBytes: number): Uint8Array {
  const end = Math.ceil(memoryBytes / LARGE) * LARGE;
  const tables = identity(base, 3 + directoriesFor(end), end, { table: 3n, large: 0x83n, small: 3n });
  // No page table is needed: its page is left out.
  return tables.subarray(0, tables.length - PAGE);
}

/** EPT memory types: Intel SDM Vol. 3C, "Extended Page-Table Pointer (EPTP)". */
export const MEMORY_TYPE = { uncacheable: 0n, writeBack: 6n } as const;
const READ_WRITE_EXECUTE = 7n;
const EPT_LARGE = 0x80n;

/** EPT that maps the guest's RAM, and so nothing of the monitor's memory. */
export function eptTables(base: number, guestBytes: number, memoryType: bigint): Uint8Array {
  const leaf = READ_WRITE_EXECUTE | (memoryType << 3n);
  return identity(base, 3 + directoriesFor(guestBytes), guestBytes, {
    table: READ_WRITE_EXECUTE,
    large: leaf | EPT_LARGE,
    small: leaf,
  });
}

/** A bitmap of ports or MSRs with these bits set. */
export function bitmap(bytes: number, set: (index: number) => boolean): Uint8Array {
  const map = new Uint8Array(bytes);
  for (let i = 0; i < bytes * 8; i++) if (set(i)) map[i >> 3] = (map[i >> 3] ?? 0) | (1 << (i & 7));
  return map;
}
