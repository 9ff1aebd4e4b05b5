/** Budgets: exact where runs are, by rank tests where they are samples, and no verdict where there are few. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readBudget } from '../../analyzer/budget.js';
import { judge } from '../../analyzer/budget-judge.js';
import type { DiffSide } from '../../analyzer/diff-side.js';
import { exits, repeat, sideOf } from './gates-helpers.js';
import { generator } from './generator.js';
import type { EventDraft } from './profile-helpers.js';

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

  it('keeps an upper limit of exits that never happened, which have no time to be equal to one or above it', () => {
    const outcomes = (limit: string): string[] =>
      ['<=', '<', '==', '>=', '>'].map(
        (operator) => judge(runs, readBudget(`latency.p50.MSR_READ ${operator} ${limit}`)).outcome,
      );
    for (const limit of ['5', 'baseline'])
      assert.deepEqual(outcomes(limit), ['kept', 'kept', 'undecided', 'undecided', 'undecided'], limit);
  });

  it('cannot say a latency against a baseline without such exits', () => {
    const none = { left: sideOf([]), right: runs.right };
    assert.equal(judge(none, readBudget('latency.p50.CPUID <= baseline')).outcome, 'undecided');
  });

  it('refuses a reason that no manual and neither run knows: its budget would hold for ever', () => {
    assert.throws(() => judge(runs, readBudget('exits.EPT_VIOLATON <= 0')), { code: 'UNKNOWN_REASON' });
  });

  it('says which reason may be meant, with the rest of the metric', () => {
    const svm = sideOf(
      exits(10, [3]).map((event) => ({ ...event, isa: 2, reason: event.kind === 'exit' ? 0x78 : null })),
    );
    for (const [typed, meant] of [
      ['exits.cpuid', 'did you mean exits.CPUID?'],
      ['exits.L1.Hlt', 'did you mean exits.L1.HLT?'],
      ['latency.p99.9.L2.ept_violaton', 'did you mean latency.p99.9.L2.EPT_VIOLATION?'],
      ['failed.totl', 'did you mean failed.total?'],
      ['ticks.Total', 'did you mean ticks.total?'],
      ['exits.EXTERNAL_INTERUPT', 'did you mean exits.EXTERNAL_INTERRUPT?'],
    ] as const)
      assert.throws(() => judge(runs, readBudget(`${typed} <= 1`)), { code: 'UNKNOWN_REASON', advice: meant }, typed);
    // MSR_READ and MSR_WRITE are of VMX, MSR is of SVM
    for (const [side, meant] of [
      [runs.right, 'MSR_READ'],
      [svm, 'MSR'],
    ] as const) {
      const asked = (): unknown => judge({ left: side, right: side }, readBudget('exits.msr_ == 0'));
      assert.throws(asked, { code: 'UNKNOWN_REASON', advice: `did you mean exits.${meant}?` });
    }
    // of the other architecture, where none of their own is near
    const eptOfSvm = (): unknown => judge({ left: svm, right: svm }, readBudget('exits.EPT_VIOLATON == 0'));
    assert.throws(eptOfSvm, { code: 'UNKNOWN_REASON', advice: 'did you mean exits.EPT_VIOLATION?' });
    const advice = 'take the name from trapline profile; in a budget, total means all reasons';
    assert.throws(() => judge(runs, readBudget('exits.0x == 0')), { code: 'UNKNOWN_REASON', advice });
  });

  // Intel SDM volume 3D, appendix C: 10 is CPUID, 48 EPT_VIOLATION, and 0x99 none; AMD64 APM volume 2, appendix C: 0x99
  // is a trap of CR9, and 0x999 none
  it('takes the number of a reason that has no name as the profile prints it, and no number of one that has', () => {
    const svm = sideOf(
      exits(10, [3]).map((event) => ({ ...event, isa: 2, reason: event.kind === 'exit' ? 0x72 : null })),
    );
    const unnamed = sideOf(exits(0x99, [3, 3]));
    const numbered = (text: string, right: DiffSide) => judge({ left: right, right }, readBudget(`exits.${text}`));
    assert.equal(numbered('0x99 == 0', runs.right).outcome, 'kept');
    assert.equal(numbered('0x99 == 0', unnamed).outcome, 'broken');
    assert.equal(numbered('0x99 == 2', unnamed).outcome, 'kept');
    assert.equal(numbered('0x999 == 0', svm).outcome, 'kept');
    for (const name of ['0xa', '0x30', '0x099', '0x', '0x100000099', '0x80000099', '0X99'])
      assert.throws(() => numbered(`${name} == 0`, runs.right), { code: 'UNKNOWN_REASON' }, name);
    for (const name of ['0x99', '0x72']) assert.throws(() => numbered(`${name} == 0`, svm), { code: 'UNKNOWN_REASON' });
  });

  it('says where a level is one that neither run has', () => {
    const says = (text: string): string | null => judge(runs, readBudget(text)).says;
    assert.match(says('exits.L7.CPUID == 0') ?? '', /neither run has an exit of L7/);
    assert.match(says('ticks.L2.total <= baseline') ?? '', /neither run has an exit of L2/);
    assert.equal(says('exits.L1.MSR_WRITE == 0'), null);
    assert.equal(says('exits.MSR_WRITE == 0'), null);
  });

  // Intel SDM volume 3D, appendix C, has MSR_WRITE, and AMD64 APM volume 2, appendix C, MSR; both have CPUID
  it('cannot say what the reason of one architecture is to a run of the other', () => {
    const svm = sideOf(
      exits(10, [3, 3]).map((event) => ({ ...event, isa: 2, reason: event.kind === 'exit' ? 0x72 : null })),
    );
    const outcomes = (pair: { left: DiffSide; right: DiffSide }, ...budgets: string[]): string[] =>
      budgets.map((text) => judge(pair, readBudget(text)).outcome);
    const [foreign, own, both] = ['exits.MSR_WRITE <= 0', 'exits.MSR <= 0', 'exits.CPUID <= 2'];
    const two = { left: svm, right: svm };
    assert.deepEqual(outcomes(two, foreign, own, both, 'latency.p50.HLT <= 3'), ['undecided', 'kept', 'kept', 'kept']);
    assert.deepEqual(outcomes(two, 'failed.EPT_VIOLATION == 0', 'ticks.MSR_READ >= 1'), ['undecided', 'undecided']);
    assert.match(judge(two, readBudget(foreign)).says ?? '', /MSR_WRITE is a reason of VMX, and .* of SVM/);
    const crossed = { left: svm, right: runs.right };
    assert.deepEqual(outcomes(crossed, 'exits.MSR_WRITE <= baseline', foreign, own), [
      'undecided',
      'kept',
      'undecided',
    ]);
    assert.deepEqual(outcomes({ left: svm, right: sideOf([]) }, foreign), ['kept']); // no exit says what it is of
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

  it('decides what every count from the counted one on decides alike, and nothing else', () => {
    const lost: EventDraft = { kind: 'lost', value: 7n, tick: 9_000_000 };
    const run = (count: number, whole: boolean): DiffSide =>
      sideOf(whole ? exits(10, repeat(count, 3)) : [...exits(10, repeat(count, 3)), lost]);
    const MOST = 24;
    const limits = {
      ...Object.fromEntries([0, 4, 5, 6, 5.5].map((n) => [`${n}`, () => n])),
      baseline: (n: number) => n,
      'baseline + 1': (n: number) => n + 1,
      'baseline - 1': (n: number) => n - 1,
      'baseline + 20%': (n: number) => n * 1.2,
      'baseline - 100%': () => 0,
      'baseline - 50%': (n: number) => n / 2,
    };
    const holds = {
      '<=': (a: number, b: number) => a <= b,
      '<': (a: number, b: number) => a < b,
      '==': (a: number, b: number) => a === b,
      '>=': (a: number, b: number) => a >= b,
      '>': (a: number, b: number) => a > b,
    };
    const possible = (count: number, whole: boolean): number[] =>
      Array.from({ length: whole ? 1 : MOST }, (_, more) => count + more);
    for (const [before, after] of [5, 6].flatMap((a) => [5, 6].map((b) => [a, b] as const))) {
      for (const [first, second] of [true, false].flatMap((a) => [true, false].map((b) => [a, b] as const))) {
        const pair = { left: run(before, first), right: run(after, second) };
        for (const [limit, of] of Object.entries(limits)) {
          for (const [operator, hold] of Object.entries(holds)) {
            const answers = new Set(
              possible(before, first).flatMap((left) => possible(after, second).map((right) => hold(right, of(left)))),
            );
            // between the bounds of a limit it may hit no count, which bounds do not tell
            if (operator === '==' && ['5.5', 'baseline + 20%'].includes(limit)) continue;
            const expected = answers.size > 1 ? 'undecided' : answers.has(true) ? 'kept' : 'broken';
            const text = `exits.CPUID ${operator} ${limit}`;
            const { outcome } = judge(pair, readBudget(text));
            assert.equal(outcome, expected, `${text}: ${before} ${first} against ${after} ${second}`);
          }
        }
      }
    }
  });

  it('takes no count of one level as a lower bound where events were lost: they may have told the levels apart', () => {
    const lossy = sideOf([...exits(10, repeat(5, 3), 'time_ns'), { kind: 'lost', time_ns: 9_000_000 }]);
    const outcome = (text: string): string => judge({ left: lossy, right: lossy }, readBudget(text)).outcome;
    assert.deepEqual(['exits.CPUID > 4', 'exits.CPUID <= 4'].map(outcome), ['kept', 'broken']);
    assert.deepEqual(['exits.L1.CPUID > 4', 'exits.L1.CPUID <= 4'].map(outcome), ['undecided', 'undecided']);
    assert.match(judge({ left: lossy, right: lossy }, readBudget('exits.L1.CPUID > 4')).says ?? '', /another level/);
  });

  it('so are those of a run whose recorder does not say how many it lost, or that was cut', () => {
    const five = exits(10, repeat(5, 3));
    const lossy = sideOf([...five, { kind: 'lost', tick: 9_000_000 }]);
    const cut = sideOf(five, { source: 'engine', cut: 'its recorder did not come to the end', damaged: 0 });
    for (const right of [lossy, cut]) {
      assert.equal(judge({ left: right, right }, readBudget('exits.CPUID <= 4')).outcome, 'broken');
      for (const text of ['exits.CPUID <= 5', 'exits.CPUID <= baseline', 'exits.CPUID == 5', 'ticks.CPUID <= 100'])
        assert.equal(judge({ left: right, right }, readBudget(text)).outcome, 'undecided', text);
    }
    const latency = readBudget('latency.max.CPUID <= 3');
    assert.equal(judge({ left: runs.left, right: cut }, latency).outcome, 'undecided');
    assert.equal(judge({ left: cut, right: sideOf(five) }, latency).outcome, 'kept'); // it asks for no baseline
  });

  it('a run of the machine without exits has none; of a recording without their events that is unknown', () => {
    const entries: EventDraft[] = [{ kind: 'entry', isa: 1, from_level: 0, tick: 1 }];
    const budget = readBudget('exits.total <= 0');
    const none = sideOf(entries);
    assert.equal(judge({ left: none, right: none }, budget).outcome, 'kept');
    const unknown = sideOf(entries, { source: 'trace-cmd', cut: null, damaged: 0 });
    const { outcome, value } = judge({ left: none, right: unknown }, budget);
    assert.deepEqual([outcome, value], ['undecided', null]);
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
