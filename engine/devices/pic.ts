/**
 * Two 8259A programmable interrupt controllers in cascade, as a PC wires them: master at 20h, slave at A0h on its line
 * 2, edge/level registers at 4D0h. Source: Intel 8259A data sheet (order number 231468-003); quotations below are its.
 *
 * The vector is the byte of the second INTA cycle in 8086 mode; the MCS-80/85 mode's CALL does not exist on this bus.
 * At power-up the controllers stand as firmware leaves them (vectors 08h and 70h), with every line masked.
 */
import type { InterruptLine } from '../cpu/cpu.js';
import type { Device, Line, PortRange } from './device.js';
import { byte, type DeviceState, flag, integer, record, type ValueOf } from './state.js';

const CHIP = record({
  /** Levels of the eight inputs. */
  lines: byte(),
  /** Rising edges not yet served. */
  edges: byte(),
  isr: byte(),
  imr: byte(0xff),
  /** Edge/level control register: 1 is level. */
  elcr: byte(),
  icw1: byte(0x11),
  /** ICW2: bits 7:3 of the vector. */
  vectors: byte(),
  icw3: byte(),
  icw4: byte(1),
  /** The initialization command word that the chip waits for; 0: none. */
  awaits: integer(4),
  readIsr: flag(),
  poll: flag(),
  specialMask: flag(),
  rotateOnAutoEoi: flag(),
  /** The input of lowest priority. */
  lowest: integer(7, 7),
});
type ChipState = ValueOf<typeof CHIP>;

const ICW1 = { icw4: 0x01, single: 0x02, level: 0x08, init: 0x10 } as const;
const ICW4 = { autoEoi: 0x02, specialFullyNested: 0x10 } as const;
const OCW3 = { select: 0x08, readIsr: 0x01, readRegister: 0x02, poll: 0x04, setMask: 0x20, enableMask: 0x40 } as const;
/** "If the IR input goes low before this time a DEFAULT IR7 will occur when the CPU acknowledges the interrupt." */
const DEFAULT_LINE = 7;

/** What OCW2's bits R, SL and EOI ask for; a `specific` command names its line. */
const OCW2: readonly { readonly eoi: boolean; readonly specific: boolean; readonly rotate: boolean }[] = [
  { eoi: false, specific: false, rotate: false }, // rotate in automatic EOI mode (clear)
  { eoi: true, specific: false, rotate: false }, // non-specific EOI
  { eoi: false, specific: true, rotate: false }, // no operation
  { eoi: true, specific: true, rotate: false }, // specific EOI
  { eoi: false, specific: false, rotate: true }, // rotate in automatic EOI mode (set)
  { eoi: true, specific: false, rotate: true }, // rotate on non-specific EOI
  { eoi: false, specific: true, rotate: true }, // set priority
  { eoi: true, specific: true, rotate: true }, // rotate on specific EOI
];

class Chip {
  state: ChipState = CHIP.first();

  constructor(vectors: number, icw3: number, lines: number) {
    this.state.vectors = vectors;
    this.state.icw3 = icw3;
    this.state.lines = lines;
  }

  /** The interrupt request register: latched edges, or the levels themselves. */
  get irr(): number {
    const { lines, edges, elcr, icw1 } = this.state;
    const levels = icw1 & ICW1.level ? 0xff : elcr;
    return (edges & ~levels) | (lines & levels);
  }

  drive(line: number, high: boolean): void {
    const s = this.state;
    const bit = 1 << line;
    if (!high) {
      s.edges &= ~bit;
      s.lines &= ~bit;
    } else if (!(s.lines & bit)) {
      s.edges |= bit;
      s.lines |= bit;
    }
  }

  /** The line that would be served now, or null. */
  winner(): number | null {
    const s = this.state;
    const requests = this.irr & ~s.imr;
    if (requests === 0) return null;
    // "when a mask bit is set in OCW1, it inhibits further interrupts at that level and enables interrupts from all
    // other levels (lower as well as higher) that are not masked."
    const blocking = s.specialMask ? s.isr & ~s.imr : s.isr;
    // "When an interrupt request from a certain slave is in service this slave is not locked out".
    const open = s.icw4 & ICW4.specialFullyNested ? s.icw3 : 0;
    for (let i = 1; i <= 8; i++) {
      const line = (s.lowest + i) & 7;
      const bit = 1 << line;
      if (blocking & ~open & bit) return null;
      if (requests & bit) return line;
      if (blocking & bit) return null;
    }
    return null;
  }

  /** An interrupt acknowledge, or a read in poll mode: the line is in service. */
  serve(line: number): void {
    const s = this.state;
    const bit = 1 << line;
    s.edges &= ~bit;
    if (!(s.icw4 & ICW4.autoEoi)) s.isr |= bit;
    else if (s.rotateOnAutoEoi) s.lowest = line;
  }

  /** In-service line of the highest priority, or null. */
  #highestInService(): number | null {
    const s = this.state;
    // "an ISR bit that is masked by an IMR bit will not be cleared by a non-specific EOI if the 8259A is in the Special
    // Mask Mode."
    const candidates = s.specialMask ? s.isr & ~s.imr : s.isr;
    for (let i = 1; i <= 8; i++) {
      const line = (s.lowest + i) & 7;
      if (candidates & (1 << line)) return line;
    }
    return null;
  }

  read(register: number): number {
    const s = this.state;
    if (s.poll) {
      s.poll = false;
      const line = this.winner();
      if (line === null) return 0;
      this.serve(line);
      return 0x80 | line;
    }
    if (register === 1) return s.imr;
    return s.readIsr ? s.isr : this.irr;
  }

  write(register: number, value: number): void {
    if (register === 0 && value & ICW1.init) this.#initialize(value);
    else if (register === 1) this.#writeData(value);
    else if (value & OCW3.select) this.#control(value);
    else this.#endOfInterrupt(value);
  }

  #initialize(icw1: number): void {
    const { lines, elcr, vectors, icw3 } = this.state;
    // "The edge sense circuit is reset ... The Interrupt Mask Register is cleared ... IR7 input is assigned priority 7
    // ... Special Mask Mode is cleared and Status Read is set to IRR ... If IC4 = 0, then all functions selected in
    // ICW4 are set to zero."
    this.state = { ...CHIP.first(), lines, elcr, vectors, icw3, icw1, imr: 0, icw4: 0, awaits: 2 };
  }

  #writeData(value: number): void {
    const s = this.state;
    if (s.awaits === 2) {
      s.vectors = value & 0xf8;
      s.awaits = s.icw1 & ICW1.single ? (s.icw1 & ICW1.icw4 ? 4 : 0) : 3;
    } else if (s.awaits === 3) {
      s.icw3 = value;
      s.awaits = s.icw1 & ICW1.icw4 ? 4 : 0;
    } else if (s.awaits === 4) {
      s.icw4 = value;
      s.awaits = 0;
    } else {
      s.imr = value;
    }
  }

  #control(ocw3: number): void {
    const s = this.state;
    if (ocw3 & OCW3.enableMask) s.specialMask = (ocw3 & OCW3.setMask) !== 0;
    if (ocw3 & OCW3.poll) s.poll = true;
    else if (ocw3 & OCW3.readRegister) s.readIsr = (ocw3 & OCW3.readIsr) !== 0;
  }

  #endOfInterrupt(ocw2: number): void {
    const s = this.state;
    const command = OCW2[ocw2 >> 5];
    if (command === undefined) return;
    if (!command.eoi && !command.specific) {
      s.rotateOnAutoEoi = command.rotate;
      return;
    }
    const line = command.specific ? ocw2 & 7 : this.#highestInService();
    if (line === null) return;
    if (command.eoi) s.isr &= ~(1 << line);
    if (command.rotate) s.lowest = line;
  }
}

const CASCADE = 2;
const PAIR = record({ master: CHIP, slave: CHIP });

export class Pic implements Device, InterruptLine {
  readonly name = 'pic';
  readonly ports: readonly PortRange[] = [
    { first: 0x20, count: 2, width: 1 },
    { first: 0xa0, count: 2, width: 1 },
    { first: 0x4d0, count: 2, width: 1 },
  ];
  /** Line 0 is high: so is the output of a timer that is not programmed yet. */
  readonly #master = new Chip(0x08, 1 << CASCADE, 1);
  readonly #slave = new Chip(0x70, CASCADE, 0);

  /** The level of the INTR pin. */
  get pending(): boolean {
    return this.#master.winner() !== null;
  }

  /** Both INTA cycles: answers the vector; that of line 7 where the request has gone meanwhile. */
  acknowledge(): number {
    const line = this.#master.winner();
    if (line === null) return this.#master.state.vectors | DEFAULT_LINE;
    this.#master.serve(line);
    const { vectors, icw1, icw3 } = this.#master.state;
    const cascaded = !(icw1 & ICW1.single) && (icw3 & (1 << line)) !== 0;
    return cascaded ? this.#acknowledgeSlave(line) : vectors | line;
  }

  #acknowledgeSlave(id: number): number {
    // No chip answers to this identity on the cascade lines: nobody drives the bus.
    if (id !== CASCADE || (this.#slave.state.icw3 & 7) !== id) return 0xff;
    const line = this.#slave.winner();
    if (line !== null) this.#slave.serve(line);
    // INT falls at the end of the acknowledge, so that the next request is an edge on the master again.
    this.#master.drive(CASCADE, false);
    this.#cascade();
    return this.#slave.state.vectors | (line ?? DEFAULT_LINE);
  }

  /** Drives input 0 to 15, input 2 excepted. */
  drive(irq: number, high: boolean): void {
    if (irq < 8) {
      this.#master.drive(irq, high);
      return;
    }
    this.#slave.drive(irq - 8, high);
    this.#cascade();
  }

  line(irq: number): Line {
    return (high) => this.drive(irq, high);
  }

  #cascade(): void {
    this.#master.drive(CASCADE, this.#slave.winner() !== null);
  }

  in(port: number): number {
    const chip = this.#chipAt(port);
    if (port >= 0x4d0) return chip.state.elcr;
    const value = chip.read(port & 1);
    this.#cascade();
    return value;
  }

  out(port: number, _size: number, value: number): void {
    const chip = this.#chipAt(port);
    // Lines 0, 1, 2, 8 and 13 of a PC are edge-triggered for ever.
    if (port >= 0x4d0) chip.state.elcr = value & (port & 1 ? 0xde : 0xf8);
    else chip.write(port & 1, value);
    this.#cascade();
  }

  #chipAt(port: number): Chip {
    const second = port >= 0x4d0 ? (port & 1) === 1 : port >= 0xa0;
    return second ? this.#slave : this.#master;
  }

  advance(): void {}

  nextDeadline(): null {
    return null;
  }

  save(): DeviceState {
    return PAIR.read({ master: this.#master.state, slave: this.#slave.state }, this.name);
  }

  load(state: DeviceState): void {
    const { master, slave } = PAIR.read(state, this.name);
    this.#master.state = master;
    this.#slave.state = slave;
  }
}
