/**
 * A store's worker to which something happens once it was asked for the first time: what the word behind the ? of this
 * module's address says. Loaded before a program (--import), it is every worker of a store in that program.
 */
import { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import threads, { isMainThread, type MessagePort, Worker, type WorkerOptions, workerData } from 'node:worker_threads';

/** Milliseconds of the stall: those in which the owner asks whether the worker lives, several times. */
const STALL = 4000;
const HEAP_MB = 40;

const FAULTS: Readonly<Record<string, () => void>> = {
  exit: () => process.exit(1),
  /** Beyond resourceLimits, which ends the worker without any of its own code. */
  heap: () => {
    for (let all: unknown = null; ; ) all = { all };
  },
  /** The thread runs nothing, as in a write to a disk that does not answer. */
  stall: () => {
    writeSync(2, 'stalled\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL);
  },
};

interface Start {
  readonly port: MessagePort;
  readonly fault: string;
}

if (isMainThread) {
  const fault = new URL(import.meta.url).search.slice(1);
  class Faulty extends Worker {
    constructor(script: URL, options: WorkerOptions) {
      if (!script.pathname.endsWith('/traces/worker.js')) super(script, options);
      else {
        const data = { ...(options.workerData as Start), fault };
        const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB };
        super(new URL(import.meta.url), { ...options, workerData: data, resourceLimits });
      }
    }
  }
  Reflect.set(threads, 'Worker', Faulty);
  syncBuiltinESMExports();
} else {
  const { port, fault } = workerData as Start;
  await import('../../traces/worker.js');
  port.once('message', () => FAULTS[fault]?.());
}
