/** `record` and `run` as a shell runs them: consoles, interrupts, killed recorders, full disks. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { replay } from '../../analyzer/replay/replay.js';
import { OUTCOME_JSON } from '../../cli/session.js';
import { runSession } from '../../recorder/run/session.js';
import { CHUNK_ROWS } from '../../traces/schema.js';
import { smallDisk } from '../disk.js';
import { STORES } from '../recorder/run/scene.js';
import { reading, rowsOf, scratch } from '../traces/rows.js';
import { call, MAIN, Running, start, trapline } from './process.js';

/** A file or folder of `bytes`, to wait for a recorder that writes it. */
function sizeOf(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.size ?? 0;
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}

const NO_SHELL = process.platform === 'win32' ? 'needs a POSIX shell' : false;

const identical = (path: string, from: number | null = null): void =>
  reading(path, (reader) => assert.equal(replay(reader, { from, memory: false }).divergence, null));

test('record prints what the guest prints to stdout, what it has to say to stderr, and exits with 0', async (t) => {
  const folder = scratch(t);
  const { code, out, err } = await trapline(['record', 'echo', '-o', 'run.sqlite'], folder);
  assert.deepEqual([code, out], [0, 'HELLO, WORLD {1}Q\n']);
  assert.match(
    err,
    /^trapline: the guest exited with code 0 after [\d,]+ ticks\ntrapline: run.sqlite: 0 events, digest [0-9a-f]{16}\n$/,
  );
  assert.ok(err.split('\n').every((line) => line.length <= 80));
});

test('record --json prints one document, with the keys that its help names', async (t) => {
  const folder = scratch(t);
  const { code, out } = await trapline(['record', 'halt', '-o', 'run.arrow', '--json'], folder);
  const document = JSON.parse(out) as { [key: string]: unknown };
  assert.deepEqual(Object.keys(document), ['path', ...Object.keys(OUTCOME_JSON), 'digest']);
  assert.deepEqual([code, document.kind, document.code], [0, 'halt', null]);
  reading(join(folder, 'run.arrow'), (reader) => assert.equal(reader.run('digest'), document.digest));
});

test('a trace is replaced only when told to, and never by a call that comes to nothing', async (t) => {
  const folder = scratch(t);
  assert.equal((await trapline(['record', 'halt', '-o', 'run.sqlite'], folder)).code, 0);
  const before = readFileSync(join(folder, 'run.sqlite'));
  const again = await trapline(['record', 'triple', '-o', 'run.sqlite'], folder);
  assert.equal(again.code, 2);
  assert.match(again.err, /^trapline: TRACE_EXISTS [^\n]+\n$/);
  writeFileSync(join(folder, 'no.img'), 'this is no image');
  const bad = await trapline(['record', './no.img', '--replace', '-o', 'run.sqlite'], folder);
  assert.equal(bad.code, 2);
  assert.match(bad.err, /^trapline: IMAGE_UNKNOWN [^\n]+no\.img[^\n]+\n$/);
  assert.deepEqual(readFileSync(join(folder, 'run.sqlite')), before);
  assert.equal((await trapline(['record', 'triple', '--replace', '-o', 'run.sqlite'], folder)).code, 0);
  assert.deepEqual(readdirSync(folder).sort(), ['no.img', 'run.sqlite']);
});

/** MOV AX, value; OUT F4h, AX in real mode. */
const exits = (value: number): Uint8Array => Uint8Array.of(0xb8, value & 0xff, value >> 8, 0xe7, 0xf4);
/** CLI; HLT. */
const halts = Uint8Array.of(0xfa, 0xf4);

test("run exits with 0, and with the guest's own code only when told to", async (t) => {
  const folder = scratch(t);
  const flat = ['--flat', '0x7c00:16'];
  for (const [image, plain, asked] of [
    [exits(0), 0, 0],
    [exits(5), 0, 5],
    [exits(255), 0, 255],
    [halts, 0, 1],
  ] as const) {
    writeFileSync(join(folder, 'image.bin'), image);
    const path = join(folder, 'image.bin');
    assert.equal((await call('run', path, ...flat)).code, plain);
    assert.equal((await call('run', path, ...flat, '--exit-code')).code, asked);
  }
});

test('guests that never end, end with a message', async () => {
  for (const [guest, says] of [
    ['spin', /^trapline: stopped after 50,00\d ticks: the budget is used up \(see --budget\)\n$/],
    ['refault', /^trapline: stopped after 50,00\d ticks: the budget is used up/],
    ['halt', /^trapline: the guest halted after \d+ ticks: it waits for an interrupt that no device will raise\n$/],
    ['triple', /^trapline: the guest shut down after \d+ ticks: a triple fault\n$/],
  ] as const) {
    const { code, err } = await call('run', guest, '--budget', '50000');
    assert.equal(code, 0);
    assert.match(err, says);
  }
});

test('-i takes what a pipe brings, without the inputs that the guest has of its own, and replays', async (t) => {
  const folder = scratch(t);
  for (const irq of [0, 1]) {
    const words = ['record', 'echo', '--set', `irq=${irq}`, '-i', '--replace', '-o', 'run.sqlite'];
    const { code, out } = await trapline(words, folder, 'abc \xff Def q');
    assert.deepEqual([code, out], [0, 'ABC \xff DEF Q\n']);
    identical(join(folder, 'run.sqlite'));
  }
  const long = 'x'.repeat(100_000);
  const { out } = await trapline(['run', 'echo', '-i'], folder, `${long}q`);
  assert.equal(out, `${long.toUpperCase()}Q\n`);
});

test('-i ends where the pipe does and nothing can wake the guest', async (t) => {
  const folder = scratch(t);
  const { code, out, err } = await trapline(
    ['record', 'echo', '--set', 'irq=1', '-i', '-o', 'run.arrow'],
    folder,
    'ab',
  );
  assert.deepEqual([code, out], [0, 'AB']);
  assert.match(err, /the guest halted/);
  identical(join(folder, 'run.arrow'));
});

test('-i --json leaves stdout to the document', async (t) => {
  const folder = scratch(t);
  const { out, err } = await trapline(['record', 'echo', '-i', '--json', '-o', 'run.sqlite'], folder, 'aq');
  assert.equal(JSON.parse(out).kind, 'exit');
  assert.ok(err.startsWith('AQ\n'));
});

test('on a terminal, keys go to the guest as they are, Ctrl-C too, and Ctrl-] ends the run', async (t) => {
  if (spawnSync('script', ['--version']).status !== 0) return t.skip('script(1) is not installed');
  const folder = scratch(t);
  const command = `${process.execPath} ${MAIN} record echo --set irq=1 -i -o run.sqlite`;
  const running = new Running('script', ['-qec', command, '/dev/null'], { cwd: folder });
  running.type('a');
  await running.until(({ out }) => out.includes('A'));
  running.type('\x03b');
  await running.until(({ out }) => out.includes('\x03B'));
  running.type('c\x1d');
  const { out } = await running.ended();
  assert.match(out, /stopped after [\d,]+ ticks: interrupted/);
  reading(join(folder, 'run.sqlite'), (reader) => {
    assert.equal(reader.complete, true);
    const typed = rowsOf(reader, 'input').map(([, , bytes]) => bytes?.slice('bytes=x'.length));
    assert.equal(Buffer.from(typed.join(''), 'hex').toString('latin1').replace('\0', ''), 'a\x03bc');
  });
  identical(join(folder, 'run.sqlite'));
});

async function dial(path: string) {
  const socket = connect(path).setEncoding('latin1');
  await once(socket, 'connect');
  let said = '';
  socket.on('data', (text: string) => {
    said += text;
  });
  return { socket, said: () => said };
}

test('--socket connects COM1 to one client at a time, waits for it, and is gone afterwards', async (t) => {
  const folder = scratch(t);
  const running = start(['record', 'echo', '--set', 'irq=1', '--socket', 'com1', '-o', 'run.sqlite'], folder);
  await running.until(({ err }) => err.includes('console is at com1'));
  const first = await dial(join(folder, 'com1'));
  first.socket.write('abc');
  await running.until(() => first.said() === 'ABC');
  const second = await dial(join(folder, 'com1'));
  await once(second.socket, 'close');
  assert.equal(second.said(), 'the console is in use\n');
  first.socket.end();
  await once(first.socket, 'close');
  const third = await dial(join(folder, 'com1'));
  third.socket.write('q');
  const { code } = await running.ended();
  assert.equal(code, 0);
  assert.equal(third.said(), 'Q\n');
  assert.deepEqual(readdirSync(folder), ['run.sqlite']);
  identical(join(folder, 'run.sqlite'));
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends a recording in order, while the guest runs and while it waits`, async (t) => {
    const folder = scratch(t);
    const words = {
      runs: ['record', 'spin', '--budget', '4000000000000', '-o', 'runs.sqlite'],
      waits: ['record', 'echo', '--set', 'irq=1', '--socket', 'com1', '-o', 'waits.sqlite'],
    };
    for (const [name, call] of Object.entries(words)) {
      const running = start(call, folder);
      await running.until(() => sizeOf(join(folder, `${name}.sqlite`)) > 50_000);
      await new Promise((resolve) => setTimeout(resolve, 300));
      running.child.kill(signal);
      const { code, err } = await running.ended();
      assert.equal(code, 0);
      assert.match(err, /stopped after [\d,]+ ticks: interrupted/);
      reading(join(folder, `${name}.sqlite`), (reader) => {
        assert.equal(reader.complete, true);
        assert.equal(JSON.parse(reader.run('outcome') ?? '').kind, 'stopped');
      });
    }
    identical(join(folder, 'waits.sqlite'));
  });
}

for (const store of STORES) {
  test(`kill -9 of a recording to ${store} leaves a trace that opens, verifies and replays to its last chunk`, async (t) => {
    const folder = scratch(t);
    const name = `run.${store}`;
    const words = ['record', 'hypervisor', '--set', 'loop=100000000', '--checkpoint-every', '100000', '-o', name];
    const running = start([...words, '--memory', '0x100000-0x100040'], folder);
    await running.until(() => sizeOf(join(folder, name)) > 800_000);
    running.child.kill('SIGKILL');
    await running.ended();
    reading(join(folder, name), (reader) => {
      assert.equal(reader.complete, false);
      assert.ok(reader.rows('event') >= CHUNK_ROWS.event);
      assert.equal(reader.rows('event') % CHUNK_ROWS.event, 0);
      const last = reader.rows('checkpoint') - 1;
      assert.ok(last > 0);
      const whole = replay(reader, { from: null, memory: true });
      assert.deepEqual([whole.divergence, whole.events, whole.complete], [null, reader.rows('event'), false]);
      assert.ok(whole.checkpoints >= last);
      const part = replay(reader, { from: Math.max(0, last - 2), memory: true });
      assert.equal(part.divergence, null);
    });
    const verified = await trapline(['verify', name], folder);
    assert.equal(verified.code, 1, verified.err);
    assert.match(verified.out, /: intact, .*\n {2}INCOMPLETE: its recorder did not come to the end/);
    const accepted = await trapline(['verify', name, '--allow-incomplete', '--json'], folder);
    const { holds, complete } = JSON.parse(accepted.out);
    assert.deepEqual([accepted.code, holds, complete], [0, true, false]);
  });
}

for (const store of STORES) {
  test(`a full disk ends a recording to ${store} with one line, and what it holds replays`, async (t) => {
    const disk = smallDisk(t, 2);
    if (disk === null) return t.skip('no file system of limited size can be mounted here');
    const name = `run.${store}`;
    const { code, err } = await trapline(['record', 'hypervisor', '--set', 'loop=100000000', '-o', name], disk);
    assert.equal(code, 2);
    assert.match(err, /^trapline: TRACE_DISK_FULL [^\n]+\n$/);
    assert.ok(err.includes(name));
    reading(join(disk, name), (reader) => assert.equal(reader.complete, false));
    identical(join(disk, name));
  });
}

test('a recording goes on to its end where nobody reads what the guest prints', { skip: NO_SHELL }, async (t) => {
  const folder = scratch(t);
  const command = `"${process.execPath}" "${MAIN}" record backdoor -o run.sqlite | head -1`;
  const { out } = await new Running('/bin/sh', ['-c', command], { cwd: folder }).ended();
  assert.equal(out, 'GETVERSION is 6: ok\n');
  reading(join(folder, 'run.sqlite'), (reader) => assert.ok(reader.complete));
});

test('a console whose input has ended leaves the run its budget, not for ever', async (t) => {
  const folder = scratch(t);
  const { code, err } = await trapline(
    ['record', 'echo', '-i', '-o', 'run.sqlite', '--budget', '3000000'],
    folder,
    'x',
  );
  assert.equal(code, 0);
  assert.match(err, /the budget is used up/);
  let asked = 0;
  const machine = { now: 0 };
  const runner = {
    machine,
    receive: () => true,
    flush() {},
    runTo(to: number): 'limit' {
      machine.now = to;
      return 'limit';
    },
  };
  const session = {
    budget: 2 ** 52,
    alone: 5000,
    slice: 1000,
    inputs: [],
    console: {
      take: () => null,
      wait: () => Promise.resolve(),
      get ended() {
        return ++asked > 3;
      },
    },
    progress() {},
    interrupted: () => false,
    refused() {},
  };
  assert.equal(await runSession(runner, session), 'limit');
  assert.ok(machine.now >= 5000 && machine.now < 20_000);
});
