/** What the guest of `vmware` sees of its processor: CPUID, pseudo performance counters, CR0, XCR0. */
import type { Cpu } from '../../cpu/cpu.js';
import type { CpuidLeaf } from '../../cpu/model.js';
import { cpuidValues } from '../../cpu/system/processor.js';
import { TICKS_PER_SECOND } from '../../devices/clock.js';
import { ENTRY } from '../../vmx/controls.js';
import { CR0_FIXED } from '../guest.js';
import type { Host } from '../host.js';
import { vmread, vmread32, vmwrite } from '../vmx.js';
import { APIC_BUS_HZ } from './commands.js';

export type CpuidAnswer = Pick<CpuidLeaf, 'eax' | 'ebx' | 'ecx' | 'edx'>;

export const tscHz = (cpu: Cpu): number => TICKS_PER_SECOND * cpu.model.tscPerTick;

const FEATURE = { vmx: 1 << 5, osxsave: 1 << 27, hypervisor: 1 << 31 } as const;
const CR4_OSXSAVE = 1 << 18;
const LEAF = { first: 0x4000_0000, interface: 0x4000_0010, last: 0x4fff_ffff } as const;
/** "VMwareVMware". */
const SIGNATURE = { ebx: 0x6177_4d56, ecx: 0x4d56_6572, edx: 0x6572_6177 } as const;
/** Leaf 40000010h ECX: the Backdoor can be called by VMCALL. */
const BACKDOOR_BY_VMCALL = 2;

export function answerCpuid(cpu: Cpu, leaf: number, subleaf: number): CpuidAnswer {
  if (leaf === LEAF.first) return { eax: LEAF.interface, ...SIGNATURE };
  if (leaf === LEAF.interface) {
    const kHz = (hz: number): number => Math.floor(hz / 1000);
    return { eax: kHz(tscHz(cpu)), ebx: kHz(APIC_BUS_HZ), ecx: BACKDOOR_BY_VMCALL, edx: 0 };
  }
  if (leaf > LEAF.first && leaf <= LEAF.last) return { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  const host = cpuidValues(cpu, leaf, subleaf);
  if (leaf !== 1) return host;
  const osxsave = vmread32(cpu, 'GUEST_CR4') & CR4_OSXSAVE ? FEATURE.osxsave : 0;
  const ecx = (host.ecx & ~(FEATURE.vmx | FEATURE.osxsave)) | osxsave | FEATURE.hypervisor;
  return { ...host, ecx: ecx >>> 0 };
}

/** RDPMC of a counter that VMware makes up; null: there is no such counter. */
export function readPseudoCounter(cpu: Cpu, index: number): bigint | null {
  const tick = BigInt(cpu.tick);
  const tsc = tick * BigInt(cpu.model.tscPerTick);
  const nanoseconds = (tick * 1_000_000_000n) / BigInt(TICKS_PER_SECOND);
  const counters: ReadonlyMap<number, bigint> = new Map([
    [0x1_0000, tsc], // HW_TSC
    [0x1_0001, nanoseconds], // REAL_NS
    [0x1_0002, nanoseconds], // APPARENT_NS
    [0x1_0003, tsc], // PSEUDO_TSC
  ]);
  return counters.get(index) ?? null;
}

const CR0 = { pe: 1n, nw: 0x2000_0000n, cd: 0x4000_0000n, pg: 0x8000_0000n } as const;
const CR4_PAE = 0x20n;
const EFER = { lme: 0x100n, lma: 0x400n } as const;

/**
 * MOV to CR0 that changes CR0.NE, which the guest does not own. False: the guest gets #GP(0). Intel SDM Vol. 2, "MOV—Move
 * to/from Control Registers".
 */
export function writeCr0(cpu: Cpu, host: Host, value: bigint): boolean {
  const paging = (value & CR0.pg) !== 0n;
  if ((paging && !(value & CR0.pe)) || (value & CR0.nw && !(value & CR0.cd)) || value >> 32n !== 0n) return false;
  const pae = (vmread(cpu, 'GUEST_CR4') & CR4_PAE) !== 0n;
  const efer = vmread(cpu, 'GUEST_IA32_EFER');
  const long = paging && (efer & EFER.lme) !== 0n;
  if (long && !pae) return false;
  vmwrite(cpu, 'CR0_READ_SHADOW', value);
  vmwrite(cpu, 'GUEST_CR0', value | CR0_FIXED);
  vmwrite(cpu, 'GUEST_IA32_EFER', long ? efer | EFER.lma : efer & ~EFER.lma);
  const controls = vmread32(cpu, 'VM_ENTRY_CONTROLS');
  vmwrite(cpu, 'VM_ENTRY_CONTROLS', (long ? controls | ENTRY.ia32e : controls & ~ENTRY.ia32e) >>> 0);
  if (paging && pae && !long) loadPdptes(cpu, host);
  return true;
}

function loadPdptes(cpu: Cpu, host: Host): void {
  const table = Number(vmread(cpu, 'GUEST_CR3') & 0xffff_ffe0n);
  if (table + 32 > host.guestBytes) return;
  for (const i of [0, 1, 2, 3] as const) vmwrite(cpu, `GUEST_PDPTR${i}`, host.load64(cpu, table + 8 * i));
}

/** The value for XCR0, or null where XSETBV raises #GP(0). */
export function validXcr0(cpu: Cpu, index: number, value: bigint): bigint | null {
  const supported = BigInt(cpuidValues(cpu, 0xd, 0).eax >>> 0);
  return index === 0 && value & 1n && !(value & ~supported) ? value : null;
}
