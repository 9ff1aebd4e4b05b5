/** The rank test and the sign test, against published examples and what permutations allow. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { rankTest, signTest, upperTail } from '../../analyzer/budget-rank.js';
import { generator } from './generator.js';

const ascending = (values: readonly number[]): Float64Array => Float64Array.from(values).sort();

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
