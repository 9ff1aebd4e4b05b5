/** The ring of memory accesses as slow paths write it; generated code writes the same records (observer.ts). */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { ACCESS_KINDS, type Observer, RING_NO_GVA, RING_RECORD } from '../observer.js';
import { RING_BYTES } from './map.js';

/** Records that generated code may write for the rest of a straight line, whatever slow paths wrote before in it. */
const RESERVE = 256;

/** Level and vCPU of a record: of now, for slow paths also run between two entries to generated code. */
const whose = (cpu: Cpu): number => (cpu.level << 12) | (cpu.index << 16);

/** What is recorded: nothing, everything but fetches, or everything. */
export type RingContent = 'none' | 'data' | 'all';

export class AccessRing {
  content: RingContent = 'none';
  readonly #view: DataView;
  readonly #window: DataView;
  readonly #start: number;

  constructor(buffer: ArrayBuffer, start: number) {
    this.#view = new DataView(buffer);
    this.#window = new DataView(buffer, start, RING_BYTES);
    this.#start = start;
  }

  get enabled(): boolean {
    return this.content !== 'none';
  }

  /** Makes the ring empty and sets the vCPU's limits. */
  reset(cpu: Cpu): void {
    cpu.setU32(S.RING_NEXT, this.#start);
    cpu.setU32(S.RING_LIMIT, this.#start + RING_BYTES - RESERVE * RING_RECORD.bytes);
  }

  drain(cpu: Cpu, observer: Observer): void {
    const count = (cpu.u32(S.RING_NEXT) - this.#start) / RING_RECORD.bytes;
    if (count > 0) observer.memory(this.#window, count);
    cpu.setU32(S.RING_NEXT, this.#start);
  }

  #next(cpu: Cpu): number {
    let at = cpu.u32(S.RING_NEXT);
    if (at > cpu.u32(S.RING_LIMIT)) {
      this.drain(cpu, cpu.observer);
      at = this.#start;
    }
    cpu.setU32(S.RING_NEXT, at + RING_RECORD.bytes);
    return at;
  }

  /** Takes back the fetch of an instruction of `length` bytes, which nothing has followed. */
  takeBackFetch(cpu: Cpu, length: number): void {
    if (this.content !== 'all') return;
    cpu.setU32(S.RING_NEXT, cpu.u32(S.RING_NEXT) - RING_RECORD.bytes * (length > 8 ? 2 : 1));
  }

  /** Records an access whose value stands at `source` in linear memory. `kind`: ACCESS_KINDS. */
  access(cpu: Cpu, kind: number, size: number, low: number, high: number, gpa: number, source: number): void {
    const at = this.#next(cpu);
    const view = this.#view;
    view.setUint32(at + RING_RECORD.tick, cpu.u32(S.TICK), true);
    view.setUint32(at + RING_RECORD.tick + 4, cpu.u32(S.TICK + 4), true);
    view.setUint32(at + RING_RECORD.gva, low, true);
    view.setUint32(at + RING_RECORD.gva + 4, high, true);
    view.setUint32(at + RING_RECORD.gpa, gpa >>> 0, true);
    view.setUint32(at + RING_RECORD.gpa + 4, Math.floor(gpa / 0x1_0000_0000), true);
    view.setUint32(at + RING_RECORD.value, this.#part(source, Math.min(size, 4)), true);
    view.setUint32(at + RING_RECORD.value + 4, size === 8 ? view.getUint32(source + 4, true) : 0, true);
    view.setUint32(at + RING_RECORD.meta, size | (kind << 8) | whose(cpu), true);
  }

  #part(source: number, size: number): number {
    if (size === 4) return this.#view.getUint32(source, true);
    return size === 2 ? this.#view.getUint16(source, true) : this.#view.getUint8(source);
  }

  /** Records a page walk's access to a paging entry. */
  walk(cpu: Cpu, gpa: number, value: bigint, size: number): void {
    const at = this.#next(cpu);
    const view = this.#view;
    view.setUint32(at + RING_RECORD.tick, cpu.u32(S.TICK), true);
    view.setUint32(at + RING_RECORD.tick + 4, cpu.u32(S.TICK + 4), true);
    view.setBigUint64(at + RING_RECORD.gva, 0n, true);
    view.setUint32(at + RING_RECORD.gpa, gpa >>> 0, true);
    view.setUint32(at + RING_RECORD.gpa + 4, Math.floor(gpa / 0x1_0000_0000), true);
    view.setBigUint64(at + RING_RECORD.value, BigInt.asUintN(8 * size, value), true);
    view.setUint32(at + RING_RECORD.meta, size | (ACCESS_KINDS.walk << 8) | RING_NO_GVA | whose(cpu), true);
  }
}
