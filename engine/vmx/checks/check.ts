/**
 * The VM-entry checks as data: each says in words and as a predicate what the manual demands, and declares all that it
 * reads. The engine evaluates them over a VMCS in RAM, `explain` over a dump of a real machine that may lack values:
 * a state then throws from the reading method, and a predicate that short-circuits past it still has an answer.
 */
import { causesOf } from '../../check-causes.js';
import { VMX_CAUSES } from './causes.js';
import type { CpuFeature } from './features.js';
import type { Citation } from './manual.js';

/**
 * What checks read of the processor, not of the VMCS; `SMM` is 1 in system-management mode. The last are facts of the VMCS
 * that the executive-VMCS pointer names: whether it is launched, whether its VM-execution controls pass their checks, and
 * what they are.
 */
export type CpuRegister =
  | 'EFER'
  | 'VMCS_POINTER'
  | 'VMXON_POINTER'
  | 'SMM'
  | 'RTIT_CTL'
  | 'EXECUTIVE_LAUNCHED'
  | 'EXECUTIVE_CONTROLS'
  | 'EXECUTIVE_PIN'
  | 'EXECUTIVE_PRIMARY'
  | 'EXECUTIVE_SECONDARY'
  | 'EXECUTIVE_TERTIARY';

/** What a check may ask; every method may throw where the answer is not known. */
export interface CheckState {
  /** Low and high 32 bits of a field (offset `F` of fields.ts), unsigned; narrow fields are zero-extended. */
  low(field: number): number;
  high(field: number): number;
  /** Low and high 32 bits of a capability MSR; 0 where the processor has none. */
  capabilityLow(msr: number): number;
  capabilityHigh(msr: number): number;
  /** Bits of a physical and of a linear address (CPUID.80000008H:EAX). */
  readonly physicalBits: number;
  readonly linearBits: number;
  /** Low 32 bits of a processor register. */
  register(name: CpuRegister): number;
  /** What CPUID says of a feature. */
  has(feature: CpuFeature): boolean;
  /** Bits of IA32_PERF_GLOBAL_CTRL that enable a counter which the processor has (CPUID.0AH). */
  readonly countersLow: number;
  readonly countersHigh: number;
  /** A word of physical memory at an address given in halves; all ones where there is none. */
  memory(low: number, high: number): number;
}

/** Fields (offsets), processor registers, and `memory`. Capabilities and address widths never change in a run. */
export type Read = number | CpuRegister | 'memory';

export const STAGES = ['controls', 'host', 'guest'] as const;
export type Stage = (typeof STAGES)[number];

export interface Check {
  /** Stable and speaking, for example `guest.cs.type`. */
  readonly id: string;
  readonly stage: Stage;
  readonly cites: Citation;
  readonly reads: readonly Read[];
  readonly holds: (s: CheckState) => boolean;
  /** The rule in words. */
  readonly says: string;
  /** What usually causes its violation. */
  readonly causes?: readonly string[];
  /** Exit qualification of the failed entry (stage `guest` only). */
  readonly qualification: number;
  /** VM-instruction error, where it is not the one of the stage (7 for controls, 8 for host state). */
  readonly error?: number;
  /** The manual leaves it to the processor whether to check this; the engine does not. */
  readonly optional?: true;
  /** Entries that return from SMM make it on the executive VMCS instead, and then EXECUTIVE_CONTROLS says how it ends. */
  readonly ofExecutive?: true;
}

/** A row of a table: id, rule, reads, predicate, and what usually goes wrong. */
export type Row = readonly [
  id: string,
  says: string,
  reads: readonly Read[],
  holds: (s: CheckState) => boolean,
  causes?: string,
];

export interface SectionOptions {
  readonly qualification?: number;
  readonly error?: number;
  readonly optional?: true;
  readonly ofExecutive?: true;
}

/** Rows of one section of the manual. */
export const section = (
  stage: Stage,
  cites: Citation,
  rows: readonly Row[],
  { qualification = 0, error, optional, ofExecutive }: SectionOptions = {},
): Check[] =>
  rows.map(([id, says, reads, holds, causes]) => ({
    id,
    stage,
    cites,
    reads,
    holds,
    says,
    qualification,
    ...causesOf(id, causes, VMX_CAUSES),
    ...(error === undefined ? {} : { error }),
    ...(optional ? { optional } : {}),
    ...(ofExecutive ? { ofExecutive } : {}),
  }));
