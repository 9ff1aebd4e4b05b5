/** Imports that wait for input which does not come, and the signals that end them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fixturePath } from '../recorder/import-helpers.js';
import { MAIN, type Ran, Running, start, trapline } from './process.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-interrupt-'));
test.after(() => rmSync(folder, { recursive: true }));
/** More than what is looked at before the first event. */
const LINES = readFileSync(fixturePath('svm-two-vcpus.report.txt'), 'latin1').repeat(20);

/** Milliseconds after which the program waits in the system, from its start and from when it says that it reads. */
const STARTED = 1500;
const SETTLED = 200;
const settled = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time));

/** Sends the signals, and fails where the program does not end in seconds. */
async function endedBy(running: Running, signals: readonly NodeJS.Signals[]): Promise<Ran> {
  for (const [i, signal] of signals.entries()) {
    if (i > 0) await running.until(({ err }) => err.includes('once more'));
    running.child.kill(signal);
  }
  const late = setTimeout(() => running.child.kill('SIGKILL'), 5000);
  const ran = await running.ended();
  clearTimeout(late);
  assert.notEqual(running.child.signalCode, 'SIGKILL', `hears no ${signals.join(', ')}: ${ran.out}${ran.err}`);
  return ran;
}

for (const signals of [['SIGTERM'], ['SIGINT']] as const) {
  test(`an import of a FIFO that nobody writes ends at ${signals.join(', ')}`, async () => {
    const [fifo, other] = [join(folder, `${signals[0]}.fifo`), join(folder, `${signals[0]}.follow.fifo`)];
    execFileSync('mkfifo', [fifo, other]);
    const importing = start(['import', fifo, '-o', 'none.arrow'], folder);
    const following = start(['import', other, '--follow'], folder);
    await settled(STARTED);
    const imported = await endedBy(importing, signals);
    assert.equal(imported.code, 2, imported.err);
    assert.match(imported.err, /^trapline: INTERRUPTED .*\.fifo; no event came before: nothing is kept$/m);
    const followed = await endedBy(following, signals);
    assert.equal(followed.code, 0, followed.err);
    assert.match(followed.err, /ended before the first event/);
  });
}

for (const signals of [['SIGTERM'], ['SIGINT', 'SIGINT']] as const) {
  test(`an import of a socket that is idle ends at ${signals.join(', ')}, and keeps what came`, async () => {
    const name = `socket${signals.length}.arrow`;
    const running = start(['import', '-', '-o', name], folder);
    running.type(LINES);
    await running.until(() => existsSync(join(folder, name)));
    await settled(SETTLED);
    const ran = await endedBy(running, signals);
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.out, /standard input: [\d,]+ events/);
    assert.match(ran.err, /INTERRUPTED.*what came before is kept$/m);
  });
}

test('a recorder that ends before it wrote anything is told from one that is yet to come', async () => {
  const fifo = join(folder, 'empty.fifo');
  execFileSync('mkfifo', [fifo]);
  const running = start(['import', fifo, '-o', 'none.arrow'], folder);
  await settled(STARTED);
  execFileSync('sh', ['-c', `: > "${fifo}"`]);
  assert.match((await running.ended()).err, /^trapline: EMPTY_INPUT [^\n]*\n$/);
});

/** An input that is neither pipe nor socket, and of which a read waits: eventfd(2), as trace_pipe does. */
const WAITING = `
import os, sys
os.dup2(os.eventfd(0), 0)
os.execv(sys.argv[1], sys.argv[1:])
`;
const hasEventfd = spawnSync('python3', ['-c', 'import os; os.eventfd(0)']).status === 0;

test('a read that nothing ends is ended with the process, by the signal that it got', {
  skip: !hasEventfd && 'needs python3 with os.eventfd',
}, async () => {
  const command = ['-c', WAITING, process.execPath, MAIN, 'import', '-', '--follow', '--json'];
  const running = new Running('python3', command, { cwd: folder });
  await running.until(({ out }) => out.includes('interval')); // what is known comes before a read that may wait
  await settled(SETTLED);
  const ran = await endedBy(running, ['SIGTERM']);
  assert.equal(running.child.signalCode, 'SIGTERM');
  assert.equal(ran.err, 'trapline: ended while waiting for input; what was stored before is kept\n');
});

test('a failure of reading names its input, whichever thread it came to', async () => {
  const running = new Running('sh', ['-c', '"$0" "$@" < .', process.execPath, MAIN, 'import', '-', '-o', 'x.arrow'], {
    cwd: folder,
  });
  const ran = await running.ended();
  assert.deepEqual([ran.code, ran.err], [2, 'trapline: EISDIR is a folder, not a file: -; name a file\n']);
  const { code, err } = await trapline(['import', '.', '--follow'], folder);
  assert.deepEqual([code, err], [2, 'trapline: EISDIR is a folder, not a file: .; name a file\n']);
});
