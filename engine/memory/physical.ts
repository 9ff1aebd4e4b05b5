/**
 * RAM, as host physical memory from 0, and the gate that every write of TypeScript passes: a write to a line that
 * holds decoded instructions drops them, a write to a watched page is told, a written page is dirty.
 */
import type { Hpa } from '../types.js';

export const PAGE_BYTES = 4096;
/** A page that holds code keeps a map of its 64-byte lines with decoded bytes. */
export const LINE_BYTES = 64;

/** One record a page, in linear memory: u64 map of code lines, u32 PAGE bits, u32 reserved. */
export const PAGE_INFO_BYTES = 16;
export const PAGE_INFO = { lines: 0, bits: 8 } as const;
/** dirty: written since the last checkpoint. watched: stores are told. gate: fetching calls a monitor. */
export const PAGE = { dirty: 1, watched: 2, gate: 4 } as const;

/** What lies outside RAM. Addresses and sizes are as the processor put them; values little-endian. */
export interface Mmio {
  read(address: Hpa, size: number): bigint;
  write(address: Hpa, size: number, value: bigint): void;
}

/** Nothing there: reads all ones, ignores writes. */
export const emptyBus: Mmio = {
  read: (_address, size) => (1n << BigInt(8 * size)) - 1n,
  write() {},
};

export class PhysicalMemory {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Bytes of RAM, a multiple of the page size. */
  readonly size: number;
  /** Address of RAM, and of the page records, in linear memory. */
  readonly base: number;
  readonly infoBase: number;
  mmio: Mmio = emptyBus;
  /** A write touched lines with decoded bytes; set by the decode cache. */
  onCodeWrite: (address: Hpa, size: number) => void = () => {};
  /** A write to a watched page, before it happens. */
  onWatchedWrite: (address: Hpa, size: number) => void = () => {};
  /** The same write, after it happened. */
  onWatchedWritten: (address: Hpa, size: number) => void = () => {};
  /** A page became watched or holds code: fast write tags to it must go. Set by the TLB. */
  onProtect: (page: number) => void = () => {};

  readonly #info: DataView;

  constructor(buffer: ArrayBuffer, base: number, infoBase: number, size: number) {
    this.base = base;
    this.infoBase = infoBase;
    this.size = size;
    this.view = new DataView(buffer, base, size);
    this.bytes = new Uint8Array(buffer, base, size);
    this.#info = new DataView(buffer, infoBase, (size / PAGE_BYTES) * PAGE_INFO_BYTES);
  }

  /** True where the whole access lies in RAM. */
  isRam(address: number, size = 1): boolean {
    return address + size <= this.size;
  }

  pageBits(page: number): number {
    return this.#info.getUint32(page * PAGE_INFO_BYTES + PAGE_INFO.bits, true);
  }

  /** True where fetching from the page calls a monitor. */
  isGate(page: number): boolean {
    return this.isRam(page * PAGE_BYTES, PAGE_BYTES) && (this.pageBits(page) & PAGE.gate) !== 0;
  }

  setPageBits(page: number, bits: number): void {
    this.#info.setUint32(page * PAGE_INFO_BYTES + PAGE_INFO.bits, bits, true);
  }

  /** True where the page holds decoded instructions. */
  hasCode(page: number): boolean {
    const at = page * PAGE_INFO_BYTES + PAGE_INFO.lines;
    return (this.#info.getUint32(at, true) | this.#info.getUint32(at + 4, true)) !== 0;
  }

  /** Marks the lines [from, to] of a page as holding decoded bytes. */
  markCode(page: number, from: number, to: number): void {
    const had = this.hasCode(page);
    const at = page * PAGE_INFO_BYTES + PAGE_INFO.lines;
    for (let line = from; line <= to; line++) {
      const word = at + (line >> 5) * 4;
      this.#info.setUint32(word, this.#info.getUint32(word, true) | (1 << (line & 31)), true);
    }
    if (!had) this.onProtect(page);
  }

  clearCode(page: number): void {
    const at = page * PAGE_INFO_BYTES + PAGE_INFO.lines;
    this.#info.setUint32(at, 0, true);
    this.#info.setUint32(at + 4, 0, true);
  }

  clearCodeLine(page: number, line: number): void {
    const word = page * PAGE_INFO_BYTES + PAGE_INFO.lines + (line >> 5) * 4;
    this.#info.setUint32(word, this.#info.getUint32(word, true) & ~(1 << (line & 31)), true);
  }

  /** Stores to the page are told to `onWatchedWrite` from now on. */
  watch(page: number): void {
    this.setPageBits(page, this.pageBits(page) | PAGE.watched);
    this.onProtect(page);
  }

  unwatch(page: number): void {
    this.setPageBits(page, this.pageBits(page) & ~PAGE.watched);
  }

  markDirty(page: number): void {
    const bits = this.pageBits(page);
    if (!(bits & PAGE.dirty)) this.setPageBits(page, bits | PAGE.dirty);
  }

  /**
   * The gate: call before writing [address, address + size), which must lie in RAM and in one page. True: the page is
   * watched, and `onWatchedWritten` must be called after the write.
   */
  willWrite(address: number, size: number): boolean {
    const page = Math.floor(address / PAGE_BYTES);
    const bits = this.pageBits(page);
    if (!(bits & PAGE.dirty)) this.setPageBits(page, bits | PAGE.dirty);
    if (bits & PAGE.watched) this.onWatchedWrite(address as Hpa, size);
    if (this.hasCode(page) && this.#touchesCode(page, address % PAGE_BYTES, size)) {
      this.onCodeWrite(address as Hpa, size);
    }
    return (bits & PAGE.watched) !== 0;
  }

  #touchesCode(page: number, offset: number, size: number): boolean {
    const at = page * PAGE_INFO_BYTES + PAGE_INFO.lines;
    const last = (offset + size - 1) >> 6;
    for (let line = offset >> 6; line <= last; line++) {
      if (this.#info.getUint32(at + (line >> 5) * 4, true) & (1 << (line & 31))) return true;
    }
    return false;
  }

  /** Reads of 1, 2 or 4 bytes inside one page; outside RAM they go to `mmio`. */
  read(address: number, size: 1 | 2 | 4): number {
    if (!this.isRam(address, size)) return Number(this.mmio.read(address as Hpa, size));
    if (size === 1) return this.view.getUint8(address);
    return size === 2 ? this.view.getUint16(address, true) : this.view.getUint32(address, true);
  }

  read64(address: number): bigint {
    if (!this.isRam(address, 8)) return this.mmio.read(address as Hpa, 8);
    return this.view.getBigUint64(address, true);
  }

  write(address: number, size: 1 | 2 | 4, value: number): void {
    if (!this.isRam(address, size)) {
      this.mmio.write(address as Hpa, size, BigInt(value >>> 0) & ((1n << BigInt(8 * size)) - 1n));
      return;
    }
    const watched = this.willWrite(address, size);
    if (size === 1) this.view.setUint8(address, value);
    else if (size === 2) this.view.setUint16(address, value, true);
    else this.view.setUint32(address, value, true);
    if (watched) this.onWatchedWritten(address as Hpa, size);
  }

  write64(address: number, value: bigint): void {
    if (!this.isRam(address, 8)) {
      this.mmio.write(address as Hpa, 8, BigInt.asUintN(64, value));
      return;
    }
    const watched = this.willWrite(address, 8);
    this.view.setBigUint64(address, value, true);
    if (watched) this.onWatchedWritten(address as Hpa, 8);
  }

  /** Copies bytes into RAM through the gate; what lies outside RAM is dropped. Returns how many were written. */
  copyIn(address: number, source: Uint8Array): number {
    const end = Math.min(address + source.length, this.size);
    for (let at = address; at < end; ) {
      const next = Math.min(end, (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES);
      const watched = this.willWrite(at, next - at);
      this.bytes.set(source.subarray(at - address, next - address), at);
      if (watched) this.onWatchedWritten(at as Hpa, next - at);
      at = next;
    }
    return Math.max(0, end - address);
  }

  /** A copy of RAM bytes; shorter than asked for where RAM ends. */
  copyOut(address: number, length: number): Uint8Array {
    return this.bytes.slice(address, Math.min(address + length, this.size));
  }
}
