/** A log with thousands of dumps: each kind of failure is told once, and no more is kept of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findEach } from '../../../analyzer/explain/find.js';
import { linesOf } from '../../../analyzer/explain/lines.js';
import { explain } from '../../../analyzer/explain/log.js';
import { fixture } from './helpers.js';

const dump = fixture('vmx-two-faults').trimEnd();
const lines = dump.split('\n').length;
const GDTR = /GDTR:\s+limit=0x[0-9a-f]+, base=0x([0-9a-f]{16})/;
const RSP = /RSP = 0x([0-9a-f]{16})/;

/** The dump with another value where a pattern's group stands. */
function varied(pattern: RegExp, value: number): string {
  const [whole = '', old = ''] = pattern.exec(dump) ?? [];
  assert.equal(old.length, 16);
  return dump.replace(whole, whole.replace(old, old.slice(0, 8) + value.toString(16).padStart(8, '0')));
}

const many = (n: number, make: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => make(i)).join('\n');

describe('dumps of a log by kind', () => {
  it('equal errors are one, with their number and the places of the first and of the last', () => {
    const { dumps, more } = explain('x\n'.repeat(4) + 'KVM: entry failed, hardware error 0x7\n'.repeat(3000), 'log');
    assert.deepEqual(
      dumps.map(({ first, times, latest, identical }) => ({ first, times, latest, identical })),
      [{ first: 5, times: 3000, latest: { first: 3004, last: 3004 }, identical: true }],
    );
    assert.equal(more, 0);
  });
  it('equal dumps are one', () => {
    const { dumps } = explain(
      many(50, () => dump),
      'log',
    );
    assert.deepEqual([dumps.length, dumps[0]?.times, dumps[0]?.identical], [1, 50, true]);
    assert.equal(dumps[0]?.last, lines);
    const cut = [...dump.split('\n').slice(0, 20), ...dump.split('\n').slice(22, -8)].join('\n');
    const damaged = explain(`${many(3, () => cut)}\n`, 'log').dumps;
    assert.deepEqual(
      [damaged.length, damaged[0]?.times, damaged[0]?.identical],
      [1, 3, true],
      'also without some lines',
    );
    assert.match(damaged[0]?.damage.at(-1)?.what ?? '', /after line \d+/);
    assert.equal(dumps[0]?.latest.last, 50 * lines);
  });
  it('those that break the same rules with the same values are one, unless each is asked for', () => {
    const text = many(5, (i) => varied(RSP, i));
    const { dumps } = explain(text, 'log');
    assert.deepEqual([dumps.length, dumps[0]?.times, dumps[0]?.identical], [1, 5, false]);
    assert.equal(explain(text, 'log', { each: true }).dumps.length, 5);
  });
  it('those that break a rule with other values are others; beyond 100 it is said where they begin', () => {
    const text = many(130, (i) => varied(GDTR, i));
    const one = explain(text, 'log');
    assert.deepEqual([one.dumps.length, one.more, one.from], [100, 30, 100 * lines + 1]);
    const other = explain(text, 'log', { from: one.from ?? 0 });
    assert.deepEqual([other.dumps.length, other.more, other.from], [30, 0, null]);
    const told = [...one.dumps, ...other.dumps].map(({ first }) => first);
    assert.deepEqual(
      told,
      Array.from({ length: 130 }, (_, i) => i * lines + 1),
    );
  });
  it('has no dump from a line on that lies behind the last one', () => {
    assert.throws(() => explain(dump, 'log', { from: lines + 1 }), {
      code: 'NO_DUMP',
      where: `log, from line ${lines + 1}`,
    });
  });
});

describe('a line that looks like one of a dump', () => {
  it('is none alone, unless it breaks a rule or says what happened', () => {
    for (const line of [
      'RSP = 0x0000000000001000  RIP = 0x0000000000001234 (gdb: info registers)',
      'TSC Offset = 0xffffff351a3ae18e',
      'asid=1 tlb_control=0 vintr=0x0',
    ])
      assert.throws(() => explain(line, 'log'), { code: 'NO_DUMP' }, line);
    const wrong = 'RFLAGS=0x00000000         DR7 = 0x0000000000000400';
    assert.equal(explain(wrong, 'log').dumps[0]?.violated[0]?.id, 'guest.rflags.bit1');
    assert.equal(
      explain('reason=80000021 qualification=0000000000000000', 'log').dumps[0]?.outcome.kind,
      'guest-state',
    );
  });
});

describe('a log is read as it comes', () => {
  it('a dump is given before the rest of the log is looked at, also where each thread begins one', () => {
    const text = many(2000, (i) => `[ 1.0][ T${i}] VM-instruction error 7`);
    let open = 0;
    let most = 0;
    findEach(text, ({ last }) => {
      open++;
      most = Math.max(most, last - open);
    });
    assert.equal(open, 2000);
    // What is not closed yet is what a line may still belong to.
    assert.ok(most < 1000, `${most}`);
  });
  it('lines are those of the whole text, wherever its blocks end', () => {
    const whole = `${'é'.repeat(40_000)}\r\n${'ab\rcd\n\n'.repeat(30_000)}${'x'.repeat(200_000)}\r\nend\r`;
    // As `wc -l` counts them.
    const numbers = whole.split(/\r?\n/).flatMap((line, i) => line.split('\r').map(() => i + 1));
    const expected = whole.split(/\r\n|\n|\r/).map((line) => line.slice(0, 5000));
    for (const shift of [0, 1, 2]) {
      const text = '-'.repeat(shift) + whole;
      const first = text.split(/\r\n|\n|\r/)[0]?.slice(0, 5000) ?? '';
      for (const log of [text, Buffer.from(text)])
        assert.deepEqual(
          [...linesOf(log)].map(({ text: line, number }) => [number, line.slice(0, 5000)]),
          [first, ...expected.slice(1)].map((line, i) => [numbers[i], line]),
        );
    }
  });
  it('a log in UTF-16 is said to be one, of either byte order and without its mark', () => {
    const little = Buffer.from(`\ufeff${fixture('svm-cs')}`, 'utf16le');
    const big = Buffer.from(little).swap16();
    for (const log of [little, big, little.subarray(2), big.subarray(2)])
      assert.throws(() => explain(log, 'test'), { code: 'LOG_UTF16' });
    for (const log of [Buffer.alloc(1000), Buffer.from([1, 0, 2, 0, 0, 3]), Buffer.from('\u00ff nothing here')])
      assert.throws(() => explain(log, 'test'), { code: 'NO_DUMP' });
  });
});
