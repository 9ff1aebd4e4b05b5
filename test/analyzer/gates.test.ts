/** Budgets: exact where runs are, by published rank tests where they are samples, and no verdict where there are few. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BUDGET_ERRORS, type BudgetError, readBudget, readBudgets } from '../../analyzer/budget.js';
import { judge } from '../../analyzer/budget-judge.js';
import { rankTest, signTest, upperTail } from '../../analyzer/budget-rank.js';
import { DiffSide } from '../../analyzer/diff-side.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

function sideOf(events: readonly EventDraft[]): DiffSide {
  const side = new DiffSide();
  feedEvents(events, (chunk) => side.take(chunk));
  side.finish(() => null);
  return side;
}

/** Exits of a reason, each handled for the ticks or nanoseconds given. */
const exits = (reason: number, times: readonly number[], clock: 'tick' | 'time_ns' = 'tick'): EventDraft[] =>
  times.flatMap((time, i): EventDraft[] => [
    { kind: 'exit', isa: 1, reason, rip: 1, from_level: 1, [clock]: 1_000_000 * i },
    { kind: 'entry', isa: 1, from_level: 0, [clock]: 1_000_000 * i + time },
  ]);
const repeat = (count: number, time: number): number[] => Array.from({ length: count }, () => time);
const ascending = (values: readonly number[]): Float64Array => Float64Array.from(values).sort();

/** A generator with a seed of its own (mulberry32), so that every run draws the same. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

describe('budgets of deterministic runs', () => {
  const runs = {
    left: sideOf([...exits(10, repeat(100, 3)), ...exits(12, repeat(20, 3))]),
    right: sideOf([...exits(10, repeat(105, 3)), ...exits(12, repeat(20, 3))]),
  };
  const verdicts: readonly (readonly [budget: string, holds: boolean, value: number, limit: number])[] = [
    ['exits.CPUID <= 105', true, 105, 105],
    ['exits.CPUID <= 104', false, 105, 104],
    ['exits.CPUID < 105', false, 105, 105],
    ['exits.CPUID == 105', true, 105, 105],
    ['exits.CPUID >= 106', false, 105, 106],
    ['exits.CPUID > 104', true, 105, 104],
    ['exits.total <= baseline', false, 125, 120],
    ['exits.total <= baseline + 5', true, 125, 120 + 5],
    ['exits.total<=baseline+4', false, 125, 120 + 4],
    ['exits.HLT == baseline', true, 20, 20],
    ['exits.CPUID <= baseline + 5%', true, 105, 105],
    ['exits.CPUID <= baseline + 4.9%', false, 105, 104.9],
    ['exits.CPUID >= baseline - 10%', true, 105, 90],
    ['exits.L1.CPUID == 105', true, 105, 105],
    ['exits.L2.CPUID == 0', true, 0, 0],
    ['exits.MSR_WRITE <= 0', true, 0, 0],
    ['failed.total == 0', true, 0, 0],
    ['ticks.CPUID == 315', true, 315, 315], // each round takes 3 ticks
    ['ticks.total <= baseline', false, 375, 360],
    ['latency.p99.CPUID <= 3', true, 3, 3],
    ['latency.max.CPUID < 3', false, 3, 3],
    ['latency.mean.total == baseline', true, 3, 3],
    ['latency.p99.9.L1.HLT <= baseline - 1', false, 3, 2],
  ];
  for (const [text, holds, value, limit] of verdicts) {
    it(`${text}: ${holds ? 'kept' : 'broken'}`, () => {
      const verdict = judge(runs, readBudget(text));
      assert.deepEqual([verdict.holds, verdict.outcome, verdict.value], [holds, holds ? 'kept' : 'broken', value]);
      assert.ok(Math.abs((verdict.limit ?? Number.NaN) - limit) < 1e-9);
    });
  }

  it('takes one slow exit of a hundred into max and not into p99', () => {
    const slow = { left: runs.left, right: sideOf(exits(10, [...repeat(99, 3), 4])) };
    assert.equal(judge(slow, readBudget('latency.p99.CPUID <= baseline')).outcome, 'kept');
    assert.equal(judge(slow, readBudget('latency.max.CPUID <= baseline')).outcome, 'broken');
  });

  it('keeps a latency of exits that never happened, and cannot say one against a baseline without them', () => {
    assert.equal(judge(runs, readBudget('latency.p50.MSR_READ <= 1')).outcome, 'kept');
    const none = { left: sideOf([]), right: runs.right };
    assert.equal(judge(none, readBudget('latency.p50.CPUID <= baseline')).outcome, 'undecided');
  });

  it('refuses a reason that no manual and neither run knows: its budget would hold for ever', () => {
    assert.throws(() => judge(runs, readBudget('exits.EPT_VIOLATON <= 0')), { code: 'UNKNOWN_REASON' });
  });

  it('refuses a limit in nanoseconds for ticks', () => {
    assert.throws(() => judge(runs, readBudget('latency.p50.CPUID <= 3us')), { code: 'MIXED_BUDGET' });
  });

  it('counts of a run that lost events are lower bounds', () => {
    const lossy = sideOf([...exits(10, repeat(5, 3)), { kind: 'lost', value: 7n, tick: 9_000_000 }]);
    assert.equal(judge({ left: lossy, right: lossy }, readBudget('exits.CPUID <= 4')).outcome, 'broken');
    assert.equal(judge({ left: lossy, right: lossy }, readBudget('exits.CPUID <= 5')).outcome, 'undecided');
    assert.equal(judge({ left: lossy, right: lossy }, readBudget('exits.CPUID < baseline')).outcome, 'undecided');
  });
});

describe('the grammar of budgets', () => {
  const refused = [
    '',
    'exits',
    'exits.CPUID',
    'exits.CPUID <=',
    'exits.CPUID != 3',
    'exit.CPUID <= 3',
    'exits.CPUID <= -1',
    'exits.CPUID <= baseline * 2',
    'exits. <= 3',
    'exits.CPUID <= 3us',
    'latency.CPUID <= 3',
    'latency.p98.CPUID <= 3',
    'latency.p99.CPUID <= baseline + 3us%',
  ];
  for (const text of refused) {
    it(`refuses "${text}"`, () => {
      assert.throws(() => readBudget(text), { code: 'BAD_BUDGET' });
    });
  }

  it('reads units as nanoseconds', () => {
    const amounts = ['7', '7ns', '2.5us', '2 ms', '1s'].map(
      (limit) => readBudget(`latency.p50.HLT <= ${limit}`).amount,
    );
    assert.deepEqual(amounts, [7, 7, 2500, 2_000_000, 1_000_000_000]);
  });

  it('reads a file: one a line, comments, any line end; each knows its place', () => {
    const budgets = readBudgets('# a gate\r\n\r\nexits.total <= 3 # all\nexits.HLT == 0', 'f.budget');
    assert.deepEqual(
      budgets.map(({ text, place }) => [text, place?.line]),
      [
        ['exits.total <= 3', 3],
        ['exits.HLT == 0', 4],
      ],
    );
  });

  it('says the line that is none, and refuses a file without any', () => {
    assert.throws(() => readBudgets('exits.total <= 3\nfast', 'f.budget'), {
      code: 'BAD_BUDGET',
      where: 'f.budget:2: fast',
    });
    assert.throws(() => readBudgets('# nothing\n', 'f.budget'), { code: 'EMPTY_BUDGET' });
  });

  it('throws nothing but its own errors, whatever it reads', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        try {
          readBudgets(text, 'f');
        } catch (error) {
          assert.ok(Object.hasOwn(BUDGET_ERRORS, (error as BudgetError).code));
        }
      }),
    );
  });
});

describe('the rank test', () => {
  /** SciPy's reference, scipy.stats.mannwhitneyu: its example, asymptotic with continuity; two-sided p 0.1113... */
  it('gives the example of SciPy', () => {
    const { u, p } = rankTest(ascending([19, 22, 16, 29, 24]), ascending([20, 11, 17, 12]));
    assert.equal(u, 17);
    assert.ok(Math.abs(2 * p - 0.111_346_886_533_140_41) < 1e-6);
  });

  /** R's help page wilcox.test, Hollander & Wolfe (1973), 69f: W = 35; the z of the page has no continuity term. */
  it('gives U of the example of R', () => {
    const x = [0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    const y = [1.15, 0.88, 0.9, 0.74, 1.21];
    const { u, z } = rankTest(ascending(x), ascending(y));
    assert.equal(u, 35);
    const withoutContinuity = z + 0.5 / Math.sqrt((10 * 5 * 16) / 12);
    assert.ok(Math.abs(upperTail(withoutContinuity) - 0.1103) < 5e-5);
  });

  /** R's help page wilcox.test: Ozone ~ Month of airquality, May against August: W = 127.5, p = 0.0001208, with ties. */
  it('corrects for ties as R does for its air quality example', () => {
    const may = [41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23, 45, 115, 37];
    const august = [
      ...[39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73, 76, 118, 84, 85],
    ];
    const { u, p } = rankTest(ascending(august), ascending(may));
    assert.equal(26 * 26 - u, 127.5);
    assert.ok(Math.abs(2 * p - 0.000_120_8) < 5e-8);
  });

  /** A tutorial's call of R's wilcox.test with ties (endmemo.com/r/wilcoxon.php): W = 51.5, p = 0.5966. */
  it('gives what R gives for small samples with ties', () => {
    const x = ascending([1, 5, 9, 24, 56, 21, 3, 7, 21, 4]);
    const y = ascending([12, 15, 5, 9, 9, 14, 56, 22, 3, 7, 32, 5]);
    assert.equal(rankTest(x, y).u, 51.5);
    assert.ok(Math.abs(2 * rankTest(y, x).p - 0.5966) < 5e-5);
  });

  /** Abramowitz and Stegun, table 26.1. */
  it('gives the tails of the normal table', () => {
    for (const [z, p] of [
      [0, 0.5],
      [1, 0.158_655_254],
      [1.96, 0.024_997_895],
      [3, 0.001_349_898],
      [-2, 0.977_249_868],
    ] as const) {
      assert.ok(Math.abs(upperTail(z) / p - 1) < 1e-6);
    }
  });

  it('counts pairs, and what is larger one way is smaller the other', () => {
    const sample = fc.array(fc.nat(20), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(sample, sample, (x, y) => {
        const pairs = x.reduce((sum, a) => sum + y.reduce((s, b) => s + (a > b ? 1 : a === b ? 0.5 : 0), 0), 0);
        const there = rankTest(ascending(x), ascending(y));
        const back = rankTest(ascending(y), ascending(x));
        assert.ok(Math.abs(there.u - pairs) < 1e-9);
        assert.ok(Math.abs(there.u + back.u - x.length * y.length) < 1e-9);
      }),
    );
  });

  it('takes all below a floor for one value, smaller than the floor', () => {
    const sample = fc.array(fc.nat(20), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(sample, sample, fc.nat(20), (x, y, floor) => {
        const raised = (values: number[]): Float64Array => ascending(values.map((v) => Math.max(v, floor - 0.5)));
        assert.deepEqual(rankTest(ascending(x), ascending(y), floor), rankTest(raised(x), raised(y)));
      }),
    );
  });

  /** Permutations of one pool differ by nothing: of many, no more than the level may be called larger. */
  for (const [says, values] of [
    ['two values', [2, 5]],
    ['a rare slow one', [...Array.from({ length: 19 }, () => 2), 5]],
    ['microseconds', [1, 2, 2, 2, 3, 3, 4, 6]],
    ['no ties', null],
  ] as const) {
    it(`keeps its level at percentiles: ${says}`, () => {
      const next = generator(values?.length ?? 99);
      const pool = Array.from({ length: 400 }, () => values?.[Math.floor(next() * values.length)] ?? next());
      for (const share of [0.5, 0.9]) {
        const floor = ascending(pool)[Math.ceil(share * pool.length) - 1];
        const rounds = 2000;
        let alarms = 0;
        for (let round = 0; round < rounds; round++) {
          for (let i = pool.length - 1; i > 0; i--) {
            const j = Math.floor(next() * (i + 1));
            [pool[i], pool[j]] = [pool[j] as number, pool[i] as number];
          }
          const { p } = rankTest(ascending(pool.slice(0, 150)), ascending(pool.slice(150)), floor);
          if (p < 0.05) alarms += 1;
        }
        // Binomial(2000, 0.05) has a standard deviation of 9.7: four of them above 100.
        assert.ok(alarms <= 139, `${alarms} of ${rounds}`);
      }
    });
  }

  /** Binomial(100, 1/2) above 60 has probability 0.0176 (61 and more; exact sum). */
  it('signs: the normal approximation of the binomial', () => {
    assert.ok(Math.abs(signTest(61, 100, 0.5) - 0.0176) < 5e-4);
  });
});

describe('budgets of host times', () => {
  const draw = (seed: number, count: number, of: (uniform: number) => number): EventDraft[] => {
    const next = generator(seed);
    return exits(
      32,
      Array.from({ length: count }, () => Math.round(of(next()))),
      'time_ns',
    );
  };
  /** Exponential with a mean of 2 us above 1 us: skewed, as handler times are. */
  const handler = (u: number): number => 1000 - 2000 * Math.log(1 - u);
  const outcome = (left: EventDraft[], right: EventDraft[], text: string): string =>
    judge({ left: sideOf(left), right: sideOf(right) }, readBudget(text)).outcome;

  it('rarely calls chance a break: 1 % of equal runs at the most, by its own significance', () => {
    const broken = Array.from({ length: 100 }, (_, i) =>
      outcome(draw(i, 1000, handler), draw(1000 + i, 1000, handler), 'latency.p99.MSR_WRITE <= baseline'),
    ).filter((said) => said === 'broken').length;
    // More than 5 of 100 has probability 0.0005 where each has 0.01.
    assert.ok(broken <= 5, `${broken} of 100`);
  });

  it('finds a handler that got slower by a fifth', () => {
    const slower = draw(2, 2000, (u) => 1.2 * handler(u));
    for (const statistic of ['mean', 'p50', 'p90']) {
      const text = `latency.${statistic}.MSR_WRITE <= baseline + 5%`;
      assert.equal(outcome(draw(1, 2000, handler), slower, text), 'broken');
      assert.equal(outcome(slower, draw(1, 2000, handler), text), 'kept');
    }
  });

  for (const statistic of ['mean', 'p50', 'p90', 'p99', 'p99.9']) {
    const text = `latency.${statistic}.MSR_WRITE <= baseline + 5%`;
    const times = (seed: number, of: (u: number) => number): EventDraft[] => draw(seed, 14_000, of);

    it(`finds by ${statistic} that all handlers take 5 us instead of 2`, () => {
      assert.equal(
        outcome(
          times(1, () => 2000),
          times(2, () => 5000),
          text,
        ),
        'broken',
      );
      assert.equal(
        outcome(
          times(1, () => 5000),
          times(2, () => 2000),
          text,
        ),
        'kept',
      );
      assert.equal(
        outcome(
          times(1, () => 2000),
          times(2, () => 2000),
          text,
        ),
        'kept',
      );
    });

    it(`finds by ${statistic} what got twice as slow where the clock has whole microseconds`, () => {
      const stamped = (factor: number) => (u: number) => 1000 * Math.round((factor * handler(u)) / 1000);
      assert.equal(outcome(times(3, stamped(1)), times(4, stamped(2)), text), 'broken');
      assert.equal(outcome(times(3, stamped(2)), times(4, stamped(1)), text), 'kept');
    });
  }

  it('finds what got slower whatever the ratio of the samples', () => {
    for (const [before, after] of [
      [200, 14_000],
      [14_000, 200],
    ] as const) {
      const runs = [draw(1, before, () => 2000), draw(2, after, () => 5000)] as const;
      for (const statistic of ['p50', 'p90']) {
        assert.equal(outcome(...runs, `latency.${statistic}.MSR_WRITE <= baseline + 5%`), 'broken');
      }
    }
  });

  it('rarely calls chance a break where the clock has whole microseconds', () => {
    const stamped = (u: number): number => 1000 * Math.round(handler(u) / 1000);
    const broken = Array.from({ length: 100 }, (_, i) =>
      outcome(draw(i, 500, stamped), draw(1000 + i, 500, stamped), 'latency.p90.MSR_WRITE <= baseline'),
    ).filter((said) => said === 'broken').length;
    assert.ok(broken <= 5, `${broken} of 100`);
  });

  it('finds a tail that got slower where the middle did not, by the tail', () => {
    const tail = draw(4, 5000, (u) => (u > 0.97 ? 5 : 1) * handler(u));
    assert.equal(outcome(draw(3, 5000, handler), tail, 'latency.p99.MSR_WRITE <= baseline + 10%'), 'broken');
    assert.equal(outcome(draw(3, 5000, handler), tail, 'latency.p50.MSR_WRITE <= baseline + 10%'), 'kept');
  });

  it('judges a limit in units by how many are over it', () => {
    const run = draw(5, 2000, handler); // its median is 1000 + 2000 ln 2 = 2386 ns
    assert.equal(outcome(run, run, 'latency.p50.MSR_WRITE <= 2us'), 'broken');
    assert.equal(outcome(run, run, 'latency.p50.MSR_WRITE <= 3us'), 'kept');
  });

  for (const [statistic, least] of [
    ['p50', 20],
    ['p99', 1000],
    ['p99.9', 10_000],
  ] as const) {
    it(`says not enough data below ${least} samples for ${statistic}`, () => {
      const text = `latency.${statistic}.MSR_WRITE <= baseline`;
      const run = draw(6, least - 1, handler);
      const verdict = judge({ left: sideOf(run), right: sideOf(run) }, readBudget(text));
      assert.deepEqual([verdict.outcome, verdict.holds], ['undecided', false]);
      assert.match(verdict.says ?? '', /not enough data/);
      assert.equal(outcome(draw(6, least, handler), draw(6, least, handler), text), 'kept');
    });
  }

  for (const text of [
    'ticks.total <= baseline',
    'latency.max.total <= baseline',
    'latency.p50.total == baseline',
    'latency.mean.total <= 3us',
  ]) {
    it(`refuses ${text}`, () => {
      const run = sideOf(draw(7, 50, handler));
      assert.throws(() => judge({ left: run, right: run }, readBudget(text)), { code: 'NOISY_BUDGET' });
    });
  }

  it('refuses to hold host times against ticks', () => {
    const runs = { left: sideOf(exits(32, [3])), right: sideOf(draw(8, 50, handler)) };
    assert.throws(() => judge(runs, readBudget('latency.p50.total <= baseline')), { code: 'MIXED_BUDGET' });
  });
});
