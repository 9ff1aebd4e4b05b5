/**
 * What a check may ask of the processor, and what is known where the dump is all there is: nothing of this processor,
 * but what every processor with VMX reports (`LEAST`) and what at most one could (`MOST`). A check that both decide
 * alike is decided.
 */
import type { CpuModel } from '../../engine/cpu/model.js';
import { VMX_MSR } from '../../engine/vmx/capabilities.js';
import { COUNTERS } from '../../engine/vmx/checks/evaluate.js';
import { CPU_FEATURES, type CpuFeature, hasFeature } from '../../engine/vmx/checks/features.js';
import { MAKERS, type Maker } from './makers.js';
import { DEFAULT1, type MsrReader } from './vmx-msrs.js';

export type Features = { readonly [feature in CpuFeature]?: boolean };

export interface Processor {
  readonly name: string;
  /** A capability MSR; null: not known. */
  readonly msr: MsrReader;
  readonly physicalBits: number | null;
  readonly linearBits: number | null;
  /** Bits of IA32_PERF_GLOBAL_CTRL that enable a counter; null: not known. */
  readonly counters: bigint | null;
  /** What CPUID says of features; absent: not known. */
  readonly features: Features;
  /** Bounds of what is not known exactly, closer than those of every processor. */
  readonly least?: Bound;
  readonly most?: Bound;
  /** Absent: not known. */
  readonly maker?: Maker;
  /** It was read from a file, and `name` is the file's. */
  readonly isFile?: true;
  /** Who says what, where capability MSRs and CPUID come from two: one may turn out to be of another host. */
  readonly parts?: { readonly capable: Processor; readonly said: Processor };
}

export type Bound = Partial<Pick<Processor, 'physicalBits' | 'linearBits' | 'counters'>>;

/** What of a processor has a name where it is missing. */
export const FACTS = {
  physicalBits: 'physical-address width',
  linearBits: 'linear-address width',
  counters: 'performance counters',
} as const;

export const UNKNOWN: Processor = {
  name: 'unknown',
  msr: () => null,
  physicalBits: null,
  linearBits: null,
  counters: null,
  features: {},
};

const pair = (must: number, may: number): bigint => (BigInt((must | may) >>> 0) << 32n) | BigInt(must >>> 0);
const ALL = 0xffff_ffff;

/** Bits of CR4 that the first processors with VMX have: VME to OSXMMEXCPT, and VMXE. */
const CR4_OLDEST = 0x27ffn;
/** Every bit of CR4 with a meaning: to SMXE, FSGSBASE to UINTR, LASS, LAM_SUP, FRED. */
const CR4_DEFINED = 0x1_1bff_7fffn;
const CR3_TARGETS = 4n << 16n;
const ACTIVITIES = 7n << 6n;
/** IA32_VMX_BASIC bits 55 (TRUE controls), 56 (any error code with an exception) and 58 (nested exceptions). */
const TRUE_CONTROLS = 1n << 55n;
const ANY_ERROR_CODE = 1n << 56n;
const NESTED_EXCEPTION = 1n << 58n;
const ZERO_LENGTH = 1n << 30n;
/** Walk of 4 levels, write-back. */
const EPT_OLDEST = (1n << 6n) | (1n << 14n);

const bound = (least: boolean, cr4: bigint): ReadonlyMap<number, bigint> =>
  new Map<number, bigint>([
    [VMX_MSR.basic, least ? 0n : TRUE_CONTROLS | ANY_ERROR_CODE | NESTED_EXCEPTION],
    [VMX_MSR.misc, CR3_TARGETS | ACTIVITIES | (least ? 0n : ZERO_LENGTH)],
    [VMX_MSR.cr0Fixed0, 0x8000_0021n],
    [VMX_MSR.cr0Fixed1, 0xffff_ffffn],
    [VMX_MSR.cr4Fixed0, 0x2000n],
    [VMX_MSR.cr4Fixed1, least ? CR4_OLDEST | cr4 : CR4_DEFINED],
    [VMX_MSR.eptVpid, least ? EPT_OLDEST : 0xffff_ffff_ffff_ffffn],
    [VMX_MSR.vmfunc, least ? 0n : 0xffff_ffff_ffff_ffffn],
    ...DEFAULT1.flatMap(({ msr, trueMsr, always, usual }): [number, bigint][] => [
      [msr, pair(usual, least ? 0 : ALL)],
      ...(trueMsr === 0 ? [] : [[trueMsr, pair(least ? usual : always, least ? 0 : ALL)] as [number, bigint]]),
    ]),
    // Tertiary controls and secondary VM-exit controls: the bits that may be 1.
    [0x492, least ? 0n : 0xffff_ffff_ffff_ffffn],
    [0x493, least ? 0n : 0xffff_ffff_ffff_ffffn],
  ]);

/** The narrowest and the widest physical addresses of processors with VMX. */
const PHYSICAL = { least: 36, most: 52 } as const;
/** Bits of CR4. */
const LA57 = 1n << 12n;
/** With and without 5-level paging. */
const LINEAR = { least: 48, most: 57 } as const;
/** Every known processor with CET has both halves of it. */
const CET = 1n << 23n;
const LAM_SUP = 1n << 28n;
const FRED = 1n << 32n;

const eachFeature = (has: (feature: CpuFeature) => boolean): Features =>
  Object.fromEntries(CPU_FEATURES.map((feature) => [feature, has(feature)]));
/** A processor that has none of the features that checks ask for, and one that has all. */
export const NONE = eachFeature(() => false);
const ALL_FEATURES = eachFeature(() => true);

/** Features that a CR4 shows. */
const shown = (cr4: bigint): Features => ({
  FRED: (cr4 & FRED) !== 0n,
  LAM: (cr4 & LAM_SUP) !== 0n,
  CET_SS: (cr4 & CET) !== 0n,
  CET_IBT: (cr4 & CET) !== 0n,
});

/**
 * Bounds of an unknown processor whose host runs with this CR4, which the processor thus supports. A host without LA57
 * may leave it off: bases and MSRs are held against what the processor supports, whatever paging is in use.
 */
export function bounds(hostCr4: bigint | null): readonly [least: Processor, most: Processor] {
  const cr4 = hostCr4 ?? 0n;
  const make = (least: boolean): Processor => {
    const msrs = bound(least, cr4);
    return {
      name: least ? 'least' : 'most',
      msr: (msr) => msrs.get(msr) ?? null,
      physicalBits: least ? PHYSICAL.least : PHYSICAL.most,
      linearBits: least && (cr4 & LA57) === 0n ? LINEAR.least : LINEAR.most,
      counters: least ? 0x7_0000_0003n : 0xffff_ffffn | (0xffffn << 32n) | (1n << 48n),
      features: least ? { ...NONE, ...shown(cr4) } : ALL_FEATURES,
    };
  };
  return [make(true), make(false)];
}

/** Bits of a running CR4, by name, whose feature a processor is said not to have. */
export function deniedBy({ linearBits, features }: Processor, cr4: bigint): string[] {
  const has = shown(cr4);
  const denies = (...of: readonly CpuFeature[]): boolean => of.some((one) => has[one] && features[one] === false);
  const bits: readonly (readonly [name: string, denied: boolean])[] = [
    ['LA57', (cr4 & LA57) !== 0n && linearBits !== null && linearBits < LINEAR.most],
    ['CET', denies('CET_SS') && denies('CET_IBT')],
    ['LAM_SUP', denies('LAM')],
    ['FRED', denies('FRED')],
  ];
  return bits.filter(([, denied]) => denied).map(([name]) => name);
}

/** A processor that Trapline's machine has. */
export const ofModel = (model: CpuModel): Processor => ({
  name: model.name,
  msr: (msr) => model.msrs.get(msr) ?? 0n,
  physicalBits: model.physicalBits,
  linearBits: 48,
  counters: (BigInt(COUNTERS.high) << 32n) | BigInt(COUNTERS.low),
  features: eachFeature((feature) => hasFeature(model, feature)),
  maker: MAKERS[model.vendor],
});

/**
 * What is known of a processor, with what CPUID says of it: the processor's own word where it is given.
 * @param said read from a file, which says nothing of MSRs
 */
export function withCpuid(known: Processor, said: Processor): Processor {
  const pick = <K extends keyof Bound & keyof Processor>(fact: K): Processor[K] =>
    said[fact] !== null || said.least?.[fact] !== undefined ? said[fact] : known[fact];
  if (known === UNKNOWN) return said;
  return {
    ...said,
    name: `${known.name} with ${said.name}`,
    msr: known.msr,
    physicalBits: pick('physicalBits'),
    linearBits: pick('linearBits'),
    counters: pick('counters'),
    features: { ...known.features, ...said.features },
    parts: { capable: known, said },
  };
}

/** What is known of a processor, and what both bounds agree in. */
export const agreed = (known: Processor, least: Processor, most: Processor): Processor => ({
  ...known,
  msr: (msr) => known.msr(msr) ?? (least.msr(msr) === most.msr(msr) ? least.msr(msr) : null),
  linearBits: known.linearBits ?? (least.linearBits === most.linearBits ? least.linearBits : null),
});
