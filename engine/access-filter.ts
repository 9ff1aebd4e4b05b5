/** Which memory accesses count: kinds, and ranges of guest physical addresses, picked out of the ring. */
import type { RingContent } from './memory/ring.js';
import { ACCESS_KINDS, type AccessKind, RING_CONTINUES, RING_RECORD } from './observer.js';

/** Guest physical addresses [from, to). */
export interface AddressRange {
  readonly from: number;
  readonly to: number;
}

/** Every kind of access, in the order of their numbers. */
export const ALL_KINDS = Object.keys(ACCESS_KINDS) as readonly AccessKind[];

/** Accesses of some kinds that touch a range; `all`: wherever they are. */
export interface AccessSelection {
  readonly ranges: 'all' | readonly AddressRange[];
  readonly kinds: readonly AccessKind[];
}

export type MemoryFilter = 'off' | AccessSelection;

/** Every access. */
export const EVERYTHING: AccessSelection = { ranges: 'all', kinds: ALL_KINDS };

/** The least that the engine must tell of, so that a filter finds what it selects. */
export function ringContent(memory: MemoryFilter): RingContent {
  if (memory === 'off') return 'none';
  return memory.kinds.includes('fetch') ? 'all' : 'data';
}

const { bytes: STRIDE, gpa: GPA, meta: META } = RING_RECORD;
const HALF = 0x1_0000_0000;
const DATA_KINDS = ALL_KINDS.filter((kind) => kind !== 'fetch');

/** Copies the records of accesses that are selected; an access of several records stays whole. */
export class AccessFilter {
  readonly #ranges: readonly AddressRange[] | null;
  /** Bit n: kind n is selected. */
  readonly #kinds: number;
  /** Records that were kept: the first ones of it, as many as `keep` answered. */
  kept = new DataView(new ArrayBuffer(0));
  /** Whether the access that a continuing record belongs to was kept. */
  #keeping = false;

  constructor({ ranges, kinds }: AccessSelection) {
    this.#ranges = ranges === 'all' ? null : ranges;
    this.#kinds = kinds.reduce((mask, kind) => mask | (1 << ACCESS_KINDS[kind]), 0);
  }

  /** The filter of a selection; null where the engine tells of just what is selected. */
  static of(memory: MemoryFilter): AccessFilter | null {
    if (memory === 'off') return null;
    const told = ringContent(memory) === 'all' ? ALL_KINDS : DATA_KINDS;
    const whole = memory.ranges === 'all' && told.every((kind) => memory.kinds.includes(kind));
    return whole ? null : new AccessFilter(memory);
  }

  /** Answers how many of the `count` records in `ring` were kept. */
  keep(ring: DataView, count: number): number {
    const length = count * STRIDE;
    if (this.kept.byteLength < length) this.kept = new DataView(new ArrayBuffer(length));
    const source = new Uint8Array(ring.buffer, ring.byteOffset, length);
    const target = new Uint8Array(this.kept.buffer);
    let kept = 0;
    for (let at = 0; at < length; at += STRIDE) {
      const meta = ring.getUint32(at + META, true);
      if (!(meta & RING_CONTINUES)) {
        this.#keeping = ((this.#kinds >>> ((meta >>> 8) & 0xf)) & 1) !== 0 && this.#touches(ring, at, meta & 0xff);
      }
      if (this.#keeping) target.set(source.subarray(at, at + STRIDE), STRIDE * kept++);
    }
    return kept;
  }

  #touches(ring: DataView, at: number, size: number): boolean {
    if (this.#ranges === null) return true;
    const gpa = ring.getUint32(at + GPA, true) + ring.getUint32(at + GPA + 4, true) * HALF;
    return this.#ranges.some(({ from, to }) => gpa < to && gpa + size > from);
  }
}
