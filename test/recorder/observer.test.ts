import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { EVENT_FIELDS, EVENT_KINDS, type EventKind, EventRecord, RING_RECORD } from '../../engine/observer.js';
import { level, tick } from '../../engine/types.js';
import { TraceObserver } from '../../recorder/run/observer.js';
import { createTrace } from '../../traces/open.js';
import { CHUNK_ROWS, REGISTERS } from '../../traces/schema.js';
import type { Row, TraceReader } from '../../traces/store.js';
import { reading, scratch } from '../traces/rows.js';

function rowsIn(reader: TraceReader, table: 'event' | 'register' | 'memory' | 'message' | 'output'): Row[] {
  return [...reader.chunks(table)].flatMap((chunk) => Array.from({ length: chunk.rows }, (_, i) => chunk.row(i)));
}

/** Columns that have a value. */
const filled = (row: Row): Row => Object.fromEntries(Object.entries(row).filter(([, cell]) => cell !== null));

const NARROW: { readonly [field: string]: bigint } = {
  size: 0xffn,
  flags: 0xffff_ffffn,
  intr_info: 0xffff_ffffn,
  error_code: 0xffff_ffffn,
};

const eventOf = fc.record({
  kind: fc.constantFrom(...(Object.keys(EVENT_KINDS) as EventKind[])),
  vcpu: fc.integer({ min: 0, max: 1 }),
  tick: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  step: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  from: fc.constantFrom(0, 1, 2, 255),
  to: fc.constantFrom(0, 1, 2, 255),
  fields: fc.dictionary(fc.constantFrom(...EVENT_FIELDS), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  bytes: fc.uint8Array({ maxLength: 15 }),
  registers: fc.array(fc.bigInt({ min: 0n, max: 3n }), { minLength: REGISTERS.length, maxLength: REGISTERS.length }),
});

test('events and register deltas come back as the engine told them', (t) => {
  const folder = scratch(t);
  let run = 0;
  fc.assert(
    fc.property(fc.array(eventOf, { maxLength: 40 }), (events) => {
      const path = join(folder, `${run++}.arrow`);
      const writer = createTrace(path);
      let now: readonly bigint[] = [];
      const registers = (): Uint32Array => new Uint32Array(BigUint64Array.from(now).buffer);
      const observer = new TraceObserver(writer, { isa: 2, registers, now: () => 0 });
      const record = new EventRecord();
      for (const { kind, vcpu, tick: at, step, from, to, fields, bytes, registers: values } of events) {
        now = values;
        record.begin(kind, vcpu, at, step, from, to);
        for (const name of EVENT_FIELDS) {
          const value = fields[name];
          if (value !== undefined) record.setBig(name, value & (NARROW[name] ?? 2n ** 64n - 1n));
        }
        record.bytes.set(bytes);
        record.byteCount = bytes.length;
        observer.event(record);
      }
      observer.settle();
      assert.equal(observer.seq, events.length);
      writer.finish();
      reading(path, (reader) => {
        const expected = events.map((event, seq): Row => {
          const row: { [column: string]: Row[string] } = {
            seq: BigInt(seq),
            tick: BigInt(event.tick),
            vcpu: event.vcpu,
          };
          row.step = BigInt(event.step);
          row.kind = EVENT_KINDS[event.kind];
          row.isa = 2;
          if (event.from !== 255) row.from_level = event.from;
          if (event.to !== 255) row.to_level = event.to;
          for (const name of EVENT_FIELDS) {
            const value = event.fields[name];
            if (value === undefined) continue;
            const most = NARROW[name];
            row[name] = most === undefined ? value : Number(value & most);
          }
          if (event.bytes.length > 0) row.bytes = event.bytes;
          return row;
        });
        const plain = (row: Row): Row => ({
          ...filled(row),
          ...(row.bytes instanceof Uint8Array ? { bytes: Uint8Array.from(row.bytes) } : {}),
        });
        assert.deepEqual(rowsIn(reader, 'event').map(plain), expected);
        assert.deepEqual(rowsIn(reader, 'register').map(filled), deltas(events));
      });
    }),
    { numRuns: 30 },
  );
});

interface Told {
  readonly kind: EventKind;
  readonly vcpu: number;
  readonly registers: readonly bigint[];
}

/** What the register table should hold: at each exit the registers that differ from those at the vCPU's last exit. */
function deltas(events: readonly Told[]): Row[] {
  const last = new Map<number, readonly bigint[]>();
  return events.flatMap(({ kind, vcpu, registers }, seq) => {
    if (kind !== 'exit') return [];
    const before = last.get(vcpu);
    last.set(vcpu, registers);
    const changed = REGISTERS.flatMap((name, i) => (before?.[i] === registers[i] ? [] : [[name, registers[i] ?? 0n]]));
    return changed.length === 0 ? [] : [{ seq: BigInt(seq), ...Object.fromEntries(changed) }];
  });
}

interface Access {
  readonly tick: number;
  readonly gva: bigint | null;
  readonly gpa: bigint;
  readonly kind: number;
  readonly bytes: Uint8Array;
}

const accessOf: fc.Arbitrary<Access> = fc.record({
  tick: fc.nat(),
  gva: fc.oneof(fc.constant(null), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  gpa: fc.bigInt({ min: 0n, max: 2n ** 52n }),
  kind: fc.integer({ min: 0, max: 3 }),
  bytes: fc.oneof(
    { weight: 4, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 8 }) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 9, maxLength: 64 }) },
  ),
});

/** Records of the ring: one for each eight bytes of an access. */
function ringOf(accesses: readonly Access[]): DataView {
  const parts = accesses.flatMap(({ bytes, ...access }) =>
    Array.from({ length: Math.ceil(bytes.length / 8) }, (_, i) => ({
      ...access,
      bytes: bytes.subarray(8 * i, 8 * i + 8),
      size: bytes.length,
      more: i > 0,
    })),
  );
  const ring = new DataView(new ArrayBuffer(parts.length * RING_RECORD.bytes));
  parts.forEach((part, i) => {
    const at = i * RING_RECORD.bytes;
    ring.setBigUint64(at + RING_RECORD.tick, BigInt(part.tick), true);
    ring.setBigUint64(at + RING_RECORD.gva, part.gva ?? 0n, true);
    ring.setBigUint64(at + RING_RECORD.gpa, part.gpa, true);
    part.bytes.forEach((byte, b) => {
      ring.setUint8(at + RING_RECORD.value + b, byte);
    });
    const meta = part.size | (part.kind << 8) | (2 << 12) | (1 << 16);
    ring.setUint32(at + RING_RECORD.meta, meta | (part.gva === null ? 1 << 24 : 0) | (part.more ? 1 << 25 : 0), true);
  });
  return ring;
}

test('memory accesses come back whole, wherever the ring was drained', (t) => {
  const folder = scratch(t);
  let run = 0;
  fc.assert(
    fc.property(fc.array(accessOf, { maxLength: 50 }), fc.array(fc.nat({ max: 9 })), (accesses, cuts) => {
      const path = join(folder, `${run++}.arrow`);
      const writer = createTrace(path);
      const observer = new TraceObserver(writer, { isa: 1, registers: () => new Uint32Array(34), now: () => 0 });
      const ring = ringOf(accesses);
      const records = ring.byteLength / RING_RECORD.bytes;
      for (let from = 0, cut = 0; from < records; cut++) {
        const count = Math.min(records - from, cuts[cut] ?? records);
        observer.memory(new DataView(ring.buffer, from * RING_RECORD.bytes, count * RING_RECORD.bytes), count);
        from += count;
      }
      assert.equal(observer.memoryRows, accesses.length);
      observer.settle();
      writer.finish();
      reading(path, (reader) => {
        const expected = accesses.map(({ tick: at, gva, gpa, kind, bytes }) => {
          const first = Buffer.alloc(8);
          first.set(bytes.subarray(0, 8));
          const value = first.readBigUInt64LE();
          const wide = bytes.length > 8 ? Buffer.from(bytes).toString('hex') : null;
          return { tick: BigInt(at), vcpu: 1, level: 2, kind, size: bytes.length, gva, gpa, value, wide };
        });
        const rows = rowsIn(reader, 'memory').map((row) => ({
          ...row,
          wide: row.wide instanceof Uint8Array ? Buffer.from(row.wide).toString('hex') : null,
        }));
        assert.deepEqual(rows, expected);
      });
    }),
    { numRuns: 60 },
  );
});

test('accesses and events go on into the next chunk', (t) => {
  const path = join(scratch(t), 'long.arrow');
  const writer = createTrace(path);
  const observer = new TraceObserver(writer, { isa: 1, registers: () => new Uint32Array(34), now: () => 0 });
  const accesses = Array.from({ length: CHUNK_ROWS.memory + 3 }, (_, i) => ({
    tick: i,
    gva: BigInt(i),
    gpa: BigInt(i),
    kind: 0,
    bytes: Uint8Array.of(i & 0xff, ...(i === CHUNK_ROWS.memory - 1 ? new Array(15).fill(7) : [])),
  }));
  const ring = ringOf(accesses);
  observer.memory(ring, ring.byteLength / RING_RECORD.bytes);
  const record = new EventRecord();
  for (let i = 0; i <= CHUNK_ROWS.event; i++) observer.event(record.begin('cpuid', 0, i, i, 1, 255).set('code', i));
  observer.settle();
  writer.finish();
  reading(path, (reader) => {
    assert.equal(reader.rows('memory'), accesses.length);
    let row = 0n;
    for (const chunk of reader.chunks('memory')) {
      for (const value of chunk.column('tick').big ?? []) assert.equal(value, row++);
    }
    const sizes = [...reader.chunks('memory', { columns: ['size'] })][0]?.column('size').numbers;
    assert.deepEqual([...(sizes?.slice(-2) ?? [])], [1, 16]);
    const last = [...reader.chunks('event')].at(-1);
    const expected = { seq: 8192n, tick: 8192n, vcpu: 0, step: 8192n, kind: 21, isa: 1, from_level: 1, code: 8192n };
    assert.deepEqual(filled(last?.row(0) ?? {}), expected);
  });
});

test('messages belong to the event that completed them, output to the machine time', (t) => {
  const path = join(scratch(t), 'said.sqlite');
  const writer = createTrace(path);
  const observer = new TraceObserver(writer, { isa: 1, registers: () => new Uint32Array(34), now: () => 77 });
  const message = { tick: tick(5), vcpu: 0, level: level(1), protocol: 'rpci', channel: 3, direction: 1 } as const;
  observer.message({ ...message, body: Uint8Array.of(1) });
  observer.event(new EventRecord().begin('backdoor', 0, 6, 6, 1, 0));
  observer.message({ ...message, body: Uint8Array.of(2) });
  observer.output('com1', Uint8Array.of(65));
  writer.finish();
  reading(path, (reader) => {
    assert.deepEqual(
      rowsIn(reader, 'message').map(({ seq, tick: at, level: of, channel }) => [seq, at, of, channel]),
      [
        [null, 5n, 1, 3],
        [0n, 5n, 1, 3],
      ],
    );
    assert.deepEqual(
      rowsIn(reader, 'output').map(({ tick: at, port }) => [at, port]),
      [[77n, 'com1']],
    );
  });
});
