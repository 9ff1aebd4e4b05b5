/** Imports what comes through a pipe: another thread reads (pipe-worker.ts), while this one listens to signals. */
import { Worker } from 'node:worker_threads';
import type { Described } from './errors.js';
import { Control, type FollowedResult } from './follow-protocol.js';
import type { Progress } from './output.js';
import type { PipeMessage, PipeStart } from './pipe-protocol.js';
import { GRACE, Signals } from './signals.js';

/** An import's result, with its error as it is told. */
export interface Piped {
  readonly result: FollowedResult;
  readonly stopped: Described | null;
}

/**
 * At an interrupt, what the recorder still writes is read; at the second, at SIGTERM, or after GRACE, the import ends
 * there and keeps what it has. `say` tells the person so. Null where it ended in a read that nothing came to.
 */
export async function importPipe(
  start: Omit<PipeStart, 'control'>,
  progress: Progress,
  say: (text: string) => void,
): Promise<Piped | null> {
  const memory = Control.create();
  const control = new Control(memory);
  const workerData: PipeStart = { ...start, control: memory };
  const worker = new Worker(new URL('./pipe-worker.js', import.meta.url), { workerData });
  const quit = (): void => {
    control.stop();
    setTimeout(() => control.waits && void worker.terminate(), GRACE).unref();
  };
  const signals = new Signals(quit, say, true);
  try {
    return await new Promise((resolve, reject) => {
      worker.on('message', (message: PipeMessage) => {
        if (message.kind === 'progress') progress.update(message.bytes, 0);
        else if (message.kind === 'end') resolve(message);
        else reject(Object.assign(new Error(message.error.what), message.error));
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve(null));
    });
  } finally {
    signals.close();
  }
}
