/** Features of CPUID that VM-entry checks depend on, and where CPUID reports them (Intel SDM Vol. 2A, "CPUID"). */
import type { CpuModel } from '../../cpu/model.js';

/** Leaf 7: sub-leaf, register, bit. */
const BITS = {
  SGX: [0, 'ebx', 2],
  RTM: [0, 'ebx', 11],
  /** The two halves of control-flow enforcement: each defines its bits of IA32_S_CET. */
  CET_SS: [0, 'ecx', 7],
  CET_IBT: [0, 'edx', 20],
  /** OS bus-lock detection: a debug exception may be pending for a bus lock. */
  BUS_LOCK_DETECT: [0, 'ecx', 24],
  FRED: [1, 'eax', 17],
  /** Linear-address masking: bits 62:61 of CR3 have a meaning. */
  LAM: [1, 'eax', 26],
} as const;

const STRUCTURED = 7;

export type CpuFeature = keyof typeof BITS;

export const CPU_FEATURES = Object.keys(BITS) as readonly CpuFeature[];

/** Registers that CPUID gives, unsigned. */
export type CpuidRegisters = { readonly [register in 'eax' | 'ebx' | 'ecx' | 'edx']: number };

/** What CPUID says of a feature; null: its leaf is not known. */
export function featureOf(
  read: (leaf: number, subleaf: number) => CpuidRegisters | null,
  feature: CpuFeature,
): boolean | null {
  const [subleaf, register, bit] = BITS[feature];
  const found = read(STRUCTURED, subleaf);
  return found === null ? null : ((found[register] >>> bit) & 1) !== 0;
}

/** What a processor model's CPUID says of a feature. */
export const hasFeature = ({ cpuid }: CpuModel, feature: CpuFeature): boolean =>
  featureOf((leaf, sub) => cpuid.find((one) => one.leaf === leaf && (one.subleaf ?? 0) === sub) ?? null, feature) ===
  true;
