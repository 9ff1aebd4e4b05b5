/** What the checks cite: one place for titles, edition and sections. */
export interface Citation {
  readonly section: string;
  readonly title: string;
}

/** Section numbers are those of the edition of February 2026; the chapter was 26 until 2020, 27 until 2024, 28 in 2025. */
export const MANUAL =
  'Intel 64 and IA-32 Architectures Software Developer’s Manual, Volume 3C (326019), chapter 29, "VM Entries"';

const cite = (section: string, title: string): Citation => ({ section, title });

export const CITE = {
  execution: cite('29.2.1.1', 'VM-Execution Control Fields'),
  exit: cite('29.2.1.2', 'VM-Exit Control Fields'),
  entry: cite('29.2.1.3', 'VM-Entry Control Fields'),
  hostRegisters: cite('29.2.2', 'Checks on Host Control Registers, MSRs, and SSP'),
  hostSegments: cite('29.2.3', 'Checks on Host Segment and Descriptor-Table Registers'),
  addressSpace: cite('29.2.4', 'Checks Related to Address-Space Size'),
  guestRegisters: cite('29.3.1.1', 'Checks on Guest Control Registers, Debug Registers, and MSRs'),
  guestSegments: cite('29.3.1.2', 'Checks on Guest Segment Registers'),
  guestTables: cite('29.3.1.3', 'Checks on Guest Descriptor-Table Registers'),
  guestFlags: cite('29.3.1.4', 'Checks on Guest RIP, RFLAGS, and SSP'),
  guestPointerLoading: cite('29.3.2.3', 'Loading Guest RIP, RSP, RFLAGS, and SSP'),
  guestNonRegister: cite('29.3.1.5', 'Checks on Guest Non-Register State'),
  guestPdptes: cite('29.3.1.6', 'Checks on Guest Page-Directory-Pointer-Table Entries'),
  /** Of entries that return from SMM, in another chapter. */
  executive: cite('34.15.4', 'VM Entries that Return from SMM'),
  msrLoading: cite('29.4', 'Loading MSRs'),
} as const satisfies { [name: string]: Citation };
