/**
 * How machine time is told in seconds. A tick counts as one nanosecond; every rate below is an exact ratio of integers,
 * so that every deadline is an exact tick and no rounding ever adds up.
 */
import type { Tick } from '../types.js';

export const TICKS_PER_SECOND = 1_000_000_000;

/** `numerator` / `denominator` ticks, in lowest terms, pass from one pulse to the next; pulse 0 is at tick 0. */
export interface Rate {
  readonly numerator: number;
  readonly denominator: number;
}

/** The 8254's input: 14.31818 MHz / 12 = 105/88 MHz (1.193182 MHz), hence 17600/21 ticks a pulse. */
export const PIT_RATE: Rate = { numerator: 17_600, denominator: 21 };

/** The 16550's input of 1.8432 MHz divided by 16: 78125/9 ticks make one bit at divisor 1 (115200 baud). */
export const UART_RATE: Rate = { numerator: 78_125, denominator: 9 };

/** Pulses up to and including `at`: floor(at * denominator / numerator), exact for every tick. */
export function pulsesAt({ numerator, denominator }: Rate, at: number): number {
  const whole = Math.floor(at / numerator);
  return whole * denominator + Math.floor(((at - whole * numerator) * denominator) / numerator);
}

/** The first tick at which `pulses` have passed: ceil(pulses * numerator / denominator). */
export function tickOfPulse({ numerator, denominator }: Rate, pulses: number): Tick {
  const whole = Math.floor(pulses / denominator);
  return (whole * numerator + Math.ceil(((pulses - whole * denominator) * numerator) / denominator)) as Tick;
}
