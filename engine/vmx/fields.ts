/**
 * Every field of the VMCS, and where our VMCS region keeps it.
 *
 * The list is that of the Intel SDM, Vol. 3D, appendix B, "Field Encoding in VMCS"; names are those of Linux
 * (arch/x86/include/asm/vmx.h) where it has one. Width, type and access follow from the encoding, as the section
 * "Encodings of VMCS Fields" of Vol. 3C defines it.
 *
 * The region itself is the processor's own business in the manual. Ours lies in guest RAM, at the VMCS pointer:
 * revision identifier at 0, VMX-abort indicator at 4, launch state at 8, the next active region's page number + 1 at 12
 * (active.ts), then one slot of 8 bytes a field, in the
 * order of this table. Nothing is cached elsewhere.
 */

/** Offsets of what is no field. */
export const REGION = {
  revision: 0,
  abort: 4,
  launched: 8,
  next: 12,
  fields: 16,
  good: 4088,
  memory: 4092,
  bytes: 4096,
} as const;

/**
 * Encoding, name, and the controls of which at least one must be allowed for the field to exist (`group.bit` as in
 * `controls.ts`; none: it always exists). `cr3-target.n`: the model has more than n CR3-target values.
 */
const ROWS = [
  // Control fields.
  [0x0000, 'VIRTUAL_PROCESSOR_ID', 'secondary.5'],
  [0x0002, 'POSTED_INTR_NV', 'pin.7'],
  [0x0004, 'EPTP_INDEX', 'secondary.18'],
  [0x0006, 'HLAT_PREFIX_SIZE', 'tertiary.1'],
  [0x0008, 'LAST_PID_POINTER_INDEX', 'tertiary.4'],
  [0x000a, 'VIRTUAL_TIMER_VECTOR', 'tertiary.8'],
  [0x2000, 'IO_BITMAP_A'],
  [0x2002, 'IO_BITMAP_B'],
  [0x2004, 'MSR_BITMAP', 'primary.28'],
  [0x2006, 'VM_EXIT_MSR_STORE_ADDR'],
  [0x2008, 'VM_EXIT_MSR_LOAD_ADDR'],
  [0x200a, 'VM_ENTRY_MSR_LOAD_ADDR'],
  [0x200c, 'EXECUTIVE_VMCS_POINTER'],
  [0x200e, 'PML_ADDRESS', 'secondary.17'],
  [0x2010, 'TSC_OFFSET'],
  [0x2012, 'VIRTUAL_APIC_PAGE_ADDR', 'primary.21'],
  [0x2014, 'APIC_ACCESS_ADDR', 'secondary.0'],
  [0x2016, 'POSTED_INTR_DESC_ADDR', 'pin.7'],
  [0x2018, 'VM_FUNCTION_CONTROL', 'secondary.13'],
  [0x201a, 'EPT_POINTER', 'secondary.1'],
  [0x201c, 'EOI_EXIT_BITMAP0', 'secondary.9'],
  [0x201e, 'EOI_EXIT_BITMAP1', 'secondary.9'],
  [0x2020, 'EOI_EXIT_BITMAP2', 'secondary.9'],
  [0x2022, 'EOI_EXIT_BITMAP3', 'secondary.9'],
  [0x2024, 'EPTP_LIST_ADDRESS', 'secondary.13'],
  [0x2026, 'VMREAD_BITMAP', 'secondary.14'],
  [0x2028, 'VMWRITE_BITMAP', 'secondary.14'],
  [0x202a, 'VE_INFO_ADDRESS', 'secondary.18'],
  [0x202c, 'XSS_EXIT_BITMAP', 'secondary.20'],
  [0x202e, 'ENCLS_EXITING_BITMAP', 'secondary.15'],
  [0x2030, 'SPP_TABLE_POINTER', 'secondary.23'],
  [0x2032, 'TSC_MULTIPLIER', 'secondary.25'],
  [0x2034, 'TERTIARY_VM_EXEC_CONTROL', 'primary.17'],
  [0x2036, 'ENCLV_EXITING_BITMAP', 'secondary.28'],
  [0x2038, 'LOW_PASID_DIRECTORY', 'secondary.21'],
  [0x203a, 'HIGH_PASID_DIRECTORY', 'secondary.21'],
  [0x203c, 'SHARED_EPT_POINTER', 'tertiary.13'],
  [0x203e, 'PCONFIG_EXITING_BITMAP', 'secondary.27'],
  [0x2040, 'HLAT_POINTER', 'tertiary.1'],
  [0x2042, 'PID_POINTER_TABLE', 'tertiary.4'],
  [0x2044, 'SECONDARY_VM_EXIT_CONTROLS', 'exit.31'],
  [0x204a, 'IA32_SPEC_CTRL_MASK', 'tertiary.7'],
  [0x204c, 'IA32_SPEC_CTRL_SHADOW', 'tertiary.7'],
  [0x204e, 'GUEST_DEADLINE_SHADOW', 'tertiary.8'],
  [0x2052, 'INJECTED_EVENT_DATA', 'entry.23'],
  [0x4000, 'PIN_BASED_VM_EXEC_CONTROL'],
  [0x4002, 'CPU_BASED_VM_EXEC_CONTROL'],
  [0x4004, 'EXCEPTION_BITMAP'],
  [0x4006, 'PAGE_FAULT_ERROR_CODE_MASK'],
  [0x4008, 'PAGE_FAULT_ERROR_CODE_MATCH'],
  [0x400a, 'CR3_TARGET_COUNT'],
  [0x400c, 'VM_EXIT_CONTROLS'],
  [0x400e, 'VM_EXIT_MSR_STORE_COUNT'],
  [0x4010, 'VM_EXIT_MSR_LOAD_COUNT'],
  [0x4012, 'VM_ENTRY_CONTROLS'],
  [0x4014, 'VM_ENTRY_MSR_LOAD_COUNT'],
  [0x4016, 'VM_ENTRY_INTR_INFO_FIELD'],
  [0x4018, 'VM_ENTRY_EXCEPTION_ERROR_CODE'],
  [0x401a, 'VM_ENTRY_INSTRUCTION_LEN'],
  [0x401c, 'TPR_THRESHOLD', 'primary.21'],
  [0x401e, 'SECONDARY_VM_EXEC_CONTROL', 'primary.31'],
  [0x4020, 'PLE_GAP', 'secondary.10'],
  [0x4022, 'PLE_WINDOW', 'secondary.10'],
  [0x4024, 'NOTIFY_WINDOW', 'secondary.31'],
  [0x6000, 'CR0_GUEST_HOST_MASK'],
  [0x6002, 'CR4_GUEST_HOST_MASK'],
  [0x6004, 'CR0_READ_SHADOW'],
  [0x6006, 'CR4_READ_SHADOW'],
  [0x6008, 'CR3_TARGET_VALUE0', 'cr3-target.0'],
  [0x600a, 'CR3_TARGET_VALUE1', 'cr3-target.1'],
  [0x600c, 'CR3_TARGET_VALUE2', 'cr3-target.2'],
  [0x600e, 'CR3_TARGET_VALUE3', 'cr3-target.3'],
  // Host state.
  [0x0c00, 'HOST_ES_SELECTOR'],
  [0x0c02, 'HOST_CS_SELECTOR'],
  [0x0c04, 'HOST_SS_SELECTOR'],
  [0x0c06, 'HOST_DS_SELECTOR'],
  [0x0c08, 'HOST_FS_SELECTOR'],
  [0x0c0a, 'HOST_GS_SELECTOR'],
  [0x0c0c, 'HOST_TR_SELECTOR'],
  [0x2c00, 'HOST_IA32_PAT', 'exit.19'],
  [0x2c02, 'HOST_IA32_EFER', 'exit.21'],
  [0x2c04, 'HOST_IA32_PERF_GLOBAL_CTRL', 'exit.12'],
  [0x2c06, 'HOST_IA32_PKRS', 'exit.29'],
  [0x2c08, 'HOST_IA32_FRED_CONFIG', 'exit2.1'],
  [0x2c0a, 'HOST_IA32_FRED_RSP1', 'exit2.1'],
  [0x2c0c, 'HOST_IA32_FRED_RSP2', 'exit2.1'],
  [0x2c0e, 'HOST_IA32_FRED_RSP3', 'exit2.1'],
  [0x2c10, 'HOST_IA32_FRED_STKLVLS', 'exit2.1'],
  [0x2c12, 'HOST_IA32_FRED_SSP1', 'exit2.1'],
  [0x2c14, 'HOST_IA32_FRED_SSP2', 'exit2.1'],
  [0x2c16, 'HOST_IA32_FRED_SSP3', 'exit2.1'],
  [0x2c1a, 'HOST_IA32_SPEC_CTRL', 'exit2.2'],
  [0x4c00, 'HOST_IA32_SYSENTER_CS'],
  [0x6c00, 'HOST_CR0'],
  [0x6c02, 'HOST_CR3'],
  [0x6c04, 'HOST_CR4'],
  [0x6c06, 'HOST_FS_BASE'],
  [0x6c08, 'HOST_GS_BASE'],
  [0x6c0a, 'HOST_TR_BASE'],
  [0x6c0c, 'HOST_GDTR_BASE'],
  [0x6c0e, 'HOST_IDTR_BASE'],
  [0x6c10, 'HOST_IA32_SYSENTER_ESP'],
  [0x6c12, 'HOST_IA32_SYSENTER_EIP'],
  [0x6c14, 'HOST_RSP'],
  [0x6c16, 'HOST_RIP'],
  [0x6c18, 'HOST_S_CET', 'exit.28'],
  [0x6c1a, 'HOST_SSP', 'exit.28'],
  [0x6c1c, 'HOST_INTR_SSP_TABLE', 'exit.28'],
  // Guest state.
  [0x0800, 'GUEST_ES_SELECTOR'],
  [0x0802, 'GUEST_CS_SELECTOR'],
  [0x0804, 'GUEST_SS_SELECTOR'],
  [0x0806, 'GUEST_DS_SELECTOR'],
  [0x0808, 'GUEST_FS_SELECTOR'],
  [0x080a, 'GUEST_GS_SELECTOR'],
  [0x080c, 'GUEST_LDTR_SELECTOR'],
  [0x080e, 'GUEST_TR_SELECTOR'],
  [0x0810, 'GUEST_INTR_STATUS', 'secondary.9'],
  [0x0812, 'GUEST_PML_INDEX', 'secondary.17'],
  [0x0814, 'GUEST_UINV', 'exit.27', 'entry.19'],
  [0x2800, 'VMCS_LINK_POINTER'],
  [0x2802, 'GUEST_IA32_DEBUGCTL'],
  [0x2804, 'GUEST_IA32_PAT', 'entry.14', 'exit.18'],
  [0x2806, 'GUEST_IA32_EFER', 'entry.15', 'exit.20'],
  [0x2808, 'GUEST_IA32_PERF_GLOBAL_CTRL', 'entry.13', 'exit.30'],
  [0x280a, 'GUEST_PDPTR0', 'secondary.1'],
  [0x280c, 'GUEST_PDPTR1', 'secondary.1'],
  [0x280e, 'GUEST_PDPTR2', 'secondary.1'],
  [0x2810, 'GUEST_PDPTR3', 'secondary.1'],
  [0x2812, 'GUEST_BNDCFGS', 'entry.16', 'exit.23'],
  [0x2814, 'GUEST_IA32_RTIT_CTL', 'entry.18', 'exit.25'],
  [0x2816, 'GUEST_IA32_LBR_CTL', 'entry.21', 'exit.26'],
  [0x2818, 'GUEST_IA32_PKRS', 'entry.22'],
  [0x281a, 'GUEST_IA32_FRED_CONFIG', 'entry.23'],
  [0x281c, 'GUEST_IA32_FRED_RSP1', 'entry.23'],
  [0x281e, 'GUEST_IA32_FRED_RSP2', 'entry.23'],
  [0x2820, 'GUEST_IA32_FRED_RSP3', 'entry.23'],
  [0x2822, 'GUEST_IA32_FRED_STKLVLS', 'entry.23'],
  [0x2824, 'GUEST_IA32_FRED_SSP1', 'entry.23'],
  [0x2826, 'GUEST_IA32_FRED_SSP2', 'entry.23'],
  [0x2828, 'GUEST_IA32_FRED_SSP3', 'entry.23'],
  [0x282e, 'GUEST_IA32_SPEC_CTRL', 'entry.24'],
  [0x2830, 'GUEST_DEADLINE', 'tertiary.8'],
  [0x4800, 'GUEST_ES_LIMIT'],
  [0x4802, 'GUEST_CS_LIMIT'],
  [0x4804, 'GUEST_SS_LIMIT'],
  [0x4806, 'GUEST_DS_LIMIT'],
  [0x4808, 'GUEST_FS_LIMIT'],
  [0x480a, 'GUEST_GS_LIMIT'],
  [0x480c, 'GUEST_LDTR_LIMIT'],
  [0x480e, 'GUEST_TR_LIMIT'],
  [0x4810, 'GUEST_GDTR_LIMIT'],
  [0x4812, 'GUEST_IDTR_LIMIT'],
  [0x4814, 'GUEST_ES_AR_BYTES'],
  [0x4816, 'GUEST_CS_AR_BYTES'],
  [0x4818, 'GUEST_SS_AR_BYTES'],
  [0x481a, 'GUEST_DS_AR_BYTES'],
  [0x481c, 'GUEST_FS_AR_BYTES'],
  [0x481e, 'GUEST_GS_AR_BYTES'],
  [0x4820, 'GUEST_LDTR_AR_BYTES'],
  [0x4822, 'GUEST_TR_AR_BYTES'],
  [0x4824, 'GUEST_INTERRUPTIBILITY_INFO'],
  [0x4826, 'GUEST_ACTIVITY_STATE'],
  [0x4828, 'GUEST_SMBASE'],
  [0x482a, 'GUEST_SYSENTER_CS'],
  [0x482e, 'VMX_PREEMPTION_TIMER_VALUE', 'pin.6'],
  [0x6800, 'GUEST_CR0'],
  [0x6802, 'GUEST_CR3'],
  [0x6804, 'GUEST_CR4'],
  [0x6806, 'GUEST_ES_BASE'],
  [0x6808, 'GUEST_CS_BASE'],
  [0x680a, 'GUEST_SS_BASE'],
  [0x680c, 'GUEST_DS_BASE'],
  [0x680e, 'GUEST_FS_BASE'],
  [0x6810, 'GUEST_GS_BASE'],
  [0x6812, 'GUEST_LDTR_BASE'],
  [0x6814, 'GUEST_TR_BASE'],
  [0x6816, 'GUEST_GDTR_BASE'],
  [0x6818, 'GUEST_IDTR_BASE'],
  [0x681a, 'GUEST_DR7'],
  [0x681c, 'GUEST_RSP'],
  [0x681e, 'GUEST_RIP'],
  [0x6820, 'GUEST_RFLAGS'],
  [0x6822, 'GUEST_PENDING_DBG_EXCEPTIONS'],
  [0x6824, 'GUEST_SYSENTER_ESP'],
  [0x6826, 'GUEST_SYSENTER_EIP'],
  [0x6828, 'GUEST_S_CET', 'entry.20', 'exit.28'],
  [0x682a, 'GUEST_SSP', 'entry.20', 'exit.28'],
  [0x682c, 'GUEST_INTR_SSP_TABLE', 'entry.20', 'exit.28'],
  // Read-only data fields.
  [0x2400, 'GUEST_PHYSICAL_ADDRESS', 'secondary.1'],
  [0x2402, 'MSR_DATA', 'tertiary.6'],
  [0x2404, 'ORIGINAL_EVENT_DATA', 'entry.23'],
  [0x4400, 'VM_INSTRUCTION_ERROR'],
  [0x4402, 'VM_EXIT_REASON'],
  [0x4404, 'VM_EXIT_INTR_INFO'],
  [0x4406, 'VM_EXIT_INTR_ERROR_CODE'],
  [0x4408, 'IDT_VECTORING_INFO_FIELD'],
  [0x440a, 'IDT_VECTORING_ERROR_CODE'],
  [0x440c, 'VM_EXIT_INSTRUCTION_LEN'],
  [0x440e, 'VMX_INSTRUCTION_INFO'],
  [0x6400, 'EXIT_QUALIFICATION'],
  [0x6402, 'EXIT_IO_RCX'],
  [0x6404, 'EXIT_IO_RSI'],
  [0x6406, 'EXIT_IO_RDI'],
  [0x6408, 'EXIT_IO_RIP'],
  [0x640a, 'GUEST_LINEAR_ADDRESS'],
] as const satisfies readonly (readonly [number, string, ...string[]])[];

export type FieldName = (typeof ROWS)[number][1];

export const FIELD_WIDTHS = ['16', '64', '32', 'natural'] as const;
export const FIELD_TYPES = ['control', 'data', 'guest', 'host'] as const;

export interface Field {
  readonly name: FieldName;
  /** The number that VMREAD and VMWRITE take (full access). */
  readonly encoding: number;
  readonly width: (typeof FIELD_WIDTHS)[number];
  /** `data`: VM-exit information, read-only. */
  readonly type: (typeof FIELD_TYPES)[number];
  /** Bytes that the field holds. */
  readonly bytes: 2 | 4 | 8;
  /** Byte offset in the VMCS region: how the engine names the field. */
  readonly offset: number;
  /** Controls of which at least one must be allowed for the field to exist; none: always. */
  readonly needs: readonly string[];
}

const BYTES = [2, 8, 4, 8] as const;
const at = <T>(items: readonly T[], i: number): T => items[i] ?? (items[0] as T);

export const FIELDS: readonly Field[] = ROWS.map(([encoding, name, ...needs], i) => ({
  name,
  encoding,
  width: at(FIELD_WIDTHS, encoding >> 13),
  type: at(FIELD_TYPES, (encoding >> 10) & 3),
  bytes: at(BYTES, encoding >> 13),
  offset: REGION.fields + 8 * i,
  needs,
}));

/** Byte offset of each field in the VMCS region. */
export const F = Object.fromEntries(FIELDS.map((field) => [field.name, field.offset])) as {
  readonly [Name in FieldName]: number;
};

/** Words that the checks of a VM entry may read: controls, host and guest state; read-only data follow. */
export const CHECKED_BYTES = F.GUEST_PHYSICAL_ADDRESS;
/** Past the last field. */
export const FIELDS_END = REGION.fields + 8 * FIELDS.length;

const BY_ENCODING = new Uint8Array(0x8000);
for (const field of FIELDS) BY_ENCODING[field.encoding] = (field.offset - REGION.fields) / 8 + 1;

/** The field of a full-access encoding, or undefined where the manual has none. */
export const fieldByEncoding = (encoding: number): Field | undefined =>
  encoding < BY_ENCODING.length ? FIELDS[(BY_ENCODING[encoding] ?? 0) - 1] : undefined;

/** The field whose slot holds a byte offset of the region, or undefined. */
export const fieldAt = (offset: number): Field | undefined => FIELDS[(offset - REGION.fields) >> 3];

const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;
export type SegmentName = (typeof SEGMENT_NAMES)[number];

/** Guest fields of the segment registers, by register number (SEG of cpu/layout.ts). */
export const GUEST_SEGMENTS = SEGMENT_NAMES.map((name) => ({
  name,
  selector: F[`GUEST_${name}_SELECTOR`],
  base: F[`GUEST_${name}_BASE`],
  limit: F[`GUEST_${name}_LIMIT`],
  rights: F[`GUEST_${name}_AR_BYTES`],
}));
