/** Budgets where something is missing: entries that failed without an exit, and times of a run that lost events. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readBudget } from '../../analyzer/budget.js';
import { judge } from '../../analyzer/budget-judge.js';
import type { DiffSide } from '../../analyzer/diff-side.js';
import { exits, repeat, sideOf } from './gates-helpers.js';
import type { EventDraft } from './profile-helpers.js';

describe('budgets on entries that failed', () => {
  const entry: EventDraft = { kind: 'entry', isa: 1, time_ns: 10 };
  const exit: EventDraft = { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 20 };
  /** A return to user space for another reason: that the recording has such shows that it would have told. */
  const returned: EventDraft = { kind: 'userspace_exit', code: 5, time_ns: 30 };
  const recording = (...events: EventDraft[]): DiffSide =>
    sideOf(events, { source: 'trace-cmd', cut: null, damaged: 0 });
  const outcomes = (right: DiffSide, left = right): string[] =>
    ['total == 0', 'total <= 1', 'L1.total == 0', 'L1.total <= 1', 'CPUID == 0'].map(
      (text) => judge({ left, right }, readBudget(`failed.${text}`)).outcome,
    );

  // kvm.h: KVM_EXIT_FAIL_ENTRY is 9, KVM_EXIT_HLT 5
  it('count one of which user space is told that it failed; its level and reason are not', () => {
    const run = (code: number): DiffSide =>
      recording(entry, exit, entry, { kind: 'userspace_exit', code, time_ns: 30 });
    assert.deepEqual(outcomes(run(9)), ['broken', 'kept', 'undecided', 'kept', 'kept']);
    assert.deepEqual(outcomes(run(5)), ['kept', 'kept', 'kept', 'kept', 'kept']);
    const baseline = readBudget('failed.total <= baseline');
    assert.equal(judge({ left: run(5), right: run(9) }, baseline).outcome, 'broken');
    assert.equal(judge({ left: run(9), right: run(9) }, baseline).outcome, 'kept');
  });

  // Intel SDM volume 3C, "VM-Instruction Error Numbers": 7 and 8 are of VM entry, 12 is VMREAD/VMWRITE from/to unsupported
  it('count a VMfail of our own machine where its error is one of an entry', () => {
    const run = (code: number): DiffSide => sideOf([...exits(10, [3]), { kind: 'vmfail', code, tick: 9_000_000 }]);
    for (const code of [7, 8]) assert.deepEqual(outcomes(run(code)), ['broken', 'kept', 'undecided', 'kept', 'kept']);
    assert.deepEqual(outcomes(run(12)), ['kept', 'kept', 'kept', 'kept', 'kept']);
  });

  // arch/x86/kvm/trace.h: kvm_nested_vmenter_failed, of a check that KVM makes before it enters
  it('count a nested entry that KVM refused', () => {
    const refused = recording(entry, exit, { kind: 'entry_failed', code: 0, time_ns: 25 }, entry, returned);
    assert.deepEqual(outcomes(refused), ['broken', 'kept', 'undecided', 'kept', 'kept']);
  });

  it('are broken by one though no exit was recorded, and undecided without one', () => {
    const none = recording(entry, { kind: 'userspace_exit', code: 9, time_ns: 30 });
    assert.equal(judge({ left: none, right: none }, readBudget('failed.total == 0')).outcome, 'broken');
    assert.equal(judge({ left: none, right: none }, readBudget('failed.total <= 1')).outcome, 'undecided');
    assert.equal(judge({ left: none, right: none }, readBudget('exits.total <= 1')).outcome, 'undecided');
  });

  /** Of `failed.total == 0`: what it comes to, and why. */
  const judged = (right: DiffSide, left = right, text = 'failed.total == 0') => {
    const { outcome, says } = judge({ left, right }, readBudget(text));
    return { outcome, says: says ?? '' };
  };

  it('are undecided where nothing recorded would have told of such an entry', () => {
    const silent = recording(entry, exit, entry);
    assert.equal(judged(silent).outcome, 'undecided');
    assert.match(judged(silent).says, /no kvm_userspace_exit .*unknown/);
    assert.deepEqual(outcomes(silent), ['undecided', 'undecided', 'undecided', 'undecided', 'kept']);
    assert.deepEqual(judged(recording(entry, exit, returned)), { outcome: 'kept', says: '' });
    assert.deepEqual(judged(sideOf(exits(10, [3]))), { outcome: 'kept', says: '' }); // our own machine records a VMfail
    const [baseline, failed] = ['failed.total <= baseline', { ...returned, code: 9 }] as const;
    assert.equal(judged(recording(entry, exit, entry, failed), silent, baseline).outcome, 'undecided');
    assert.equal(judged(recording(entry, exit, entry, returned), silent, baseline).outcome, 'kept'); // 0 of any number
  });

  it('are decided where the recording says that such events were recorded, though it has none', () => {
    const silent = ['kvm:kvm_userspace_exit', 'kvm:kvm_nested_vmenter_failed'];
    const run = (silentOnes: readonly string[], reason: number): DiffSide =>
      sideOf([entry, { ...exit, reason }, entry], { source: 'perf', cut: null, damaged: 0, silent: silentOnes });
    assert.equal(judged(run([], 10)).outcome, 'undecided');
    assert.deepEqual(judged(run(silent, 10)), { outcome: 'kept', says: '' });
    assert.equal(judged(run(silent.slice(0, 1), 20)).outcome, 'undecided'); // VMLAUNCH: of a guest with guests
    assert.equal(judged(run(silent, 20)).outcome, 'kept');
  });

  // Intel SDM volume 3C, "VM-Entry Failures During or After Loading Guest State": they exit, bit 31 of the reason set
  it('are broken by entries that did end in an exit, whatever else may have failed', () => {
    const failed: EventDraft = { kind: 'entry_failed', isa: 1, reason: 0x8000_0021, from_level: 1, time_ns: 20 };
    const run = recording(entry, failed);
    assert.equal(judged(run).outcome, 'broken');
    assert.equal(judged(run, run, 'failed.total >= 1').outcome, 'kept');
    assert.equal(judged(run, run, 'failed.total == 1').outcome, 'undecided');
  });

  // AMD64 APM volume 2, 15.5.1: VMRUN of an illegal state is an exit, #VMEXIT(INVALID)
  it('are decided of SVM alone, whose entries all end in an exit', () => {
    const svm = [entry, exit, entry].map((event) => ({
      ...event,
      isa: 2,
      reason: event.kind === 'exit' ? 0x72 : null,
    }));
    assert.deepEqual(judged(recording(...svm)), { outcome: 'kept', says: '' });
    assert.equal(judged(recording(...svm, exit)).outcome, 'undecided');
  });

  it('are undecided of a guest that enters guests where no event of those entries was recorded', () => {
    for (const reason of [20, 24]) {
      const launch: EventDraft = { ...exit, reason }; // Intel SDM volume 3D, appendix C: VMLAUNCH and VMRESUME
      const run = (...events: EventDraft[]): DiffSide => recording(entry, launch, ...events, entry, returned);
      assert.equal(judged(run()).outcome, 'undecided');
      assert.match(judged(run()).says, /no kvm_nested_vmenter /);
      assert.equal(judged(run({ kind: 'nested_entry', time_ns: 22 })).outcome, 'kept');
      assert.equal(judged(run({ kind: 'entry_failed', code: 7, time_ns: 22 })).outcome, 'broken');
    }
  });

  it('are undecided of a recording of Xen on VMX, which has no event of such an entry', () => {
    const xen = sideOf([entry, exit, entry], { source: 'xentrace', cut: null, damaged: 0 });
    assert.equal(judged(xen).outcome, 'undecided');
    assert.match(judged(xen).says, /Xen/);
  });
});

describe('budgets on times of runs that lost events', () => {
  const LOSSES = 3;
  const lost = (value: bigint | null, clock: 'tick' | 'time_ns'): EventDraft => ({
    kind: 'lost',
    value,
    [clock]: 900_000_000,
  });
  const SHARES = { p50: 0.5, p90: 0.9, max: 1 } as const;
  const holds = {
    '<=': (a: number, b: number) => a <= b,
    '<': (a: number, b: number) => a < b,
    '>=': (a: number, b: number) => a >= b,
    '>': (a: number, b: number) => a > b,
  };
  /** All that handlers may have been whose times are missing: of any number up to `most`, in any way. */
  const completions = (most: number): number[][] => {
    const more = most === 0 ? [] : completions(most - 1).flatMap((rest) => [1, 3, 5, 7, 99].map((t) => [...rest, t]));
    return [[], ...more];
  };
  const nearestRank = (times: readonly number[], share: number): number =>
    times.toSorted((a, b) => a - b)[Math.ceil(share * times.length) - 1] ?? Number.NaN;

  it('are decided where every way in which the missing ones may have been decides them alike', () => {
    for (const times of [[3], [3, 5], [3, 3, 3, 5], [3, 5, 5, 5, 5], [3, 3, 3, 3, 3, 3, 3, 7]]) {
      const run = sideOf([...exits(10, times), lost(BigInt(LOSSES), 'tick')]);
      const whole = sideOf(exits(10, [5, 5, 5]));
      for (const [statistic, share] of Object.entries(SHARES)) {
        const possible = completions(LOSSES).map((more) => nearestRank([...times, ...more], share));
        for (const [operator, hold] of Object.entries(holds)) {
          for (const limit of [2, 3, 4, 5, 7]) {
            const answers = new Set(possible.map((value) => hold(value, limit)));
            const expected = answers.size > 1 ? 'undecided' : answers.has(true) ? 'kept' : 'broken';
            const text = `latency.${statistic}.CPUID ${operator} ${limit}`;
            assert.equal(judge({ left: run, right: run }, readBudget(text)).outcome, expected, `${text} of ${times}`);
          }
          const against = new Set(possible.map((value) => hold(5, value)));
          const expected = against.size > 1 ? 'undecided' : against.has(true) ? 'kept' : 'broken';
          const text = `latency.${statistic}.CPUID ${operator} baseline`;
          assert.equal(judge({ left: run, right: whole }, readBudget(text)).outcome, expected, `${text} ${times}`);
        }
      }
    }
  });

  const outcome = (right: DiffSide, text: string, left = right): string =>
    judge({ left, right }, readBudget(text)).outcome;
  const host = (times: readonly number[], value: bigint | null): DiffSide =>
    sideOf([...exits(10, times, 'time_ns'), lost(value, 'time_ns')]);

  it('are undecided where so many were lost that they could be on either side of the limit', () => {
    const few = host(repeat(324, 14_100), 78_872n);
    for (const limit of ['15us', '1us', 'baseline'])
      assert.equal(outcome(few, `latency.p50.total <= ${limit}`), 'undecided');
    assert.match(judge({ left: few, right: few }, readBudget('latency.p50.total <= 15us')).says ?? '', /78,872 events/);
  });

  it('are decided by ranks where few were: half of 100 and of 120 are 5 us whatever 20 took', () => {
    const run = host([...repeat(80, 5000), ...repeat(20, 50_000)], 20n);
    assert.equal(outcome(run, 'latency.p50.CPUID <= 5us'), 'kept');
    assert.equal(outcome(run, 'latency.p50.CPUID <= 2us'), 'broken');
    assert.equal(
      outcome(host([...repeat(59, 5000), ...repeat(41, 50_000)], 20n), 'latency.p50.CPUID <= 5us'),
      'undecided',
    );
    assert.equal(outcome(run, 'latency.p50.CPUID <= baseline', host(repeat(100, 5000), 20n)), 'kept');
    assert.equal(outcome(run, 'latency.p50.CPUID <= baseline', host(repeat(100, 1000), 20n)), 'broken');
    assert.equal(outcome(run, 'latency.p50.CPUID <= baseline', host(repeat(100, 5000), 200n)), 'undecided');
  });

  it('are undecided where the number is unknown, of a mean, and of one level', () => {
    const unknown = host(repeat(100, 5000), null);
    const damaged = sideOf(exits(10, repeat(100, 5000), 'time_ns'), { source: 'trace-cmd', cut: null, damaged: 1 });
    for (const run of [unknown, damaged, host(repeat(100, 5000), 0n)])
      for (const limit of ['6us', '2us', 'baseline'])
        assert.equal(outcome(run, `latency.p50.CPUID <= ${limit}`), 'undecided');
    const one = host(repeat(100, 5000), 1n);
    assert.equal(outcome(one, 'latency.mean.CPUID <= baseline'), 'undecided');
    assert.equal(outcome(one, 'latency.mean.CPUID <= baseline', host(repeat(100, 1000), 1n)), 'undecided');
    assert.equal(outcome(one, 'latency.p50.CPUID <= 5us'), 'kept');
    assert.equal(outcome(one, 'latency.p50.L1.CPUID <= 5us'), 'undecided'); // what was lost may have told the level
  });

  it('count among those without a time the exits that were open at the gap', () => {
    const open: EventDraft = { kind: 'exit', isa: 1, reason: 10, rip: 1, from_level: 1, tick: 800_000_000 };
    const run = (...more: EventDraft[]): DiffSide => sideOf([...exits(10, [3, 3]), ...more, lost(1n, 'tick')]);
    assert.equal(outcome(run(), 'latency.p50.CPUID <= 3'), 'kept');
    assert.equal(outcome(run(open, { ...open, vcpu: 1 }), 'latency.p50.CPUID <= 3'), 'undecided');
  });

  it('are undecided of a reason of which nothing was recorded', () => {
    assert.equal(outcome(sideOf([...exits(10, [3]), lost(1n, 'tick')]), 'latency.p50.HLT <= 3'), 'undecided');
  });
});
