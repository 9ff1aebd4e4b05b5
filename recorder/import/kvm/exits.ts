/**
 * Tracepoints of what a guest exits for and how KVM serves it: arch/x86/kvm/trace.h and include/trace/events/kvm.h from
 * Linux 3.x to 6.18.
 */
import { type Filled, member, plain, same, type Tracepoint, type Tracepoints, VCPU } from './tracepoint.js';

/** Fields of an exit under every name: kvm_exit and the nested events, old, transitional and new. */
const EXIT: Tracepoint['fields'] = {
  ...VCPU,
  exit_reason: ['reason', 'reason %s'],
  exit_code: ['reason'],
  guest_rip: ['rip', 'rip %x'],
  rip: ['rip'],
  isa: ['isa'],
  info: ['info', 'info %x'],
  info1: ['qualification', 'info1 %x', 'ext_inf1 %x'],
  exit_info1: ['qualification'],
  info2: ['info2', 'info2 %x', 'ext_inf2 %x'],
  exit_info2: ['info2'],
  intr_info: ['intr_info', 'intr_info %x', 'int_info %x', 'ext_int %x'],
  exit_int_info: ['intr_info'],
  error_code: ['error_code', 'error_code %x', 'int_info_err %x', 'ext_int_err %x'],
  exit_int_info_err: ['error_code'],
  requests: ['rare', 'requests %x'],
};
const REASON = ['exit_reason|exit_code'];

const nestedEntry = (isa: Tracepoint['fields']): Tracepoint =>
  member(
    'nested_entry',
    {
      rip: ['rip', 'rip %x'],
      vmcb: ['vmcs', 'vmcb %x', 'vmcs %x'],
      vmcs: ['vmcs'],
      nested_rip: ['value', 'nested_rip %x', 'nrip %x'],
      event_inj: ['intr_info', 'event_inj %x'],
      ...isa,
    },
    ['rip'],
  );

const VMGEXIT = member(
  'vmgexit',
  {
    ...VCPU,
    exit_reason: ['code', 'exit_reason %x'],
    info1: ['qualification', 'exit_info1 %x'],
    info2: ['info2', 'exit_info2 %x'],
  },
  ['exit_reason'],
);

const SMM = member(
  'smm',
  { ...VCPU, entering: ['on', 'entering SMM=1', 'leaving SMM=0'], smbase: ['value', 'smbase %x'] },
  ['smbase'],
);

const special = (...names: readonly string[]): Tracepoint['fields'] =>
  Object.fromEntries(names.map((name): [string, Filled] => [name, ['special']]));

export const EXITS: Tracepoints = {
  kvm_entry: plain(
    'entry',
    {
      ...VCPU,
      rip: ['rip', 'rip %x'],
      guest_rip: ['rip'],
      ...same('intr_info', 'error_code'),
      immediate_exit: ['rare'],
    },
    ['vcpu_id'],
  ),
  kvm_exit: plain('exit', EXIT, REASON),
  kvm_nested_vmexit: plain('nested_exit', EXIT, REASON, { needsText: ['rip'] }),
  kvm_nested_vmexit_inject: plain('nested_inject', EXIT, REASON),
  kvm_nested_intr_vmexit: plain('nested_exit', same('rip'), ['rip']),
  kvm_nested_vmenter: nestedEntry({ isa: ['isa', 'vmcb=2', 'vmcs=1'] }),
  kvm_nested_vmrun: nestedEntry({}),
  kvm_nested_vmenter_failed: member('entry_failed', { err: ['failure', 'error %vmx_error'] }),
  kvm_nested_intercepts: member('nested_intercepts', {
    exceptions: ['code', 'excp %x'],
    intercept1: ['value', 'intercepts %x'],
    intercept: ['value', 'intercept %x'],
  }),
  kvm_page_fault: plain(
    'page_fault',
    {
      ...VCPU,
      guest_rip: ['rip', 'rip %x'],
      fault_address: ['address', 'address %x'],
      error_code: ['fault', 'error_code %x'],
    },
    ['fault_address', 'error_code'],
  ),
  kvm_rmp_fault: member(
    'page_fault',
    {
      ...VCPU,
      ...same('gpa'),
      pfn: ['value', 'pfn %x'],
      error_code: ['qualification', 'error_code %x'],
      rmp_level: ['code', 'rmp_level %d'],
      psmash_ret: ['info2', 'psmash_ret %d'],
    },
    ['gpa'],
  ),
  kvm_pio: plain(
    'io',
    {
      rw: ['write', 'pio_write=1', 'pio_read=0'],
      port: ['code', 'at %x'],
      size: ['size', 'size %u'],
      count: ['count', 'count %u'],
      val: ['value', 'val %x'],
    },
    ['rw', 'port'],
  ),
  kvm_mmio: plain(
    'mmio',
    {
      type: ['access', 'mmio write=2', 'mmio read=1', 'mmio unsatisfied-read=0'],
      len: ['size', 'len %u'],
      gpa: ['gpa', 'gpa %x'],
      val: ['value', 'val %x'],
    },
    ['type', 'gpa'],
  ),
  kvm_fast_mmio: plain('mmio', { gpa: ['gpa', 'fast mmio at gpa %x'] }, ['gpa'], { flags: 'write' }),
  kvm_msr: plain(
    'msr',
    {
      write: ['write', 'msr_write=1', 'msr_read=0'],
      ecx: ['code', 'msr_write %x', 'msr_read %x'],
      data: ['value', '= %x'],
      exception: ['refused'],
    },
    ['ecx', 'data'],
  ),
  kvm_cr: plain(
    'cr',
    {
      rw: ['write', 'cr_write=1', 'cr_read=0'],
      cr: ['code', 'cr_write %x', 'cr_read %x'],
      val: ['value', '= %x'],
    },
    ['cr', 'val'],
  ),
  kvm_cpuid: plain('cpuid', { function: ['code', 'func %x'], index: ['info2', 'idx %x'] }, ['function']),
  kvm_hypercall: plain('vmcall', { nr: ['code', 'nr %x'], a0: ['value', 'a0 %x'] }, ['nr']),
  kvm_xen_hypercall: member('vmcall', { nr: ['code', 'nr %x'], a0: ['value', 'a0 %x'], a1: ['info2', 'a1 %x'] }, [
    'nr',
  ]),
  kvm_hv_hypercall: member(
    'vmcall',
    {
      code: ['code', 'code %x'],
      fast: ['on', 'fast=1', 'slow=0'],
      ingpa: ['value', 'in %x'],
      outgpa: ['info2', 'out %x'],
    },
    ['code'],
  ),
  kvm_emulate_insn: plain(
    'emulate',
    { rip: ['rip'], ...special('csbase', 'len', 'insn', 'flags', 'failed') },
    ['rip', 'len', 'insn'],
    { special: 'emulate', needsText: ['rip'] },
  ),
  kvm_inj_virq: plain('inject', special('vector', 'irq', 'soft', 'reinjected'), ['vector|irq'], {
    special: 'interrupt',
    needsText: ['code'],
  }),
  kvm_inj_exception: plain(
    'inject',
    { exception: ['code'], ...special('has_error', 'error_code', 'reinjected') },
    ['exception'],
    { special: 'exception' },
  ),
  kvm_userspace_exit: plain('userspace_exit', special('reason', 'errno'), ['reason', 'errno'], {
    special: 'userspace',
  }),
  kvm_vmgexit_enter: VMGEXIT,
  kvm_vmgexit_exit: VMGEXIT,
  kvm_vmgexit_msr_protocol_enter: member('vmgexit', { ...VCPU, ghcb_gpa: ['value', 'ghcb_gpa %x'] }, ['ghcb_gpa']),
  kvm_vmgexit_msr_protocol_exit: member(
    'vmgexit',
    { ...VCPU, ghcb_gpa: ['value', 'ghcb_gpa %x'], result: ['info2', 'result %d'] },
    ['ghcb_gpa'],
  ),
  kvm_invlpga: member('invlpga', { ...same('rip'), asid: ['code', 'asid %d'], address: ['gva', 'address %x'] }, [
    'rip',
  ]),
  kvm_skinit: member('skinit', { ...same('rip'), slb: ['value', 'slb %x'] }, ['rip']),
  kvm_smm_transition: SMM,
  kvm_enter_smm: SMM,
  kvm_fpu: member('fpu', { load: ['on', 'load=1', 'unload=0'] }, ['load']),
  kvm_halt_poll_ns: member(
    'halt_poll',
    {
      ...VCPU,
      new: ['value', 'halt_poll_ns %u'],
      grow: ['on', 'grow=1', 'shrink=0'],
      old: ['old', 'grow %u', 'shrink %u'],
    },
    ['vcpu_id', 'new', 'old'],
  ),
  kvm_vcpu_wakeup: member('wakeup', { waited: ['on', 'wait=1', 'poll=0'], ns: ['value', 'time %d'] }, ['ns']),
  kvm_ple_window_update: member('ple_window', { ...VCPU, old: ['old', 'old %u'], new: ['value', 'new %u'] }, [
    'old',
    'new',
  ]),
  kvm_ple_window: member(
    'ple_window',
    {
      ...VCPU,
      new: ['value', 'ple_window %u'],
      grow: ['on', 'grow=1', 'shrink=0'],
      old: ['old', 'grow %u', 'shrink %u'],
    },
    ['old', 'new'],
  ),
};
