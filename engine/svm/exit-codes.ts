/**
 * SVM exit codes: AMD64 APM, volume 2 (publication 24593, revision 3.43), appendix C, "SVM Intercept Exit Codes"; the
 * SEV-ES codes are those of the GHCB specification (publication 56421). Names are those of Linux
 * (arch/x86/include/uapi/asm/svm.h, SVM_EXIT_*) where it has one, else the manual's without VMEXIT_.
 */
export interface ExitCode {
  /** Unsigned 64-bit; codes below zero in the manual are written as such values. */
  readonly code: bigint;
  readonly name: string;
  readonly says: string;
}

/** VMEXIT_INVALID: VMRUN found the guest state invalid. */
export const SVM_EXIT_INVALID = 0xffff_ffff_ffff_ffffn;

const exit = (code: number | bigint, name: string, says: string): ExitCode => ({ code: BigInt(code), name, says });

const series = (first: number, count: number, make: (i: number) => readonly [string, string]): readonly ExitCode[] =>
  Array.from({ length: count }, (_, i) => exit(first + i, ...make(i)));

/** Exception vectors by mnemonic: AMD64 APM volume 2, "Vectors", table of interrupt-vector source and cause. */
export const SVM_EXCEPTIONS: { readonly [vector: number]: string } = {
  0: 'DE',
  1: 'DB',
  2: 'NMI',
  3: 'BP',
  4: 'OF',
  5: 'BR',
  6: 'UD',
  7: 'NM',
  8: 'DF',
  10: 'TS',
  11: 'NP',
  12: 'SS',
  13: 'GP',
  14: 'PF',
  16: 'MF',
  17: 'AC',
  18: 'MC',
  19: 'XF',
  21: 'CP',
  28: 'HV',
  29: 'VC',
  30: 'SX',
};

export const SVM_EXIT_CODES: readonly ExitCode[] = [
  ...series(0x00, 16, (i) => [`READ_CR${i}`, `read of CR${i}`]),
  ...series(0x10, 16, (i) => [`WRITE_CR${i}`, `write of CR${i}`]),
  ...series(0x20, 16, (i) => [`READ_DR${i}`, `read of DR${i}`]),
  ...series(0x30, 16, (i) => [`WRITE_DR${i}`, `write of DR${i}`]),
  ...series(0x40, 32, (i) => [`EXCP_${SVM_EXCEPTIONS[i] ?? i}`, `exception vector ${i}`]),
  exit(0x60, 'INTR', 'physical maskable interrupt'),
  exit(0x61, 'NMI', 'physical NMI'),
  exit(0x62, 'SMI', 'physical SMI'),
  exit(0x63, 'INIT', 'physical INIT'),
  exit(0x64, 'VINTR', 'virtual maskable interrupt can be delivered'),
  exit(0x65, 'CR0_SEL_WRITE', 'write that changes CR0 bits other than TS and MP'),
  exit(0x66, 'IDTR_READ', 'SIDT'),
  exit(0x67, 'GDTR_READ', 'SGDT'),
  exit(0x68, 'LDTR_READ', 'SLDT'),
  exit(0x69, 'TR_READ', 'STR'),
  exit(0x6a, 'IDTR_WRITE', 'LIDT'),
  exit(0x6b, 'GDTR_WRITE', 'LGDT'),
  exit(0x6c, 'LDTR_WRITE', 'LLDT'),
  exit(0x6d, 'TR_WRITE', 'LTR'),
  exit(0x6e, 'RDTSC', 'RDTSC'),
  exit(0x6f, 'RDPMC', 'RDPMC'),
  exit(0x70, 'PUSHF', 'PUSHF'),
  exit(0x71, 'POPF', 'POPF'),
  exit(0x72, 'CPUID', 'CPUID'),
  exit(0x73, 'RSM', 'RSM'),
  exit(0x74, 'IRET', 'IRET'),
  exit(0x75, 'SWINT', 'INTn'),
  exit(0x76, 'INVD', 'INVD'),
  exit(0x77, 'PAUSE', 'PAUSE'),
  exit(0x78, 'HLT', 'HLT'),
  exit(0x79, 'INVLPG', 'INVLPG'),
  exit(0x7a, 'INVLPGA', 'INVLPGA'),
  exit(0x7b, 'IOIO', 'IN or OUT'),
  exit(0x7c, 'MSR', 'RDMSR or WRMSR'),
  exit(0x7d, 'TASK_SWITCH', 'task switch'),
  exit(0x7e, 'FERR_FREEZE', 'FP legacy handling with freezing'),
  exit(0x7f, 'SHUTDOWN', 'shutdown'),
  exit(0x80, 'VMRUN', 'VMRUN'),
  exit(0x81, 'VMMCALL', 'VMMCALL'),
  exit(0x82, 'VMLOAD', 'VMLOAD'),
  exit(0x83, 'VMSAVE', 'VMSAVE'),
  exit(0x84, 'STGI', 'STGI'),
  exit(0x85, 'CLGI', 'CLGI'),
  exit(0x86, 'SKINIT', 'SKINIT'),
  exit(0x87, 'RDTSCP', 'RDTSCP'),
  exit(0x88, 'ICEBP', 'ICEBP'),
  exit(0x89, 'WBINVD', 'WBINVD or WBNOINVD'),
  exit(0x8a, 'MONITOR', 'MONITOR or MONITORX'),
  exit(0x8b, 'MWAIT', 'MWAIT or MWAITX'),
  exit(0x8c, 'MWAIT_COND', 'MWAIT or MWAITX with an armed monitor'),
  exit(0x8d, 'XSETBV', 'XSETBV'),
  exit(0x8e, 'RDPRU', 'RDPRU'),
  exit(0x8f, 'EFER_WRITE_TRAP', 'after a write of EFER'),
  ...series(0x90, 16, (i) => [`CR${i}_WRITE_TRAP`, `after a write of CR${i}`]),
  exit(0xa0, 'INVLPGB', 'INVLPGB'),
  exit(0xa1, 'INVLPGB_ILLEGAL', 'INVLPGB with illegal operands'),
  exit(0xa2, 'INVPCID', 'INVPCID'),
  exit(0xa3, 'MCOMMIT', 'MCOMMIT'),
  exit(0xa4, 'TLBSYNC', 'TLBSYNC'),
  exit(0xa5, 'BUSLOCK', 'bus lock while the bus-lock counter was zero'),
  exit(0xa6, 'IDLE_HLT', 'HLT with no virtual interrupt pending'),
  exit(0x400, 'NPF', 'nested page fault'),
  exit(0x401, 'AVIC_INCOMPLETE_IPI', 'IPI that AVIC could not deliver'),
  exit(0x402, 'AVIC_UNACCELERATED_ACCESS', 'APIC access that AVIC could not serve'),
  exit(0x403, 'VMGEXIT', 'VMGEXIT of an SEV-ES guest'),
  exit(0x8000_0001, 'VMGEXIT_MMIO_READ', 'SEV-ES guest asks for an MMIO read'),
  exit(0x8000_0002, 'VMGEXIT_MMIO_WRITE', 'SEV-ES guest asks for an MMIO write'),
  exit(0x8000_0003, 'VMGEXIT_NMI_COMPLETE', 'SEV-ES guest ended its NMI'),
  exit(0x8000_0004, 'VMGEXIT_AP_HLT_LOOP', 'SEV-ES application processor waits'),
  exit(0x8000_0005, 'VMGEXIT_AP_JUMP_TABLE', 'SEV-ES guest asks for the AP jump table'),
  exit(0x8000_0010, 'VMGEXIT_PAGE_STATE_CHANGE', 'SEV-SNP page state change'),
  exit(0x8000_0011, 'VMGEXIT_GUEST_REQUEST', 'SEV-SNP guest request'),
  exit(0x8000_0012, 'VMGEXIT_EXT_GUEST_REQUEST', 'SEV-SNP extended guest request'),
  exit(0x8000_0013, 'VMGEXIT_AP_CREATION', 'SEV-SNP application processor creation'),
  exit(0x8000_fffd, 'VMGEXIT_HYPERVISOR_FEATURE', 'SEV-ES guest asks for the features of its hypervisor'),
  exit(SVM_EXIT_INVALID, 'INVALID', 'VMRUN found the guest state invalid'),
  exit(0xffff_ffff_ffff_fffen, 'BUSY', 'the VMSA was in use'),
  exit(0xffff_ffff_ffff_fffdn, 'IDLE_REQUIRED', 'the sibling thread is not idle'),
  exit(0xffff_ffff_ffff_fffcn, 'INVALID_PMC', 'invalid state of the performance counters'),
];

const NAMES: ReadonlyMap<bigint, string> = new Map(SVM_EXIT_CODES.map(({ code, name }) => [code, name]));

/** Name of an exit code, or null where the table has none. */
export const svmExitCodeName = (code: bigint): string | null => NAMES.get(BigInt.asUintN(64, code)) ?? null;
