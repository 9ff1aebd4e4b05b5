/** What CPUID says of hosts, as Linux, lscpu, cpuid(1) and kcpuid print it. */
export const CPUINFO = [
  'processor\t: 0',
  'vendor_id\t: GenuineIntel',
  'flags\t\t: fpu vme de rtm sgx ibt user_shstk bus_lock_detect la57',
  'vmx flags\t: vnmi preemption_timer',
  'address sizes\t: 46 bits physical, 57 bits virtual',
  'power management:',
  '',
];

/** A leaf as cpuid(1) prints it. */
export function raw(leaf: number, subleaf: number, ...registers: readonly number[]): string {
  const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
  const named = ['eax', 'ebx', 'ecx', 'edx'].map((name, i) => `${name}=${hex(registers[i] ?? 0, 8)}`);
  return `   ${hex(leaf, 8)} ${hex(subleaf, 2)}: ${named.join(' ')}`;
}
/** Leaves 7 to 23H of a processor with SGX, CET and FRED, without TSX, 8 + 4 counters, 52 and 57 bits. */
export const RAW = [
  'CPU:',
  raw(0, 0, 0x23, 0x756e_6547, 0x6c65_746e, 0x4965_6e69),
  raw(7, 0, 1, 1 << 2, 1 << 7, 1 << 20),
  raw(7, 1, 1 << 17),
  raw(0xa, 0, 0x0830_0805, 0, 0xf, 0x8604),
  raw(0x8000_0000, 0, 0x8000_0008),
  raw(0x8000_0008, 0, 0x0000_3934),
];

export const LSCPU = [
  'Architecture:  x86_64',
  '  Address sizes:   39 bits physical, 48 bits virtual',
  '  Flags:   fpu sgx',
  '',
];

/** Leaves of an i7-1255U as kcpuid printed them (linux-kernel, 2024-05-27, topology of Alder Lake), those that count here. */
export const KCPUID = [
  'Basic Leafs :',
  '================',
  '0x00000000: EAX=0x00000020, EBX=0x756e6547, ECX=0x6c65746e, EDX=0x49656e69',
  '0x00000007: subleafs:',
  '  0: EAX=0x00000002, EBX=0x239ca7eb, ECX=0x984007bc, EDX=0xfc18c410',
  '  1: EAX=0x00400810, EBX=0x00000000, ECX=0x00000000, EDX=0x00040000',
  '  2: EAX=0x00000000, EBX=0x00000000, ECX=0x00000000, EDX=0x00000017',
  '0x0000000a: EAX=0x07300605, EBX=0x00000000, ECX=0x00000007, EDX=0x00008603',
  'Extended Leafs :',
  '================',
  '0x80000000: EAX=0x80000008, EBX=0x00000000, ECX=0x00000000, EDX=0x00000000',
  '0x80000008: EAX=0x00003027, EBX=0x00000000, ECX=0x00000000, EDX=0x00000000',
];
/** Fields and flags of a Ryzen as `kcpuid -a -d` printed them (linux-kernel, 2023-02-07, Y+J5jDfO4PMujuXD@zn.tnic). */
export const KCPUID_NAMED = [
  'CPU features:',
  '=============',
  '',
  'CPUID_0x7_ECX[0x0]:',
  '\t EAX: 0x00000000',
  '\t smap                - Supervisor Mode Access Prevention',
  '\t mawau              \t: 0x0       \t- The value of MAWAU used by the BNDLDX and BNDSTX instructions in 64-bit mode',
  '',
  'CPUID_0x80000008_ECX[0x0]:',
  '\t phy_adr_bits       \t: 0x30      \t- Physical Address Bits',
  '\t lnr_adr_bits       \t: 0x30      \t- Linear Address Bits',
  '\t EBX: 0x00001007',
];
