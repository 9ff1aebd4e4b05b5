/**
 * A store's worker that ends once it was asked for the first time. Loaded before a program (--import), it is every worker
 * of that program.
 */
import { syncBuiltinESMExports } from 'node:module';
import threads, { isMainThread, type MessagePort, Worker, type WorkerOptions, workerData } from 'node:worker_threads';

if (isMainThread) {
  class Dying extends Worker {
    constructor(_script: URL, options: WorkerOptions) {
      super(new URL(import.meta.url), options);
    }
  }
  Reflect.set(threads, 'Worker', Dying);
  syncBuiltinESMExports();
} else {
  await import('../../traces/worker.js');
  const { port } = workerData as { readonly port: MessagePort };
  port.on('message', () => process.exit(1));
}
