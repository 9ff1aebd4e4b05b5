/** Memory accesses of slow paths by linear address, through the TLB, recorded like those of generated code. */
import type { Cpu } from '../cpu/cpu.js';

export type AccessSize = 1 | 2 | 4 | 8;

/** How linear addresses are translated; the TLB implements it. Throws CpuFault (#PF) or NestedPageFault. */
export interface LinearMemory {
  /** `implicit`: a supervisor access whatever the CPL (descriptor tables, TSS). */
  load(cpu: Cpu, linear: bigint, size: AccessSize, implicit?: boolean): bigint;
  store(cpu: Cpu, linear: bigint, size: AccessSize, value: bigint, implicit?: boolean): void;
  /** Throws what a store would throw, and stores nothing. */
  probeStore(cpu: Cpu, linear: bigint, size: AccessSize): void;
}
