/** Traces that lost their end: what lies before the cut is kept, and nothing else is told. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { TraceError } from '../../traces/errors.js';
import { inPackage } from '../../traces/guests/guest.js';
import { createTrace } from '../../traces/open.js';
import { CHUNK_ROWS, TABLE_NAMES } from '../../traces/schema.js';
import { openSalvaged } from '../../traces/sqlite/salvage.js';
import type { TraceReader } from '../../traces/store.js';
import { prepareExits, recordExits } from '../bench/stores.js';
import { fillLong, reading, rowsOf, scratch } from './rows.js';

const EXITS = 20 * CHUNK_ROWS.event;

function record(path: string, exits: number): void {
  const writer = createTrace(path);
  writer.setRun('source', 'test');
  recordExits(writer, prepareExits(), exits);
  writer.finish();
}

/** Ticks of the events up to the damage, which must be a cut. */
function ticksOf(reader: TraceReader): { readonly ticks: bigint[]; readonly cut: boolean } {
  const ticks: bigint[] = [];
  try {
    for (const chunk of reader.chunks('event')) ticks.push(...(chunk.column('tick').big ?? []));
  } catch (error) {
    assert.equal((error as { code?: unknown }).code, 'TRACE_CUT');
    return { ticks, cut: true };
  }
  return { ticks, cut: false };
}

test('of an SQLite trace that is cut at a share of its bytes, that share of its events is kept', (t) => {
  const folder = scratch(t);
  const whole = join(folder, 'whole.sqlite');
  record(whole, EXITS);
  const { ticks: expected } = reading(whole, ticksOf);
  const cut = join(folder, 'cut.sqlite');
  for (let percent = 5; percent < 100; percent += 10) {
    copyFileSync(whole, cut);
    truncateSync(cut, Math.floor((statSync(whole).size * percent) / 100));
    reading(cut, (reader) => {
      assert.equal(reader.complete, false);
      const { ticks, cut: found } = ticksOf(reader);
      assert.equal(found, true);
      assert.equal(reader.rows('event'), ticks.length);
      assert.deepEqual(ticks, expected.slice(0, ticks.length));
      assert.ok(ticks.length >= ((percent - 10) / 100) * EXITS, `${ticks.length} of ${EXITS} at ${percent} %`);
      assert.ok([...reader.chunks('run', { to: reader.rows('run') })].length > 0);
    });
  }
});

test('a cut in the last page, which SQLite itself opens, is found', (t) => {
  const path = join(scratch(t), 'page.sqlite');
  record(path, 500);
  truncateSync(path, statSync(path).size - 1);
  reading(path, (reader) => {
    assert.equal(reader.complete, false);
    assert.throws(() => [...reader.chunks('page')], { code: 'TRACE_CUT' });
  });
});

/** Two tables that grow by turns, in pages of `pageSize` bytes. */
function grow(path: string, pageSize: number, rows: number): void {
  const db = new Database(path);
  db.pragma(`page_size = ${pageSize}`);
  db.pragma('synchronous = OFF');
  db.exec('CREATE TABLE a (n INTEGER NOT NULL, t TEXT); CREATE TABLE b (n INTEGER NOT NULL, x BLOB, y INTEGER)');
  const a = db.prepare('INSERT INTO a VALUES (?, ?)');
  const b = db.prepare('INSERT INTO b VALUES (?, ?, ?)');
  db.transaction(() => {
    for (let n = 1; n <= rows; n++) {
      a.run(n, 'x'.repeat(n % 40));
      if (n % 3 === 0) b.run(n, Buffer.alloc(n % 700, n & 0xff), null);
    }
  })();
  db.close();
}

/** Opens what is left of a file of which `share` is kept. */
function left(t: TestContext, path: string, share: number): Database.Database {
  const cut = `${path}.cut`;
  copyFileSync(path, cut);
  truncateSync(cut, Math.floor(statSync(path).size * share));
  const db = openSalvaged(cut, statSync(cut).size);
  assert.ok(db !== null);
  t.after(() => db.close());
  return db;
}

for (const [pageSize, rows] of [
  [512, 60_000],
  [4096, 60_000],
  [65_536, 60_000],
  [4096, 2000],
] as const) {
  test(`SQLite finds trees in order over ${rows} rows in pages of ${pageSize} bytes, wherever they are cut`, (t) => {
    const path = join(scratch(t), 'grown.db');
    grow(path, pageSize, rows);
    for (const share of [0.3, 0.55, 0.8, 0.97]) {
      const db = left(t, path, share);
      // Pages that nothing leads to are those interior pages that were made anew; overflow pages may be lost.
      const said = (db.pragma('integrity_check(1000000)') as { integrity_check: string }[])
        .map(({ integrity_check }) => integrity_check)
        .filter((line) => !/^ok$|^Page \d+: never used|^\*\*\*|overflow|invalid page number|is never used/.test(line));
      assert.deepEqual(said, []);
      const kept = db.prepare('SELECT rowid, n, length(t) AS t FROM a').raw().all() as number[][];
      assert.ok(kept.length >= (share - 0.1) * rows - pageSize / 20, `${kept.length} of ${rows}`);
      kept.forEach((row, i) => {
        assert.deepEqual(row, [i + 1, i + 1, (i + 1) % 40]);
      });
      const b = db.prepare('SELECT rowid, n FROM b').raw().all() as number[][];
      b.forEach((row, i) => {
        assert.deepEqual(row, [i + 1, 3 * (i + 1)]);
      });
    }
  });
}

const EVENTS = 2 * CHUNK_ROWS.event + 100;

function makeFolder(path: string, complete = true): void {
  const writer = createTrace(path);
  writer.setRun('source', 'test');
  writer.define('kind', 1, 'exit');
  fillLong(writer, EVENTS, 50);
  writer.table('message').row({ vcpu: 0, protocol: 'rpci', channel: 1, direction: 0, body: Uint8Array.of(1, 2, 3) });
  writer.finish({ complete });
}

interface Told {
  /** Every hundredth row of each chunk, as text. */
  readonly rows: string[];
  /** Of the error that ended the table. */
  readonly code: string | null;
}

function tablesOf(reader: TraceReader): Map<string, Told> {
  return new Map(
    TABLE_NAMES.map((table): [string, Told] => {
      const rows: string[] = [];
      try {
        for (const chunk of reader.chunks(table)) {
          for (let i = 0; i < chunk.rows; i += 100)
            rows.push(`${chunk.first + i} ${Object.values(chunk.row(i)).join()}`);
        }
        return [table, { rows, code: null }];
      } catch (error) {
        assert.ok(error instanceof TraceError);
        return [table, { rows, code: error.code }];
      }
    }),
  );
}

test('an Arrow trace of which a file is cut or missing keeps all that its other files hold', (t) => {
  const folder = scratch(t);
  const path = join(folder, 'trace.arrow');
  makeFolder(path);
  const expected = reading(path, tablesOf);
  for (const name of readdirSync(path)) {
    const file = join(path, name);
    const saved = join(folder, 'saved');
    const { size } = statSync(file);
    for (const share of [null, 0, 0.2, 0.5, 0.9, 1 - 1 / size]) {
      renameSync(file, saved);
      if (share !== null) {
        copyFileSync(saved, file);
        truncateSync(file, Math.floor(share * size));
      }
      reading(path, (reader) => {
        for (const [table, { rows, code }] of tablesOf(reader)) {
          const whole = expected.get(table);
          const said = `${table}, ${name} at ${share}`;
          if (`${table}.arrow` !== name) assert.deepEqual({ rows, code }, whole, said);
          else assert.deepEqual(rows, whole?.rows.slice(0, rows.length), said);
          if (`${table}.arrow` === name && rows.length < (whole?.rows.length ?? 0))
            assert.equal(code, 'TRACE_CUT', said);
        }
        if (name === 'event.arrow' && share === 0.9) assert.ok(reader.rows('event') >= CHUNK_ROWS.event);
        if (name === 'manifest.jsonl') {
          assert.equal(reader.complete, true);
          assert.equal(reader.digest(), reader.run('digest'));
        }
      });
      renameSync(saved, file);
    }
  }
  assert.deepEqual(reading(path, tablesOf), expected);
});

test('a record batch that a killed recorder was writing is left out; one that it only had to list is kept', (t) => {
  const path = join(scratch(t), 'killed.arrow');
  makeFolder(path, false);
  const manifest = join(path, 'manifest.jsonl');
  const lines = readFileSync(manifest, 'utf8').split('\n');
  const last = lines.findLastIndex((line) => line.startsWith('{"table":"event"'));
  writeFileSync(manifest, [...lines.slice(0, last), ''].join('\n'));
  const stream = join(path, 'event.arrow');
  const held = () =>
    reading(path, (reader) => {
      assert.equal(reader.complete, false);
      return [...reader.chunks('event')].reduce((sum, { rows }) => sum + rows, 0);
    });
  assert.equal(held(), EVENTS);
  truncateSync(stream, statSync(stream).size - 100);
  assert.equal(held(), 2 * CHUNK_ROWS.event);
});

test('links and pipes in the folder of an Arrow trace are refused, and never followed', (t) => {
  const folder = scratch(t);
  const path = join(folder, 'trace.arrow');
  makeFolder(path);
  for (const name of ['event.arrow', 'manifest.jsonl']) {
    for (const make of [
      (file: string) => symlinkSync(join(folder, 'outside'), file),
      (file: string) => symlinkSync('/dev/zero', file),
      (file: string) => execFileSync('mkfifo', [file]),
    ]) {
      const outside = join(folder, 'outside');
      renameSync(join(path, name), outside);
      make(join(path, name));
      const read = () => reading(path, (reader) => rowsOf(reader, 'event'));
      assert.throws(read, { code: 'TRACE_DAMAGED', message: new RegExp(`${name}.*no plain file`) });
      rmSync(join(path, name));
      renameSync(outside, join(path, name));
    }
  }
  const link = join(folder, 'link.arrow');
  symlinkSync(path, link);
  assert.equal(
    reading(link, (reader) => reader.rows('event')),
    EVENTS,
  );
});

test('an Arrow trace of version 1 whose manifest is cut opens up to there', (t) => {
  const path = join(scratch(t), 'old.arrow');
  cpSync(join(inPackage('test', 'traces', 'fixtures'), 'version-1.arrow'), path, { recursive: true });
  truncateSync(join(path, 'manifest.jsonl'), 1000);
  reading(path, (reader) => {
    assert.equal(reader.complete, false);
    assert.ok(reader.rows('dictionary') > 0);
    assert.equal(reader.rows('memory'), 0);
  });
});
