/** Sorting of durations, against the library's sort and, by its properties, without it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sortDurations } from '../../analyzer/profile/sort.js';

const LONG = { minLength: 1024, maxLength: 3000 } as const;
/** Values of every width, so that each number of digits comes. */
const widths = fc.nat(53).chain((bits) => fc.maxSafeNat().map((value) => value % 2 ** bits));

const sorted = (values: readonly number[]): Float64Array => {
  const array = Float64Array.from(values);
  sortDurations(array);
  return array;
};

describe('sorting of durations', () => {
  for (const [what, value] of [
    ['of up to 32 bits', fc.nat(0xffff_ffff)],
    ['that are few', fc.nat(20)],
    ['of 11 bits and of 12', fc.integer({ min: 2040, max: 2060 })],
    ['of any width', widths],
    ['that are not whole', fc.double({ min: 0, max: 1e6, noNaN: true })],
  ] as const) {
    it(`agrees with the library about values ${what}`, () => {
      fc.assert(
        fc.property(fc.array(value, LONG), (values) => {
          assert.deepEqual(sorted(values), Float64Array.from(values).sort());
        }),
        { numRuns: 40, seed: 7 },
      );
    });
  }

  it('sorts a part of an array and leaves the rest', () => {
    const all = Float64Array.from({ length: 5000 }, (_, i) => 5000 - i);
    sortDurations(all.subarray(1000, 4000));
    assert.deepEqual([all[0], all[999], all[4000], all[4999]], [5000, 4001, 1000, 1]);
    for (let i = 1000; i < 4000; i++) assert.equal(all[i], i + 1);
  });
});
