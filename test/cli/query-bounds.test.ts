/** `trapline query` over statements without end. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fixturePath } from '../recorder/import-helpers.js';
import { MAIN, start, trapline } from './process.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-bounds-'));
test.after(() => rmSync(folder, { recursive: true }));
before(async () => {
  const ran = await trapline(['import', fixturePath('svm-nested.report.txt'), '-o', 'a.sqlite'], folder);
  assert.equal(ran.code, 0, ran.err);
});

const ENDLESS = 'with recursive c(n) as (select 1 union all select n + 1 from c) select';
const COUNT = `${ENDLESS} count(*) from c`;
const ROWS = `${ENDLESS} n from c`;

test('--timeout ends a statement that gives no row, in one line and with 2', async () => {
  const ran = await trapline(['query', 'a.sqlite', COUNT, '--timeout', '1', '--json'], folder);
  assert.deepEqual([ran.code, ran.out], [2, '']);
  assert.match(ran.err, /^trapline: TIMED_OUT [^\n]*a\.sqlite: no end after 1 s; [^\n]*\n$/);
});

test('rows before the end of the time are printed', async () => {
  const ran = await trapline(['query', 'a.sqlite', ROWS, '--timeout', '2', '--csv'], folder);
  assert.equal(ran.code, 2);
  assert.match(ran.out, /^n\r\n1\r\n2\r\n3\r\n/);
});

test('with time enough the answer and the exit code are the same', async () => {
  for (const words of [
    ['select count(*) as n from event', '--json'],
    ['select seq from event limit 3', '-x'],
    ['no statement'],
    ['-- a comment\nselect 1'],
  ]) {
    const call = [
      'query',
      ...words.filter((word) => word.startsWith('--j') || word === '-x'),
      '--',
      'a.sqlite',
      words[0] ?? '',
    ];
    const [plain, bounded] = await Promise.all([
      trapline(call, folder),
      trapline(['query', '--timeout', '60', ...call.slice(1)], folder),
    ]);
    assert.deepEqual(bounded, plain);
  }
});

test('--limit prints the first rows and says that there are more', async () => {
  for (const format of [[], ['--csv'], ['--json'], ['-x']]) {
    const ran = await trapline(['query', 'a.sqlite', ROWS, '--limit', '3', ...format], folder);
    assert.equal(ran.code, 0);
    assert.deepEqual(ran.out.match(/\d+$|\d+(?=\n)/gm)?.includes('3'), true);
    assert.equal(ran.err, 'trapline: the first 3 rows; there are more\n');
  }
  const one = await trapline(['query', 'a.sqlite', ROWS, '--limit', '1'], folder);
  assert.equal(one.err, 'trapline: the first row; there are more\n');
  const all = await trapline(['query', 'a.sqlite', 'select 1 union select 2', '--limit', '2'], folder);
  assert.equal(all.err, '');
});

test('rows without end stop where their reader goes away', () => {
  const line = `"$0" "$1" query a.sqlite "$2" --csv | head -2; exit "\${PIPESTATUS[0]}"`;
  assert.throws(
    () => execFileSync('bash', ['-c', line, process.execPath, MAIN, ROWS], { cwd: folder, stdio: 'pipe' }),
    ({ status, stdout }: { status: number; stdout: Buffer }) => status === 141 && String(stdout) === 'n\r\n1\r\n',
  );
});

test('a file that is written into a pipe ends quietly where its reader went away', () => {
  const file = `"$0" "$1" export a.sqlite -o /dev/stdout --replace --as csv`;
  const line = `{ sleep 0.3; ${file}; } | true; exit "\${PIPESTATUS[0]}"`;
  const { status, stderr } = spawnSync('bash', ['-c', line, process.execPath, MAIN], { cwd: folder, timeout: 60_000 });
  assert.deepEqual([status, String(stderr)], [141, '']);
});

/** Processes that have a text among their arguments. */
const processesWith = (text: string): number =>
  readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(join('/proc', name, 'cmdline'), 'utf8').includes(text);
    } catch {
      return false; // it has ended
    }
  }).length;

test('a signal ends the statement too', { skip: process.platform !== 'linux' && 'needs /proc' }, async () => {
  const marked = `${COUNT} where n <> ${process.pid}`;
  const running = start(['query', 'a.sqlite', marked, '--timeout', '600'], folder);
  const working = (): number => processesWith(`n <> ${process.pid}`);
  while (working() < 2) await new Promise((resolve) => setTimeout(resolve, 50)); // it, and its child
  running.child.kill('SIGTERM');
  await running.ended();
  assert.equal(running.child.signalCode, 'SIGTERM');
  while (working() > 0) await new Promise((resolve) => setTimeout(resolve, 50));
});

test('bounds that are none are refused', async () => {
  for (const words of [
    ['--timeout', '0'],
    ['--timeout', 'soon'],
    ['--limit', '-1'],
  ]) {
    const ran = await trapline(['query', 'a.sqlite', 'select 1', ...words], folder);
    assert.equal(ran.code, 2);
    assert.match(ran.err, /^trapline: [A-Z_]+ [^\n]*\n$/);
  }
});
