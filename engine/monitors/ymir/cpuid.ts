/** What Ymir's guest sees by CPUID. */
import type { Cpu } from '../../cpu/cpu.js';
import type { CpuidLeaf } from '../../cpu/model.js';
import { cpuidValues } from '../../cpu/system/processor.js';

export type CpuidAnswer = Pick<CpuidLeaf, 'eax' | 'ebx' | 'ecx' | 'edx'>;

const ZEROS: CpuidAnswer = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
const MAX_BASIC = 0x20;
const MAX_EXTENDED = 0x8000_0001;
/** "Ymir", little-endian. */
const VENDOR = 0x7269_6d59;

const bits = (...numbers: readonly number[]): number => numbers.reduce((word, bit) => (word | (1 << bit)) >>> 0, 0);
/** fpu, vme, de, pse, msr, pae, cx8, sep, pge, cmov, pse36, fxsr, sse, sse2. */
const FEATURES_EDX = bits(0, 1, 2, 3, 5, 6, 8, 11, 13, 15, 17, 24, 25, 26);
const PCID = bits(17);
/** smep, invpcid, smap. */
const STRUCTURED_EBX = bits(7, 10, 20);

/** The answer; null: the monitor aborts; undefined: not listed, so zeros and a warning. */
export function answerCpuid(cpu: Cpu, leaf: number, subleaf: number): CpuidAnswer | null | undefined {
  switch (leaf) {
    case 0:
      return { eax: MAX_BASIC, ebx: VENDOR, ecx: VENDOR, edx: VENDOR };
    case 1: {
      const host = cpuidValues(cpu, 1, 0);
      return { eax: host.eax, ebx: host.ebx, ecx: host.ecx & PCID, edx: FEATURES_EDX };
    }
    case 6:
      return ZEROS;
    case 7:
      if (subleaf === 0) return { ...ZEROS, eax: 1, ebx: STRUCTURED_EBX };
      return subleaf <= 2 ? ZEROS : null;
    case 0xd:
      return subleaf === 1 ? ZEROS : null;
    case 0x8000_0000:
      return { ...ZEROS, eax: MAX_EXTENDED };
    case 0x8000_0001: {
      const host = cpuidValues(cpu, leaf, 0);
      return { ...ZEROS, ecx: host.ecx, edx: host.edx };
    }
    default:
      return undefined;
  }
}
