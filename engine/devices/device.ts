/** What the machine asks of a device on its I/O ports. */
import type { Tick } from '../types.js';
import type { DeviceState } from './state.js';

/** Ports [first, first + count); accesses wider than `width` bytes reach the device as single bytes. */
export interface PortRange {
  readonly first: number;
  readonly count: number;
  readonly width: 1 | 2 | 4;
}

export interface Device {
  readonly name: string;
  readonly ports: readonly PortRange[];
  /** The answer is below 2^(8 * size). The device has been advanced to now. */
  in(port: number, size: number): number;
  out(port: number, size: number, value: number): void;
  /** Lets machine time pass; `to` never falls. */
  advance(to: Tick): void;
  /** Tick at which the device wants `advance`, because it then acts by itself; null: never. */
  nextDeadline(): Tick | null;
  /** A copy of everything that the device remembers; `load` of it makes a device that goes on in the same way. */
  save(): DeviceState;
  /** Throws EngineError BAD_STATE. */
  load(state: DeviceState): void;
}

/** An interrupt request line: the device calls it with the level that it drives. */
export type Line = (high: boolean) => void;

/** Where a device's bytes to the outside world go. */
export type ByteOutput = (port: string, bytes: Uint8Array) => void;
