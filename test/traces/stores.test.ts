import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { convert } from '../../traces/convert.js';
import { DIGESTED } from '../../traces/digest.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { CHUNK_ROWS, TABLE_NAMES } from '../../traces/schema.js';
import { ended } from '../steps.js';
import { FILLED, fillLong, plainRow, reading, rowsOf, scratch, steps, write } from './rows.js';

const STORES = ['sqlite', 'arrow'] as const;

test('random rows come back as they were, from both stores, with one digest', (t) => {
  const folder = scratch(t);
  let run = 0;
  fc.assert(
    fc.property(steps(60), (script) => {
      run++;
      const digests = STORES.map((store) => {
        const path = join(folder, `${run}.${store}`);
        const { digest } = write(createTrace(path), script);
        reading(path, (reader) => {
          assert.equal(reader.kind, store);
          assert.equal(reader.complete, true);
          assert.equal(reader.run('digest'), digest);
          assert.equal(reader.digest(), digest);
          assert.deepEqual([...(reader.image() ?? [])], [1, 2, 3]);
          assert.equal(reader.name('kind', 1), 'exit');
          for (const table of FILLED) {
            const expected = script.filter((step) => step.table === table).map(({ row }) => plainRow(row));
            assert.deepEqual(rowsOf(reader, table), expected);
          }
        });
        return digest;
      });
      assert.equal(digests[0], digests[1]);
    }),
    { numRuns: 25 },
  );
});

test('the digest does not depend on when a store flushed, but on every cell', (t) => {
  const folder = scratch(t);
  let run = 0;
  fc.assert(
    fc.property(steps(30), fc.nat(), (script, pick) => {
      run++;
      const one = write(createTrace(join(folder, `a${run}.arrow`)), script).digest;
      const other = write(createTrace(join(folder, `b${run}.arrow`)), script, false).digest;
      assert.equal(one, other);
      const at = pick % Math.max(1, script.length);
      const fewer = script.filter((_, i) => i !== at);
      const third = write(createTrace(join(folder, `c${run}.arrow`)), fewer, false).digest;
      const dropped = script[at];
      assert.equal(third === one, dropped === undefined || !DIGESTED.includes(dropped.table));
    }),
    { numRuns: 20 },
  );
});

test('long tables: chunks are full, the worker writes what the caller would, and conversions keep the digest', (t) => {
  const folder = scratch(t);
  const events = 3 * CHUNK_ROWS.event + 100;
  const accesses = 2 * CHUNK_ROWS.memory + 5;
  const digests = STORES.map((store) => {
    const writer = createTrace(join(folder, `long.${store}`));
    fillLong(writer, events, accesses);
    return writer.finish().digest;
  });
  assert.equal(digests[0], digests[1]);
  for (const [from, to] of [
    ['sqlite', 'arrow'],
    ['arrow', 'sqlite'],
  ] as const) {
    reading(join(folder, `long.${from}`), (reader) => {
      assert.deepEqual(
        [...reader.chunks('event', { columns: ['seq'] })].map(({ first, rows }) => [first, rows]),
        [
          [0, CHUNK_ROWS.event],
          [CHUNK_ROWS.event, CHUNK_ROWS.event],
          [2 * CHUNK_ROWS.event, CHUNK_ROWS.event],
          [3 * CHUNK_ROWS.event, 100],
        ],
      );
      const copy = join(folder, `copy.${to}`);
      assert.equal(ended(convert(reader, createTrace(copy))).digest, digests[0]);
      reading(copy, (copied) => {
        assert.equal(copied.digest(), digests[0]);
        for (const table of TABLE_NAMES) assert.equal(copied.rows(table), reader.rows(table));
      });
    });
  }
});

test('a range of rows and some columns are read from the chunks that hold them', (t) => {
  const folder = scratch(t);
  for (const store of STORES) {
    const path = join(folder, `range.${store}`);
    const writer = createTrace(path);
    fillLong(writer, 2 * CHUNK_ROWS.event + 1, 0);
    writer.finish();
    reading(path, (reader) => {
      const chunks = [...reader.chunks('event', { from: 8191, to: 8193, columns: ['seq', 'tick', 'old'] })];
      assert.deepEqual(
        chunks.map(({ first }) => first),
        [0, 8192],
      );
      const [, second] = chunks;
      assert.deepEqual(second?.row(1), { seq: 8193n, tick: 1000n + 8193n * 7n, old: null });
      assert.throws(() => second?.column('rip'), { code: 'TRACE_COLUMN' });
      assert.throws(() => [...reader.chunks('event', { columns: ['nonsense'] })], { code: 'TRACE_COLUMN' });
      assert.deepEqual([...reader.chunks('event', { from: 1_000_000 })], []);
    });
  }
});

test('raw sqlite3 sees plain tables', (t) => {
  const path = join(scratch(t), 'raw.sqlite');
  const writer = createTrace(path);
  writer
    .table('event')
    .row({ seq: 0, vcpu: 0, kind: 1, rip: 0xffff_ffff_8100_0000n, time_ns: -1n, bytes: Uint8Array.of(0xf4) });
  writer.finish();
  let said: string;
  try {
    said = execFileSync('sqlite3', [path, "select printf('%x', rip), time_ns, hex(bytes), typeof(seq) from event"], {
      encoding: 'utf8',
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return t.skip('sqlite3 is not installed');
    throw error;
  }
  assert.equal(said.trim(), 'ffffffff81000000|-1|F4|integer');
});

test('a cell that does not fit its column is refused', (t) => {
  const writer = createTrace(join(scratch(t), 'refused.arrow'));
  const event = writer.table('event');
  const refused = [
    { seq: 0, vcpu: 0 },
    { seq: -1, vcpu: 0, kind: 1 },
    { seq: 0.5, vcpu: 0, kind: 1 },
    { seq: 2n ** 64n, vcpu: 0, kind: 1 },
    { seq: 0, vcpu: 0, kind: 256 },
    { seq: 0, vcpu: 0, kind: 'exit' },
    { seq: 0, vcpu: 0, kind: 1, bytes: 5 },
  ];
  for (const row of refused) assert.throws(() => event.row(row), { code: 'TRACE_VALUE' });
  assert.throws(() => event.row({ seq: 0, vcpu: 0, kind: 1, colour: 1 }), { code: 'TRACE_COLUMN' });
  writer.abandon();
});

test('a refused row leaves nothing behind in the next', (t) => {
  const path = join(scratch(t), 'clean.arrow');
  const writer = createTrace(path);
  const event = writer.table('event');
  assert.throws(() => event.row({ seq: 7, tick: 9, vcpu: 1, kind: 256, rip: 5 }), { code: 'TRACE_VALUE' });
  event.row({ seq: 0, vcpu: 0, kind: 1 });
  writer.finish();
  reading(path, (reader) => {
    const [first] = [...reader.chunks('event', { columns: ['seq', 'tick', 'rip'] })];
    assert.deepEqual(first?.row(0), { seq: 0n, tick: null, rip: null });
  });
});

test('facts and names: the last value of a fact holds, unknown ones are null', (t) => {
  const folder = scratch(t);
  for (const store of STORES) {
    const path = join(folder, `facts.${store}`);
    const writer = createTrace(path);
    writer.setRun('cpu', 'first');
    writer.flush();
    writer.setRun('cpu', 'second');
    writer.define('reason.vmx', 48, 'EPT_VIOLATION', 'says');
    writer.finish();
    const reader = openTrace(path);
    assert.equal(reader.run('cpu'), 'second');
    assert.equal(reader.run('notes'), null);
    assert.equal(reader.image(), null);
    assert.deepEqual(reader.dictionary('reason.vmx'), new Map([[48n, { name: 'EPT_VIOLATION', says: 'says' }]]));
    assert.equal(reader.name('reason.vmx', 49n), null);
    assert.equal(reader.name('nothing', 0), null);
    reader.close();
  }
});
