/**
 * The 8042 keyboard controller of a PC at 60h and 64h, with nobody at the keyboard, and system control port 92h: enough
 * for software that tests them, opens gate A20 or resets the machine. Source: IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller" and "System Control Port A". The machine has no A20 gate: its
 * bit is kept and answered, and address line 20 is always on.
 */
import type { Device, PortRange } from './device.js';
import { byte, type DeviceState, flag, list, optional, record } from './state.js';

const OUTPUT_LIMIT = 16;
const STATUS = { outputFull: 1, systemFlag: 4, command: 8, unlocked: 0x10 } as const;
const OUTPUT_PORT = { notReset: 1, a20: 2 } as const;
const PORT_92 = { reset: 1, a20: 2 } as const;

const KEYBOARD = record({
  /** Bytes for port 60h. */
  output: list(byte(), OUTPUT_LIMIT),
  /** The command that waits for its byte at port 60h. */
  command: optional(byte()),
  commandByte: byte(0x45),
  outputPort: byte(OUTPUT_PORT.notReset | OUTPUT_PORT.a20),
  lastWasCommand: flag(),
});

const COMMAND = {
  readCommandByte: 0x20,
  writeCommandByte: 0x60,
  testAuxiliary: 0xa9,
  selfTest: 0xaa,
  testKeyboard: 0xab,
  readInputPort: 0xc0,
  readOutputPort: 0xd0,
  writeOutputPort: 0xd1,
  firstPulse: 0xf0,
} as const;
/** Commands that take a byte from port 60h; those of the auxiliary device are swallowed. */
const TAKES_BYTE: ReadonlySet<number> = new Set([0x60, 0xd1, 0xd2, 0xd3, 0xd4]);
/** Answers to commands that always answer the same. */
const ANSWERS: ReadonlyMap<number, number> = new Map([
  [COMMAND.selfTest, 0x55],
  [COMMAND.testKeyboard, 0],
  [COMMAND.testAuxiliary, 0],
  [COMMAND.readInputPort, 0x80],
]);
/** What a keyboard answers to a byte: acknowledge, and to reset (FFh) that it passed its test. */
const ACKNOWLEDGE = 0xfa;
const PASSED = 0xaa;

export class Keyboard implements Device {
  readonly name = 'keyboard';
  readonly ports: readonly PortRange[] = [
    { first: 0x60, count: 1, width: 1 },
    { first: 0x64, count: 1, width: 1 },
    { first: 0x92, count: 1, width: 1 },
  ];
  readonly #reset: () => void;
  #s = KEYBOARD.first();

  /** `reset` is called when software pulses the processor's reset line. */
  constructor(reset: () => void) {
    this.#reset = reset;
  }

  in(port: number): number {
    const s = this.#s;
    if (port === 0x92) return s.outputPort & OUTPUT_PORT.a20 ? PORT_92.a20 : 0;
    if (port === 0x60) return s.output.shift() ?? 0;
    const full = s.output.length > 0 ? STATUS.outputFull : 0;
    return full | STATUS.systemFlag | STATUS.unlocked | (s.lastWasCommand ? STATUS.command : 0);
  }

  out(port: number, _size: number, value: number): void {
    if (port === 0x92) this.#controlPortA(value);
    else if (port === 0x64) this.#execute(value);
    else this.#data(value);
  }

  #controlPortA(value: number): void {
    this.#setOutputPort(
      value & PORT_92.a20 ? this.#s.outputPort | OUTPUT_PORT.a20 : this.#s.outputPort & ~OUTPUT_PORT.a20,
    );
    if (value & PORT_92.reset) this.#reset();
  }

  #answer(value: number): void {
    if (this.#s.output.length < OUTPUT_LIMIT) this.#s.output.push(value);
  }

  #setOutputPort(value: number): void {
    this.#s.outputPort = value & 0xff;
  }

  #execute(command: number): void {
    const s = this.#s;
    s.lastWasCommand = true;
    s.command = TAKES_BYTE.has(command) ? command : null;
    const answer = ANSWERS.get(command);
    if (answer !== undefined) this.#answer(answer);
    else if (command === COMMAND.readCommandByte) this.#answer(s.commandByte);
    else if (command === COMMAND.readOutputPort) this.#answer(s.outputPort);
    // "Pulse output port": bits 3:0 that are 0 are pulsed low; bit 0 is the processor's reset.
    else if (command >= COMMAND.firstPulse && !(command & OUTPUT_PORT.notReset)) this.#reset();
  }

  #data(value: number): void {
    const s = this.#s;
    const { command } = s;
    s.lastWasCommand = false;
    s.command = null;
    if (command === COMMAND.writeCommandByte) {
      s.commandByte = value;
    } else if (command === COMMAND.writeOutputPort) {
      this.#setOutputPort(value);
      if (!(value & OUTPUT_PORT.notReset)) this.#reset();
    } else if (command === null) {
      this.#answer(ACKNOWLEDGE);
      if (value === 0xff) this.#answer(PASSED);
    }
  }

  advance(): void {}

  nextDeadline(): null {
    return null;
  }

  save(): DeviceState {
    return KEYBOARD.read(this.#s, this.name);
  }

  load(state: DeviceState): void {
    this.#s = KEYBOARD.read(state, this.name);
  }
}
