/**
 * The checks of VMRUN as data, in the shape of those of a VM entry (vmx/checks/check.ts). The manual gives them no
 * order and one answer: #VMEXIT with VMEXIT_INVALID.
 */
export interface SvmCitation {
  readonly section: string;
  readonly title: string;
}

/** What a check may ask; every method and property may throw where the answer is not known. */
export interface SvmCheckState {
  /** Low and high 32 bits of a field (offset `V` of fields.ts), unsigned; narrow fields are zero-extended. */
  low(field: number): number;
  high(field: number): number;
  /** Bits of a physical address (CPUID.80000008H:EAX). */
  readonly physicalBits: number;
  /** CPUID.80000001H:EDX bit 29. */
  readonly longMode: boolean;
  /** Bits of CR4 and of EFER that this processor supports. */
  readonly cr4Supported: number;
  readonly eferSupported: number;
  /** CR0.PG of the host that executes VMRUN. */
  readonly hostPaging: boolean;
}

export interface SvmCheck {
  /** Stable and speaking, for example `svm.asid`. */
  readonly id: string;
  readonly cites: SvmCitation;
  /** Fields (offsets) that it reads. */
  readonly reads: readonly number[];
  readonly holds: (s: SvmCheckState) => boolean;
  /** The rule in words. */
  readonly says: string;
  readonly causes?: readonly string[];
  /** The manual does not say that every processor checks it. */
  readonly optional?: true;
}

export type SvmRow = readonly [
  id: string,
  says: string,
  reads: readonly number[],
  holds: (s: SvmCheckState) => boolean,
  causes?: string,
];

export const svmSection = (cites: SvmCitation, rows: readonly SvmRow[], optional?: true): SvmCheck[] =>
  rows.map(([id, says, reads, holds, causes]) => ({
    id,
    cites,
    reads,
    holds,
    says,
    ...(causes === undefined ? {} : { causes: [causes] }),
    ...(optional ? { optional } : {}),
  }));
