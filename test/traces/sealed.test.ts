/** SQLite traces that are not settled, where nobody may write: what is advised makes them readable. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { createTrace } from '../../traces/open.js';
import { sealable } from '../disk.js';
import { fillLong, reading, scratch } from './rows.js';

const EVENTS = 3000;
const BESIDE = ['', '-journal', '-wal'] as const;

/** What a program that is killed leaves of a database, made by having its files copied while it is at work. */
const LEFT: { readonly [what: string]: { readonly files: readonly string[]; work(db: Database.Database): void } } = {
  'a transaction that was not ended': {
    files: ['', '-journal'],
    work(db) {
      db.pragma('cache_size = 1'); // pages go to the file before the end
      db.exec('BEGIN; UPDATE event SET tick = tick + 1');
    },
  },
  'a write-ahead log': {
    files: ['', '-wal'],
    work(db) {
      db.pragma('journal_mode = WAL');
      db.exec("INSERT INTO output (tick, port, bytes) VALUES (1, 'com1', x'41')");
    },
  },
  'the mode of a write-ahead log, and none': {
    files: [''],
    work(db) {
      db.pragma('journal_mode = WAL');
      db.pragma('wal_checkpoint(TRUNCATE)');
    },
  },
};

for (const [what, { files, work }] of Object.entries(LEFT))
  test(`a trace with ${what} that nobody may write to says what helps, which helps`, (t) => {
    const sealed = sealable(t);
    if (sealed === null) return t.skip('root may write anywhere, and no file system can be mounted here');
    const made = join(scratch(t), 'run.sqlite');
    const writer = createTrace(made);
    fillLong(writer, EVENTS, 0);
    const { digest } = writer.finish();
    const db = new Database(made);
    work(db);
    const left = join(sealed.folder, 'run.sqlite');
    for (const suffix of files) copyFileSync(`${made}${suffix}`, `${left}${suffix}`);
    db.close();
    sealed.seal();
    assert.throws(() => reading(left, () => {}), {
      code: 'TRACE_UNSETTLED',
      message: /run\.sqlite: cannot be read where it lies: .*copy it, and the files of its name with -journal or -wal/,
    });
    const copy = join(scratch(t), 'copy.sqlite');
    for (const suffix of BESIDE)
      if (existsSync(`${left}${suffix}`)) copyFileSync(`${left}${suffix}`, `${copy}${suffix}`);
    reading(copy, (reader) => assert.equal(reader.digest(), digest));
  });

test('a trace that is settled is read where nobody may write', (t) => {
  const sealed = sealable(t);
  if (sealed === null) return t.skip('root may write anywhere, and no file system can be mounted here');
  const path = join(sealed.folder, 'run.sqlite');
  const writer = createTrace(path);
  fillLong(writer, EVENTS, 0);
  const { digest } = writer.finish();
  sealed.seal();
  reading(path, (reader) => assert.equal(reader.digest(), digest));
});
