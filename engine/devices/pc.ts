/** The devices of the machine, wired as in a PC. There is no PCI: its configuration ports read all ones. */
import type { InterruptLine } from '../cpu/cpu.js';
import { EngineError } from '../errors.js';
import type { Tick } from '../types.js';
import { Cmos } from './cmos.js';
import { DebugConsole, ExitPort } from './debug.js';
import type { ByteOutput, Device } from './device.js';
import { Keyboard } from './keyboard.js';
import { Pic } from './pic.js';
import { Pit } from './pit.js';
import { PortMap } from './ports.js';
import type { DeviceState } from './state.js';
import { Uart } from './uart.js';

/** What the machine gives its devices. */
export interface PcWiring {
  /** The machine's clock at the access that is being made. */
  now(): Tick;
  /** Bytes to the outside: ports `com1` and `debugcon`. */
  output: ByteOutput;
  /** The guest ended the run; `status` is (code << 1) | 1. */
  exit(status: number): void;
  /** The guest pulsed the processor's reset line. */
  reset(): void;
}

export interface PcOptions {
  readonly memoryBytes: number;
  /** Unix time at tick 0, in seconds from 0 to 2^32. */
  readonly epoch: number;
}

const IRQ = { timer: 0, com1: 4 } as const;
const COM1 = 0x3f8;

export class Pc {
  readonly ports: PortMap;
  readonly interrupts: InterruptLine;
  readonly devices: readonly Device[];
  readonly #com1: Uart;
  /** The devices that act by themselves; the others are advanced when they are accessed. */
  readonly #timed: readonly Device[];

  constructor(options: PcOptions, wiring: PcWiring) {
    const pic = new Pic();
    this.#com1 = new Uart('com1', COM1, pic.line(IRQ.com1), wiring.output);
    const pit = new Pit(pic.line(IRQ.timer));
    this.#timed = [pit, this.#com1];
    this.devices = [
      pic,
      pit,
      this.#com1,
      new Cmos(options.epoch, options.memoryBytes),
      new Keyboard(() => wiring.reset()),
      new DebugConsole(wiring.output),
      new ExitPort((status) => wiring.exit(status)),
    ];
    this.interrupts = pic;
    this.ports = new PortMap(this.devices, () => wiring.now());
  }

  /** Input from outside arrives at `at`. Answers false where no device has that port, or takes any more. */
  receive(port: string, bytes: Uint8Array, at: Tick): boolean {
    if (port !== this.#com1.name) return false;
    this.#com1.advance(at);
    return this.#com1.receive(bytes);
  }

  advance(to: Tick): void {
    for (const device of this.#timed) device.advance(to);
  }

  /** To be asked again after every access to a port, every `receive` and every `advance`. */
  nextDeadline(): Tick | null {
    let next: Tick | null = null;
    for (const device of this.#timed) {
      const deadline = device.nextDeadline();
      if (deadline !== null && (next === null || deadline < next)) next = deadline;
    }
    return next;
  }

  /** One record a device, by its name. */
  save(): DeviceState {
    return Object.fromEntries(this.devices.map((device) => [device.name, device.save()]));
  }

  /** Throws EngineError BAD_STATE. */
  load(state: DeviceState): void {
    for (const device of this.devices) {
      const own = state[device.name];
      if (typeof own !== 'object' || own === null || Array.isArray(own)) {
        throw new EngineError('BAD_STATE', device.name, 'there is no record of it');
      }
      device.load(own as DeviceState);
    }
  }
}
