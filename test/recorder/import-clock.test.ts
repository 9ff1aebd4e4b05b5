/** Times of trace.dat: what trace-cmd computes with 128 bits must come out of halves of 32. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Clock } from '../../recorder/import/binary/clock.js';

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const offset = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
const tsc = fc.record({
  multiplier: fc.bigInt({ min: 1n, max: (1n << 32n) - 1n }),
  shift: fc.bigInt({ min: 0n, max: 63n }),
});

const timeOf = (clock: Clock, stamp: bigint): bigint => {
  const { timeLow, timeHigh } = clock.at(Number(stamp & 0xffff_ffffn), Number(stamp >> 32n));
  return (BigInt(timeHigh) << 32n) | BigInt(timeLow);
};

it('a stamp becomes (stamp * multiplier >> shift) + offset, in 64 bits', () => {
  fc.assert(
    fc.property(u64, offset, fc.option(tsc), (stamp, by, scale) => {
      const expected = (scale === null ? stamp : (stamp * scale.multiplier) >> scale.shift) + by;
      assert.equal(timeOf(new Clock(scale, by, 'x86-tsc'), stamp), BigInt.asUintN(64, expected));
    }),
    { numRuns: 2000 },
  );
});

it('a clock that counts no nanoseconds has time only where the file says how to turn it into them', () => {
  assert.equal(new Clock(null, 0n, 'x86-tsc').hasTime, false);
  assert.equal(new Clock({ multiplier: 1n, shift: 0n }, 0n, 'x86-tsc').hasTime, true);
  assert.equal(new Clock(null, 0n, 'local').hasTime, true);
});
