/** `--replace` on the command line: what a person is told of the trace that was written and did not replace. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { openTrace } from '../../traces/open.js';
import { fixturePath } from '../recorder/import-helpers.js';
import { call, MAIN, Running, start } from './process.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-replace-'));
test.after(() => rmSync(folder, { recursive: true }));
const KVM = fixturePath('svm-two-vcpus.trace.dat');
const CUT = join(folder, 'cut.xentrace');
writeFileSync(CUT, readFileSync(fixturePath('xen-svm-pvh.xentrace')).subarray(0, -1001));

const trace = join(folder, 'run.sqlite');
const isComplete = (path: string): boolean => {
  const reader = openTrace(path);
  reader.close();
  return reader.complete;
};
const beside = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.startsWith('.'))
    .map((name) => join(folder, name, 'run.sqlite'));

beforeEach(async () => {
  for (const path of readdirSync(folder)) {
    if (path.includes('run.')) rmSync(join(folder, path), { recursive: true });
  }
  assert.equal((await call('import', KVM, '-o', trace)).code, 0);
});

test('an import that stops in the middle keeps both traces, and later ones name what it left', async () => {
  const before = readFileSync(trace);
  const { code, out, err } = await call('import', CUT, '-o', trace, '--replace', '--json');
  assert.equal(code, 2);
  assert.deepEqual(readFileSync(trace), before);
  const [kept = '', ...more] = beside();
  assert.deepEqual([more, isComplete(kept)], [[], false]);
  assert.equal((JSON.parse(out) as { path: string }).path, kept);
  assert.ok(err.includes(`${trace} is as it was`) && err.includes(kept), err);
  const next = await call('import', KVM, '-o', trace, '--replace');
  assert.equal(next.code, 0);
  assert.ok(next.err.includes(kept), next.err);
});

test('a copy of a trace that is damaged keeps both traces', async () => {
  const damaged = join(folder, 'damaged.arrow');
  assert.equal((await call('convert', trace, '-o', damaged)).code, 0);
  const events = readFileSync(join(damaged, 'event.arrow'));
  events[events.length - 100] = (events.at(-100) ?? 0) ^ 1;
  writeFileSync(join(damaged, 'event.arrow'), events);
  const before = readFileSync(trace);
  const { code, err } = await call('convert', damaged, '-o', trace, '--replace');
  assert.equal(code, 2);
  assert.deepEqual(readFileSync(trace), before);
  const [kept = ''] = beside();
  assert.ok(err.includes(kept), err);
});

test('what commands that were killed left beside is named, whatever it is', async () => {
  const left = ['a', 'b', 'c'].map((name) => join(folder, `.run.sqlite.new-12345${name}`));
  const [fresh = '', old = '', empty = ''] = left;
  mkdirSync(fresh);
  mkdirSync(join(old, 'old'), { recursive: true });
  mkdirSync(empty);
  const paths = [join(fresh, 'run.sqlite'), join(old, 'old', 'run.sqlite'), empty];
  for (const path of paths.slice(0, 2)) copyFileSync(trace, path);
  const { code, err } = await call('import', KVM, '-o', trace, '--replace');
  assert.equal(code, 0, err);
  const named = err.split('\n').filter((line) => line.startsWith(`trapline: beside ${trace}, `));
  assert.deepEqual(
    named.map((line) => line.slice(line.lastIndexOf(': ') + 2)),
    paths,
  );
});

test('a folder that may not be moved is not replaced, which is said before anything is read', async () => {
  const own = mkdtempSync(join(tmpdir(), 'trapline-locked-'));
  const nobody = process.getuid?.() === 0 ? { uid: 65534 } : {};
  try {
    copyFileSync(KVM, join(own, 'trace.dat'));
    assert.equal((await call('import', KVM, '-o', join(own, 'run.arrow'))).code, 0);
    for (const path of [own, join(own, 'run.arrow')])
      chownSync(path, nobody.uid ?? statSync(own).uid, statSync(own).gid);
    chmodSync(join(own, 'run.arrow'), 0o555); // rename(2): EACCES, since its entry ".." changes
    const words = [MAIN, 'import', 'trace.dat', '-o', 'run.arrow', '--replace'];
    const { code, err } = await new Running(process.execPath, words, { cwd: own, ...nobody }).ended();
    assert.equal(code, 2);
    assert.match(err, /^trapline: TRACE_UNWRITABLE run\.arrow: [^\n]*permission denied[^\n]*\n$/);
    assert.doesNotMatch(err, /the new trace/);
    assert.deepEqual(readdirSync(own).sort(), ['run.arrow', 'trace.dat']);
  } finally {
    rmSync(own, { recursive: true });
  }
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`an import of a file that ${signal} ends says where the new trace is`, async () => {
    const file = join(folder, 'long.txt');
    writeFileSync(file, readFileSync(fixturePath('svm-two-vcpus.report.txt'), 'latin1').repeat(2000));
    const before = readFileSync(trace);
    const running = start(['import', file, '-o', trace, '--replace'], folder);
    // an empty folder is only the trial of whether one can be made, before anybody listens
    await running.until(() => beside().some((path) => existsSync(path)));
    running.child.kill(signal);
    const { code, err } = await running.ended();
    assert.equal(code, 2, err);
    assert.match(err, /INTERRUPTED/);
    const [kept = ''] = beside();
    assert.ok(err.includes(kept), err);
    assert.equal(isComplete(kept), false);
    assert.deepEqual(readFileSync(trace), before);
  });
}
