/** The grammar of budgets: what is read, and what is refused with a place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BUDGET_ERRORS, type BudgetError, readBudget, readBudgets } from '../../analyzer/budget.js';

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
    'latency.p99.CPUID <= baseline - 200%',
    'exits.total >= baseline - 100.1%',
  ];
  for (const text of refused) {
    it(`refuses "${text}"`, () => {
      assert.throws(() => readBudget(text), { code: 'BAD_BUDGET' });
    });
  }

  it('reads a limit of nothing at the least: all of the baseline less, and any part more', () => {
    const amounts = ['baseline - 100%', 'baseline+250%'].map((limit) => readBudget(`exits.total <= ${limit}`).amount);
    assert.deepEqual(amounts, [-100, 250]);
  });

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

  for (const [text, meant] of [
    ['exitz.total <= 3', 'exits.total <= 3'],
    ['exit.L1.CPUID==baseline', 'exits.L1.CPUID == baseline'],
    ['Exits.l2.CPUID < 3', 'exits.L2.CPUID < 3'],
    ['latency.P99.HLT <= 20us', 'latency.p99.HLT <= 20us'],
    ['latncy.P99.9.L1.HLT <= 20us', 'latency.p99.9.L1.HLT <= 20us'],
    ['latency.meen.HLT <= baseline', 'latency.mean.HLT <= baseline'],
    ['exits.total <= basline', 'exits.total <= baseline'],
    ['exits.total <= Baseline + 5%', 'exits.total <= baseline + 5%'],
    ['exits.total =< 3', 'exits.total <= 3'],
    ['exits.total=>3', 'exits.total >= 3'],
    ['exits.total = basline', 'exits.total == baseline'],
  ] as const)
    it(`says of "${text}" what may be meant`, () => {
      const advice = `did you mean ${meant}?`;
      assert.throws(() => readBudget(text), { code: 'BAD_BUDGET', advice });
      assert.throws(() => readBudgets(`\n${text}\n`, 'f'), { code: 'BAD_BUDGET', advice });
      assert.equal(readBudget(meant).text, meant);
    });

  it('says nothing of what is near to none, or would be none all the same', () => {
    const { advice } = BUDGET_ERRORS.BAD_BUDGET;
    // no percentile is another one's slip
    for (const text of [
      'fast',
      'latency.p98.HLT <= 3',
      'latency.HLT <= 3',
      'exitz.total <= -1',
      'exits.total != 3',
      'x <= y',
    ])
      assert.throws(() => readBudget(text), { code: 'BAD_BUDGET', advice }, text);
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
