/** Ends the process where a case never ends, and says which: nothing in this thread can while it loops. */
import { Worker } from 'node:worker_threads';

/** Far beyond any case on the slowest machine: a hang, not slowness. */
const HANG_MS = 60_000;
const POLL_MS = 1000;

const PROGRAM = `
const { workerData } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const { shared, name, seed, hang, poll } = workerData;
const cell = new Int32Array(shared);
let last = -1;
let since = Date.now();
setInterval(() => {
  const run = Atomics.load(cell, 0);
  if (run !== last) {
    last = run;
    since = Date.now();
  } else if (run >= 0 && Date.now() - since > hang) {
    writeSync(2, name + ', case ' + run + ' of seed ' + seed + ' hangs; again: npm run fuzz -- ' + [name, 1, seed, run].join(' ') + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }
}, poll);
`;

export interface Watchdog {
  begin(run: number): void;
  end(): void;
}

export function watch(name: string, seed: number): Watchdog {
  const shared = new SharedArrayBuffer(4);
  const cell = new Int32Array(shared);
  const workerData = { shared, name, seed, hang: HANG_MS, poll: POLL_MS };
  const worker = new Worker(PROGRAM, { eval: true, workerData });
  worker.unref();
  return {
    begin: (run) => {
      Atomics.store(cell, 0, run);
    },
    end: () => {
      Atomics.store(cell, 0, -1);
      worker.terminate().catch(() => {});
    },
  };
}
