/**
 * Intel Skylake (client, 2015), reduced to what this machine does: no APIC, no VME, no performance counters, neither x87
 * nor vector extensions. What is not offered here raises #UD. Values of CPUID: Intel SDM Vol. 2, "CPUID".
 */
import { skylakeVmx, vmxCapabilities } from '../../vmx/capabilities.js';
import type { CpuidLeaf, CpuModel } from '../model.js';

const ascii = (text: string): number =>
  [...text].reduce((word, letter, i) => word + letter.charCodeAt(0) * 2 ** (8 * i), 0);

const bits = (...numbers: number[]): number => numbers.reduce((word, bit) => (word | (1 << bit)) >>> 0, 0);

/** Leaf 1 EDX: DE PSE TSC MSR PAE CX8 SEP PGE CMOV PAT PSE-36 CLFSH. */
const FEATURES_EDX = bits(2, 3, 4, 5, 6, 8, 11, 13, 15, 16, 17, 19);
/** Leaf 1 ECX: MONITOR VMX CX16 PCID POPCNT. */
const FEATURES_ECX = bits(3, 5, 13, 17, 23);
/** Leaf 7 EBX: FSGSBASE SMEP ERMS INVPCID SMAP. */
const STRUCTURED_EBX = bits(0, 7, 9, 10, 20);
/** Leaf 0x80000001: ECX LAHF, LZCNT, PREFETCHW; EDX SYSCALL NX 1-GiB pages RDTSCP LM. */
const EXTENDED_ECX = bits(0, 5, 8);
const EXTENDED_EDX = bits(11, 20, 26, 27, 29);

/** Bits of CR4 for these features: TSD DE PSE PAE PGE PCE VMXE FSGSBASE PCIDE SMEP SMAP. */
const CR4_BITS = BigInt(bits(2, 3, 4, 5, 7, 8, 13, 16, 17, 20, 21));

const BRAND = 'Trapline Skylake 1.00GHz'.padEnd(48, '\0');
const brandLeaf = (leaf: number, at: number): CpuidLeaf => ({
  leaf,
  eax: ascii(BRAND.slice(at, at + 4)),
  ebx: ascii(BRAND.slice(at + 4, at + 8)),
  ecx: ascii(BRAND.slice(at + 8, at + 12)),
  edx: ascii(BRAND.slice(at + 12, at + 16)),
});

const PHYSICAL_BITS = 39;

const CPUID: readonly CpuidLeaf[] = [
  { leaf: 0, eax: 0x16, ebx: ascii('Genu'), edx: ascii('ineI'), ecx: ascii('ntel') },
  // Family 6, model 0x5e, stepping 3; CLFLUSH of 64 bytes, one logical processor.
  { leaf: 1, eax: 0x0005_06e3, ebx: 0x0001_0800, ecx: FEATURES_ECX, edx: FEATURES_EDX },
  { leaf: 2, eax: 0x7603_6301, ebx: 0x00f0_b5ff, ecx: 0, edx: 0x00c3_0000 },
  // MONITOR and MWAIT: lines of 64 bytes, no C-state hints.
  { leaf: 5, eax: 0x40, ebx: 0x40, ecx: 0, edx: 0 },
  { leaf: 7, subleaf: 0, eax: 0, ebx: STRUCTURED_EBX, ecx: 0, edx: 0 },
  // A tick is a nanosecond and a TSC increment, so the TSC runs at 1 GHz: 40 times a crystal of 25 MHz; bus 100 MHz.
  { leaf: 0x15, eax: 1, ebx: 40, ecx: 25_000_000, edx: 0 },
  { leaf: 0x16, eax: 1000, ebx: 1000, ecx: 100, edx: 0 },
  { leaf: 0x8000_0000, eax: 0x8000_0008, ebx: 0, ecx: 0, edx: 0 },
  { leaf: 0x8000_0001, eax: 0, ebx: 0, ecx: EXTENDED_ECX, edx: EXTENDED_EDX },
  brandLeaf(0x8000_0002, 0),
  brandLeaf(0x8000_0003, 16),
  brandLeaf(0x8000_0004, 32),
  { leaf: 0x8000_0006, eax: 0, ebx: 0, ecx: 0x0100_6040, edx: 0 },
  // Invariant TSC.
  { leaf: 0x8000_0007, eax: 0, ebx: 0, ecx: 0, edx: 0x100 },
  { leaf: 0x8000_0008, eax: 0x3000 | PHYSICAL_BITS, ebx: 0, ecx: 0, edx: 0 },
];

export const skylake: CpuModel = {
  name: 'skylake',
  vendor: 'intel',
  physicalBits: PHYSICAL_BITS,
  cpuid: CPUID,
  msrs: new Map<number, bigint>([
    [0x17, 0n], // IA32_PLATFORM_ID
    [0x8b, 0xea_0000_0000n], // IA32_BIOS_SIGN_ID: microcode revision
    [0xce, 0xa00n], // MSR_PLATFORM_INFO: maximum non-turbo ratio 10
    [0xfe, 0n], // IA32_MTRRCAP: none
    [0x3a, 5n], // IA32_FEATURE_CONTROL: locked with VMX on, as firmware leaves it
    ...vmxCapabilities({ ...skylakeVmx, cr4: CR4_BITS }),
  ]),
  tscPerTick: 1,
};
