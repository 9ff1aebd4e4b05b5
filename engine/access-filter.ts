/** Which memory accesses count: those of some ranges of guest physical addresses, picked out of the ring. */
import { RING_RECORD } from './observer.js';

/** Guest physical addresses [from, to). */
export interface AddressRange {
  readonly from: number;
  readonly to: number;
}

/** `off`, `all`, or the accesses that touch a range. */
export type MemoryFilter = 'off' | 'all' | readonly AddressRange[];

const { bytes: STRIDE, gpa: GPA, meta: META } = RING_RECORD;
const CONTINUES = 1 << 25;
const HALF = 0x1_0000_0000;

/** Copies the records of accesses that touch a range; an access of several records stays whole. */
export class AccessFilter {
  readonly #ranges: readonly AddressRange[];
  /** Records that were kept: the first ones of it, as many as `keep` answered. */
  kept = new DataView(new ArrayBuffer(0));
  /** Whether the access that a continuing record belongs to was kept. */
  #keeping = false;

  constructor(ranges: readonly AddressRange[]) {
    this.#ranges = ranges;
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
      if (!(meta & CONTINUES)) this.#keeping = this.#touches(ring, at, meta & 0xff);
      if (this.#keeping) target.set(source.subarray(at, at + STRIDE), STRIDE * kept++);
    }
    return kept;
  }

  #touches(ring: DataView, at: number, size: number): boolean {
    const gpa = ring.getUint32(at + GPA, true) + ring.getUint32(at + GPA + 4, true) * HALF;
    return this.#ranges.some(({ from, to }) => gpa < to && gpa + size > from);
  }
}
