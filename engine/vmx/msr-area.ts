/** The areas of MSRs that VM entries load and VM exits store and load: Vol. 3C, "Loading MSRs", "Saving MSRs". */
import type { Cpu } from '../cpu/cpu.js';
import { CpuFault } from '../cpu/fault.js';
import { readMsr, writeMsr } from '../cpu/system/msr.js';

/** An entry: u32 MSR index, u32 reserved (0), u64 value. */
export const MSR_ENTRY_BYTES = 16;

const FS_BASE = 0xc000_0100;
const GS_BASE = 0xc000_0101;
const IA32_SMM_MONITOR_CTL = 0x9b;
const IA32_SMBASE = 0x9e;
const IA32_BIOS_UPDT_TRIG = 0x79;
const IA32_BIOS_SIGN_ID = 0x8b;

const isX2apic = (msr: number): boolean => msr >>> 8 === 8;
/** MSRs that no VM entry or exit loads, whatever WRMSR would do. */
const NEVER_LOADED = new Set([FS_BASE, GS_BASE, IA32_SMM_MONITOR_CTL, IA32_BIOS_UPDT_TRIG, IA32_BIOS_SIGN_ID]);
const NEVER_STORED = new Set([IA32_SMBASE]);

/** Does `action`; true where it raised an exception. */
function faults(action: () => void): boolean {
  try {
    action();
    return false;
  } catch (error) {
    if (error instanceof CpuFault) return true;
    throw error;
  }
}

/** Loads `count` MSRs; the number of the first entry that cannot be loaded, from 1, or 0. */
export function loadMsrArea(cpu: Cpu, address: bigint, count: number): number {
  for (let i = 0; i < count; i++) {
    const at = Number(address) + i * MSR_ENTRY_BYTES;
    const msr = cpu.memory.read(at, 4);
    const reserved = cpu.memory.read(at + 4, 4);
    if (reserved || isX2apic(msr) || NEVER_LOADED.has(msr)) return i + 1;
    if (faults(() => writeMsr(cpu, msr, cpu.memory.read64(at + 8)))) return i + 1;
  }
  return 0;
}

/** Stores `count` MSRs; the number of the first entry that cannot be stored, from 1, or 0. */
export function storeMsrArea(cpu: Cpu, address: bigint, count: number): number {
  for (let i = 0; i < count; i++) {
    const at = Number(address) + i * MSR_ENTRY_BYTES;
    const msr = cpu.memory.read(at, 4);
    const reserved = cpu.memory.read(at + 4, 4);
    if (reserved || isX2apic(msr) || NEVER_STORED.has(msr)) return i + 1;
    if (faults(() => cpu.memory.write64(at + 8, readMsr(cpu, msr)))) return i + 1;
  }
  return 0;
}
