/**
 * Where a vCPU keeps its state in linear memory, as byte offsets from the vCPU's base. Generated code and TypeScript
 * read the same bytes; a checkpoint is these bytes. All slots are 8 bytes, little-endian, so that an offset also fits
 * a record of the decode cache.
 */
const slots = <const Names extends readonly string[]>(first: number, names: Names) =>
  Object.fromEntries(names.map((name, i) => [name, first + 8 * i])) as { readonly [Name in Names[number]]: number };

/** Byte offset of general register `n` (the manual's encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15). */
export const gpr = (n: number): number => 8 * n;

export const GPR = slots(0, [
  'RAX',
  'RCX',
  'RDX',
  'RBX',
  'RSP',
  'RBP',
  'RSI',
  'RDI',
  'R8',
  'R9',
  'R10',
  'R11',
  'R12',
  'R13',
  'R14',
  'R15',
]);

/** Segment registers by their number: the manual's encoding order, then LDTR and TR. */
export const SEG = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const;

/**
 * Every other slot.
 *
 * ZERO always holds 0 (an absent base or index register). Arithmetic flags are lazy: see `cpu/flags.ts`; RFLAGS_REST
 * holds all other bits of RFLAGS. TICK is the machine's clock as this vCPU sees it, NONSTEP the ticks that were no
 * retired instruction of it, so that step = TICK - NONSTEP. DEADLINE is the tick at which generated code must stop.
 * SEL, AR and LIMIT hold selector, access rights (format of the VMCS: Intel SDM Vol. 3C, "Guest Register State") and
 * limit of segment register n at n * 8; a null or unusable register has AR bit 16 set.
 */
export const S = slots(128, [
  'ZERO',
  'RIP',
  'FLAG_RESULT',
  'FLAG_CARRY',
  'RFLAGS_REST',
  'TICK',
  'NONSTEP',
  'DEADLINE',
  'BASE',
  'BASE_CS',
  'BASE_SS',
  'BASE_DS',
  'BASE_FS',
  'BASE_GS',
  'BASE_LDTR',
  'BASE_TR',
  'SEL',
  'SEL_CS',
  'SEL_SS',
  'SEL_DS',
  'SEL_FS',
  'SEL_GS',
  'SEL_LDTR',
  'SEL_TR',
  'AR',
  'AR_CS',
  'AR_SS',
  'AR_DS',
  'AR_FS',
  'AR_GS',
  'AR_LDTR',
  'AR_TR',
  'LIMIT',
  'LIMIT_CS',
  'LIMIT_SS',
  'LIMIT_DS',
  'LIMIT_FS',
  'LIMIT_GS',
  'LIMIT_LDTR',
  'LIMIT_TR',
  'GDTR_BASE',
  'GDTR_LIMIT',
  'IDTR_BASE',
  'IDTR_LIMIT',
  'CR0',
  'CR2',
  'CR3',
  'CR4',
  'CR8',
  'XCR0',
  'DR0',
  'DR1',
  'DR2',
  'DR3',
  'DR6',
  'DR7',
  'PDPTE0',
  'PDPTE1',
  'PDPTE2',
  'PDPTE3',
  'EFER',
  'STAR',
  'LSTAR',
  'CSTAR',
  'FMASK',
  'KERNEL_GS_BASE',
  'SYSENTER_CS',
  'SYSENTER_ESP',
  'SYSENTER_EIP',
  'PAT',
  'TSC_OFFSET',
  'TSC_AUX',
  'DEBUGCTL',
  'MISC_ENABLE',
  'APIC_BASE',
  'FEATURE_CONTROL',
  'PERF_GLOBAL_CTRL',
  // Interruptibility and activity as the VMCS encodes them: Intel SDM Vol. 3C, "Guest Non-Register State".
  'INTERRUPTIBILITY',
  'ACTIVITY',
  // 1 between two iterations of the repeated string instruction at RIP: it is not fetched anew, and RF of an image that
  // is pushed now is 1.
  'REPEATING',
  'PENDING_DEBUG',
  'CPL',
  // VMX: 1 in VMX operation; 1 in non-root operation; VMXON and current VMCS pointers (all ones: none); EPTP and VPID
  // in force (0: none); VMX_GUEST_TSC_OFFSET is TSC_OFFSET of the VMCS in force.
  'VMX_ON',
  'VMX_NONROOT',
  'VMXON_POINTER',
  'VMCS_POINTER',
  'EPTP',
  'VPID',
  // Whose code runs (engine/types.ts Level), and the level a VM entry enters.
  'LEVEL',
  'ENTRY_LEVEL',
  // Derived: MODE is the decoder's key (cpu/mode.ts), TLB_TAG the low bits that every valid TLB tag carries now.
  'MODE',
  'TLB_TAG',
  // The event that generated code or a slow path left behind for the run loop (cpu/fault.ts).
  'FAULT_KIND',
  'FAULT_VECTOR',
  'FAULT_ERROR',
  'FAULT_QUALIFICATION',
  'FAULT_GVA',
  'FAULT_GPA',
  // Scratch of generated code: linear address and value of a slow access, the current record, RIP and guest physical
  // address of its page's first byte.
  'SLOW_ADDRESS',
  'SLOW_VALUE',
  'RECORD',
  'PAGE_LINEAR',
  'PAGE_GPA',
  'CODE_PAGE',
  'RUN_START',
  // The memory ring: address of the next record, and the address at which it must be drained.
  'RING_NEXT',
  'RING_LIMIT',
  // Base and mask that turn RIP into a linear address; level and vCPU bits of a ring record; set at every entry to
  // generated code.
  'CODE_BASE',
  'CODE_MASK',
  'RING_META',
  // VMX: level of the host to which a VM exit returns; value of TSC >> rate at which the preemption timer expires, + 1
  // (0: it does not run); the part of TSC_OFFSET that the VMCS in force added; the first active VMCS as page number + 1
  // (0: none), from which the regions form a list (vmx/active.ts).
  'HOST_LEVEL',
  'VMX_TIMER',
  'VMX_TSC_OFFSET',
  'ACTIVE_VMCS',
  // Events so far, and per level the exit that its code now serves (cpu/serving.ts).
  'EVENTS',
  'SERVES',
  'SERVES1',
  'SERVES2',
  'SERVES3',
]);

/** Slots of segment register `n` (SEG). */
export const segBase = (n: number): number => S.BASE + 8 * n;
export const segSelector = (n: number): number => S.SEL + 8 * n;
export const segRights = (n: number): number => S.AR + 8 * n;
export const segLimit = (n: number): number => S.LIMIT + 8 * n;

/** Bytes of a vCPU's state. */
export const STATE_BYTES = 2048;

/** Bit of AR that marks a segment register unusable. */
export const UNUSABLE = 0x1_0000;
