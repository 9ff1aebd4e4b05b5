/**
 * A 16550A UART as a PC's COM1: ports 3F8h to 3FFh, IRQ 4. Source: National Semiconductor PC16550D data sheet (June
 * 1995); quotations are its.
 *
 * The line is ideal: a byte that is sent leaves at once (a guest that polls the line status would else fill a trace with
 * exits), and whoever sends to us waits until the receiver has room, so that nothing from outside is ever lost.
 */
import type { Tick } from '../types.js';
import { pulsesAt, tickOfPulse, UART_RATE } from './clock.js';
import type { ByteOutput, Device, Line, PortRange } from './device.js';
import { byte, count, type DeviceState, flag, integer, list, optional, record } from './state.js';

const IER = { received: 1, transmitterEmpty: 2, lineStatus: 4, modemStatus: 8 } as const;
const FCR = { enable: 1, clearReceiver: 2 } as const;
const LCR = { bits: 3, stop: 4, parity: 8, divisorLatch: 0x80 } as const;
const MCR = { dtr: 1, rts: 2, out1: 4, out2: 8, loop: 0x10 } as const;
const LSR = { dataReady: 1, overrun: 2, transmitterEmpty: 0x20, idle: 0x40 } as const;
const MSR = { dcts: 1, ddsr: 2, teri: 4, ddcd: 8, cts: 0x10, dsr: 0x20, ri: 0x40, dcd: 0x80 } as const;
const FIFOS_ENABLED = 0xc0;

/** Interrupt identification, in the order of priority; bit 0 set: none is pending. */
const IIR = { lineStatus: 6, received: 4, timeout: 0x0c, transmitterEmpty: 2, modemStatus: 0, none: 1 } as const;

const FIFO_BYTES = 16;
/** FCR bits 7:6. */
const TRIGGERS = [1, 4, 8, 14] as const;
/** Outside bytes that may wait for the receiver. */
const WAITING_LIMIT = 1 << 24;
const CUT_BYTES = 0x1_0000;

const UART = record({
  ier: byte(),
  /** Firmware leaves 8 data bits, no parity, one stop bit, 115200 baud. */
  lcr: byte(3),
  mcr: byte(),
  scratch: byte(),
  divisor: integer(0xffff, 1),
  fifos: flag(),
  trigger: integer(14, 1, 1),
  /** Bytes in the receiver FIFO, or in the receiver buffer register. */
  received: list(byte(), FIFO_BYTES),
  /** Bytes from outside that the receiver has no room for yet. */
  waiting: list(byte(), WAITING_LIMIT),
  overrun: flag(),
  /** The transmitter became empty, and nobody was told. */
  emptied: flag(),
  /** MSR bits 3:0. */
  deltas: integer(15),
  /** Tick at which "the most recent character was received longer than 4 continuous character times ago". */
  timeoutAt: optional(count()),
  timedOut: flag(),
  now: count(),
});

const isEven = (bits: number): boolean => (bits & 1) === 0;

export class Uart implements Device {
  readonly name: string;
  readonly ports: readonly PortRange[];
  readonly #irq: Line;
  readonly #output: ByteOutput;
  #s = UART.first();
  /** Bytes at the start of `waiting` that were taken already: cutting them off each time would cost their whole length. */
  #taken = 0;

  /** `name` is also the port under which sent bytes go to `output`. */
  constructor(name: string, firstPort: number, irq: Line, output: ByteOutput) {
    this.name = name;
    this.ports = [{ first: firstPort, count: 8, width: 1 }];
    this.#irq = irq;
    this.#output = output;
  }

  /** Bytes arrive from outside. False: too many wait already, and none of these was taken. */
  receive(bytes: Uint8Array): boolean {
    if (this.#s.waiting.length - this.#taken + bytes.length > WAITING_LIMIT) return false;
    for (const each of bytes) this.#s.waiting.push(each);
    this.#takeIn();
    this.#update();
    return true;
  }

  in(port: number): number {
    const value = this.#read(port & 7);
    this.#update();
    return value;
  }

  #read(register: number): number {
    const s = this.#s;
    const latch = (s.lcr & LCR.divisorLatch) !== 0;
    switch (register) {
      case 0:
        return latch ? s.divisor & 0xff : this.#readReceived();
      case 1:
        return latch ? s.divisor >> 8 : s.ier;
      case 2:
        return this.#identify();
      case 3:
        return s.lcr;
      case 4:
        return s.mcr;
      case 5:
        return this.#readLineStatus();
      case 6:
        return this.#readModemStatus();
      default:
        return s.scratch;
    }
  }

  out(port: number, _size: number, value: number): void {
    this.#write(port & 7, value);
    this.#update();
  }

  #write(register: number, value: number): void {
    const s = this.#s;
    const latch = (s.lcr & LCR.divisorLatch) !== 0;
    switch (register) {
      case 0:
        if (latch) s.divisor = (s.divisor & 0xff00) | value;
        else this.#send(value);
        break;
      case 1:
        if (latch) s.divisor = (s.divisor & 0xff) | (value << 8);
        else this.#enable(value & 0x0f);
        break;
      case 2:
        this.#controlFifos(value);
        break;
      case 3:
        s.lcr = value;
        break;
      case 4:
        this.#controlModem(value & 0x1f);
        break;
      case 7:
        s.scratch = value;
        break;
      default: // "writing to the LSR is intended for factory testing only"; the MSR's inputs come from the line
        break;
    }
  }

  get #loop(): boolean {
    return (this.#s.mcr & MCR.loop) !== 0;
  }
  get #capacity(): number {
    return this.#s.fifos ? FIFO_BYTES : 1;
  }
  /** Bits of a character: 5 to 8. */
  get #wordMask(): number {
    return (0x20 << (this.#s.lcr & LCR.bits)) - 1;
  }

  #send(value: number): void {
    const s = this.#s;
    // The interrupt goes away while the byte leaves: an edge-triggered controller sees the next one.
    s.emptied = false;
    this.#update();
    s.emptied = true;
    const character = value & this.#wordMask;
    if (!this.#loop) {
      this.#output(this.name, Uint8Array.of(character));
    } else if (s.received.length < this.#capacity) {
      this.#push(character);
    } else {
      // "an OE is indicated ... The character in the shift register is overwritten, but it is not transferred to the
      // FIFO"; without FIFOs "the character in the receiver buffer register [is] destroyed".
      s.overrun = true;
      if (!s.fifos) s.received = [character];
    }
  }

  #push(character: number): void {
    this.#s.received.push(character);
    this.#restartTimeout();
  }

  /** Waiting bytes fill the receiver. In loopback "the receiver serial input is disconnected". */
  #takeIn(): void {
    const s = this.#s;
    if (this.#loop) return;
    const room = this.#capacity - s.received.length;
    const end = Math.min(this.#taken + Math.max(0, room), s.waiting.length);
    for (; this.#taken < end; this.#taken++) this.#push((s.waiting[this.#taken] ?? 0) & this.#wordMask);
    if (this.#taken >= CUT_BYTES || this.#taken === s.waiting.length) {
      s.waiting = s.waiting.slice(this.#taken);
      this.#taken = 0;
    }
  }

  #readReceived(): number {
    const s = this.#s;
    const value = s.received.shift() ?? 0;
    s.timedOut = false;
    this.#restartTimeout();
    this.#takeIn();
    return value;
  }

  /** "A FIFO timeout interrupt will occur [after] 4 continuous character times", without a byte or a read. */
  #restartTimeout(): void {
    const s = this.#s;
    s.timeoutAt = null;
    if (!s.fifos || s.received.length === 0) return;
    const word = 5 + (s.lcr & LCR.bits);
    const bits = 1 + word + (s.lcr & LCR.parity ? 1 : 0) + (s.lcr & LCR.stop ? 2 : 1);
    const pulses = 4 * bits * Math.max(1, s.divisor);
    s.timeoutAt = tickOfPulse(UART_RATE, pulsesAt(UART_RATE, s.now) + pulses);
  }

  #enable(ier: number): void {
    // Enabling the interrupt while the transmitter is empty raises it.
    if (ier & IER.transmitterEmpty & ~this.#s.ier) this.#s.emptied = true;
    this.#s.ier = ier;
  }

  #controlFifos(value: number): void {
    const s = this.#s;
    const fifos = (value & FCR.enable) !== 0;
    // "When changing from FIFO Mode to 16450 Mode and vice versa, data is automatically cleared from the FIFOs."
    if (fifos !== s.fifos || (fifos && value & FCR.clearReceiver)) {
      s.received = [];
      s.timeoutAt = null;
      s.timedOut = false;
    }
    s.fifos = fifos;
    // FCR0 "must be a 1 when other FCR bits are written to or they will not be programmed."
    if (fifos) s.trigger = TRIGGERS[(value >> 6) as 0 | 1 | 2 | 3];
    this.#takeIn();
  }

  #controlModem(mcr: number): void {
    const s = this.#s;
    const before = this.#modemInputs();
    s.mcr = mcr;
    const after = this.#modemInputs();
    const changed = before ^ after;
    if (changed & MSR.cts) s.deltas |= MSR.dcts;
    if (changed & MSR.dsr) s.deltas |= MSR.ddsr;
    if (changed & MSR.dcd) s.deltas |= MSR.ddcd;
    // TERI: "the RI input to the chip has changed from a low to a high state", which is the bit from 1 to 0.
    if (changed & before & MSR.ri) s.deltas |= MSR.teri;
    this.#takeIn();
  }

  /** MSR bits 7:4: a terminal that is always there, or in loopback "the four modem control outputs". */
  #modemInputs(): number {
    const { mcr } = this.#s;
    if (!this.#loop) return MSR.cts | MSR.dsr | MSR.dcd;
    return (
      (mcr & MCR.rts ? MSR.cts : 0) |
      (mcr & MCR.dtr ? MSR.dsr : 0) |
      (mcr & MCR.out1 ? MSR.ri : 0) |
      (mcr & MCR.out2 ? MSR.dcd : 0)
    );
  }

  #readLineStatus(): number {
    const s = this.#s;
    const value = (s.received.length > 0 ? LSR.dataReady : 0) | (s.overrun ? LSR.overrun : 0);
    s.overrun = false;
    return value | LSR.transmitterEmpty | LSR.idle;
  }

  #readModemStatus(): number {
    const value = this.#modemInputs() | this.#s.deltas;
    this.#s.deltas = 0;
    return value;
  }

  /** The source of highest priority that is pending and enabled. */
  #source(): number {
    const s = this.#s;
    const enough = s.received.length >= (s.fifos ? s.trigger : 1);
    if (s.ier & IER.lineStatus && s.overrun) return IIR.lineStatus;
    if (s.ier & IER.received && enough) return IIR.received;
    if (s.ier & IER.received && s.timedOut) return IIR.timeout;
    if (s.ier & IER.transmitterEmpty && s.emptied) return IIR.transmitterEmpty;
    if (s.ier & IER.modemStatus && s.deltas) return IIR.modemStatus;
    return IIR.none;
  }

  /** THRE is reset by "reading the IIR register (if source of interrupt) or writing into the THR". */
  #identify(): number {
    const source = this.#source();
    if (source === IIR.transmitterEmpty) this.#s.emptied = false;
    return source | (this.#s.fifos ? FIFOS_ENABLED : 0);
  }

  /** On a PC, OUT2 gates the interrupt; in loopback "the modem control output pins are forced to their inactive state". */
  #update(): void {
    this.#irq(isEven(this.#source()) && (this.#s.mcr & MCR.out2) !== 0 && !this.#loop);
  }

  advance(to: Tick): void {
    const s = this.#s;
    s.now = Math.max(s.now, to);
    if (s.timeoutAt === null || s.timeoutAt > s.now) return;
    s.timeoutAt = null;
    s.timedOut = true;
    this.#update();
  }

  nextDeadline(): Tick | null {
    return this.#s.timeoutAt as Tick | null;
  }

  save(): DeviceState {
    return UART.read({ ...this.#s, waiting: this.#s.waiting.slice(this.#taken) }, this.name);
  }

  load(state: DeviceState): void {
    this.#s = UART.read(state, this.name);
    this.#taken = 0;
  }
}
