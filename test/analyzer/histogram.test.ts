/** The mergeable histogram against exact statistics of the same values. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bucketOf, bucketRange, Histogram, RELATIVE_ERROR } from '../../analyzer/histogram.js';
import { percentile } from '../../analyzer/profile/stats.js';

const value = fc.oneof(
  fc.nat(300),
  fc.nat(10_000_000),
  fc.maxSafeNat(),
  fc.nat(52).chain((bit) => fc.constantFrom(2 ** bit - 1, 2 ** bit, 2 ** bit + 1)),
);
const values = fc.array(value, { maxLength: 300 });

function histogramOf(numbers: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const number of numbers) histogram.record(number);
  return histogram;
}

const close = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));

describe('histogram', () => {
  it('has every value in the bucket that is its own', () => {
    fc.assert(
      fc.property(value, (number) => {
        const { from, width } = bucketRange(bucketOf(number));
        assert.ok(from <= number && number < from + width);
        assert.ok((width - 1) / 2 <= from * RELATIVE_ERROR);
        assert.equal(bucketOf(from), bucketOf(number));
        assert.equal(bucketRange(bucketOf(number) + 1).from, from + width);
      }),
    );
  });

  it('tells percentiles within its error, and the rest exactly', () => {
    fc.assert(
      fc.property(values, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 0.999, 1), (numbers, share) => {
        const histogram = histogramOf(numbers);
        const ascending = Float64Array.from(numbers).sort();
        const exact = percentile(ascending, share);
        assert.ok(Math.abs(histogram.percentile(share) - exact) <= exact * RELATIVE_ERROR);
        assert.equal(histogram.count, numbers.length);
        assert.equal(histogram.min, ascending[0] ?? 0);
        assert.equal(histogram.max, ascending.at(-1) ?? 0);
        assert.ok(
          close(
            histogram.sum,
            numbers.reduce((all, number) => all + number, 0),
          ),
        );
      }),
    );
  });

  it('merges to what all values together give, in any order and grouping', () => {
    fc.assert(
      fc.property(values, values, values, (a, b, c) => {
        const whole = histogramOf([...a, ...b, ...c]);
        const [left, right] = [histogramOf(a), histogramOf(c)];
        left.merge(histogramOf(b));
        left.merge(histogramOf(c));
        right.merge(histogramOf(b));
        right.merge(histogramOf(a));
        for (const merged of [left, right]) {
          assert.deepEqual(merged.buckets(), whole.buckets());
          assert.deepEqual([merged.count, merged.min, merged.max], [whole.count, whole.min, whole.max]);
          assert.ok(close(merged.mean, whole.mean));
          assert.ok(close(merged.relativeError, whole.relativeError));
        }
      }),
    );
  });

  it('comes back from its data', () => {
    fc.assert(
      fc.property(values, (numbers) => {
        const histogram = histogramOf(numbers);
        const back = Histogram.fromData(JSON.parse(JSON.stringify(histogram.toData())));
        assert.deepEqual(back.toData(), histogram.toData());
      }),
    );
    const data = histogramOf([1, 2, 3]).toData();
    assert.throws(() => Histogram.fromData({ ...data, count: 4 }), RangeError);
    assert.throws(() => Histogram.fromData({ ...data, buckets: [[1e9, 3]] }), RangeError);
    assert.throws(() => Histogram.fromData({ ...data, buckets: [[-1, 3]] }), RangeError);
  });

  it('counts in octaves, without gaps', () => {
    assert.deepEqual(histogramOf([]).octaves(), []);
    assert.deepEqual(histogramOf([0, 1, 2, 3, 9, 300]).octaves(), [
      { from: 0, to: 0, count: 1 },
      { from: 1, to: 1, count: 1 },
      { from: 2, to: 3, count: 2 },
      { from: 4, to: 7, count: 0 },
      { from: 8, to: 15, count: 1 },
      ...[16, 32, 64, 128].map((from) => ({ from, to: 2 * from - 1, count: 0 })),
      { from: 256, to: 511, count: 1 },
    ]);
  });

  it('counts in parts of octaves all values, each once', () => {
    fc.assert(
      fc.property(values, fc.constantFrom(1, 2, 4, 8, 128), (numbers, parts) => {
        const buckets = histogramOf(numbers.map((number) => number % 2 ** 20)).octaves(parts);
        buckets.forEach(({ from, to, count }, i) => {
          assert.equal(count, numbers.filter((number) => number % 2 ** 20 >= from && number % 2 ** 20 <= to).length);
          assert.equal(from, i === 0 ? from : (buckets[i - 1]?.to ?? 0) + 1);
        });
        assert.equal(
          buckets.reduce((sum, { count }) => sum + count, 0),
          numbers.length,
        );
      }),
    );
    assert.deepEqual(histogramOf([56, 64]).octaves(4), [
      { from: 56, to: 63, count: 1 },
      { from: 64, to: 79, count: 1 },
    ]);
  });

  it('takes what is no duration as the nearest one', () => {
    const histogram = histogramOf([-5, Number.NaN, 3.9, Number.POSITIVE_INFINITY]);
    assert.deepEqual([histogram.count, histogram.min, histogram.max], [4, 0, Number.MAX_SAFE_INTEGER]);
    histogram.record(7, 0);
    histogram.record(7, -1);
    assert.equal(histogram.count, 4);
  });
});
