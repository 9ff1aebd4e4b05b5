/**
 * A monitor: an L0 hypervisor written as host code. It is a hypervisor like any other: it owns memory at the top of RAM,
 * a VM exit really loads its host state, and HOST_RIP lies in its gate page. Where the machine would fetch from that page
 * it calls `onExit`, and the monitor asks the CPU to execute VMREAD, VMWRITE, VMRESUME: with their faults, error numbers,
 * ticks and events. When `onExit` returns, the CPU stands in the guest, or halted in the monitor until an interrupt.
 *
 * Adding a monitor is one file that makes a MonitorKind, and its line in registry.ts.
 */
import type { BootState } from '../boot/state.js';
import type { Cpu } from '../cpu/cpu.js';
import type { DeviceState } from '../devices/state.js';
import type { Hpa } from '../types.js';

/** What the monitor's guest is, and what the monitor is a function of besides. */
export interface MonitorSetup {
  readonly boot: BootState;
  /** RAM of the guest, from 0; the monitor's reserved memory starts there. A multiple of the page size. */
  readonly guestBytes: number;
  readonly options: MonitorOptions;
}

export interface MonitorOptions {
  /** Unix time at tick 0, in seconds from 0 to 2^32. */
  readonly epoch: number;
  /** Variables that a guest can ask `vmware` for, by their names without `guestinfo.`. */
  readonly guestinfo: { readonly [name: string]: string };
}

export interface Monitor {
  readonly name: string;
  /** Address of the gate page: the machine marks it PAGE.gate, at the start of a run and after loading a checkpoint. */
  readonly gate: Hpa;
  /** Before tick 0: puts guest and monitor into RAM, and the CPU, just reset, at the monitor's first instruction. */
  install(cpu: Cpu): void;
  /** The CPU stands in the gate page. */
  onExit(cpu: Cpu): void;
  /** Input from outside, other than a device's; false: the monitor has no such port. */
  receive(port: string, bytes: Uint8Array): boolean;
  /** All that the monitor remembers outside of RAM. */
  save(): DeviceState;
  /** Throws EngineError BAD_STATE. */
  load(state: DeviceState): void;
}

export interface MonitorKind {
  readonly name: string;
  readonly says: string;
  create(setup: MonitorSetup): Monitor;
}

/** RAM that every monitor takes above its guest's. */
export const RESERVED_BYTES = 0x4_0000;

/**
 * Ticks that a monitor's own work costs, beside those of the instructions that it has the CPU execute (one each). They
 * are part of the engine's semantics: to change one is to change every trace.
 */
export const COST = {
  /** Saving and restoring the guest's general registers around a VM exit. */
  dispatch: 30,
  /** One character to the log: a poll of the line status and the byte. */
  character: 2,
  /** One entry of a guest paging structure that is looked at. */
  walkStep: 2,
  /** Copying up to eight bytes from or to the guest. */
  copy: 2,
  /** Decoding one instruction of the guest. */
  decode: 20,
  /** One Backdoor command. */
  command: 20,
} as const;
