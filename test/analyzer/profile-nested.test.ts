/** What exits of nested guests cost, against the events of KVM that say the same, and against runs made by hand. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { breakdownOf } from '../../analyzer/profile/breakdown.js';
import { ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { type NestedProfile, NestedProfiler } from '../../analyzer/profile/nested.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixture, sharedPath } from '../recorder/import-helpers.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

function nestedOf(events: readonly EventDraft[]): NestedProfile | null {
  const profiler = new NestedProfiler();
  feedEvents(events, (chunk) => profiler.take(chunk));
  return profiler.finish(() => null);
}

const exit = (tick: number, level: number, reason: number): EventDraft => ({
  kind: 'exit',
  isa: 1,
  from_level: level,
  to_level: 0,
  reason,
  tick,
});
const entry = (tick: number, level: number): EventDraft => ({ kind: 'entry', from_level: 0, to_level: level, tick });
const [CPUID, VMREAD, VMRESUME, EPT] = [10, 23, 24, 48];

describe('nested profile', () => {
  it('counts the exits that serving one takes, and the time in L0', () => {
    const profile = nestedOf([
      entry(0, 2),
      exit(10, 2, CPUID),
      entry(13, 1), // reflected
      exit(20, 1, VMREAD),
      entry(22, 1),
      exit(30, 1, VMRESUME),
      entry(35, 2),
      exit(40, 2, EPT),
      entry(44, 2), // served by L0
    ]);
    assert.deepEqual([profile?.count, profile?.direct, profile?.reflected, profile?.amplification], [2, 1, 1, 1]);
    const [cpuid, ept] = profile?.rows ?? [];
    assert.deepEqual([cpuid?.reason, cpuid?.exits, cpuid?.times?.total, cpuid?.l0], ['CPUID', 2, 25, 3 + 2 + 5]);
    assert.deepEqual(cpuid?.causes, [
      { level: 1, reason: 'VMREAD', count: 1 },
      { level: 1, reason: 'VMRESUME', count: 1 },
    ]);
    assert.deepEqual([ept?.reason, ept?.exits, ept?.times?.total, ept?.l0, ept?.direct], ['EPT_VIOLATION', 0, 4, 4, 1]);
  });

  it('counts a nested entry that failed as an exit, and one that was refused as none', () => {
    const failed: EventDraft = { ...exit(10, 2, 0x8000_0021), kind: 'entry_failed' };
    const profile = nestedOf([exit(2, 1, VMRESUME), failed, entry(13, 1), exit(20, 1, VMREAD), entry(22, 1)]);
    const [row] = profile?.rows ?? [];
    assert.deepEqual([row?.reason, row?.failed, row?.count, row?.reflected], ['INVALID_STATE', true, 1, 1]);
    const refused: EventDraft = { kind: 'entry_failed', tracepoint: 0, from_level: 1, tick: 10 };
    assert.equal(nestedOf([exit(2, 1, VMRESUME), refused, entry(13, 1)]), null);
  });

  it('counts no exits of a level that never ran again, nor across lost events', () => {
    const left = [exit(10, 2, CPUID), entry(13, 1), exit(20, 1, VMREAD), entry(22, 1)];
    const profile = nestedOf(left);
    assert.deepEqual([profile?.count, profile?.reflected, profile?.unfinished, profile?.exits], [1, 1, 1, 0]);
    assert.equal(profile?.rows[0]?.times, null);
    const lost = nestedOf([...left, { kind: 'lost', value: 1 }, exit(30, 1, VMRESUME), entry(33, 2)]);
    assert.deepEqual([lost?.unfinished, lost?.exits], [1, 0]);
  });

  it('tells deeper levels apart: what L2 does for L3 is L1’s to serve', () => {
    const profile = nestedOf([
      exit(0, 3, CPUID),
      entry(1, 2),
      exit(2, 2, VMRESUME),
      entry(3, 1),
      exit(4, 1, VMRESUME),
      entry(5, 3),
    ]);
    const rows = profile?.rows.map(({ level, reason, exits, times }) => [level, reason, exits, times?.total ?? null]);
    assert.deepEqual(rows, [
      [3, 'CPUID', 2, 5],
      [2, 'VMRESUME', 0, null],
    ]);
  });

  it('keeps lanes apart, and says nothing where nothing is nested', () => {
    const on = (vcpu: number, event: EventDraft): EventDraft => ({ ...event, vcpu });
    const profile = nestedOf([
      on(0, exit(0, 2, CPUID)),
      on(1, exit(1, 1, VMREAD)),
      on(1, entry(2, 1)),
      on(0, entry(5, 2)),
    ]);
    assert.deepEqual([profile?.exits, profile?.direct], [0, 1]);
    assert.equal(nestedOf([exit(0, 1, CPUID), entry(1, 1)]), null);
  });
});

describe('nested recordings of KVM', () => {
  function read(bytes: Uint8Array): { profile: NestedProfile; handlers: Map<string, number> } {
    const profiler = new NestedProfiler();
    const builder = new ExitIndexBuilder();
    const writer = new StreamWriter((chunk) => {
      profiler.take(chunk);
      builder.take(chunk);
    });
    importTrace(memorySource(bytes), () => writer);
    const nameOf = (domain: string, code: bigint): string | null => writer.dictionary(domain).get(code)?.name ?? null;
    const profile = profiler.finish(nameOf) ?? assert.fail('nothing nested');
    const rows = breakdownOf(builder.finish(), ['level', 'handler'], { nameOf });
    return { profile, handlers: new Map(rows.map(({ labels, count }) => [labels.join(' '), count])) };
  }

  // KVM's own events: kvm_nested_vmexit for each exit of L2, kvm_nested_vmexit_inject for each that L1 gets
  it('have as many exits and reflections as KVM says', () => {
    const text = fixture('svm-nested.report.txt');
    const { profile, handlers } = read(Buffer.from(text));
    assert.equal(profile.count, text.match(/kvm_nested_vmexit:/g)?.length);
    assert.equal(profile.reflected, text.match(/kvm_nested_vmexit_inject:/g)?.length);
    assert.equal(handlers.get('L2 L1'), profile.reflected);
    assert.equal(handlers.get('L2 L0'), profile.direct);
  });

  const vmx = sharedPath('kvm/vmx/vmx_nested.trace.dat');
  it('cost what the hypervisor in L1 does for each: two VMWRITEs and the VMRESUME', {
    skip: vmx === null && 'the shared collection of real data is not here',
  }, () => {
    const { profile } = read(readFileSync(vmx ?? ''));
    assert.deepEqual([profile.count, profile.reflected, profile.direct], [23, 19, 4]);
    const cpuid = profile.rows.find(({ reason }) => reason === 'CPUID');
    assert.deepEqual(cpuid?.causes, [
      { level: 1, reason: 'VMWRITE', count: 20 },
      { level: 1, reason: 'VMRESUME', count: 10 },
    ]);
    assert.equal(cpuid?.amplification, 3);
  });
});
