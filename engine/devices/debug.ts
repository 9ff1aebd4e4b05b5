/** Two ports that no PC has: the debug console of Bochs at E9h, and QEMU's isa-debug-exit at F4h. */
import type { ByteOutput, Device, PortRange } from './device.js';
import { type DeviceState, record } from './state.js';

const NOTHING = record({});

/** Bytes written to E9h go to the output `debugcon`; reading answers E9h, by which software recognises it. */
export class DebugConsole implements Device {
  readonly name = 'debugcon';
  readonly ports: readonly PortRange[] = [{ first: 0xe9, count: 1, width: 1 }];
  readonly #output: ByteOutput;

  constructor(output: ByteOutput) {
    this.#output = output;
  }

  in(): number {
    return 0xe9;
  }

  out(_port: number, _size: number, value: number): void {
    this.#output(this.name, Uint8Array.of(value));
  }

  advance(): void {}
  nextDeadline(): null {
    return null;
  }
  save(): DeviceState {
    return NOTHING.first();
  }
  load(state: DeviceState): void {
    NOTHING.read(state, this.name);
  }
}

/** A write to F4h ends the run. */
export class ExitPort implements Device {
  readonly name = 'exit';
  readonly ports: readonly PortRange[] = [{ first: 0xf4, count: 4, width: 4 }];
  readonly #exit: (status: number) => void;

  /** `exit` gets the status that QEMU's process would have: (code << 1) | 1, modulo 2^32. */
  constructor(exit: (status: number) => void) {
    this.#exit = exit;
  }

  in(_port: number, size: number): number {
    return 2 ** (8 * size) - 1;
  }

  out(_port: number, _size: number, value: number): void {
    this.#exit(((value << 1) | 1) >>> 0);
  }

  advance(): void {}
  nextDeadline(): null {
    return null;
  }
  save(): DeviceState {
    return NOTHING.first();
  }
  load(state: DeviceState): void {
    NOTHING.read(state, this.name);
  }
}
