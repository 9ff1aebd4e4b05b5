/** Flat images: bytes that go to an address and start there, in real, protected or 64-bit mode. */
import { EngineError } from '../errors.js';
import { Places } from './place.js';
import {
  type BootRequest,
  type BootState,
  CR0,
  CR4,
  EFER,
  flatSegments,
  type MemoryWrite,
  realSegments,
} from './state.js';

export interface FlatPlacement {
  /** Where the image goes and starts. */
  readonly address: number;
  readonly bits: 16 | 32 | 64;
}

/** Where firmware puts a boot sector, and below it the stack. */
export const BOOT_SECTOR: FlatPlacement = { address: 0x7c00, bits: 16 };
const REAL_MODE_END = 0x10_0000;
const FIRST_DISK = 0x80;

/** Null, 32-bit or 64-bit code, data: the selectors of `flatSegments`. */
const gdt = (bits: 32 | 64): Uint8Array => {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, bits === 64 ? 0x00af_9b00_0000_ffffn : 0x00cf_9b00_0000_ffffn, true);
  view.setBigUint64(16, 0x00cf_9300_0000_ffffn, true);
  return bytes;
};

const PAGE_BYTES = 4096;
const MAPPED_GIB = 4;
const ENTRY = { present: 1, writable: 2, user: 4, large: 0x80 } as const;
const LARGE_BYTES = 0x20_0000;

/** PML4, PDPT and four page directories that map the first 4 GiB to themselves by 2 MiB pages. */
function identityTables(base: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(PAGE_BYTES * (2 + MAPPED_GIB)));
  const table = ENTRY.present | ENTRY.writable | ENTRY.user;
  view.setUint32(0, (base + PAGE_BYTES) | table, true);
  for (let i = 0; i < MAPPED_GIB; i++) view.setUint32(PAGE_BYTES + 8 * i, (base + PAGE_BYTES * (2 + i)) | table, true);
  for (let i = 0; i < 512 * MAPPED_GIB; i++) {
    view.setUint32(2 * PAGE_BYTES + 8 * i, (i * LARGE_BYTES) | table | ENTRY.large, true);
  }
  return new Uint8Array(view.buffer);
}

/** Throws EngineError with a code of IMAGE_*. */
export function bootFlat(request: BootRequest, { address, bits }: FlatPlacement): BootState {
  const { image, name, usableBytes } = request;
  if (image.length === 0) throw new EngineError('IMAGE_EMPTY', name);
  const end = address + image.length;
  const limit = bits === 16 ? Math.min(REAL_MODE_END, usableBytes) : usableBytes;
  if (end > limit) {
    const why = `${address.toString(16)}h to ${end.toString(16)}h, the limit is ${limit.toString(16)}h`;
    throw new EngineError('IMAGE_OUTSIDE_RAM', name, why);
  }
  const write: MemoryWrite = { address, bytes: image };
  return bits === 16 ? realMode(write) : flatMode(request, write, bits);
}

function realMode(write: MemoryWrite): BootState {
  const { address } = write;
  const selector = address < 0x1_0000 ? 0 : address >> 4;
  return {
    rip: address - selector * 16,
    registers: { rsp: BOOT_SECTOR.address, rdx: FIRST_DISK },
    segments: realSegments(selector),
    gdtr: { base: 0, limit: 0xffff },
    cr0: CR0.et,
    cr3: 0,
    cr4: 0,
    efer: 0,
    writes: [write],
  };
}

/** The stack grows down from the image, or from the end of RAM where the image starts at 0. */
function flatMode(request: BootRequest, write: MemoryWrite, bits: 32 | 64): BootState {
  const { address, bytes } = write;
  const places = new Places([{ start: address, end: address + bytes.length }], request.usableBytes, request.name);
  const table = { address: places.take(gdt(bits).length), bytes: gdt(bits) };
  const common = {
    rip: address,
    registers: { rsp: address >= PAGE_BYTES ? address : request.usableBytes },
    segments: flatSegments(bits),
    gdtr: { base: table.address, limit: table.bytes.length - 1 },
  };
  if (bits === 32) return { ...common, cr0: CR0.pe | CR0.et, cr3: 0, cr4: 0, efer: 0, writes: [write, table] };
  const root = places.take(PAGE_BYTES * (2 + MAPPED_GIB));
  return {
    ...common,
    cr0: CR0.pe + CR0.et + CR0.pg,
    cr3: root,
    cr4: CR4.pae,
    efer: EFER.lme | EFER.lma,
    writes: [write, table, { address: root, bytes: identityTables(root) }],
  };
}
