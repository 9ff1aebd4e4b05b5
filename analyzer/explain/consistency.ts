/**
 * Which rules KVM means when it refuses a nested VM entry: its tracepoint `kvm_nested_vmenter_failed` prints the
 * expression that was true (macro CC of arch/x86/kvm/vmx/nested.c, svm/nested.c and vmx/hyperv.c), and a rule is told by
 * the names in it. Wordings change between kernels and names seldom do; both were compared with Linux 5.11, 6.1 and 6.12.
 */
import { SVM_CHECKS } from '../../engine/svm/checks/table.js';
import { MSR_RULES } from '../../engine/vmx/checks/msr-loading.js';
import { CHECKS } from '../../engine/vmx/checks/table.js';
import { VM_ERROR } from '../../engine/vmx/controls.js';

/** What a message stands for; both are empty where KVM refuses by a rule that no manual has, or the text is not KVM's. */
export interface Consistency {
  /** Ids of the tables of checks; several where KVM judges them at once. */
  readonly checks: readonly string[];
  /** VM-instruction errors of what is judged before the tables; 0 for VMfailInvalid. */
  readonly errors: readonly number[];
}

/** Names that a message must have, and the ids that it stands for; `*` is any rest of an id. */
type Row = readonly [names: string, ids: string];
type ErrorRow = readonly [names: string, errors: readonly number[]];

const NOTHING: Consistency = { checks: [], errors: [] };
const VMFAIL_INVALID = 0;

const CONTROLS: readonly Row[] = [
  ['io_bitmap_a', 'controls.io_bitmap_a.*'],
  ['io_bitmap_b', 'controls.io_bitmap_b.*'],
  ['msr_bitmap', 'controls.msr_bitmap.*'],
  ['virtual_apic_page_addr', 'controls.virtual_apic.*'],
  ['apic_access_addr', 'controls.apic_access.*'],
  ['nested_cpu_has_virt_x2apic_mode', 'controls.x2apic.excludes_apic_accesses'],
  ['nested_cpu_has_vid nested_exit_on_intr', 'controls.interrupt_delivery.external'],
  ['nested_cpu_has_vid', 'controls.posted.delivery'],
  ['nested_exit_intr_ack_set', 'controls.posted.acknowledge'],
  ['posted_intr_nv', 'controls.posted.vector'],
  ['posted_intr_desc_addr', 'controls.posted.aligned controls.posted.width'],
  [
    'CPU_BASED_TPR_SHADOW',
    'controls.x2apic.needs_tpr_shadow controls.apic_registers.needs_tpr_shadow controls.interrupt_delivery.needs_tpr_shadow',
  ],
  ['vm_exit_msr_load_addr', 'controls.exit_msr_load.*'],
  ['vm_exit_msr_store_addr', 'controls.exit_msr_store.*'],
  ['vm_entry_msr_load_addr', 'controls.entry_msr_load.*'],
  ['nested_vmx_check_exit_msr_switch_controls', 'controls.exit_msr_load.* controls.exit_msr_store.*'],
  ['pml_address', 'controls.pml.aligned controls.pml.width'],
  ['SECONDARY_EXEC_UNRESTRICTED_GUEST', 'controls.unrestricted.needs_ept'],
  ['SECONDARY_EXEC_MODE_BASED_EPT_EXEC', 'controls.mode_based_execute.needs_ept'],
  ['eptp_list_address', 'controls.eptp_list.aligned controls.eptp_list.width'],
  ['vm_function_control', 'controls.vmfunc.reserved'],
  ['nested_cpu_has_ept', 'controls.pml.needs_ept controls.eptp_list.needs_ept'],
  ['vmread_bitmap', 'controls.vmread_bitmap.*'],
  ['vmwrite_bitmap', 'controls.vmwrite_bitmap.*'],
  ['nested_cpu_has_nmi_exiting nested_cpu_has_virtual_nmis', 'controls.virtual_nmis'],
  ['nested_cpu_has_virtual_nmis', 'controls.nmi_window'],
  ['VMX_EPTP_UC_BIT', 'controls.eptp.memory_type'],
  ['VMX_EPTP_WB_BIT', 'controls.eptp.memory_type'],
  ['VMX_EPT_PAGE_WALK_5_BIT', 'controls.eptp.walk'],
  ['VMX_EPT_PAGE_WALK_4_BIT', 'controls.eptp.walk'],
  ['VMX_EPT_AD_BIT', 'controls.eptp.accessed_dirty'],
  ['new_eptp', 'controls.eptp.reserved controls.eptp.shadow_stack controls.eptp.width'],
  ['nested_vmx_check_eptp', 'controls.eptp.*'],
  ['cr3_target_count', 'controls.cr3_targets'],
  ['virtual_processor_id', 'controls.vpid'],
  ['tsc_multiplier', 'controls.tsc_multiplier'],
  ['pin_based_vm_exec_control', 'controls.pin.reserved'],
  ['cpu_based_vm_exec_control', 'controls.primary.reserved'],
  ['secondary_vm_exec_control', 'controls.secondary.reserved'],
  ['vm_exit_controls vmx_control_verify', 'controls.exit.reserved'],
  ['vm_entry_controls vmx_control_verify', 'controls.entry.reserved'],
  ['EVMCS_PINCTRL', 'controls.pin.reserved'],
  ['EVMCS_EXEC_CTRL', 'controls.primary.reserved'],
  ['EVMCS_2NDEXEC', 'controls.secondary.reserved'],
  ['EVMCS_EXIT_CTRLS', 'controls.exit.reserved'],
  ['EVMCS_ENTRY_CTRLS', 'controls.entry.reserved'],
  ['EVMCS_VMFUNC', 'controls.vmfunc.reserved'],
  ['INTR_TYPE_RESERVED', 'controls.injection.type'],
  ['INTR_TYPE_OTHER_EVENT nested_cpu_supports_monitor_trap_flag', 'controls.injection.type'],
  ['INTR_TYPE_NMI_INTR vector', 'controls.injection.vector'],
  ['INTR_TYPE_HARD_EXCEPTION vector', 'controls.injection.vector'],
  ['INTR_TYPE_OTHER_EVENT vector', 'controls.injection.vector'],
  ['vm_entry_exception_error_code', 'controls.injection.error_code_reserved'],
  ['has_error_code', 'controls.injection.error_code'],
  ['INTR_INFO_RESVD_BITS_MASK', 'controls.injection.reserved'],
  ['vm_entry_instruction_len', 'controls.injection.length'],
  ['nested_cpu_has_zero_length_injection', 'controls.injection.length'],
];

const MSR_LOADING: readonly Row[] = [
  ['X2APIC_ENABLE index', 'msr_load.x2apic'],
  ['MSR_IA32_UCODE_WRITE', 'msr_load.microcode'],
  ['MSR_IA32_UCODE_REV', 'msr_load.microcode'],
  ['MSR_FS_BASE', 'msr_load.segment_base'],
  ['MSR_GS_BASE', 'msr_load.segment_base'],
  ['MSR_IA32_SMM_MONITOR_CTL', 'msr_load.smm_monitor'],
  ['e reserved', 'msr_load.reserved'],
];

const SELECTORS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'tr'];
const BASES = ['fs', 'gs', 'gdtr', 'idtr', 'tr'];

const HOST: readonly Row[] = [
  ['nested_host_cr0_valid', 'host.cr0.fixed'],
  ['nested_host_cr4_valid', 'host.cr4.fixed'],
  ['host_cr3', 'host.cr3.width'],
  ['host_cr4 X86_CR4_CET', 'host.cr4.cet_needs_wp'],
  ['host_cr4 X86_CR4_PAE', 'host.cr4.pae'],
  ['host_cr4 X86_CR4_PCIDE', 'host.cr4.pcide'],
  ['host_ia32_sysenter_esp', 'host.sysenter_esp.canonical'],
  ['host_ia32_sysenter_eip', 'host.sysenter_eip.canonical'],
  ['host_ia32_pat', 'host.pat'],
  ['host_ia32_perf_global_ctrl', 'host.perf_global_ctrl.reserved'],
  ['VM_EXIT_HOST_ADDR_SPACE_SIZE', 'host.address_space.host64_from_32 host.address_space.host32_from_64'],
  ['VM_ENTRY_IA32E_MODE', 'host.address_space.guest64_from_32 host.address_space.guest64_on_host32'],
  ['is_noncanonical_address host_rip', 'host.rip.canonical'],
  ['is_l1_noncanonical_address_on_vmexit', 'host.rip.canonical'],
  ['host_rip', 'host.rip.high'],
  ...SELECTORS.flatMap((name): Row[] => [
    [`host_${name}_selector SEGMENT_RPL_MASK`, `host.${name}.selector`],
    ...(/cs|ss|tr/.test(name) ? [[`host_${name}_selector`, `host.${name}.null`] as const] : []),
  ]),
  ...BASES.map((name): Row => [`host_${name}_base`, `host.${name}.base`]),
  ['kvm_valid_efer host_ia32_efer', 'host.efer.reserved'],
  ['host_ia32_efer EFER_LMA', 'host.efer.lma'],
  ['host_ia32_efer EFER_LME', 'host.efer.lme'],
  ['host_s_cet', 'host.s_cet.address'],
  ['host_ssp', 'host.ssp.address'],
];

/** KVM judges both sides by one function, whose message does not say of which it speaks. */
const EITHER_SIDE: readonly Row[] = [
  ['kvm_is_valid_u_s_cet', 'host.s_cet.* guest.s_cet.* svm.s_cet.reserved svm.u_cet.reserved'],
  ['IS_ALIGNED ssp', 'host.ssp.aligned guest.ssp.aligned'],
  ['ssp_tbl', 'host.interrupt_ssp_table.canonical guest.interrupt_ssp_table.canonical'],
];

const GUEST: readonly Row[] = [
  ['nested_guest_cr0_valid', 'guest.cr0.fixed'],
  ['nested_guest_cr4_valid', 'guest.cr4.fixed'],
  ['guest_cr4 X86_CR4_CET', 'guest.cr4.cet_needs_wp'],
  ['guest_cr0 X86_CR0_PG X86_CR0_PE', 'guest.cr0.paging_needs_protection'],
  ['guest_cr4 X86_CR4_PAE', 'guest.cr4.ia32e_needs_pae'],
  ['guest_ia32_efer EFER_LMA', 'guest.efer.lma'],
  ['guest_ia32_efer EFER_LME', 'guest.efer.lme'],
  ['guest_cr0 X86_CR0_PG ia32e', 'guest.cr0.ia32e_needs_paging'],
  ['guest_dr7', 'guest.dr7.high'],
  ['vmx_is_valid_debugctl', 'guest.debugctl.*'],
  ['guest_ia32_pat', 'guest.pat'],
  ['guest_ia32_perf_global_ctrl', 'guest.perf_global_ctrl.reserved'],
  ['kvm_valid_efer guest_ia32_efer', 'guest.efer.reserved'],
  ['guest_bndcfgs MSR_IA32_BNDCFGS_RSVD', 'guest.bndcfgs.reserved'],
  ['guest_bndcfgs', 'guest.bndcfgs.canonical'],
  ['guest_ssp', 'guest.ssp.linear_width'],
  ['guest_activity_state', 'guest.activity.supported'],
  ['page_address_valid vmcs_link_pointer', 'guest.link.aligned guest.link.width'],
  ['vmcs_link_pointer', 'guest.link.revision guest.link.shadow'],
  ['kvm_read_guest_offset_cached vmcs12 hdr', 'guest.link.revision guest.link.shadow'],
  ['hdr revision_id', 'guest.link.revision'],
  ['hdr shadow_vmcs nested_cpu_has_shadow_vmcs', 'guest.link.shadow'],
  [
    'vmx_guest_state_valid',
    'guest.cs.* guest.ss.* guest.ds.* guest.es.* guest.fs.* guest.gs.* guest.tr.* guest.ldtr.*',
  ],
];

/** In the code of both vendors. */
const CR3: readonly Row[] = [
  ['save cr3', 'svm.cr3.reserved'],
  ['load_pdptrs', 'guest.pdpte0.* guest.pdpte1.* guest.pdpte2.* guest.pdpte3.* svm.pdpe*'],
  ['kvm_vcpu_is_legal_cr3 cr3', 'guest.cr3.width svm.cr3.reserved'],
  ['nested_cr3_valid cr3', 'guest.cr3.width svm.cr3.reserved'],
  ['kvm_vcpu_is_illegal_gpa cr3', 'guest.cr3.width svm.cr3.reserved'],
];

const VMRUN: readonly Row[] = [
  ['INTERCEPT_VMRUN', 'svm.vmrun_intercept'],
  ['asid', 'svm.asid'],
  ['nested_cr3', 'svm.nested_cr3.reserved'],
  ['msrpm_base_pa', 'svm.msrpm'],
  ['iopm_base_pa', 'svm.iopm'],
  ['V_NMI_ENABLE_MASK', 'svm.nmi_virtualization'],
  ['tlb_ctl', 'svm.tlb_control'],
  ['event_inj', 'svm.injection.*'],
  ['g_pat', 'svm.g_pat'],
  ['l1_cr0 X86_CR0_PG', 'svm.nested_paging.host'],
  ['EFER_SVME', 'svm.efer.svme'],
  ['cr0 X86_CR0_CD X86_CR0_NW', 'svm.cr0.nw_needs_cd'],
  ['cr0 X86_CR0_PE', 'svm.long_mode.protection'],
  ['cr4 X86_CR4_PAE', 'svm.long_mode.pae'],
  ['save cr0', 'svm.cr0.high'],
  ['kvm_dr6_valid', 'svm.dr6.high'],
  ['kvm_dr7_valid', 'svm.dr7.high'],
  ['cs attrib', 'svm.cs.l_and_d'],
  ['save cr4', 'svm.cr4.reserved svm.cr4.supported'],
  ['kvm_valid_efer', 'svm.efer.reserved svm.efer.supported svm.efer.long_mode'],
];

/** What an entry judges before it looks at any state. */
const BEFORE: readonly ErrorRow[] = [
  ['evmptrld_status', [VMFAIL_INVALID]],
  ['current_vmptr', [VMFAIL_INVALID]],
  ['KVM_X86_SHADOW_INT_MOV_SS', [VM_ERROR.entryMovSs]],
  ['launch_state', [VM_ERROR.vmlaunchNotClear, VM_ERROR.vmresumeNotLaunched]],
  ['vmcs12 hdr shadow_vmcs', [VMFAIL_INVALID]],
];

const ROWS: readonly Row[] = [...CONTROLS, ...MSR_LOADING, ...HOST, ...EITHER_SIDE, ...GUEST, ...CR3, ...VMRUN];

const IDS: readonly string[] = [...CHECKS, ...MSR_RULES, ...SVM_CHECKS].map(({ id }) => id);

const expand = (pattern: string): readonly string[] =>
  pattern.endsWith('*') ? IDS.filter((id) => id.startsWith(pattern.slice(0, -1))) : [pattern];

const NAME = /\b[A-Za-z_]\w*/g;

/** The rules that a message of `kvm_nested_vmenter_failed` stands for; the first row all of whose names it has counts. */
export function consistencyOf(message: string): Consistency {
  const found = new Set(message.match(NAME));
  const fits = ([names]: Row | ErrorRow): boolean => names.split(' ').every((name) => found.has(name));
  const row = ROWS.find(fits);
  if (row !== undefined) return { checks: row[1].split(' ').flatMap(expand), errors: [] };
  const before = BEFORE.find(fits);
  return before === undefined ? NOTHING : { checks: [], errors: before[1] };
}
