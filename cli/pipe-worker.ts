/** The thread that imports what comes through a pipe, so that somebody hears who interrupts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { ImportError } from '../recorder/import/errors.js';
import { importTrace } from '../recorder/import/import.js';
import { openLive } from '../recorder/live/source.js';
import { createTrace } from '../traces/open.js';
import { describeError } from './errors.js';
import { Control } from './follow-protocol.js';
import { withAdvice } from './log.js';
import type { PipeMessage, PipeStart } from './pipe-protocol.js';

/** Milliseconds from one report of progress to the next. */
const OFTEN = 100;

const send = (message: PipeMessage): void => parentPort?.postMessage(message);

function run({ file, output, replace, tscHz, control: memory }: PipeStart): void {
  const control = new Control(memory);
  let told = performance.now();
  const live = openLive(file, {
    waits(waits) {
      control.waits = waits;
    },
    tick() {},
    stopped: () => control.stopped,
  });
  const cut = (): ImportError | null => (control.stopped ? new ImportError('INTERRUPTED', live.name) : live.cut());
  const source = { ...live, cut };
  const progress = (): void => {
    if (performance.now() - told < OFTEN) return;
    told = performance.now();
    send({ kind: 'look', look: live.bytes });
  };
  try {
    const options = { progress, ...(tscHz === null ? {} : { tscHz }) };
    const { stopped, ...result } = importTrace(source, () => createTrace(output, { replace }), options);
    send({ kind: 'end', end: { result, stopped: stopped === null ? null : describeError(stopped) } });
  } finally {
    source.close();
  }
}

const start = workerData as PipeStart;
try {
  run(start);
} catch (error) {
  const described = describeError(withAdvice(error, start.file));
  if (described === null) throw error;
  send({ kind: 'failed', error: described });
}
