/** Events, and the registers at exits, as they happen against those that were recorded. */

import type { Cpu } from '../../engine/cpu/cpu.js';
import { EVENT_FIELDS, EVENT_KINDS, type EventRecord } from '../../engine/observer.js';
import { REGISTER_WORDS, registerWords } from '../../engine/registers.js';
import { REGISTERS } from '../../traces/schema.js';
import type { Chunk, ColumnData, TraceReader } from '../../traces/store.js';
import { TableCursor } from './cursor.js';
import { hex, hexBytes, type Report, type Side } from './divergence.js';

/** An EventRecord's level where none is meant. */
const NO_LEVEL = 255;
/** The machine's events are VMX's. */
const ISA = 1;

/** Columns that an event carries outside of its fields; seq and isa follow from where it stands. */
const HEAD = ['seq', 'tick', 'vcpu', 'step', 'kind', 'isa', 'from_level', 'to_level'] as const;
/** Columns of imported traces, like `text`: the machine sets none of them. */
const FOREIGN = ['time_ns', 'tracepoint'] as const;
const COLUMNS = [...HEAD, ...FOREIGN, 'text', ...EVENT_FIELDS, 'bytes'] as const;
type Name = (typeof COLUMNS)[number];

const KIND_NAMES = new Map<number, string>(Object.entries(EVENT_KINDS).map(([name, code]) => [code, name]));
const kindName = (code: number): string => KIND_NAMES.get(code) ?? String(code);

function eventSide(seq: number, event: EventRecord): Side {
  const side: { [name: string]: string } = {
    seq: String(seq),
    kind: kindName(event.kind),
    tick: String(event.tick),
    step: String(event.step),
    vcpu: String(event.vcpu),
    isa: String(ISA),
  };
  if (event.fromLevel !== NO_LEVEL) side.from_level = String(event.fromLevel);
  if (event.toLevel !== NO_LEVEL) side.to_level = String(event.toLevel);
  for (const [i, name] of EVENT_FIELDS.entries()) {
    if (event.mask & (1 << i)) side[name] = hex(event.words[2 * i] ?? 0, event.words[2 * i + 1] ?? 0);
  }
  if (event.byteCount) side.bytes = hexBytes(event.bytes.subarray(0, event.byteCount));
  return side;
}

function rowSide(cursor: TableCursor): Side {
  const side: { [name: string]: string } = {};
  for (const name of [...HEAD, ...FOREIGN]) {
    if (cursor.has(name)) side[name] = name === 'kind' ? kindName(cursor.low(name)) : String(cursor.number(name));
  }
  for (const name of EVENT_FIELDS) if (cursor.has(name)) side[name] = hex(cursor.low(name), cursor.high(name));
  if (cursor.has('bytes')) side.bytes = hexBytes(cursor.bytes('bytes'));
  if (cursor.has('text')) side.text = cursor.text('text');
  return side;
}

export class EventComparer {
  /** Events that were compared. */
  count = 0;
  #seq: number;
  readonly #cursor: TableCursor;
  readonly #report: Report;
  #chunk: Chunk | null = null;
  #columns = new Map<Name, ColumnData>();
  #fields: readonly ColumnData[] = [];

  /** `from`: seq of the first event. */
  constructor(reader: TraceReader, from: number, report: Report) {
    this.#cursor = new TableCursor(reader, 'event', from);
    this.#seq = from;
    this.#report = report;
  }

  /** `seq` of the next event. */
  get seq(): number {
    return this.#seq;
  }

  /** Answers false where the trace has no event any more. */
  take(event: EventRecord): boolean {
    const seq = this.#seq++;
    const cursor = this.#cursor;
    if (!cursor.next()) {
      this.#report({ table: 'event', row: seq, recorded: null, replayed: eventSide(seq, event) });
      return false;
    }
    this.count++;
    if (!this.#same(seq, event)) {
      this.#report({ table: 'event', row: seq, recorded: rowSide(cursor), replayed: eventSide(seq, event) });
    }
    return true;
  }

  /** Tells of an event that was recorded and has not happened. */
  end(): void {
    if (!this.#cursor.next()) return;
    this.#report({ table: 'event', row: this.#seq, recorded: rowSide(this.#cursor), replayed: null });
  }

  #look(): void {
    const { chunk } = this.#cursor;
    if (chunk === this.#chunk) return;
    this.#chunk = chunk;
    this.#columns = new Map(COLUMNS.map((name) => [name, chunk.column(name)]));
    this.#fields = EVENT_FIELDS.map((name) => chunk.column(name));
  }

  /** Whether a cell has a value; where it has, it must be this one. `value` null: it must have none. */
  #holds(name: Name, value: number | null): boolean {
    const { index } = this.#cursor;
    const column = this.#columns.get(name);
    if (!column) return false;
    if (column.valid?.[index] === 0) return value === null;
    if (value === null || !column.numbers) return false;
    if (!column.big) return column.numbers[index] === value;
    return column.numbers[2 * index] === value >>> 0 && column.numbers[2 * index + 1] === Math.floor(value / 2 ** 32);
  }

  #same(seq: number, event: EventRecord): boolean {
    this.#look();
    return (
      this.#holds('kind', event.kind) &&
      this.#holds('tick', event.tick) &&
      this.#holds('step', event.step) &&
      this.#holds('vcpu', event.vcpu) &&
      this.#holds('seq', seq) &&
      this.#holds('isa', ISA) &&
      this.#holds('from_level', event.fromLevel === NO_LEVEL ? null : event.fromLevel) &&
      this.#holds('to_level', event.toLevel === NO_LEVEL ? null : event.toLevel) &&
      this.#holds('time_ns', null) &&
      this.#holds('tracepoint', null) &&
      this.#holds('text', null) &&
      this.#sameFields(event) &&
      this.#sameBytes(event)
    );
  }

  #sameFields({ mask, words }: EventRecord): boolean {
    const { index } = this.#cursor;
    const fields = this.#fields;
    for (let i = 0; i < fields.length; i++) {
      const { valid, numbers, big } = fields[i] as ColumnData;
      const has = valid === null || valid[index] === 1;
      if (has !== (((mask >>> i) & 1) === 1)) return false;
      if (!has || !numbers) continue;
      if (numbers[big ? 2 * index : index] !== words[2 * i]) return false;
      if (big && numbers[2 * index + 1] !== words[2 * i + 1]) return false;
    }
    return true;
  }

  #sameBytes({ bytes, byteCount }: EventRecord): boolean {
    const recorded = this.#cursor.bytes('bytes');
    if (recorded.length !== byteCount) return false;
    for (let i = 0; i < byteCount; i++) if (recorded[i] !== bytes[i]) return false;
    return true;
  }
}

export class RegisterComparer {
  readonly #cursor: TableCursor;
  readonly #complete: boolean;
  readonly #report: Report;
  /** At the exit before. */
  readonly #last = new Uint32Array(REGISTER_WORDS);
  readonly #now = new Uint32Array(REGISTER_WORDS);
  /** The first exit of a vCPU says all registers. */
  #first: boolean;
  #row: boolean;

  /** `from`: seq of the first event to be compared. */
  constructor(reader: TraceReader, from: number, report: Report) {
    this.#complete = reader.complete;
    this.#report = report;
    this.#cursor = new TableCursor(reader, 'register');
    this.#first = true;
    this.#row = this.#cursor.next();
    for (; this.#row && this.#cursor.number('seq') < from; this.#row = this.#cursor.next()) {
      this.#first = false;
      for (const [i, name] of REGISTERS.entries()) {
        if (!this.#cursor.has(name)) continue;
        this.#last[2 * i] = this.#cursor.low(name);
        this.#last[2 * i + 1] = this.#cursor.high(name);
      }
    }
  }

  /** The exit `seq` has happened. Of a recording that was cut, the last exits may have lost their registers. */
  take(seq: number, cpu: Cpu): void {
    registerWords(cpu, this.#now);
    if (!this.#row && !this.#complete) return;
    const recorded = this.#row && this.#cursor.number('seq') <= seq ? this.#recordedSide() : {};
    const replayed = this.#changes(seq);
    for (const name of ['seq', ...REGISTERS]) {
      if (recorded[name] === replayed[name]) continue;
      this.#report({ table: 'register', row: seq, recorded, replayed });
      return;
    }
    if ('seq' in recorded) this.#row = this.#cursor.next();
    this.#last.set(this.#now);
    this.#first = false;
  }

  /** Tells of registers of an exit that has not happened. */
  end(): void {
    if (!this.#row) return;
    this.#report({
      table: 'register',
      row: this.#cursor.number('seq'),
      recorded: this.#recordedSide(),
      replayed: null,
    });
  }

  #recordedSide(): Side {
    const side: { [name: string]: string } = { seq: String(this.#cursor.number('seq')) };
    for (const name of REGISTERS) {
      if (this.#cursor.has(name)) side[name] = hex(this.#cursor.low(name), this.#cursor.high(name));
    }
    return side;
  }

  /** The row that a recorder would write; none where no register changed. */
  #changes(seq: number): Side {
    const side: { [name: string]: string } = {};
    const [now, last] = [this.#now, this.#last];
    for (const [i, name] of REGISTERS.entries()) {
      const [low = 0, high = 0] = [now[2 * i], now[2 * i + 1]];
      if (this.#first || low !== last[2 * i] || high !== last[2 * i + 1]) side[name] = hex(low, high);
    }
    return Object.keys(side).length === 0 ? {} : { seq: String(seq), ...side };
  }
}
