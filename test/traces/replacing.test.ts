/** What happens to a trace that another is to replace, and to what lies around it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { convert } from '../../traces/convert.js';
import { TraceError } from '../../traces/errors.js';
import { type CreateOptions, createTrace, leftBeside, openTrace, traceKind } from '../../traces/open.js';
import type { TraceWriter } from '../../traces/store.js';
import { MAIN } from '../cli/process.js';
import { smallDisk } from '../disk.js';
import { ended } from '../steps.js';
import { fillLong, reading, rowsOf, scratch } from './rows.js';

const STORES = ['sqlite', 'arrow'] as const;

/** A trace of so many events that is still to be finished. */
function begun(path: string, events: number, options: CreateOptions = { replace: true }): TraceWriter {
  const writer = createTrace(path, options);
  fillLong(writer, events, 0);
  return writer;
}

const written = (path: string, events: number, options: CreateOptions = {}): string =>
  begun(path, events, options).finish().digest;

/** As by a person, with what SQLite keeps beside. */
function removed(path: string): void {
  for (const file of [path, `${path}-journal`]) rmSync(file, { recursive: true, force: true });
}

function errorOf(work: () => void): TraceError {
  try {
    work();
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
  throw new Error('nothing failed');
}

const events = (path: string): number => reading(path, (reader) => rowsOf(reader, 'event').length);

/** All that is in a folder and in the folders in it. */
const everything = (folder: string): string[] => readdirSync(folder, { recursive: true }).map(String).sort();

test('a database of another program is not replaced, whole, empty or with a write-ahead log', (t) => {
  const folder = scratch(t);
  const path = join(folder, 'places.sqlite');
  const db = new Database(path);
  db.exec('CREATE TABLE bookmark (url TEXT)');
  db.close();
  const bytes = readFileSync(path);
  assert.throws(() => createTrace(path, { replace: true }), { code: 'TRACE_EXISTS', message: /of another program/ });
  assert.deepEqual(readFileSync(path), bytes);
  // "Database File Format", section 1.3: a header of 100 bytes
  const header = join(folder, 'header.sqlite');
  writeFileSync(header, Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(4096)]));
  assert.throws(() => createTrace(header, { replace: true }), { code: 'TRACE_EXISTS' });
  truncateSync(header, 16);
  assert.throws(() => createTrace(header, { replace: true }), { code: 'TRACE_EXISTS' });
  assert.deepEqual(everything(folder), ['header.sqlite', 'places.sqlite']);
});

test('a damaged trace can be replaced where it is one of ours', (t) => {
  const folder = scratch(t);
  const file = join(folder, 'cut.sqlite');
  written(file, 5000);
  truncateSync(file, 5000);
  written(file, 7, { replace: true });
  assert.equal(events(file), 7);
  const arrow = join(folder, 'cut.arrow');
  written(arrow, 5000);
  rmSync(join(arrow, 'manifest.jsonl'));
  truncateSync(join(arrow, 'event.arrow'), 100);
  written(arrow, 7, { replace: true });
  assert.equal(events(arrow), 7);
});

test('what SQLite keeps beside the old file goes with it', (t) => {
  const folder = scratch(t);
  const path = join(folder, 'run.sqlite');
  written(path, 3000);
  const kept = join(folder, 'kept');
  mkdirSync(kept);
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.exec("INSERT INTO output (tick, port, bytes) VALUES (1, 'com1', x'41')");
  // as a program that dies leaves them: closing in order would remove the log
  const left = readdirSync(folder).filter((name) => name.startsWith('run.sqlite'));
  assert.deepEqual(left.sort(), ['run.sqlite', 'run.sqlite-shm', 'run.sqlite-wal']);
  for (const name of left) copyFileSync(join(folder, name), join(kept, name));
  db.close();
  const stale = join(kept, 'run.sqlite');
  const digest = written(stale, 20, { replace: true });
  assert.deepEqual(everything(kept), ['run.sqlite']);
  reading(stale, (reader) => assert.equal(reader.digest(), digest));
});

test('a log that lies there without its file is not given to a new trace', (t) => {
  const folder = scratch(t);
  const path = join(folder, 'run.sqlite');
  for (const suffix of ['-wal', '-journal']) {
    writeFileSync(`${path}${suffix}`, 'of a file that is gone');
    for (const replace of [false, true]) {
      assert.throws(() => createTrace(path, { replace }), { code: 'TRACE_EXISTS', message: new RegExp(suffix) });
    }
    rmSync(`${path}${suffix}`);
  }
  assert.deepEqual(everything(folder), []);
});

test('a folder with more in it than a trace is not replaced', (t) => {
  const folder = scratch(t);
  const path = join(folder, 'run.arrow');
  written(path, 10);
  writeFileSync(join(path, 'exits.profile'), 'the index that profile keeps');
  written(path, 20, { replace: true });
  assert.equal(existsSync(join(path, 'exits.profile')), false);
  for (const make of [
    () => writeFileSync(join(path, 'notes.txt'), 'precious'),
    () => mkdirSync(join(path, 'notes.txt')),
  ]) {
    make();
    assert.throws(() => createTrace(path, { replace: true }), { code: 'TRACE_EXISTS', message: /notes\.txt/ });
    rmSync(join(path, 'notes.txt'), { recursive: true });
  }
  const writer = begun(path, 30);
  writeFileSync(join(path, 'notes.txt'), 'precious');
  assert.throws(() => writer.finish(), { code: 'TRACE_TAKEN' });
  assert.equal(readFileSync(join(path, 'notes.txt'), 'utf8'), 'precious');
  assert.deepEqual(leftBeside(path).fresh.map(events), [30]);
});

for (const threads of [false, true])
  test(`a database that is written keeps its lock from others whatever is asked of it here, ${threads ? 'by a thread' : 'by the caller'}`, (t) => {
    const path = join(scratch(t), 'run.sqlite');
    const writer = begun(path, 3000, { threads });
    const isLocked = (): boolean => {
      const { status, stderr } = spawnSync(process.execPath, [MAIN, 'verify', path], { encoding: 'utf8' });
      return status === 2 && stderr.includes('is being written');
    };
    assert.ok(isLocked());
    assert.equal(errorOf(() => createTrace(path, { replace: true })).code, 'TRACE_BUSY');
    assert.equal(errorOf(() => openTrace(path)).code, 'TRACE_BUSY');
    assert.equal(traceKind(path), 'sqlite');
    // fcntl(2): any descriptor of the file that the process closes takes its locks with it
    assert.ok(isLocked());
    writer.finish();
    assert.equal(events(path), 3000);
    assert.ok(!isLocked());
  });

for (const store of STORES) {
  test(`${store}: a trace that somebody still writes is not replaced, however long nothing comes`, (t) => {
    const folder = scratch(t);
    const path = join(folder, `run.${store}`);
    const first = createTrace(path);
    assert.throws(() => createTrace(path, { replace: true }), { code: 'TRACE_BUSY', path });
    fillLong(first, 200_000, 0);
    first.flush();
    assert.throws(() => createTrace(path, { replace: true }), { code: 'TRACE_BUSY', path });
    const { digest } = first.finish();
    assert.deepEqual(readdirSync(folder), [`run.${store}`]);
    reading(path, (reader) => assert.deepEqual([reader.complete, reader.digest()], [true, digest]));
    written(path, 20, { replace: true });
    assert.equal(events(path), 20);
  });

  test(`${store}: the name of a trace that is removed while it is written, and taken, is told to be`, (t) => {
    const folder = scratch(t);
    const path = join(folder, `run.${store}`);
    const first = begun(path, 100, {});
    first.flush();
    removed(path);
    const digest = written(path, 20);
    assert.throws(() => first.finish(), { code: 'TRACE_TAKEN', path });
    first.abandon();
    reading(path, (reader) => assert.deepEqual([reader.complete, reader.digest()], [true, digest]));
    assert.deepEqual(readdirSync(folder), [`run.${store}`]);
  });

  test(`${store}: a thread that takes over the files of a removed trace touches not those of the new one`, (t) => {
    const path = join(scratch(t), `run.${store}`);
    const first = createTrace(path, { threads: true });
    removed(path);
    const digest = written(path, 20);
    assert.throws(() => fillLong(first, 200_000, 0), { code: 'TRACE_TAKEN' });
    reading(path, (reader) => assert.equal(reader.digest(), digest));
  });

  test(`${store}: a trace that is given up removes none that has its name by now`, (t) => {
    const folder = scratch(t);
    const path = join(folder, `run.${store}`);
    const first = begun(path, 100, {});
    removed(path);
    const second = begun(path, 20, {});
    const all = everything(folder);
    first.abandon();
    assert.deepEqual(everything(folder), all);
    assert.throws(() => createTrace(path, { replace: true }), { code: 'TRACE_BUSY' });
    second.finish();
    assert.equal(events(path), 20);
  });

  test(`${store}: of two that replace one trace, the later is kept beside and named`, (t) => {
    const path = join(scratch(t), `run.${store}`);
    written(path, 10);
    const [first, second] = [begun(path, 20), begun(path, 30)];
    first.finish();
    const [beside = ''] = leftBeside(path).fresh;
    assert.throws(
      () => second.finish(),
      (error) => error instanceof Error && error.message.includes(beside),
    );
    assert.deepEqual([events(path), ...leftBeside(path).fresh.map(events)], [20, 30]);
  });

  test(`${store}: a trace that grew since another was to replace it stays`, (t) => {
    const path = join(scratch(t), `run.${store}`);
    const digest = written(path, 10);
    const second = begun(path, 30);
    appendFileSync(store === 'arrow' ? join(path, 'event.arrow') : path, 'more');
    assert.throws(() => second.finish(), { code: 'TRACE_TAKEN' });
    reading(path, (reader) => assert.equal(reader.digest(), digest));
  });

  test(`${store}: a trace that lacks its end replaces none, and is found beside`, (t) => {
    const folder = scratch(t);
    const path = join(folder, `run.${store}`);
    const digest = written(path, 10);
    const writer = begun(path, 30);
    writer.finish({ complete: false });
    reading(path, (reader) => assert.deepEqual([reader.complete, reader.digest()], [true, digest]));
    assert.match(basename(join(writer.path, '..')), new RegExp(`^\\.run\\.${store}\\.incomplete-\\w{6}$`));
    assert.deepEqual(leftBeside(path).fresh, [writer.path]);
    reading(writer.path, (reader) => assert.deepEqual([reader.complete, reader.rows('event')], [false, 30]));
    // where it is asked for, and where there is nothing to replace
    begun(path, 40).finish({ complete: false, replaces: true });
    assert.equal(events(path), 40);
    const other = join(folder, `other.${store}`);
    begun(other, 50).finish({ complete: false });
    assert.equal(events(other), 50);
  });

  test(`${store}: a copy of a trace that lacks its end is whole as a copy`, (t) => {
    const folder = scratch(t);
    const [from, to] = [join(folder, `from.${store}`), join(folder, `to.${store}`)];
    begun(from, 30).finish({ complete: false });
    written(to, 10);
    reading(from, (reader) => ended(convert(reader, createTrace(to, { replace: true }))));
    assert.equal(events(to), 30);
    assert.deepEqual(leftBeside(to).fresh, []);
  });

  test(`${store}: where the disk is full the old trace stays, and the error names what there is of the new one`, (t) => {
    const disk = smallDisk(t, 2);
    if (disk === null) return t.skip('no file system of limited size can be mounted here');
    const path = join(disk, `run.${store}`);
    const digest = written(path, 10);
    const writer = createTrace(path, { replace: true });
    const fill = (): void => {
      for (;;) fillLong(writer, 1000, 0);
    };
    const failure = errorOf(fill);
    writer.abandon();
    const [beside = ''] = leftBeside(path).fresh;
    assert.match(basename(join(beside, '..')), new RegExp(`^\\.run\\.${store}\\.incomplete-\\w{6}$`));
    assert.deepEqual([failure.code, failure.path], ['TRACE_DISK_FULL', beside]);
    assert.match(failure.message, /opens up to its last whole chunk/);
    reading(path, (reader) => assert.equal(reader.digest(), digest));
    assert.ok(events(beside) > 0);
  });

  test(`${store}: where there is no space to begin nothing is kept, and no more is said`, (t) => {
    const disk = smallDisk(t, 1);
    if (disk === null) return t.skip('no file system of limited size can be mounted here');
    const path = join(disk, `run.${store}`);
    const room = (1 << 20) - 8 * 4096; // less than the pages of the tables
    writeFileSync(join(disk, 'other'), Buffer.alloc(room));
    const { code, message } = errorOf(() => createTrace(path));
    assert.equal(code, 'TRACE_DISK_FULL');
    assert.match(message, /; nothing is kept; /);
    assert.doesNotMatch(message, /whole chunk/);
    assert.deepEqual(readdirSync(disk), ['other']);
  });

  test(`${store}: what was left beside hinders no other, and stays`, (t) => {
    const path = join(scratch(t), `run.${store}`);
    written(path, 10);
    begun(path, 20).finish({ complete: false });
    const left = leftBeside(path);
    written(path, 30, { replace: true });
    begun(path, 40).abandon();
    assert.equal(events(path), 30);
    assert.deepEqual(leftBeside(path), left);
  });

  test(`${store}: a link stays one, and what it leads to is replaced`, (t) => {
    const folder = scratch(t);
    const [real, link] = [join(folder, 'far', `real.${store}`), join(folder, `run.${store}`)];
    mkdirSync(join(folder, 'far'));
    written(real, 10);
    symlinkSync(join('far', basename(real)), link);
    const writer = begun(link, 20);
    assert.equal(readdirSync(join(folder, 'far')).length, 2);
    writer.finish();
    assert.ok(lstatSync(link).isSymbolicLink());
    assert.equal(events(real), 20);
    renameSync(real, `${real}.away`);
    for (const replace of [false, true]) {
      assert.throws(() => createTrace(link, { replace }), { code: 'TRACE_UNWRITABLE', message: /link to far/ });
    }
    assert.ok(lstatSync(link).isSymbolicLink());
  });

  test(`${store}: a trace stays its owner's where root replaces it`, {
    skip: process.getuid?.() !== 0 && 'needs root',
  }, (t) => {
    const path = join(scratch(t), `run.${store}`);
    written(path, 10);
    const all = (): string[] => [path, ...(store === 'arrow' ? readdirSync(path).map((name) => join(path, name)) : [])];
    for (const file of all()) chownSync(file, 65534, 65533);
    chmodSync(path, 0o444);
    written(path, 20, { replace: true });
    assert.equal(events(path), 20);
    assert.equal(statSync(path).mode & 0o7777, 0o444);
    for (const file of all()) assert.deepEqual([statSync(file).uid, statSync(file).gid], [65534, 65533], file);
  });

  test(`${store}: who may read a trace may read the one that replaces it, and nobody else`, (t) => {
    const path = join(scratch(t), `run.${store}`);
    written(path, 10);
    const mode = store === 'arrow' ? 0o750 : 0o640;
    chmodSync(path, mode);
    written(path, 20, { replace: true });
    assert.equal(statSync(path).mode & 0o7777, mode);
    if (store === 'arrow') assert.equal(statSync(join(path, 'event.arrow')).mode & 0o7777, 0o640);
  });
}
