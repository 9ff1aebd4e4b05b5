/** Traces that are damaged in ways that mutations (test/fuzz/traces.ts) would not find. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { integrityOf, isIntact } from '../../analyzer/verify.js';
import { firstLine } from '../../traces/arrow/manifest.js';
import { TRACE_ERRORS, TraceError } from '../../traces/errors.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { CHUNK_ROWS, FORMAT_VERSION } from '../../traces/schema.js';
import { upgradesFor } from '../../traces/upgrade.js';
import { fillLong, reading, rowsOf, scratch } from './rows.js';

const EVENTS = CHUNK_ROWS.event + 500;

function makeTrace(path: string, events = 400, accesses = 300): string {
  const writer = createTrace(path);
  writer.setRun('source', 'test');
  writer.define('kind', 1, 'exit');
  fillLong(writer, events, accesses);
  writer.table('message').row({ vcpu: 0, protocol: 'rpci', channel: 1, direction: 0, body: Uint8Array.of(1, 2, 3) });
  return writer.finish().digest;
}

/** Whether `verify` takes it for whole; a TraceError is its answer too. */
function verifies(path: string): boolean {
  try {
    return reading(path, (reader) => isIntact(integrityOf(reader)) && reader.complete);
  } catch (error) {
    if (error instanceof TraceError) return false;
    throw error;
  }
}

test('a folder into which nobody can look is not told as one that is no trace', (t) => {
  const folder = join(scratch(t), 'looped.arrow');
  mkdirSync(folder);
  symlinkSync('manifest.jsonl', join(folder, 'manifest.jsonl'));
  assert.throws(
    () => openTrace(folder),
    (error) => error instanceof TraceError && error.code === 'TRACE_UNREADABLE' && error.message.includes(folder),
  );
});

test('what lies before the damage can be read', (t) => {
  const path = join(scratch(t), 'kept.arrow');
  makeTrace(path, EVENTS);
  const stream = join(path, 'event.arrow');
  truncateSync(stream, statSync(stream).size - 100);
  reading(path, (reader) => {
    const seen: number[] = [];
    assert.throws(
      () => {
        for (const chunk of reader.chunks('event')) seen.push(chunk.rows);
      },
      { code: 'TRACE_CUT', message: /event\.arrow, offset \d+: cut short/ },
    );
    assert.deepEqual(seen, [CHUNK_ROWS.event]);
    assert.equal(rowsOf(reader, 'memory').length, 300);
  });
});

test('a value that someone changed with sqlite3 is found by the columns that hold it', (t) => {
  const path = join(scratch(t), 'edited.sqlite');
  makeTrace(path, EVENTS);
  const db = new Database(path);
  db.exec('UPDATE event SET rip = rip + 1 WHERE seq = 5');
  db.close();
  reading(path, (reader) => {
    assert.throws(() => [...reader.chunks('event')], {
      code: 'TRACE_DAMAGED',
      message: /table event, rows 0 to 8191, column rip: damaged/,
    });
    assert.equal([...reader.chunks('event', { columns: ['seq', 'tick'] })].length, 2);
  });
});

test('versions: newer and unknown ones are refused, an older one goes through its upgraders in order', (t) => {
  const folder = scratch(t);
  const sqlite = join(folder, 'version.sqlite');
  makeTrace(sqlite);
  for (const [version, code] of [
    [FORMAT_VERSION + 1, 'TRACE_NEWER'],
    [0, 'TRACE_OLDER'],
  ] as const) {
    const db = new Database(sqlite);
    db.pragma(`user_version = ${version}`);
    db.close();
    assert.throws(() => openTrace(sqlite), { code });
  }
  const arrow = join(folder, 'version.arrow');
  makeTrace(arrow);
  const manifest = join(arrow, 'manifest.jsonl');
  const lines = readFileSync(manifest, 'utf8').split('\n').slice(1);
  writeFileSync(manifest, firstLine(FORMAT_VERSION + 1) + lines.join('\n'));
  assert.throws(() => openTrace(arrow), {
    code: 'TRACE_NEWER',
    message: /version\.arrow: written by a newer version: its format version is \d+, this program knows \d+; update/,
  });
  const steps = [
    { from: 1, says: 'one' },
    { from: 2, says: 'two' },
  ];
  assert.deepEqual(upgradesFor(1, 'path', 3, steps), steps);
  assert.deepEqual(upgradesFor(2, 'path', 3, steps), steps.slice(1));
  assert.deepEqual(upgradesFor(3, 'path', 3, steps), []);
  assert.throws(() => upgradesFor(4, 'path', 3, steps), { code: 'TRACE_NEWER' });
  assert.throws(() => upgradesFor(0, 'path', 3, steps), { code: 'TRACE_OLDER' });
  assert.throws(() => upgradesFor(Number.NaN, 'path', 3, steps), { code: 'TRACE_NOT_A_TRACE' });
});

test('every error says in one line where, what, why and what to do', () => {
  for (const [code, { what, why, todo }] of Object.entries(TRACE_ERRORS)) {
    const error = new TraceError(code as keyof typeof TRACE_ERRORS, 'some/path', 'table event');
    assert.equal(error.message, `some/path, table event: ${what}: ${why}; ${todo}`);
    assert.match(error.message, /^[^\n]+$/);
    assert.equal(error.code, code);
  }
});

test('what is no trace is refused as such', (t) => {
  const folder = scratch(t);
  const at = (name: string) => join(folder, name);
  writeFileSync(at('text.sqlite'), 'comm-1 [000] 1.0: kvm_exit: reason HLT\n');
  writeFileSync(at('empty.sqlite'), '');
  mkdirSync(at('folder.arrow'));
  const db = new Database(at('other.sqlite'));
  db.exec('CREATE TABLE t (x)');
  db.close();
  mkdirSync(at('lines.arrow'));
  writeFileSync(at('lines.arrow/manifest.jsonl'), '{"hello": 1}\n');
  for (const name of ['text.sqlite', 'empty.sqlite', 'folder.arrow', 'other.sqlite']) {
    assert.throws(() => openTrace(at(name)), { code: 'TRACE_NOT_A_TRACE' }, name);
  }
  assert.throws(() => openTrace(at('lines.arrow')), { code: 'TRACE_DAMAGED', message: /manifest\.jsonl, line 1/ });
  assert.throws(() => openTrace(at('nothing.sqlite')), { code: 'TRACE_NOT_FOUND' });
  assert.throws(() => openTrace('/dev/null'), { code: 'TRACE_NOT_A_TRACE' });
});

test('a table that is declared otherwise is refused: a view could answer anything, or for ever', (t) => {
  const folder = scratch(t);
  const good = join(folder, 'good.sqlite');
  makeTrace(good, 20, 10);
  const endless = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS seq, x AS tick FROM n';
  for (const [table, sql] of [
    ['event', `DROP TABLE event; CREATE VIEW event AS ${endless}`],
    ['chunk', `ALTER TABLE chunk RENAME TO c; CREATE VIEW chunk AS ${endless}`],
    ['page', 'DROP TABLE page'],
    ['run', 'ALTER TABLE run ADD COLUMN more INTEGER GENERATED ALWAYS AS (1) VIRTUAL'],
  ] as const) {
    const bad = join(folder, `${table}.sqlite`);
    cpSync(good, bad);
    const db = new Database(bad);
    db.exec(sql);
    db.close();
    const message = new RegExp(`table ${table}: damaged: it is not declared as the format says`);
    assert.throws(() => openTrace(bad), { code: 'TRACE_DAMAGED', message });
  }
  const indexed = join(folder, 'indexed.sqlite');
  cpSync(good, indexed);
  const db = new Database(indexed);
  db.exec('CREATE INDEX by_rip ON event (rip); CREATE VIEW mine AS SELECT rip FROM event');
  db.close();
  assert.ok(verifies(indexed));
});

test('descriptions that lie about how much there is are refused before anything is made room for', (t) => {
  const folder = scratch(t);
  const good = join(folder, 'good.sqlite');
  makeTrace(good, 20, 10);
  for (const set of [
    'rows = 9007199254740991 WHERE "table" = \'event\'',
    'first = 9007199254740991 WHERE "table" = \'event\'',
    'first = -1 WHERE "table" = \'event\'',
    'rows = 8192 WHERE "table" = \'event\'',
    'rows = 19 WHERE "table" = \'event\'',
    'tags = zeroblob(100000) WHERE "table" = \'event\'',
    "tags = '[]' WHERE \"table\" = 'event'",
    'rowid = rowid + 1000000',
  ]) {
    const bad = join(folder, 'bad.sqlite');
    rmSync(bad, { force: true });
    cpSync(good, bad);
    const db = new Database(bad);
    db.exec(`UPDATE chunk SET ${set}`);
    db.close();
    if (set.startsWith('rowid')) assert.ok(verifies(bad));
    else assert.equal(verifies(bad), false, set);
  }
});

test('a column whose tag is that of another now, or of none, is not one without values', (t) => {
  const folder = scratch(t);
  const good = join(folder, 'good.sqlite');
  makeTrace(good, 20, 10);
  for (const [from, to] of [
    ['vcpu', 'valueOf'],
    ['vcpu', 'seq'],
    ['"vcpu":', '"vcpu" :'],
  ] as const) {
    const bad = join(folder, 'bad.sqlite');
    rmSync(bad, { force: true });
    cpSync(good, bad);
    const db = new Database(bad);
    const { changes } = db
      .prepare('UPDATE chunk SET tags = replace(tags, ?, ?) WHERE "table" = \'event\'')
      .run(from, to);
    db.close();
    assert.ok(changes > 0);
    assert.throws(() => reading(bad, (reader) => [...reader.chunks('event')]), { code: 'TRACE_DAMAGED' }, from);
  }
});

test('cells that rows of a file share are not read again and again', (t) => {
  const path = join(scratch(t), 'shared.sqlite');
  const writer = createTrace(path);
  // All in the first page of the table, which comes before what they overflow into.
  const rows = 6;
  // 14 overflow pages, and little more than the 489 bytes that always stay in the leaf.
  const length = 14 * 4092 + 475;
  for (let i = 0; i < rows; i++) {
    const body = new Uint8Array(length).fill(i + 1);
    writer.table('message').row({ vcpu: 0, protocol: 'rpci', channel: 1, direction: 0, body });
  }
  writer.finish();
  const bytes = readFileSync(path);
  const size = 4096;
  // An overflow page begins with the number of the next; the first of row i is pointed to from the end of its cell.
  const firsts = Array.from({ length: rows }, (_, i) => {
    const run = Buffer.alloc(size - 4, i + 1);
    return Math.floor(bytes.indexOf(run) / size) + 1;
  });
  const target = Buffer.alloc(4);
  target.writeUInt32BE(firsts[0] ?? 0);
  for (const [i, first] of firsts.entries()) {
    const pointer = Buffer.alloc(4 + 4, i + 1);
    pointer.writeUInt32BE(first, 4);
    const at = bytes.indexOf(pointer);
    assert.ok(at > 0 && first > 1);
    target.copy(bytes, at + 4);
  }
  // What is no longer needed of the file is cut off.
  const pages = firsts[1] ?? 0;
  bytes.writeUInt32BE(pages, 28);
  writeFileSync(path, bytes.subarray(0, pages * size));
  assert.equal(verifies(path), false);
  assert.throws(() => reading(path, (reader) => [...reader.chunks('message')]), {
    code: 'TRACE_DAMAGED',
    message: /its cells are longer than the file/,
  });
});
