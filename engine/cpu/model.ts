/** A processor model: what CPUID and the capability MSRs say, as data. */

export interface CpuidLeaf {
  readonly leaf: number;
  /** Undefined: the leaf has no subleaves. */
  readonly subleaf?: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface CpuModel {
  readonly name: string;
  readonly vendor: 'intel' | 'amd';
  /** Bits of a physical address. */
  readonly physicalBits: number;
  readonly cpuid: readonly CpuidLeaf[];
  /** Read-only MSRs (capabilities) and reset values of others. */
  readonly msrs: ReadonlyMap<number, bigint>;
  /** TSC increments a tick. */
  readonly tscPerTick: number;
}
