/** Lines of one dump are printed in one go: what was printed at another time is another state. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture, only } from './helpers.js';

/** The lines of a dump without the ring buffer's time stamps. */
const bare = (name: string): string[] =>
  fixture(name)
    .replace(/^\[ *[0-9.]+\] /gm, '')
    .trimEnd()
    .split('\n');

const before = bare('vmx-two-faults');
const after = bare('vmx-pdpte');
/** The first lines of one dump and the further ones of another, which has no fault in them. */
const spliced = (stamp: (half: number, line: string) => string): string =>
  before.map((line, i) => (i < 25 ? stamp(0, line) : stamp(1, after[i] ?? ''))).join('\n');

/** The second is half a minute more than an hour later: one hour alone may be a clock that was set. */
const STAMPS: { readonly [name: string]: readonly [string, string] } = {
  'ring buffer': ['[   60.300000] ', '[ 3690.300000] '],
  'ring buffer with caller': ['[   60.300000][    T9] ', '[ 3690.300000][    T9] '],
  syslog: ['Sep  8 22:52:20 host kernel: ', 'Sep  8 23:52:50 host kernel: '],
  'dmesg -T': ['[Mon Sep  8 22:52:20 2025] ', '[Mon Sep  8 23:52:50 2025] '],
  'ISO 8601': ['2025-09-08T22:52:20.100000+02:00 host kernel: ', '2025-09-08T23:52:50.100000+02:00 host kernel: '],
  '/dev/kmsg': ['3,1000,60300000,-;', '3,1023,3690300000,-;'],
  'journalctl -o short-unix': ['1700000000.000000 host kernel: ', '1700003630.000000 host kernel: '],
  'time of the day': ['07:00:20 host kernel: ', '08:00:50 host kernel: '],
  'ring buffer with its delta': ['[   60.300000 <    0.000100>] ', '[ 3690.300000 < 3630.000000>] '],
  'Xen with dates': ['(XEN) [2025-09-08 22:52:20.100] ', '(XEN) [2025-09-08 23:52:50.100] '],
};

describe('time between the lines of a dump', () => {
  for (const [name, stamps] of Object.entries(STAMPS)) {
    it(`an hour that goes by, or that goes back, is a splice: ${name}`, () => {
      for (const order of [stamps, [...stamps].reverse()]) {
        const { verdict, sentence, damage } = only(spliced((half, line) => `${order[half]}${line}`));
        assert.equal(verdict, 'damaged');
        assert.match(sentence, /spliced from 2 pieces of different moments/);
        assert.deepEqual(
          damage.filter(({ kind }) => kind === 'spliced').map(({ line }) => line),
          [26],
        );
      }
      const { damage } = only(spliced((half, line) => `${stamps[half]}${line}`));
      assert.match(damage[0]?.what ?? '', /, 61 min later: over the slowest console, of 9600 baud, .* take 9 s/);
    });
  }

  // Ten bits a byte at 9600 baud: 960 bytes a second, and the printer waits for the line that it printed.
  it('a dump that goes out over a serial line of 9600 baud is whole', () => {
    let seconds = 60;
    const lines = before.map((line) => {
      seconds += (line.length + 20) / 960;
      return `[${seconds.toFixed(6).padStart(12)}] ${line}`;
    });
    assert.ok(seconds > 62);
    assert.deepEqual(only(lines.join('\n')).damage, []);
  });
  it('and so it is where much of others went out between two of its lines', () => {
    const noise = Array.from({ length: 150 }, () => 'x'.repeat(900));
    const lines = before.map((line, i) => `[  ${i < 25 ? 60 : 190}.000000] ${line}`);
    assert.deepEqual(only([...lines.slice(0, 25), ...noise, ...lines.slice(25)].join('\n')).damage, []);
    assert.equal(only(lines.join('\n')).verdict, 'damaged');
  });
  it('the new year and midnight are no jumps', () => {
    for (const [first, second] of [
      ['Dec 31 23:59:59', 'Jan  1 00:00:00'],
      ['23:59:59', '00:00:00'],
      // Of a year that is not told, and may have no 29th of February.
      ['Feb 28 23:59:59', 'Mar  1 00:00:00'],
      ['Feb 29 23:59:59', 'Mar  1 00:00:00'],
      ['Mar  1 00:00:01', 'Feb 28 23:59:58'],
      ['2025-02-28T23:59:59Z', '2025-03-01T00:00:00Z'],
    ]) {
      const lines = before.map((line, i) => `${i < 25 ? first : second} host kernel: ${line}`);
      assert.deepEqual(only(lines.join('\n')).damage, []);
    }
  });
  it('nor are noon and one o’clock in twelve hours', () => {
    for (const [first, second] of [
      ['11:59:59 AM', '12:00:00 PM'],
      ['12:59:59 PM', '01:00:00 PM'],
      ['11:59:59 PM', '12:00:00 AM'],
      ['2025-11-29 12:59:59 PM', '2025-11-29 01:00:00 PM'],
      ['Nov 29 12:59:59 PM', 'Nov 29 01:00:00 PM'],
    ]) {
      const lines = before.map((line, i) => `${i < 25 ? first : second} host kernel: ${line}`);
      assert.deepEqual(only(lines.join('\n')).damage, [], first);
      const later = before.map((line, i) => `${i < 25 ? first : second?.replace(/00:00/, '30:00')} ${line}`);
      assert.equal(only(later.join('\n')).verdict, 'damaged', second);
    }
  });
  it('a day and a half goes by from the 28th of February in any year, and one in those whose number is told', () => {
    for (const [first, second] of [
      ['Feb 28 12:00:00', 'Mar  1 00:00:00'],
      ['2024-02-28T23:59:59Z', '2024-03-01T00:00:00Z'],
      ['Feb 27 23:59:59', 'Feb 28 23:59:59'],
    ]) {
      const lines = before.map((line, i) => `${i < 25 ? first : second} host kernel: ${line}`);
      assert.equal(only(lines.join('\n')).verdict, 'damaged', first);
    }
  });
  // dmesg --reltime: the time since the line before, and the date where a minute begins.
  it('times since the line before are a splice only where one alone is too long', () => {
    const times = (delta: string): string =>
      before
        .map((line, i) => `[${i === 0 ? 'Nov29 07:00' : `  +${i === 25 ? delta : '0.900000'}`}] ${line}`)
        .join('\n');
    assert.deepEqual(only(times('0.000023')).damage, []);
    assert.deepEqual(
      only(times('60.000023')).damage.map(({ kind }) => kind),
      ['spliced'],
    );
  });
  it('a whole dump an hour after the rest of another is a dump of its own', () => {
    const host = before.findIndex((line) => line.includes('Host State'));
    const text = [
      ...before.slice(host).map((line) => `[   60.300000] ${line}`),
      ...after.slice(1).map((line) => `[ 3670.300000] ${line}`),
    ].join('\n');
    assert.deepEqual(
      findDumps(text).map(({ pieces, sections, first }) => [pieces, sections.includes('guest'), first]),
      [
        [1, false, 1],
        [1, true, before.length - host + 1],
      ],
    );
  });
});

describe('clocks that are set', () => {
  const damage = (first: string, second: string): readonly string[] =>
    only(before.map((line, i) => `${i < 25 ? first : second} ${line}`).join('\n')).damage.map(({ kind }) => kind);

  // Europe/Berlin, 2026-10-25: 02:59:59+02:00 and 02:00:00+01:00 are a second apart (IANA time zone database).
  it('zones are read: two lines a second apart are of one dump', () => {
    for (const [first, second] of [
      ['2026-10-25T02:59:59+0200', '2026-10-25T02:00:00+0100'],
      ['2026-10-25T21:00:00.5+01:00', '2026-10-25T20:00:00.6Z'],
      ['2026-10-25 02:59:59.9-03:30', '2026-10-25 06:30:00.1+00:00'],
    ] as const)
      assert.deepEqual(damage(first, second), [], first);
    assert.deepEqual(damage('2026-10-25T02:59:59+0200', '2026-10-25T02:00:00+0200'), ['spliced']);
    assert.deepEqual(damage('2026-10-25T02:00:00+0200', '2026-10-25T02:00:01+0100'), ['spliced']);
  });
  // The same by the names that tzdata has for them; CST and IST are names of several, and small letters those of a host.
  it('so are the names of zones', () => {
    for (const [first, second] of [
      ['2026-10-25 02:59:59 CEST host kernel:', '2026-10-25 02:00:00 CET host kernel:'],
      ['Sun 2026-03-08 01:59:59 PST host kernel:', 'Sun 2026-03-08 03:00:00 PDT host kernel:'],
      ['[Sun Mar  8 01:59:59 EST 2026]', '[Sun Mar  8 03:00:00 EDT 2026]'],
      ['Sun, 25 Oct 2026 02:59:59 CEST', 'Sun, 25 Oct 2026 01:00:00 UTC'],
      ['2026/10/25 02:59:59 CEST', '2026/10/25 02:00:00 CET'],
      ['2026-10-25 02:59:59 +0200', '2026-10-25 02:00:00 +0100'],
      ['2026-10-25 02:59:59 CST', '2026-10-25 03:59:59 CST'],
      ['Mar  8 01:59:59 est kernel:', 'Mar  8 03:00:00 est kernel:'],
    ] as const)
      assert.deepEqual(damage(first, second), [], first);
    for (const [first, second] of [
      ['2026-10-25 02:59:59 CEST host kernel:', '2026-10-25 02:00:00 CEST host kernel:'],
      ['Sun, 25 Oct 2026 02:59:59 CEST', 'Sun, 25 Oct 2026 04:59:59 CEST'],
      ['[Sun Mar  8 01:59:59 PST 2026]', '[Sun Mar  8 03:00:00 PST 2026]'],
      ['2026/10/25 02:59:59', '2026/10/25 04:59:59'],
    ] as const)
      assert.deepEqual(damage(first, second), ['spliced'], first);
  });
  it('whether it was set or the dump put together cannot be told where every line is there in order, and that is said', () => {
    const report = (first: string, second: string, without: number = -1) =>
      only(
        before
          .map((line, i) => `${i < 25 ? first : second} ${line}`)
          .filter((_, i) => i !== without)
          .join('\n'),
      );
    const wall = ['Nov 29 07:00:20 host kernel:', 'Nov 29 09:00:20 host kernel:'] as const;
    const set = report(...wall);
    assert.match(set.sentence, /or it is whole and the clock was set: the clock jumps at line 26/);
    assert.ok(set.next.some((one) => /clock of the kernel .* is never set/.test(one)));
    // the kernel's own clock is never set, and a line that is missing is one more sign
    for (const other of [report('[   20.000000]', '[ 7220.000000]'), report(...wall, 30)])
      assert.doesNotMatch(other.sentence, /the clock was set/);
    // lines with the kernel's own clock are judged by that one
    const both = report(`${wall[0]} [   20.000000]`, `${wall[1]} [   20.000100]`);
    assert.deepEqual(both.damage, []);
  });
  // America/New_York, 2026-03-08: 01:59:59 is followed by 03:00:00.
  it('without a zone, a step of an hour alone is no splice, and any other is', () => {
    assert.deepEqual(damage('Mar  8 01:59:59 host kernel:', 'Mar  8 03:00:00 host kernel:'), []);
    assert.deepEqual(damage('2026-03-08T01:59:59Z', '2026-03-08T03:00:00Z'), ['spliced']);
    assert.deepEqual(damage('Mar  8 01:59:59 host kernel:', 'Mar  8 02:30:00 host kernel:'), ['spliced']);
    assert.deepEqual(damage('2026-10-25T02:59:59', '2026-10-25T02:00:00'), []);
    assert.deepEqual(damage('Oct 25 02:59:59 host kernel:', 'Oct 25 02:00:01 host kernel:'), []);
    assert.deepEqual(damage('2026-10-25T02:59:59', '2026-10-25T02:30:00'), ['spliced']);
    assert.deepEqual(damage('[ 7199.000000]', '[ 3599.000000]'), ['spliced']);
  });
  // tzdata: Berlin 2026-03-29, New York 2026-11-01, Sydney 2026-10-04, Auckland 2026-09-27, Santiago 2026-09-06.
  it('and that on the days only on which summer time begins or ends', () => {
    for (const [first, second] of [
      ['2026-03-29 01:59:59', '2026-03-29 03:00:00'],
      ['Nov  1 01:59:59 host kernel:', 'Nov  1 01:00:00 host kernel:'],
      ['Oct  4 01:59:59 host kernel:', 'Oct  4 03:00:00 host kernel:'],
      ['2026-09-27 01:59:59', '2026-09-27 03:00:00'],
      ['2026-09-06 00:59:59', '2026-09-06 02:00:00'],
    ] as const)
      assert.deepEqual(damage(first, second), [], first);
    for (const [first, second] of [
      ['Nov 29 10:00:00 host kernel:', 'Nov 29 09:00:00 host kernel:'],
      ['Nov 29 10:00:00 host kernel:', 'Nov 29 11:00:00 host kernel:'],
      ['2026-10-27 02:59:59', '2026-10-27 02:00:00'],
      ['10:00:00 host kernel:', '09:00:00 host kernel:'],
    ] as const) {
      assert.deepEqual(damage(first, second), ['spliced'], first);
      const { sentence } = only(before.map((line, i) => `${i < 25 ? first : second} ${line}`).join('\n'));
      assert.match(sentence, /or it is whole and the clock was set: the clock jumps at line 26/);
    }
  });
  it('a clock of the wall that is set back by seconds is no splice, and that of the ring buffer is never set', () => {
    assert.deepEqual(damage('Nov 29 07:00:20 host kernel:', 'Nov 29 07:00:15 host kernel:'), []);
    assert.deepEqual(damage('2026-11-29T07:00:20.5+00:00', '2026-11-29T07:00:15.0+00:00'), []);
    assert.deepEqual(damage('Nov 29 07:00:50 host kernel:', 'Nov 29 07:00:15 host kernel:'), ['spliced']);
    assert.deepEqual(damage('[   20.000000]', '[   15.000000]'), ['spliced']);
  });
});
