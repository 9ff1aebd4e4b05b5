/**
 * What usually breaks a rule of a VM entry: whose code writes the field, and what it forgot. Functions named are those of
 * Linux KVM. A row of the tables may have a cause of its own.
 */
import type { CauseFamily } from '../../check-causes.js';

const CONTROLS: readonly CauseFamily[] = [
  [
    /^controls\.cr3_targets$/,
    'the CR3-target count was never written on this VMCS (VMCLEAR zeroes no field), or set without asking IA32_VMX_MISC, which gives 4 on most processors',
  ],
  [
    /^controls\.(exit|entry)_msr_(load|store)\.aligned$/,
    'the MSR list lies in a structure without 16-byte alignment: its entries have 16 bytes each, and the address field wants the first of them (KVM: msr_autoload of struct vcpu_vmx, written by init_vmcs)',
  ],
  [
    /^controls\.(exit|entry)_msr_(load|store)\.(width|end)$/,
    'the MSR-list address is a virtual one or of another level (vmcs12 holds addresses of L1), or the count was never written or counts bytes: an area is 16 bytes for each entry',
  ],
  [
    /^controls\.ipi\.(aligned|width|end)$/,
    'the PID-pointer table is given by its virtual address, or its last index counts bytes or vCPUs beyond the table (KVM: init_vmcs, from pid_table and max_vcpu_ids - 1)',
  ],
  [
    /^controls\.posted\.(aligned|width)$/,
    'the posted-interrupt descriptor was moved in its structure and lost its 64-byte alignment, or its virtual address was written (KVM: init_vmcs writes __pa of the pi_desc; for L2, nested_get_vmcs12_pages maps the page of L1 and adds the offset)',
  ],
  [
    /^controls\.eptp\.(memory_type|walk|accessed_dirty|shadow_stack|reserved)$/,
    'the EPT pointer is the bare address of the top table: it wants memory type (6, write-back) in bits 2:0 and the walk length minus 1 in bits 5:3, and bits 6 and 7 only where IA32_VMX_EPT_VPID_CAP has them (KVM: construct_eptp)',
  ],
  [
    /^controls\.eptp\.width$/,
    'the EPT pointer was built before the top table existed (INVALID_PAGE, all ones), from its virtual address, or from one of L1 without translation (KVM: vmx_load_mmu_pgd)',
  ],
  [
    /^controls\.executive\./,
    'the executive-VMCS pointer is only for an SMM-transfer monitor that returns from SMM; it was overwritten between the SMM VM exit, which sets it, and the entry',
  ],
  [
    /^controls\.(io_bitmap_[ab]|msr_bitmap|vmread_bitmap|vmwrite_bitmap)\.(aligned|width)$/,
    'a bitmap field got the virtual address of the bitmap, or an address inside a page: it wants the physical address of a page of its own; where bitmaps of L1 are merged, the merged page and not that of vmcs12',
  ],
  [
    /^controls\.(virtual_apic|apic_access)\.(aligned|width)$/,
    'the APIC page was not allocated yet or is given by its virtual address; for L2, the address in vmcs12 is one of L1 and was not mapped (KVM: init_vmcs, vmx_set_apic_access_page_addr, nested_get_vmcs12_pages)',
  ],
  [
    /^controls\.(pml|sub_page|eptp_list|ve_information|hlat|pasid_low|pasid_high)\.(aligned|width|reserved)$/,
    'the control was turned on before its table was allocated, or the field got a virtual address, or one inside a page, or one of L1: it wants the physical address of a whole page, no flags in the low bits',
  ],
  [
    /^controls\.tpr_threshold\.reserved$/,
    'the whole task-priority byte was written as TPR threshold: it is the priority class, bits 7:4 of it, shifted down to bits 3:0 (KVM: vmx_update_cr8_intercept)',
  ],
  [
    /^controls\.tpr_threshold\.vtpr$/,
    'the TPR threshold was raised for a pending interrupt, and the virtual APIC page holds a lower task priority: threshold and VTPR (80H) were not updated together, or the page belongs to another vCPU',
  ],
  [
    /^controls\.(x2apic|apic_registers|interrupt_delivery|ipi)\.needs_tpr_shadow$/,
    'the local APIC was taken away from user space or the TPR shadow was cleared for L2, and the controls that build on it stayed in the secondary or tertiary controls (KVM: vmx_set_virtual_apic_mode, prepare_vmcs02_early)',
  ],
  [
    /^controls\.x2apic\.excludes_apic_accesses$/,
    'the guest switched between xAPIC and x2APIC mode, and the one control was set before the other was cleared: both bits change in one write (KVM: vmx_set_virtual_apic_mode)',
  ],
  [
    /^controls\.(virtual_nmis|nmi_window)$/,
    'NMI controls were merged bit by bit, often from those of L1: NMI-window exiting builds on virtual NMIs and those on NMI exiting, so that clearing the lower one must clear the others (KVM: vmx_enable_nmi_window, nested_vmx_check_nmi_controls)',
  ],
  [
    /^controls\.(interrupt_delivery\.external|posted\.(delivery|acknowledge)|apic_timer\.delivery)$/,
    'APICv was switched off or masked in one group of controls and not in the others: external-interrupt exiting, virtual-interrupt delivery, posted interrupts (with acknowledge on exit) and the APIC timer go together (KVM: vmx_refresh_apicv_exec_ctrl)',
  ],
  [
    /^controls\.(posted|apic_timer)\.vector$/,
    'more than a vector was written: the field takes 0 to 255, without delivery mode or mask bits of the local vector table (KVM: POSTED_INTR_VECTOR in init_vmcs; from vmcs12 it must be checked)',
  ],
  [
    /^controls\.apic_timer\.rdtsc_exiting$/,
    'RDTSC exiting was turned on, for time keeping or because L1 asked, while the virtual APIC timer stayed on; it counts by the TSC that the guest reads',
  ],
  [
    /^controls\.vpid$/,
    '"enable VPID" is on and no identifier was allocated: 0 belongs to the host (KVM: allocate_vpid gives 0 when all are taken, and then the control must be off; for L2, vpid02)',
  ],
  [
    /^controls\.(pml|unrestricted|mode_based_execute|sub_page|eptp_list|hlat|paging_write|guest_paging_verification|pebs_guest_physical|pt_guest_physical)\.needs_ept$/,
    'EPT was turned off (ept=0, or by L1 for its guest), and what builds on it stayed on: mask the controls that need EPT wherever EPT is masked (KVM: vmx_secondary_exec_control, prepare_vmcs02_early)',
  ],
  [
    /^controls\.pt_guest_physical\.entry$/,
    'Intel PT was given to the guest in the secondary controls, and the entry and exit controls that load and clear IA32_RTIT_CTL were not set with it (KVM: pt_mode=1, vmx_vmentry_ctrl and vmx_vmexit_ctrl)',
  ],
  [
    /^controls\.vmfunc\.reserved$/,
    'a VM function was enabled that IA32_VMX_VMFUNC (491H) does not report: only bit 0, EPTP switching, is common',
  ],
  [
    /^controls\.tsc_multiplier$/,
    '"use TSC scaling" is on and the multiplier was never written: 1.0 is 1 << 48, and 0 is no ratio (KVM: vmx_write_tsc_multiplier)',
  ],
  [
    /^controls\.save_timer$/,
    'the VMX-preemption timer was stopped by its pin control alone, and "save VMX-preemption timer value" stayed in the VM-exit controls; for L2, the one came from L1 and the other did not',
  ],
  [
    /^controls\.(entry_to_smm|dual_monitor)\./,
    'the VM-entry controls were taken from elsewhere as a whole: bits 10 and 11 are only for an SMM-transfer monitor that runs in SMM, every other hypervisor keeps them 0',
  ],
  [
    /^controls\.injection\.error_code_reserved$/,
    'a 32-bit value with stale upper bits, or a page-fault code of another format (EPT or NPF), was written as error code: bits 31:16 are 0, also of the #PF of the guest',
  ],
  [
    /^controls\.injection\.length$/,
    'a software interrupt or exception (INT n, INT3, INTO) is injected again after an exit, and VM_ENTRY_INSTRUCTION_LEN was not copied from the VM-exit instruction length (KVM: __vmx_complete_interrupts, event_exit_inst_len)',
  ],
  [
    /^controls\.injection\./,
    'VM_ENTRY_INTR_INFO_FIELD was put together wrongly, or IDT-vectoring information was copied as it is: type in bits 10:8 fits the vector, bit 11 only with an error code, bit 12 of the exit information is undefined, and the rest is 0 (KVM: vmx_inject_exception, vmx_inject_irq, __vmx_complete_interrupts)',
  ],
];

const HOST: readonly CauseFamily[] = [
  [
    /^host\.cr[04]\.fixed$/,
    'the field holds a CR0 or CR4 that the processor does not run with: written once when the VMCS was made and stale since (CR4 changes at run time), or made up; copy the live registers (KVM: vmx_set_constant_host_state, and HOST_CR4 again before each entry)',
  ],
  [
    /^host\.cr4\.(cet_needs_wp|pcide|pae|fred)$/,
    'host CR0, CR4 and "host address-space size" were not read from the same running host: a 64-bit host has PAE and the control on, a 32-bit one neither PCIDE nor FRED',
  ],
  [
    /^host\.cr3\.width$/,
    'HOST_CR3 holds more than the root table: bit 63 (no flush) of a MOV to CR3 is not kept by the register and must not be written here, nor a virtual address (KVM: __get_current_cr3_fast, when the process changes)',
  ],
  [
    /^host\.sysenter_e[si]p\.canonical$/,
    'the SYSENTER MSRs were not read on the processor that enters: HOST_IA32_SYSENTER_ESP is of each CPU and wants to be written again when the vCPU moves (KVM: vmx_vcpu_load_vmcs)',
  ],
  [
    /^host\.(perf_global_ctrl|spec_ctrl|s_cet|efer|pkrs)\.(reserved|high)$/,
    'the VM-exit control that loads the MSR was turned on, and its host field was never written (VMCLEAR zeroes none) or got the value of the guest: read the MSR of the host with RDMSR and write that',
  ],
  [
    /^host\.pat$/,
    '"load IA32_PAT" is on for exits and HOST_IA32_PAT was never written, or byte by byte with types 2 or 3, which are reserved: copy MSR 277H of the host',
  ],
  [
    /^host\.efer\.lm[ae]$/,
    'HOST_IA32_EFER and "host address-space size" disagree: EFER of a 64-bit host has LMA and LME both, and was copied without LMA or from the guest (KVM: vmx_set_constant_host_state writes kvm_host.efer)',
  ],
  [
    /^host\.(s_cet|ssp|interrupt_ssp_table)\./,
    'the VM-exit control "load CET state" was turned on without writing the host fields, or a shadow-stack pointer was taken from user space: it is 4-byte aligned and 0 where the kernel uses no shadow stack',
  ],
  [
    /^host\.fred_/,
    'the VM-exit control "load FRED" is on and the host FRED fields are stale, from another CPU, or the end of a stack without its alignment (64 bytes for stacks, 8 for shadow stacks): copy the FRED MSRs of the CPU that enters',
  ],
  [
    /^host\.[cdefgst][sr]\.selector$/,
    'a selector of user space (RPL 3) or of the LDT was stored: user segments are still in DS, ES, FS or GS after a context switch; write 0 instead and load the register yourself after the exit (KVM: vmx_prepare_switch_to_guest, vmx_set_host_fs_gs)',
  ],
  [
    /^host\.(cs|tr|ss)\.null$/,
    'the host selectors were never written on this VMCS, or no task register was loaded (a UEFI or bare-metal hypervisor must load one with LTR); a null SS is for 64-bit hosts alone',
  ],
  [
    /^host\.(gdtr|idtr|tr)\.base$/,
    'the base was put together wrongly from a descriptor (a 64-bit TSS descriptor has bits 63:32 in its second half) or read by SGDT or SIDT into a structure with another layout: the limit is 2 bytes, then comes the base',
  ],
  [
    /^host\.[fg]s\.base$/,
    'the base was read from the descriptor instead of IA32_FS_BASE or IA32_GS_BASE, or an FS base of user space was left after a context switch (KVM: vmx_set_host_fs_gs)',
  ],
  [
    /^host\.address_space\./,
    '"host address-space size" (exit) or "IA-32e mode guest" (entry) does not fit the mode in which VMLAUNCH runs: a 64-bit host sets the first, and only such a host can have a 64-bit guest',
  ],
  [
    /^host\.rip\.(high|canonical)$/,
    'HOST_RIP was not written on this VMCS, or lost its upper half by a 32-bit write: it is the address of the exit handler (KVM: vmx_vmexit in vmx_set_constant_host_state)',
  ],
];

const GUEST_REGISTERS: readonly CauseFamily[] = [
  [
    /^guest\.(cr0\.paging_needs_protection|cr0\.ia32e_needs_paging|cr4\.ia32e_needs_pae|cr4\.(pcide|fred)|efer\.lm[ae])$/,
    'CR0, CR4, EFER and "IA-32e mode guest" were written in different steps of a mode switch, or restored in part (KVM_SET_SREGS, nested state): LMA = LME and CR0.PG, the entry control is LMA, and long mode needs PAE (KVM: vmx_set_efer, enter_lmode, exit_lmode)',
  ],
  [
    /^guest\.cr4\.cet_needs_wp$/,
    'CR0 and CR4 were restored one by one: CET was set while WP is still 0, or WP cleared without the #GP that a guest with CET would get',
  ],
  [
    /^guest\.cr3\.width$/,
    'CR3 from the guest or from user space was not checked against MAXPHYADDR (as CPUID of the guest gives it), or bit 63 of a MOV to CR3 with PCIDs was kept; with shadow paging it is the root of the shadow tables',
  ],
  [
    /^guest\.dr7\.high$/,
    'a 64-bit DR7 was taken from user space (KVM_SET_DEBUGREGS, KVM_SET_GUEST_DEBUG) or from vmcs12 without clearing bits 63:32, often sign-extended from an int',
  ],
  [
    /^guest\.(debugctl\.(reserved|supported)|s_cet\.supported)$/,
    'the MSR got bits that this processor lacks: from a WRMSR of the guest that was not checked, from KVM_SET_MSRS after a migration, or the host value with more features',
  ],
  [
    /^guest\.(perf_global_ctrl|efer|bndcfgs|rtit_ctl|lbr_ctl|spec_ctrl|s_cet)\.reserved$|^guest\.(pkrs|uinv)\.high$/,
    'the entry control that loads this MSR is on and the field holds a value that WRMSR would refuse: not checked when it came from KVM_SET_MSRS, KVM_SET_SREGS or vmcs12, from a processor with more features, or never written since VMCLEAR',
  ],
  [
    /^guest\.pat$/,
    'a byte of PAT has type 2 or 3 or above 7, which are reserved: a value from user space or vmcs12 was not checked (kvm_pat_valid), or the field was never written; the value after reset is 0x0007040600070406',
  ],
  [
    /^guest\.(sysenter_e[si]p|bndcfgs|s_cet|interrupt_ssp_table)\.canonical$/,
    'the pointer came from KVM_SET_MSRS, nested state or a WRMSR that the hypervisor handled without the check for canonical addresses that WRMSR makes; a 57-bit address of another host also does it',
  ],
  [
    /^guest\.fred_(config|[rs]sp\d)\./,
    'FRED MSRs were restored (KVM_SET_MSRS) or given by L1 without the checks of WRMSR: canonical, stacks 64-byte and shadow stacks 8-byte aligned, reserved bits 0; or "load FRED" is on and they were never written',
  ],
  [
    /^guest\.ss\.fred_/,
    'CS, SS, RFLAGS and CR4.FRED were restored in part or emulated for a guest that uses FRED: it runs at DPL 0 in 64-bit mode or at DPL 3 with IOPL 0, and nothing between',
  ],
  [
    /^guest\.rip\./,
    'RIP was advanced over an emulated instruction without wrapping it at 32 bits, kept from 64-bit mode after CS.L went to 0, or set by user space (KVM_SET_REGS) without a check (KVM: skip_emulated_instruction, kvm_rip_write)',
  ],
  [
    /^guest\.rflags\.(reserved|bit1)$/,
    'RFLAGS was zeroed or written raw: bit 1 is always 1, and 0x2 is the value after reset. Usual writers: KVM_SET_REGS with a zeroed structure, a guest state that was cleared by memset, a restored snapshot',
  ],
  [
    /^guest\.rflags\.vm_/,
    'RFLAGS.VM was kept while the guest left protected mode or entered long mode: flags that emulation of real mode sets (KVM: vmx_set_rflags, rmode.save_rflags) were not taken back, or RFLAGS was restored without CR0 and EFER',
  ],
  [
    /^guest\.ssp\./,
    'SSP is that of an earlier guest or of user space, left in the VMCS on reset or a mode switch, or taken from KVM_SET_ONE_REG without a check: it is 4-byte aligned and fits the linear-address width',
  ],
];

const SEGMENT = '(cs|ss|ds|es|fs|gs)';
const GUEST_SEGMENTS: readonly CauseFamily[] = [
  [
    new RegExp(`^guest\\.${SEGMENT}\\.v86_`),
    'RFLAGS.VM is 1, and this segment still has base, limit or rights of protected mode: all six must be base = selector << 4, limit FFFFH, rights F3H. Emulated real mode or virtual-8086 mode was entered in part (KVM: fix_rmode_seg, enter_rmode), or RFLAGS alone was set',
  ],
  [
    new RegExp(`^guest\\.${SEGMENT}\\.reserved_(low|high)$|^guest\\.(tr|ldtr)\\.reserved_(low|high)$`),
    'access rights were copied from a descriptor without moving them: bits 11:8 hold limit 19:16 there and are 0 here, and bit 16 alone means unusable (KVM: vmx_segment_access_rights; "attrib" of SVM packs them differently)',
  ],
  [
    /^guest\.(ds|es|fs|gs|ss)\.(accessed|readable|type)$|^guest\.cs\.type$/,
    'the type was taken from a descriptor that was never loaded, so that its accessed bit is 0, or from the wrong kind of segment. Hand-made segments want 3 (data) and 11 (code); usual writers: KVM_SET_SREGS, an emulated segment load, nested state',
  ],
  [
    new RegExp(`^guest\\.${SEGMENT}\\.(dpl\\w*|rpl)$`),
    'CS, SS and the selectors have different privilege levels: after a change of privilege or of mode only some of them were written. DPL of SS is the CPL and equals both RPLs outside real mode; KVM_SET_SREGS and emulated far transfers often leave one',
  ],
  [
    /^guest\.cs\.d_with_l$/,
    'CS has L and D/B both: a 32-bit code segment (rights C09BH) was given L and kept D; a 64-bit one is A09BH. Usual where a guest is started in long mode by hand',
  ],
  [
    new RegExp(`^guest\\.${SEGMENT}\\.(s|present)$`),
    'a usable segment has S or P 0: the segment was zeroed, or a null one was not marked unusable (bit 16 of the rights). Usual writers: KVM_SET_SREGS with unset "present", "s" or "unusable", emulated loads of a null selector',
  ],
  [
    /^guest\.(cs|ss|ds|es)\.base$/,
    'a base of more than 32 bits: only FS, GS, TR and LDTR have 64-bit bases. A linear address was written as base, or one was sign-extended from 32 bits',
  ],
  [
    /^guest\.(fs|gs|tr|ldtr|gdtr|idtr)\.base$/,
    'the base came from user space (KVM_SET_SREGS), nested state, or a WRMSR that the hypervisor handled without the check for canonical addresses; an upper half that was lost or made up, or a 57-bit address on a processor of 48 bits, does it too',
  ],
  [
    /^guest\.[gi]dtr\.limit$/,
    'a limit beyond FFFFH: the field has 32 bits and the register 16. Usual where limits are set to FFFFFFFFH for all segments alike, or a structure of 10 bytes was read with the base in the limit',
  ],
  [
    /^guest\.tr\./,
    'the task register was left as it was made: it must be usable, present, S 0, in the GDT, a busy TSS (rights 8BH). A zeroed or unusable TR is usual where user space starts a guest without setting it (KVM_SET_SREGS), or sets the available type 9',
  ],
  [
    /^guest\.ldtr\./,
    'LDTR is usable and no LDT: a guest without one has the unusable bit (rights 10000H), one with has 82H. Usual where user space zeroes sregs.ldt and leaves "unusable" 0',
  ],
];

const GUEST_STATE: readonly CauseFamily[] = [
  [
    /^guest\.activity\.supported$/,
    'an activity state was written that IA32_VMX_MISC (bits 8:6) does not report, from L1 or a saved state: keep the vCPU halted in software and enter as active, as KVM does',
  ],
  [
    /^guest\.activity\.(hlt_dpl|blocking)$/,
    'HLT was kept from an earlier exit or nested state while interrupt shadow or privilege changed: an event that wakes the vCPU sets the activity state to active (0), and emulation of STI or MOV SS does not halt it',
  ],
  [
    /^guest\.activity\.(hlt|shutdown|sipi)_injection$/,
    'an event is injected into a vCPU whose activity state was not set back to active: clear it when the vCPU is woken (KVM: vmx_clear_hlt), and hold other events until it runs',
  ],
  [
    /^guest\.(activity\.sipi_(in|from)_smm|interruptibility\.(entry_to_smm|smi_outside_smm))$/,
    'state of an SMM-transfer monitor was mixed with that of an ordinary entry: blocking by SMI (bit 2) goes with "entry to SMM". KVM emulates SMM in software and keeps the bit 0; a saved state may bring it',
  ],
  [
    /^guest\.interruptibility\.(injected_nmi_\w+)$/,
    'an NMI is injected at once where it should have waited: while NMIs are blocked (the one before did not return by IRET) or in the shadow of STI or MOV SS; open an NMI window instead, or clear the shadow first (KVM: vmx_nmi_allowed, vmx_set_nmi_mask)',
  ],
  [
    /^guest\.interruptibility\.(sti_and_mov_ss|sti_needs_if)$/,
    'the interrupt shadow was kept across something that ends it: RFLAGS.IF was cleared (KVM_SET_REGS, emulation) or a second shadow was set while GUEST_INTERRUPTIBILITY_INFO still has blocking by STI (KVM: vmx_set_interrupt_shadow, after skip_emulated_instruction it is 0)',
  ],
  [
    /^guest\.interruptibility\.(reserved|enclave_\w+)$/,
    'GUEST_INTERRUPTIBILITY_INFO was written whole, from a saved state or another structure: bits 0 to 3 are the shadows and blocked SMI and NMI, bit 4 an enclave interruption that only an exit sets; all others are 0',
  ],
  [
    /^guest\.pending_debug\.bs_/,
    'the guest is single-stepped (TF), and TF, DEBUGCTL.BTF or the interrupt shadow changed without the BS bit (14) of the pending debug exceptions: set it where TF is 1 and BTF is 0 in a shadow or HLT, clear it otherwise. Usual after emulating MOV SS, STI or HLT under TF, or with KVM_GUESTDBG_SINGLESTEP',
  ],
  [
    /^guest\.pending_debug\./,
    'DR6 was written as pending debug exceptions: the formats differ (bits 3:0 breakpoints, 11 bus lock, 12 enabled breakpoint, 14 BS, 16 RTM, all 0 where nothing is pending, and bus lock and RTM only where the processor has them)',
  ],
  [
    /^guest\.link\.(revision|shadow)$/,
    'the linked VMCS is no shadow VMCS of this processor: its first word is the revision identifier of IA32_VMX_BASIC, with bit 31 set exactly where "VMCS shadowing" is on, and it must be VMCLEARed before it is linked (KVM: alloc_shadow_vmcs)',
  ],
  [
    /^guest\.link\./,
    'the VMCS link pointer is not all ones, as it must be without VMCS shadowing or SMM, nor a page of its own: never written since VMCLEAR, only half of it written (32 bits), or the current VMCS itself (KVM: INVALID_GPA in init_vmcs)',
  ],
  [
    /^guest\.pdpte\d\.reserved$/,
    'with EPT and PAE paging the PDPTR fields count, and they are stale or hold entries of another format: reload them from guest CR3 whenever CR3, CR0.PG or CR4.PAE change (KVM: load_pdptrs, vmx_ept_load_pdptrs); bits 2:1, 8:5 and those above MAXPHYADDR are 0, and a 64-bit table (bits 1 and 2 set) is none',
  ],
  [
    /^guest\.pdpte\d\.memory$/,
    'without EPT the processor reads four PDPTEs at guest CR3, which is the shadow root: its table lacks PAE format, was freed or written over, or has an encryption or no-execute bit (KVM: mmu->pae_root, shadow_me_mask)',
  ],
];

/** In the order in which they are tried. */
export const VMX_CAUSES: readonly CauseFamily[] = [
  ...CONTROLS,
  ...HOST,
  ...GUEST_REGISTERS,
  ...GUEST_SEGMENTS,
  ...GUEST_STATE,
];
