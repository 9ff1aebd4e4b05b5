/** Memory accesses as they happen against those that were recorded. */
import { AccessFilter, type MemoryFilter } from '../../engine/access-filter.js';
import { ACCESS_KINDS, RING_CONTINUES, RING_NO_GVA, RING_RECORD } from '../../engine/observer.js';
import type { Chunk, ColumnData, TraceReader } from '../../traces/store.js';
import { TableCursor } from './cursor.js';
import { hex, hexBytes, type Report, type Side } from './divergence.js';

/** Columns of 64 bits that every access has, with where they stand in a record of the ring. */
const WIDE = [
  ['tick', RING_RECORD.tick],
  ['gpa', RING_RECORD.gpa],
  ['value', RING_RECORD.value],
] as const;
/** Narrow ones, with where they stand in a record's `meta`. */
const NARROW = [
  ['size', 0, 0xff],
  ['kind', 8, 0xf],
  ['level', 12, 0xf],
  ['vcpu', 16, 0xff],
] as const;

const KIND_NAMES = new Map<number, string>(Object.entries(ACCESS_KINDS).map(([name, code]) => [code, name]));
const said = (name: string, value: number): string =>
  name === 'kind' ? (KIND_NAMES.get(value) ?? String(value)) : String(value);

function accessSide(ring: DataView, at: number): Side {
  const pair = (offset: number): string =>
    hex(ring.getUint32(at + offset, true), ring.getUint32(at + offset + 4, true));
  const meta = ring.getUint32(at + RING_RECORD.meta, true);
  const narrow = NARROW.map(([name, shift, mask]) => [name, said(name, (meta >>> shift) & mask)]);
  return {
    ...Object.fromEntries(WIDE.map(([name, offset]) => [name, pair(offset)])),
    ...(meta & RING_NO_GVA ? {} : { gva: pair(RING_RECORD.gva) }),
    ...Object.fromEntries(narrow),
  };
}

function rowSide(cursor: TableCursor): Side {
  const pair = (name: string): string => hex(cursor.low(name), cursor.high(name));
  return {
    ...Object.fromEntries(WIDE.map(([name]) => [name, pair(name)])),
    ...(cursor.has('gva') ? { gva: pair('gva') } : {}),
    ...Object.fromEntries(NARROW.map(([name]) => [name, said(name, cursor.low(name))])),
    ...(cursor.has('wide') ? { wide: hexBytes(cursor.bytes('wide')) } : {}),
  };
}

export class MemoryComparer {
  /** Accesses that were compared. */
  count = 0;
  #row: number;
  readonly #cursor: TableCursor;
  readonly #filter: AccessFilter | null;
  readonly #report: Report;
  /** Bytes of the access at the cursor that were compared. */
  #compared = 0;
  #chunk: Chunk | null = null;
  #wide: readonly ColumnData[] = [];
  #narrow: readonly ColumnData[] = [];

  /** `from`: the first row; `recorded`: which accesses the trace holds. */
  constructor(reader: TraceReader, from: number, recorded: MemoryFilter, report: Report) {
    this.#row = from;
    this.#cursor = new TableCursor(reader, 'memory', from);
    this.#filter = AccessFilter.of(recorded);
    this.#report = report;
  }

  /** Takes `count` records of the ring; stops at the first that differs. */
  take(ring: DataView, count: number): void {
    const filter = this.#filter;
    if (filter === null) this.#compare(ring, count);
    else {
      const kept = filter.keep(ring, count);
      this.#compare(filter.kept, kept);
    }
  }

  #compare(ring: DataView, count: number): void {
    for (let at = 0; at < count * RING_RECORD.bytes; at += RING_RECORD.bytes) {
      if (ring.getUint32(at + RING_RECORD.meta, true) & RING_CONTINUES) {
        if (this.#sameMore(ring, at)) continue;
        const replayed = { wide: `... ${hexBytes(this.#valueBytes(ring, at))} at byte ${this.#compared - 8}` };
        this.#report({ table: 'memory', row: this.#row - 1, recorded: rowSide(this.#cursor), replayed });
        return;
      }
      const row = this.#row++;
      if (!this.#cursor.next()) {
        this.#report({ table: 'memory', row, recorded: null, replayed: accessSide(ring, at) });
        return;
      }
      this.count++;
      if (this.#same(ring, at)) continue;
      this.#report({ table: 'memory', row, recorded: rowSide(this.#cursor), replayed: accessSide(ring, at) });
      return;
    }
  }

  /** Tells of an access that was recorded and has not happened. */
  end(): void {
    if (!this.#cursor.next()) return;
    this.#report({ table: 'memory', row: this.#row, recorded: rowSide(this.#cursor), replayed: null });
  }

  #look(): void {
    const { chunk } = this.#cursor;
    if (chunk === this.#chunk) return;
    this.#chunk = chunk;
    this.#wide = WIDE.map(([name]) => chunk.column(name));
    this.#narrow = NARROW.map(([name]) => chunk.column(name));
  }

  #same(ring: DataView, at: number): boolean {
    this.#look();
    const { index } = this.#cursor;
    const meta = ring.getUint32(at + RING_RECORD.meta, true);
    for (let i = 0; i < WIDE.length; i++) {
      const { numbers } = this.#wide[i] as ColumnData;
      const offset = at + (WIDE[i] as (typeof WIDE)[number])[1];
      if (numbers?.[2 * index] !== ring.getUint32(offset, true)) return false;
      if (numbers[2 * index + 1] !== ring.getUint32(offset + 4, true)) return false;
    }
    for (let i = 0; i < NARROW.length; i++) {
      const [, shift, mask] = NARROW[i] as (typeof NARROW)[number];
      if (this.#narrow[i]?.numbers?.[index] !== ((meta >>> shift) & mask)) return false;
    }
    this.#compared = 8;
    return this.#sameGva(ring, at, meta) && this.#cursor.has('wide') === (meta & 0xff) > 8;
  }

  #valueBytes(ring: DataView, at: number): Uint8Array {
    return new Uint8Array(ring.buffer, ring.byteOffset + at + RING_RECORD.value, 8);
  }

  /** The next 8 bytes of a wide access, of which `#compared` are known to be the same; those past its end are nothing. */
  #sameMore(ring: DataView, at: number): boolean {
    const recorded = this.#cursor.bytes('wide').subarray(this.#compared, this.#compared + 8);
    this.#compared += 8;
    const bytes = this.#valueBytes(ring, at);
    return recorded.every((byte, i) => byte === bytes[i]);
  }

  #sameGva(ring: DataView, at: number, meta: number): boolean {
    const has = (meta & RING_NO_GVA) === 0;
    if (this.#cursor.has('gva') !== has) return false;
    const [low, high] = [this.#cursor.low('gva'), this.#cursor.high('gva')];
    const gva = at + RING_RECORD.gva;
    return !has || (low === ring.getUint32(gva, true) && high === ring.getUint32(gva + 4, true));
  }
}
