/**
 * The 8254 programmable interval timer of a PC: counter 0 drives IRQ 0, counter 1 once refreshed memory, counter 2 is
 * gated by port 61h. Source: Intel 82C54 data sheet (order number 231244-006).
 */
import type { Tick } from '../types.js';
import { PIT_RATE, pulsesAt, tickOfPulse } from './clock.js';
import { COUNTER, Counter } from './counter.js';
import type { Device, Line, PortRange } from './device.js';
import { count, type DeviceState, flag, list, record } from './state.js';

const PIT = record({
  counters: list(COUNTER, 3, 3),
  /** The pulse up to which everything has happened. */
  now: count(),
  speaker: flag(),
});

/** Port 61h; the refresh bit toggles about every 15 us, which is 18 pulses. */
const PORT_B = { gate2: 1, speaker: 2, refresh: 0x10, out2: 0x20 } as const;
const REFRESH_PULSES = 18;

/** Read-back command: bits that are low ask for a latch. */
const READ_BACK = { noCount: 0x20, noStatus: 0x10 } as const;

export class Pit implements Device {
  readonly name = 'pit';
  readonly ports: readonly PortRange[] = [
    { first: 0x40, count: 4, width: 1 },
    { first: 0x61, count: 1, width: 1 },
  ];
  readonly #irq0: Line;
  readonly #counters: readonly [Counter, Counter, Counter] = [new Counter(), new Counter(), new Counter()];
  #now = 0;
  #speaker = false;

  constructor(irq0: Line) {
    this.#irq0 = irq0;
    this.#counters[2].state.gate = false;
  }

  #counter(n: number): Counter {
    return this.#counters[n] ?? this.#counters[0];
  }

  in(port: number): number {
    if (port === 0x61) return this.#portB();
    // "A read of the control word register is illegal": nobody drives the bus.
    return port === 0x43 ? 0xff : this.#counter(port & 3).read(this.#now);
  }

  #portB(): number {
    const gate = this.#counters[2].state.gate ? PORT_B.gate2 : 0;
    const speaker = this.#speaker ? PORT_B.speaker : 0;
    const refresh = Math.floor(this.#now / REFRESH_PULSES) & 1 ? PORT_B.refresh : 0;
    return gate | speaker | refresh | (this.#counters[2].output(this.#now) ? PORT_B.out2 : 0);
  }

  out(port: number, _size: number, value: number): void {
    if (port === 0x61) {
      this.#speaker = (value & PORT_B.speaker) !== 0;
      this.#counters[2].setGate((value & PORT_B.gate2) !== 0, this.#now);
    } else if (port === 0x43) {
      this.#command(value);
    } else {
      this.#counter(port & 3).write(value, this.#now);
    }
    this.#irq0(this.#counters[0].output(this.#now));
  }

  #command(word: number): void {
    const select = word >> 6;
    if (select === 3) {
      for (const [n, counter] of this.#counters.entries()) {
        if (!(word & (2 << n))) continue;
        if (!(word & READ_BACK.noCount)) counter.latchCount(this.#now);
        if (!(word & READ_BACK.noStatus)) counter.latchStatus(this.#now);
      }
    } else if ((word & 0x30) === 0) {
      this.#counter(select).latchCount(this.#now);
    } else {
      this.#counter(select).control(word, this.#now);
    }
  }

  advance(to: Tick): void {
    const target = pulsesAt(PIT_RATE, to);
    if (target <= this.#now) return;
    const { loadAt } = this.#counters[0].state;
    if (loadAt !== null && loadAt <= target) this.#run(loadAt);
    this.#run(target);
  }

  /** Lets pulses pass in which counter 0 is not loaded, except at the last. However many rises make one request. */
  #run(target: number): void {
    const counter = this.#counters[0];
    const rise = counter.rise(this.#now);
    if (rise !== null && rise <= target) {
      this.#irq0(false);
      this.#irq0(true);
    }
    this.#now = Math.max(this.#now, target);
    for (const each of this.#counters) each.settle(this.#now);
    this.#irq0(counter.output(this.#now));
  }

  nextDeadline(): Tick | null {
    const rise = this.#counters[0].rise(this.#now);
    const { loadAt } = this.#counters[0].state;
    if (rise === null && loadAt === null) return null;
    return tickOfPulse(PIT_RATE, Math.min(rise ?? Infinity, loadAt ?? Infinity));
  }

  save(): DeviceState {
    const counters = this.#counters.map((counter) => counter.state);
    return PIT.read({ counters, now: this.#now, speaker: this.#speaker }, this.name);
  }

  load(state: DeviceState): void {
    const { counters, now, speaker } = PIT.read(state, this.name);
    for (const [n, counter] of counters.entries()) this.#counter(n).state = counter;
    this.#now = now;
    this.#speaker = speaker;
  }
}
