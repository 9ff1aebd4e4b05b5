/** Binary recordings: they must say what the text of the same recording says, and what other tools count in them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Event, type Imported, importBytes, reasons, sharedPath } from './import-helpers.js';

const importShared = (path: string): Imported => importBytes(readFileSync(path));

/** Columns that text and binary have in common to the last bit. */
const SAME = [
  'kind',
  'isa',
  'from_level',
  'to_level',
  'parent',
  'vmcs',
  'reason',
  'qualification',
  'info2',
  'intr_info',
  'rip',
  'gva',
  'gpa',
  'cr3',
  'old',
  'value',
  'size',
  'flags',
  'bytes',
] as const;

/** What differs in form only: names are looked up, a lane becomes its thread, nanoseconds the tools' microseconds. */
function comparable({ writer }: Imported, event: Event): { [column: string]: unknown } {
  const lane = JSON.parse(writer.dictionary('vcpu').get(BigInt(event.vcpu as number))?.says ?? '{}');
  const own = Object.fromEntries(SAME.map((name) => [name, event[name] ?? null]));
  const named = event.kind === 'other' && typeof event.code === 'number';
  return {
    ...own,
    tracepoint: writer.dictionary('event').get(BigInt(Number(event.tracepoint ?? -1)))?.name,
    error_code: event.error_code ?? null,
    code: named ? writer.dictionary('event').get(BigInt(event.code as number))?.name : (event.code ?? null),
    thread: lane.thread,
    task: lane.task,
    cpu: lane.cpu,
    hasText: event.text !== undefined,
  };
}

/** What libtraceevent's kvm plugin leaves out of the text, by kind of event. */
const UNPRINTED: { readonly [kind: string]: readonly string[] } = {
  exit: ['intr_info', 'error_code'],
  entry_failed: ['intr_info', 'error_code'],
  emulate: ['hasText'],
};

/** The text of the same recording that the recorder's own tools printed. */
const TWINS: readonly (readonly [string, string])[] = [
  ['kvm/svm/svm_basic.trace.dat', 'kvm/svm/svm_basic.report.txt'],
  ['kvm/svm/svm_2vcpu.trace.dat', 'kvm/svm/svm_2vcpu.report.txt'],
  ['kvm/svm/svm_nested.trace.dat', 'kvm/svm/svm_nested.report.txt'],
  ['kvm/vmx/vmx_basic.trace.dat', 'kvm/vmx/vmx_basic.report.txt'],
  ['kvm/vmx/vmx_nested.trace.dat', 'kvm/vmx/vmx_nested.report.txt'],
  ['kvm/svm/svm_basic_perf.perf.data', 'kvm/svm/svm_basic_perf.script.txt'],
  ['kvm/svm/svm_timer_perf.perf.data', 'kvm/svm/svm_timer_perf.script.txt'],
  ['kvm/vmx/vmx_basic_perf.perf.data', 'kvm/vmx/vmx_basic_perf.script.txt'],
];

function sameAsText(binary: Imported, text: Imported): void {
  assert.equal(binary.events.length, text.events.length);
  assert.equal(binary.result.stopped, null);
  assert.equal(binary.result.counts.damaged, 0);
  binary.events.forEach((event, i) => {
    const printed = text.events[i] as Event;
    const where = `event ${i}: ${JSON.stringify(printed, (_, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value))}`;
    const expected = comparable(text, printed);
    const actual = comparable(binary, event);
    for (const name of UNPRINTED[event.kind] ?? []) if (!expected[name]) actual[name] = expected[name];
    assert.deepEqual(actual, expected, where);
    const apart = Math.abs(Number(event.time_ns) - Number(printed.time_ns));
    assert.ok(apart < 1000, `${where}: ${apart} ns apart`);
  });
  for (const name of ['exits', 'entries', 'failedEntries', 'nestedExits', 'lost', 'lanes', 'frames'] as const)
    assert.equal(binary.result.counts[name], text.result.counts[name], name);
  assert.deepEqual(reasons(binary), reasons(text));
}

describe('binary recordings and their text', () => {
  for (const [binary, text] of TWINS) {
    const [path, printed] = [sharedPath(binary), sharedPath(text)];
    it(`have the same events: ${binary}`, {
      skip: (path === null || printed === null) && 'the shared collection of real data is not here',
    }, () => {
      if (path !== null && printed !== null) sameAsText(importShared(path), importShared(printed));
    });
  }
});

describe('failed entries in binary recordings', () => {
  const failed = sharedPath('kvm/vmx/vmx_failtrace_gdtr_base_noncanon.trace.dat');
  it('a failed entry has all bits of its reason', {
    skip: failed === null && 'the shared collection of real data is not here',
  }, () => {
    if (failed === null) return;
    const { events } = importShared(failed);
    assert.deepEqual(
      events.filter(({ kind }) => kind === 'entry_failed').map(({ reason, isa }) => ({ reason, isa })),
      [{ reason: 0x8000_0021, isa: 1 }],
    );
  });

  const refused = sharedPath('kvm/vmx/vmx_failtrace_inject_ud_errcode.trace.dat');
  it('a VMfail is an entry without an exit, and the user is told', {
    skip: refused === null && 'the shared collection of real data is not here',
  }, () => {
    if (refused === null) return;
    const { result } = importShared(refused);
    assert.deepEqual([result.counts.entries, result.counts.exits], [1, 0]);
    assert.deepEqual(
      result.notes.map(({ says }) => /VM entry.*event 7/.exec(says)?.[0] ?? says),
      ['VM entry failed without an exit, as KVM told user space (KVM_EXIT_FAIL_ENTRY; the first is event 7'],
    );
  });

  for (const name of ['svm/svm_nested_bad1', 'svm/svm_nested_bad3', 'vmx/vmx_nested_bad1', 'vmx/vmx_nested_bad3']) {
    const path = sharedPath(`kvm/${name}.trace.dat`);
    it(`KVM's refusal of an L1's entry is there: ${name}`, {
      skip: path === null && 'the shared collection of real data is not here',
    }, () => {
      if (path !== null) assert.equal(importShared(path).result.counts.failedEntries, 1);
    });
  }
});
