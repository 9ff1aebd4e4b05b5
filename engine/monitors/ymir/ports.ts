/**
 * Ymir's I/O ports: an interrupt controller pair that the guest programs and the host never sees, COM1 that is the host's
 * own but for its interrupt and modem control registers, and ranges that hold nothing.
 */
import type { Cpu } from '../../cpu/cpu.js';
import { byte, flag, integer, record, type ValueOf } from '../../devices/state.js';

const CHIP = record({
  /** The initialization command word that comes next; 0: none. */
  awaits: integer(4),
  initialized: flag(),
  base: byte(),
  mask: byte(0xff),
});
type Chip = ValueOf<typeof CHIP>;

export const PORT_STATE = record({ master: CHIP, slave: CHIP, ier: byte(), lcr: byte(), mcr: byte() });
export type PortState = ValueOf<typeof PORT_STATE>;

/** What IN puts into RAX (all of it); `unchanged`; null: the monitor aborts. */
export type InAnswer = bigint | 'unchanged' | null;

interface Range {
  readonly first: number;
  readonly last: number;
}
const inside = (ranges: readonly Range[], port: number): boolean =>
  ranges.some(({ first, last }) => port >= first && port <= last);
const range = (first: number, last: number): Range => ({ first, last });

/** Keyboard controller, clock, graphics, PCI configuration: IN reads 0. */
const ZERO = [range(0x60, 0x64), range(0x70, 0x71), range(0x3b0, 0x3df), range(0xcf8, 0xcff)];
/** DMA pages, other serial ports, PCI configuration mechanism 2: IN changes nothing. */
const NOTHING = [
  range(0x80, 0x8f),
  range(0x2e8, 0x2ef),
  range(0x2f8, 0x2ff),
  range(0x3e8, 0x3ef),
  range(0xc000, 0xcfff),
];

const COM1 = 0x3f8;
const UART = { ier: 1, lcr: 3, mcr: 4, scratch: 7 } as const;
const DIVISOR_LATCH = 0x80;

const ICW1 = 0x11;
const isSpecificEoi = (value: number): boolean => value >= 0x60 && value <= 0x67;

export class Ports {
  state: PortState = PORT_STATE.first();

  in(cpu: Cpu, port: number): InAnswer {
    if (inside(ZERO, port)) return 0n;
    if (inside(NOTHING, port)) return 'unchanged';
    const chip = this.#chip(port);
    // Only the mask can be read back.
    if (chip !== null) return port & 1 ? BigInt(chip.mask) : 0n;
    if (port >= COM1 && port <= COM1 + 7) return BigInt(this.#readUart(cpu, port - COM1));
    return null;
  }

  /** False: the monitor aborts. */
  out(cpu: Cpu, port: number, value: number): boolean {
    if (inside(ZERO, port) || inside(NOTHING, port)) return true;
    const chip = this.#chip(port);
    if (chip !== null) return port & 1 ? writeData(chip, value & 0xff) : writeCommand(chip, value & 0xff);
    if (port < COM1 || port > COM1 + 7) return false;
    this.#writeUart(cpu, port - COM1, value & 0xff);
    return true;
  }

  #chip(port: number): Chip | null {
    if (port === 0x20 || port === 0x21) return this.state.master;
    return port === 0xa0 || port === 0xa1 ? this.state.slave : null;
  }

  #readUart(cpu: Cpu, register: number): number {
    if (register === UART.ier) return this.state.ier;
    if (register === UART.mcr) return this.state.mcr;
    if (register === UART.lcr || register === UART.scratch) return 0;
    cpu.spend(1);
    return cpu.ports.in(COM1 + register, 1);
  }

  #writeUart(cpu: Cpu, register: number, value: number): void {
    if (register === UART.lcr) this.state.lcr = value;
    // The divisor is the host's: what is written to its latch goes nowhere.
    if (this.state.lcr & DIVISOR_LATCH) return;
    if (register === UART.ier) this.state.ier = value;
    else if (register === UART.mcr) this.state.mcr = value;
    else if (register === 0) {
      cpu.spend(1);
      cpu.ports.out(COM1, 1, value);
    }
  }

  /** Vector of a line (0 to 15) for the guest; null: its controller is not initialized, or the line is masked. */
  vectorOf(line: number): number | null {
    const chip = line < 8 ? this.state.master : this.state.slave;
    if (!chip.initialized || chip.mask & (1 << (line & 7))) return null;
    return chip.base + (line & 7);
  }
}

/** ICW1 of a cascade with ICW4, or a specific EOI, which is swallowed. */
function writeCommand(chip: Chip, value: number): boolean {
  if (value !== ICW1) return isSpecificEoi(value);
  chip.awaits = 2;
  chip.initialized = false;
  return true;
}

function writeData(chip: Chip, value: number): boolean {
  if (chip.awaits === 0) chip.mask = value;
  if (chip.awaits === 2) chip.base = value;
  if (chip.awaits === 4) chip.initialized = true;
  chip.awaits = chip.awaits === 0 || chip.awaits === 4 ? 0 : chip.awaits + 1;
  return true;
}
