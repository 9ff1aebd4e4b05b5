/**
 * VMX capability MSRs: what a processor model says it can do (Intel SDM, Vol. 3D, appendix A, "VMX Capability
 * Reporting Facility"), as data for the model, for RDMSR, for the entry checks and for the existence of fields.
 */
import type { CpuModel } from '../cpu/model.js';
import { CONTROL_GROUPS, type ControlGroup, ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.js';
import { FIELDS, type Field } from './fields.js';

/** Capability MSRs that are no control group. */
export const VMX_MSR = {
  basic: 0x480,
  misc: 0x485,
  cr0Fixed0: 0x486,
  cr0Fixed1: 0x487,
  cr4Fixed0: 0x488,
  cr4Fixed1: 0x489,
  vmcsEnum: 0x48a,
  eptVpid: 0x48c,
  vmfunc: 0x491,
} as const;

/** Of our VMCS regions; any other is refused by VMXON and VMPTRLD. */
export const REVISION = 0x5452_4150;

/** What a model allows, from which its capability MSRs are made. Controls are the bits that may be 1. */
export interface VmxFeatures {
  readonly pin: number;
  readonly primary: number;
  readonly secondary: number;
  readonly exit: number;
  readonly entry: number;
  /** Bits of CR4 that may be 1 in VMX operation. */
  readonly cr4: bigint;
  readonly misc: number;
  readonly eptVpid: bigint;
}

const union = (...bits: number[]): number => bits.reduce((all, bit) => (all | bit) >>> 0, 0);

/** Bits of IA32_VMX_MISC. */
export const MISC = {
  timerRate: 0x1f,
  savesLma: 1 << 5,
  hlt: 1 << 6,
  shutdown: 1 << 7,
  waitForSipi: 1 << 8,
  smmMonitor: 1 << 28,
  writesAnyField: 1 << 29,
  zeroLengthInjection: 1 << 30,
} as const;
const CR3_TARGETS = 4;

/** Bits of IA32_VMX_EPT_VPID_CAP. */
export const EPT_VPID = {
  executeOnly: 1n << 0n,
  walk4: 1n << 6n,
  walk5: 1n << 7n,
  uncacheable: 1n << 8n,
  writeBack: 1n << 14n,
  pages2m: 1n << 16n,
  pages1g: 1n << 17n,
  invept: 1n << 20n,
  accessedDirty: 1n << 21n,
  shadowStack: 1n << 23n,
  inveptSingle: 1n << 25n,
  inveptAll: 1n << 26n,
  invvpid: 1n << 32n,
  invvpidAddress: 1n << 40n,
  invvpidSingle: 1n << 41n,
  invvpidAll: 1n << 42n,
  invvpidKeepGlobal: 1n << 43n,
} as const;

/** What this engine does, of what a Skylake-X processor reports. */
export const skylakeVmx: VmxFeatures = {
  pin: union(PIN.externalInterrupt, PIN.nmi, PIN.virtualNmis, PIN.timer),
  primary: union(
    PRIMARY.interruptWindow,
    PRIMARY.tscOffset,
    PRIMARY.hlt,
    PRIMARY.invlpg,
    PRIMARY.mwait,
    PRIMARY.rdpmc,
    PRIMARY.rdtsc,
    PRIMARY.cr3Load,
    PRIMARY.cr3Store,
    PRIMARY.cr8Load,
    PRIMARY.cr8Store,
    PRIMARY.tprShadow,
    PRIMARY.nmiWindow,
    PRIMARY.movDr,
    PRIMARY.unconditionalIo,
    PRIMARY.ioBitmaps,
    PRIMARY.msrBitmaps,
    PRIMARY.monitor,
    PRIMARY.pause,
    PRIMARY.secondary,
  ),
  secondary: union(
    SECONDARY.ept,
    SECONDARY.descriptorTable,
    SECONDARY.rdtscp,
    SECONDARY.vpid,
    SECONDARY.wbinvd,
    SECONDARY.unrestricted,
    SECONDARY.rdrand,
    SECONDARY.invpcid,
    SECONDARY.rdseed,
  ),
  exit: union(
    EXIT.saveDebug,
    EXIT.host64,
    EXIT.loadPerf,
    EXIT.acknowledge,
    EXIT.savePat,
    EXIT.loadPat,
    EXIT.saveEfer,
    EXIT.loadEfer,
    EXIT.saveTimer,
  ),
  entry: union(ENTRY.loadDebug, ENTRY.ia32e, ENTRY.loadPerf, ENTRY.loadPat, ENTRY.loadEfer),
  cr4: 0x37_27ffn,
  misc: union(
    5, // the timer counts at 1/32 of the TSC
    MISC.savesLma,
    MISC.hlt,
    MISC.shutdown,
    MISC.waitForSipi,
    CR3_TARGETS << 16,
    MISC.zeroLengthInjection,
  ),
  eptVpid:
    EPT_VPID.executeOnly |
    EPT_VPID.walk4 |
    EPT_VPID.uncacheable |
    EPT_VPID.writeBack |
    EPT_VPID.pages2m |
    EPT_VPID.pages1g |
    EPT_VPID.invept |
    EPT_VPID.accessedDirty |
    EPT_VPID.inveptSingle |
    EPT_VPID.inveptAll |
    EPT_VPID.invvpid |
    EPT_VPID.invvpidAddress |
    EPT_VPID.invvpidSingle |
    EPT_VPID.invvpidAll |
    EPT_VPID.invvpidKeepGlobal,
};

/**
 * Bits that must be 1: the default1 class (appendix A.2 to A.5); the TRUE MSRs allow 0 for CR3 exiting and for
 * loading and saving the debug controls.
 */
const DEFAULT1 = { pin: 0x16, primary: 0x0401_e172, exit: 0x0003_6dff, entry: 0x0000_11ff } as const;
const TRUE_DEFAULT1 = { pin: 0x16, primary: 0x0400_6172, exit: 0x0003_6dfb, entry: 0x0000_11fb } as const;

/** 4 KiB regions, write-back, exit information for INS and OUTS, TRUE control MSRs. */
const BASIC = (0x00d8_1000n << 32n) | BigInt(REVISION);

const pair = (low: number, high: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
const ranges = (must: number, may: number): bigint => pair(must, must | may);

/** The capability MSRs of a model with these features, to be put into `CpuModel.msrs`. */
export function vmxCapabilities(features: VmxFeatures = skylakeVmx): readonly (readonly [number, bigint])[] {
  const { pin, primary, secondary, exit, entry } = features;
  const msrs: [number, bigint][] = [
    [VMX_MSR.basic, BASIC],
    [0x481, ranges(DEFAULT1.pin, pin)],
    [0x482, ranges(DEFAULT1.primary, primary)],
    [0x483, ranges(DEFAULT1.exit, exit)],
    [0x484, ranges(DEFAULT1.entry, entry)],
    [VMX_MSR.misc, BigInt(features.misc)],
    [VMX_MSR.cr0Fixed0, 0x8000_0021n],
    [VMX_MSR.cr0Fixed1, 0xffff_ffffn],
    [VMX_MSR.cr4Fixed0, 0x2000n],
    [VMX_MSR.cr4Fixed1, features.cr4],
    [0x48b, ranges(0, secondary)],
    [VMX_MSR.eptVpid, features.eptVpid],
    [0x48d, ranges(TRUE_DEFAULT1.pin, pin)],
    [0x48e, ranges(TRUE_DEFAULT1.primary, primary)],
    [0x48f, ranges(TRUE_DEFAULT1.exit, exit)],
    [0x490, ranges(TRUE_DEFAULT1.entry, entry)],
  ];
  const reader = readerOf(new Map(msrs));
  const highest = Math.max(...FIELDS.filter((field) => exists(field, reader)).map((f) => f.encoding & 0x3fe));
  msrs.push([VMX_MSR.vmcsEnum, BigInt(highest)]);
  return msrs;
}

/** Reads a capability MSR; 0 where the model has none. */
export type CapabilityReader = (msr: number) => bigint;
const readerOf =
  (msrs: ReadonlyMap<number, bigint>): CapabilityReader =>
  (msr) =>
    msrs.get(msr) ?? 0n;

/** The MSR that says which settings of a group are allowed: the TRUE one where the model has it. */
export const allowedMsr = (group: ControlGroup, basic: bigint): number =>
  group.trueMsr && (basic >> 55n) & 1n ? group.trueMsr : group.msr;

const allows = (need: string, read: CapabilityReader): boolean => {
  const [name, bit] = need.split('.');
  if (name === 'cr3-target') return ((read(VMX_MSR.misc) >> 16n) & 0x1ffn) > BigInt(bit ?? 0);
  const group = CONTROL_GROUPS.find((candidate) => candidate.name === name);
  if (!group) throw new RangeError(`no group of controls called ${name}`);
  const value = read(allowedMsr(group, read(VMX_MSR.basic)));
  // Tertiary controls and secondary VM-exit controls have 64 bits, of which the MSR names the allowed ones.
  const shift = group.name === 'tertiary' || group.name === 'exit2' ? 0n : 32n;
  return ((value >> (BigInt(bit ?? 0) + shift)) & 1n) !== 0n;
};

const exists = (field: Field, read: CapabilityReader): boolean =>
  field.needs.length === 0 || field.needs.some((need) => allows(need, read));

/** What the engine asks of a model again and again, as numbers. */
export interface Capabilities {
  readonly read: CapabilityReader;
  readonly revision: number;
  readonly timerRate: number;
  readonly writesAnyField: boolean;
  readonly savesLma: boolean;
  readonly physicalBits: number;
  /** By encoding: where VMREAD and VMWRITE find the field (ACCESS), 0 where the model has none. */
  readonly access: Uint16Array;
}

/**
 * How a field is accessed, packed: bits 11:0 offset in the region, bits 13:12 what is moved (16, 32 or 64 bits, or the
 * high half of a 64-bit field, at whose word the offset then points), bit 14 read-only, bit 15 it exists.
 */
export const ACCESS = { offset: 0xfff, kind: 0x3000, readOnly: 0x4000, exists: 0x8000 } as const;
export const ACCESS_KIND = { word: 0, long: 0x1000, quad: 0x2000, high: 0x3000 } as const;
const KIND_OF = { 2: ACCESS_KIND.word, 4: ACCESS_KIND.long, 8: ACCESS_KIND.quad } as const;

function accessTable(read: CapabilityReader): Uint16Array {
  const table = new Uint16Array(0x8000);
  for (const field of FIELDS) {
    if (!exists(field, read)) continue;
    const flags = ACCESS.exists | (field.type === 'data' ? ACCESS.readOnly : 0);
    table[field.encoding] = flags | KIND_OF[field.bytes] | field.offset;
    if (field.width === '64') table[field.encoding | 1] = flags | ACCESS_KIND.high | (field.offset + 4);
  }
  return table;
}

const known = new WeakMap<CpuModel, Capabilities>();

export function capabilitiesOf(model: CpuModel): Capabilities {
  let found = known.get(model);
  if (!found) {
    const read = readerOf(model.msrs);
    const misc = Number(read(VMX_MSR.misc) & 0xffff_ffffn);
    found = {
      read,
      revision: Number(read(VMX_MSR.basic) & 0x7fff_ffffn),
      timerRate: misc & MISC.timerRate,
      writesAnyField: (misc & MISC.writesAnyField) !== 0,
      savesLma: (misc & MISC.savesLma) !== 0,
      physicalBits: model.physicalBits,
      access: accessTable(read),
    };
    known.set(model, found);
  }
  return found;
}
