/** An observer before another one: keeps memory accesses of some ranges only, and copies output to who asked for it. */
import { type EventRecord, type Message, type Observer, RING_RECORD } from '../../engine/observer.js';

/** Guest physical addresses [from, to). */
export interface AddressRange {
  readonly from: number;
  readonly to: number;
}

const CONTINUES = 1 << 25;

export class FilteringObserver implements Observer {
  readonly #next: Observer;
  readonly #ranges: readonly AddressRange[] | null;
  readonly #onOutput: ((port: string, bytes: Uint8Array) => void) | null;
  #kept = new DataView(new ArrayBuffer(0));
  /** Whether the access that a continuing record belongs to was kept. */
  #keeping = false;

  /** `ranges` null: all accesses. */
  constructor(
    next: Observer,
    ranges: readonly AddressRange[] | null,
    onOutput: ((port: string, bytes: Uint8Array) => void) | null,
  ) {
    this.#next = next;
    this.#ranges = ranges;
    this.#onOutput = onOutput;
  }

  event(event: EventRecord): void {
    this.#next.event(event);
  }

  message(message: Message): void {
    this.#next.message(message);
  }

  output(port: string, bytes: Uint8Array): void {
    this.#next.output(port, bytes);
    this.#onOutput?.(port, bytes);
  }

  memory(ring: DataView, count: number): void {
    const ranges = this.#ranges;
    if (ranges === null) {
      this.#next.memory(ring, count);
      return;
    }
    const stride = RING_RECORD.bytes;
    if (this.#kept.byteLength < count * stride) this.#kept = new DataView(new ArrayBuffer(count * stride));
    const source = new Uint8Array(ring.buffer, ring.byteOffset, count * stride);
    const target = new Uint8Array(this.#kept.buffer);
    let kept = 0;
    for (let at = 0; at < count * stride; at += stride) {
      const meta = ring.getUint32(at + RING_RECORD.meta, true);
      if (!(meta & CONTINUES)) this.#keeping = this.#touches(ring, at, meta & 0xff, ranges);
      if (this.#keeping) target.set(source.subarray(at, at + stride), stride * kept++);
    }
    if (kept > 0) this.#next.memory(this.#kept, kept);
  }

  #touches(ring: DataView, at: number, size: number, ranges: readonly AddressRange[]): boolean {
    const low = ring.getUint32(at + RING_RECORD.gpa, true);
    const gpa = low + ring.getUint32(at + RING_RECORD.gpa + 4, true) * 0x1_0000_0000;
    return ranges.some(({ from, to }) => gpa < to && gpa + size > from);
  }
}
