/** Memory accesses from the engine's ring (RING_RECORD) into the trace's `memory` table. */
import { RING_CONTINUES, RING_NO_GVA, RING_RECORD } from '../../engine/observer.js';
import type { Appender, Slab } from '../../traces/store.js';

const { bytes: STRIDE, tick: TICK, gva: GVA, gpa: GPA, value: VALUE, meta: META } = RING_RECORD;
/** Bytes of the widest access, a cache line. */
const WIDEST = 64;

const COLUMNS = ['tick', 'vcpu', 'level', 'kind', 'size', 'gva', 'gpa', 'value', 'wide'] as const;
type Index = { readonly [column in (typeof COLUMNS)[number]]: number };

export class MemoryRecorder {
  readonly #table: Appender;
  readonly #index: Index;
  /** Where columns begin in the slab: in words for 64-bit cells, in bytes for the others. */
  readonly #at: Index;
  readonly #gvaValid: number;
  /** Bytes of an access of several records, and how many there are; 0 while it has one record. */
  readonly #wide = new Uint8Array(WIDEST);
  readonly #wideView = new DataView(this.#wide.buffer);
  #length = 0;
  /** The row after those that are filled was written; the next record may continue it. */
  #begun = false;

  constructor(table: Appender) {
    this.#table = table;
    const each = (answer: (column: number) => number): Index =>
      Object.fromEntries(COLUMNS.map((name) => [name, answer(table.index(name))])) as Index;
    this.#index = each((column) => column);
    this.#at = each((column) => {
      const { values, width } = table.place(column);
      return width === 8 ? values >>> 2 : values;
    });
    this.#gvaValid = table.place(this.#index.gva).valid;
  }

  /** Rows so far, with the one that may still be continued. */
  get rows(): number {
    return this.#table.rows + (this.#begun ? 1 : 0);
  }

  /** Takes `count` records, oldest first. An access may continue in the next call. */
  take(ring: DataView, count: number): void {
    const table = this.#table;
    let slab = this.#touch();
    let row = table.filled;
    for (let at = 0, end = count * STRIDE; at < end; at += STRIDE) {
      const meta = ring.getUint32(at + META, true);
      if ((meta & RING_CONTINUES) !== 0) {
        table.advance(row - table.filled);
        this.#widen(ring, at);
        continue;
      }
      if (this.#begun) row++;
      if (row === table.capacity || this.#length > 0) {
        if (this.#length > 0) this.#endWide();
        else table.advance(row - table.filled);
        slab = this.#touch();
        row = table.filled;
      }
      this.#write(slab, row, ring, at, meta);
      this.#begun = true;
    }
    table.advance(row - table.filled);
  }

  /** Ends the row of the last access. */
  settle(): void {
    if (!this.#begun) return;
    if (this.#length > 0) this.#endWide();
    else this.#table.advance(1);
    this.#begun = false;
  }

  /** The slab that is being filled; every access sets these columns. */
  #touch(): Slab {
    const { slab } = this.#table;
    const { tick, vcpu, level, kind, size, gpa, value } = this.#index;
    for (const column of [tick, vcpu, level, kind, size, gpa, value]) slab.touched[column] = 1;
    return slab;
  }

  #write({ words, bytes, touched }: Slab, row: number, ring: DataView, at: number, meta: number): void {
    const places = this.#at;
    const wide = 2 * row;
    words[places.tick + wide] = ring.getUint32(at + TICK, true);
    words[places.tick + wide + 1] = ring.getUint32(at + TICK + 4, true);
    bytes[places.vcpu + row] = meta >>> 16;
    bytes[places.level + row] = (meta >>> 12) & 0xf;
    bytes[places.kind + row] = (meta >>> 8) & 0xf;
    bytes[places.size + row] = meta;
    if ((meta & RING_NO_GVA) === 0) {
      words[places.gva + wide] = ring.getUint32(at + GVA, true);
      words[places.gva + wide + 1] = ring.getUint32(at + GVA + 4, true);
      bytes[this.#gvaValid + row] = 1;
      touched[this.#index.gva] = 1;
    }
    words[places.gpa + wide] = ring.getUint32(at + GPA, true);
    words[places.gpa + wide + 1] = ring.getUint32(at + GPA + 4, true);
    words[places.value + wide] = ring.getUint32(at + VALUE, true);
    words[places.value + wide + 1] = ring.getUint32(at + VALUE + 4, true);
  }

  /** The row that was begun is the next to be filled: its bytes so far come from its cells. */
  #widen(ring: DataView, at: number): void {
    if (!this.#begun) return;
    const { filled, slab } = this.#table;
    const size = Math.min(slab.bytes[this.#at.size + filled] as number, WIDEST);
    if (this.#length === 0) {
      const value = this.#at.value + 2 * filled;
      this.#wideView.setUint32(0, slab.words[value] as number, true);
      this.#wideView.setUint32(4, slab.words[value + 1] as number, true);
      this.#length = 8;
    }
    for (let i = 0; i < 8 && this.#length < size; i++) this.#wide[this.#length++] = ring.getUint8(at + VALUE + i);
  }

  #endWide(): void {
    const table = this.#table;
    table.bytes(this.#index.wide, this.#wide, this.#length);
    table.end();
    this.#length = 0;
    this.#begun = false;
  }
}
