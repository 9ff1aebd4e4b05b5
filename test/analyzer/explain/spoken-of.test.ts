/** Errors in source code and in sentences are none, and those that look alike in a log are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fieldOf } from '../../../analyzer/explain/dump.js';
import { findDumps } from '../../../analyzer/explain/find.js';

const QEMU = 'KVM: entry failed, hardware error 0x80000021';

describe('errors that are spoken of', () => {
  for (const line of [
    // firecracker, src/vmm/src/vstate/vcpu.rs, and the same with other methods
    '            EmulationError::FaultyKvmExit("FailEntry(0, 0)".to_string())',
    '        FaultyKvmExit("FailEntry(0, 0)".into()),',
    `    let text = "${QEMU}".to_owned();`,
    `    "${QEMU}".to_string()`,
    '    Error::Faulty("FailEntry(0, 0)"),',
    `        Faulty("${QEMU}").into(),`,
    // lisa, lisa/tools/qemu: a comment of Python
    '    # KVM: entry failed, hardware error 0xffffffff',
    '\t# VM-instruction error 7',
    // arms of a match, and values of types
    '  VmFailValid(7) => "controls",',
    '    => Err(VmxError::VmFailValid(7)),',
    '        VMfailValid(3),',
    '  VmFailValid(7) |',
    '            matches!(exit, FailEntry(7, 0))',
    'vec![FailEntry(7, 0), Hlt],',
    'return Err(FailEntry(7, 0))',
    'VcpuExit::FailEntry(7, 0) |',
    '            .with(eq(FailEntry(7, 0)))',
    '    Error::VmFailValid(7)',
    'let r = VmFailValid(7)',
    '  | VmFailValid(7) -> "controls"',
    // what a test wants, and what is to be done
    '    run_test.go:12: want FailEntry(7, 0), got Hlt',
    '    run_test.go:12: got Hlt, want FailEntry(7, 0)',
    'Want: VM-instruction error 7',
    'TODO: VM-instruction error 7',
    'Returns: VM-instruction error 7',
    'should print: VM-instruction error 7',
    // strings that a variable, a setting or a test takes
    `ERRORS = ['${QEMU}']`,
    `msg := "${QEMU}"`,
    `const MSG: &str = "${QEMU}"`,
    `error: str = "${QEMU}"`,
    `EXPECT_THAT(log, HasSubstr("${QEMU}"))`,
    `  pattern: "${QEMU}"`,
    `regex: '${QEMU}'`,
    // sentences that go on
    'VM-instruction error 7, "VM entry with invalid control field(s)", and the',
    'VM-instruction error 7 (VM entry with invalid control fields). The fix is',
    `${QEMU}, which is what the`,
  ])
    it(line, () => assert.deepEqual(findDumps(line), []));
});

describe('errors that are told', () => {
  for (const line of [
    // Rust's {:?} in a line of a log, an error below others (anyhow), and a panic
    'Error: VcpuRun(FaultyKvmExit("FailEntry(7, 0)"))',
    '    0: FaultyKvmExit("FailEntry(7, 0)")',
    '    FaultyKvmExit("FailEntry(7, 0)")',
    'vmlaunch => VmFailValid(7)',
    'exit = FailEntry(7, 0)',
    'Caused by: VmFailValid(7)',
    '    VmFailValid(7)',
    'vmm-1  | Unexpected VM exit: FailEntry(7, 0)',
    'FailEntry(7, 0): stopping',
    // tests of Go that failed, and a message of what never happens
    '    run_test.go:12: got FailEntry(7, 0), want Hlt',
    '    run_test.go:12: want Hlt, got FailEntry(7, 0)',
    '    run_test.go:12: got FailEntry(7, 0), want no error',
    'this should never happen: VM-instruction error 7',
    'run_vcpu returns: VM-instruction error 7',
    // what pytest shows of the variables of a failed test, and what a program wrote into one
    "stderr     = 'KVM: entry failed, hardware error 0x7'",
    "stderr = 'KVM: entry failed, hardware error 0x7\\r\\n'",
    "qemu: stderr = 'KVM: entry failed, hardware error 0x7'",
    'level=error msg="KVM: entry failed, hardware error 0x7"',
    '  message: "KVM: entry failed, hardware error 0x7"',
    // a prompt of root, and a comment that is no indented one
    '# KVM: entry failed, hardware error 0x7',
    // what a reader of mails broke amid what the number means
    'VM-instruction error 7: VM entry with',
    'VM-instruction error 7, VM entry with',
    'VM-instruction error 7 - the guest is in',
    'VM-instruction error 7 on CPU 3 of the',
    'VM-instruction error 7 (the VMCS has a field that is invalid in',
    "KVM: entry failed, hardware error 0x7 If you're running a guest on an",
    // Test Anything Protocol: a test that failed
    'not ok 3 VM-instruction error 7',
    'not ok 3 - VM-instruction error 7',
    '    not ok VM-instruction error 7',
  ])
    it(line, () => {
      const told = findDumps(line).map((dump) => fieldOf(dump, 'error.vm') ?? fieldOf(dump, 'error.hardware'));
      assert.deepEqual(told, [7n]);
    });
});
