/** The areas of MSRs that VM entries load and VM exits store and load: Vol. 3C, "Loading MSRs", "Saving MSRs". */
import type { Cpu } from '../cpu/cpu.js';
import { CpuFault } from '../cpu/fault.js';
import { readMsr, writeMsr } from '../cpu/system/msr.js';
import { MSR_RULES } from './checks/msr-loading.js';

/** An entry: u32 MSR index, u32 reserved (0), u64 value. */
export const MSR_ENTRY_BYTES = 16;

const IA32_SMBASE = 0x9e;
const isX2apic = (msr: number): boolean => msr >>> 8 === 8;

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

/** Where loading an area stopped: the number of the entry, from 1, and the rules that it violates. */
export interface MsrFailure {
  readonly entry: number;
  /** Indices into MSR_RULES. */
  readonly violated: readonly number[];
}

function loadEntry(cpu: Cpu, at: number): number[] {
  const index = cpu.memory.read(at, 4);
  const reserved = cpu.memory.read(at + 4, 4);
  const violated: number[] = [];
  // The write is the last rule: it happens only where nothing else forbids it.
  const refused = (): boolean => violated.length === 0 && faults(() => writeMsr(cpu, index, cpu.memory.read64(at + 8)));
  MSR_RULES.forEach((rule, i) => {
    if (!rule.holds({ index, reserved, refused })) violated.push(i);
  });
  return violated;
}

/** Loads `count` MSRs at VM entry or exit; null where all were loaded. */
export function loadMsrArea(cpu: Cpu, address: bigint, count: number): MsrFailure | null {
  for (let i = 0; i < count; i++) {
    const violated = loadEntry(cpu, Number(address) + i * MSR_ENTRY_BYTES);
    if (violated.length > 0) return { entry: i + 1, violated };
  }
  return null;
}

/** Stores `count` MSRs at VM exit; false where one cannot be stored. */
export function storeMsrArea(cpu: Cpu, address: bigint, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const at = Number(address) + i * MSR_ENTRY_BYTES;
    const msr = cpu.memory.read(at, 4);
    if (cpu.memory.read(at + 4, 4) || isX2apic(msr) || msr === IA32_SMBASE) return false;
    if (faults(() => cpu.memory.write64(at + 8, readMsr(cpu, msr)))) return false;
  }
  return true;
}
