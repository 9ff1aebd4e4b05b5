/** Errors that a log reports in one line, without a dump. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { only } from './helpers.js';

describe('bare VM-instruction errors', () => {
  const SAID: readonly (readonly [line: string, error: number])[] = [
    ['VM_INSTRUCTION_ERROR: 7', 7],
    ['(XEN) VMLAUNCH error: 0x7', 7],
    ['VM-instruction error 8', 8],
    ['VM-instruction error: 7', 7],
    ['VM-Instruction Error 7', 7],
    ['vm instruction error: 7', 7],
    ['vmlaunch failed with error 7', 7],
    ['VMLAUNCH failed, error code: 7', 7],
    ['VmLaunch failed (vm-instruction error = 12)', 12],
    ['vm-instruction error = 0x12', 18],
    ['[  12.345678] myhv: vmresume failed: error 5', 5],
    ['VM_INSTRUCTION_ERROR = 0x0000001a', 26],
    ['KVM_EXIT_FAIL_ENTRY: hardware_entry_failure_reason = 7', 7],
  ];
  for (const [line, error] of SAID)
    it(line, () => {
      const { outcome, format } = only(`boot\n${line}\nbye`);
      assert.deepEqual([format, outcome.kind, outcome.error], ['report', 'vmfail', error]);
    });
  for (const line of [
    'VM entry failed: 0x80000021',
    'VM-entry failed with reason 2147483681',
    'KVM_EXIT_FAIL_ENTRY: hardware_entry_failure_reason = 0x80000021',
  ])
    it(line, () => {
      const { outcome, verdict } = only(line);
      assert.deepEqual([outcome.kind, outcome.failed, outcome.reason], ['guest-state', true, 0x8000_0021n]);
      assert.equal(verdict, 'undecidable');
    });
  it('of SVM, as KVM_EXIT_FAIL_ENTRY gives it', () =>
    assert.equal(only('hardware_entry_failure_reason: 0xffffffffffffffff').outcome.kind, 'vmrun-invalid'));

  for (const line of [
    'enum vmcs_field { VM_INSTRUCTION_ERROR = 0x00004400,',
    '#define VM_INSTRUCTION_ERROR 0x00004400',
    'VM_INSTRUCTION_ERROR: 0',
    'vmlaunch failed with error -22',
    'vmresume 7 times',
    'vmlaunch: 12 errors',
    'VM entry failed 3 times',
    'VM-entry controls: 0xd3ff',
    'qemu: could not load kernel: error 7',
    'the vm-instruction error field was not read',
    'VMLAUNCH failed, error code: 0xc0000005',
    'vm-instruction error 7.5.1',
  ])
    it(`none in: ${line}`, () => assert.deepEqual(findDumps(line), []));
});

describe('failed VMREAD and VMWRITE', () => {
  const says = (line: string): string => {
    const { sentence, outcome, verdict, next } = only(line);
    assert.deepEqual([outcome.kind, outcome.failed, verdict], ['access', null, 'undecidable']);
    assert.ok(next.every((one) => !one.includes('dump_invalid_vmcs')));
    return sentence;
  };
  it('of a field that every processor has: no VMCS was current', () => {
    assert.match(says('kvm: vmread failed: field=4400'), /^VMREAD of field 4400H .*no VMCS was current/);
  });
  it('of an optional one: the feature, by the name of the field', () => {
    assert.match(
      says('kvm: vmread failed: field=2032'),
      /^VMREAD of field 2032H \(TSC_MULTIPLIER\) .*lacks the feature/,
    );
  });
  it('with the error in decimal, as KVM prints it', () => {
    const text = 'kvm: vmwrite failed: field=2032 val=1000000000000 err=12';
    assert.match(
      says(text),
      /^VMWRITE to field 2032H \(TSC_MULTIPLIER\) failed with VM-instruction error 12: the processor/,
    );
  });
});
