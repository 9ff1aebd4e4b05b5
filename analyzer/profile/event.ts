/** An event as walkers look at it: a row of a chunk, or what an importer hands on. */
import { EVENT_FIELDS, EVENT_KINDS, FIELD_INDEX } from '../../engine/observer.js';
import type { EventView, Narrow, Unit, Wide } from './view.js';

/** A level that the trace does not say. */
export const UNKNOWN_LEVEL = 255;

/** Bits of the mask of a WalkedEvent. */
export const HAS = {
  reason: 1 << FIELD_INDEX.reason,
  qualification: 1 << FIELD_INDEX.qualification,
  info2: 1 << FIELD_INDEX.info2,
  intr_info: 1 << FIELD_INDEX.intr_info,
  rip: 1 << FIELD_INDEX.rip,
  gpa: 1 << FIELD_INDEX.gpa,
  code: 1 << FIELD_INDEX.code,
  value: 1 << FIELD_INDEX.value,
  flags: 1 << FIELD_INDEX.flags,
} as const;

/** An event as walkers look at it. */
export interface WalkedEvent {
  readonly kind: number;
  /** Its lane. */
  readonly vcpu: number;
  /** 1 VMX, 2 SVM, 0 unknown. */
  readonly isa: number;
  /** UNKNOWN_LEVEL where the trace does not say them. */
  readonly fromLevel: number;
  readonly toLevel: number;
  /** It has a time in nanoseconds, or in ticks or cycles. */
  readonly hasTime: boolean;
  readonly hasTick: boolean;
  readonly timeLow: number;
  readonly timeHigh: number;
  /** Bits of HAS for what it has, and two words a field of EVENT_FIELDS, low word first. */
  readonly mask: number;
  readonly words: Uint32Array;
  /** It has the bytes of an instruction, if not 0. */
  readonly byteCount: number;
  /** Those bytes, and what else is said of it. */
  instruction(): Uint8Array | null;
  readonly remark: string;
}

/** One row of a chunk after the other: `read` goes to one. */
export class ChunkEvent implements WalkedEvent {
  kind = 0;
  vcpu = 0;
  isa = 0;
  fromLevel = UNKNOWN_LEVEL;
  toLevel = UNKNOWN_LEVEL;
  hasTime = false;
  hasTick = false;
  timeLow = 0;
  timeHigh = 0;
  mask = 0;
  readonly words = new Uint32Array(2 * EVENT_FIELDS.length);
  byteCount = 0;
  readonly #view: EventView;
  readonly #clock: Wide | null;
  readonly #inTicks: boolean;
  #row = 0;

  /** `clock` is the column of times in `unit`. */
  constructor(view: EventView, clock: Wide | null, unit: Unit) {
    this.#view = view;
    this.#clock = clock;
    this.#inTicks = unit !== 'ns';
  }

  /** Goes to row `i`: of an exit all that tells what it is about, of other events what work says of theirs. */
  read(i: number): void {
    const view = this.#view;
    this.#row = i;
    this.kind = view.kind[i] as number;
    this.vcpu = view.lane[i] as number;
    this.isa = view.isa.valid[i] === 1 ? (view.isa.cells[i] as number) : 0;
    this.fromLevel = view.level.valid[i] === 1 ? (view.level.cells[i] as number) : UNKNOWN_LEVEL;
    this.toLevel = view.toLevel.valid[i] === 1 ? (view.toLevel.cells[i] as number) : UNKNOWN_LEVEL;
    this.byteCount = view.bytes[i] as number;
    this.mask = 0;
    this.#time(i);
    if (this.kind === EVENT_KINDS.entry) return;
    this.#wide(view.rip, FIELD_INDEX.rip, i);
    this.#wide(view.code, FIELD_INDEX.code, i);
    this.#wide(view.gpa, FIELD_INDEX.gpa, i);
    if (this.kind === EVENT_KINDS.exit || this.kind === EVENT_KINDS.entry_failed) this.#exit(view, i);
    else {
      this.#wide(view.value, FIELD_INDEX.value, i);
      this.#narrow(view.flags, FIELD_INDEX.flags, i);
    }
  }

  #exit({ reason, qualification, info2, intr }: EventView, i: number): void {
    this.#wide(reason, FIELD_INDEX.reason, i);
    this.#wide(qualification, FIELD_INDEX.qualification, i);
    this.#wide(info2, FIELD_INDEX.info2, i);
    this.#narrow(intr, FIELD_INDEX.intr_info, i);
  }

  #time(i: number): void {
    const clock = this.#clock;
    const isTimed = clock !== null && clock.valid[i] === 1;
    this.hasTick = isTimed && this.#inTicks;
    this.hasTime = isTimed && !this.#inTicks;
    if (clock === null) return;
    this.timeLow = clock.cells[2 * i] as number;
    this.timeHigh = clock.cells[2 * i + 1] as number;
  }

  #wide({ cells, valid }: Wide, field: number, i: number): void {
    if (valid[i] !== 1) return;
    this.mask |= 1 << field;
    this.words[2 * field] = cells[2 * i] as number;
    this.words[2 * field + 1] = cells[2 * i + 1] as number;
  }

  #narrow({ cells, valid }: Narrow, field: number, i: number): void {
    if (valid[i] !== 1) return;
    this.mask |= 1 << field;
    this.words[2 * field] = cells[i] as number;
    this.words[2 * field + 1] = 0;
  }

  instruction(): Uint8Array | null {
    const { bytes } = this.#view.chunk.row(this.#row);
    return bytes instanceof Uint8Array ? bytes.slice() : null;
  }

  get remark(): string {
    const { text } = this.#view.chunk.row(this.#row);
    return typeof text === 'string' ? text : '';
  }
}
