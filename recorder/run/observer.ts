/**
 * An observer of the engine that writes a trace. Events and memory accesses go straight into the columns of their
 * tables: nothing is allocated on the way.
 */
import { EVENT_FIELDS, EVENT_KINDS, type EventRecord, type Message, type Observer } from '../../engine/observer.js';
import { REGISTERS } from '../../traces/schema.js';
import type { Appender, TraceWriter } from '../../traces/store.js';
import { MemoryRecorder } from './memory.js';

/** An EventRecord's level where none is meant. */
const NO_LEVEL = 255;

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

/** The `event` table, cell by cell. */
class EventColumns {
  readonly #table: Appender;
  readonly #isa: number;
  /** Column of each of EVENT_FIELDS. */
  readonly #fields: Int32Array;
  readonly #seqColumn: number;
  readonly #tickColumn: number;
  readonly #vcpuColumn: number;
  readonly #stepColumn: number;
  readonly #kindColumn: number;
  readonly #isaColumn: number;
  readonly #fromColumn: number;
  readonly #toColumn: number;
  readonly #bytesColumn: number;

  constructor(table: Appender, isa: number) {
    this.#table = table;
    this.#isa = isa;
    this.#fields = Int32Array.from(EVENT_FIELDS, (name) => table.index(name));
    this.#seqColumn = table.index('seq');
    this.#tickColumn = table.index('tick');
    this.#vcpuColumn = table.index('vcpu');
    this.#stepColumn = table.index('step');
    this.#kindColumn = table.index('kind');
    this.#isaColumn = table.index('isa');
    this.#fromColumn = table.index('from_level');
    this.#toColumn = table.index('to_level');
    this.#bytesColumn = table.index('bytes');
  }

  append(seq: number, event: EventRecord): void {
    const table = this.#table;
    table.number(this.#seqColumn, seq);
    table.number(this.#tickColumn, event.tick);
    table.words(this.#vcpuColumn, event.vcpu, 0);
    table.number(this.#stepColumn, event.step);
    table.words(this.#kindColumn, event.kind, 0);
    table.words(this.#isaColumn, this.#isa, 0);
    if (event.fromLevel !== NO_LEVEL) table.words(this.#fromColumn, event.fromLevel, 0);
    if (event.toLevel !== NO_LEVEL) table.words(this.#toColumn, event.toLevel, 0);
    const { words } = event;
    for (let mask = event.mask; mask !== 0; mask &= mask - 1) {
      const field = 31 - Math.clz32(mask & -mask);
      table.words(this.#fields[field] as number, words[2 * field] as number, words[2 * field + 1] as number);
    }
    if (event.byteCount > 0) table.bytes(this.#bytesColumn, event.bytes, event.byteCount);
    table.end();
  }
}

/** The `register` table: at each exit, the registers that changed since the vCPU's last exit; at its first, all. */
class RegisterDeltas {
  readonly #table: Appender;
  readonly #seqColumn: number;
  readonly #columns: Int32Array;
  readonly #last: (Uint32Array | undefined)[] = [];

  constructor(table: Appender) {
    this.#table = table;
    this.#seqColumn = table.index('seq');
    this.#columns = Int32Array.from(REGISTERS, (name) => table.index(name));
  }

  append(seq: number, vcpu: number, now: Uint32Array): void {
    const table = this.#table;
    const columns = this.#columns;
    const known = this.#last[vcpu];
    const last = known ?? this.#first(vcpu);
    let changed = false;
    for (let i = 0; i < columns.length; i++) {
      const low = now[2 * i] as number;
      const high = now[2 * i + 1] as number;
      if (known !== undefined && low === last[2 * i] && high === last[2 * i + 1]) continue;
      last[2 * i] = low;
      last[2 * i + 1] = high;
      table.words(columns[i] as number, low, high);
      changed = true;
    }
    if (!changed) return;
    table.number(this.#seqColumn, seq);
    table.end();
  }

  #first(vcpu: number): Uint32Array {
    const last = new Uint32Array(2 * REGISTERS.length);
    this.#last[vcpu] = last;
    return last;
  }
}
