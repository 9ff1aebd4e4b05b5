/** Traces that lost their end: what lies before the cut is kept, and nothing else is told. */
import assert from 'node:assert/strict';
import { copyFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { createTrace } from '../../traces/open.js';
import { CHUNK_ROWS } from '../../traces/schema.js';
import { openSalvaged } from '../../traces/sqlite/salvage.js';
import type { TraceReader } from '../../traces/store.js';
import { prepareExits, recordExits } from '../bench/stores.js';
import { reading, scratch } from './rows.js';

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
