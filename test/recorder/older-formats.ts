/**
 * Tracepoints of kernels before 6.1 whose fields or names are others since: what their format files describe, as
 * `type name` and the print. Interface facts of arch/x86/kvm/trace.h and include/trace/events/kvm.h, Linux 3.x to 5.19.
 */
const SIZES: { readonly [type: string]: number } = { bool: 1, u8: 1, u16: 2, u32: 4, int: 4, 'unsigned int': 4 };

/** A format file: fields one behind the other, each at a multiple of its size. */
function format(name: string, id: number, fields: readonly string[], print: string): string {
  let offset = 8;
  const lines = fields.map((field) => {
    const type = field.slice(0, field.lastIndexOf(' '));
    const size = SIZES[type] ?? 8;
    offset = Math.ceil(offset / size) * size;
    const line = `\tfield:${field};\toffset:${offset};\tsize:${size};\tsigned:${type === 'int' ? 1 : 0};`;
    offset += size;
    return line;
  });
  const pid = '\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;';
  return `name: ${name}\nID: ${id}\nformat:\n${[pid, '', ...lines].join('\n')}\n\nprint fmt: ${print}\n`;
}

const VCPU = 'unsigned int vcpu_id';
const EXIT = '__print_symbolic(REC->exit_reason & 0xffff, { 10, "CPUID" }, { 12, "HLT" }, { 49, "EPT_MISCONFIG" })';

/** By name: fields, and the print. */
const OLDER: readonly (readonly [name: string, fields: readonly string[], print: string])[] = [
  [
    'kvm_exit',
    ['unsigned int exit_reason', 'unsigned long guest_rip', 'u32 isa', 'u64 info1', 'u64 info2'],
    `"reason %s rip 0x%lx info %llx %llx", ${EXIT}, REC->guest_rip, REC->info1, REC->info2`,
  ],
  ['kvm_entry', [VCPU], '"vcpu %u", REC->vcpu_id'],
  [
    'kvm_page_fault',
    ['unsigned long fault_address', 'unsigned int error_code'],
    '"address %lx error_code %x", REC->fault_address, REC->error_code',
  ],
  ['kvm_inj_virq', ['unsigned int irq'], '"irq %u", REC->irq'],
  [
    'kvm_apic',
    ['unsigned int rw', 'unsigned int reg', 'unsigned int val'],
    '"apic_%s %s = 0x%x", REC->rw ? "write" : "read", __print_symbolic(REC->reg, { 0x80, "APIC_" "TASKPRI" }), REC->val',
  ],
  [
    'kvm_nested_vmrun',
    ['u64 rip', 'u64 vmcb', 'u64 nested_rip', 'u32 int_ctl', 'u32 event_inj', 'bool npt'],
    '"rip: 0x%016llx vmcb: 0x%016llx nrip: 0x%016llx int_ctl: 0x%08x event_inj: 0x%08x npt: %s", REC->rip, REC->vmcb, REC->nested_rip, REC->int_ctl, REC->event_inj, REC->npt ? "on" : "off"',
  ],
  [
    'kvm_nested_vmexit',
    [
      'u64 rip',
      'u32 exit_code',
      'u64 exit_info1',
      'u64 exit_info2',
      'u32 exit_int_info',
      'u32 exit_int_info_err',
      'u32 isa',
    ],
    `"rip: 0x%016llx reason: %s ext_inf1: 0x%016llx ext_inf2: 0x%016llx ext_int: 0x%08x ext_int_err: 0x%08x", REC->rip, ${EXIT.replace('exit_reason', 'exit_code')}, REC->exit_info1, REC->exit_info2, REC->exit_int_info, REC->exit_int_info_err`,
  ],
  [
    'kvm_ioapic_set_irq',
    ['u64 e', 'int pin', 'bool coalesced'],
    '"pin %u dst %x vec=%u (%s)%s", REC->pin, (u8)(REC->e >> 56), (u8)REC->e, (REC->e & (1<<15)) ? "level" : "edge", REC->coalesced ? " (coalesced)" : ""',
  ],
  [
    'kvm_hv_hypercall',
    ['u16 rep_cnt', 'u16 rep_idx', 'u64 ingpa', 'u64 outgpa', 'u16 code', 'bool fast'],
    '"code 0x%x %s cnt 0x%x idx 0x%x in 0x%llx out 0x%llx", REC->code, REC->fast ? "fast" : "slow", REC->rep_cnt, REC->rep_idx, REC->ingpa, REC->outgpa',
  ],
  [
    'kvm_hv_flush_tlb',
    ['u64 processor_mask', 'u64 address_space', 'u64 flags'],
    '"processor_mask 0x%llx address_space 0x%llx flags 0x%llx", REC->processor_mask, REC->address_space, REC->flags',
  ],
  [
    'kvm_ple_window',
    ['bool grow', VCPU, 'int new', 'int old'],
    '"vcpu %u: ple_window %d (%s %d)", REC->vcpu_id, REC->new, REC->grow ? "grow" : "shrink", REC->old',
  ],
  [
    'kvm_enter_smm',
    [VCPU, 'u64 smbase', 'bool entering'],
    '"vcpu %u: %s SMM, smbase 0x%llx", REC->vcpu_id, REC->entering ? "entering" : "leaving", REC->smbase',
  ],
  [
    'kvm_apicv_update_request',
    ['bool activate', 'unsigned long bit'],
    '"%s bit=%lu", REC->activate ? "activate" : "deactivate", REC->bit',
  ],
  [
    'kvm_pi_irte_update',
    ['unsigned int host_irq', VCPU, 'unsigned int gsi', 'unsigned int gvec', 'u64 pi_desc_addr', 'bool set'],
    '"VT-d PI is %s for irq %u, vcpu %u, gsi: 0x%x, gvec: 0x%x, pi_desc_addr: 0x%llx", REC->set ? "enabled and being updated" : "disabled", REC->host_irq, REC->vcpu_id, REC->gsi, REC->gvec, REC->pi_desc_addr',
  ],
  [
    'kvm_age_page',
    ['u64 hva', 'u64 gfn', 'u8 level', 'u8 referenced'],
    '"hva %llx gfn %llx level %u %s", REC->hva, REC->gfn, REC->level, REC->referenced ? "YOUNG" : "OLD"',
  ],
  ['kvm_set_spte_hva', ['unsigned long hva'], '"mmu notifier set pte hva: %#016lx", REC->hva'],
  ['kvm_async_pf_doublefault', ['u64 gva', 'u64 gfn'], '"gva = %#llx, gfn = %#llx", REC->gva, REC->gfn'],
  [
    'kvm_async_pf_completed',
    ['unsigned long address', 'u64 pfn', 'u64 gva'],
    '"gva %#llx address %#lx pfn %#llx", REC->gva, REC->address, REC->pfn',
  ],
  [
    'fast_page_fault',
    ['int vcpu_id', 'u64 gva', 'u32 error_code', 'u64 * sptep', 'u64 old_spte', 'u64 new_spte', 'bool retry'],
    '"vcpu %d gva %lx error_code %s sptep %p old %#llx new %llx spurious %d fixed %d", REC->vcpu_id, REC->gva, __print_flags(REC->error_code, "|", { 1, "P" }, { 2, "W" }, { 4, "U" }, { 8, "RSVD" }, { 16, "F" }), REC->sptep, REC->old_spte, REC->new_spte, REC->retry, 0',
  ],
  [
    'kvm_nested_intercepts',
    ['u16 cr_read', 'u16 cr_write', 'u32 exceptions', 'u64 intercept'],
    '"cr_read: %04x cr_write: %04x excp: %08x intercept: %016llx", REC->cr_read, REC->cr_write, REC->exceptions, REC->intercept',
  ],
];

/** Format files of the tracepoints as they were. */
export const OLDER_FORMATS: readonly { readonly system: string; readonly source: string }[] = OLDER.map(
  ([name, fields, print], i) => ({ system: 'kvm', source: format(name, 300 + i, fields, print) }),
);
