/** Reports of a failed entry or instruction that a mail reader or a terminal broke amid their number or words. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { hard, REGISTERS, values } from './helpers.js';

describe('reports broken amid their number', () => {
  // What each program prints: dosemu2, Cloud Hypervisor, Firecracker, qemu-kvm until 1.2, Linux until 5.0, Xen, bhyve.
  const REPORTS: readonly (readonly [front: string, number: string, rest: string])[] = [
    ['ERROR: KVM_EXIT_FAIL_ENTRY: hardware_entry_failure_reason = ', '0x80000021', ''],
    ['Unexpected VM exit: FailEntry(', '2147483681', ', 0)'],
    ['VCPU generated error: FailEntry(', '0x80000021', ', 3)'],
    ['VcpuExitFailEntry { hardware_entry_failure_reason: ', '26', ', cpu: 2 }'],
    ['FailEntry(', '7', ')'],
    ['Received KVM_EXIT_FAIL_ENTRY signal: ', '2147483681', ' on cpu 3'],
    ['kvm: vm entry failed with error ', '0xffffffff', ''],
    ['nested_vmx_exit_reflected failed vm entry ', '1a', ''],
    ['[    5.123456] kvm: VMLAUNCH failed with VM-instruction error ', '26', ''],
    ['VM-instruction error ', '26', ''],
    ['(XEN) VMRESUME error: ', '0x1a', ''],
    ['vm exit[0]\n\texit_reason\t33 (entry failure)\n\tinst_error\t', '18', ''],
    ['{"level":"error","vm_instruction_error":', '25', '}'],
    ['{"cpus":[1,2],"vm_instruction_error":', '12', ',"cpu":3}'],
    ['{"msg":"VM-instruction error ', '12', '"}'],
    ['VmFailValid(', '12', ')'],
    ['VM-instruction error ', '12', '.'],
    ["hv: can't launch (VM-instruction error ", '26', ')'],
    ["hv: can't launch: 'VM-instruction error ", '26', "'"],
    ["stderr=b'VM-instruction error ", '26', "'"],
    ['hv: “VM-instruction error ', '25', '”'],
    ['hv: «VM-instruction error ', '25', '»'],
    ['{"msg":"hv: \\"VM-instruction error ', '25', '\\""}'],
    ['"hv: VM-instruction error ', '25', '."'],
    ['hv: VM-instruction error ', '25', '!!!'],
    ['VM-instruction error ', '12', ''],
    ['VMWRITE failed with VM-instruction error ', '13', ' for field 0x4402'],
    // The number with what the manual calls it (SDM volume 3C, "VM Instruction Error Numbers"), with that in another base, or with more of the state.
    ['hv: VMLAUNCH failed: VM-instruction error ', '26', ' (VM entry with events blocked by MOV SS)'],
    ['hv: VMLAUNCH failed with error ', '26', ' (VM entry with events blocked by MOV SS)'],
    ['VM-instruction error ', '0x1a', ' (VM entry with events blocked by MOV SS)'],
    ['VM-instruction error ', '26', ' VM entry with events blocked by MOV SS'],
    ['VM-instruction error ', '13', ': VMWRITE to read-only VMCS component'],
    ['VM-instruction error ', '12', ' (VMREAD/VMWRITE from/to unsupported VMCS component)'],
    ['VM-instruction error ', '28', ' - Invalid operand to INVEPT/INVVPID'],
    ['VM-instruction error ', '26', ' (0x1a)'],
    ['2026-11-29 10:00:00 hv: VM-instruction error ', '26', ': VM entry with events blocked by MOV SS'],
    ['10:00:00 hv: VM-instruction error ', '18', ': VM entry with executive-VMCS pointer not VMXON pointer'],
    ['VM-instruction error ', '15', ' (VMXON executed in VMX root operation)'],
    ['VM-instruction error ', '20', ' - VMCALL with invalid VM-exit control fields'],
    // KVM on instructions, arch/x86/kvm/vmx/vmx.c
    ['kvm: vmread failed: field=', '2032', ''],
    ['kvm: vmwrite failed: field=2032 val=1000 err=', '12', ''],
    ['kvm: vmwrite failed: field=2032 val=1000 err=', '26214405', ''],
    ['kvm_intel: vmclear failed: 00000000e8a1c0de/', '123450000', ''],
    ['kvm_intel: vmptrld failed: 00000000e8a1c0de/', '123450000', ' err=11'],
    ['kvm_intel: vmptrld failed: 00000000e8a1c0de/123450000 err=', '11', ''],
    ['kvm: invept failed: ext=0x1 eptp=', '1234501d', ''],
    ['kvm: invept failed: ext=0x1 eptp=', '1234501d', ' gpa=0x0'],
    ['kvm: invvpid failed: ext=0x0 vpid=12 gva=0x', '8000000000000000', ''],
  ];
  for (const [front, number, rest] of REPORTS)
    it(`${front}${number}${rest}`, () => {
      const whole = values(`boot\n${front}${number}${rest}\nbye\n`);
      for (let at = 1; at < number.length; at++) {
        const text = `boot\n${front}${number.slice(0, at)}\n${number.slice(at)}${rest}\nbye\n`;
        for (const by of ['', '> ']) assert.deepEqual(values(text.replace(/^(?=.)/gm, by)), whole, text);
      }
    });
  // A list of vCPUs begins so as well, whose next line is further down.
  it('are none where fields behind the rest may be of a list', () => {
    for (const [front, number, rest] of [
      ['hv: vm_instruction_error=', '26', ' rip=0x1000'],
      ['hv: vm_instruction_error=', '26', ', rip=0x1000'],
      ['level=error vm_instruction_error=', '12', ' cpu=3 msg="guest stopped"'],
      [
        'hv: run failed, vm_instruction_error=',
        '25',
        ' rip=0xfff0 rsp=0x0\n  rax=0\n  rbx=0\n  rcx=0\n6 rip=0x1 rsp=0x0',
      ],
    ] as const)
      for (const by of ['', '> ']) {
        const text = `boot\n${front}${number.slice(0, 1)}\n${number.slice(1)}${rest}\nbye\n`;
        assert.deepEqual(findDumps(text.replace(/^(?=.)/gm, by)), [], text);
      }
  });
  it('an address of KVM that ends with its line, before the error', () => {
    const front = 'kvm_intel: vmptrld failed: 00000000e8a1c0de/123450000';
    assert.deepEqual(values(`${front}\n err=11\n`), values(`${front} err=11\n`));
    assert.deepEqual(values(`${front}\n\n`), values(`${front}\n`));
  });
  it('are none where the whole line speaks of an error', () => {
    for (const text of [
      'VM-instruction error 12 VMREAD/VMWRITE from/to unsupported VMCS component',
      'The answer is VM-instruction error 26 (VM entry with events blocked by MOV SS). It was 8 before',
    ])
      assert.deepEqual(findDumps(text.replace(/(?<=\d)(?=\d)/, '\n')), findDumps(text), text);
  });
  // log4j's `%r [%t] %m`, Python's `%(relativeCreated)d - %(name)s - %(levelname)s - %(message)s`, CSV, a CPU's number.
  it('of one digit are whole where each line of the log begins with a number', () => {
    for (const [front, error, next] of [
      ['0 [hv] VMPTRLD failed: ', 2, '6 [hv] cpu up'],
      ['3 - root - ERROR - VMCLEAR failed: ', 2, '5 - root - INFO - done'],
      ['0, hv, ', 1, '1, hv, ok'],
      ['0,hv,', 1, '1,hv,ok'],
      ['2 [vcpu0] ', 2, '6 [vcpu0] exit'],
      ['1: ', 1, '3: VMWRITE to read-only VMCS component'],
      ['1) ', 2, '6) VM entry with events blocked by MOV SS'],
    ] as const) {
      const whole = `${front}VM-instruction error ${error}`;
      for (const end of ['\n', '\r\n'])
        for (const text of [
          whole + end + next + end,
          `${next}${end}hv: VM-instruction error ${error}${end}${next}${end}`,
        ])
          assert.deepEqual(values(text), values(`${whole}\n`), text);
    }
    const field = '0 hv: vm_instruction_error=2\n';
    for (const text of [`${field}6 cpu=2\n`, '5 hv: cpu=0\nhv: vm_instruction_error=2\n6 cpu=2\n'])
      assert.deepEqual(values(text), values(field), text);
  });
  it('of one digit are whole above a list of CPUs or vCPUs', () => {
    for (const [error, ...lists] of [
      [
        2,
        '0 rip=0xfff0 rsp=0x0\n1 rip=0x1000 rsp=0x0',
        '0 rip=0xfff0 rsp=0x0',
        '5 rip=0xfff0\n6 rip=0x1000',
        '5 rip=0xfff0\n  rsp=0x0\n6 rip=0x1000',
        '0:\n  rip 0xfff0\n1:\n  rip 0x1000',
        '0)\n  rip 0xfff0',
        '5]\n  rip 0xfff0',
        '5\n6\n7',
        '0.\n  rip 0xfff0',
        '0 on CPU 3: up',
        // The exit code of a program, as a shell prints it.
        '0',
      ],
      [
        1,
        '0 cpu=0 state=online\n1 cpu=1 state=online',
        '1 cpu=1 state=online',
        '0 0xa 0x14\n1 0xb 0x15',
        '0 0xa 0x14',
        '2 0xc',
        '0 (0xa)\n1 (0xb)',
        '1',
        '0,',
      ],
    ] as const)
      for (const list of lists)
        for (const front of [
          'hv: VM-instruction error ',
          'hv: run failed, vm_instruction_error=',
          '[    1.23] hv: vm_instruction_error=',
        ])
          for (const by of ['', '> '])
            assert.deepEqual(
              values(`boot\n${front}${error}\n${list}\n`.replace(/^(?=.)/gm, by)),
              values(`boot\n${front}${error}\n`),
              `${front}${error}\n${list}`,
            );
  });
  // The manual has no error 14 or 21.
  it('of one digit are whole where the next line closes nothing, or would make of it what no processor gives', () => {
    for (const [line, ...nexts] of [
      ['hv: error :( VM-instruction error 2', '1) tried nested=1', '6) tried nested=1'],
      ['hv: (VM-instruction error 2', '1) tried nested=1'],
      ["hv: can't launch: VM-instruction error 2", "6' from the wall", "6'"],
      ["hv: the guests' entry: VM-instruction error 2", "6' from the wall"],
      ['hv: [cpu 1] VM-instruction error 2', '6] done'],
      ['VM-instruction error 1', '4', '4.'],
      ['VM-instruction error 2', '1', '7'],
    ] as const)
      for (const next of nexts) assert.deepEqual(values(`${line}\n${next}\n`), values(`${line}\n`), line + next);
  });
  it('of one digit are whole where the next line does not name the error of two', () => {
    for (const [error, ...nexts] of [
      [
        1,
        '2 vcpus=4 stopped',
        '2 vcpus=4',
        '2 from 3',
        '3: VMWRITE ok',
        '3: VMWRITE to 0x4402',
        '6 VM entry with 3 vCPUs',
      ],
      [1, '0 hypervisor 0x0000000100003f50 main + 20', '8 at rip 0xffffffff81000000', '2 (0x1a)'],
      [
        2,
        '5 (VM exits)',
        '0 (cpu) up',
        '5 - exit',
        '5 VM entries, 3 VM exits',
        '0 at start',
        '8 while stopping 3 vcpus',
      ],
      [
        2,
        '6 (see the manual) is what I get?',
        '6 [cpu 3]',
        '6, CPU 1: none',
        '6 in vmx_vcpu_run',
        '6 rip 0x1000',
        '5?',
      ],
    ] as const)
      for (const next of nexts)
        for (const front of ['hv: VM-instruction error ', 'hv: vm_instruction_error='])
          if (front.endsWith(' ') || !next.endsWith('=4'))
            assert.deepEqual(values(`${front}${error}\n${next}\n`), values(`${front}${error}\n`), front + next);
  });
  // An encoding has 16 bits, a VMCS is aligned to 4 KiB, physical addresses have 52 bits at most, VMWRITE fails with 12 or 13
  // (SDM volume 3D, appendix B, "Field Encoding in VMCS"; volume 3C, "Guidelines for Use of VMX Instructions" and "VM
  // Instruction Error Numbers"); the memory type of an EPT pointer is 0 or 6.
  it('of KVM are whole where the next line would make of their number what it cannot be', () => {
    for (const [front, ...nexts] of [
      ['kvm: vmread failed: field=4012', 'add', '0', 'beef'],
      ['kvm: vmwrite failed: field=4012 val=13ff err=12', '3', '0', '345678', 'beef'],
      ['kvm: vmwrite failed: field=4012 val=13ff err=7', '3', '3\n3'],
      ['kvm: vmwrite failed: field=4012 val=13ff err=0', '12', '7'],
      ['kvm_intel: vmptrld failed: 00000000aabbccdd/1234567000', 'beef', 'bee', 'add', '0000', '7'],
      ['kvm_intel: vmptrld failed: 00000000aabbccdd/1234567000 err=11', '0', '11'],
      ['kvm_intel: vmclear failed: 00000000aabbccdd/1234567000', 'beef', 'dead'],
      ['kvm: invept failed: ext=0x1 eptp=123456701e', 'beef', 'face', '12345'],
      ['kvm: invvpid failed: ext=0x0 vpid=12 gva=0x7fff12345000', 'bee', 'dead0'],
      ['vm-instruction-error: 0x7', 'beef', '0'],
    ] as const)
      for (const next of nexts)
        assert.deepEqual(values(`${front}\n${next}\n`), values(`${front}\n`), `${front} ${next}`);
  });
  it('are none where the bracket that the next line closes has no number of one', () => {
    for (const text of [
      '{"vm_instruction_error":2\n6214405}',
      'FailEntry(7\n7, 0)',
      'FailEntry(7',
      'VmFailValid(7\n7)',
    ])
      assert.deepEqual(findDumps(`boot\n${text}\nbye\n`), [], text);
  });
  it('end with their line where the next begins with a time, an item or a number of its own', () => {
    const nexts = [
      '1:00:05 up',
      '10:00:01 kvm: bye',
      '2026-11-29T10:00:00Z bye',
      '1) retry',
      '2, 3 and 4',
      '0: foo',
      '5.5',
      '2 vCPUs stopped',
      '6 of 8 guests',
      // 14 is no error of the manual.
      '4 (of 8)',
    ];
    for (const front of [
      'VM-instruction error 1',
      'hardware_entry_failure_reason = 1',
      'kvm: vmread failed: field=2032',
      '[ 1.5] (XEN) VMRESUME error: 0x5',
    ])
      for (const next of nexts) assert.deepEqual(values(`${front}\n${next}\n`), values(`${front}\n`), next);
    for (const next of nexts)
      assert.deepEqual(
        values(`KVM: entry failed, hardware error 0x1\n${next}\n`),
        values('KVM: entry failed, hardware error 0x1\n'),
        next,
      );
  });
});

describe('what QEMU says of a failed entry, broken at every place', () => {
  const error = 'KVM: entry failed, hardware error 0x80000021';
  const prefixes = [
    '',
    'qemu-system-x86_64: ',
    'Nov 29 15:58:40 pve QEMU[1234567]: ',
    '2026-11-29 10:00:00.123+0000: ',
  ];
  const found = (text: string): (bigint | undefined)[] =>
    findDumps(text).map(({ values: of }) => of.get('error.hardware')?.value);
  for (const prefix of prefixes) {
    const whole = `${prefix}${error}\n`;
    const registers = REGISTERS.replace(/^(?=.)/gm, prefix);
    const places = Array.from(error.slice(1), (_, i) => {
      const at = prefix.length + i + 1;
      return `${whole.slice(0, at)}\n${whole.slice(at)}`;
    });
    it(`${prefix}alone, and with registers`, () => {
      for (const text of places)
        for (const rest of ['', registers]) assert.deepEqual(found(text + rest), [0x8000_0021n], text);
    });
    it(`${prefix}behind lines that are longer, those of a dump among them`, () => {
      for (const text of places) {
        assert.deepEqual(found(`${'a'.repeat(120)}\n${text}${registers}`), [0x8000_0021n], text);
        assert.deepEqual(found(whole + registers + text + registers), [0x8000_0021n, 0x8000_0021n], text);
      }
    });
    it(`${prefix}quoted since`, () => {
      for (const text of places) assert.deepEqual(found((text + registers).replace(/^/gm, '> ')), [0x8000_0021n], text);
    });
    it(`${prefix}twice, before its number and in the 0x of that`, () => {
      for (const text of places.filter((place) => place.endsWith(' 0x80000021\n')))
        assert.deepEqual(found(text.replace(' 0x', ' 0\nx')), [0x8000_0021n], text);
    });
    it(`${prefix}by a narrow terminal`, () => {
      for (let width = prefix.length + 13; width < 60; width++)
        assert.deepEqual(found(hard(whole + registers, width)), [0x8000_0021n], String(width));
    });
  }
});
