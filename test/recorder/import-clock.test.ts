/** Times of trace.dat: what trace-cmd computes with 128 bits must come out of halves of 32. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import fc from 'fast-check';
import { Clock, scaleOf } from '../../recorder/import/binary/clock.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { halvesOf, timeOf } from '../../recorder/import/time.js';
import type { Cell } from '../../traces/store.js';
import { fixturePath, sharedPath } from './import-helpers.js';
import { asVersion6, asVersion7 } from './trace-dat-files.js';

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const offset = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
const tsc = fc.record({
  multiplier: fc.bigInt({ min: 1n, max: (1n << 32n) - 1n }),
  shift: fc.bigInt({ min: 0n, max: 63n }),
});

const timeBy = (clock: Clock, stamp: bigint): bigint => {
  const [high, low] = halvesOf(stamp);
  const { timeLow, timeHigh } = clock.at(low, high);
  return timeOf(timeHigh, timeLow);
};

it('a stamp becomes (stamp * multiplier >> shift) + offset, in 64 bits', () => {
  fc.assert(
    fc.property(u64, offset, fc.option(tsc), (stamp, by, scale) => {
      const expected = (scale === null ? stamp : (stamp * scale.multiplier) >> scale.shift) + by;
      assert.equal(timeBy(new Clock(scale, by, 'x86-tsc'), stamp), BigInt.asUintN(64, expected));
    }),
    { numRuns: 2000 },
  );
});

it('a clock that counts no nanoseconds has time only where the file says how to turn it into them', () => {
  assert.equal(new Clock(null, 0n, 'x86-tsc').hasTime, false);
  assert.equal(new Clock({ multiplier: 1n, shift: 0n }, 0n, 'x86-tsc').hasTime, true);
  assert.equal(new Clock(null, 0n, 'local').hasTime, true);
});

it('a frequency becomes a scale that is exact to a part in 2^31', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1e6, max: 1e11 }), fc.bigInt({ min: 0n, max: 1n << 50n }), (hz, cycles) => {
      const exact = (cycles * 1_000_000_000n) / BigInt(hz);
      const error = exact - timeBy(new Clock(scaleOf(hz), 0n, 'x86-tsc'), cycles);
      assert.ok(error >= 0n && error <= (exact >> 31n) + 1n, `${error} of ${exact} ns`);
    }),
  );
});

const LOCAL = readFileSync(fixturePath('svm-nested.trace.dat'));

/** Times of a recording of the clock `local`, as if it had been recorded with the TSC. */
function timesOf(
  tscHz: number | null,
  file = asVersion6(LOCAL, { clock: 'x86-tsc' }),
): { ticks: Cell[]; times: Cell[]; notes: string[] } {
  const ticks: Cell[] = [];
  const times: Cell[] = [];
  const writer = new StreamWriter((chunk) => {
    for (let i = 0; i < chunk.rows; i++) {
      const { tick, time_ns: time } = chunk.row(i);
      ticks.push(tick ?? null);
      times.push(time ?? null);
    }
  });
  const options = tscHz === null ? {} : { tscHz };
  const { notes } = importTrace(memorySource(file), () => writer, options);
  return { ticks, times, notes: notes.map(({ says }) => says) };
}

it('a trace.dat of the clock x86-tsc has cycles, or nanoseconds where the frequency is given', () => {
  const cycles = timesOf(null);
  assert.ok(cycles.ticks.every((tick) => typeof tick === 'bigint') && cycles.times.every((time) => time === null));
  assert.match(cycles.notes[0] ?? '', /counts cycles of the TSC/);
  const scaled = timesOf(2e9);
  assert.deepEqual([scaled.notes, scaled.ticks.every((tick) => tick === null)], [[], true]);
  assert.deepEqual(
    scaled.times,
    cycles.ticks.map((tick) => (tick as bigint) / 2n),
  );
});

it('each buffer of a trace.dat goes by its own clock, and that they differ is said', () => {
  const of = (clocks: readonly string[]): ReturnType<typeof timesOf> =>
    timesOf(null, asVersion7(LOCAL, true, { buffers: ['', 'kvm'], clocks }));
  const known = (cells: readonly Cell[]): readonly Cell[] => cells.filter((cell) => cell !== null);
  const same = of(['local', 'local']);
  assert.ok(!same.notes.some((says) => /different clocks/.test(says)));
  for (const clocks of [
    ['local', 'x86-tsc'],
    ['x86-tsc', 'local'],
  ]) {
    const { ticks, times, notes } = of(clocks);
    assert.equal(known(times).length, known(ticks).length);
    assert.equal(2 * known(times).length, same.times.length);
    assert.deepEqual(known(times), known(ticks));
    assert.ok(notes.some((says) => says.startsWith(`buffers of different clocks (${clocks.join(', ')})`)));
  }
});

it('the clock of a trace.dat of version 6 is that behind the table of CPUs where its option is empty', () => {
  const behind = (clock: string): Uint8Array => asVersion6(LOCAL, { clock, clockBehind: true });
  for (const hz of [null, 2e9]) assert.deepEqual(timesOf(hz, behind('x86-tsc')), timesOf(hz));
  const local = timesOf(null, asVersion6(LOCAL, { clock: 'local' }));
  const given = timesOf(2e9, behind('local'));
  assert.match(given.notes.at(-1) ?? '', /frequency of the TSC .* has no use/);
  assert.deepEqual({ ...given, notes: given.notes.slice(0, -1) }, local);
  const { ticks, times, notes } = timesOf(null, behind('uptime'));
  assert.ok([...ticks, ...times].every((cell) => cell === null));
  assert.deepEqual(notes, ['the clock of the recording counts no nanoseconds: no times']);
  // trace-cmd 1 and 2 had a bug that left no name: `local` then, as its reader does
  const nameless = timesOf(null, cutClock(behind('x86-tsc')));
  assert.deepEqual(nameless.times, timesOf(2e9, behind('local')).times);
  assert.match(nameless.notes[0] ?? '', /^no name of a clock at offset \d+: taken as local$/);
});

/** A file whose name of the clock has the length 0. */
function cutClock(file: Uint8Array): Uint8Array {
  const bytes = Buffer.from(file);
  bytes.writeBigUInt64LE(0n, bytes.indexOf('global [x86-tsc]') - 8);
  return bytes;
}

const HEBEL = sharedPath('binary/hebel23_driver.trace.dat');
it('a recording of trace-cmd 2 has the clock that it names', { skip: HEBEL === null && 'no shared data' }, () => {
  const bytes = readFileSync(HEBEL ?? '');
  const [was, is] = ['[local] global counter uptime perf mono   ', 'local global counter uptime perf [x86-tsc]'];
  assert.equal(bytes.write(is.slice(0, was.length), bytes.indexOf(was.trimEnd())), was.length);
  // what trace-cmd report 3.1.6 prints of the first event
  assert.equal(timesOf(null, bytes).ticks[0], 1464179963720n);
  assert.equal(timesOf(1e9, bytes).times[0], 1464179963720n);
});
