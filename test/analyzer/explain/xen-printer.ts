/**
 * `vmcs_dump_vcpu` of Xen (xen/arch/x86/hvm/vmx/vmcs.c) of 4.0 to 4.5, 4.7, 4.13 and 4.20, for tests of the reader: which
 * lines, in which order and under which control. Nothing of it is shared with the code that it tests.
 */
import { type Line, type Machine, printLines } from './kvm-printer.js';

export const XEN_VERSIONS = [405, 407, 413, 420] as const;

const V = '????????????????';
const set = (word: number, bit: number): boolean => ((word >>> bit) & 1) === 1;
const segment = (name: string): Line => ({ text: `${name.padStart(4)}: ???? ????? ???????? ${V}` });
const table = (name: string): Line => ({ text: `${name}:            ???????? ${V}` });
const pdptes = ({ secondary, pae, lma }: Machine): boolean => set(secondary, 1) && pae && !lma;
const efer = ({ entry, exit }: Machine): boolean => set(entry, 14) || set(entry, 15) || set(exit, 18) || set(exit, 20);

const LINES: readonly Line[] = [
  { text: '*** Guest State ***' },
  { text: `CR0: actual=0x${V}, shadow=0x${V}, gh_mask=${V}` },
  { text: `CR4: actual=0xCR4, shadow=0x${V}, gh_mask=${V}` },
  { text: `CR3 = 0x${V}` },
  { text: `PDPTE0 = 0x${V}  PDPTE1 = 0x${V}`, when: pdptes },
  { text: `PDPTE2 = 0x${V}  PDPTE3 = 0x${V}`, when: pdptes },
  { text: `RSP = 0x${V} (0x${V})  RIP = 0x${V} (0x${V})` },
  { text: `RFLAGS=0x???????? (0x????????)  DR7 = 0x${V}` },
  { text: `Sysenter RSP=${V} CS:RIP=????:${V}` },
  { text: '       sel  attr  limit   base' },
  ...['CS', 'DS', 'SS', 'ES', 'FS', 'GS'].map(segment),
  ...[table('GDTR'), segment('LDTR'), table('IDTR'), segment('TR')],
  { text: `EFER = 0xEFER  PAT = 0x${V}`, before: 413, when: efer },
  { text: `EFER(VMCS) = 0xEFER  PAT = 0x${V}`, from: 413, when: ({ entry }) => set(entry, 15) },
  { text: `EFER(MSR LL) = 0xEFER  PAT = 0x${V}`, from: 413, when: ({ entry }) => !set(entry, 15) },
  { text: 'PreemptionTimer = 0x????????  SM Base = 0x????????' },
  { text: `DebugCtl = 0x${V}  DebugExceptions = 0x${V}` },
  { text: `PerfGlobCtl = 0x${V}  BndCfgS = 0x${V}`, when: ({ entry }) => set(entry, 13) || set(entry, 16) },
  { text: 'Interruptibility = ????????  ActivityState = ????????' },
  { text: 'InterruptStatus = ????', when: ({ secondary }) => set(secondary, 9) },
  { text: '*** Host State ***' },
  { text: `RIP = 0x${V} (vmx_asm_vmexit_handler)  RSP = 0x${V}` },
  { text: 'CS=???? SS=???? DS=???? ES=???? FS=???? GS=???? TR=????' },
  { text: `FSBase=${V} GSBase=${V} TRBase=${V}` },
  { text: `GDTBase=${V} IDTBase=${V}` },
  { text: `CR0=${V} CR3=${V} CR4=${V}` },
  { text: `Sysenter RSP=${V} CS:RIP=????:${V}` },
  { text: `EFER = 0x${V}  PAT = 0x${V}`, when: ({ exit }) => set(exit, 19) || set(exit, 21) },
  { text: `PerfGlobCtl = 0x${V}`, when: ({ exit }) => set(exit, 12) },
  { text: '*** Control State ***' },
  { text: 'PinBased=PIN CPUBased=PRIMARY SecondaryExec=SECONDARY', before: 420 },
  { text: 'PinBased=PIN CPUBased=PRIMARY', from: 420 },
  { text: 'SecondaryExec=SECONDARY TertiaryExec=TERTIARY', from: 420 },
  { text: 'EntryControls=ENTRY ExitControls=EXIT' },
  { text: 'ExceptionBitmap=???????? PFECmask=???????? PFECmatch=????????' },
  { text: 'VMEntry: intr_info=???????? errcode=???????? ilen=????????' },
  { text: 'VMExit: intr_info=???????? errcode=???????? ilen=????????' },
  { text: `        reason=???????? qualification=${V}` },
  { text: 'IDTVectoring: info=???????? errcode=????????' },
  { text: `TSC Offset = 0x${V}  TSC Multiplier = 0x${V}` },
  {
    text: 'TPR Threshold = 0x??  PostedIntrVec = 0x??',
    when: ({ primary, pin }) => set(primary, 21) || set(pin, 7),
  },
  { text: `EPT pointer = 0x${V}  EPTP index = 0x????`, when: ({ secondary }) => set(secondary, 1) },
  { text: 'PLE Gap=???????? Window=????????', when: ({ secondary }) => set(secondary, 10) },
  {
    text: `Virtual processor ID = 0x???? VMfunc controls = ${V}`,
    when: ({ secondary }) => set(secondary, 5) || set(secondary, 13),
  },
];

const segment45 = (name: string): Line => ({
  text: `${name}: sel=0x????, attr=0x?????, limit=0x????????, base=0x${V}`,
});
const table45 = (name: string): Line => ({ text: `${name}:${' '.repeat(27)}limit=0x????????, base=0x${V}` });

/** 4.0 to 4.5, alike, and whatever the controls are. */
const LINES_45: readonly Line[] = [
  { text: '*** Guest State ***' },
  { text: `CR0: actual=0x${V}, shadow=0x${V}, gh_mask=${V}` },
  { text: `CR4: actual=0x${V}, shadow=0x${V}, gh_mask=${V}` },
  { text: `CR3: actual=0x${V}, target_count=0` },
  { text: `     target0=${V}, target1=${V}` },
  { text: `     target2=${V}, target3=${V}` },
  { text: `RSP = 0x${V} (0x${V})  RIP = 0x${V} (0x${V})` },
  { text: `RFLAGS=0x${V} (0x${V})  DR7 = 0x${V}` },
  { text: `Sysenter RSP=${V} CS:RIP=????:${V}` },
  ...['CS', 'DS', 'SS', 'ES', 'FS', 'GS'].map(segment45),
  ...[table45('GDTR'), segment45('LDTR'), table45('IDTR'), segment45('TR')],
  { text: `Guest PAT = 0x${V}` },
  { text: `TSC Offset = ${V}` },
  { text: `DebugCtl=${V} DebugExceptions=${V}` },
  { text: 'Interruptibility=???? ActivityState=????' },
  { text: '*** Host State ***' },
  { text: `RSP = 0x${V}  RIP = 0x${V}` },
  { text: 'CS=???? DS=???? ES=???? FS=???? GS=???? SS=???? TR=????' },
  { text: `FSBase=${V} GSBase=${V} TRBase=${V}` },
  { text: `GDTBase=${V} IDTBase=${V}` },
  { text: `CR0=${V} CR3=${V} CR4=${V}` },
  { text: `Sysenter RSP=${V} CS:RIP=????:${V}` },
  { text: `Host PAT = 0x${V}` },
  { text: '*** Control State ***' },
  { text: 'PinBased=PIN CPUBased=PRIMARY SecondaryExec=SECONDARY' },
  { text: 'EntryControls=ENTRY ExitControls=EXIT' },
  { text: 'ExceptionBitmap=????????' },
  { text: 'VMEntry: intr_info=???????? errcode=???????? ilen=????????' },
  { text: 'VMExit: intr_info=???????? errcode=???????? ilen=????????' },
  { text: '        reason=???????? qualification=????????' },
  { text: 'IDTVectoring: info=???????? errcode=????????' },
  { text: 'TPR Threshold = 0x??' },
  { text: `EPT pointer = 0x${V}` },
  { text: 'Virtual processor ID = 0x????' },
];

/** The dump of Xen, with any values where none decides what is printed. */
export const printAsXen = (version: number, machine: Machine, next: (n: number) => number): string[] =>
  printLines(version < 406 ? LINES_45 : LINES, version, machine, next).map((line) => `(XEN) ${line}`);
