/** What generated code and its callers agree on: statuses, codes of handlers, functions that are imported. */
import type { Callable } from '../../wasm/assembler.js';

/** Why generated code returned. */
export const STATUS = { deadline: 16, fault: 17, leave: 18, ring: 19, stop: 20, gate: 21 } as const;

/**
 * What a handler that is a function answers, besides a STATUS to leave with. next: retired, the next record follows.
 * jump: retired, and RIP is in its slot. skip: the record was no instruction, the next one follows.
 */
export const CODE = { next: 0, jump: 1, skip: 2 } as const;

/** What a variant of generated code writes into the ring of memory accesses. */
export interface Recorded {
  /** Loads and stores. */
  readonly data: boolean;
  /** Each instruction as it is fetched; only together with `data`. */
  readonly fetches: boolean;
}

/** Bit of an access's size: a load that a store to the same place will follow. */
export const WRITE_INTENT = 0x100;

/**
 * Kinds of memory operand: R.eaKind. plain: the sum of its parts is the linear address. based: the sum at the address
 * size, plus the base that R.segmentBase names. checked: TypeScript adds the segment, and checks limit and type.
 */
export const EA = { plain: 0, based: 1, checked: 2 } as const;

/** Functions that generated code calls. Addresses and values of slow accesses pass through slots of the state. */
export interface Calls {
  /** (base, record): 0: retired, continue; else the status to leave with. */
  readonly slow: Callable;
  /** (base, size | WRITE_INTENT): address of the bytes in linear memory, or 0 for a fault. */
  readonly load: Callable;
  /** (base, size): 1, or 0 for a fault. */
  readonly store: Callable;
  /** (base, segment, size | WRITE_INTENT): turns the offset in SLOW_ADDRESS into a linear address. */
  readonly segment: Callable;
  /** (base): translates RIP, decodes there, sets CODE_PAGE and PAGE_LINEAR. 0, or the status to leave with. */
  readonly fetch: Callable;
  /** (base, record): checks an instruction that crosses a page: 1, or 0 for a fault. */
  readonly cross: Callable;
}
