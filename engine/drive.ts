/** How a machine is brought to a tick: the one way, for recording and replay alike. */
import type { Machine, Stop } from './machine.js';

/** What ended a run. `halt`: the vCPU waits for what will never come; `stopped`: a person or a program said so. */
export type EndKind = 'exit' | 'halt' | 'shutdown' | 'budget' | 'stopped';

/**
 * Runs to the first boundary at or after `target`; a vCPU that waits lets the time pass. Answers `limit` there, or
 * what stopped the machine before. With `stopWhenIdle`, a vCPU that waits for what no device will do stops it too.
 */
export function driveTo(machine: Machine, target: number, stopWhenIdle = false): Stop {
  for (;;) {
    const stop = machine.run(target);
    if (stop !== 'idle' || stopWhenIdle) return stop;
    machine.idleUntil(target);
  }
}

/**
 * Where to run to again so that a run which ended at tick `end` ends again: a machine that stopped by itself may have taken
 * a last step that cost no tick.
 */
export const limitOf = (end: number, ending: EndKind): number =>
  ending === 'exit' || ending === 'shutdown' ? end + 1 : end;

/**
 * Ends a run: devices come to the machine's time, and what is in the ring is told. A machine that stopped at its limit and
 * one that ended by itself at that very tick are the same thereafter.
 */
export function settle(machine: Machine): void {
  machine.devices.advance(machine.now);
  machine.touched();
  machine.drain();
}
