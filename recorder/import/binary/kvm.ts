/**
 * The events of Linux KVM in binary, as data: what each field of the kernel's records fills. The text importer's table
 * (../events.ts) says the same of what is printed. Field names: TP_STRUCT__entry of arch/x86/kvm/trace.h,
 * include/trace/events/kvm.h and arch/x86/kvm/mmu/mmutrace.h, Linux 3.x to 6.18. A field that is not listed is kept as
 * text with its name, an event that is not listed whole.
 */
import type { EventField, EventKind } from '../../../engine/observer.js';

/** What a field does that fills no column as it is. */
export const DOES = {
  vcpu: 1,
  isa: 2,
  reason: 3,
  /** Physical behind a nested page fault, linear behind an exception. */
  address: 4,
  fault: 5,
  /** A number, kept as text unless it is 1. */
  count: 6,
  /** Kept as text unless it is zero. */
  rare: 7,
  write: 8,
  refused: 9,
  /** kvm_mmio's: 0 unsatisfied read, 1 read, 2 write (KVM_TRACE_MMIO_*). */
  access: 10,
  /** The low byte is an interrupt vector: ICR, MSI data, I/O APIC redirection entry. */
  vector: 11,
  /** Read by what is special about the event. */
  special: 12,
} as const;
export type Doing = keyof typeof DOES;
export type Special = 'emulate' | 'interrupt' | 'exception' | 'userspace';

export interface KvmEvent {
  readonly kind: EventKind;
  readonly fields: { readonly [field: string]: EventField | Doing };
  /** One name of each must be there: events of other architectures share names with those of x86. */
  readonly needs: readonly (readonly string[])[];
  readonly flags?: 'write';
  readonly special?: Special;
  /** Keep every field as text, with the event's name. */
  readonly whole?: true;
}

const EXIT_FIELDS: KvmEvent['fields'] = {
  exit_reason: 'reason',
  exit_code: 'reason',
  guest_rip: 'rip',
  rip: 'rip',
  isa: 'isa',
  vcpu_id: 'vcpu',
  info1: 'qualification',
  exit_info1: 'qualification',
  info2: 'info2',
  exit_info2: 'info2',
  intr_info: 'intr_info',
  exit_int_info: 'intr_info',
  error_code: 'error_code',
  exit_int_info_err: 'error_code',
  requests: 'rare',
};
const REASON = [['exit_reason', 'exit_code']];
const NESTED_ENTRY: KvmEvent = {
  kind: 'nested_entry',
  fields: { rip: 'rip', vmcb: 'vmcs', vmcs: 'vmcs', isa: 'isa' },
  needs: [['rip']],
};
const ACCEPT = (fields: KvmEvent['fields'], needs: readonly string[]): KvmEvent => ({
  kind: 'irq',
  fields,
  needs: [needs],
  whole: true,
});
const VMGEXIT: KvmEvent = {
  kind: 'vmgexit',
  fields: { vcpu_id: 'vcpu', exit_reason: 'code', info1: 'qualification', info2: 'info2' },
  needs: [['exit_reason']],
  whole: true,
};
const PIN: KvmEvent = { kind: 'irq', fields: {}, needs: [], whole: true };

/** An event without a kind that says where in the guest it was. */
const PLACE = (field: 'rip' | 'gva' | 'gpa'): KvmEvent => ({
  kind: 'other',
  fields: { [field]: field },
  needs: [[field]],
  whole: true,
});

export const KVM_EVENTS: { readonly [name: string]: KvmEvent } = {
  kvm_entry: {
    kind: 'entry',
    fields: {
      vcpu_id: 'vcpu',
      rip: 'rip',
      guest_rip: 'rip',
      intr_info: 'intr_info',
      error_code: 'error_code',
      immediate_exit: 'rare',
    },
    needs: [['vcpu_id']],
  },
  kvm_exit: { kind: 'exit', fields: EXIT_FIELDS, needs: REASON },
  kvm_nested_vmexit: { kind: 'nested_exit', fields: EXIT_FIELDS, needs: REASON },
  kvm_nested_vmexit_inject: { kind: 'nested_inject', fields: EXIT_FIELDS, needs: REASON },
  kvm_nested_intr_vmexit: { kind: 'nested_exit', fields: { rip: 'rip' }, needs: [['rip']] },
  kvm_nested_vmenter: NESTED_ENTRY,
  kvm_nested_vmrun: NESTED_ENTRY,
  kvm_nested_vmenter_failed: { kind: 'entry_failed', fields: {}, needs: [], whole: true },
  kvm_page_fault: {
    kind: 'page_fault',
    fields: { vcpu_id: 'vcpu', guest_rip: 'rip', fault_address: 'address', error_code: 'fault' },
    needs: [['fault_address'], ['error_code']],
  },
  kvm_pio: {
    kind: 'io',
    fields: { rw: 'write', port: 'code', size: 'size', count: 'count', val: 'value' },
    needs: [['port']],
  },
  kvm_mmio: {
    kind: 'mmio',
    fields: { type: 'access', len: 'size', gpa: 'gpa', val: 'value' },
    needs: [['gpa'], ['type']],
  },
  kvm_fast_mmio: { kind: 'mmio', fields: { gpa: 'gpa' }, needs: [['gpa']], flags: 'write' },
  kvm_msr: {
    kind: 'msr',
    fields: { write: 'write', ecx: 'code', data: 'value', exception: 'refused' },
    needs: [['ecx'], ['data']],
  },
  kvm_cr: { kind: 'cr', fields: { rw: 'write', cr: 'code', val: 'value' }, needs: [['cr'], ['val']] },
  kvm_cpuid: { kind: 'cpuid', fields: { function: 'code' }, needs: [['function']] },
  kvm_hypercall: { kind: 'vmcall', fields: { nr: 'code', a0: 'value' }, needs: [['nr']] },
  kvm_xen_hypercall: { kind: 'vmcall', fields: { nr: 'code', a0: 'value' }, needs: [['nr']], whole: true },
  kvm_hv_hypercall: { kind: 'vmcall', fields: { code: 'code' }, needs: [['code']], whole: true },
  kvm_emulate_insn: {
    kind: 'emulate',
    fields: { rip: 'rip', csbase: 'special', len: 'special', insn: 'special', flags: 'special', failed: 'special' },
    needs: [['rip'], ['len'], ['insn']],
    special: 'emulate',
  },
  kvm_inj_virq: {
    kind: 'inject',
    fields: { vector: 'special', irq: 'special', soft: 'special', reinjected: 'special' },
    needs: [['vector', 'irq']],
    special: 'interrupt',
  },
  kvm_inj_exception: {
    kind: 'inject',
    fields: { exception: 'code', has_error: 'special', error_code: 'special', reinjected: 'special' },
    needs: [['exception']],
    special: 'exception',
  },
  kvm_userspace_exit: {
    kind: 'userspace_exit',
    fields: { reason: 'special', errno: 'special' },
    needs: [['reason'], ['errno']],
    special: 'userspace',
  },
  kvm_rmp_fault: { kind: 'page_fault', fields: { gpa: 'gpa' }, needs: [['gpa']], whole: true },
  kvm_apic_accept_irq: ACCEPT({ vec: 'code' }, ['vec']),
  kvm_apicv_accept_irq: ACCEPT({ vec: 'code' }, ['vec']),
  kvm_apic_ipi: ACCEPT({ icr_low: 'vector' }, ['icr_low']),
  kvm_msi_set_irq: ACCEPT({ data: 'vector' }, ['data']),
  kvm_ioapic_set_irq: ACCEPT({ e: 'vector' }, ['e']),
  kvm_ioapic_delayed_eoi_inj: ACCEPT({ e: 'vector' }, ['e']),
  kvm_eoi: ACCEPT({ vector: 'code' }, ['vector']),
  kvm_pv_eoi: ACCEPT({ vector: 'code' }, ['vector']),
  kvm_hv_send_ipi: ACCEPT({ vector: 'code' }, ['vector']),
  kvm_hv_send_ipi_ex: ACCEPT({ vector: 'code' }, ['vector']),
  kvm_hv_synic_set_irq: ACCEPT({ vector: 'code' }, ['vector']),
  kvm_hv_synic_send_eoi: ACCEPT({ vector: 'code' }, ['vector']),
  kvm_avic_incomplete_ipi: PIN,
  kvm_avic_kick_vcpu_slowpath: PIN,
  kvm_avic_doorbell: PIN,
  kvm_set_irq: PIN,
  kvm_pic_set_irq: PIN,
  kvm_ack_irq: PIN,
  kvm_halt_poll_ns: {
    kind: 'halt_poll',
    fields: { vcpu_id: 'vcpu', new: 'value', old: 'old' },
    needs: [['new'], ['old'], ['vcpu_id']],
    whole: true,
  },
  kvm_vcpu_wakeup: { kind: 'wakeup', fields: { ns: 'value' }, needs: [['ns']], whole: true },
  kvm_ple_window_update: {
    kind: 'ple_window',
    fields: { vcpu_id: 'vcpu', old: 'old', new: 'value' },
    needs: [['old'], ['new']],
    whole: true,
  },
  kvm_tdp_mmu_spte_changed: {
    kind: 'mmu',
    fields: { old_spte: 'old', new_spte: 'value' },
    needs: [['old_spte'], ['new_spte']],
    whole: true,
  },
  fast_page_fault: {
    kind: 'mmu',
    fields: { vcpu_id: 'vcpu', old_spte: 'old', new_spte: 'value' },
    needs: [['old_spte'], ['new_spte']],
    whole: true,
  },
  kvm_mmu_set_spte: { kind: 'mmu', fields: { spte: 'value' }, needs: [['spte'], ['gfn']], whole: true },
  kvm_vmgexit_enter: VMGEXIT,
  kvm_vmgexit_exit: VMGEXIT,
  kvm_invlpga: PLACE('rip'),
  kvm_skinit: PLACE('rip'),
  kvm_async_pf_not_present: PLACE('gva'),
  kvm_async_pf_ready: PLACE('gva'),
  kvm_async_pf_completed: PLACE('gva'),
  kvm_async_pf_repeated_fault: PLACE('gva'),
  kvm_try_async_get_page: PLACE('gva'),
  kvm_mmu_set_accessed_bit: PLACE('gpa'),
  kvm_mmu_set_dirty_bit: PLACE('gpa'),
  vcpu_match_mmio: { kind: 'other', fields: { gva: 'gva', gpa: 'gpa' }, needs: [['gva'], ['gpa']], whole: true },
};
