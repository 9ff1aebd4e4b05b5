/** Imports that wait for input which does not come, and the signals that end them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fixturePath } from '../recorder/import-helpers.js';
import { asPipe, asPlain } from '../recorder/perf-files.js';
import { MAIN, type Ran, Running, start, trapline } from './process.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-interrupt-'));
test.after(() => rmSync(folder, { recursive: true }));
/** More than what is looked at before the first event. */
const LINES = readFileSync(fixturePath('svm-two-vcpus.report.txt'), 'latin1').repeat(20);

/** Sends the signals, and fails where the program does not end in time. */
async function endedBy(running: Running, signals: readonly NodeJS.Signals[]): Promise<Ran> {
  for (const [i, signal] of signals.entries()) {
    if (i > 0) await running.until(({ err }) => err.includes('once more'));
    running.child.kill(signal);
  }
  const late = setTimeout(() => running.child.kill('SIGKILL'), 20_000);
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
    await importing.idle();
    await following.idle();
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
    await running.idle();
    const ran = await endedBy(running, signals);
    assert.equal(ran.code, 2, ran.err);
    assert.match(ran.out, /standard input: [\d,]+ events/);
    assert.match(ran.err, /INTERRUPTED.*what came before is kept$/m);
  });
}

test('a trace that cannot be begun is told before its input is read', async () => {
  writeFileSync(join(folder, 'foreign.sqlite'), 'of another program');
  for (const [output, code] of [
    ['foreign.sqlite', 'TRACE_EXISTS'],
    [join('nowhere', 'a.arrow'), 'TRACE_UNWRITABLE'],
    [join('foreign.sqlite', 'a.arrow'), 'TRACE_UNWRITABLE'],
  ] as const) {
    for (const follow of [[], ['--follow']]) {
      const running = start(['import', '-', '-o', output, ...follow], folder); // whose input stays open
      const ran = await endedBy(running, []);
      assert.equal(ran.code, 2, ran.err);
      assert.match(ran.err, new RegExp(`^trapline: ${code} [^\n]*\n$`));
    }
  }
  assert.equal(readFileSync(join(folder, 'foreign.sqlite'), 'latin1'), 'of another program');
});

test('a look whose trace cannot be begun any more when it ends says so', async () => {
  const running = start(['import', '-', '--follow', '-o', 'late.sqlite'], folder);
  // no round ends in it, so that its events wait
  const file = asPipe(
    asPlain(readFileSync(fixturePath('svm-exit-entry.zstd.perf.data')), (type) =>
      type === 68 ? 0 : Number.POSITIVE_INFINITY,
    ),
  );
  running.child.stdin?.write(file.subarray(0, file.length - 9));
  await running.idle();
  assert.ok(!existsSync(join(folder, 'late.sqlite')));
  writeFileSync(join(folder, 'late.sqlite'), 'of another program');
  const ran = await endedBy(running, ['SIGTERM']);
  assert.equal(ran.code, 2, ran.err);
  assert.match(ran.err, /^trapline: TRACE_EXISTS .*late\.sqlite/m);
});

test('a look at a recorder that is interrupted amid a record has no damage', async () => {
  const running = start(['import', '-', '--follow', '-o', 'amid.sqlite'], folder);
  const file = asPipe(asPlain(readFileSync(fixturePath('svm-exit-entry.zstd.perf.data'))));
  running.child.stdin?.write(file.subarray(0, file.length - 9));
  await running.idle();
  const ran = await endedBy(running, ['SIGTERM']);
  assert.equal(ran.code, 0, ran.err);
  assert.doesNotMatch(ran.out + ran.err, /damaged|ends before/);
  assert.match((await trapline(['verify', 'amid.sqlite'], folder)).out, /intact/);
});

test('an import of a large file ends at SIGINT, and keeps what came', async () => {
  const file = join(folder, 'large.txt');
  writeFileSync(file, LINES.repeat(Math.ceil((96 << 20) / LINES.length)), 'latin1');
  const running = start(['import', 'large.txt', '-o', 'large.arrow'], folder);
  await running.until(() => existsSync(join(folder, 'large.arrow')));
  const ran = await endedBy(running, ['SIGINT']);
  rmSync(file);
  assert.equal(ran.code, 2, ran.err);
  assert.match(ran.out, /large\.txt: [\d,]+ events/);
  assert.match(ran.err, /INTERRUPTED.*what came before is kept$/m);
  assert.doesNotMatch(ran.out, /damaged/);
});

test('a recorder that ends before it wrote anything is told from one that is yet to come', async () => {
  const fifo = join(folder, 'empty.fifo');
  execFileSync('mkfifo', [fifo]);
  const running = start(['import', fifo, '-o', 'none.arrow'], folder);
  await running.idle();
  execFileSync('sh', ['-c', `: > "${fifo}"`]);
  assert.match((await running.ended()).err, /^trapline: EMPTY_INPUT [^\n]*\n$/);
});

test('a FIFO that nobody writes, and that may not be written, ends with the process, by the signal that it got', async () => {
  const [open, name] = [mkdtempSync(join(tmpdir(), 'trapline-locked-')), 'locked.fifo'];
  chmodSync(open, 0o755);
  execFileSync('mkfifo', ['-m', '444', join(open, name)]);
  const nobody = process.getuid?.() === 0 ? { uid: 65534 } : {};
  const running = new Running(process.execPath, [MAIN, 'import', name, '--follow'], { cwd: open, ...nobody });
  await running.idle();
  const ran = await endedBy(running, ['SIGTERM']);
  rmSync(open, { recursive: true });
  assert.equal(running.child.signalCode, 'SIGTERM', ran.err);
  assert.equal(ran.err, 'trapline: ended while locked.fifo waited for somebody to write it: nothing was stored\n');
});

test('no signal that comes while an import reports takes its report or its exit code', async () => {
  const running = start(['import', '-', '-o', 'storm.arrow'], folder);
  running.type(LINES);
  await running.until(() => existsSync(join(folder, 'storm.arrow')));
  running.child.kill('SIGTERM');
  const storm = setInterval(() => running.child.kill('SIGINT'), 1);
  const ran = await running.ended();
  clearInterval(storm);
  assert.equal(running.child.signalCode, null, ran.out);
  assert.equal(ran.code, 2, ran.err);
  assert.match(ran.out, /storm\.arrow: digest [0-9a-f]{16}\n$/);
});

test('a trace that is stored goes on when nobody looks at it any more', async () => {
  const running = start(['import', '-', '--follow', '--interval', '0.1', '-o', 'unseen.arrow'], folder);
  running.type(LINES);
  await running.until(({ out }) => out.includes('exits'));
  running.child.stdout?.destroy();
  for (let i = 1; i < 10; i++) {
    await running.idle();
    running.type(LINES);
  }
  running.child.stdin?.end();
  const { code, err } = await running.ended();
  assert.equal(code, 0, err);
  const { out } = await trapline(['verify', 'unseen.arrow'], folder);
  const events = LINES.split('\n').filter((line) => line.includes(': kvm_')).length;
  assert.match(out.replaceAll(',', ''), new RegExp(`intact ${10 * events} events`));
});

for (const options of [[], ['--json']]) {
  test(`a look whose reader left before the input ends, ends with it: ${options}`, async () => {
    // the next look after the first is too late: what is printed of the events is printed at the end
    const running = start(['import', '-', '--follow', '--interval', '3600', ...options], folder);
    const { stdin, stdout } = running.child;
    assert.ok(stdin !== null && stdout !== null);
    stdout.destroy();
    await once(stdout, 'close');
    stdin.on('error', () => {}).end(LINES);
    const { code, err } = await endedBy(running, []);
    assert.equal(code, 141, err); // 128 + SIGPIPE, as a shell has it
  });
}

const CAN_BIND = spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true']).status === 0;

test('who reads a socket for an import that is killed takes nothing more of it', {
  skip: !CAN_BIND && 'needs setpriv with --pdeathsig',
}, async () => {
  const path = join(folder, 'socket');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const [accepted, input] = [once(server, 'connection'), connect(path)];
  const [peer]: Socket[] = await accepted;
  assert.ok(peer !== undefined);
  peer.on('error', () => {}).resume();
  const words = [MAIN, 'import', '-', '-o', 'killed.arrow'];
  const running = new Running(process.execPath, words, { cwd: folder, stdio: [input, 'pipe', 'pipe'] });
  input.destroy();
  try {
    peer.write(LINES);
    await running.until(() => existsSync(join(folder, 'killed.arrow')));
    await running.idle();
    const closed = once(peer, 'close', { signal: AbortSignal.timeout(20_000) });
    running.child.kill('SIGKILL');
    await closed;
  } finally {
    running.child.kill('SIGKILL');
    peer.destroy();
    server.close();
  }
});

/** Runs the program with a file as its standard input. */
const fed = (file: string, words: readonly string[]): Running =>
  new Running('sh', ['-c', `exec "$0" "$@" < "${file}"`, process.execPath, MAIN, ...words], { cwd: folder });
const python = (line: string): boolean => spawnSync('python3', ['-c', `import os\n${line}`]).status === 0;

/** An input that is neither pipe nor socket, and of which a read waits: eventfd(2), as trace_pipe does. */
const WAITING = `
import os, sys
os.dup2(os.eventfd(0), 0)
os.execv(sys.argv[1], sys.argv[1:])
`;

test('a read that waits inside the system is ended as any other', {
  skip: !python('os.eventfd(0)') && 'needs python3 with os.eventfd',
}, async () => {
  const command = ['-c', WAITING, process.execPath, MAIN, 'import', '-', '--follow', '--json'];
  const running = new Running('python3', command, { cwd: folder });
  await running.until(({ out }) => out.includes('interval'));
  await running.idle();
  const ran = await endedBy(running, ['SIGTERM']);
  assert.deepEqual([ran.code, ran.err], [0, '']);
  assert.match(ran.out, /"type":"end"[^\n]*\n$/);
});

/** proc_pid_mem(5): pages that are not mapped, as the first, give EIO; those are of another process than the one that reads. */
const FAILING = `
import subprocess, sys
sys.exit(subprocess.run(sys.argv[1:], stdin=open('/proc/self/mem', 'rb')).returncode)
`;

test('an input that fails before its end is told from one that ends', {
  skip: !python("open('/proc/self/mem')") && 'needs python3 and /proc/self/mem',
}, async () => {
  const command = ['-c', FAILING, process.execPath, MAIN, 'import', '-', '-o', 'failed.arrow'];
  const ran = await new Running('python3', command, { cwd: folder }).ended();
  assert.equal(ran.code, 2);
  assert.match(ran.err, /^trapline: READ_FAILED [^\n]*standard input: Input\/output error; [^\n]*\n$/);
  assert.ok(!existsSync(join(folder, 'failed.arrow')));
});

const INSTANCE = `/sys/kernel/tracing/instances/trapline-${process.pid}`;
const hasTracefs = python(`os.mkdir('${INSTANCE}')`);
test.after(() => {
  if (hasTracefs) rmdirSync(INSTANCE);
});

/** Entries in the buffers of the instance: Documentation/trace/ftrace.rst, per_cpu/cpu0/stats. */
const unread = (): number =>
  readdirSync(join(INSTANCE, 'per_cpu')).reduce((sum, cpu) => {
    const stats = readFileSync(join(INSTANCE, 'per_cpu', cpu, 'stats'), 'latin1');
    return sum + Number(/^entries: (\d+)$/m.exec(stats)?.[1]);
  }, 0);

/** Opens a pipe that has one reader at a time once nobody reads it: EBUSY before. */
async function openedFree(pipe: string): Promise<number> {
  for (let looks = 0; ; looks++) {
    try {
      return openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (looks === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

for (const input of ['-', join(INSTANCE, 'trace_pipe')]) {
  for (const options of [[], ['--follow']]) {
    const words = ['import', input, '-o', 'marks.arrow', '--replace', ...options];
    test(`every event that came from trace_pipe is kept: ${input === '-' ? '-' : 'by name'} ${options}`, {
      skip: !hasTracefs && 'needs a tracefs of its own',
    }, async () => {
      const running = input === '-' ? fed(join(INSTANCE, 'trace_pipe'), words) : start(words, folder);
      await running.idle();
      for (let i = 0; i < 300; i++) writeFileSync(join(INSTANCE, 'trace_marker'), `mark ${i}\n`);
      await running.until(() => unread() === 0);
      await running.idle();
      const ran = await endedBy(running, ['SIGTERM']);
      assert.equal(ran.code, options.length === 0 ? 2 : 0, ran.err);
      assert.match(ran.out, /: 300 events/);
      assert.match((await trapline(['verify', 'marks.arrow', '--allow-incomplete'], folder)).out, /intact, 300 events/);
    });
  }
}

test('a look that nobody looks at any more ends, and leaves nobody who reads its input', {
  skip: !hasTracefs && 'needs a tracefs of its own',
}, async () => {
  const pipe = join(INSTANCE, 'trace_pipe');
  const running = fed(pipe, ['import', '-', '--follow', '--interval', '0.1']);
  const mark = (): void => writeFileSync(join(INSTANCE, 'trace_marker'), 'mark\n');
  await running.until(({ out }) => {
    mark();
    return out.includes('exits');
  });
  running.child.stdout?.destroy();
  mark();
  const { code } = await running.ended();
  assert.equal(code, 141); // 128 + SIGPIPE, as a shell has it
  closeSync(await openedFree(pipe));
});

const KMSG = '/dev/kmsg';
const hasKmsg = python(`os.read(os.open('${KMSG}', os.O_RDONLY | os.O_NONBLOCK), 8192)`);

test('the log of the kernel has no end: an import waits for more of it, an explanation takes what is there', {
  skip: !hasKmsg && `needs a ${KMSG} that may be read`,
}, async () => {
  for (const file of ['-', KMSG]) {
    const importing = fed(KMSG, ['import', file, '-o', 'kmsg.arrow', '--replace']);
    await importing.idle();
    const imported = await endedBy(importing, ['SIGTERM']);
    assert.match(imported.err, /INTERRUPTED|NOT_A_TRACE/);
    const explained = await fed(KMSG, ['explain', file]).ended();
    assert.doesNotMatch(explained.err, /EINVAL|EAGAIN/);
    assert.match(explained.out + explained.err, /NO_DUMP|LOG_TOO_LARGE|:\d+/);
  }
});

test('a failure of reading names its input, whichever thread it came to', async () => {
  const running = new Running('sh', ['-c', '"$0" "$@" < .', process.execPath, MAIN, 'import', '-', '-o', 'x.arrow'], {
    cwd: folder,
  });
  const ran = await running.ended();
  assert.deepEqual([ran.code, ran.err], [2, 'trapline: EISDIR is a folder, not a file: -; name a file\n']);
  const unreadable = ['-c', 'echo > written; "$0" "$@" 0>> written', process.execPath, MAIN, 'explain', '-'];
  const explained = await new Running('sh', unreadable, { cwd: folder }).ended();
  assert.deepEqual([explained.code, explained.err], [2, 'trapline: EBADF bad file descriptor, read: -\n']);
  const { code, err } = await trapline(['import', '.', '--follow'], folder);
  assert.deepEqual([code, err], [2, 'trapline: EISDIR is a folder, not a file: .; name a file\n']);
});
