/** `trapline import --follow`: in pipes, on a terminal, and beside the import of the same bytes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Figures, RollingRow } from '../../analyzer/profile/rolling.js';
import { GROUPS, type Snapshot } from '../../cli/follow-protocol.js';
import { frame, ORDERS, type Order, ordered } from '../../cli/follow-view.js';
import { widthOf } from '../../cli/table.js';
import { fixturePath, sharedPath } from '../recorder/import-helpers.js';
import { MAIN, type Ran, Running, start, trapline } from './process.js';
import { hasPython, play, type Step } from './pty.js';

const REPORT = fixturePath('svm-two-vcpus.report.txt');
const folder = mkdtempSync(join(tmpdir(), 'trapline-follow-'));
test.after(() => rmSync(folder, { recursive: true }));

interface Line {
  readonly type: string;
  readonly profile: { readonly all: { readonly events: number; readonly exits: number } };
  readonly [key: string]: unknown;
}

const linesOf = ({ out }: Ran): Line[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

/** Runs trapline on a file that is fed piece by piece, waiting for a line of output before the last. */
async function feed(words: readonly string[], path: string, pieces: number): Promise<Ran> {
  const bytes = readFileSync(path);
  // what Node connects to a child is a socket; recorders write into pipes
  const command = ['-c', 'cat | "$0" "$@"', process.execPath, MAIN, 'import', '-', '--follow', ...words];
  const running = new Running('sh', command, { cwd: folder });
  const size = Math.ceil(bytes.length / pieces);
  for (let at = 0; at < bytes.length; at += size) {
    if (at > 0) {
      const before = running.out.length;
      await running.until(({ out }) => out.length > before);
    }
    running.child.stdin?.write(bytes.subarray(at, at + size));
  }
  running.child.stdin?.end();
  return running.ended();
}

test('with --json each look is a line, and the last says what the import says', async () => {
  const ran = await feed(['--json', '--interval', '0.1'], REPORT, 3);
  assert.equal(ran.code, 0, ran.err);
  const lines = linesOf(ran);
  const last = lines.at(-1);
  assert.ok(lines.length >= 3);
  assert.deepEqual([...new Set(lines.slice(0, -1).map(({ type }) => type))], ['interval']);
  assert.equal(last?.type, 'end');
  const counts = lines.map(({ profile }) => profile.all.events);
  assert.deepEqual(
    counts,
    [...counts].sort((a, b) => a - b),
  );
  const whole = await trapline(['import', REPORT, '-o', 'whole.arrow', '--json'], folder);
  const imported = JSON.parse(whole.out) as { readonly counts: { readonly events: number; readonly exits: number } };
  assert.deepEqual(last?.counts, imported.counts);
  assert.equal(last?.profile.all.events, imported.counts.events);
  assert.equal(last?.profile.all.exits, imported.counts.exits);
});

test('reasons that only the recording has names for have them in every look', async () => {
  const line = (name: string, i: number): string =>
    `t-1 [000] ${i}.0: kvm_exit: reason ${name} rip 0x1000 info 0 0\nt-1 [000] ${i}.1: kvm_entry: vcpu 0, rip 0x1000\n`;
  const text = [1, 2, 3].map((i) => line('BRAND_NEW_EXIT', i) + line('EXIT_BRAND_NEW', i + 10)).join('');
  const ran = await trapline(['import', '-', '--follow', '--json'], folder, text);
  assert.equal(ran.code, 0, ran.err);
  const last = linesOf(ran).at(-1) as unknown as { readonly profile: { readonly rows: readonly RollingRow[] } };
  const names = last.profile.rows.map(({ reason }) => reason).sort();
  assert.deepEqual(names, ['BRAND_NEW_EXIT', 'EXIT_BRAND_NEW']);
  await trapline(['import', '-', '-o', 'new.arrow'], folder, text);
  const { out } = await trapline(['profile', 'new.arrow', '--json'], folder);
  for (const name of names) assert.ok(out.includes(`"${name}"`));
});

test('what is stored on the way is what an import stores', async () => {
  const whole = await trapline(['import', REPORT, '-o', 'a.sqlite', '--json'], folder);
  const ran = await feed(['-o', 'b.sqlite', '--json', '--interval', '0.1'], REPORT, 4);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(linesOf(ran).at(-1)?.digest, (JSON.parse(whole.out) as { readonly digest: string }).digest);
  const verified = await trapline(['verify', 'b.sqlite'], folder);
  assert.equal(verified.code, 0, verified.out + verified.err);
});

test('in a pipe a table comes each interval, and the profile of all at the end', async () => {
  const ran = await feed(['--interval', '0.1', '--by', 'vcpu'], REPORT, 1);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /^vCPU +L +reason +exits/m);
  assert.match(ran.out, /^vCPU 0, kvmc-\d+ +L1 +\S+ +\d+/m);
  assert.match(ran.out, /^standard input: \d+ events, \d+ exits, 2 threads$/m);
});

test('a name in a recording cannot reach the terminal with control characters', async () => {
  const evil = readFileSync(REPORT, 'latin1').replaceAll(/kvmc-/g, 'e\u001b[2Jvil-');
  const ran = await trapline(['import', '-', '--follow', '--by', 'vcpu'], folder, evil);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /vil-\d+ +L1/);
  assert.ok(!ran.out.includes('\u001b'));
});

const pipeMode = sharedPath('kvm/svm/svm_pipe.perf.data');
test("perf's pipe mode is read as it comes", {
  skip: pipeMode === null && 'needs kvm/svm/svm_pipe.perf.data of the shared data',
}, async () => {
  const ran = await feed(['--json', '--interval', '0.1'], pipeMode ?? '', 4);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(linesOf(ran).at(-1)?.profile.all.exits, 415); // the manifest of the data
});

/** Lines of which the FIFO holds a part only: once they are written, the rest was read. */
const MANY = readFileSync(REPORT, 'latin1').split('\n').slice(1).join('\n').repeat(20);
const EVENTS = MANY.trimEnd().split('\n').length;

/** Imports a FIFO without --follow, interrupts that once or twice, and writes on unless it is to end there. */
async function interrupted(name: string, times: 1 | 2): Promise<{ ran: Ran; verified: Ran }> {
  const fifo = join(folder, `${name}.fifo`);
  execFileSync('mkfifo', [fifo]);
  const running = start(['import', fifo, '-o', name], folder);
  const writer = createWriteStream(fifo).on('error', () => {});
  await new Promise((resolve) => writer.write(MANY, resolve));
  running.child.kill('SIGINT');
  await running.until(({ err }) => err.includes('interrupted'));
  if (times === 2) running.child.kill('SIGINT');
  else writer.end(MANY);
  const ran = await running.ended();
  writer.destroy();
  return { ran, verified: await trapline(['verify', name], folder) };
}
const countOf = ({ out }: Ran): number => Number(/: ([\d,]+) events,/.exec(out)?.[1]?.replaceAll(',', ''));

test('an interrupted import of a pipe reads what the recorder still writes', async () => {
  const { ran, verified } = await interrupted('once.arrow', 1);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(countOf(ran), 2 * EVENTS);
  assert.equal(verified.code, 0, verified.out + verified.err);
});

test('a second interrupt ends it there; what came is kept to the last event, and told to be a part', async () => {
  const { ran, verified } = await interrupted('twice.arrow', 2);
  assert.equal(ran.code, 2, ran.err);
  assert.ok(countOf(ran) > EVENTS / 3 && countOf(ran) <= EVENTS, ran.out);
  assert.match(
    ran.err,
    /^trapline: INTERRUPTED interrupted before the end of the input: .*twice.*; what came before is kept$/m,
  );
  assert.match(verified.out + verified.err, /INCOMPLETE.*interrupted/);
});

test('bad input and bad calls end in one line and with 2', async () => {
  for (const [words, input, code] of [
    [['import', '-', '--follow'], '', 'EMPTY_INPUT'],
    [['import', '-', '--follow', '--json'], 'a\0b\n', 'BINARY_INPUT'],
    [['import', '-', '--follow', '--interval', '0'], '', 'BAD_VALUE'],
    [['import', '-', '--follow', '--by', 'colour'], '', 'BAD_VALUE'],
    [['import', '-', '--interval', '2', '-o', 'x.arrow'], '', 'BAD_VALUE'],
    [['import', 'nowhere', '--follow'], '', 'ENOENT'],
    [['import', '.', '--follow'], '', 'EISDIR'],
  ] as const) {
    const ran = await trapline(words, folder, input);
    assert.equal(ran.code, 2, words.join(' '));
    assert.match(ran.err, new RegExp(`^trapline: ${code} [^\n]*\n$`), words.join(' '));
  }
});

const plain = (_style: unknown, text: string): string => text;
const figures = fc.record<Figures>({
  count: fc.nat(1e9),
  rate: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true })),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  timeShare: fc.double({ min: 0, max: 1, noNaN: true }),
  times: fc.option(
    fc.record({ total: fc.nat(), mean: fc.nat(), p50: fc.nat(), p99: fc.nat(), max: fc.nat(2 ** 31 - 1) }),
  ),
});
const row = fc.record<RollingRow>({
  group: fc.string({ maxLength: 40, unit: 'grapheme-ascii' }),
  level: fc.constantFrom(1, 2, null),
  isa: fc.constant('svm' as const),
  reason: fc.constantFrom('CPUID', 'NPF', 'a_reason_of_a_kernel_that_is_yet_to_come'),
  failed: fc.boolean(),
  all: figures,
  recent: figures,
});
const totals = fc.record({
  span: fc.nat(),
  events: fc.nat(),
  exits: fc.nat(),
  entries: fc.nat(),
  failedEntries: fc.nat(3),
  lost: fc.nat(3),
  gaps: fc.nat(3),
});
const snapshot = fc.record<Snapshot>({
  number: fc.constant(1),
  elapsed: fc.nat(),
  bytes: fc.nat(),
  lag: fc.nat(9000),
  quiet: fc.option(fc.nat(9000)),
  group: fc.constantFrom(...GROUPS),
  profile: fc.record({
    unit: fc.constantFrom('ns' as const, null),
    newest: fc.constant(null),
    all: totals,
    recent: totals,
    rows: fc.array(row, { maxLength: 60 }),
  }),
});
const orders = fc.constantFrom(...(Object.keys(ORDERS) as Order[]));

test('a frame fits its terminal, whatever there is to show', () => {
  fc.assert(
    fc.property(
      snapshot,
      orders,
      fc.constantFrom('all' as const, 'recent' as const),
      fc.integer({ min: 30, max: 220 }),
      fc.integer({ min: 4, max: 60 }),
      fc.nat(80),
      (look, order, span, width, height, from) => {
        const choice = { order, span, paused: false, from };
        const lines = frame(look, { title: 't', choice, width, height, keys: true, says: null, paint: plain });
        assert.equal(lines.length, height);
        if (width >= 70) for (const line of lines) assert.ok(widthOf(line) <= width, line);
      },
    ),
  );
});

test('rows come in the order that was asked for', () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 30 }), orders, (rows, order) => {
      const { of } = ORDERS[order];
      const keys = ordered(rows, order, 'all').map(({ all, recent }) => of(all, recent));
      assert.deepEqual(
        keys,
        [...keys].sort((a, b) => b - a),
      );
    }),
  );
});

const terminal = { skip: !hasPython && 'needs python3 with its pty module' };
const COMMAND = [process.execPath, MAIN, 'import', '-', '--follow', '--interval', '0.2'];
const ENTERED = '\u001b[?1049h';
const LEFT = '\u001b[?1049l';
const on = (columns: number, rows: number, steps: readonly Step[]) => play(COMMAND, columns, rows, steps);

/** What was printed after the view went away. */
const after = (out: string): string => out.slice(out.lastIndexOf(LEFT) + LEFT.length);

test('on a terminal it fills the screen, takes keys, follows its size, and leaves it as it was', terminal, () => {
  const steps: Step[] = [
    ['until', 'waiting for input'],
    ['feed', REPORT],
    ['until', 'exits↓'],
    ['type', 't'],
    ['until', 'time%↓'],
    ['type', 'v'],
    ['until', 'by VM'],
    ['type', 'v'],
    ['until', 'by vCPU'],
    ['type', ' '],
    ['until', 'paused'],
    ['size', [140, 30]],
    ['until', 'c count r rate'],
    ['type', 'q'],
  ];
  const { missing, out, code, restored } = on(80, 24, steps);
  assert.equal(missing, null, out);
  assert.equal(code, 0);
  assert.ok(out.includes(ENTERED));
  assert.ok(restored);
  assert.match(after(out), /standard input: \d+ events, \d+ exits, 2 threads/);
});

test('Ctrl-C lets the recorder end, and a second one ends at once', terminal, () => {
  const first = on(80, 24, [
    ['feed', REPORT],
    ['until', 'exits↓'],
    ['type', '\u0003'],
    ['until', 'interrupted'],
    ['end', null],
  ]);
  assert.deepEqual([first.missing, first.code, first.restored], [null, 0, true]);
  assert.match(after(first.out), /standard input: \d+ events/);
  const second = on(80, 24, [
    ['feed', REPORT],
    ['until', 'exits↓'],
    ['type', '\u0003'],
    ['until', 'interrupted'],
    ['type', '\u0003'],
  ]);
  assert.deepEqual([second.missing, second.code, second.restored], [null, 0, true]);
});

test('a terminal that nobody reads does not hold up the pipe', terminal, () => {
  const many = Array.from({ length: 150 }, (): Step => ['feed', REPORT]);
  const { missing, out, code } = on(80, 24, [
    ['until', 'waiting'],
    ['feed', REPORT],
    ['unread', 2],
    ...many,
    ['end', null],
  ]);
  assert.deepEqual([missing, code], [null, 0]);
  const events = Number(/standard input: ([\d,]+) events/.exec(after(out))?.[1]?.replaceAll(',', ''));
  assert.ok(events > 150 * 100, 'all of it was read');
});

test('an error leaves the terminal as it was too', terminal, () => {
  const { out, code, restored } = on(80, 24, [
    ['until', ENTERED],
    ['feed', fixturePath('svm-two-vcpus.trace.dat')],
    ['end', null],
  ]);
  assert.equal(code, 0);
  assert.ok(restored);
  assert.ok(out.includes(LEFT));
  const bad = on(80, 24, [
    ['until', ENTERED],
    ['end', null],
  ]);
  assert.equal(bad.code, 2);
  assert.ok(bad.restored);
  assert.match(after(bad.out), /EMPTY_INPUT/);
});
