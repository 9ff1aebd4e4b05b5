/** Comparisons of runs: what is put in must be what is found, and budgets are exact. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compare, type Diff, type Match } from '../../analyzer/diff.js';
import { LEVEL } from '../../analyzer/diff-chance.js';
import { DiffSide } from '../../analyzer/diff-side.js';
import { randomOf } from '../fuzz/random.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

function sideOf(events: readonly EventDraft[], ignore: readonly string[] = []): DiffSide {
  const side = new DiffSide(ignore);
  feedEvents(events, (chunk) => side.take(chunk));
  side.finish(() => null);
  return side;
}

const diffOf = (left: readonly EventDraft[], right: readonly EventDraft[], match?: Match): Diff =>
  compare(sideOf(left), sideOf(right), match === undefined ? {} : { match });

interface Drawn {
  readonly reason: number;
  readonly rip: number;
  readonly vcpu: number;
}
const drawn = fc.record({ reason: fc.constantFrom(10, 12, 30, 48), rip: fc.nat(5), vcpu: fc.constant(0) });
const events = (exits: readonly Drawn[]): EventDraft[] =>
  exits.flatMap(({ reason, rip, vcpu }, i): EventDraft[] => [
    { kind: 'exit', vcpu, isa: 1, reason, rip, from_level: 1, tick: 10 * i },
    { kind: 'entry', vcpu, isa: 1, from_level: 0, tick: 10 * i + 3 },
  ]);

describe('diff', () => {
  it('of a run with itself is empty', () => {
    const lanes = fc.array(fc.record({ reason: fc.nat(4), rip: fc.nat(4), vcpu: fc.nat(2) }), { maxLength: 100 });
    fc.assert(
      fc.property(lanes, (exits) => {
        const { matched, vanished, appeared, hunks, first, changes, reasons, related } = diffOf(
          events(exits),
          events(exits),
        );
        assert.deepEqual([related, matched, vanished, appeared, hunks, first], [true, exits.length, 0, 0, 0, null]);
        assert.deepEqual(changes, []);
        assert.ok(reasons.every(({ delta }) => delta === 0));
      }),
    );
  });

  it('finds inserted exits as exactly these', () => {
    const inserts = fc.array(fc.tuple(fc.nat(), fc.nat(5)), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(drawn, { minLength: 30, maxLength: 200 }), inserts, (left, extra) => {
        const right: Drawn[] = [...left];
        for (const [at, rip] of extra) right.splice(at % (right.length + 1), 0, { reason: 18, rip, vcpu: 0 });
        const found = diffOf(events(left), events(right), 'rip');
        assert.deepEqual(
          [found.matched, found.vanished, found.appeared, found.exact],
          [left.length, 0, extra.length, true],
        );
        const told = found.changes.map(({ exit, appeared }) => [Number(exit.rip), appeared]).sort();
        const counts = new Map<number, number>();
        for (const [, rip] of extra) counts.set(rip, (counts.get(rip) ?? 0) + 1);
        assert.deepEqual(told, [...counts].sort());
        assert.ok(found.changes.every(({ exit, vanished }) => exit.reason === 'VMCALL' && vanished === 0));
        assert.deepEqual(
          found.reasons.filter(({ delta }) => delta !== 0).map(({ reason, delta }) => [reason, delta]),
          [['VMCALL', extra.length]],
        );
      }),
    );
  });

  it('tells the first divergence with both sides and what is around it', () => {
    const run = (reasons: readonly number[]): EventDraft[] =>
      events(reasons.map((reason) => ({ reason, rip: 1, vcpu: 0 })));
    const { first } = diffOf(run([10, 10, 10, 10, 12, 30, 48, 48]), run([10, 10, 10, 10, 18, 18, 30, 48, 48]), 'key');
    const names = (
      lines: Diff['first'] extends infer D ? (D extends { left: infer L } ? L : never) : never,
    ): string[] => lines.map(({ reason }) => reason);
    assert.ok(first);
    assert.deepEqual(names(first.before), ['CPUID', 'CPUID', 'CPUID']);
    assert.deepEqual(names(first.left), ['HLT']);
    assert.deepEqual(names(first.right), ['VMCALL', 'VMCALL']);
    assert.deepEqual(names(first.after), ['IO_INSTRUCTION', 'EPT_VIOLATION', 'EPT_VIOLATION']);
    assert.equal(first.left[0]?.seq, 8);
  });

  it('holds the innermost guest of a nested run against that of one that is not', () => {
    const inner = [10, 12, 10, 30].map(
      (reason): EventDraft => ({ kind: 'exit', isa: 1, reason, rip: 5, from_level: 1 }),
    );
    const nested = inner.flatMap((exit): EventDraft[] => [
      { ...exit, from_level: 2 },
      { kind: 'exit', isa: 1, reason: 24, rip: 9, from_level: 1 },
    ]);
    const { matched, vanished, appeared, changes, reasons } = diffOf(inner, nested);
    assert.deepEqual([matched, vanished, appeared], [4, 0, 4]);
    assert.deepEqual(
      changes.map(({ exit }) => exit.reason),
      ['VMRESUME'],
    );
    const levels = reasons.map(({ reason, level, leftLevel }) => [reason, leftLevel, level]);
    assert.deepEqual(levels.toSorted(), [
      ['CPUID', 1, 2],
      ['HLT', 1, 2],
      ['IO_INSTRUCTION', 1, 2],
      ['VMRESUME', null, 1],
    ]);
  });

  it('aligns each vCPU by itself, however they interleave', () => {
    const a = events([10, 12, 10, 30].map((reason) => ({ reason, rip: 1, vcpu: 0 })));
    const b = events([48, 48, 18].map((reason) => ({ reason, rip: 2, vcpu: 1 })));
    const zipped = a.flatMap((event, i) => (b[i] === undefined ? [event] : [event, b[i]]));
    const { matched, hunks } = diffOf([...a, ...b], zipped);
    assert.deepEqual([matched, hunks], [7, 0]);
  });

  it('falls back from RIPs to what exits are about, and says so', () => {
    const run = (shift: number): EventDraft[] =>
      Array.from(
        { length: 40 },
        (_, i): EventDraft => ({
          kind: 'exit',
          isa: 1,
          reason: 30,
          qualification: (i % 3) << 16,
          rip: i + shift,
          from_level: 1,
        }),
      );
    const { match, matched, related } = diffOf(run(0), run(1000));
    assert.deepEqual([match, matched, related], ['key', 40, true]);
  });

  it('says that runs are unrelated where they are', () => {
    const run = (reason: number): EventDraft[] =>
      Array.from({ length: 50 }, (): EventDraft => ({ kind: 'exit', isa: 1, reason, from_level: 1 }));
    const { related, first, changes } = diffOf(run(10), run(12));
    assert.deepEqual([related, first, changes], [false, null, []]);
  });

  it('does not count as a difference what one source never says', () => {
    const old = [1, 2].map((rip): EventDraft => ({ kind: 'exit', isa: 1, reason: 0, rip, from_level: 1 }));
    const recent = old.map((event): EventDraft => ({ ...event, intr_info: 0x8000_0306 }));
    assert.equal(diffOf(old, recent, 'rip').hunks, 0);
  });

  it('leaves out what it is told to ignore', () => {
    const run = [10, 12, 10].map((reason): EventDraft => ({ kind: 'exit', isa: 1, reason, rip: 1, from_level: 1 }));
    const noisy = [
      ...run.slice(0, 1),
      { kind: 'exit', isa: 1, reason: 1, rip: 7, from_level: 1 } as EventDraft,
      ...run.slice(1),
    ];
    assert.equal(compare(sideOf(run), sideOf(noisy)).appeared, 1);
    assert.equal(compare(sideOf(run), sideOf(noisy, ['EXTERNAL_INTERRUPT'])).appeared, 0);
  });
});

describe('related or not', () => {
  const REASONS = [10, 12, 18, 30, 31, 32, 48];
  const run = (picks: readonly number[], rip = 0): EventDraft[] =>
    picks.map(
      (reason, i): EventDraft => ({ kind: 'exit', isa: 1, reason, from_level: 1, rip: rip === 0 ? 1 : rip + i }),
    );
  const drawn = (seed: number, count: number, reasons = REASONS): number[] => {
    const random = randomOf(seed, count);
    return Array.from({ length: count }, () => random.pick(reasons));
  };

  for (const count of [300, 3000]) {
    it(`${count} exits at random are unrelated, however they are matched`, () => {
      for (let seed = 0; seed < 2; seed++) {
        for (const reasons of [REASONS, [10, 12], [10, 10, 10, 10, 12, 30], [...Array(60).fill(10), 12]]) {
          const [left, right] = [
            run(drawn(seed, count, reasons), 0x1000),
            run(drawn(seed + 50, count, reasons), 0x90_0000),
          ];
          for (const match of [undefined, 'reason', 'key'] as const) {
            assert.equal(diffOf(left, right, match).related, false, `${reasons} ${seed}`);
          }
        }
      }
    });
  }

  /** A run with some exits left out and some put in. */
  function edited(picks: readonly number[], seed: number): number[] {
    const random = randomOf(seed, picks.length);
    return picks.flatMap((reason) => {
      const what = random.below(20);
      return what === 0 ? [] : what === 1 ? [random.pick(REASONS), reason] : [reason];
    });
  }

  it('short runs at random pass for related no more often than the level says', () => {
    let [pairs, related] = [0, 0];
    for (const count of [6, 9, 13, 20, 40, 80]) {
      for (const reasons of [REASONS, [10, 12], [10, 10, 10, 10, 12, 30]]) {
        for (let seed = 0; seed < 40; seed++) {
          const [left, right] = [drawn(seed, count, reasons), drawn(seed + 1000, count, reasons)];
          if (left.join() === right.join()) continue; // the same run
          pairs += 1;
          related += diffOf(run(left), run(right)).related ? 1 : 0;
        }
      }
    }
    assert.ok(pairs > 700 && related <= LEVEL * pairs, `${related} of ${pairs}`);
  });

  it('short runs that are related are found to be, or said to be too short', () => {
    for (const count of [6, 20, 40, 80]) {
      let found = 0;
      for (let seed = 0; seed < 20; seed++) {
        const left = drawn(seed, count);
        const { related, short, matched } = diffOf(run(left), run(edited(left, seed + 500)));
        assert.ok(related || short, `${count} exits, seed ${seed}`);
        assert.ok(matched >= 0.6 * count, 'aligned in either case');
        found += related ? 1 : 0;
      }
      if (count >= 20) assert.ok(found >= 19, `${found} of 20 with ${count} exits`);
    }
  });

  it('finds the beginning of a long run again in one that ended early', () => {
    const long = drawn(7, 2000);
    const { related, matched, hunks } = diffOf(run(long), run(long.slice(0, 20)));
    assert.deepEqual([related, matched, hunks], [true, 20, 1]);
  });

  it('is no relation that a short run can be picked out of a long one, exit by exit', () => {
    assert.equal(diffOf(run(drawn(1, 200)), run(drawn(2, 5000))).related, false);
    const long = drawn(3, 5000);
    const { related, matched, hunks } = diffOf(run(long.slice(0, 200)), run(long));
    assert.deepEqual([related, matched, hunks], [true, 200, 1]);
  });

  it('finds a loop again in which a third of the exits is another, and not in its places at random', () => {
    const random = randomOf(9, 9);
    const loop = Array.from({ length: 5000 }, (_, i) => REASONS[i % 7] as number);
    assert.equal(diffOf(run(loop), run(loop.map((reason) => (random.below(3) === 0 ? 1 : reason)))).related, true);
    assert.equal(diffOf(run(loop), run(drawn(4, 5000))).related, false);
  });

  it('takes runs of one reason for related, whatever their length', () => {
    for (const [one, other] of [
      [50, 50],
      [50, 5000],
      [1, 1],
    ] as const) {
      assert.equal(diffOf(run(drawn(1, one, [10])), run(drawn(2, other, [10]))).related, true);
    }
  });

  it('aligns each lane against its own: lanes at random are unrelated, changed ones are not', () => {
    const lanes = (seed: number): EventDraft[] =>
      [0, 1, 2].flatMap((vcpu) => run(drawn(seed + vcpu, 700)).map((exit) => ({ ...exit, vcpu })));
    assert.equal(diffOf(lanes(1), lanes(101)).related, false);
    const random = randomOf(5, 5);
    assert.equal(
      diffOf(
        lanes(1),
        lanes(1).filter(() => random.below(4) > 0),
      ).related,
      true,
    );
  });
});

describe('what slowed', () => {
  /** Exits of CPUID and HLT by turns; the handlers of CPUID take `times`, those of HLT always the same. */
  const timed = (times: readonly number[], clock: 'tick' | 'time_ns'): EventDraft[] =>
    times.flatMap((time, i): EventDraft[] => {
      const round = (reason: number, begin: number, took: number): EventDraft[] => [
        { kind: 'exit', isa: 1, reason, rip: 1, from_level: 1, [clock]: begin },
        { kind: 'entry', isa: 1, from_level: 0, [clock]: begin + took },
      ];
      return [...round(10, 100_000 * i, time), ...round(12, 100_000 * i + 50_000, 7000)];
    });
  const repeat = (count: number, time: (i: number) => number): number[] =>
    Array.from({ length: count }, (_, i) => time(i));

  it('is told where the exits are the same, and the other way round what got faster', () => {
    const [before, after] = [repeat(2000, () => 2000), repeat(2000, () => 5000)];
    for (const [one, other, slower] of [
      [before, after, true],
      [after, before, false],
    ] as const) {
      const { hunks, times } = diffOf(timed(one, 'time_ns'), timed(other, 'time_ns'));
      assert.equal(hunks, 0);
      assert.deepEqual(
        times.map((change) => [change.level, change.reason, change.slower, change.samples, change.cost]),
        [[1, 'CPUID', slower, { left: 2000, right: 2000 }, slower ? 6e6 : -6e6]],
      );
      assert.deepEqual(
        times[0]?.shifts.map(({ statistic, left, right }) => [statistic, left, right]),
        ['mean', 'p50', 'p90', 'p99'].map((statistic) => [statistic, one[0], other[0]]),
      );
    }
  });

  it('is the tail alone where that is all that moved', () => {
    const slow =
      (every: number) =>
      (i: number): number =>
        i % every === 0 ? 9000 : 2000;
    const { times } = diffOf(timed(repeat(5000, slow(200)), 'time_ns'), timed(repeat(5000, slow(20)), 'time_ns'));
    assert.deepEqual(
      times.map(({ reason, shifts }) => [reason, shifts.map(({ statistic }) => statistic)]),
      [['CPUID', ['mean', 'p99']]],
    );
  });

  it('is not told of host times too few to judge, nor of a part too small to matter', () => {
    const of = (count: number, time: number): EventDraft[] =>
      timed(
        repeat(count, () => time),
        'time_ns',
      );
    assert.deepEqual(diffOf(of(19, 2000), of(19, 5000)).times, []);
    assert.equal(diffOf(of(20, 2000), of(20, 5000)).times.length, 1);
    assert.deepEqual(diffOf(of(2000, 2000), of(2000, 2030)).times, []);
  });

  it('is nothing where host times differ by chance alone', () => {
    const random = randomOf(7, 7);
    const noise = (): EventDraft[] =>
      timed(
        repeat(500, () => 1000 * (1 + random.below(6))),
        'time_ns',
      );
    const told = Array.from({ length: 60 }, () => diffOf(noise(), noise()).times.length).filter((count) => count > 0);
    // More than 4 of 60 has a probability below 0.0005 where each has 0.01.
    assert.ok(told.length <= 4, `${told.length} of 60`);
  });

  it('is exact in ticks: one tick of one exit', () => {
    const ticks = (last: number): EventDraft[] => timed([3, 3, last], 'tick');
    assert.deepEqual(diffOf(ticks(3), ticks(3)).times, []);
    const [change, ...others] = diffOf(ticks(3), ticks(4)).times;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [change?.reason, change?.slower, change?.shifts.map(({ statistic, p }) => [statistic, p])],
      [
        'CPUID',
        true,
        [
          ['mean', null],
          ['p90', null],
          ['p99', null],
        ],
      ],
    );
  });
});
