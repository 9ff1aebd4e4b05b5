/**
 * VMX basic exit reasons: Intel SDM, volume 3D, appendix C, "VMX Basic Exit Reasons" (edition 086 and, for the forms
 * with an immediate, the Architecture Instruction Set Extensions reference). Where Linux has a name
 * (arch/x86/include/uapi/asm/vmx.h), that name is used, because it is what people meet in their traces.
 */
export interface ExitReason {
  readonly code: number;
  readonly name: string;
  readonly says: string;
}

/** Bit 31 of the exit reason: VM-entry failure (Intel SDM volume 3C, "Exit Reasons", section on basic information). */
export const VM_ENTRY_FAILURE = 0x8000_0000;

/** Other bits of the exit reason that say more of an exit: Intel SDM volume 3C, "Format of Exit Reason". */
export const VMX_EXIT_MODIFIERS: readonly { readonly bit: number; readonly name: string }[] = [
  { bit: 25, name: 'busy shadow stack' },
  { bit: 26, name: 'bus lock' },
  { bit: 27, name: 'enclave mode' },
  { bit: 28, name: 'pending MTF' },
  { bit: 29, name: 'exit from VMX root' },
];

/**
 * What the exit reason (32 bits) says beside its basic part. None for what is no VMX exit reason: bits 24:16 are 0, and
 * so is bit 31 of an exit; exit codes of SVM have either.
 */
export const vmxExitModifiers = (value: number): readonly string[] =>
  value >= VM_ENTRY_FAILURE || (value & 0x01ff_0000) !== 0
    ? []
    : VMX_EXIT_MODIFIERS.filter(({ bit }) => (value & (1 << bit)) !== 0).map(({ name }) => name);

/** The basic reason and whether the entry failed: what an exit is counted by. */
export const VMX_COUNTED = 0x8000_ffff;

const reason = (code: number, name: string, says: string): ExitReason => ({ code, name, says });

export const VMX_EXIT_REASONS: readonly ExitReason[] = [
  reason(0, 'EXCEPTION_NMI', 'exception selected by the exception bitmap, or an NMI'),
  reason(1, 'EXTERNAL_INTERRUPT', 'external interrupt'),
  reason(2, 'TRIPLE_FAULT', 'fault while calling the double-fault handler'),
  reason(3, 'INIT_SIGNAL', 'INIT signal'),
  reason(4, 'SIPI_SIGNAL', 'start-up IPI while waiting for one'),
  reason(5, 'IO_SMI', 'SMI right after an I/O instruction'),
  reason(6, 'OTHER_SMI', 'SMI not right after an I/O instruction'),
  reason(7, 'INTERRUPT_WINDOW', 'interrupts can be delivered'),
  reason(8, 'NMI_WINDOW', 'no virtual-NMI blocking'),
  reason(9, 'TASK_SWITCH', 'task switch'),
  reason(10, 'CPUID', 'CPUID'),
  reason(11, 'GETSEC', 'GETSEC'),
  reason(12, 'HLT', 'HLT'),
  reason(13, 'INVD', 'INVD'),
  reason(14, 'INVLPG', 'INVLPG'),
  reason(15, 'RDPMC', 'RDPMC'),
  reason(16, 'RDTSC', 'RDTSC'),
  reason(17, 'RSM', 'RSM in SMM'),
  reason(18, 'VMCALL', 'VMCALL'),
  reason(19, 'VMCLEAR', 'VMCLEAR'),
  reason(20, 'VMLAUNCH', 'VMLAUNCH'),
  reason(21, 'VMPTRLD', 'VMPTRLD'),
  reason(22, 'VMPTRST', 'VMPTRST'),
  reason(23, 'VMREAD', 'VMREAD'),
  reason(24, 'VMRESUME', 'VMRESUME'),
  reason(25, 'VMWRITE', 'VMWRITE'),
  reason(26, 'VMOFF', 'VMXOFF'),
  reason(27, 'VMON', 'VMXON'),
  reason(28, 'CR_ACCESS', 'control-register access'),
  reason(29, 'DR_ACCESS', 'MOV to or from a debug register'),
  reason(30, 'IO_INSTRUCTION', 'I/O instruction'),
  reason(31, 'MSR_READ', 'RDMSR'),
  reason(32, 'MSR_WRITE', 'WRMSR or WRMSRNS'),
  reason(33, 'INVALID_STATE', 'VM-entry failure due to invalid guest state'),
  reason(34, 'MSR_LOAD_FAIL', 'VM-entry failure due to MSR loading'),
  reason(36, 'MWAIT_INSTRUCTION', 'MWAIT'),
  reason(37, 'MONITOR_TRAP_FLAG', 'monitor trap flag'),
  reason(39, 'MONITOR_INSTRUCTION', 'MONITOR'),
  reason(40, 'PAUSE_INSTRUCTION', 'PAUSE'),
  reason(41, 'MCE_DURING_VMENTRY', 'VM-entry failure due to a machine-check event'),
  reason(43, 'TPR_BELOW_THRESHOLD', 'TPR below threshold'),
  reason(44, 'APIC_ACCESS', 'access to the APIC-access page'),
  reason(45, 'EOI_INDUCED', 'virtualized EOI'),
  reason(46, 'GDTR_IDTR', 'LGDT, LIDT, SGDT or SIDT'),
  reason(47, 'LDTR_TR', 'LLDT, LTR, SLDT or STR'),
  reason(48, 'EPT_VIOLATION', 'EPT paging structures did not allow the access'),
  reason(49, 'EPT_MISCONFIG', 'misconfigured EPT paging-structure entry'),
  reason(50, 'INVEPT', 'INVEPT'),
  reason(51, 'RDTSCP', 'RDTSCP'),
  reason(52, 'PREEMPTION_TIMER', 'VMX-preemption timer expired'),
  reason(53, 'INVVPID', 'INVVPID'),
  reason(54, 'WBINVD', 'WBINVD or WBNOINVD'),
  reason(55, 'XSETBV', 'XSETBV'),
  reason(56, 'APIC_WRITE', 'write to the virtual-APIC page'),
  reason(57, 'RDRAND', 'RDRAND'),
  reason(58, 'INVPCID', 'INVPCID'),
  reason(59, 'VMFUNC', 'VMFUNC'),
  reason(60, 'ENCLS', 'ENCLS'),
  reason(61, 'RDSEED', 'RDSEED'),
  reason(62, 'PML_FULL', 'page-modification log full'),
  reason(63, 'XSAVES', 'XSAVES'),
  reason(64, 'XRSTORS', 'XRSTORS'),
  reason(65, 'PCONFIG', 'PCONFIG'),
  reason(66, 'SPP', 'sub-page write-permission miss or misconfiguration'),
  reason(67, 'UMWAIT', 'UMWAIT'),
  reason(68, 'TPAUSE', 'TPAUSE'),
  reason(69, 'LOADIWKEY', 'LOADIWKEY'),
  reason(70, 'ENCLV', 'ENCLV'),
  reason(72, 'ENQCMD_PASID', 'ENQCMD PASID translation failure'),
  reason(73, 'ENQCMDS_PASID', 'ENQCMDS PASID translation failure'),
  reason(74, 'BUS_LOCK', 'bus lock asserted'),
  reason(75, 'NOTIFY', 'no interrupt window for too long (instruction timeout)'),
  reason(76, 'SEAMCALL', 'SEAMCALL'),
  reason(77, 'TDCALL', 'TDCALL'),
  reason(78, 'RDMSRLIST', 'RDMSRLIST'),
  reason(79, 'WRMSRLIST', 'WRMSRLIST'),
  reason(80, 'URDMSR', 'URDMSR'),
  reason(81, 'UWRMSR', 'UWRMSR'),
  reason(84, 'MSR_READ_IMM', 'RDMSR with an immediate operand'),
  reason(85, 'MSR_WRITE_IMM', 'WRMSRNS with an immediate operand'),
];

const NAMES: ReadonlyMap<number, string> = new Map(VMX_EXIT_REASONS.map(({ code, name }) => [code, name]));

/** Name of an exit reason by its basic part (bits 15:0), or null where the table has none. */
export const vmxExitReasonName = (value: number): string | null => NAMES.get(value & 0xffff) ?? null;
