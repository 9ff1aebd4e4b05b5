/**
 * The checks of VMRUN as data, in the shape of those of a VM entry (vmx/checks/check.ts). The manual gives them no
 * order and one answer: #VMEXIT with VMEXIT_INVALID.
 */
import { causesOf } from '../../check-causes.js';
import { SVM_CAUSES } from './causes.js';

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
  /** Bits of CR4 and of EFER that this processor supports. */
  readonly cr4Supported: number;
  readonly eferSupported: number;
  /** Highest ASID of an encrypted guest, and lowest of one without SEV-ES (CPUID.8000001FH:ECX and EDX). */
  readonly encryptedGuests: number;
  readonly firstSevAsid: number;
  has(fact: SvmFact): boolean;
  /** A word of physical memory at an address given in halves. */
  memory(low: number, high: number): number;
}

/** What else VMRUN looks at: features of the processor, state of the host, ownership of pages. */
export const SVM_FACTS = {
  longMode: 'the processor has long mode (CPUID)',
  hostPaging: 'the host runs with CR0.PG',
  host64: 'the host runs in 64-bit mode',
  needsHost64: 'CPUID.8000001FH:EAX bit 11 (64-bit host)',
  memoryEncryption: 'SYSCFG.MemEncryptionModEn',
  smmLock: 'HWCR.SmmLock',
  snp: 'SYSCFG.SecureNestedPagingEn',
  secureAvic: 'CPUID.8000001FH:EAX bit 26 (SecureAvic)',
  x2avicExtended: 'CPUID.8000000AH:ECX bit 6 (x2AVIC_EXT)',
  userShadowStack: 'U_CET.SH_STK_EN of the processor',
  ibsOff: 'IBS of the host (IbsFetchCtl, IbsOpCtl)',
  siblingIdle: 'the state of the sibling thread',
  guestCountersOff: 'performance counters in the VMSA (PERF_CTLn, PERF_CNT_GLOBAL_CTL)',
  vmsaOwned: 'the RMP entry of the VMSA page',
  avicPageOwned: 'the RMP entry of the AVIC backing page',
  vmsaIntact: 'the checksum of the VMSA',
} as const;
export type SvmFact = keyof typeof SVM_FACTS;

export interface SvmCheck {
  /** Stable and speaking, for example `svm.asid`. */
  readonly id: string;
  readonly cites: SvmCitation;
  /** Fields (offsets) that it reads, facts, and `memory`. */
  readonly reads: readonly SvmRead[];
  readonly holds: (s: SvmCheckState) => boolean;
  /** The rule in words. */
  readonly says: string;
  readonly causes?: readonly string[];
  /** The manual does not say that every processor checks it. */
  readonly optional?: true;
  /** Exit code where it is not VMEXIT_INVALID. */
  readonly exit?: 'BUSY' | 'IDLE_REQUIRED' | 'INVALID_PMC';
}

export type SvmRead = number | SvmFact | 'memory';

export type SvmRow = readonly [
  id: string,
  says: string,
  reads: readonly SvmRead[],
  holds: (s: SvmCheckState) => boolean,
  causes?: string,
];

export const svmSection = (
  cites: SvmCitation,
  rows: readonly SvmRow[],
  { optional, exit }: Pick<SvmCheck, 'optional' | 'exit'> = {},
): SvmCheck[] =>
  rows.map(([id, says, reads, holds, causes]) => ({
    id,
    cites,
    reads,
    holds,
    says,
    ...causesOf(id, causes, SVM_CAUSES),
    ...(optional ? { optional } : {}),
    ...(exit === undefined ? {} : { exit }),
  }));
