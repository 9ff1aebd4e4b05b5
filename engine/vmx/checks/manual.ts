/** What the checks cite: one place for titles, edition and sections. */
export interface Citation {
  readonly section: string;
  readonly title: string;
}

/** Section numbers are those of the editions since 2021; until 2020 the chapter was 26. */
export const MANUAL =
  'Intel 64 and IA-32 Architectures Software Developer’s Manual, Volume 3C (326019), chapter 27, "VM Entries"';

const cite = (section: string, title: string): Citation => ({ section, title });

export const CITE = {
  execution: cite('27.2.1.1', 'VM-Execution Control Fields'),
  exit: cite('27.2.1.2', 'VM-Exit Control Fields'),
  entry: cite('27.2.1.3', 'VM-Entry Control Fields'),
  hostRegisters: cite('27.2.2', 'Checks on Host Control Registers, MSRs, and SSP'),
  hostSegments: cite('27.2.3', 'Checks on Host Segment and Descriptor-Table Registers'),
  addressSpace: cite('27.2.4', 'Checks Related to Address-Space Size'),
  guestRegisters: cite('27.3.1.1', 'Checks on Guest Control Registers, Debug Registers, and MSRs'),
  guestSegments: cite('27.3.1.2', 'Checks on Guest Segment Registers'),
  guestTables: cite('27.3.1.3', 'Checks on Guest Descriptor-Table Registers'),
  guestFlags: cite('27.3.1.4', 'Checks on Guest RIP, RFLAGS, and SSP'),
  guestNonRegister: cite('27.3.1.5', 'Checks on Guest Non-Register State'),
  guestPdptes: cite('27.3.1.6', 'Checks on Guest Page-Directory-Pointer-Table Entries'),
  msrLoading: cite('27.4', 'Loading MSRs'),
} as const satisfies { [name: string]: Citation };
