import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TraceError } from '../../traces/errors.js';
import { createTrace, leftBeside, openTrace } from '../../traces/open.js';
import { CHUNK_ROWS } from '../../traces/schema.js';
import { smallDisk } from '../disk.js';
import { fillLong, reading, rowsOf, scratch } from './rows.js';

const STORES = ['sqlite', 'arrow'] as const;
const recorder = fileURLToPath(new URL('./endless.js', import.meta.url));

/** Rows that a recorder which writes for ever had made durable when it was killed. */
async function killed(path: string, milliseconds: number, ...words: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [recorder, path, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  await sleep(milliseconds);
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** How a recorder ends to whose store's worker `fault` happens, and what it says; null where it had to be killed. */
async function faulty(fault: string, ...words: readonly string[]): Promise<{ code: number | null; says: string }> {
  const worker = new URL(`./faulty-worker.js?${fault}`, import.meta.url).href;
  const child = spawn(process.execPath, ['--import', worker, recorder, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const late = setTimeout(() => child.kill('SIGKILL'), 30_000);
  let says = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    says += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(late);
  return { code, says };
}

for (const store of STORES) {
  test(`${store}: kill -9 while recording leaves a trace that opens up to its last whole chunk`, async (t) => {
    const folder = scratch(t);
    for (const milliseconds of [0, 30, 150]) {
      const path = join(folder, `${milliseconds}.${store}`);
      await killed(path, milliseconds);
      reading(path, (reader) => {
        assert.equal(reader.complete, false);
        assert.equal(reader.run('source'), 'endless');
        const rows = reader.rows('event');
        assert.equal(rows % CHUNK_ROWS.event, 0);
        assert.ok(rows > 0);
        let seq = 0n;
        for (const chunk of reader.chunks('event')) {
          for (const value of chunk.column('seq').big ?? []) assert.equal(value, seq++);
        }
        assert.equal(seq, BigInt(rows));
        assert.ok(rowsOf(reader, 'input').length > 0);
        assert.match(reader.digest(), /^[0-9a-f]{64}$/);
      });
    }
  });

  test(`${store}: a recorder that stands still keeps its trace, and one that is killed leaves it to be replaced`, async (t) => {
    const path = join(scratch(t), `trace.${store}`);
    const child = spawn(process.execPath, [recorder, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const exit = once(child, 'exit');
    await once(child.stdout, 'data');
    child.kill('SIGSTOP');
    assert.throws(() => createTrace(path, { replace: true }), { code: 'TRACE_BUSY', path });
    if (store === 'sqlite') assert.throws(() => openTrace(path), { code: 'TRACE_BUSY', path });
    child.kill('SIGKILL');
    await exit;
    const writer = createTrace(path, { replace: true });
    fillLong(writer, 20, 0);
    writer.finish();
    reading(path, (reader) => assert.equal(reader.rows('event'), 20));
  });

  test(`${store}: a trace is not overwritten unless asked for, and then only by one that was begun`, (t) => {
    const folder = scratch(t);
    const path = join(folder, `trace.${store}`);
    const first = createTrace(path);
    fillLong(first, 10, 0);
    first.finish();
    assert.throws(() => createTrace(path), { code: 'TRACE_EXISTS' });
    const second = createTrace(path, { replace: true });
    fillLong(second, 20, 0);
    second.finish();
    reading(path, (reader) => assert.equal(reader.rows('event'), 20));
    writeFileSync(join(folder, `text.${store}`), 'precious');
    assert.throws(() => createTrace(join(folder, `text.${store}`), { replace: true }), { code: 'TRACE_EXISTS' });
    assert.equal(readFileSync(join(folder, `text.${store}`), 'utf8'), 'precious');
    assert.deepEqual(readdirSync(folder).sort(), [`text.${store}`, `trace.${store}`]);
  });

  test(`${store}: kill -9 of what would replace a trace leaves that one whole, and beside it what was written`, async (t) => {
    const folder = scratch(t);
    const path = join(folder, `trace.${store}`);
    const first = createTrace(path);
    fillLong(first, 10, 0);
    const { digest } = first.finish();
    await killed(path, 30, 'replace');
    reading(path, (reader) => assert.deepEqual([reader.complete, reader.digest()], [true, digest]));
    const [rest = '', ...more] = leftBeside(path).fresh;
    assert.deepEqual(more, []);
    assert.match(rest, new RegExp(`/\\.trace\\.${store}\\.new-\\w{6}/trace\\.${store}$`));
    reading(rest, (reader) => {
      assert.deepEqual([reader.complete, reader.run('source')], [false, 'endless']);
      assert.ok(reader.rows('event') > 0);
    });
  });

  test(`${store}: what replaces a trace is there once it is whole, and never where it is given up`, (t) => {
    const folder = scratch(t);
    const path = join(folder, `trace.${store}`);
    const rows = (): number => {
      let count = 0;
      reading(path, (reader) => {
        count = reader.rows('event');
      });
      return count;
    };
    const write = (count: number, replace: boolean) => {
      const writer = createTrace(path, { replace });
      fillLong(writer, count, 0);
      return writer;
    };
    write(10, false).finish();
    write(30, true).abandon();
    assert.equal(rows(), 10);
    const second = write(20, true);
    assert.equal(rows(), 10);
    // what SQLite would take for changes of the new file that are to be undone
    if (store === 'sqlite') writeFileSync(`${path}-journal`, 'of a recorder that was killed');
    second.finish();
    assert.equal(rows(), 20);
    assert.ok(readdirSync(folder).every((name) => !name.startsWith('.')));
  });

  test(`${store}: a trace that is given up leaves nothing`, (t) => {
    const folder = scratch(t);
    const writer = createTrace(join(folder, `gone.${store}`));
    fillLong(writer, 2 * CHUNK_ROWS.event, 0);
    writer.abandon();
    assert.deepEqual(readdirSync(folder), []);
    assert.throws(() => writer.table('event'), { code: 'TRACE_CLOSED' });
    assert.throws(() => writer.finish(), { code: 'TRACE_CLOSED' });
    writer.abandon();
  });

  test(`${store}: a folder that is missing is named in one line`, (t) => {
    const path = join(scratch(t), 'missing', `trace.${store}`);
    assert.throws(() => createTrace(path), { code: 'TRACE_UNWRITABLE', message: /cannot be written/ });
  });

  test(`${store}: a full disk ends the recording with an error, and what was written opens`, (t) => {
    const disk = smallDisk(t, 1);
    if (disk === null) return t.skip('no file system of limited size can be mounted here');
    const path = join(disk, `full.${store}`);
    const writer = createTrace(path);
    writer.setRun('source', 'test');
    const fill = (): void => {
      for (;;) fillLong(writer, 1000, 0);
    };
    assert.throws(fill, (error) => error instanceof TraceError && error.code === 'TRACE_DISK_FULL');
    assert.throws(() => writer.finish(), { code: 'TRACE_CLOSED' });
    reading(path, (reader) => {
      assert.equal(reader.complete, false);
      assert.ok(reader.rows('event') > 0);
      assert.equal(rowsOf(reader, 'event').length, reader.rows('event'));
    });
  });

  // ERR_WORKER_OUT_OF_MEMORY is told to the owner's event loop alone, which does not run while the owner waits
  for (const fault of ['exit', 'heap'])
    test(`${store}: a worker that ends early (${fault}) ends the recording with an error, and nobody waits for it`, async (t) => {
      const path = join(scratch(t), `orphan.${store}`);
      const { says } = await faulty(fault, path);
      assert.match(says, /TraceError: .*cannot be written: the thread that writes it ended early/);
      reading(path, (reader) => assert.ok(!reader.complete && reader.rows('event') > 0));
    });

  test(`${store}: a worker that stands still for seconds is waited for`, async (t) => {
    const path = join(scratch(t), `slow.${store}`);
    const chunks = 100;
    assert.deepEqual(await faulty('stall', path, 'new', String(chunks)), { code: 0, says: 'stalled\n' });
    reading(path, (reader) => assert.ok(reader.complete && reader.rows('event') === chunks * CHUNK_ROWS.event));
  });

  // setrlimit(2): a write beyond RLIMIT_FSIZE fails with EFBIG, of which SQLite tells no more than of a disk that fails
  test(`${store}: the limit of a file's size ends the recording as a full disk does`, async (t) => {
    const path = join(scratch(t), `limited.${store}`);
    const limited = ['-c', 'ulimit -f 16384; exec "$@"', 'sh', process.execPath, recorder, path];
    const child = spawn('sh', limited, { stdio: ['ignore', 'ignore', 'pipe'] });
    let says = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      says += text;
    });
    await once(child, 'close');
    assert.match(says, /TraceError: .*no space left: EFBIG: .*; what was written opens up to its last whole chunk/);
    reading(path, (reader) => assert.ok(!reader.complete && reader.rows('event') > 0));
    assert.deepEqual(readdirSync(join(path, '..')), [`limited.${store}`]);
  });
}

test('a name says which store', () => {
  for (const name of ['trace', 'trace.db', '.sqlite', '/tmp/.arrow']) {
    assert.throws(() => createTrace(name), { code: 'TRACE_NAME' });
  }
});
