/**
 * One counter of an 8254, in closed form: nothing is counted pulse by pulse; output and count follow from the pulses
 * that have passed since the counting element was loaded. Source: Intel 82C54 data sheet (order number 231244-006);
 * "pulse" is its CLK pulse, CR its count register, CE its counting element.
 */
import { byte, count, flag, integer, optional, record, type ValueOf } from './state.js';

export const COUNTER = record({
  /** "Prior to initialization, the mode ... is undefined": a square wave's OUT is high, and disturbs nobody. */
  mode: integer(5, 3),
  bcd: flag(),
  /** 1: low byte only, 2: high byte only, 3: low byte, then high byte. */
  access: integer(3, 3, 1),
  /** The low byte of a two-byte count of which the high byte is still to come. */
  lowWritten: optional(byte()),
  /** The next read gives the high byte. */
  readHigh: flag(),
  /** What a latch command froze, until it is read. */
  latchedCount: optional(integer(0xffff)),
  latchedStatus: optional(byte()),
  gate: flag(true),
  /** CR, as a number of pulses from 1 to 65536. */
  reload: integer(0x1_0000, 0x1_0000, 1),
  /** What CE counts from. */
  initial: integer(0x1_0000, 0x1_0000, 1),
  /** CR was written and not yet loaded into CE. */
  nullCount: flag(true),
  /** Pulse that loads CR into CE, where it is known already. */
  loadAt: optional(count()),
  /** Pulse at which CE held `initial`; null: CE does not count. */
  origin: optional(count()),
  /** CE while `origin` is null. */
  held: integer(0xffff),
  /** Pulses counted when GATE stopped the count; null: it counts. */
  paused: optional(count()),
  /** Mode 4: GATE fell while OUT was low, which ends at this pulse all the same. */
  strobeEnd: optional(count()),
  /** CR has been written since the control word. */
  armed: flag(),
});
export type CounterState = ValueOf<typeof COUNTER>;

/** What differs between the modes. */
interface Mode {
  /** OUT after the control word and until CE is loaded. */
  readonly idle: boolean;
  /** Counts start by a rising edge of GATE, and not when CR is written. */
  readonly triggered: boolean;
  /** CE is loaded again whenever it expires. */
  readonly periodic: boolean;
  /** OUT when `e` pulses have passed since CE held `n`. */
  out(n: number, e: number): boolean;
  /** The pulse after `e` at which OUT rises next, or null. */
  rise(n: number, e: number): number | null;
}

/** Pulses of a square wave of period `n` for which OUT is high: (n + 1) / 2 where n is odd. */
const high = (n: number): number => Math.ceil(n / 2);
const nextCycle = (n: number, e: number): number => (Math.floor(e / n) + 1) * n;

const MODES: readonly Mode[] = [
  // 0: interrupt on terminal count
  { idle: false, triggered: false, periodic: false, out: (n, e) => e >= n, rise: (n, e) => (e < n ? n : null) },
  // 1: hardware retriggerable one-shot
  { idle: true, triggered: true, periodic: false, out: (n, e) => e >= n, rise: (n, e) => (e < n ? n : null) },
  // 2: rate generator; OUT is low while CE is 1. "A count of 1 is illegal": OUT then stays high.
  {
    idle: true,
    triggered: false,
    periodic: true,
    out: (n, e) => n === 1 || e % n !== n - 1,
    rise: (n, e) => (n === 1 ? null : nextCycle(n, e)),
  },
  // 3: square wave
  {
    idle: true,
    triggered: false,
    periodic: true,
    out: (n, e) => e % n < high(n),
    rise: (n, e) => (n === 1 ? null : nextCycle(n, e)),
  },
  // 4: software triggered strobe; OUT is low for the pulse at which CE is 0
  { idle: true, triggered: false, periodic: false, out: (n, e) => e !== n, rise: (n, e) => (e <= n ? n + 1 : null) },
  // 5: hardware triggered strobe
  { idle: true, triggered: true, periodic: false, out: (n, e) => e !== n, rise: (n, e) => (e <= n ? n + 1 : null) },
];

/** Bits of a control word, and of the status that a read-back command latches. */
const STATUS = { out: 0x80, nullCount: 0x40, modeShift: 1, accessShift: 4 } as const;

const toBcd = (value: number): number =>
  (Math.floor(value / 1000) << 12) |
  ((Math.floor(value / 100) % 10) << 8) |
  ((Math.floor(value / 10) % 10) << 4) |
  (value % 10);
const fromBcd = (value: number): number =>
  (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);

/** One counter. Every method is told the pulse `now` of the input clock, which never falls, and settles first. */
export class Counter {
  state: CounterState = COUNTER.first();

  get #mode(): Mode {
    return MODES[this.state.mode] ?? (MODES[0] as Mode);
  }

  /** Loads CE, if it is to be loaded at or before `now`. */
  settle(now: number): void {
    const s = this.state;
    if (s.loadAt === null || s.loadAt > now) return;
    const { periodic, triggered } = this.#mode;
    // A count written in the first half of a square wave takes effect at its end: the new wave starts half-way.
    const halfway = s.mode === 3 && s.origin !== null && s.paused === null && (s.loadAt - s.origin) % s.initial !== 0;
    s.initial = s.reload;
    s.origin = s.loadAt - (halfway ? high(s.initial) : 0);
    s.loadAt = null;
    s.strobeEnd = null;
    s.nullCount = false;
    s.paused = s.gate || triggered ? null : 0;
    if (periodic && s.paused !== null) s.held = this.count(now);
  }

  control(word: number, now: number): void {
    const s = this.state;
    const held = this.count(now);
    const mode = (word >> STATUS.modeShift) & 7;
    this.state = {
      ...COUNTER.first(),
      // "X10" and "X11": bit 2 of modes 2 and 3 does not matter.
      mode: mode > 5 ? mode - 4 : mode,
      access: (word >> STATUS.accessShift) & 3,
      bcd: (word & 1) !== 0,
      gate: s.gate,
      reload: s.reload,
      initial: s.initial,
      held,
    };
  }

  write(value: number, now: number): void {
    this.settle(now);
    const s = this.state;
    if (s.access === 3 && s.lowWritten === null) {
      s.lowWritten = value;
      // Mode 0: "Writing the first byte disables counting. OUT is set low immediately".
      if (s.mode === 0) this.#stop(now);
      return;
    }
    const low = s.access === 2 ? 0 : (s.lowWritten ?? value);
    this.#setReload(s.access === 1 ? low : low | (value << 8), now);
    s.lowWritten = null;
  }

  #stop(now: number): void {
    const s = this.state;
    s.held = this.count(now);
    s.origin = null;
    s.loadAt = null;
  }

  #setReload(written: number, now: number): void {
    const s = this.state;
    const { triggered, periodic } = this.#mode;
    // "the largest possible initial count is 0; this is equivalent to 2^16 for binary counting and 10^4 for BCD".
    s.reload = (s.bcd ? fromBcd(written) : written) || this.#modulus;
    s.nullCount = true;
    s.armed = true;
    if (s.mode === 0) this.#stop(now);
    if (triggered) return;
    if (!periodic || s.origin === null) s.loadAt = now + 1;
    else if (s.paused === null) s.loadAt = this.#endOfCycle(s.origin, now);
  }

  /** "The current counting cycle", or in mode 3 the half-cycle, ends before a new count is loaded. */
  #endOfCycle(origin: number, now: number): number {
    const { mode, initial: n } = this.state;
    const e = now - origin;
    const start = Math.floor(e / n) * n;
    return origin + start + (mode === 3 && e - start < high(n) ? high(n) : n);
  }

  setGate(gate: boolean, now: number): void {
    this.settle(now);
    const s = this.state;
    if (gate === s.gate) return;
    const { triggered, periodic } = this.#mode;
    s.gate = gate;
    if (triggered || periodic) {
      if (gate && s.armed) s.loadAt = now + 1;
      if (!gate && periodic) this.#pause(now);
    } else if (!gate) {
      this.#pause(now);
    } else if (s.origin !== null && s.paused !== null) {
      s.origin = now - s.paused;
      s.paused = null;
    }
  }

  #pause(now: number): void {
    const s = this.state;
    if (s.origin !== null && s.paused === null) {
      s.paused = now - s.origin;
      if (s.mode === 4 && s.paused === s.initial) s.strobeEnd = now + 1;
    }
    if (this.#mode.periodic && s.origin !== null) s.loadAt = null;
  }

  get #modulus(): number {
    return this.state.bcd ? 10_000 : 0x1_0000;
  }

  /** CE as a number below its modulus. */
  count(now: number): number {
    this.settle(now);
    const s = this.state;
    if (s.origin === null) return s.held;
    const n = s.initial;
    const e = s.paused ?? now - s.origin;
    const modulus = this.#modulus;
    if (s.mode === 3) {
      const p = e % n;
      return (n - (n & 1) - 2 * (p < high(n) ? p : p - high(n))) % modulus;
    }
    if (s.mode === 2) return (n - (e % n)) % modulus;
    return (((n - e) % modulus) + modulus) % modulus;
  }

  output(now: number): boolean {
    this.settle(now);
    const s = this.state;
    const mode = this.#mode;
    if (s.origin === null) return mode.idle;
    if (s.strobeEnd !== null) return now >= s.strobeEnd;
    if (mode.periodic && s.paused !== null) return true;
    return mode.out(s.initial, s.paused ?? now - s.origin);
  }

  /** The next pulse after `now` at which OUT may rise by itself, or null. */
  rise(now: number): number | null {
    this.settle(now);
    const s = this.state;
    if (s.strobeEnd !== null) return s.strobeEnd > now ? s.strobeEnd : null;
    if (s.origin === null || s.paused !== null) return null;
    const after = this.#mode.rise(s.initial, now - s.origin);
    return after === null ? null : s.origin + after;
  }

  /** "Subsequent latch commands are ignored until the count is read." */
  latchCount(now: number): void {
    const s = this.state;
    if (s.latchedCount !== null) return;
    s.latchedCount = this.#encoded(now);
  }

  latchStatus(now: number): void {
    const out = this.output(now) ? STATUS.out : 0;
    const s = this.state;
    if (s.latchedStatus !== null) return;
    const missing = s.nullCount ? STATUS.nullCount : 0;
    const programmed = (s.access << STATUS.accessShift) | (s.mode << STATUS.modeShift) | (s.bcd ? 1 : 0);
    s.latchedStatus = out | missing | programmed;
  }

  #encoded(now: number): number {
    const value = this.count(now);
    return this.state.bcd ? toBcd(value) : value;
  }

  read(now: number): number {
    const value = this.state.latchedCount ?? this.#encoded(now);
    const s = this.state;
    if (s.latchedStatus !== null) {
      const status = s.latchedStatus;
      s.latchedStatus = null;
      return status;
    }
    const takesHigh = s.access === 2 || (s.access === 3 && s.readHigh);
    s.readHigh = s.access === 3 && !s.readHigh;
    if (!s.readHigh) s.latchedCount = null;
    return takesHigh ? value >> 8 : value & 0xff;
  }
}
