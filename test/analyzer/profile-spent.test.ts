/** How much of its time a vCPU is outside its guest, against reports of trace-cmd added up line by line. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Profile, Profiler } from '../../analyzer/profile/profile.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixture, sharedPath } from '../recorder/import-helpers.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

function profileText(text: string): Profile {
  const profiler = new Profiler();
  const writer = new StreamWriter((chunk) => profiler.take(chunk));
  importTrace(memorySource(Buffer.from(text)), () => writer);
  return profiler.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
}

/** Lanes 0 and 1 are of VM 7, 2 and 3 of VM 9; of others the VM is not known. */
const saysOf = (_: string, lane: bigint): string | null => (lane < 4n ? `{"vm":${lane < 2n ? 7 : 9}}` : null);

function profileEvents(events: readonly EventDraft[]): Profile {
  const profiler = new Profiler({ saysOf });
  feedEvents(events, (chunk) => profiler.take(chunk));
  return profiler.finish(() => null);
}

/** Nanoseconds that each thread of a report is in its guest and out of it: a thread is where its last line left it. */
function addedUp(report: string): (readonly [guest: number, outside: number])[] {
  const threads = new Map<string, { guest: bigint; outside: bigint; at: bigint; inside: boolean }>();
  for (const match of report.matchAll(/^ *\S+-(\d+) .* (\d+)\.(\d+): kvm_(entry|exit): /gm)) {
    const [, thread = '', seconds = '', part = '', kind = ''] = match;
    const at = BigInt(seconds + part.padEnd(9, '0'));
    const last = threads.get(thread) ?? { guest: 0n, outside: 0n, at, inside: false };
    const passed = at - last.at;
    const guest = last.guest + (last.inside && kind === 'exit' ? passed : 0n);
    const outside = last.outside + (!last.inside && kind === 'entry' ? passed : 0n);
    threads.set(thread, { guest, outside, at, inside: kind === 'entry' });
  }
  return [...threads.values()].map(({ guest, outside }) => [Number(guest), Number(outside)] as const);
}

const sorted = (pairs: readonly (readonly [number, number])[]): (readonly [number, number])[] =>
  [...pairs].sort((a, b) => b[1] - a[1]);

function assertAddsUp(report: string): void {
  const { lanes, guest, outside, handled } = profileText(report);
  const expected = sorted(addedUp(report));
  assert.ok(expected.some(([inside, out]) => inside > 0 && out > 0));
  assert.deepEqual(sorted(lanes.map((lane) => [lane.guest, lane.outside])), expected);
  assert.deepEqual(
    [guest, outside, handled],
    [0, 1, 1].map((part) => expected.reduce((sum, pair) => sum + (pair[part] ?? 0), 0)),
  );
}

describe('time outside the guest', () => {
  for (const name of ['svm-two-vcpus', 'svm-nested', 'vmx-basic']) {
    it(`is that of the lines of ${name}`, () => assertAddsUp(fixture(`${name}.report.txt`)));
  }

  for (const name of ['svm/svm_2vcpu', 'svm/svm_basic', 'svm/svm_nested', 'vmx/vmx_basic', 'vmx/vmx_nested']) {
    const path = sharedPath(`kvm/${name}.report.txt`);
    it(
      `is that of the lines of the whole of ${name}`,
      {
        skip: path === null && 'the shared collection of real data is not here',
      },
      () => assertAddsUp(readFileSync(path ?? '', 'utf8')),
    );
  }

  it('leaves out what is before the first entry and after the last exit, where a guest is set up and torn down', () => {
    const events = (start: number, end: number): EventDraft[] => [
      { kind: 'msr', time_ns: start },
      { kind: 'entry', time_ns: 1000 },
      { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 1600 },
      { kind: 'entry', time_ns: 2000 },
      { kind: 'exit', isa: 1, from_level: 1, reason: 12, time_ns: 2010 },
      { kind: 'msr', time_ns: end },
    ];
    for (const [start, end] of [
      [1000, 2010],
      [0, 1_000_000],
    ] as const) {
      const { span, guest, outside } = profileEvents(events(start, end));
      assert.deepEqual({ span, guest, outside }, { span: end - start, guest: 610, outside: 400 });
    }
  });

  it('leaves out what is beside lost events, and entries that failed: their guest did not run', () => {
    const answer = profileEvents([
      { kind: 'entry', time_ns: 0 },
      { kind: 'lost', value: 7 },
      { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 100 },
      { kind: 'entry', time_ns: 101 },
      { kind: 'entry_failed', isa: 1, from_level: 1, reason: 0x8000_0021, time_ns: 111 },
      { kind: 'entry', time_ns: 131 },
    ]);
    assert.deepEqual([answer.span, answer.guest, answer.outside], [131, 0, 21]);
  });

  it('has a span from the earliest to the latest event where the times of a thread run backwards', () => {
    const answer = profileEvents([
      { kind: 'entry', time_ns: 500 },
      { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 430 },
      { kind: 'entry', time_ns: 460 },
      { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 400 },
    ]);
    assert.deepEqual([answer.span, answer.guest, answer.outside], [100, 0, 30]);
  });

  it('is no matter of threads that never enter a guest', () => {
    const answer = profileEvents([
      { kind: 'msr', vcpu: 1, time_ns: 0 },
      { kind: 'entry', vcpu: 0, time_ns: 10 },
      { kind: 'exit', vcpu: 0, isa: 1, from_level: 1, reason: 10, time_ns: 30 },
      { kind: 'msr', vcpu: 1, time_ns: 1_000_000 },
    ]);
    assert.deepEqual([answer.span, answer.guest, answer.outside], [20, 20, 0]);
  });

  // kvm.h: KVM_EXIT_FAIL_ENTRY is 9, KVM_EXIT_HLT 5
  it('has no part in an entry of which user space is told that it failed, which is counted', () => {
    const answer = (code: number): Profile =>
      profileEvents([
        { kind: 'entry', time_ns: 10 },
        { kind: 'userspace_exit', code, time_ns: 20 },
        { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 30 },
        { kind: 'userspace_exit', code, time_ns: 35 },
        { kind: 'entry', time_ns: 40 },
      ]);
    const [failed, served] = [answer(9), answer(5)];
    assert.deepEqual([failed.failedEarly, failed.guest, failed.outside], [1, 0, 10]);
    assert.deepEqual([served.failedEarly, served.guest, served.outside], [0, 20, 10]);
  });

  // Intel SDM volume 3C, "VM-Entry Failures During or After Loading Guest State"; KVM prints kvm_entry before it
  it('counts an entry that failed once, with an entry before it as KVM records it or without as our own machine does', () => {
    const failed = { kind: 'entry_failed', isa: 1, from_level: 1, reason: 0x8000_0021 } as const;
    const exit = { kind: 'exit', isa: 1, from_level: 1, reason: 10 } as const;
    for (const before of [[], [{ kind: 'entry' }]] as const) {
      const events: EventDraft[] = [{ kind: 'entry' }, exit, ...before, failed, { kind: 'entry' }, exit];
      const {
        entries,
        exits,
        failed: count,
        failedEarly,
      } = profileEvents(events.map((event, i) => ({ ...event, time_ns: 10 * i })));
      assert.deepEqual([entries, exits, count, failedEarly], [3, 3, 1, 0]);
    }
  });

  // Intel SDM volume 3C, "VM-Instruction Error Numbers": 5 VMRESUME with non-launched VMCS; 7, 8 and 26 VM entry with ...
  it('goes on behind a VMfail of our own machine, which is an entry that was tried where its error says so', () => {
    const answer = (code: number): Profile =>
      profileEvents([
        { kind: 'entry', time_ns: 0 },
        { kind: 'exit', isa: 1, from_level: 1, reason: 10, time_ns: 30 },
        { kind: 'vmfail', code, time_ns: 35 },
        { kind: 'entry', time_ns: 40 },
      ]);
    for (const [code, tried] of [
      [5, 0],
      [7, 1],
      [8, 1],
      [26, 1],
    ] as const) {
      const { entries, failedEarly, guest, outside } = answer(code);
      assert.deepEqual([entries, failedEarly, guest, outside], [2 + tried, tried, 30, 10], `error ${code}`);
    }
  });

  it('is told by level, of what ran until the exit and of what passed before anything ran again, and by VM', () => {
    const vmx = { kind: 'exit', isa: 1, reason: 10 } as const;
    const { vms, levels, span, guest, outside } = profileEvents([
      { kind: 'entry', time_ns: 0, vcpu: 0 },
      { ...vmx, from_level: 1, vcpu: 0, time_ns: 100 },
      { kind: 'entry', to_level: 2, vcpu: 0, time_ns: 110 },
      { ...vmx, from_level: 2, vcpu: 0, time_ns: 310 },
      { kind: 'entry', to_level: 1, vcpu: 0, time_ns: 340 }, // handed on to L1
      { ...vmx, from_level: 1, vcpu: 0, time_ns: 345 },
      { ...vmx, from_level: 2, vcpu: 0, time_ns: 400 }, // without an entry: neither what passed before it nor its guest
      { kind: 'entry', to_level: 2, vcpu: 0, time_ns: 407 },
      { kind: 'lost', value: 3, time_ns: 500 },
      { ...vmx, from_level: 2, vcpu: 0, time_ns: 600 },
      { ...vmx, vcpu: 2, time_ns: 1000 },
      { kind: 'entry', vcpu: 2, time_ns: 1001 },
      { ...vmx, from_level: 9, vcpu: 2, time_ns: 1006 },
      { kind: 'entry', vcpu: 2, time_ns: 1008 },
      { kind: 'entry', vcpu: 4, time_ns: 0 },
      { ...vmx, reason: 12, from_level: 1, vcpu: 4, time_ns: 17 },
      { kind: 'entry', vcpu: 4, time_ns: 47 },
    ]);
    const handled = (outside: number): { readonly outside: number; readonly handled: number } => ({
      outside,
      handled: outside,
    });
    assert.deepEqual(levels, [
      { level: 1, exits: 3, guest: 122, ...handled(40), halted: 30 },
      { level: 2, exits: 3, guest: 200, ...handled(37), halted: 0 },
      { level: 9, exits: 1, guest: 5, ...handled(2), halted: 0 },
      { level: null, exits: 1, guest: 0, ...handled(1), halted: 0 },
    ]);
    assert.deepEqual(vms, [
      { vm: 7, exits: 5, span: 600, guest: 305, ...handled(47), halted: 0 },
      { vm: null, exits: 1, span: 47, guest: 17, ...handled(30), halted: 30 },
      { vm: 9, exits: 2, span: 8, guest: 5, ...handled(3), halted: 0 },
    ]);
    assert.deepEqual([span, guest, outside], [655, 327, 80]);
  });

  it('and the time in it are never more than the vCPU was seen', () => {
    const event = fc.record({
      kind: fc.constantFrom('exit', 'entry', 'exit', 'entry', 'msr', 'lost', 'entry_failed'),
      vcpu: fc.nat(5),
      level: fc.constantFrom(null, 0, 1, 2, 3, 7, 254),
      step: fc.nat(10_000),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), fc.constantFrom('tick', 'time_ns'), (drafts, clock) => {
        let now = 0;
        const events = drafts.map(({ kind, vcpu, level, step }): EventDraft => {
          now += step;
          return { kind: kind as EventDraft['kind'], vcpu, isa: 1, reason: 10, from_level: level, [clock]: now };
        });
        const { lanes, levels, vms, exits, handled, guest, outside, span } = profileEvents(events);
        assert.equal(outside, handled);
        for (const parts of [lanes, levels, vms])
          for (const [name, all] of Object.entries({ exits, handled, guest, outside } as const))
            assert.equal(
              parts.reduce((sum, part) => sum + part[name as 'exits' | 'handled' | 'guest' | 'outside'], 0),
              all,
            );
        assert.equal(
          vms.reduce((sum, vm) => sum + vm.span, 0),
          span,
        );
        for (const level of levels) assert.equal(level.outside, level.handled);
        for (const lane of lanes) assert.ok(lane.guest + lane.outside <= lane.span);
      }),
    );
  });
});
