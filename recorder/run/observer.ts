/**
 * An observer of the engine that writes a trace. Events and memory accesses go straight into the columns of their
 * tables: nothing is allocated on the way.
 */
import { EVENT_FIELDS, EVENT_KINDS, type EventRecord, type Message, type Observer } from '../../engine/observer.js';
import { REGISTERS } from '../../traces/schema.js';
import type { Appender, ColumnPlace, TraceWriter } from '../../traces/store.js';
import { MemoryRecorder } from './memory.js';

/** An EventRecord's level where none is meant. */
const NO_LEVEL = 255;
const HALF = 0x1_0000_0000;

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

/** The `event` table, written in place. */
class EventColumns {
  readonly #table: Appender;
  readonly #isa: number;
  /** Per field of EVENT_FIELDS: its column, bytes a cell, where its cells begin, where its validity begins. */
  readonly #fields: Int32Array;
  readonly #seq: ColumnPlace;
  readonly #tick: ColumnPlace;
  readonly #vcpu: ColumnPlace;
  readonly #step: ColumnPlace;
  readonly #kind: ColumnPlace;
  readonly #isaPlace: ColumnPlace;
  readonly #from: ColumnPlace;
  readonly #to: ColumnPlace;
  readonly #bytes: number;
  /** Columns that every event sets. */
  readonly #always: readonly number[];
  readonly #fromIndex: number;
  readonly #toIndex: number;

  constructor(table: Appender, isa: number) {
    this.#table = table;
    this.#isa = isa;
    const place = (name: string): ColumnPlace => table.place(table.index(name));
    this.#fields = Int32Array.from(
      EVENT_FIELDS.flatMap((name) => {
        const { width, values, valid } = place(name);
        return [table.index(name), width, values, valid];
      }),
    );
    this.#seq = place('seq');
    this.#tick = place('tick');
    this.#vcpu = place('vcpu');
    this.#step = place('step');
    this.#kind = place('kind');
    this.#isaPlace = place('isa');
    this.#from = place('from_level');
    this.#to = place('to_level');
    this.#bytes = table.index('bytes');
    this.#always = ['seq', 'tick', 'vcpu', 'step', 'kind', 'isa'].map((name) => table.index(name));
    this.#fromIndex = table.index('from_level');
    this.#toIndex = table.index('to_level');
  }

  append(seq: number, event: EventRecord): void {
    const table = this.#table;
    const row = table.filled;
    const { words, bytes, touched } = table.slab;
    if (row === 0) for (const column of this.#always) touched[column] = 1;
    setNumber(words, this.#seq, row, seq);
    setNumber(words, this.#tick, row, event.tick);
    bytes[this.#tick.valid + row] = 1;
    words[(this.#vcpu.values >>> 2) + row] = event.vcpu;
    setNumber(words, this.#step, row, event.step);
    bytes[this.#step.valid + row] = 1;
    bytes[this.#kind.values + row] = event.kind;
    setByte(bytes, this.#isaPlace, row, this.#isa);
    if (event.fromLevel !== NO_LEVEL) {
      setByte(bytes, this.#from, row, event.fromLevel);
      touched[this.#fromIndex] = 1;
    }
    if (event.toLevel !== NO_LEVEL) {
      setByte(bytes, this.#to, row, event.toLevel);
      touched[this.#toIndex] = 1;
    }
    this.#setFields(event, row, words, bytes, touched);
    if (event.byteCount > 0) table.bytes(this.#bytes, event.bytes, event.byteCount);
    table.end();
  }

  #setFields(event: EventRecord, row: number, words: Uint32Array, bytes: Uint8Array, touched: Uint8Array): void {
    const fields = this.#fields;
    const source = event.words;
    for (let mask = event.mask; mask !== 0; mask &= mask - 1) {
      const field = 31 - Math.clz32(mask & -mask);
      const width = fields[4 * field + 1] as number;
      const values = fields[4 * field + 2] as number;
      const low = source[2 * field] as number;
      touched[fields[4 * field] as number] = 1;
      bytes[(fields[4 * field + 3] as number) + row] = 1;
      if (width === 8) {
        const at = (values >>> 2) + 2 * row;
        words[at] = low;
        words[at + 1] = source[2 * field + 1] as number;
      } else if (width === 4) words[(values >>> 2) + row] = low;
      else bytes[values + row] = low;
    }
  }
}

function setNumber(words: Uint32Array, { values }: ColumnPlace, row: number, value: number): void {
  const at = (values >>> 2) + 2 * row;
  words[at] = value;
  words[at + 1] = value / HALF;
}

function setByte(bytes: Uint8Array, { values, valid }: ColumnPlace, row: number, value: number): void {
  bytes[values + row] = value;
  bytes[valid + row] = 1;
}

/** The `register` table: at each exit, the registers that changed since the vCPU's last exit; at its first, all. */
class RegisterDeltas {
  readonly #table: Appender;
  readonly #seq: ColumnPlace;
  readonly #seqColumn: number;
  /** Per register: its column, where its cells begin (in words), where its validity begins. */
  readonly #places: Int32Array;
  readonly #last: (Uint32Array | undefined)[] = [];

  constructor(table: Appender) {
    this.#table = table;
    this.#seqColumn = table.index('seq');
    this.#seq = table.place(this.#seqColumn);
    this.#places = Int32Array.from(
      REGISTERS.flatMap((name) => {
        const { values, valid } = table.place(table.index(name));
        return [table.index(name), values >>> 2, valid];
      }),
    );
  }

  append(seq: number, vcpu: number, now: Uint32Array): void {
    const known = this.#last[vcpu];
    const last = known ?? this.#first(vcpu);
    const places = this.#places;
    const row = this.#table.filled;
    const { words, bytes, touched } = this.#table.slab;
    let changed = false;
    for (let i = 0; i < REGISTERS.length; i++) {
      const low = now[2 * i] as number;
      const high = now[2 * i + 1] as number;
      if (known !== undefined && low === last[2 * i] && high === last[2 * i + 1]) continue;
      last[2 * i] = low;
      last[2 * i + 1] = high;
      const at = (places[3 * i + 1] as number) + 2 * row;
      words[at] = low;
      words[at + 1] = high;
      bytes[(places[3 * i + 2] as number) + row] = 1;
      touched[places[3 * i] as number] = 1;
      changed = true;
    }
    if (!changed) return;
    setNumber(words, this.#seq, row, seq);
    touched[this.#seqColumn] = 1;
    this.#table.end();
  }

  #first(vcpu: number): Uint32Array {
    const last = new Uint32Array(2 * REGISTERS.length);
    this.#last[vcpu] = last;
    return last;
  }
}
