/**
 * The real-time clock and CMOS memory of a PC at 70h and 71h, without its interrupts and without writing its time.
 * Source: Motorola MC146818A data sheet; memory sizes as in the PC/AT firmware's CMOS map. Time starts at a configured
 * second and passes with ticks.
 */
import type { Tick } from '../types.js';
import { TICKS_PER_SECOND } from './clock.js';
import type { Device, PortRange } from './device.js';
import { byte, count, type DeviceState, integer, list, record } from './state.js';

const CMOS = record({ index: integer(0x7f), bytes: list(byte(), 128, 128), now: count() });

const REGISTER = { a: 0x0a, b: 0x0b, c: 0x0c, d: 0x0d } as const;
/** Register A: 32.768 kHz time base, 976.562 us rate, no update in progress. */
const REGISTER_A = 0x26;
const REGISTER_B = { binary: 4, hours24: 2 } as const;
/** Register D: RAM and time are valid. */
const REGISTER_D = 0x80;

const KIB = 1024;
const MIB = 1024 * KIB;

/** What each time register shows, in binary. */
const TIME: { readonly [register: number]: (date: Date) => number } = {
  0: (date) => date.getUTCSeconds(),
  2: (date) => date.getUTCMinutes(),
  4: (date) => date.getUTCHours(),
  6: (date) => date.getUTCDay() + 1,
  7: (date) => date.getUTCDate(),
  8: (date) => date.getUTCMonth() + 1,
  9: (date) => date.getUTCFullYear() % 100,
  50: (date) => Math.floor(date.getUTCFullYear() / 100),
};
const HOURS = 4;
const PM = 0x80;

const toBcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);

/** Memory sizes, as little-endian words at the registers where firmware leaves them. */
function memorySizes(memoryBytes: number): readonly (readonly [register: number, value: number])[] {
  const extended = Math.max(0, memoryBytes - MIB);
  const above16 = Math.max(0, memoryBytes - 16 * MIB);
  const clamp = (value: number): number => Math.min(0xffff, Math.floor(value));
  return [
    [0x15, 640],
    [0x17, clamp(extended / KIB)],
    [0x30, clamp(extended / KIB)],
    [0x34, clamp(above16 / (64 * KIB))],
  ];
}

export class Cmos implements Device {
  readonly name = 'cmos';
  readonly ports: readonly PortRange[] = [{ first: 0x70, count: 2, width: 1 }];
  readonly #epoch: number;
  #s = CMOS.first();

  /** `epoch`: Unix time at tick 0, in seconds from 0 to 2^32. */
  constructor(epoch: number, memoryBytes: number) {
    this.#epoch = epoch;
    this.#s.bytes[REGISTER.b] = REGISTER_B.hours24;
    for (const [register, value] of memorySizes(memoryBytes)) {
      this.#s.bytes[register] = value & 0xff;
      this.#s.bytes[register + 1] = value >> 8;
    }
  }

  in(port: number): number {
    const { index, bytes, now } = this.#s;
    if (port === 0x70) return 0xff;
    if (index === REGISTER.a) return REGISTER_A;
    if (index === REGISTER.c) return 0;
    if (index === REGISTER.d) return REGISTER_D;
    const time = TIME[index];
    if (time === undefined) return bytes[index] ?? 0xff;
    const date = new Date((this.#epoch + Math.floor(now / TICKS_PER_SECOND)) * 1000);
    return this.#format(index, time(date));
  }

  #format(register: number, value: number): number {
    const control = this.#s.bytes[REGISTER.b] ?? 0;
    const form = control & REGISTER_B.binary ? (n: number) => n : toBcd;
    if (register !== HOURS || control & REGISTER_B.hours24) return form(value);
    return form(value % 12 === 0 ? 12 : value % 12) | (value >= 12 ? PM : 0);
  }

  out(port: number, _size: number, value: number): void {
    if (port === 0x70) this.#s.index = value & 0x7f;
    else this.#s.bytes[this.#s.index] = value;
  }

  advance(to: Tick): void {
    this.#s.now = to;
  }

  nextDeadline(): null {
    return null;
  }

  save(): DeviceState {
    return CMOS.read(this.#s, this.name);
  }

  load(state: DeviceState): void {
    this.#s = CMOS.read(state, this.name);
  }
}
