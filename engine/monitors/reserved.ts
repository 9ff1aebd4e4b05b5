/** Where a monitor keeps what, in its reserved memory above the guest's RAM. */
import { EngineError } from '../errors.js';
import { RESERVED_BYTES } from './monitor.js';

const PAGE = 4096;
const GIB = 2 ** 30;

/** Pages of each area, in order; `perGib` pages more for each GiB of RAM. */
const AREAS = {
  gate: { pages: 1, perGib: 0 },
  /** GDT at 0, TSS at 256. */
  descriptors: { pages: 1, perGib: 0 },
  idt: { pages: 1, perGib: 0 },
  stack: { pages: 2, perGib: 0 },
  vmxon: { pages: 1, perGib: 0 },
  vmcs: { pages: 1, perGib: 0 },
  ioBitmaps: { pages: 2, perGib: 0 },
  msrBitmap: { pages: 1, perGib: 0 },
  /** MSRs that entries load and exits store at 0, MSRs that exits load at 2048. */
  msrAreas: { pages: 1, perGib: 0 },
  virtualApic: { pages: 1, perGib: 0 },
  /** PML4, PDPT, page directories. */
  hostTables: { pages: 2, perGib: 1 },
  /** PML4, PDPT, page directories, and one page table for the end of the guest's RAM. */
  ept: { pages: 3, perGib: 1 },
} as const;
export type AreaName = keyof typeof AREAS;
export type Reserved = { readonly [name in AreaName]: number };

/** Addresses of the areas above `guestBytes` of RAM. Throws BAD_CONFIGURATION. */
export function reserve(guestBytes: number): Reserved {
  if (guestBytes % PAGE !== 0 || guestBytes < PAGE) {
    throw new EngineError('BAD_CONFIGURATION', 'memory', `${guestBytes} bytes are no whole pages`);
  }
  const gibs = Math.ceil((guestBytes + RESERVED_BYTES) / GIB);
  let at = guestBytes;
  const addresses = Object.entries(AREAS).map(([name, { pages, perGib }]) => {
    const address = at;
    at += PAGE * (pages + perGib * gibs);
    return [name, address] as const;
  });
  if (at > guestBytes + RESERVED_BYTES) {
    throw new EngineError('BAD_CONFIGURATION', 'memory', `${guestBytes} bytes are too many for a monitor`);
  }
  return Object.fromEntries(addresses) as Reserved;
}

/** Offsets of the gate page: where each of the monitor's pieces of code would stand. */
export const GATE = {
  /** The first instruction of the monitor. */
  start: 0,
  /** HOST_RIP. */
  exit: 0x10,
  /** Behind STI and NOP: whatever interrupt was pending has been taken. */
  window: 0x20,
  /** Behind STI and HLT. */
  awake: 0x30,
  /** CLI and HLT, for ever. */
  dead: 0x40,
  /** The handler of vector v is at `handlers` + 8 * v. */
  handlers: 0x800,
} as const;
export const HANDLER_BYTES = 8;
export const VECTORS = 256;

export const SELECTOR = { code: 0x08, data: 0x10, tss: 0x18 } as const;
export const TSS_OFFSET = 256;
export const TSS_BYTES = 104;
export const MSR_EXIT_LOAD_OFFSET = 2048;
export const STACK_BYTES = 2 * PAGE;
