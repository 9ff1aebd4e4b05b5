/** The current VMCS in guest RAM, read and written as the processor does: nothing between it and the bytes. */
import type { Cpu } from '../cpu/cpu.js';
import { S } from '../cpu/layout.js';
import { PAGE_BYTES } from '../memory/physical.js';
import { REGION } from './fields.js';

/** A pointer of all ones: there is no VMCS. */
export const NO_VMCS = 0xffff_ffff_ffff_ffffn;

export const hasVmcs = (cpu: Cpu): boolean => (cpu.u32(S.VMCS_POINTER) & cpu.u32(S.VMCS_POINTER + 4)) !== -1;

/** Where the current VMCS lies in RAM; there must be one. VMPTRLD takes none that lies outside RAM. */
export const vmcsAddress = (cpu: Cpu): number => cpu.u32(S.VMCS_POINTER);

/** Low and high words, and all 64 bits, of the field at an offset (`F`) of the current VMCS. */
export const low = (cpu: Cpu, field: number): number => cpu.memory.view.getUint32(vmcsAddress(cpu) + field, true);
export const high = (cpu: Cpu, field: number): number => cpu.memory.view.getUint32(vmcsAddress(cpu) + field + 4, true);
export const whole = (cpu: Cpu, field: number): bigint => cpu.memory.view.getBigUint64(vmcsAddress(cpu) + field, true);

export function put(cpu: Cpu, field: number, lowWord: number, highWord = 0): void {
  const at = vmcsAddress(cpu) + field;
  cpu.memory.view.setUint32(at, lowWord, true);
  cpu.memory.view.setUint32(at + 4, highWord, true);
}

export function putWhole(cpu: Cpu, field: number, value: bigint): void {
  cpu.memory.view.setBigUint64(vmcsAddress(cpu) + field, value, true);
}

/**
 * To be called before the processor writes to the region at an address: the page becomes dirty and loses decoded
 * instructions. The page's watch is for stores of software, so it is not told.
 */
export function touch(cpu: Cpu, address: number): void {
  const page = Math.floor(address / PAGE_BYTES);
  cpu.memory.markDirty(page);
  if (cpu.memory.hasCode(page)) cpu.memory.onCodeWrite(address as Parameters<typeof cpu.memory.onCodeWrite>[0], 4096);
}

/** The next entry with the region at an address evaluates every check. */
export const forgetGoodEntry = (cpu: Cpu, address: number): void =>
  cpu.memory.view.setUint32(address + REGION.good, 0, true);

/** Basic exit reasons that the engine makes (exit-reasons.ts has their names and all others). */
export const REASON = {
  exception: 0,
  externalInterrupt: 1,
  tripleFault: 2,
  interruptWindow: 7,
  nmiWindow: 8,
  taskSwitch: 9,
  crAccess: 28,
  drAccess: 29,
  io: 30,
  msrRead: 31,
  msrWrite: 32,
  guestState: 33,
  msrLoading: 34,
  machineCheck: 41,
  tprBelowThreshold: 43,
  eptViolation: 48,
  eptMisconfig: 49,
  preemptionTimer: 52,
} as const;
