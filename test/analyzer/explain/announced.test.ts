/** Errors that stand above a dump: those that Xen prints before its own, and those of others, which say nothing of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { broken, explained, fixture, ids, only } from './helpers.js';

/** The lines of a dump as they were printed, without their times. */
const bare = (name: string): string[] =>
  fixture(name)
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\[ *\d+\.\d+\] /, ''));

/** The dump that the fixture of an injection is, with another exit reason, which a VMfail leaves there. */
const stale = bare('vmx-injection').map((line) => line.replace(/reason=[0-9a-f]{8}/, 'reason=00000030'));
const xen = stale.map((line) => `(XEN) ${line}`);

// xen/arch/x86/hvm/vmx/vmcs.c, vmx_vmentry_failure: gprintk, which puts the vCPU in front of every line ("%pv " fmt).
describe('the error that Xen prints before its dump', () => {
  for (const [head, error] of [
    ['(XEN) d2v0 VMLAUNCH error: 0x7', 7],
    ['(XEN) d12v11 VMRESUME error: 0x8', 8],
    ['(XEN) [2026-07-24 10:00:00] d1v0 VMLAUNCH error: 0x7', 7],
    ['(XEN) vmcs.c:1834:d1v0 VMRESUME error: 0x7', 7],
    // as it is to be: x86/vmx, with VMfailInvalid told from VMfailValid
    ['(XEN) d1v0 VMRESUME Failure, VMCS valid\n(XEN) d1v0   Instruction Error 7, Invalid control state', 7],
  ] as const)
    it(head, () => {
      assert.equal(only(head).outcome.error, error);
      const report = only([head, ...xen].join('\n'));
      assert.deepEqual([report.format, report.outcome.kind, report.outcome.error], ['xen-vmcs', 'vmfail', error]);
      assert.notEqual(report.verdict, 'valid');
    });
  it('names what the state breaks', () => {
    const report = only(['(XEN) d2v0 VMLAUNCH error: 0x7', ...xen].join('\n'));
    assert.deepEqual(ids(report.suspects), ['controls.injection.error_code']);
    assert.ok(report.traps.some((trap) => trap.startsWith('VMfail does not write the exit reason')));
  });

  // Until 4.6, vm_launch_fail and vm_resume_fail with %lx; tboot, txt/vmcs.c, the same.
  for (const [line, error] of [
    ['(XEN) <vm_launch_fail> error code 7', 7],
    ['(XEN) <vm_resume_fail> error code 1a', 26],
    ['TBOOT: vmlaunch failed for cpu 3, error code 10', 16],
  ] as const)
    it(`hexadecimal without a sign of it: ${line}`, () => assert.equal(only(line).outcome.error, error));

  // vmx_failed_vmentry until 4.7: %ld of the qualification, which counts from 1.
  it('failed entries as old versions word them', () => {
    const { outcome } = only('(XEN) Failed vm entry (exit reason 0x80000022) caused by MSR entry 12 loading.');
    assert.deepEqual([outcome.kind, outcome.qualification], ['msr-load', 12n]);
    const check = only('(XEN) Failed vm entry (exit reason 0x80000029) caused by machine check.');
    assert.deepEqual([check.outcome.kind, check.outcome.reason], ['machine-check', 0x8000_0029n]);
  });
});

describe('an error above a dump that is not of it', () => {
  /** Kinds of what is found, the error first. */
  const kinds = (...lines: readonly string[]): string[] =>
    explained(lines.join('\n')).dumps.map(({ outcome }) => outcome.kind);

  it('of another program than Xen: KVM prints none before its dump', () => {
    assert.deepEqual(kinds('vmlaunch failed with error 8', ...stale), ['vmfail', 'exit']);
    assert.deepEqual(kinds('vmlaunch failed with error 8', ...xen), ['vmfail', 'exit']);
  });
  it('above a dump that says itself how the entry failed', () => {
    const lines = ['vmlaunch failed with error 8', fixture('vmx-two-faults').trimEnd()];
    const [report, dump] = explained(lines.join('\n')).dumps;
    assert.deepEqual([report?.outcome.error, dump?.outcome.kind], [8, 'guest-state']);
    assert.deepEqual(dump && broken(dump), ['guest.gdtr.base', 'guest.tr.s']);
    const failed = bare('vmx-two-faults').map((line) => `(XEN) ${line}`);
    assert.deepEqual(kinds('(XEN) d1v0 VMRESUME error: 0x7', ...failed), ['vmfail', 'guest-state']);
  });
  it('of another moment', () => {
    const at = (time: string): string[] => xen.map((line) => line.replace('(XEN)', `(XEN) [${time}]`));
    const head = '(XEN) [2026-07-24 10:00:00] d1v0 VMLAUNCH error: 0x7';
    assert.deepEqual(kinds(head, ...at('2026-07-24 10:00:00')), ['vmfail']);
    assert.deepEqual(kinds(head, ...at('2026-07-24 12:31:40')), ['vmfail', 'exit']);
  });
  it('of another instruction than an entry: it is told for itself', () => {
    const lines = ['kvm: vmwrite failed: field=2032 val=0 err=12', ...stale];
    assert.deepEqual(kinds(...lines), ['access', 'exit']);
    assert.match(explained(lines.join('\n')).dumps[0]?.sentence ?? '', /^VMWRITE to field 2032H .*error 12/);
  });
});
