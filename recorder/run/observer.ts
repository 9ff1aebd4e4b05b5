/**
 * An observer of the engine that writes a trace. Events and memory accesses go straight into the columns of their
 * tables: nothing is allocated on the way.
 */
import { EVENT_FIELDS, EVENT_KINDS, type EventRecord, type Message, type Observer } from '../../engine/observer.js';
import { REGISTERS, TABLES } from '../../traces/schema.js';
import type { Appender, ColumnPlace, Slab, TraceWriter } from '../../traces/store.js';
import { MemoryRecorder } from './memory.js';

/** An EventRecord's level where none is meant. */
const NO_LEVEL = 255;
const REGISTER_WORDS = 2 * REGISTERS.length;

export interface RecordingOptions {
  /** 1 VMX, 2 SVM: which table decodes an event's reason. */
  readonly isa: number;
  /** General registers of a vCPU in the order of REGISTERS, low word before high word; asked for at each exit. */
  readonly registers: (vcpu: number) => Uint32Array;
  /** Machine time of what carries none itself (output). */
  readonly now: () => number;
}

export class TraceObserver implements Observer {
  readonly #writer: TraceWriter;
  readonly #options: RecordingOptions;
  readonly #events: EventColumns;
  readonly #registers: RegisterDeltas;
  readonly #memory: MemoryRecorder;
  #seq = 0;

  constructor(writer: TraceWriter, options: RecordingOptions) {
    this.#writer = writer;
    this.#options = options;
    this.#events = new EventColumns(writer.table('event'), options.isa);
    this.#registers = new RegisterDeltas(writer.table('register'));
    this.#memory = new MemoryRecorder(writer.table('memory'));
  }

  /** `seq` of the next event. */
  get seq(): number {
    return this.#seq;
  }

  /** Rows of the memory table so far. */
  get memoryRows(): number {
    return this.#memory.rows;
  }

  event(event: EventRecord): void {
    this.#events.append(this.#seq, event);
    if (event.kind === EVENT_KINDS.exit) {
      this.#registers.append(this.#seq, event.vcpu, this.#options.registers(event.vcpu));
    }
    this.#seq++;
  }

  memory(ring: DataView, count: number): void {
    this.#memory.take(ring, count);
  }

  message({ tick, vcpu, level, protocol, channel, direction, body }: Message): void {
    const seq = this.#seq === 0 ? null : this.#seq - 1;
    this.#writer.table('message').row({ seq, tick, vcpu, level, protocol, channel, direction, body });
  }

  output(port: string, bytes: Uint8Array): void {
    this.#writer.table('output').row({ tick: this.#options.now(), port, bytes });
  }

  /** Completes the last memory access. Call when the machine has stopped, before the writer's finish(). */
  settle(): void {
    this.#memory.settle();
  }
}

/** Fields of EVENT_FIELDS whose columns are 64 bits wide, as bits of an event's mask. */
const WIDE = EVENT_FIELDS.reduce((mask, name, i) => {
  const type = TABLES.event.columns.find((column) => column.name === name)?.type;
  return type === 'u64' || type === 'i64' ? mask | (1 << i) : mask;
}, 0);

/** The `event` table, written in place. */
class EventColumns {
  readonly #table: Appender;
  readonly #isa: number;
  /** Per field of EVENT_FIELDS: where its cells begin (wide ones in words, others in bytes), and its validity. */
  readonly #fields: Int32Array;
  readonly #seq: number;
  readonly #tick: number;
  readonly #vcpu: number;
  readonly #step: number;
  readonly #kind: number;
  readonly #from: ColumnPlace;
  readonly #to: ColumnPlace;
  readonly #bytes: number;
  /** The slab that is being filled, and the fields that were set in it. */
  #slab: Slab | null = null;
  #seen = 0;

  constructor(table: Appender, isa: number) {
    this.#table = table;
    this.#isa = isa;
    const place = (name: string): ColumnPlace => table.place(table.index(name));
    const wide = (name: string): number => place(name).values >>> 2;
    this.#fields = Int32Array.from(
      EVENT_FIELDS.flatMap((name, i) => {
        const { values, valid } = place(name);
        return [((WIDE >>> i) & 1) === 1 ? values >>> 2 : values, valid];
      }),
    );
    this.#seq = wide('seq');
    this.#tick = wide('tick');
    this.#vcpu = wide('vcpu');
    this.#step = wide('step');
    this.#kind = place('kind').values;
    this.#from = place('from_level');
    this.#to = place('to_level');
    this.#bytes = table.index('bytes');
  }

  append(seq: number, event: EventRecord): void {
    const table = this.#table;
    const row = table.filled;
    const { slab } = table;
    const { words, bytes, touched } = slab;
    if (slab !== this.#slab) this.#begin(slab, row);
    if ((event.mask & ~this.#seen) !== 0) this.#see(event.mask, touched);
    setNumber(words, this.#seq + 2 * row, seq);
    setNumber(words, this.#tick + 2 * row, event.tick);
    setNumber(words, this.#step + 2 * row, event.step);
    words[this.#vcpu + row] = event.vcpu;
    bytes[this.#kind + row] = event.kind;
    if (event.fromLevel !== NO_LEVEL) setByte(bytes, this.#from, row, event.fromLevel);
    if (event.toLevel !== NO_LEVEL) setByte(bytes, this.#to, row, event.toLevel);
    this.#setFields(event, row, words, bytes);
    if (event.byteCount > 0) table.bytes(this.#bytes, event.bytes, event.byteCount);
    table.end();
  }

  /** What every event of a chunk has is marked as set once, for all rows from `row` on. */
  #begin(slab: Slab, row: number): void {
    const table = this.#table;
    const { bytes, touched } = slab;
    for (const name of ['seq', 'tick', 'vcpu', 'step', 'kind', 'isa', 'from_level', 'to_level']) {
      touched[table.index(name)] = 1;
    }
    for (const name of ['tick', 'step', 'isa']) {
      const { valid } = table.place(table.index(name));
      bytes.fill(1, valid + row, valid + table.capacity);
    }
    const { values } = table.place(table.index('isa'));
    bytes.fill(this.#isa, values + row, values + table.capacity);
    this.#slab = slab;
    this.#seen = 0;
  }

  #see(mask: number, touched: Uint8Array): void {
    EVENT_FIELDS.forEach((name, i) => {
      if (((mask >>> i) & 1) === 1) touched[this.#table.index(name)] = 1;
    });
    this.#seen |= mask;
  }

  #setFields(event: EventRecord, row: number, words: Uint32Array, bytes: Uint8Array): void {
    const fields = this.#fields;
    const source = event.words;
    for (let mask = event.mask & WIDE; mask !== 0; mask &= mask - 1) {
      const field = 31 - Math.clz32(mask & -mask);
      const at = (fields[2 * field] as number) + 2 * row;
      words[at] = source[2 * field] as number;
      words[at + 1] = source[2 * field + 1] as number;
      bytes[(fields[2 * field + 1] as number) + row] = 1;
    }
    for (let mask = event.mask & ~WIDE; mask !== 0; mask &= mask - 1) {
      const field = 31 - Math.clz32(mask & -mask);
      const value = source[2 * field] as number;
      const values = fields[2 * field] as number;
      if (field === SIZE) bytes[values + row] = value;
      else words[(values >>> 2) + row] = value;
      bytes[(fields[2 * field + 1] as number) + row] = 1;
    }
  }
}

/** The one field whose column is a byte wide; the others that are not WIDE have 32 bits. */
const SIZE = EVENT_FIELDS.indexOf('size');
const PER_WORD = 1 / 0x1_0000_0000;

function setNumber(words: Uint32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = value * PER_WORD;
}

function setByte(bytes: Uint8Array, { values, valid }: ColumnPlace, row: number, value: number): void {
  bytes[values + row] = value;
  bytes[valid + row] = 1;
}

/** The `register` table: at each exit, the registers that changed since the vCPU's last exit; at its first, all. */
class RegisterDeltas {
  readonly #table: Appender;
  readonly #seq: number;
  readonly #seqColumn: number;
  /** Four numbers a register: where its cells begin (in words), where its validity begins, its column, none. */
  readonly #places: Int32Array;
  readonly #last: (Uint32Array | undefined)[] = [];

  constructor(table: Appender) {
    this.#table = table;
    this.#seqColumn = table.index('seq');
    this.#seq = table.place(this.#seqColumn).values >>> 2;
    this.#places = Int32Array.from(
      REGISTERS.flatMap((name) => {
        const { values, valid } = table.place(table.index(name));
        return [values >>> 2, valid, table.index(name), 0];
      }),
    );
  }

  append(seq: number, vcpu: number, now: Uint32Array): void {
    const last = this.#last[vcpu] ?? this.#first(vcpu, now);
    const places = this.#places;
    const row = this.#table.filled;
    const { words, bytes, touched } = this.#table.slab;
    let changed = false;
    for (let i = 0; i < REGISTER_WORDS; i += 2) {
      const low = now[i] as number;
      const high = now[i + 1] as number;
      if (low === last[i] && high === last[i + 1]) continue;
      last[i] = low;
      last[i + 1] = high;
      const register = 2 * i;
      const at = (places[register] as number) + 2 * row;
      words[at] = low;
      words[at + 1] = high;
      bytes[(places[register + 1] as number) + row] = 1;
      touched[places[register + 2] as number] = 1;
      changed = true;
    }
    if (!changed) return;
    setNumber(words, this.#seq + 2 * row, seq);
    touched[this.#seqColumn] = 1;
    this.#table.end();
  }

  /** Before a vCPU's first exit every register counts as another than it is. */
  #first(vcpu: number, now: Uint32Array): Uint32Array {
    const last = now.map((word) => ~word);
    this.#last[vcpu] = last;
    return last;
  }
}
