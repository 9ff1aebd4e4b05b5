/** An observer that holds what a machine does against what a trace says, and keeps the first difference. */
import type { Machine } from '../../engine/machine.js';
import {
  EVENT_FIELDS,
  EVENT_KINDS,
  type EventRecord,
  type Message,
  type Observer,
  RING_RECORD,
} from '../../engine/observer.js';
import { REGISTERS } from '../../traces/schema.js';
import type { TraceReader } from '../../traces/store.js';
import { TableCursor } from './cursor.js';

/** One side of a difference: what was recorded, or what the replay did. Values are decimal or 0x-hexadecimal text. */
export type Side = { readonly [name: string]: string };

export interface Divergence {
  /** The table whose rows differ, or `checkpoint` for a state digest. */
  readonly table: 'event' | 'register' | 'memory' | 'message' | 'output' | 'checkpoint';
  /** Row of that table; for `register` and `event` the seq. */
  readonly row: number;
  /** Machine time of the replay when it was found. */
  readonly tick: number;
  readonly fields: readonly string[];
  readonly recorded: Side | null;
  readonly replayed: Side | null;
}

const hex = (low: number, high: number): string => {
  const digits = high ? high.toString(16) + (low >>> 0).toString(16).padStart(8, '0') : (low >>> 0).toString(16);
  return `0x${digits}`;
};
const hexBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const NO_LEVEL = 255;

/** Columns of `event` that the record carries outside of its fields. */
const HEAD = ['tick', 'vcpu', 'step', 'kind', 'from_level', 'to_level'] as const;

export interface ComparerStart {
  /** Rows of each table that lie before the place at which the replay starts. */
  readonly event: number;
  readonly register: number;
  readonly memory: number;
  readonly message: number;
  readonly output: number;
  /** General registers at the last exit before, as REGISTERS, low word before high word; null: there was none. */
  readonly registers: Uint32Array | null;
}

export const FROM_START: ComparerStart = { event: 0, register: 0, memory: 0, message: 0, output: 0, registers: null };

export class Comparer implements Observer {
  divergence: Divergence | null = null;
  /** Events that were compared. */
  events = 0;
  memoryRows = 0;
  readonly #events: TableCursor;
  readonly #registers: TableCursor;
  readonly #memory: TableCursor | null;
  readonly #messages: TableCursor;
  readonly #outputs: TableCursor;
  readonly #last = new Uint32Array(2 * REGISTERS.length);
  #registerRow: boolean;
  #seq: number;
  #memoryRow: number;
  #messageRow: number;
  #outputRow: number;
  #recordedOutput: { readonly port: string; readonly bytes: Uint8Array; at: number } | null = null;
  /** A trace that was cut says nothing of what came after its end. */
  readonly #complete: boolean;
  machine: Machine | null = null;

  constructor(reader: TraceReader, start: ComparerStart, memory: boolean) {
    this.#complete = reader.complete;
    this.#events = new TableCursor(reader, 'event', start.event);
    this.#registers = new TableCursor(reader, 'register', start.register);
    this.#memory = memory ? new TableCursor(reader, 'memory', start.memory) : null;
    this.#messages = new TableCursor(reader, 'message', start.message);
    this.#outputs = new TableCursor(reader, 'output', start.output);
    this.#registerRow = this.#registers.next();
    this.#seq = start.event;
    this.#memoryRow = start.memory;
    this.#messageRow = start.message;
    this.#outputRow = start.output;
    if (start.registers) this.#last.set(start.registers);
  }

  #differ(
    table: Divergence['table'],
    row: number,
    fields: readonly string[],
    recorded: Side | null,
    replayed: Side | null,
  ): void {
    if (this.divergence) return;
    if (recorded === null && !this.#complete) return;
    this.divergence = { table, row, tick: this.machine?.now ?? 0, fields, recorded, replayed };
  }

  /** A checkpoint's digest differs. */
  checkpoint(id: number, tick: number, recorded: string, replayed: string, recordedTick: number): void {
    if (recorded === replayed && tick === recordedTick) return;
    const fields = recorded === replayed ? ['tick'] : ['digest'];
    this.#differ(
      'checkpoint',
      id,
      fields,
      { tick: String(recordedTick), digest: recorded },
      { tick: String(tick), digest: replayed },
    );
  }

  event(event: EventRecord): void {
    if (this.divergence) return;
    const seq = this.#seq++;
    const cursor = this.#events;
    if (!cursor.next()) {
      this.#differ('event', seq, ['kind'], null, eventSide(event));
      return;
    }
    this.events++;
    if (!sameEvent(cursor, event)) {
      const recorded = rowSide(cursor);
      const replayed = eventSide(event);
      const fields = Object.keys({ ...recorded, ...replayed }).filter((name) => recorded[name] !== replayed[name]);
      this.#differ('event', seq, fields, recorded, replayed);
      return;
    }
    if (event.kind === EVENT_KINDS.exit) this.#compareRegisters(seq);
  }

  #compareRegisters(seq: number): void {
    if (this.#registerRow && this.#registers.number('seq') === seq) {
      for (const [i, name] of REGISTERS.entries()) {
        if (!this.#registers.has(name)) continue;
        this.#last[2 * i] = this.#registers.low(name);
        this.#last[2 * i + 1] = this.#registers.high(name);
      }
      this.#registerRow = this.#registers.next();
    }
    const cpu = this.machine?.cpu;
    if (!cpu) return;
    const differing: string[] = [];
    const recorded: { [name: string]: string } = {};
    const replayed: { [name: string]: string } = {};
    for (const [i, name] of REGISTERS.entries()) {
      const low = name === 'rflags' ? cpu.rflags : cpu.state.getUint32(8 * i, true);
      const high = name === 'rflags' ? 0 : cpu.state.getUint32(8 * i + 4, true);
      if (low === this.#last[2 * i] && high === this.#last[2 * i + 1]) continue;
      differing.push(name);
      recorded[name] = hex(this.#last[2 * i] ?? 0, this.#last[2 * i + 1] ?? 0);
      replayed[name] = hex(low, high);
    }
    if (differing.length > 0) this.#differ('register', seq, differing, recorded, replayed);
  }

  memory(ring: DataView, count: number): void {
    const cursor = this.#memory;
    if (!cursor || this.divergence) return;
    for (let i = 0; i < count; i++) {
      const at = i * RING_RECORD.bytes;
      const row = this.#memoryRow++;
      if (!cursor.next()) {
        this.#differ('memory', row, ['tick'], null, accessSide(ring, at));
        return;
      }
      this.memoryRows++;
      if (sameAccess(cursor, ring, at)) continue;
      const recorded = memoryRowSide(cursor);
      const replayed = accessSide(ring, at);
      const fields = Object.keys(recorded).filter((name) => recorded[name] !== replayed[name]);
      this.#differ('memory', row, fields, recorded, replayed);
      return;
    }
  }

  message(message: Message): void {
    if (this.divergence) return;
    const row = this.#messageRow++;
    const replayed: Side = {
      tick: String(message.tick),
      vcpu: String(message.vcpu),
      protocol: message.protocol,
      channel: String(message.channel),
      direction: String(message.direction),
      body: hexBytes(message.body),
    };
    const cursor = this.#messages;
    if (!cursor.next()) {
      this.#differ('message', row, ['body'], null, replayed);
      return;
    }
    const recorded: Side = {
      tick: String(cursor.number('tick')),
      vcpu: String(cursor.number('vcpu')),
      protocol: cursor.text('protocol'),
      channel: String(cursor.number('channel')),
      direction: String(cursor.number('direction')),
      body: hexBytes(cursor.bytes('body')),
    };
    const fields = Object.keys(recorded).filter((name) => recorded[name] !== replayed[name]);
    if (fields.length > 0) this.#differ('message', row, fields, recorded, replayed);
  }

  /** Output is compared byte by byte: how many bytes make a row is the recorder's affair. */
  output(port: string, bytes: Uint8Array): void {
    if (this.divergence) return;
    for (const byte of bytes) {
      let recorded = this.#recordedOutput;
      while (!recorded || recorded.at === recorded.bytes.length) {
        if (!this.#outputs.next()) {
          this.#differ('output', this.#outputRow, ['bytes'], null, { port, byte: hex(byte, 0) });
          return;
        }
        this.#outputRow++;
        recorded = { port: this.#outputs.text('port'), bytes: this.#outputs.bytes('bytes'), at: 0 };
      }
      this.#recordedOutput = recorded;
      const expected = recorded.bytes[recorded.at++] ?? 0;
      if (expected === byte && recorded.port === port) continue;
      const fields = recorded.port === port ? ['byte'] : ['port'];
      const before = { port: recorded.port, byte: hex(expected, 0) };
      this.#differ('output', this.#outputRow - 1, fields, before, { port, byte: hex(byte, 0) });
      return;
    }
  }

  /** The replay has ended: what was recorded beyond it is missing from it. */
  end(): void {
    if (this.divergence || !this.#complete) return;
    if (this.#events.next()) this.#differ('event', this.#seq, ['kind'], rowSide(this.#events), null);
    else if (this.#memory?.next()) {
      this.#differ('memory', this.#memoryRow, ['tick'], memoryRowSide(this.#memory), null);
    } else if (this.#messages.next()) {
      this.#differ('message', this.#messageRow, ['body'], { body: hexBytes(this.#messages.bytes('body')) }, null);
    } else if (this.#outputs.next()) {
      this.#differ('output', this.#outputRow, ['bytes'], { bytes: hexBytes(this.#outputs.bytes('bytes')) }, null);
    }
  }
}

function sameEvent(cursor: TableCursor, event: EventRecord): boolean {
  const level = (name: 'from_level' | 'to_level'): number => (cursor.has(name) ? cursor.low(name) : NO_LEVEL);
  if (
    cursor.low('kind') !== event.kind ||
    cursor.low('vcpu') !== event.vcpu ||
    cursor.number('tick') !== event.tick ||
    cursor.number('step') !== event.step ||
    level('from_level') !== event.fromLevel ||
    level('to_level') !== event.toLevel
  ) {
    return false;
  }
  for (let i = 0; i < EVENT_FIELDS.length; i++) {
    const name = EVENT_FIELDS[i] as string;
    const set = (event.mask & (1 << i)) !== 0;
    if (cursor.has(name) !== set) return false;
    if (!set) continue;
    if (cursor.low(name) !== event.words[2 * i]) return false;
    if (cursor.column(name).big && cursor.high(name) !== event.words[2 * i + 1]) return false;
  }
  const bytes = cursor.bytes('bytes');
  return bytes.length === event.byteCount && bytes.every((byte, i) => byte === event.bytes[i]);
}

const KIND_NAMES = new Map<number, string>(Object.entries(EVENT_KINDS).map(([name, code]) => [code, name]));

function eventSide(event: EventRecord): Side {
  const side: { [name: string]: string } = {
    kind: KIND_NAMES.get(event.kind) ?? String(event.kind),
    tick: String(event.tick),
    step: String(event.step),
    vcpu: String(event.vcpu),
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
  for (const name of HEAD) {
    if (!cursor.has(name)) continue;
    side[name] = name === 'kind' ? (KIND_NAMES.get(cursor.low(name)) ?? '?') : String(cursor.number(name));
  }
  for (const name of EVENT_FIELDS) if (cursor.has(name)) side[name] = hex(cursor.low(name), cursor.high(name));
  if (cursor.has('bytes')) side.bytes = hexBytes(cursor.bytes('bytes'));
  return side;
}

const NO_GVA = 1 << 24;

/** Columns of the memory table in the order of a ring record, with how to read them there. */
function sameAccess(cursor: TableCursor, ring: DataView, at: number): boolean {
  const word = (offset: number): number => ring.getUint32(at + offset, true);
  const meta = word(RING_RECORD.meta);
  const same = (name: string, offset: number): boolean =>
    cursor.low(name) === word(offset) && cursor.high(name) === word(offset + 4);
  const hasGva = (meta & NO_GVA) === 0;
  return (
    same('tick', RING_RECORD.tick) &&
    same('gpa', RING_RECORD.gpa) &&
    same('value', RING_RECORD.value) &&
    cursor.has('gva') === hasGva &&
    (!hasGva || same('gva', RING_RECORD.gva)) &&
    cursor.low('size') === (meta & 0xff) &&
    cursor.low('kind') === ((meta >>> 8) & 15) &&
    cursor.low('level') === ((meta >>> 12) & 15) &&
    cursor.low('vcpu') === ((meta >>> 16) & 0xff)
  );
}

function accessSide(ring: DataView, at: number): Side {
  const pair = (offset: number): string =>
    hex(ring.getUint32(at + offset, true), ring.getUint32(at + offset + 4, true));
  const meta = ring.getUint32(at + RING_RECORD.meta, true);
  return {
    tick: pair(RING_RECORD.tick),
    ...(meta & NO_GVA ? {} : { gva: pair(RING_RECORD.gva) }),
    gpa: pair(RING_RECORD.gpa),
    value: pair(RING_RECORD.value),
    size: String(meta & 0xff),
    kind: String((meta >>> 8) & 15),
    level: String((meta >>> 12) & 15),
  };
}

function memoryRowSide(cursor: TableCursor): Side {
  const pair = (name: string): string => hex(cursor.low(name), cursor.high(name));
  return {
    tick: pair('tick'),
    ...(cursor.has('gva') ? { gva: pair('gva') } : {}),
    gpa: pair('gpa'),
    value: pair('value'),
    size: String(cursor.low('size')),
    kind: String(cursor.low('kind')),
    level: String(cursor.low('level')),
  };
}
