/** Lines that report an error, and those that speak of one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fieldOf } from '../../../analyzer/explain/dump.js';
import { findDumps } from '../../../analyzer/explain/find.js';

describe('errors beside other text', () => {
  const errors = (text: string): (number | bigint | null)[] =>
    findDumps(text).map((dump) => fieldOf(dump, 'error.vm') ?? fieldOf(dump, 'error.hardware'));
  it('several in a line', () => {
    assert.deepEqual(errors('CPU 0: VM-instruction error 7, CPU 1: VM-instruction error 8'), [7n, 8n]);
    assert.deepEqual(errors('VMLAUNCH failed (vm-instruction error = 7)'), [7n]);
  });
  it('of QEMU, with the registers that it prints next, in logs of all kinds', () => {
    const advice = "If you're running a guest on an Intel machine without unrestricted mode";
    for (const head of [
      'KVM: entry failed, hardware error 0x80000021',
      '2026-11-29T10:00:00Z qemu-system-x86_64: KVM: entry failed, hardware error 0x80000021',
      'Nov 29 10:00:00 pve QEMU[1234]: KVM: entry failed, hardware error 0x80000021',
      `> KVM: entry failed, hardware error 0x80000021 ${advice}`,
      'I see this: KVM: entry failed, hardware error 0x80000021',
    ]) {
      assert.deepEqual(errors(head), [0x8000_0021n], head);
      const [dump] = findDumps(`${head}\n${advice}\nEAX=00000000 EBX=00000000 ECX=00000000 EDX=00000000`);
      assert.equal(dump && fieldOf(dump, 'error.hardware'), 0x8000_0021n);
    }
  });
  it('of programs, hosts and containers whose names are words of other lines', () => {
    for (const line of [
      'level=error caller=kvm/run.go:12 msg="vmlaunch failed: VM-instruction error 7"',
      'level=error ts=2025/01/02 msg="VM-instruction error 7"',
      'Jan  2 03:04:05 testhost test: VM-instruction error 7',
      '2026-11-29T10:00:00+00:00 testhost test: VM-instruction error 7',
      '[   3.0] test: VMLAUNCH failed with VM-instruction error 7',
      'Jan  2 03:04:05 expected-host hv: VM-instruction error 7',
      'a1b2c3d4e5f6 qemu: KVM: entry failed, hardware error 0x7',
      'a1b2c3d4e5f6 hv[12]: VM-instruction error 7',
      'c0ffee12ab34 | KVM: entry failed, hardware error 0x7',
      '00000fed VM-instruction error 7',
      'ffff8881: VM-instruction error 7',
    ])
      assert.deepEqual(errors(line), [7n], line);
  });
  it('in the place of a success that was expected', () => {
    for (const line of [
      "thread 'main' panicked at 'Expected Hlt, got FailEntry(7, 0)', src/main.rs:12:5",
      'FAIL: expected success, got VM-instruction error 7',
      'FAIL: expected no error, but got VM-instruction error 7',
      'VMLAUNCH failed with VM-instruction error 7 (expected 0)',
      'kvm_intel: VMLAUNCH failed with VM-instruction error 7 (expected success)',
      'VMLAUNCH: VM-instruction error 7 (expected no error)',
      'expected VM entry to work: VM-instruction error 7',
    ])
      assert.deepEqual(errors(line), [7n], line);
  });
  it('of an exit, named by its number', () => {
    for (const line of ['VM exit: reason=0x80000021 qual=0x2', 'VM exit: reason=0x80000021 qual=0x2 expect to fix'])
      assert.deepEqual(errors(line), [0x8000_0021n], line);
  });
  // Times as ISO 8601, RFC 3339, syslog, `date`, `ts` of moreutils, `docker logs -t` and clocks since the boot give them.
  it('behind a time alone', () => {
    for (const time of [
      '2026-11-29T10:00:00Z',
      '2026-11-29T10:00:00.123456789Z',
      '2026-11-29T10:00:00.123+01:00',
      '2026-11-29T10:00:00+0100',
      '2026-11-29 10:00:00,123',
      '2026-11-29 10:00:00 CET',
      'Nov 29 10:00:00',
      'Nov 29 10:00:59',
      'Sun Nov 29 10:00:00 2026',
      'Sun Nov 29 10:00:00 CET 2026',
      'Sun 29 Nov 2026 10:00:00 PM',
      '10:00',
      '12.345678',
      '1796000000.123',
      '1796000000',
      '1796000000123',
      '00000024 2.18',
      '12.3s',
    ]) {
      assert.deepEqual(errors(`${time} KVM: entry failed, hardware error 0x7`), [7n], time);
      assert.deepEqual(errors(`${time} VM-instruction error 7`), [7n], time);
    }
  });
  // The runner of GitLab with its timestamps: time, stream, O or E, and `+` where a line goes on.
  it('behind the time and the stream of GitLab', () => {
    for (const stream of ['00O ', '01E ', '0aE ', '01O+']) {
      const front = `2026-11-30T07:18:04.123456Z ${stream}`;
      assert.deepEqual(errors(`${front}VM-instruction error 7`), [7n], stream);
      assert.deepEqual(errors(`${front}VM entry failed: invalid guest state 0x80000021`), [0x8000_0021n], stream);
    }
  });
  it('behind the time of Buildkite, which a terminal does not show', () => {
    for (const [esc, bel] of [
      ['\u001b', '\u0007'],
      ['^[', '^G'],
      ['\u001b', '\u001b\\'],
    ])
      assert.deepEqual(errors(`${esc}_bk;t=1764487084123${bel}VM-instruction error 7`), [7n]);
  });
  it('in the logs of builds and in strings of Python', () => {
    const error = 'KVM: entry failed, hardware error 0x80000021';
    for (const line of [
      `##[error]${error}`,
      `2026-11-29T10:00:00.1234567Z ##[error]${error}`,
      `pexpect.exceptions.EOF: buffer: '${error}\\r\\n'`,
      `E       ${error}`,
      `qemu-kvm: ${error}\\r`,
      `${error}^M`,
      `buffer (last 100 chars): b'${error}\\r\\n'`,
      `CompletedProcess(args=['qemu'], returncode=1, stderr=b'${error}\\n')`,
    ])
      assert.deepEqual(errors(line), [0x8000_0021n], line);
  });
  // error: kvm run failed, target/i386/kvm/kvm.c: the advice stands behind an empty line.
  it('with the advice of QEMU in one string of JSON', () => {
    const head = 'KVM: entry failed, hardware error 0x7';
    for (const rest of [
      "\\n\\nIf you're running a guest",
      '\\n\\nIf you are running a guest',
      '\\nEAX=00000000 EBX=00000000',
    ])
      assert.deepEqual(errors(`{"message":"${head}${rest}"}`), [7n], rest);
  });
  it('in a sentence that ends in a semicolon', () => {
    for (const line of [
      'VMLAUNCH failed with VM-instruction error 7;',
      '[hv] vmlaunch failed: VM-instruction error: 7 ; ',
      'kernel: kvm [12]: VM-instruction error 7;',
      'KVM: entry failed, hardware error 0x7;',
    ])
      assert.deepEqual(errors(line), [7n], line);
  });
  // The number of a line of DebugView is none of a commit.
  it('behind a number', () => assert.deepEqual(errors('00000024 2.18 [hv] VMLAUNCH failed with error 7'), [7n]));
});

describe('lines that report no error', () => {
  for (const line of [
    '#define KVM_EXIT_FAIL_ENTRY 9',
    'was not: VM-instruction error 7',
    'SDM 30.4 VM-instruction error 7',
    'Table 30.1 VM-instruction error 7',
    "  - name: 'VM-instruction error 7'",
    'VM exit: reason=0x30 qual=0x2',
    'exit reason: 0x80000021 -> ok',
    'exit reason: 0x80000021 => PASS',
    "print('KVM: entry failed, hardware error 0x7\\n')",
    "sys.stderr.write(b'KVM: entry failed, hardware error 0x7\\r\\n')",
    '    "KVM: entry failed, hardware error 0x7\\n"',
    '## KVM: entry failed, hardware error 0x7',
    'this.failEntry(7, error)',
    'FailEntry(1234, 0)',
    'enum vmcs_field { VM_INSTRUCTION_ERROR = 0x00004400,',
    '#define VM_INSTRUCTION_ERROR 0x00004400',
    'VM_INSTRUCTION_ERROR: 0',
    'vmlaunch failed with error -22',
    'vmresume 7 times',
    'vmlaunch failed: 3 attempts',
    'VMX instruction error 0',
    'PASS: test_vmlaunch VMX inst error is 7 (actual 7)',
    'VM entry error handling was changed in 5.7',
    '\tstatus\t\t0\n\texit_reason\t48 (EPT violation)\n\tinst_error\t\t0',
    'vmlaunch: 12 errors',
    'VM entry failed 3 times',
    'VM-entry controls: 0xd3ff',
    'qemu: could not load kernel: error 7',
    'the vm-instruction error field was not read',
    'VMLAUNCH failed, error code: 0xc0000005',
    'vm-instruction error 7.5.1',
    'assert_eq!(exit, FailEntry(0, 0));',
    'VcpuExit::FailEntry(7, 0) => return,',
    'vmresume err 12 lines below',
    'vmclear fail: 00000/0000 counters',
    // lines of programs, of shells, and what tests print that pass
    '// VM-instruction error: 7',
    '    x = 1; /* VM-instruction error 7: */',
    '+	pr_err("vm-instruction error: 7");',
    'printf("vmlaunch error 7\\n")',
    'int vm_instruction_error = 7;',
    'VMCS_VM_INSTRUCTION_ERROR = 7,',
    '#define VMCS_VM_INSTRUCTION_ERROR 0x4400',
    'VMCS_VM_INSTRUCTION_ERROR = 0x4400',
    'vmread(0x4402) = 7',
    'error 8 (VM entry with invalid control field(s))',
    'if it is error 7 (VM entry with invalid control field(s))',
    'VM launch failed with error 7',
    'VMfailValid 8 of 12 tests',
    'VMfailValid means error 7',
    'if VMfailValid (error 7)',
    'VMfailValid(29)',
    'vm_instruction_error=7;',
    'vcpu->vm_instruction_error = 7;',
    'const std::uint32_t vm_instruction_error = 7;',
    'log(ERROR, VM-instruction error 7);',
    'throw VM-instruction error 7;',
    'if (failed) {',
    "  says: 'VMRUN failed: VMEXIT_INVALID (exit code -1)',",
    'VM-instruction error 7 names no field',
    '$ grep -n "VM-instruction error 7" log',
    'root@host:~# grep -rn "vmlaunch error 7" .',
    'test vmlaunch error 7 ... ok',
    'PASS: VMLAUNCH: VM-instruction error 7',
    'ok 3 - vmlaunch fails with VM-instruction error 7',
    'vm_instruction_error = 5 tests passed',
    'In vmlaunch error=7 means invalid controls',
    // a number of the system, none that an entry gives, and other programs
    'vmenter failed: -22',
    'vmenter failed: 22',
    'vm entry failed: 5 more to go',
    'vmlaunch failed with code 7 of 12',
    // no error of VMLAUNCH or VMRESUME; 1 and 2 are what MSVC's __vmx_vmlaunch returns, whatever the error
    'vmlaunch failed with status 1',
    'VMLAUNCH failed with code: 2',
    'vmresume err 12 on CPU 3',
    'VM entry error: 28',
    'VMXON failed with status 1',
    'vmclear failed with status: 2',
    '[*] VMPTRLD failed with error 12',
    'vmwrite failed with error code 7',
    'kvm: unhandled exit 7',
    'DEBUG: vmexit fail err_inst=7, exit_reason=30',
    'FATAL: Unhandled VM-Exit, reason 33',
    'VM exit reason: 0x30',
    'not VMfailValid(15): the number has nowhere to go',
    'VMfailValid(VM entry with invalid host-state field(s))',
    // of the system
    'vm entry failed: 5: Input/output error',
    'vm enter failed: 5 (EIO)',
    'vmenter failed: 26 (ETXTBSY)',
    'myvm: vm entry error 7: Argument list too long',
    'vmlaunch error 16: Device or resource busy',
    'ASSERT_EQ(vmlaunch(), "VM-instruction error 7")',
    'pr_err("VM-instruction error: 7\\n");',
    'The answer is VM-instruction error: 7. It was 8 before',
    '"vmlaunch failed: error 7\\n"',
    'VMX error 7',
    'haxm_error: VMfailInvalid. Prev exit: 1e no error code',
    'vcpu_run_vmx: failed launch with invalid vmcs',
    'HM: CPU[0] Last instruction error  0x0',
    // behind "VMX setup failed": no entry was tried, so that the number of one is left over
    'HM: CPU[0] Last instruction error  0x7',
    'VERR_VMX_UNABLE_TO_START_VM: CPU0 exit reason       1e',
    'VERR_VMX_INVALID_VMCS_PTR: CPU0 Current VMCS version 7',
    'Last instruction error: 7',
    'FLAGS=0x3 (zf=0 cf=1) ErrorCode=0x7 Desc=stale',
    'Unknown illegal instruction error (code: 7)',
    'pr_info_ratelimited("%s failed vm entry 7\\n", __func__);',
    'printf("vcpu_run_vmx: insn error code = 7\\n");',
    'VM enter failed: 5, retrying',
    // the tool of VMware that starts a machine, not the instruction
    '2023/11/02 10:12:14 packer-builder-vmware-iso plugin: vmrun failed with exit code -1',
    'ERROR: vmrun failed, exit code -1',
    'vmrun failed: exitcode -1',
    // what version control and mails say of changes
    'a1b2c3d kvm: x86: fix VM-instruction error 7',
    '* 3f2a1b4 Fix vmlaunch failed with code 7',
    '    KVM: nVMX: return VM-instruction error 12 on bad VMREAD',
    '    nVMX: VMLAUNCH error 7 was returned for a valid CR3-target count',
    'Subject: [PATCH] vmx: VMX instruction error 7 on nested entry',
    'Re: VM-instruction error 7',
    'Fixes: a1b2c3d4e5f6 ("KVM: nVMX: VM-instruction error 7 on nested entry")',
    'Revert "vmlaunch error 7"',
    // what tests are called, expect and pass
    '[       OK ] Vmx.BadControls: vmlaunch error 7 (3 ms)',
    '✓ vmlaunch error 7',
    'ok - VMLAUNCH error 7 (expected)',
    '# Subtest: VM-instruction error 7',
    '[PASS] vmlaunch error 7',
    'PASS  vmlaunch error 7',
    'vmlaunch error 7 -- PASS',
    'XFAIL: vmlaunch error 7',
    'SUCCESS: VM-instruction error 7',
    'vmx_test.go:12: got vmlaunch error 7, as expected',
    'FAIL: VM-instruction error is 7, expected 8',
    'Running test: VM-instruction error 7',
    'VM-instruction error 7 (injected)',
    // sentences about an error
    'If VMLAUNCH fails with VM-instruction error 7, check controls',
    'When the VMLAUNCH failed with VM-instruction error 7, look at its controls',
    'The VMLAUNCH failed with VM-instruction error 7 because host state was wrong',
    'Does anyone know what VM-instruction error 7 is?',
    'VM-instruction error 7 is documented in SDM 30.4',
    'VM-instruction error 7 did not occur',
    'no VM-instruction error 7',
    'the vmlaunch error 7',
    'vmlaunch failed: 7 != 8',
    // sources and shells
    'echo "vmlaunch error 7"',
    'die "vmlaunch error 7"',
    'raise RuntimeError("vmlaunch error 7")',
    "printf 'vmlaunch error 7\\n'",
    '+ echo VM entry failed: 7',
    ' * failed launch with valid vmcs, code=7',
    '+	 * VMLAUNCH failed with error 7',
    '; vmlaunch error 7',
    '-- vmlaunch error 7',
    'REM vmlaunch error 7',
    'enum { VM_INSTR_ERROR = 7 }',
    'case VM_INSTRUCTION_ERROR: 7',
    'if (exit_reason 0x80000021',
    "$ git log --grep='vmlaunch error 7'",
    'journalctl -k -g "VM-instruction error 7"',
    'ag "vmlaunch error 7"',
    'dmesg | grep vmlaunch error 7',
    '| 7 | VM-instruction error 7 |',
    '    VM_INSTRUCTION_ERROR = 7,',
    '  vm_instruction_error: 7',
    'vm_instruction_error=7 ./run_tests.sh',
    'kvm-unit-tests: PASS: VM-instruction error 7',
    'Some numbers (e.g. VM-instruction error 7)',
    'for example: VM-instruction error 7',
    // git log --oneline, --graph and --decorate, rebase, reset, commit and reflog; pages, mails, questions
    '9d58e6f KVM: nVMX: VM-instruction error 7',
    '9d58e6f (HEAD -> master) VM-instruction error 7',
    '9d58e6f (tag: v1.2) vmx: VMLAUNCH failed with error 7',
    '* 9d58e6f vmx: VMLAUNCH failed with error 7',
    '| * 9d58e6f5a8b0 vmx: VMLAUNCH failed with error 7',
    'commit 9d58e6f5: VM-instruction error 7',
    'pick 9d58e6f vmx: VM-instruction error 7',
    'HEAD is now at 9d58e6f vmx: VM-instruction error 7',
    '[master 9d58e6f] vmx: VM-instruction error 7',
    '9d58e6f HEAD@{0}: commit: vmx: VM-instruction error 7',
    'Applying: vmx: VM-instruction error 7',
    '[PATCH v2] KVM: nVMX: VM-instruction error 7',
    'VMLAUNCH failed with error 7 - Stack Overflow',
    'assembly - VMLAUNCH error 7: how to debug?',
    'NOTICE: nested VM-Entry, Code=7 unsupported',
    '9d58e6f5a8b0 KVM: nVMX: VM-instruction error 7',
    '9d58e6f | VM-instruction error 7',
    '10:00:00 Running test: VM-instruction error 7',
    '[   3.0] subtest: VM-instruction error 7',
    'test: VM-instruction error 7',
    "panicked at 'Expected FailEntry(7, 0), got Hlt'",
    'expected VM-instruction error 8, got VM-instruction error 7',
    'got VM-instruction error 7 (expected 0x7)',
    'VM-instruction error 7 returned by VMLAUNCH means that a control is wrong',
    'VM-instruction error 7 in vmx_vcpu_run is a matter of controls',
    'puts("vm1", "VM-instruction error 7")',
    'vmclear failed: 2',
    'vmxon failed: 15 attempts',
    'the VMCS field VM_INSTRUCTION_ERROR = 7',
    'x = "VM-instruction error 7\\nfoo"',
    // the same of what QEMU and KVM print
    '/* KVM: entry failed, hardware error 0x80000021 */',
    '    fprintf(stderr, "KVM: entry failed, hardware error 0x7\\n");',
    'Subject: KVM: entry failed, hardware error 0x80000021',
    'Why do I get "KVM: entry failed, hardware error 0x80000021"?',
    '[SOLVED] KVM: entry failed, hardware error 0x80000021',
    'KVM: entry failed, hardware error 0x7 appears in many reports',
    '9d58e6f kvm: Fix "KVM: entry failed, hardware error 0x80000021"',
    'the line vmwrite failed: field=2032 val=0 err=12 says so',
    '// vmread failed: field=4400',
  ])
    it(`none in: ${line}`, () => assert.deepEqual(findDumps(line), []));
});
