/** What a comparison says of handler times where events were lost: nothing that the times which are missing may turn. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare, type TimeChange } from '../../analyzer/diff.js';
import type { DiffSide } from '../../analyzer/diff-side.js';
import { exits, repeat, sideOf } from './gates-helpers.js';
import { generator } from './generator.js';
import type { EventDraft } from './profile-helpers.js';

/** A recording of handlers that took so long, and of a gap in which so many events were lost. */
const host = (times: readonly number[], lost: number | null = 0, more: readonly EventDraft[] = []): DiffSide =>
  sideOf(
    [
      ...exits(10, times, 'time_ns'),
      ...more,
      ...(lost === 0 ? [] : [{ kind: 'lost', value: lost === null ? null : BigInt(lost), time_ns: 4e9 } as const]),
    ],
    { source: 'trace-cmd', cut: null, damaged: 0 },
  );

/** Each shift that is told, and whether it holds whatever is missing. */
const toldOf = (times: readonly TimeChange[]): [statistic: string, slower: boolean, certain: boolean][] =>
  times
    .flatMap(({ slower, shifts }) => shifts.map(({ statistic, certain }) => [statistic, slower, certain] as const))
    .map(([statistic, slower, certain]) => [statistic, slower, certain]);
const told = (left: DiffSide, right: DiffSide) => toldOf(compare(left, right).times);
const certain = (left: DiffSide, right: DiffSide): string[] =>
  told(left, right).flatMap(([statistic, , is]) => (is ? [statistic] : []));

describe('what slowed where events were lost', () => {
  const ALL = ['mean', 'p50', 'p90'];

  it('is for certain all that a rank test says of two whole runs', () => {
    assert.deepEqual(certain(host(repeat(100, 2000)), host(repeat(100, 5000))), ALL);
  });

  it('is nothing for certain of a run that lost its fastest exits, and is of the others all the same', () => {
    const all = [...repeat(100, 1000), ...repeat(100, 2000)];
    const slowest = host(repeat(100, 2000), 200);
    for (const [left, right, slower] of [
      [host(all), slowest, true],
      [slowest, host(all), false],
    ] as const)
      assert.deepEqual(told(left, right), [
        ['mean', slower, false],
        ['p50', slower, false],
      ]);
  });

  // 20 that are missing are the fastest or the slowest: of 120, the 40th to the 60th, and the 88th to the 108th
  it('is a percentile whose bounds are apart, and never a mean, which one slow handler moves anywhere', () => {
    const [fast, slow] = [host(repeat(100, 2000), 20), host(repeat(100, 5000), 20)];
    assert.deepEqual(told(fast, slow), [
      ['mean', true, false],
      ['p50', true, true],
      ['p90', true, false],
    ]);
    assert.deepEqual(certain(host(repeat(100, 2000)), slow), ['p50', 'p90']); // at least the 88th of 120 took 5 us
    assert.deepEqual(certain(slow, host(repeat(100, 2000))), ['p50', 'p90']);
    assert.deepEqual(certain(fast, host(repeat(100, 5000))), ['p50']); // the 108th of 120 may have taken any time
  });

  it('is nothing for certain where it is unknown how many were lost, or the recording was cut', () => {
    const [fast, slow] = [host(repeat(100, 2000)), repeat(100, 5000)];
    assert.deepEqual(certain(fast, host(slow, null)), []);
    const cut = sideOf(exits(10, slow, 'time_ns'), { source: 'trace-cmd', cut: 'it ends early', damaged: 0 });
    assert.deepEqual(certain(fast, cut), []);
  });

  it('is nothing for certain of a reason of two levels: what was lost may have told which an exit is of', () => {
    const other: EventDraft[] = [
      { kind: 'exit', isa: 1, reason: 10, rip: 1, from_level: 2, time_ns: 3e9 },
      { kind: 'entry', isa: 1, from_level: 0, time_ns: 3e9 + 1000 },
    ];
    const [fast, slow] = [repeat(100, 2000), repeat(100, 5000)];
    assert.deepEqual(certain(host(fast, 0, other), host(slow, 0, other)), ALL);
    assert.deepEqual(certain(host(fast, 0, other), host(slow, 2, other)), []);
  });

  it('is exact in ticks, unless events were lost', () => {
    const ticks = (time: number, lost: number): DiffSide =>
      sideOf([
        ...exits(10, repeat(9, time)),
        ...(lost === 0 ? [] : [{ kind: 'lost', value: BigInt(lost), tick: 1e8 } as const]),
      ]);
    assert.deepEqual(certain(ticks(3, 0), ticks(4, 0)), ['mean', 'p50', 'p90', 'p99']);
    assert.deepEqual(certain(ticks(3, 0), ticks(4, 2)), ['p50', 'p90', 'p99']); // the 9th of 11 is 4, and the 11th at least
  });

  it('is never what the times that were lost would turn', () => {
    const random = generator(11);
    const nearestRank = (times: readonly number[], share: number): number =>
      times.toSorted((a, b) => a - b)[Math.ceil(share * times.length) - 1] ?? Number.NaN;
    const SHARES: { readonly [statistic: string]: number } = { p50: 0.5, p90: 0.9, p99: 0.99 };
    let proved = 0;
    for (let round = 0; round < 100; round++) {
      const [scale, part] = [1 + 2 * random(), random() ** 2];
      const drawn = (factor: number): number[] =>
        Array.from({ length: 300 }, () => Math.round(1000 * factor * (1 + 4 * random())));
      const [left, right] = [drawn(1), drawn(scale)];
      // the fastest are lost, or the slowest, or any
      const order = [(a: number, b: number) => a - b, (a: number, b: number) => b - a][round % 3];
      const kept = (order === undefined ? right : right.toSorted(order)).slice(Math.round(part * 300));
      if (kept.length === 300) continue;
      const seen = host(kept, 300 - kept.length);
      for (const [before, after, was, is] of [
        [host(left), seen, left, right],
        [seen, host(left), right, left],
      ] as const) {
        for (const [statistic, slower, isCertain] of told(before, after)) {
          const share = SHARES[statistic];
          if (!isCertain) continue;
          assert.ok(share !== undefined, statistic);
          assert.equal(nearestRank(is, share) > nearestRank(was, share), slower, `${statistic}, round ${round}`);
          proved += 1;
        }
      }
    }
    assert.ok(proved > 50, `${proved} proved`);
  });
});
