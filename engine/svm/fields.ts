/**
 * The virtual machine control block: AMD64 APM, volume 2 (24593), appendix B, "VMCB Layout". Names are those of Linux
 * (arch/x86/include/asm/svm.h) in capitals; a field is known by its byte offset.
 */

/** Where the state-save area begins. */
const SAVE = 0x400;

/** Offset, name, bytes. */
const ROWS = [
  // Control area.
  [0x000, 'INTERCEPT_CR_READ', 2],
  [0x002, 'INTERCEPT_CR_WRITE', 2],
  [0x004, 'INTERCEPT_DR_READ', 2],
  [0x006, 'INTERCEPT_DR_WRITE', 2],
  [0x008, 'INTERCEPT_EXCEPTIONS', 4],
  [0x00c, 'INTERCEPT_WORD3', 4],
  [0x010, 'INTERCEPT_WORD4', 4],
  [0x014, 'INTERCEPT_WORD5', 4],
  [0x03c, 'PAUSE_FILTER_THRESHOLD', 2],
  [0x03e, 'PAUSE_FILTER_COUNT', 2],
  [0x040, 'IOPM_BASE_PA', 8],
  [0x048, 'MSRPM_BASE_PA', 8],
  [0x050, 'TSC_OFFSET', 8],
  [0x058, 'ASID', 4],
  [0x05c, 'TLB_CONTROL', 1],
  [0x060, 'INT_CTL', 4],
  [0x064, 'INT_VECTOR', 4],
  [0x068, 'INT_STATE', 8],
  [0x070, 'EXIT_CODE', 8],
  [0x078, 'EXIT_INFO_1', 8],
  [0x080, 'EXIT_INFO_2', 8],
  [0x088, 'EXIT_INT_INFO', 4],
  [0x08c, 'EXIT_INT_INFO_ERR', 4],
  [0x090, 'NESTED_CTL', 8],
  [0x098, 'AVIC_APIC_BAR', 8],
  [0x0a0, 'GHCB_GPA', 8],
  [0x0a8, 'EVENT_INJ', 4],
  [0x0ac, 'EVENT_INJ_ERR', 4],
  [0x0b0, 'NESTED_CR3', 8],
  [0x0b8, 'VIRT_EXT', 8],
  [0x0c0, 'CLEAN', 4],
  [0x0c8, 'NEXT_RIP', 8],
  [0x0e0, 'AVIC_BACKING_PAGE', 8],
  [0x0f0, 'AVIC_LOGICAL_ID', 8],
  [0x0f8, 'AVIC_PHYSICAL_ID', 8],
  [0x108, 'VMSA_PA', 8],
  [0x120, 'BUS_LOCK_COUNTER', 2],
  [0x138, 'ALLOWED_SEV_FEATURES', 8],
  [0x140, 'GUEST_SEV_FEATURES', 8],
  // State-save area: segments of 16 bytes, then registers.
  ...(['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'GDTR', 'LDTR', 'IDTR', 'TR'] as const).flatMap(
    (name, i) =>
      [
        [SAVE + 16 * i, `${name}_SELECTOR`, 2],
        [SAVE + 16 * i + 2, `${name}_ATTRIB`, 2],
        [SAVE + 16 * i + 4, `${name}_LIMIT`, 4],
        [SAVE + 16 * i + 8, `${name}_BASE`, 8],
      ] as const,
  ),
  [SAVE + 0x0c0, 'U_CET', 8],
  [SAVE + 0x0ca, 'VMPL', 1],
  [SAVE + 0x0cb, 'CPL', 1],
  [SAVE + 0x0d0, 'EFER', 8],
  [SAVE + 0x140, 'XSS', 8],
  [SAVE + 0x148, 'CR4', 8],
  [SAVE + 0x150, 'CR3', 8],
  [SAVE + 0x158, 'CR0', 8],
  [SAVE + 0x160, 'DR7', 8],
  [SAVE + 0x168, 'DR6', 8],
  [SAVE + 0x170, 'RFLAGS', 8],
  [SAVE + 0x178, 'RIP', 8],
  [SAVE + 0x1d8, 'RSP', 8],
  [SAVE + 0x1e0, 'S_CET', 8],
  [SAVE + 0x1e8, 'SSP', 8],
  [SAVE + 0x1f0, 'ISST_ADDR', 8],
  [SAVE + 0x1f8, 'RAX', 8],
  [SAVE + 0x200, 'STAR', 8],
  [SAVE + 0x208, 'LSTAR', 8],
  [SAVE + 0x210, 'CSTAR', 8],
  [SAVE + 0x218, 'SFMASK', 8],
  [SAVE + 0x220, 'KERNEL_GS_BASE', 8],
  [SAVE + 0x228, 'SYSENTER_CS', 8],
  [SAVE + 0x230, 'SYSENTER_ESP', 8],
  [SAVE + 0x238, 'SYSENTER_EIP', 8],
  [SAVE + 0x240, 'CR2', 8],
  [SAVE + 0x268, 'G_PAT', 8],
  [SAVE + 0x270, 'DBGCTL', 8],
  [SAVE + 0x278, 'BR_FROM', 8],
  [SAVE + 0x280, 'BR_TO', 8],
  [SAVE + 0x288, 'EXCP_FROM', 8],
  [SAVE + 0x290, 'EXCP_TO', 8],
  // What only the encrypted save area (VMSA) of an SEV-ES guest holds, which begins with the same registers.
  [SAVE + 0x320, 'SECURE_AVIC_CONTROL', 8],
  [SAVE + 0x3b0, 'SEV_FEATURES', 8],
  [SAVE + 0x3b8, 'VINTR_CTRL', 8],
] as const satisfies readonly (readonly [number, string, 1 | 2 | 4 | 8])[];

export type VmcbFieldName = (typeof ROWS)[number][1];

export interface VmcbField {
  readonly name: VmcbFieldName;
  /** Byte offset in the VMCB. */
  readonly offset: number;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly area: 'control' | 'save';
}

export const VMCB_FIELDS: readonly VmcbField[] = ROWS.map(([offset, name, bytes]) => ({
  name,
  offset,
  bytes,
  area: offset < SAVE ? 'control' : 'save',
}));

/** Byte offset of each field in the VMCB. */
export const V = Object.fromEntries(VMCB_FIELDS.map((field) => [field.name, field.offset])) as {
  readonly [Name in VmcbFieldName]: number;
};

const BY_OFFSET: ReadonlyMap<number, VmcbField> = new Map(VMCB_FIELDS.map((field) => [field.offset, field]));

/** The field at a byte offset, or undefined. */
export const vmcbFieldAt = (offset: number): VmcbField | undefined => BY_OFFSET.get(offset);
