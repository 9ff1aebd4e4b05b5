/** SQL over both stores: the same answers, and nothing is ever written. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import Database from 'better-sqlite3';
import { TraceError } from '../../traces/errors.js';
import { createTrace } from '../../traces/open.js';
import { SqlError, TraceSql } from '../../traces/sql.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-sql-'));
const paths = { sqlite: join(folder, 't.sqlite'), arrow: join(folder, 't.arrow') };
/** More than a chunk, so that chunks are joined; addresses with the top bit set, so that the sign would show. */
const EVENTS = 20_000;
const TOP = 0xffff_8000_0000_0000n;

before(() => {
  for (const path of Object.values(paths)) {
    const writer = createTrace(path);
    writer.define('reason.vmx', 10, 'CPUID');
    writer.define('reason.vmx', 30, 'IO_INSTRUCTION');
    const events = writer.table('event');
    for (let seq = 0; seq < EVENTS; seq++) {
      const exit = {
        seq,
        tick: 10 * seq,
        vcpu: 0,
        kind: 1,
        reason: seq % 4 === 0 ? 30 : 10,
        rip: TOP + BigInt(seq % 7),
      };
      events.row(seq % 5 === 0 ? { seq, tick: 10 * seq, vcpu: 0, kind: 2, bytes: Uint8Array.of(0x0f, 0xa2) } : exit);
    }
    writer.finish();
  }
});
after(() => rmSync(folder, { recursive: true }));

const ask = (path: string, statement: string): unknown[][] => {
  const sql = new TraceSql(path);
  try {
    return [...sql.ask(statement).rows].map((row) => [...row]);
  } finally {
    sql.close();
  }
};

test('both stores give the answer that arithmetic gives', () => {
  const exits = Array.from({ length: EVENTS }, (_, seq) => seq).filter((seq) => seq % 5 !== 0);
  const io = exits.filter((seq) => seq % 4 === 0).length;
  const statement = `select name, count(*) from event join dictionary d on d.domain = 'reason.vmx' and d.code = reason
    where kind = 1 group by name order by name`;
  for (const path of Object.values(paths)) {
    assert.deepEqual(ask(path, statement), [
      ['CPUID', BigInt(exits.length - io)],
      ['IO_INSTRUCTION', BigInt(io)],
    ]);
  }
});

test('both stores give the same cells, nulls and bytes included', () => {
  const statement = 'select * from event where seq between 8190 and 8200 order by seq';
  const [left, right] = [ask(paths.sqlite, statement), ask(paths.arrow, statement)];
  assert.equal(left.length, 11);
  assert.deepEqual(right, left);
});

test('columns that a statement means without naming them are there in both stores', () => {
  const statement = 'select count(1), sum(seq) from event natural join event';
  const [left, right] = [ask(paths.sqlite, statement), ask(paths.arrow, statement)];
  assert.deepEqual(right, left);
  const named = ask(paths.sqlite, 'select count(1) from event a join event b using (seq)');
  assert.deepEqual(named, [[BigInt(EVENTS)]]);
});

test('a changed cell under a statement is found in both stores', () => {
  const path = join(folder, 'changed.sqlite');
  copyFileSync(paths.sqlite, path);
  const db = new Database(path);
  db.exec('update event set reason = 11 where seq = 12345');
  db.close();
  assert.throws(() => ask(path, 'select reason from event'), TraceError);
});

test('64-bit integers are twos complement, and the functions read them without sign', () => {
  const statement =
    'select rip, u64(rip), hex64(rip), ult(1, rip), ule(rip, rip) from event where rip is not null limit 1';
  for (const path of Object.values(paths)) {
    const [[rip, decimal, hex, less, equal] = []] = ask(path, statement);
    assert.ok(typeof rip === 'bigint' && rip < 0n);
    assert.equal(decimal, BigInt.asUintN(64, rip).toString());
    assert.equal(hex, `0x${BigInt.asUintN(64, rip).toString(16)}`);
    assert.deepEqual([Number(less), Number(equal)], [1, 1]);
  }
});

test('what is no integer is refused by the functions of integers, not answered with nothing', () => {
  const top = 'select ult(1, 0xffffffff81000000), hex64(0xffffffff81000000), u64(null)';
  assert.deepEqual(ask(paths.sqlite, top), [[1, '0xffffffff81000000', null]]);
  for (const call of ['ult(1, 18446744073709551615)', 'ule(1.5, 2)', "hex64('a')", "u64(x'00')"]) {
    assert.throws(() => ask(paths.sqlite, `select ${call}`), /is no integer/, call);
  }
});

test('a statement that would write, or is none, is refused, and the trace is as it was', () => {
  const before = readFileSync(paths.sqlite);
  const refused = [
    'delete from event',
    "insert into dictionary values ('x', 1, 'y', null)",
    'drop table event',
    `attach '${join(folder, 'other.db')}' as other`,
    'pragma query_only = 0',
    'pragma user_version = 9',
    'selec 1',
    'select 1; select 2',
    '',
  ];
  for (const path of Object.values(paths)) {
    for (const statement of refused) assert.throws(() => ask(path, statement), SqlError, statement);
  }
  assert.ok(before.equals(readFileSync(paths.sqlite)));
});
