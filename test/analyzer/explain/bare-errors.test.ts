/** Errors that a log reports in one line, without a dump. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { respelled } from '../../../analyzer/explain/bare-errors.js';
import { endsInHead } from '../../../analyzer/explain/wrapped.js';
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
    // kvm-ioctls in Cloud Hypervisor, as a pair and as a structure; Firecracker, Dragonball, crosvm.
    ['ERROR:vmm/src/cpu.rs:1069 -- VcpuRun(Failed to run vcpu: Unexpected exit reason on vcpu run: FailEntry(7, 2)', 7],
    ['VcpuExitFailEntry { hardware_entry_failure_reason: 7, cpu: 2 }', 7],
    ['FailEntry { hardware_entry_failure_reason: 8 }', 8],
    ['Received KVM_EXIT_FAIL_ENTRY signal: 7 on cpu 2', 7],
    ['Vcpu3 received KVM_EXIT_FAIL_ENTRY signal. the vcpu could not be run due to unknown reasons(7)', 7],
    ['vcpu hw run failure: 0x7', 7],
    ['vmresume err 5 on CPU 3', 5],
    ['vmlaunch error 7 (invalid control fields); giving up', 7],
    ['VMX instruction error: 7', 7],
    ['VMCS instruction error: 7', 7],
    ['VM_INSTR_ERROR: 7', 7],
    ['vmlaunch failed: 7', 7],
    ['VMLAUNCH failed! Error code: 0x7', 7],
    ['vmlaunch failed with instruction error 7', 7],
    ['VM-entry failed with error 7', 7],
    ['VM Entry failed, error 0x7', 7],
    ['VM entry error: 7', 7],
    ['\tstatus\t\t2\n\texit_reason\t48 (EPT violation)\n\tinst_type\t\t0\n\tinst_error\t\t7', 7],
    ['FAIL: VMLAUNCH: VM-instruction error 7', 7],
    ['{"level":"error","msg":"VM-instruction error 7"}', 7],
    ['* VM-instruction error 7, see https://example.org/', 7],
    ['VcpuRun(Failed("vmlaunch failed with error 7"))', 7],
    ['# VM-instruction error: 7', 7],
    ['VMLAUNCH failed with code: 7', 7],
    ['vmlaunch failed with status 7', 7],
    ['vmenter failed: 7', 7],
    ['Vmlaunch fail: 7, start vmxoff...', 7],
    ['CPU 3: vmenter failed: 7 (invalid control fields)', 7],
    ['vmlaunch failed with code 7 on CPU 3', 7],
    ['VM entry failed: 26', 26],
    // Linux until 5.0, with %x; HAXM; OpenBSD's vmm; VirtualBox, new and old; eVMM; XMHF; Jailhouse; NOVA; L4Re's uvmm
    ['[  158.349308] nested_vmx_exit_reflected failed vm entry 7', 7],
    ['nested_vmx_exit_reflected failed vm entry c', 12],
    ['nested_vmx_exit_reflected failed vm entry 1a', 26],
    ['haxm_error: VM entry failed: RIP=0000fff0\nhaxm_error: VMfailValid. Prev exit: 1e. Error code: 7 (VM entry)', 7],
    ['vcpu_run_vmx: failed launch with valid vmcs, code=7 (VM entry: invalid control fields)', 7],
    ['vmx_enter_guest: failed launch with valid vmcs, code=8 (VM entry: invalid host state)', 8],
    ['vcpu_run_vmx: insn error code = 7', 7],
    // VirtualBox, HMR3CheckError of HM.cpp and HWACCMR3CheckError of HWACCM.cpp: entries; and a failed setup
    ['00:00:12.123457 HM: CPU[0] Instruction error    0x7', 7],
    ['VERR_VMX_UNABLE_TO_START_VM: CPU0 instruction error 7', 7],
    ['00:01:02.003 VERR_VMX_UNABLE_TO_RESUME_VM: CPU11 instruction error 1a', 26],
    ['00:00:02.451 HM: CPU[0] Last instruction error  0xc', 12],
    ['00:00:02.451 HWACCM: Last instruction error c', 12],
    ['CPU0: VMENTRY Failed on Guest GCPU: 0\n FLAGS=0x46 (ZF=1 CF=0) ErrorCode=0x7 Desc=invalid control', 7],
    ['VT Instruction ERROR: 0x00000007', 7],
    ['FATAL: vmresume failed, error 5', 5],
    ['[0] VM entry failed with error 0x8', 8],
    ['[  0] VM instruction error: 0x7', 7],
    // what a log writes in front of its text, and what it says behind it
    ['2026-11-29T10:00:00.123Z ERROR vmlaunch failed with error 7', 7],
    ['[12:00:01] WARN vmx - VMLAUNCH failed with VM-instruction error 7', 7],
    ['E1129 10:00:00.123456 77 vmx.cc:88] vmlaunch error 7', 7],
    ['time="2026-11-29T10:00:00Z" level=error msg="VM-instruction error 7"', 7],
    ['vCPU 3 VMLAUNCH failed with error 7', 7],
    ['Nested VMRESUME error 5', 5],
    ['Last VM-instruction error: 7', 7],
    ['myhv: got VM-instruction error 7', 7],
    ['Failed to enter the guest: VM-instruction error 7', 7],
    ['VM entry failed with VM-instruction error 7', 7],
    ['guest entry failed due to VM-instruction error 8', 8],
    ['VMLAUNCH failed with error 7 rip=0xfff0', 7],
    ['vmlaunch error 7 - VM entry with invalid control fields', 7],
    ['VM-instruction error 7 VM entry with invalid control field(s)', 7],
    ['VM-instruction error 7 on vCPU 0 at 0xfff0', 7],
    ['> vmlaunch failed: 7', 7],
    // hv; DebugView puts a number and a time in front
    ['00000024\t2.18095708\t[hv] VMLAUNCH failed. Instruction error = 7.', 7],
    ['{"msg":"VM-instruction error: 7."}', 7],
    // colours, and what journals, rsyslog and \`cat -v\` make of them
    ['\u001b[31mVM-instruction error: 7\u001b[0m', 7],
    ['[\u001b[31mERROR\u001b[0m] vmlaunch failed with error \u001b[33m7\u001b[0m', 7],
    ['\\u001b[31mVM-instruction error: 7\\u001b[0m', 7],
    ['#033[31mVM-instruction error: 7#033[0m', 7],
    ['^[[1;31mVM-instruction error: 7^[[0m', 7],
    // logs of containers: CRI and the files of Docker; JSON with names of its own, and with blanks
    ['2026-11-29T10:00:00.123456789Z stderr F VM-instruction error: 7', 7],
    ['{"log":"VM-instruction error: 7\\n","stream":"stderr","time":"2026-11-29T10:00:00Z"}', 7],
    ['{"level":"error","vm_instruction_error":7,"cpu":3}', 7],
    ['{"vm_instruction_error": 7}', 7],
    ['{ "MESSAGE" : "vmlaunch failed with error 7", "PRIORITY" : "3" }', 7],
    ['{"time": "2026-11-29T10:00:00Z", "msg": "vmlaunch failed with error 7"}', 7],
    // ksm; HyperDbg; ACRN; Napoca; Vinix; VMfailValid as the manual writes it, in C and in Rust; Bareflank, issue 267
    ['vcpu_launch: __vmx_vmlaunch(): failed 1 7', 7],
    ['[-] Error (VmxPerformVmlaunch:123) | Err, unable to execute VMLAUNCH, status : 0x7', 7],
    ['[45678901us][cpu=1][vm1:vcpu0][sev=1][seq=2]:vmexit fail err_inst=7', 7],
    ['vmexit fail err_inst=1a', 26],
    ['ERROR, VCPU launch / resume failed (BEFORE HOST), VMX-instrux-error = 0x00000008 (VM entry)', 8],
    ['hypervisor: VMLAUNCH failed (7)', 7],
    ['panicked at src/main.rs:201:13: vmlaunch failed (8)', 8],
    ['vmlaunch : VMfailValid(7) : VM entry with invalid control field(s)', 7],
    ['Error: VmlaunchVmFailValid(8)', 8],
    ['ERROR: vmlaunch failed:\nERROR:     - vm_instruction_error: VM entry with invalid host-state field(s)', 8],
    ['ERROR:     - vm_instruction_error: VM entry with invalid control field(s)', 7],
    // other instructions, with errors of their own
    ['[*]  vmread failed with error code 12', 12],
    ['[*]  vmwrite failed with error code 13', 13],
    ['VMPTRLD failed with error 11', 11],
    ['VMXON failed: error 15', 15],
    ['vmxon failed: 15', 15],
    ['VMWRITE failed with VM-instruction error 13 for field 0x4402', 13],
    // where it was, and what returned it
    ['VMLAUNCH failed on CPU 3 with VM-instruction error 7', 7],
    ['VMLAUNCH failed with VM-instruction error 7 in vmx_vcpu_run+0x12/0x100', 7],
    ['VM-instruction error 7 returned by vmlaunch', 7],
    ['VMCS field VM_INSTRUCTION_ERROR = 7', 7],
    ['vmx_run("vm1"): VM-instruction error 7', 7],
    // the field that holds it, by its names and by its encoding
    ['VMCS_VM_INSTRUCTION_ERROR = 7', 7],
    ['vmcs.vm_instruction_error = 7', 7],
    ['VM_INSTRUCTION_ERROR (0x4400) = 7', 7],
    ['vmread(0x4400) = 7', 7],
    ['[ 12.3] myhv: __vmx_vmread(0x00004400): 0x8', 8],
    ['VM-instruction error #7', 7],
    ['VM-instruction error -> 7', 7],
    ['vmlaunch: failed, error 7', 7],
    ['VMfailValid(8)', 8],
    ['myhv: VMfailValid: 8', 8],
    ['vmxon failed with VMfailValid, error 15', 15],
    ['VMfailValid (error code 7)', 7],
    ['Error: VmFailValid { error: 7 }', 7],
    // the words of the manual
    ['error 7 (VM entry with invalid control field(s))', 7],
    ['myhv: err=8: VM entry with invalid host-state field(s)', 8],
    ['kvm: error code 5, "VMRESUME with non-launched VMCS"', 5],
    // SDM volume 3C, "VM Instruction Error Numbers": an entry in SMM
    ['vmresume failed with error 25', 25],
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
    'FailEntry(0x80000021, 0)',
    'vm entry failed: 80000021',
    'vm entry failed with reason 80000021',
    'KVM_EXIT_FAIL_ENTRY (reason 0x80000021)',
    'kvm_run: FAIL_ENTRY reason 0x80000021',
    // bhyve, vmexit_vmx (usr.sbin/bhyve/bhyverun.c) and bhyvectl
    'vm exit[0]\n\treason\t\tVMX\n\tstatus\t\t0\n\texit_reason\t2147483681 (Unknown)\n\tinst_error\t\t0',
    '\texit_reason\t0x80000021 (2147483681)',
    'Received KVM_EXIT_FAIL_ENTRY signal: 2147483681 on cpu 0',
    'VERR_VMX_UNABLE_TO_START_VM: CPU0 exit reason       80000021',
    // qemu-kvm until 1.2; ACRN; Napoca; HyperBone, issue 14; Jailhouse; PAL and others
    'kvm: unhandled exit 80000021\nkvm_run returned -22',
    'kvm: vm entry failed with error 0x80000021',
    '[45678901us][cpu=1][vm1:vcpu0][sev=1][seq=2]:vmentry fail reason=80000021',
    'launch / resume failed (AFTER HOST), VMX-exit-reason-error = 0x80000021 (INVALID_GUEST_STATE)',
    'HyperBone: CPU 0: VmExitStartFailed: Failed to enter VM, reason 33, code 0',
    'FATAL: VM-Entry failure, reason 33',
    '  VM exit reason: 0x80000021',
    'EXIT_REASON: 0x80000021',
    '00:00:12.123458 HM: CPU[0] Exit reason          0x80000021',
  ])
    it(line, () => {
      const { outcome, verdict } = only(line);
      assert.deepEqual([outcome.kind, outcome.failed, outcome.reason], ['guest-state', true, 0x8000_0021n]);
      assert.equal(verdict, 'undecidable');
    });
  it('of SVM, as KVM_EXIT_FAIL_ENTRY gives it, and by its name', () => {
    for (const line of [
      'hardware_entry_failure_reason: 0xffffffffffffffff',
      'VMRUN failed: VMEXIT_INVALID',
      'vmrun failed with VMEXIT_INVALID',
      'VMRUN failed with exit code -1',
      'FATAL: VM-Entry failure, error -1',
      'kvm: vm entry failed with error 0xffffffff',
      'kvm: unhandled exit ffffffff',
    ])
      assert.equal(only(line).outcome.kind, 'vmrun-invalid', line);
  });

  it('of no processor: a reason of 0', () => {
    for (const line of ['not implemented: FailEntry(0, 2)', 'FailEntry { hardware_entry_failure_reason: 0, cpu: 2 }'])
      assert.equal(only(line).outcome.kind, 'no-error');
  });
});

describe('failed VMX instructions other than entries', () => {
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

  // Where none is current the number cannot be read, and what is printed is left from elsewhere.
  it('a number that is no error of the instruction means no VMCS, whatever its low byte', () => {
    const odd = says('vmwrite error: reg 401e value 37 (err 26214405)');
    assert.match(odd, /^VMWRITE to field 401EH .* failed: 26214405, .* is none of VMWRITE: .* no VMCS was current/);
    assert.doesNotMatch(odd, /VMRESUME|failed with/);
    assert.match(says('vmwrite failed: field=2032 val=0 err=7'), /7, .* is none of VMWRITE: .*no VMCS was current/);
    assert.match(says('vmptrld failed: 00000000e8a1c0de/123450000 err=5'), /5, .* is none of VMPTRLD/);
    assert.match(says('vmclear failed: 00000000e8a1c0de/123450000 err=11'), /11, .* is none of VMCLEAR/);
    assert.match(
      says('vmwrite failed: field=4400 val=0 err=13'),
      /with VM-instruction error 13: the field is read-only/,
    );
  });

  // arch/x86/kvm/vmx/vmx.c: %p/%llx, with err=%u since 6.0, and as it was before 5.4.
  it('on the address of a VMCS, with the error and without', () => {
    assert.match(
      says('kvm_intel: vmclear failed: 00000000e8a1c0de/123450000 err=3'),
      /^VMCLEAR of the VMCS at 0x123450000 failed with VM-instruction error 3: .*VMXON pointer/,
    );
    assert.match(
      says('kvm_intel: vmptrld failed: 00000000e8a1c0de/123450000 err=11'),
      /^VMPTRLD of the VMCS at 0x123450000 .*error 11: .*revision identifier/,
    );
    for (const line of [
      'kvm: vmptrld failed: (____ptrval____)/12345000',
      'kvm: vmptrld 00000000deadbeef/12345000 failed',
    ])
      assert.match(says(line), /^VMPTRLD of the VMCS at 0x12345000 failed, .* 9 .*, 10 .*, 11 /);
    assert.match(says('kvm: vmclear fail: 00000000deadbeef/12345008'), /not aligned to 4 KiB/);
  });
  // SDM Vol. 3C, "INVEPT" and "INVVPID": what each refuses.
  it('INVEPT and INVVPID: what their operands do that no processor takes', () => {
    const SAID: readonly (readonly [line: string, says: RegExp])[] = [
      ['invept failed: ext=0x3 eptp=0', /no type 3/],
      ['invept failed: ext=0x1 eptp=1234501d', /memory type 5/],
      ['invept failed: ext=0x1 eptp=12345006', /page-walk length of 1/],
      ['invept failed: ext=0x1 eptp=1234501e gpa=0x0', /lacks this type, or an entry .* IA32_VMX_EPT_VPID_CAP/],
      ['invept failed: ext=0x2 eptp=0', /lacks this type: ask/],
      ['invvpid failed: ext=0x4 vpid=1 gva=0x0', /no type 4/],
      ['invvpid failed: ext=0x1 vpid=0 gva=0x0', /VPID 0/],
      ['invvpid failed: ext=0x0 vpid=12 gva=0x8000000000000000', /for VPID 12 .*0x8000000000000000 is not canonical/],
      ['invvpid failed: ext=0x2 vpid=0 gva=0x0', /lacks this type/],
    ];
    for (const [line, wanted] of SAID) assert.match(says(`kvm_intel: ${line}`), wanted);
  });
});

describe('lines of many blanks', () => {
  const BLANKS = ' '.repeat(20_000);
  /** The shortest of some: others may use the machine. */
  const milliseconds = (line: string, look: (line: string) => unknown = respelled): number =>
    Math.min(
      ...[1, 2, 3].map(() => {
        const before = performance.now();
        look(line);
        return performance.now() - before;
      }),
    );
  const STARTS = [
    ...[
      'vm-instruction error',
      'vmread(0x4400)',
      'vmlaunch',
      'vmlaunch failed',
      'vmlaunch err',
      'vm entry',
      'VM exit reason',
    ],
    ...[
      'vm entry failed',
      'vm entry failed with',
      'FailEntry',
      'FailEntry {',
      'FAIL_ENTRY reason',
      'inst_error',
      'VMfailValid',
    ],
    ...['VMfailValid {', 'VMfailValid(error', 'hardware_entry_failure_reason', 'vmptrld failed', 'vmxon failed: error'],
    ...['HM: CPU[0] Instruction error', 'HM: Last instruction error', 'd1v0', 'vmlaunch failed with code'],
  ];
  // A word of each kind that is worth a look, so that every wording is tried on the line.
  const WORTH = 'exit reason 80000021, vm-instruction error';
  it('take no longer than their length asks for', () => {
    for (const start of STARTS)
      for (const end of ['', '7', '8 x', '-', '= x', ': 7 (', '7.'])
        for (const line of [`${start}${BLANKS}${end}`, `${start} =${BLANKS}${end}`, `${start} 7${BLANKS}${end}`])
          assert.ok(milliseconds(`${line} ${WORTH}`) < 100, JSON.stringify(line.replace(BLANKS, '  ')));
  });
  // The last words of heads, behind which a line may go on.
  it('nor where the next line may go on with them', () => {
    for (const end of ['failed', 'failed,', 'error', 'entry', 'and', '0x'])
      for (const isOpen of [false, true])
        assert.ok(milliseconds(`vmresume${BLANKS}${end}`, (line) => endsInHead(line, isOpen)) < 20, end);
  });
});
