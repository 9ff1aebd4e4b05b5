/** Alignment against a reference: the longest common subsequence by dynamic programming. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { align, commonSymbols, EXACT } from '../../analyzer/diff-align.js';

/** Length of the longest common subsequence: Wagner and Fischer's table. */
function lcs(a: readonly number[], b: readonly number[]): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const symbol of a) {
    const next = [0];
    for (let j = 1; j <= b.length; j++) {
      next.push(symbol === b[j - 1] ? (row[j - 1] ?? 0) + 1 : Math.max(row[j] ?? 0, next[j - 1] ?? 0));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function check(a: readonly number[], b: readonly number[]) {
  const result = align(Uint32Array.from(a), Uint32Array.from(b));
  let last = -1;
  let matched = 0;
  result.partner.forEach((j, i) => {
    if (j < 0) return;
    assert.ok(j > last, 'partners ascend');
    assert.equal(a[i], b[j], 'partners are equal');
    last = j;
    matched += 1;
  });
  assert.equal(matched, result.matched);
  return result;
}

const few = fc.array(fc.nat(3), { maxLength: 60 });
const many = fc.array(fc.nat(1000), { maxLength: 60 });

describe('alignment', () => {
  for (const [name, sequence] of [
    ['few symbols', few],
    ['many symbols', many],
  ] as const) {
    it(`is as long as the longest common subsequence: ${name}`, () => {
      fc.assert(
        fc.property(sequence, sequence, (a, b) => {
          const { matched, exact } = check(a, b);
          assert.equal(exact, true);
          assert.equal(matched, lcs(a, b));
        }),
        { numRuns: 500 },
      );
    });
  }

  it('finds nothing between a run and itself', () => {
    fc.assert(
      fc.property(many, (a) => {
        assert.equal(check(a, a).matched, a.length);
      }),
    );
  });

  it('finds what was inserted, and nothing else', () => {
    const inserts = fc.array(fc.tuple(fc.nat(), fc.nat(9)), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(fc.nat(9), { maxLength: 200 }), inserts, (a, extra) => {
        const b = [...a];
        for (const [at, symbol] of extra) b.splice(at % (b.length + 1), 0, symbol);
        const { matched, partner } = check(a, b);
        assert.equal(matched, a.length);
        const used = new Set(partner);
        const left = b.filter((_, j) => !used.has(j)).sort();
        assert.deepEqual(left, extra.map(([, symbol]) => symbol).sort());
      }),
    );
  });

  const periodic = (length: number): number[] => Array.from({ length }, (_, i) => (i * i) % 251);

  it('finds a block that is longer than any shortest alignment is looked for', () => {
    const a = periodic(60_000);
    const block = Array.from({ length: 3 * EXACT }, (_, i) => 1000 + (i % 17));
    const { matched, exact } = check(a, [...a.slice(0, 20_000), ...block, ...a.slice(20_000)]);
    assert.equal(exact, false);
    assert.equal(matched, a.length);
    assert.equal(check([...a.slice(0, 20_000), ...block, ...a.slice(20_000)], a).matched, a.length);
  });

  it('stays near the shortest where differences are many and spread', () => {
    const a = periodic(300_000);
    const b = a.map((symbol, i) => (i % 50 === 0 ? 5000 + (i % 7) : symbol));
    const { matched, exact } = check(a, b);
    assert.equal(exact, false);
    assert.ok(matched > 0.979 * a.length, `${matched} of ${0.98 * a.length}`);
  });

  it('ends in bounded time where nothing agrees but by chance', () => {
    let state = 1;
    const noise = (): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 16) & 15;
    };
    const a = Array.from({ length: 60_000 }, noise);
    const b = Array.from({ length: 60_000 }, noise);
    const start = process.cpuUsage();
    check(a, b);
    assert.ok(process.cpuUsage(start).user < 20_000_000);
  });

  it('bounds what two sequences have in common', () => {
    fc.assert(
      fc.property(few, few, (a, b) => {
        const common = commonSymbols(Uint32Array.from(a), Uint32Array.from(b), 4);
        assert.ok(common >= lcs(a, b));
        assert.ok(common <= Math.min(a.length, b.length));
      }),
    );
  });
});
