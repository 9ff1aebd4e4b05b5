/** An observer that puts the records of the memory ring together into accesses. */
import { type EventRecord, type Observer, RING_CONTINUES, RING_RECORD } from '../../../engine/observer.js';

export interface Access {
  readonly tick: number;
  /** ACCESS_KINDS. */
  readonly kind: number;
  readonly size: number;
  readonly gva: bigint;
  readonly gpa: number;
  /** Its first 8 bytes. */
  readonly value: bigint;
  /** All of them. */
  readonly bytes: readonly number[];
}

export class Accesses implements Observer {
  readonly #see: (access: Access) => void;
  #pending: (Access & { readonly bytes: number[] }) | null = null;

  constructor(see: (access: Access) => void) {
    this.#see = see;
  }

  event(_event: EventRecord): void {}
  message(): void {}
  output(): void {}

  memory(ring: DataView, count: number): void {
    for (let at = 0; at < count * RING_RECORD.bytes; at += RING_RECORD.bytes) {
      const meta = ring.getUint32(at + RING_RECORD.meta, true);
      if (!(meta & RING_CONTINUES)) {
        this.end();
        this.#pending = {
          tick: Number(ring.getBigUint64(at + RING_RECORD.tick, true)),
          kind: (meta >> 8) & 15,
          size: meta & 0xff,
          gva: ring.getBigUint64(at + RING_RECORD.gva, true),
          gpa: Number(ring.getBigUint64(at + RING_RECORD.gpa, true)),
          value: ring.getBigUint64(at + RING_RECORD.value, true),
          bytes: [],
        };
      }
      const access = this.#pending;
      if (!access) continue;
      for (let i = 0; i < 8 && access.bytes.length < access.size; i++) {
        access.bytes.push(ring.getUint8(at + RING_RECORD.value + i));
      }
    }
  }

  /** The last access is whole: call when the ring was drained. */
  end(): void {
    const access = this.#pending;
    this.#pending = null;
    if (access) this.#see(access);
  }
}
