/**
 * `dump_vmcs` of Linux (arch/x86/kvm/vmx/vmx.c) as its versions print it, for tests of the reader: which lines, in which
 * order and under which control, as the sources of 4.2, 4.19, 5.10, 5.15, 6.16 and of 2026 have them. Nothing of it is
 * shared with the code that it tests.
 */

/** Versions whose dumps differ: 510 is the stable one, which took the change of PDPTRs and not that of EFER. */
export const VERSIONS = [402, 404, 419, 502, 510, 513, 515, 519, 600, 618, 700] as const;
export type Version = (typeof VERSIONS)[number];

/** What decides which lines are printed. */
export interface Machine {
  readonly pin: number;
  readonly primary: number;
  readonly secondary: number;
  readonly tertiary: number;
  readonly entry: number;
  readonly exit: number;
  readonly pae: boolean;
  readonly lma: boolean;
  /** The processor has EPT, used or not. */
  readonly hasEpt: boolean;
  readonly eferInList: boolean;
  /** Lengths of the lists of MSRs. */
  readonly loads: number;
  readonly stores: number;
  readonly hostLoads: number;
}

export interface Line {
  readonly text: string;
  readonly from?: number;
  readonly before?: number;
  readonly when?: (machine: Machine, version: number) => boolean;
}

const bit = (n: number) => (word: number) => ((word >>> n) & 1) === 1;
const [b0, b1, b5, b7, b9, b10] = [bit(0), bit(1), bit(5), bit(7), bit(9), bit(10)];
const [b12, b13, b14, b15, b16] = [bit(12), bit(13), bit(14), bit(15), bit(16)];
const [b18, b19, b20, b21, b25, b28] = [bit(18), bit(19), bit(20), bit(21), bit(25), bit(28)];

const VALUE = '????????????????';
const pdptrs = ({ secondary, pae, lma, hasEpt }: Machine, version: number): boolean =>
  version >= 510 ? hasEpt : b1(secondary) && pae && !lma;
const segment = (name: string): Line => ({
  text: `${`${name}:`.padEnd(5)} sel=0x????, attr=0x?????, limit=0x????????, base=0x${VALUE}`,
});
const table = (name: string): Line => ({
  text: `${`${name}:`.padEnd(32)}limit=0x????????, base=0x${VALUE}`,
});
const msrs = (name: string, n: (machine: Machine) => number, from = 513, before = 1000): Line[] => [
  { text: `MSR ${name}:`, from, before, when: (machine) => n(machine) > 0 },
  ...[0, 1].map(
    (i): Line => ({
      text: `   ${i}: msr=0x???????? value=0x${VALUE}`,
      from,
      before,
      when: (machine) => n(machine) > i,
    }),
  ),
];
const CET = `S_CET = 0x${VALUE}, SSP = 0x${VALUE}, SSP TABLE = 0x${VALUE}`;

const LINES: readonly Line[] = [
  { text: 'VMCS 00000000b277f40a, last attempted VM-entry on CPU 0', from: 515 },
  { text: '*** Guest State ***' },
  { text: `CR0: actual=0x${VALUE}, shadow=0x${VALUE}, gh_mask=${VALUE}` },
  { text: `CR4: actual=0xCR4, shadow=0x${VALUE}, gh_mask=${VALUE}` },
  { text: `CR3 = 0x${VALUE}` },
  { text: `PDPTR0 = 0x${VALUE}  PDPTR1 = 0x${VALUE}`, when: pdptrs },
  { text: `PDPTR2 = 0x${VALUE}  PDPTR3 = 0x${VALUE}`, when: pdptrs },
  { text: `RSP = 0x${VALUE}  RIP = 0x${VALUE}` },
  { text: `RFLAGS=0x????????         DR7 = 0x${VALUE}` },
  { text: `Sysenter RSP=${VALUE} CS:RIP=????:${VALUE}` },
  ...['CS', 'DS', 'SS', 'ES', 'FS', 'GS'].map(segment),
  ...[table('GDTR'), segment('LDTR'), table('IDTR'), segment('TR')],
  {
    text: `EFER =     0xEFER  PAT = 0x${VALUE}`,
    before: 513,
    when: ({ entry, exit }) => b14(entry) || b15(entry) || b18(exit) || b20(exit),
  },
  { text: 'EFER= 0xEFER', from: 513, when: ({ entry }) => b15(entry) },
  { text: 'EFER= 0xEFER (autoload)', from: 513, when: ({ entry, eferInList }) => !b15(entry) && eferInList },
  { text: 'EFER= 0xEFER (effective)', from: 513, when: ({ entry, eferInList }) => !b15(entry) && !eferInList },
  { text: `PAT = 0x${VALUE}`, from: 513, when: ({ entry }) => b14(entry) },
  { text: `DebugCtl = 0x${VALUE}  DebugExceptions = 0x${VALUE}` },
  { text: `PerfGlobCtl = 0x${VALUE}`, when: ({ entry }) => b13(entry) },
  { text: `BndCfgS = 0x${VALUE}`, when: ({ entry }) => b16(entry) },
  { text: 'Interruptibility = ????????  ActivityState = ????????' },
  { text: 'InterruptStatus = ????', when: ({ secondary }) => b9(secondary) },
  ...msrs('guest autoload', ({ loads }) => loads),
  ...msrs('guest autostore', ({ stores }) => stores, 513, 700),
  ...msrs('autostore', ({ stores }) => stores, 700),
  { text: CET, from: 618, when: ({ entry }) => b20(entry) },
  { text: '*** Host State ***' },
  { text: `RIP = 0x${VALUE}  RSP = 0x${VALUE}` },
  { text: 'CS=???? SS=???? DS=???? ES=???? FS=???? GS=???? TR=????' },
  { text: `FSBase=${VALUE} GSBase=${VALUE} TRBase=${VALUE}` },
  { text: `GDTBase=${VALUE} IDTBase=${VALUE}` },
  { text: `CR0=${VALUE} CR3=${VALUE} CR4=${VALUE}` },
  { text: `Sysenter RSP=${VALUE} CS:RIP=????:${VALUE}` },
  { text: `EFER = 0x${VALUE}  PAT = 0x${VALUE}`, before: 513, when: ({ exit }) => b19(exit) || b21(exit) },
  { text: `EFER= 0x${VALUE}`, from: 513, when: ({ exit }) => b21(exit) },
  { text: `PAT = 0x${VALUE}`, from: 513, when: ({ exit }) => b19(exit) },
  { text: `PerfGlobCtl = 0x${VALUE}`, when: ({ exit }) => b12(exit) },
  ...msrs('host autoload', ({ hostLoads }) => hostLoads),
  { text: CET, from: 618, when: ({ exit }) => b28(exit) },
  { text: '*** Control State ***' },
  { text: 'PinBased=PIN CPUBased=PRIMARY SecondaryExec=SECONDARY', before: 519 },
  { text: 'EntryControls=ENTRY ExitControls=EXIT', before: 519 },
  { text: 'CPUBased=0xPRIMARY SecondaryExec=0xSECONDARY TertiaryExec=0xTERTIARY', from: 519 },
  { text: 'PinBased=0xPIN EntryControls=ENTRY ExitControls=EXIT', from: 519 },
  { text: 'ExceptionBitmap=???????? PFECmask=???????? PFECmatch=????????' },
  { text: 'VMEntry: intr_info=???????? errcode=???????? ilen=????????' },
  { text: 'VMExit: intr_info=???????? errcode=???????? ilen=????????' },
  { text: `        reason=???????? qualification=${VALUE}` },
  { text: 'IDTVectoring: info=???????? errcode=????????' },
  { text: `TSC Offset = 0x${VALUE}` },
  { text: `TSC Multiplier = 0x${VALUE}`, from: 404, when: ({ secondary }) => b25(secondary) },
  { text: 'TPR Threshold = 0x??', before: 502, when: ({ primary }) => b21(primary) },
  {
    text: 'SVI|RVI = ??|?? TPR Threshold = 0x??',
    from: 502,
    when: ({ primary, secondary }) => b21(primary) && b9(secondary),
  },
  { text: 'TPR Threshold = 0x??', from: 502, when: ({ primary, secondary }) => b21(primary) && !b9(secondary) },
  {
    text: `APIC-access addr = 0x${VALUE} virt-APIC addr = 0x${VALUE}`,
    from: 502,
    when: ({ primary, secondary }) => b21(primary) && b0(secondary),
  },
  {
    text: `virt-APIC addr = 0x${VALUE}`,
    from: 502,
    when: ({ primary, secondary }) => b21(primary) && !b0(secondary),
  },
  { text: 'PostedIntrVec = 0x??', when: ({ pin }) => b7(pin) },
  { text: `EPT pointer = 0x${VALUE}`, when: ({ secondary }) => b1(secondary) },
  { text: 'PLE Gap=???????? Window=????????', when: ({ secondary }) => b10(secondary) },
  { text: 'Virtual processor ID = 0x????', when: ({ secondary }) => b5(secondary) },
  { text: `VE info address = 0x${VALUE}`, from: 610, when: ({ secondary }) => b18(secondary) },
  {
    text: `ve_info: 0x???????? 0x???????? 0x${VALUE} 0x${VALUE} 0x${VALUE} 0x????`,
    from: 610,
    when: ({ secondary }) => b18(secondary),
  },
];

const hex = (value: number, digits: number): string => (value >>> 0).toString(16).padStart(digits, '0');

/** A machine with any controls that a kernel of that version could set. */
export function anyMachine(next: (n: number) => number, version: number): Machine {
  const any = (...bits: readonly number[]): number => bits.reduce((word, n) => word | (next(2) << n), 0);
  const lma = next(2) === 1;
  const isNew = version >= 618;
  const primary = any(21, 31) | (version >= 519 ? any(17) : 0);
  // The control counts where the primary ones turn the secondary ones on; without EPT none can be used.
  const secondary = (primary >>> 31 === 1 ? any(0, 1, 5, 9, 10, 18) : 0) | (version >= 404 ? any(25) : 0);
  return {
    pin: any(7),
    primary,
    secondary: primary >>> 31 === 1 ? secondary : 0,
    tertiary: (primary >>> 17) & 1 ? any(4) : 0,
    entry: any(13, 14, 15, 16) | (lma ? 1 << 9 : 0) | (isNew ? any(20) : 0),
    exit: any(12, 18, 19, 20, 21) | (isNew ? any(28) : 0),
    pae: lma || next(2) === 1,
    lma,
    hasEpt: b1(secondary) || next(2) === 1,
    eferInList: next(3) === 0,
    loads: next(3),
    stores: next(3),
    hostLoads: next(3),
  };
}

/** The dump of KVM, with any values where none decides what is printed. */
export const printAs = (version: Version, machine: Machine, next: (n: number) => number): string[] =>
  printLines(LINES, version, machine, next);

/** Lines of a version, filled. */
export function printLines(
  lines: readonly Line[],
  version: number,
  machine: Machine,
  next: (n: number) => number,
): string[] {
  const { pin, primary, secondary, tertiary, entry, exit, pae, lma } = machine;
  const named: { readonly [name: string]: string } = {
    CR4: hex(pae ? 0x20 : 0, 16),
    EFER: hex(lma ? 0xd01 : 0, 16),
    PIN: hex(pin, 8),
    PRIMARY: hex(primary, 8),
    SECONDARY: hex(secondary, 8),
    TERTIARY: hex(tertiary, 16),
    ENTRY: hex(entry, 8),
    EXIT: hex(exit, 8),
  };
  return lines
    .filter(
      ({ from = 0, before = 1000, when }) => version >= from && version < before && (when?.(machine, version) ?? true),
    )
    .map(({ text }) =>
      text
        .replace(/(?<=0x|=)(?:CR4|EFER|PIN|PRIMARY|SECONDARY|TERTIARY|ENTRY|EXIT)\b/g, (name) => named[name] ?? '')
        .replace(/\?/g, () => next(16).toString(16)),
    );
}
