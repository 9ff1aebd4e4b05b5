/**
 * What usually breaks a rule of VMRUN: whose code writes the field, and what it forgot. Functions named are those of
 * Linux KVM. A row of the tables may have a cause of its own.
 */
import type { CauseFamily } from '../../check-causes.js';

/** In the order in which they are tried. */
export const SVM_CAUSES: readonly CauseFamily[] = [
  [
    /^svm\.cr0\.(nw_needs_cd|high)$/,
    'CR0 was taken raw from user space (KVM_SET_SREGS) or vmcb12: a MOV to CR0 would raise #GP for NW without CD and for bits 63:32, so the guest itself cannot have written it (KVM: svm_set_cr0)',
  ],
  [
    /^svm\.(long_mode\.\w+|efer\.long_mode|cr4\.cet_needs_wp)$/,
    'CR0, CR4 and EFER were restored or emulated in different steps of a mode switch (KVM_SET_SREGS, nested state): with LME and PG, PAE and PE are on too, and CET needs WP (KVM: svm_set_cr0, svm_set_cr4, svm_set_efer)',
  ],
  [
    /^svm\.(cr4|efer)\.(reserved|supported)$/,
    'the register was taken from user space, a saved guest or vmcb12 with bits that this processor does not have: mask it by the CPUID of the host, not by that of the guest alone',
  ],
  [
    /^svm\.cr3\.reserved$/,
    'CR3 was not checked against the physical-address width: bit 63 of a MOV to CR3 was kept, the encryption bit of the guest lies above the width, or with shadow paging the root is no physical address',
  ],
  [
    /^svm\.dr[67]\.high$/,
    'a 64-bit debug register was taken from user space (KVM_SET_DEBUGREGS) or vmcb12 without clearing bits 63:32, often sign-extended from an int',
  ],
  [
    /^svm\.(iopm|msrpm)$/,
    'the permission map is given by its virtual address, or for L2 by the address in vmcb12, which is one of L1 (KVM: iopm_base and msrpm, written by init_vmcb; nested_svm_vmrun checks those of L1)',
  ],
  [
    /^svm\.([su]_cet\.reserved|cr4\.cet_in_v86)$/,
    'CET state was restored by MSR or from the VMSA without the checks of WRMSR: bits 9:6 are reserved, and a guest in virtual-8086 mode has no user shadow stack',
  ],
  [
    /^svm\.pdpe\d\.reserved$/,
    'without nested paging the processor reads four PDPEs at the CR3 of the VMCB, which is the shadow root: its table lacks PAE format, was freed or written over, or has an encryption or no-execute bit (KVM: mmu->pae_root)',
  ],
  [
    /^svm\.injection\./,
    'EVENTINJ was put together wrongly, or EXITINTINFO of another kind of event was copied into it: type in bits 10:8 (0, 2, 3, 4), a vector that fits, valid in bit 31 (KVM: svm_inject_exception, svm_inject_irq, svm_complete_interrupts)',
  ],
  [
    /^svm\.nested_paging\.host$/,
    'VMRUN with nested paging was executed before the host itself had paging on: usual in a hypervisor that starts early in firmware',
  ],
  [
    /^svm\.nested_cr3\.reserved$/,
    'nCR3 was written before the top table existed (INVALID_PAGE, all ones), from its virtual address, or from nCR3 of L1 without translation (KVM: svm_load_mmu_pgd)',
  ],
  [
    /^svm\.nmi_virtualization$/,
    'virtual NMIs are on and the NMI intercept was cleared with it: the intercept is for NMIs of the host and stays (KVM: init_vmcb with vnmi; for L2, nested_vmcb02_prepare_control)',
  ],
  [
    /^svm\.(avic\.(backing_page|logical_table|physical_table)|secure_avic\.backing_page)$/,
    'an AVIC page is given by its virtual address, with flags of another field, or was not allocated yet (KVM: avic_init_vmcb writes the physical addresses of three pages)',
  ],
  [
    /^svm\.(avic|x2avic)\.max_index$/,
    'the index in bits 7:0 (or 11:0 for x2AVIC) of the physical-table pointer holds a count or an APIC ID beyond what the mode allows, usual with more than 255 vCPUs (KVM: avic_init_vmcb, avic_activate_vmcb)',
  ],
  [
    /^svm\.(avic|sev)\.nested_paging$/,
    'nested paging is off (npt=0, or L1 gave none to its guest), and AVIC or SEV, which need it, were turned on for the same VMCB',
  ],
  [
    /^svm\.sev\.asid$/,
    'the ASID of the guest was not taken from the range of encrypted guests (CPUID.8000001FH: ECX is the highest, EDX the lowest without SEV-ES), or was given anew as for an ordinary guest (KVM: sev_asid_new, pre_sev_run)',
  ],
  [
    /^svm\.sev\.host64$/,
    'a 32-bit or compatibility-mode host ran a guest with SEV; this processor wants VMRUN in 64-bit mode for it',
  ],
  [
    /^svm\.sev_es\.(sev|vmsa)$/,
    'the SEV bits of NESTED_CTL and the VMSA pointer were not set together: SEV-ES builds on SEV, and VMSA_PA is the physical address of a page that was already encrypted (KVM: sev_init_vmcb, sev_es_init_vmcb, KVM_SEV_LAUNCH_UPDATE_VMSA)',
  ],
  [
    /^svm\.sev_es\.injection$/,
    'INT3, INTO or a software interrupt was injected again after an exit, as for a guest whose state is visible: under SEV-ES the guest executes it again by itself (KVM: svm_complete_interrupts)',
  ],
  [
    /^svm\.snp\.(enabled|vmsa_page|avic_page)$/,
    'the reverse-map table and the VMCB disagree: SNP was not initialised on this host, the VMSA page was not made one by RMPADJUST, or a page of the hypervisor still belongs to a guest after it was freed (KVM: snp_rmptable_init, sev_snp_guest, snp_leak_pages)',
  ],
  [
    /^svm\.(snp\.(injection_modes|restricted_injection|hv_injection|injection_avic)|secure_avic\.alone)$/,
    'SEV_FEATURES of the guest and what the hypervisor injects do not fit: restricted injection takes #HV alone, alternate injection and secure AVIC exclude it and AVIC; the features come from KVM_SEV_INIT2 (vmsa_features) and, for an AP, from the guest',
  ],
  [
    /^svm\.(sev_features\.(allowed|reserved|opt_in)|snp\.shadow_stack|pmc\.vmcb)$/,
    'SEV_FEATURES in the VMSA of the guest asks for what the VMCB does not offer: an AP of the guest was created with other features than the boot vCPU, or ALLOWED_SEV_FEATURES is narrower than KVM_SEV_INIT2 was given',
  ],
  [
    /^svm\.vmsa\.busy$/,
    'the VMSA was in use by another vCPU, or an exit with an event in flight left BUSY set: only the guest clears it, and the vCPU must not be run until then',
  ],
  [
    /^svm\.snp\.smt_idle$/,
    'the guest has SMT protection, and the sibling thread was not held idle in the host: disable SMT, or schedule guest and idle together (core scheduling)',
  ],
  [
    /^svm\.tlb_control$/,
    'TLB_CONTROL got a reserved value: 0 none, 1 all, 3 this guest, 7 its non-global entries; flushes by ASID (3 and 7) want CPUID.8000000AH:EDX bit 6 (KVM: svm_flush_tlb_asid)',
  ],
];
