/** Texts of events, line by line, with what the line says of itself as the expectation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SVM_EXIT_CODES } from '../../engine/svm/exit-codes.js';
import { VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import { type Event, importText } from './import-helpers.js';

type Expected = Partial<Record<string, unknown>> & { readonly kind: string };

/** Text of an event behind `t-1 [000] 1.0: `, and all that its row says besides seq, vcpu and time. */
const TEXTS: readonly (readonly [text: string, row: Expected])[] = [
  ['kvm_entry: vcpu 0', { kind: 'entry', from_level: 0, to_level: 1 }],
  ['kvm_entry: vcpu 0, rip 0x4028b7', { kind: 'entry', from_level: 0, to_level: 1, rip: 0x4028b7 }],
  [
    'kvm_entry: vcpu 0, rip 0xffffffff81000aa0 intr_info 0x80000b0e error_code 0x00000002[immediate exit]',
    {
      kind: 'entry',
      from_level: 0,
      to_level: 1,
      rip: 0xffffffff81000aa0n,
      intr_info: 0x80000b0e,
      error_code: 2,
      text: '[immediate exit]',
    },
  ],
  [
    'kvm_exit: reason EXTERNAL_INTERRUPT rip 0x100 info 0 800000f6',
    { kind: 'exit', isa: 1, from_level: 1, to_level: 0, reason: 1, rip: 0x100, qualification: 0, info2: 0x800000f6 },
  ],
  [
    'kvm_exit: vcpu 1 reason npf rip 0xfd11d info 100000014 fd000',
    {
      kind: 'exit',
      isa: 2,
      from_level: 1,
      to_level: 0,
      reason: 0x400,
      gpa: 0xfd000,
      rip: 0xfd11d,
      qualification: 0x100000014,
      info2: 0xfd000,
    },
  ],
  [
    'kvm_exit:             reason EXIT_MSR rip 0x4015c2 info 0 0',
    { kind: 'exit', isa: 2, from_level: 1, to_level: 0, reason: 0x7c, rip: 0x4015c2, qualification: 0, info2: 0 },
  ],
  [
    'kvm_exit: vcpu 0 reason EXCEPTION_NMI rip 0xfd0bd info1 0x0000000000000000 info2 0x0000000000000413 intr_info 0x80000306 error_code 0x00000000',
    {
      kind: 'exit',
      isa: 1,
      from_level: 1,
      to_level: 0,
      reason: 0,
      rip: 0xfd0bd,
      qualification: 0,
      info2: 0x413,
      intr_info: 0x80000306,
      error_code: 0,
    },
  ],
  [
    'kvm_exit: vcpu 0 reason UD excp rip 0x103fe info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0 requests 0x0000000000000004',
    {
      kind: 'exit',
      isa: 2,
      from_level: 1,
      to_level: 0,
      reason: 0x46,
      code: 6,
      rip: 0x103fe,
      qualification: 0,
      info2: 0,
      intr_info: 0,
      error_code: 0,
      text: 'requests 0x0000000000000004',
    },
  ],
  [
    'kvm_exit: vcpu 0 reason INVALID_STATE FAILED_VMENTRY rip 0xfff0 info1 0x0000000000000000 info2 0x0',
    {
      kind: 'entry_failed',
      isa: 1,
      from_level: 1,
      to_level: 0,
      reason: 0x80000021,
      rip: 0xfff0,
      qualification: 0,
      info2: 0,
    },
  ],
  [
    'kvm_exit: reason UNKNOWN (2147483681) rip 0xfff0 info 0 0',
    {
      kind: 'entry_failed',
      isa: 1,
      from_level: 1,
      to_level: 0,
      reason: 0x80000021,
      rip: 0xfff0,
      qualification: 0,
      info2: 0,
    },
  ],
  [
    'kvm_exit: vcpu 0 reason invalid_guest_state rip 0x0',
    { kind: 'entry_failed', isa: 2, from_level: 1, to_level: 0, reason: 0xffff_ffff_ffff_ffffn, rip: 0 },
  ],
  ['kvm_exit: vcpu 0 reason HLT', { kind: 'exit', isa: 1, from_level: 1, to_level: 0, reason: 12 }],
  [
    'kvm_exit: vcpu 0 reason DR_ACCESS info1 0x216',
    { kind: 'exit', isa: 1, from_level: 1, to_level: 0, reason: 29, qualification: 0x216 },
  ],
  ['kvm_exit: vcpu 0 reason 0x63 rip 0x10', { kind: 'exit', from_level: 1, to_level: 0, reason: 0x63, rip: 0x10 }],
  [
    'kvm_nested_vmexit: rip 1008d reason VMCALL info1 1 info2 2 int_info 3 int_info_err 4',
    {
      kind: 'nested_exit',
      isa: 1,
      from_level: 2,
      reason: 18,
      rip: 0x1008d,
      qualification: 1,
      info2: 2,
      intr_info: 3,
      error_code: 4,
    },
  ],
  [
    'kvm_nested_vmexit: rip: 0x000000000001008d reason: VMCALL ext_inf1: 0x01 ext_inf2: 0x02 ext_int: 0x03 ext_int_err: 0x04',
    {
      kind: 'nested_exit',
      isa: 1,
      from_level: 2,
      reason: 18,
      rip: 0x1008d,
      qualification: 1,
      info2: 2,
      intr_info: 3,
      error_code: 4,
    },
  ],
  [
    'kvm_nested_vmexit:    <CANT FIND FIELD rip>vcpu 0 reason npf rip 0x10043 info1 0x0000000200000006 info2 0x0000000000002000 intr_info 0x00000000 error_code 0x00000000',
    {
      kind: 'nested_exit',
      isa: 2,
      from_level: 2,
      reason: 0x400,
      rip: 0x10043,
      qualification: 0x200000006,
      info2: 0x2000,
      intr_info: 0,
      error_code: 0,
    },
  ],
  [
    'kvm_nested_vmexit_inject: reason: interrupt ext_inf1: 0x0000000000000000 ext_inf2: 0x0000000000000000 ext_int: 0x00000000 ext_int_err: 0x00000000',
    {
      kind: 'nested_inject',
      isa: 2,
      from_level: 2,
      to_level: 1,
      reason: 0x60,
      qualification: 0,
      info2: 0,
      intr_info: 0,
      error_code: 0,
    },
  ],
  ['kvm_nested_intr_vmexit: rip: 0x000000000000fff0', { kind: 'nested_exit', from_level: 2, rip: 0xfff0 }],
  [
    'kvm_nested_vmrun:     rip: 0xffffffffa0688ffa vmcb: 0x0000000103594000 nrip: 0xffffffff814b3b01 int_ctl: 0x01000001 event_inj: 0x80000036 npt: on',
    {
      kind: 'nested_entry',
      from_level: 1,
      to_level: 2,
      rip: 0xffffffffa0688ffan,
      vmcs: 0x103594000,
      value: 0xffffffff814b3b01n,
      intr_info: 0x8000_0036,
      tracepoint: 0,
      text: 'kvm_nested_vmrun: rip: 0xffffffffa0688ffa vmcb: 0x0000000103594000 nrip: 0xffffffff814b3b01 int_ctl: 0x01000001 event_inj: 0x80000036 npt: on',
    },
  ],
  [
    'kvm_nested_vmenter_failed: CC(!vmcs12->guest_rflags)',
    { kind: 'entry_failed', tracepoint: 0, text: 'kvm_nested_vmenter_failed: CC(!vmcs12->guest_rflags)' },
  ],
  ['kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x41 ', { kind: 'io', code: 0x3f8, size: 1, value: 0x41, flags: 1 }],
  [
    'kvm_pio: pio_read at 0xe9 size 4 count 16 val 0x31 (...)',
    { kind: 'io', code: 0xe9, size: 4, value: 0x31, flags: 2, text: 'count 16 (...)' },
  ],
  ['kvm_pio: pio_read  at 0x3fd size 1 val 0x60', { kind: 'io', code: 0x3fd, size: 1, value: 0x60, flags: 0 }],
  ['kvm_mmio: mmio write len 4 gpa 0xd0000004 val 0x1', { kind: 'mmio', gpa: 0xd0000004, size: 4, value: 1, flags: 1 }],
  [
    'kvm_mmio: mmio unsatisfied-read len 2 gpa 0xd0000004 val 0x0',
    { kind: 'mmio', gpa: 0xd0000004, size: 2, value: 0, flags: 8 },
  ],
  ['kvm_fast_mmio: fast mmio at gpa 0xfee00000', { kind: 'mmio', gpa: 0xfee00000, flags: 1 }],
  ['kvm_msr: msr_read ce = 0x0 (#GP)', { kind: 'msr', code: 0xce, value: 0, flags: 8 }],
  ['kvm_msr: msr_write 830 = 0xb0000440b0', { kind: 'msr', code: 0x830, value: 0xb0000440b0, flags: 1 }],
  ['kvm_cr: cr_write 4 = 0x42220', { kind: 'cr', code: 4, value: 0x42220, flags: 1 }],
  [
    'kvm_cpuid: func 40000001 idx 0 rax 16 rbx 756e6547 rcx 6c65746e rdx 49656e69, cpuid entry found',
    {
      kind: 'cpuid',
      code: 0x40000001,
      info2: 0,
      text: 'rax 16 rbx 756e6547 rcx 6c65746e rdx 49656e69, cpuid entry found',
    },
  ],
  [
    'kvm_hypercall: nr 0x1 a0 0x68747541 a1 0x1 a2 0x18 a3 0x3',
    { kind: 'vmcall', code: 1, value: 0x68747541, text: 'a1 0x1 a2 0x18 a3 0x3' },
  ],
  ['kvm_emulate_insn: 0:10264:0f 32 (prot64)', { kind: 'emulate', rip: 0x10264, bytes: '0f32', text: '(prot64)' }],
  [
    'kvm_emulate_insn:     f0000:fff0: ea 5b e0 00 f0',
    { kind: 'emulate', rip: 0xfff0, code: 0xf0000, bytes: 'ea5be000f0' },
  ],
  ['kvm_inj_virq: IRQ 0x40 [reinjected]', { kind: 'inject', code: 0x40, text: 'IRQ [reinjected]' }],
  ['kvm_inj_virq: irq 32', { kind: 'inject', code: 32, text: 'irq' }],
  ['kvm_inj_virq: Soft/INTn 0x80', { kind: 'inject', code: 0x80, text: 'Soft/INTn' }],
  ['kvm_inj_exception: #PF (0x3)', { kind: 'inject', code: 14, error_code: 3 }],
  ['kvm_inj_exception: #DB [reinjected]', { kind: 'inject', code: 1, text: '[reinjected]' }],
  [
    'kvm_inj_exception:    [FAILED TO PARSE] exception=13 has_error=1 error_code=0 reinjected=1',
    { kind: 'inject', code: 13, error_code: 0, text: '[reinjected]' },
  ],
  [
    'kvm_inj_exception: [FAILED TO PARSE] exception=6 has_error=0 error_code=0 reinjected=0',
    { kind: 'inject', code: 6 },
  ],
  [
    'kvm_inj_exception: [FAILED TO PARSE] exception=14 has_error=1 error_code=16 reinjected=1',
    { kind: 'inject', code: 14, error_code: 16, text: '[reinjected]' },
  ],
  [
    // its numbers are decimal, which those of the print are not
    'kvm_mmu_set_spte: [FAILED TO PARSE] gfn=18 spte=16 sptep=32 level=1 r=1 x=1 u=1',
    {
      kind: 'mmu',
      tracepoint: 0,
      text: 'kvm_mmu_set_spte: [FAILED TO PARSE] gfn=18 spte=16 sptep=32 level=1 r=1 x=1 u=1',
    },
  ],
  [
    'kvm_mmu_get_page:     new sp gfn 7e 4 q0 direct wux pae nxe wp root 1 unsync',
    {
      kind: 'mmu_page',
      tracepoint: 0,
      gpa: 0x7_e000,
      code: 4,
      value: 1,
      flags: 32,
      text: 'kvm_mmu_get_page: new sp gfn 7e 4 q0 direct wux pae nxe wp root 1 unsync',
    },
  ],
  [
    'kvm_write_tsc_offset: vcpu=1 prev=18446744051902322694 next=18446744051902205616',
    {
      kind: 'clock',
      tracepoint: 0,
      code: 1,
      old: 18446744051902322694n,
      value: 18446744051902205616n,
      text: 'kvm_write_tsc_offset: vcpu=1 prev=18446744051902322694 next=18446744051902205616',
    },
  ],
  ['kvm_userspace_exit: reason KVM_EXIT_IO (2)', { kind: 'userspace_exit', code: 2 }],
  ['kvm_userspace_exit: reason restart (4)', { kind: 'userspace_exit', value: 4, text: 'restart' }],
  ['kvm_userspace_exit:   reason 0x1d (29)', { kind: 'userspace_exit', code: 29 }],
  [
    'kvm_apic_accept_irq: apicid 0 vec 176 (Fixed|edge)',
    { kind: 'irq', code: 176, value: 0, tracepoint: 0, text: 'kvm_apic_accept_irq: apicid 0 vec 176 (Fixed|edge)' },
  ],
  [
    'kvm_eoi: apicid 0 vector 64',
    { kind: 'irq', code: 64, value: 0, tracepoint: 0, text: 'kvm_eoi: apicid 0 vector 64' },
  ],
  [
    'kvm_set_irq: gsi 4 level 1 source 0',
    { kind: 'irq_line', code: 4, info2: 0, flags: 32, tracepoint: 0, text: 'kvm_set_irq: gsi 4 level 1 source 0' },
  ],
  [
    'vcpu_match_mmio: gva 0xd0001024 gpa 0xd0001024 Read GPA',
    {
      kind: 'mmio_cache',
      tracepoint: 0,
      gva: 0xd0001024,
      gpa: 0xd0001024,
      flags: 0,
      text: 'vcpu_match_mmio: gva 0xd0001024 gpa 0xd0001024 Read GPA',
    },
  ],
  [
    'kvm_invlpga: rip: 0x0000000000100020 asid: 1 address: 0x0000000000200000',
    {
      kind: 'invlpga',
      tracepoint: 0,
      rip: 0x10_0020,
      code: 1,
      gva: 0x20_0000,
      text: 'kvm_invlpga: rip: 0x0000000000100020 asid: 1 address: 0x0000000000200000',
    },
  ],
  [
    'kvm_try_async_get_page: gva = 0x7f0000001000, gfn = 0x1234',
    {
      kind: 'async_pf',
      tracepoint: 0,
      gva: 0x7f00_0000_1000,
      gpa: 0x123_4000,
      text: 'kvm_try_async_get_page: gva = 0x7f0000001000, gfn = 0x1234',
    },
  ],
  [
    'kvm_hv_send_ipi: vector d1 processor_mask 0x3',
    { kind: 'irq', code: 0xd1, value: 3, tracepoint: 0, text: 'kvm_hv_send_ipi: vector d1 processor_mask 0x3' },
  ],
  [
    'kvm_mmu_set_dirty_bit: gpa fee00000',
    { kind: 'mmu_walk', tracepoint: 0, gpa: 0xfee0_0000, text: 'kvm_mmu_set_dirty_bit: gpa fee00000' },
  ],
  ['kvm_fpu: load', { kind: 'fpu', flags: 32, tracepoint: 0, text: 'kvm_fpu: load' }],
  [
    'sched:sched_switch: prev_comm=x ==> next_comm=y',
    { kind: 'other', code: 0, tracepoint: 0, text: 'sched:sched_switch: prev_comm=x ==> next_comm=y' },
  ],
  [
    'kvm_exit: IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0xffff87259e30',
    { kind: 'other', code: 0, tracepoint: 0, text: 'kvm_exit: IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0xffff87259e30' },
  ],
];

const bare = ({ seq: _seq, vcpu: _vcpu, time_ns: _time, ...rest }: Event): object => rest;
const one = (text: string): Event => {
  const { events } = importText(`t-1 [000] 1.0: ${text}\n`);
  assert.equal(events.length, 1);
  return events[0] as Event;
};

describe('text of an event', () => {
  for (const [text, row] of TEXTS) {
    it(text, () => {
      assert.deepEqual(bare(one(text)), row);
    });
  }

  it('tells a guest physical address from a linear one by the exit that is served', () => {
    const served = (exit: string): Event | undefined =>
      importText(
        `t-1 [000] 1.0: ${exit}\nt-1 [000] 1.1: kvm_page_fault: vcpu 0 rip 0x10 address 0x1000 error_code 0x2\n`,
      ).events[1];
    const common = { kind: 'page_fault', rip: 0x10, parent: 0 };
    assert.deepEqual(bare(served('kvm_exit: reason EPT_VIOLATION rip 0x10 info 2 0') as Event), {
      ...common,
      gpa: 0x1000,
      qualification: 2,
    });
    assert.deepEqual(bare(served('kvm_exit: reason npf rip 0x10 info1 0x2 info2 0x1000') as Event), {
      ...common,
      gpa: 0x1000,
      qualification: 2,
    });
    assert.deepEqual(bare(served('kvm_exit: reason EXCEPTION_NMI rip 0x10 info 1000 80000b0e') as Event), {
      ...common,
      gva: 0x1000,
      error_code: 2,
    });
    assert.deepEqual(bare(one('kvm_page_fault: address 1000 error_code 14')), {
      kind: 'page_fault',
      qualification: 0x14,
      text: 'address 1000',
    });
  });

  it('knows every exit reason of both architectures by its names', () => {
    for (const { code, name } of VMX_EXIT_REASONS) {
      const { isa, reason } = one(`kvm_exit: vcpu 0 reason ${name} rip 0x0`);
      assert.deepEqual([isa, reason], [1, code], name);
    }
    for (const { code, name } of SVM_EXIT_CODES) {
      const { isa, reason } = one(`kvm_exit: reason EXIT_${name} rip 0x0 info 0 0`);
      assert.deepEqual([isa, BigInt(reason as number)], [2, code], name);
    }
  });

  it('takes the architecture of a number without a name from the lines before it', () => {
    const after = (name: string): unknown =>
      importText(`t-1 [000] 1.0: kvm_exit: reason ${name} rip 0x0\nt-1 [000] 1.1: kvm_exit: reason 0xa9 rip 0x0\n`)
        .events[1]?.isa;
    assert.equal(after('HLT'), 1);
    assert.equal(after('hlt'), 2);
  });
});

/** Symbols of the kernel's own print format, from `events/kvm/kvm_exit/format` of Linux 6.18. */
describe('names in the kernel', () => {
  it('prints SVM exceptions with a blank in their name', () => {
    for (const [vector, name] of [
      [0, 'DE'],
      [1, 'DB'],
      [13, 'GP'],
      [14, 'PF'],
      [19, 'XF'],
    ] as const) {
      assert.equal(one(`kvm_exit: vcpu 0 reason ${name} excp rip 0x0`).reason, 0x40 + vector);
    }
  });
});
