/**
 * The events of Linux KVM as text, as data: which kind of ours each is and which column each of its fields fills.
 * Sources: the `print fmt` lines of events/kvm/ and events/kvmmmu/ in tracefs (arch/x86/kvm/trace.h,
 * include/trace/events/kvm.h, arch/x86/kvm/mmu/mmutrace.h) from Linux 4.x to 6.18, and libtraceevent's plugin_kvm.c.
 * Events that are not listed are kept whole, with kind `other`.
 */
import { EVENT_FLAGS, EVENT_KINDS, type EventField, type EventKind } from '../../engine/observer.js';
import { ascii, NameTable } from './cursor.js';
import { FIELD } from './row.js';

/** What to do with the value behind a key. */
export type Key =
  | { readonly does: 'field'; readonly field: number; readonly radix: 10 | 16 }
  | { readonly does: 'vcpu' | 'reason' | 'info' | 'address' | 'fault' | 'count' | 'requests' };

export interface NamedKey {
  readonly name: Uint8Array;
  readonly key: Key;
}

export type Special = 'emulate' | 'interrupt' | 'exception' | 'userspace';

export interface EventSpec {
  readonly kind: number;
  /** How the text may begin, and the flags that each beginning stands for; the first that matches is taken. */
  readonly heads: readonly { readonly text: Uint8Array; readonly flags: number | null }[];
  /** Column of the value right behind the head. */
  readonly first: number | null;
  /** In the order in which the kernel prints them. */
  readonly keys: readonly NamedKey[];
  /** Keep the whole text, with the event's name; keys are looked for anywhere in it. */
  readonly whole: boolean;
  readonly special: Special | null;
  /** Fields that the event must have to be one. */
  readonly needs: number;
}

interface Draft {
  readonly kind: EventKind;
  readonly heads?: { readonly [text: string]: number | null };
  readonly first?: EventField;
  readonly keys?: { readonly [key: string]: Key };
  readonly whole?: boolean;
  readonly special?: Special;
  readonly needs?: readonly EventField[];
}

const hex = (field: EventField): Key => ({ does: 'field', field: FIELD[field], radix: 16 });
const decimal = (field: EventField): Key => ({ does: 'field', field: FIELD[field], radix: 10 });
const does = (what: 'vcpu' | 'reason' | 'info' | 'address' | 'fault' | 'count' | 'requests'): Key => ({ does: what });

/** Fields of an exit, in every spelling: kvm_exit and the nested events, old, transitional and new. */
const EXIT_KEYS: { readonly [key: string]: Key } = {
  vcpu: does('vcpu'),
  reason: does('reason'),
  rip: hex('rip'),
  info: does('info'),
  info1: hex('qualification'),
  ext_inf1: hex('qualification'),
  info2: hex('info2'),
  ext_inf2: hex('info2'),
  intr_info: hex('intr_info'),
  int_info: hex('intr_info'),
  ext_int: hex('intr_info'),
  error_code: hex('error_code'),
  int_info_err: hex('error_code'),
  ext_int_err: hex('error_code'),
  requests: does('requests'),
};

const ENTER: Draft = {
  kind: 'nested_entry',
  keys: { rip: hex('rip'), vmcs: hex('vmcs'), vmcb: hex('vmcs') },
  needs: ['rip'],
};
const ACCEPT: Draft = { kind: 'irq', whole: true, keys: { vec: decimal('code'), vector: decimal('code') } };
const VMGEXIT: Draft = {
  kind: 'vmgexit',
  whole: true,
  keys: { vcpu: does('vcpu'), exit_reason: hex('code'), exit_info1: hex('qualification'), exit_info2: hex('info2') },
  needs: ['code'],
};
const PIN: Draft = { kind: 'irq', whole: true };
const { write, refused } = EVENT_FLAGS;

/** An event without a kind that says where in the guest it was. */
const PLACE = (field: 'rip' | 'gva' | 'gpa'): Draft => ({ kind: 'other', whole: true, keys: { [field]: hex(field) } });

const DRAFTS: { readonly [name: string]: Draft } = {
  kvm_entry: {
    kind: 'entry',
    keys: { vcpu: does('vcpu'), rip: hex('rip'), intr_info: hex('intr_info'), error_code: hex('error_code') },
  },
  kvm_exit: { kind: 'exit', keys: EXIT_KEYS, needs: ['reason'] },
  kvm_nested_vmexit: { kind: 'nested_exit', keys: EXIT_KEYS, needs: ['rip'] },
  kvm_nested_vmexit_inject: { kind: 'nested_inject', keys: EXIT_KEYS, needs: ['reason'] },
  kvm_nested_intr_vmexit: { kind: 'nested_exit', keys: EXIT_KEYS, needs: ['rip'] },
  kvm_nested_vmenter: ENTER,
  kvm_nested_vmrun: ENTER,
  kvm_nested_vmenter_failed: { kind: 'entry_failed', whole: true },
  kvm_page_fault: {
    kind: 'page_fault',
    keys: { vcpu: does('vcpu'), rip: hex('rip'), address: does('address'), error_code: does('fault') },
    needs: [],
  },
  kvm_pio: {
    kind: 'io',
    heads: { 'pio_write ': write, 'pio_read ': 0 },
    keys: { at: hex('code'), size: decimal('size'), count: does('count'), val: hex('value') },
    needs: ['code'],
  },
  kvm_mmio: {
    kind: 'mmio',
    heads: { 'mmio write ': write, 'mmio read ': 0, 'mmio unsatisfied-read ': null },
    keys: { len: decimal('size'), gpa: hex('gpa'), val: hex('value') },
    needs: ['gpa'],
  },
  kvm_fast_mmio: { kind: 'mmio', heads: { 'fast mmio at gpa ': write }, first: 'gpa', needs: ['gpa'] },
  kvm_msr: {
    kind: 'msr',
    heads: { 'msr_write ': write, 'msr_read ': 0 },
    first: 'code',
    keys: { '=': hex('value') },
    needs: ['code', 'value'],
  },
  kvm_cr: {
    kind: 'cr',
    heads: { 'cr_write ': write, 'cr_read ': 0 },
    first: 'code',
    keys: { '=': hex('value') },
    needs: ['code', 'value'],
  },
  kvm_cpuid: { kind: 'cpuid', keys: { func: hex('code') }, needs: ['code'] },
  kvm_hypercall: { kind: 'vmcall', keys: { nr: hex('code'), a0: hex('value') }, needs: ['code'] },
  kvm_xen_hypercall: { kind: 'vmcall', whole: true, keys: { nr: hex('code'), a0: hex('value') }, needs: ['code'] },
  kvm_hv_hypercall: { kind: 'vmcall', whole: true, keys: { code: hex('code') }, needs: ['code'] },
  kvm_emulate_insn: { kind: 'emulate', special: 'emulate', needs: ['rip'] },
  kvm_inj_virq: { kind: 'inject', special: 'interrupt', needs: ['code'] },
  kvm_inj_exception: { kind: 'inject', special: 'exception', needs: ['code'] },
  kvm_userspace_exit: { kind: 'userspace_exit', special: 'userspace' },
  kvm_rmp_fault: { kind: 'page_fault', whole: true, keys: { gpa: hex('gpa') } },
  kvm_apic_accept_irq: ACCEPT,
  kvm_apicv_accept_irq: ACCEPT,
  kvm_apic_ipi: ACCEPT,
  kvm_msi_set_irq: ACCEPT,
  kvm_ioapic_set_irq: ACCEPT,
  kvm_ioapic_delayed_eoi_inj: ACCEPT,
  kvm_eoi: ACCEPT,
  kvm_pv_eoi: ACCEPT,
  kvm_hv_send_ipi: { kind: 'irq', whole: true, keys: { vector: hex('code') } },
  kvm_hv_send_ipi_ex: { kind: 'irq', whole: true, keys: { vector: hex('code') } },
  kvm_hv_synic_set_irq: ACCEPT,
  kvm_hv_synic_send_eoi: ACCEPT,
  kvm_avic_incomplete_ipi: PIN,
  kvm_avic_kick_vcpu_slowpath: PIN,
  kvm_avic_doorbell: PIN,
  kvm_set_irq: PIN,
  kvm_pic_set_irq: PIN,
  kvm_ack_irq: PIN,
  kvm_halt_poll_ns: {
    kind: 'halt_poll',
    whole: true,
    keys: { vcpu: does('vcpu'), halt_poll_ns: decimal('value'), grow: decimal('old'), shrink: decimal('old') },
    needs: ['value'],
  },
  kvm_vcpu_wakeup: { kind: 'wakeup', whole: true, keys: { time: decimal('value') }, needs: ['value'] },
  kvm_ple_window_update: {
    kind: 'ple_window',
    whole: true,
    keys: { vcpu: does('vcpu'), old: decimal('old'), new: decimal('value') },
    needs: ['old', 'value'],
  },
  kvm_tdp_mmu_spte_changed: {
    kind: 'mmu',
    whole: true,
    keys: { old_spte: hex('old'), new_spte: hex('value') },
    needs: ['old', 'value'],
  },
  fast_page_fault: {
    kind: 'mmu',
    whole: true,
    keys: { vcpu: does('vcpu'), old: hex('old'), new: hex('value') },
    needs: ['old', 'value'],
  },
  kvm_mmu_set_spte: { kind: 'mmu', whole: true, keys: { spte: hex('value') }, needs: ['value'] },
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
  vcpu_match_mmio: { kind: 'other', whole: true, keys: { gva: hex('gva'), gpa: hex('gpa') } },
};

const compile = (draft: Draft): EventSpec => ({
  kind: EVENT_KINDS[draft.kind],
  heads: Object.entries(draft.heads ?? {}).map(([text, flags]) => ({ text: ascii(text), flags })),
  first: draft.first === undefined ? null : FIELD[draft.first],
  keys: Object.entries(draft.keys ?? {}).map(([name, key]) => ({ name: ascii(name), key })),
  whole: draft.whole ?? false,
  special: draft.special ?? null,
  needs: (draft.needs ?? []).reduce((mask, field) => mask | (1 << FIELD[field]), 0),
});

export const EVENTS = new NameTable(Object.entries(DRAFTS).map(([name, draft]) => [name, compile(draft)] as const));

/** Bit that refused accesses get, for events that say so behind their fields. */
export const REFUSED = refused;
