/** How a machine is brought to a tick: the one way, for recording and replay alike. */
import type { Machine, Stop } from './machine.js';

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
