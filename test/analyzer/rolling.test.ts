/** The rolling profile against the exact one, and what windows and bounds promise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RELATIVE_ERROR } from '../../analyzer/histogram.js';
import { Profiler } from '../../analyzer/profile/profile.js';
import { RollingProfile } from '../../analyzer/profile/rolling.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

const SECOND = 1_000_000_000;

interface Exit {
  readonly vcpu: number;
  readonly reason: number;
  readonly level: number;
  readonly idle: number;
  readonly time: number;
}

const exits = fc.array(
  fc.record({
    vcpu: fc.nat(2),
    reason: fc.constantFrom(10, 12, 30, 48),
    level: fc.constantFrom(1, 2),
    idle: fc.nat(50_000),
    time: fc.nat(5_000_000),
  }),
  { minLength: 1, maxLength: 80 },
);

/** One vCPU after the other: exit, time, entry. */
function eventsOf(list: readonly Exit[]): EventDraft[] {
  let now = 7 * SECOND;
  return list.flatMap(({ vcpu, reason, level, idle, time }): EventDraft[] => {
    const from = now + idle;
    now = from + time;
    return [
      { kind: 'exit', vcpu, isa: 1, from_level: level, reason, time_ns: from },
      { kind: 'entry', vcpu, isa: 1, to_level: level, time_ns: now },
    ];
  });
}

const near = (value: number, exact: number): boolean => Math.abs(value - exact) <= exact * RELATIVE_ERROR + 1;

test('at the end it says what the exact profile says, whatever its windows were', () => {
  fc.assert(
    fc.property(exits, fc.array(fc.nat(9), { maxLength: 20 }), (list, sizes) => {
      const events = eventsOf(list);
      const rolling = new RollingProfile();
      const exact = new Profiler();
      feedEvents(events, (chunk) => exact.take(chunk));
      let [windows, exitsSeen, at] = [0, 0, 0];
      for (const size of [...sizes, events.length]) {
        feedEvents(events.slice(at, at + size), (chunk) => rolling.take(chunk));
        if (size > 0 && at < events.length) {
          rolling.turn();
          windows += rolling.read().recent.events;
          exitsSeen += rolling.read().rows.reduce((sum, { recent }) => sum + recent.count, 0);
        }
        at += size;
      }
      rolling.end();
      rolling.turn();
      const { rows, all } = rolling.read();
      const profile = exact.finish(() => null);
      assert.equal(windows, events.length);
      assert.equal(exitsSeen, list.length);
      assert.equal(all.events, events.length);
      assert.equal(rows.length, profile.rows.length);
      for (const { level, reason, count, share, times, timeShare } of profile.rows) {
        const row = rows.find((other) => other.level === level && other.reason === reason);
        assert.equal(row?.all.count, count);
        assert.equal(row?.all.share, share);
        assert.ok(Math.abs((row?.all.timeShare ?? 0) - timeShare) < 1e-9);
        const { all: mine } = row ?? {};
        assert.equal(mine?.times?.total, times?.total);
        assert.equal(mine?.times?.max, times?.max);
        assert.ok(near(mine?.times?.p50 ?? -1, times?.p50 ?? 0));
        assert.ok(near(mine?.times?.p99 ?? -1, times?.p99 ?? 0));
      }
    }),
  );
});

test('rates are by the clock of the recording, of the window and of all', () => {
  const at = (second: number, reason: number): EventDraft => ({
    kind: 'exit',
    isa: 1,
    from_level: 1,
    reason,
    time_ns: second * SECOND,
  });
  const rolling = new RollingProfile();
  feedEvents([at(0, 10), at(1, 10), at(2, 10)], (chunk) => rolling.take(chunk));
  rolling.turn();
  feedEvents([at(2.25, 10), at(2.5, 12), at(2.75, 10), at(4, 10)], (chunk) => rolling.take(chunk));
  rolling.end();
  rolling.turn();
  const cpuid = rolling.read().rows.find(({ reason }) => reason === 'CPUID');
  assert.equal(rolling.read().recent.span, 2 * SECOND);
  assert.equal(cpuid?.all.count, 6);
  assert.equal(cpuid?.all.rate, 6 / 4);
  assert.equal(cpuid?.recent.rate, 4 / 2); // the one at second 2 was closed by the next
  rolling.turn();
  assert.equal(rolling.read().recent.events, 4, 'a window without events leaves the one before');
});

test('without a clock there are counts and no rates; failed entries and lost events are counted', () => {
  const rolling = new RollingProfile();
  const events: EventDraft[] = [
    { kind: 'exit', isa: 2, from_level: 1, reason: 114 },
    { kind: 'entry', isa: 2 },
    { kind: 'entry_failed', isa: 1, from_level: 1, reason: 0x8000_0021 },
    { kind: 'lost', value: 17 },
  ];
  feedEvents(events, (chunk) => rolling.take(chunk));
  rolling.turn();
  const { rows, all, unit } = rolling.read();
  assert.equal(unit, null);
  assert.deepEqual([all.events, all.failedEntries, all.lost, all.gaps, all.entries], [3, 1, 17, 1, 1]);
  assert.deepEqual(
    rows.map(({ reason, failed, all: { count, rate, times } }) => [reason, failed, count, rate, times]).sort(),
    [
      ['CPUID', false, 1, null, null],
      ['INVALID_STATE', true, 1, null, null],
    ],
  );
});

test('lanes are put together by what they are grouped by', () => {
  const rolling = new RollingProfile();
  feedEvents(
    eventsOf([0, 1, 2, 2].map((vcpu) => ({ vcpu, reason: 10, level: 1, idle: 5, time: 100 * (vcpu + 1) }))),
    (chunk) => rolling.take(chunk),
  );
  rolling.turn();
  const rows = rolling.read((lane) => (lane === 0 ? 'a' : 'b')).rows;
  assert.deepEqual(
    rows.map(({ group, all }) => [group, all.count, all.times?.total]),
    [
      ['b', 3, 800],
      ['a', 1, 100],
    ],
  );
});

test('memory is bounded: beyond so many kinds of exits all others are one', () => {
  const rolling = new RollingProfile();
  const kinds = 6000;
  const events = Array.from({ length: kinds }, (_, reason): EventDraft => ({ kind: 'exit', isa: 2, reason }));
  feedEvents(events, (chunk) => rolling.take(chunk));
  rolling.end();
  rolling.turn();
  const { rows } = rolling.read(() => '', Number.POSITIVE_INFINITY);
  assert.equal(rows.length, 4097);
  assert.equal(rows.find(({ reason }) => reason === 'all others')?.all.count, kinds - 4096);
  assert.equal(
    rows.reduce((sum, { all }) => sum + all.count, 0),
    kinds,
  );
});

test('cycles are times, and make no rates: nobody knows how many are a second', () => {
  const rolling = new RollingProfile();
  const cycles = eventsOf([{ vcpu: 0, reason: 10, level: 1, idle: 5, time: 400 }]).map(({ time_ns, ...event }) => ({
    ...event,
    tick: time_ns ?? null,
    step: null,
  }));
  feedEvents(cycles, (chunk) => rolling.take(chunk));
  rolling.turn();
  const { unit, newest, all, recent, rows } = rolling.read();
  assert.deepEqual([unit, newest, all.span, recent.span], ['cycles', null, 0, 0]);
  assert.deepEqual([rows[0]?.all.count, rows[0]?.all.rate, rows[0]?.all.times?.max], [1, null, 400]);
});
