/** Traces that older versions of the format wrote are read as those of the newest. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { listed } from '../../analyzer/listing.js';
import { inPackage } from '../../traces/guests/guest.js';
import { openTrace } from '../../traces/open.js';
import { FORMAT_VERSION, TABLES } from '../../traces/schema.js';
import { TraceSql } from '../../traces/sql.js';
import { storedColumns, UPGRADERS, upgradesFor } from '../../traces/upgrade.js';

const KINDS = ['load', 'store', 'walk'];
/** Recorded by version 1: the guest `halt`, its accesses to a range and all of them. */
const SAMPLES = [
  ['version-1.sqlite', { ranges: [{ from: 0x10_0000, to: 0x10_1000 }], kinds: KINDS }],
  ['version-1.arrow', { ranges: 'all', kinds: KINDS }],
] as const;

for (const [name, memory] of SAMPLES) {
  test(`${name} opens, and says which kinds of access it holds`, () => {
    const reader = openTrace(join(inPackage('test', 'traces', 'fixtures'), name));
    try {
      assert.equal(reader.run('format'), '1');
      assert.deepEqual(JSON.parse(reader.run('memory') ?? ''), memory);
      assert.ok(reader.rows('memory') > 0);
      assert.equal(reader.digest(), reader.run('digest'));
    } finally {
      reader.close();
    }
  });
}

/** Imported by version 3: the first 59 events of vmx-basic.report.txt, whose exits are counted by hand. */
for (const name of ['version-3.sqlite', 'version-3.arrow']) {
  test(`${name} answers questions about columns that it does not have`, () => {
    const path = join(inPackage('test', 'traces', 'fixtures'), name);
    const reader = openTrace(path);
    assert.equal(reader.run('format'), '3');
    assert.equal(reader.digest(), reader.run('digest'));
    reader.close();
    const sql = new TraceSql(path);
    try {
      const ask = (statement: string): unknown[] => [...sql.ask(statement).rows];
      assert.deepEqual(ask('select count(*) from run where key = 4'), [[0n]]); // one that needs no such column
      assert.deepEqual(ask('select isa, name, count(*) from exit group by isa, name order by name'), [
        [1n, 'CPUID', 9n],
        [1n, 'EPT_VIOLATION', 7n],
        [1n, 'IO_INSTRUCTION', 1n],
      ]);
      assert.deepEqual(ask('select count(*), count(tracepoint), count(vcpu) from event'), [[59n, 0n, 59n]]);
      const { columns, rows } = sql.ask('select * from event');
      assert.equal([...rows].length, 59);
      assert.deepEqual(
        columns.map((column) => column.name),
        TABLES.event.columns.map((column) => column.name),
      );
    } finally {
      sql.close();
    }
  });
}

/** Imported by version 4: the same events. */
for (const name of ['version-4.sqlite', 'version-4.arrow']) {
  test(`${name} is whole as far as it says`, () => {
    const reader = openTrace(join(inPackage('test', 'traces', 'fixtures'), name));
    try {
      assert.equal(reader.run('format'), '4');
      assert.deepEqual([reader.rows('event'), reader.digest(), reader.complete], [59, reader.run('digest'), true]);
      assert.deepEqual([reader.run('stopped'), reader.run('damaged')], [null, null]);
    } finally {
      reader.close();
    }
  });
}

/** Imported by version 5: the same events. */
for (const name of ['version-5.sqlite', 'version-5.arrow']) {
  test(`${name} names no event that was recorded and never came`, () => {
    const reader = openTrace(join(inPackage('test', 'traces', 'fixtures'), name));
    try {
      assert.equal(reader.run('format'), '5');
      assert.deepEqual([reader.rows('event'), reader.digest(), reader.complete], [59, reader.run('digest'), true]);
      assert.equal(reader.run('silent'), null);
    } finally {
      reader.close();
    }
  });
}

/** Imported by version 6: the first lines of vmx-basic.report.txt. */
for (const name of ['version-6.sqlite', 'version-6.arrow']) {
  test(`${name} lists an event that shares its kind as its text has it`, () => {
    const reader = openTrace(join(inPackage('test', 'traces', 'fixtures'), name));
    try {
      assert.equal(reader.run('format'), '6');
      assert.deepEqual([reader.digest(), reader.complete], [reader.run('digest'), true]);
      const [chunk] = reader.chunks('event');
      assert.ok(chunk !== undefined);
      const names = (domain: string, code: bigint): string | null => reader.name(domain, code);
      const all = Array.from({ length: chunk.rows }, (_, i) => listed(chunk.row(i), names, () => null));
      const { values, text } = all.find((event) => event.name === 'kvm_fpu') ?? assert.fail();
      assert.deepEqual([values, text], [[], 'load']);
    } finally {
      reader.close();
    }
  });
}

test('columns of a version are those of its time', () => {
  const names = storedColumns(upgradesFor(3, 'path'), 'event').map(({ name }) => name);
  assert.ok(!names.includes('tracepoint') && names.length === TABLES.event.columns.length - 1);
  for (const { adds } of UPGRADERS)
    for (const [table, added] of Object.entries(adds ?? {}))
      for (const name of added)
        assert.ok(TABLES[table as keyof typeof TABLES].columns.some((each) => each.name === name && each.nullable));
});

test('each version before this one has an upgrader', () => {
  assert.deepEqual(
    upgradesFor(1, 'path').map(({ from }) => from),
    Array.from({ length: FORMAT_VERSION - 1 }, (_, i) => i + 1),
  );
});

test('an upgraded fact: off stays off, and what is no JSON stays what it is', () => {
  const [first] = UPGRADERS;
  assert.equal(first?.facts?.memory?.('"off"'), '"off"');
  assert.equal(first?.facts?.memory?.('{'), '{');
});
