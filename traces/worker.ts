/** The thread that prepares and writes the chunks of a trace; see threaded.ts. */
import { workerData } from 'node:worker_threads';
import { TraceError } from './errors.js';
import { type Answer, type Failure, type Request, SHARED, type WorkerStart } from './exchange.js';
import type { Backend, Store } from './sink.js';

/** How each store's files are opened; only what the store needs is loaded, which is most of what a short import takes. */
const OPEN: Readonly<Record<Store['name'], () => Promise<(path: string) => Backend>>> = {
  arrow: async () => (await import('./arrow/backend.js')).appendArrow,
  sqlite: async () => (await import('./sqlite/backend.js')).sqliteStore.append,
};

const { store, path, port, shared } = workerData as WorkerStart;
const count = new Int32Array(shared);
const open = await OPEN[store]();
/** The files, from the first request on: until then its owner has them. */
let files: Backend | null = null;
const backend = (): Backend => {
  files ??= open(path);
  return files;
};
const NOTHING: Answer = { table: null, ended: null, buffer: null, failure: null };

function serve(request: Request): Answer {
  if (request.kind === 'close') {
    backend().close(request.end);
    return NOTHING;
  }
  if (request.kind === 'prepared') {
    const { prepared } = request;
    backend().write(prepared, null);
    return { ...NOTHING, table: prepared.table, ended: prepared.ended };
  }
  const { segment, give } = request;
  const prepared = backend().prepare(segment);
  backend().write(prepared, segment);
  return { ...NOTHING, table: prepared.table, ended: prepared.ended, buffer: give ? segment.buffer : null };
}

function failureOf(error: unknown): Failure {
  if (error instanceof TraceError) return { code: error.code, place: error.place, detail: error.detail };
  return { code: 'TRACE_UNWRITABLE', place: null, detail: error instanceof Error ? error.message : String(error) };
}

port.on('message', (request: Request) => {
  let answer: Answer;
  try {
    answer = serve(request);
  } catch (error) {
    answer = { ...NOTHING, failure: failureOf(error) };
  }
  port.postMessage(answer);
  Atomics.add(count, SHARED.answered, 1);
  Atomics.notify(count, SHARED.answered);
  if (request.kind === 'close') port.close();
});
Atomics.store(count, SHARED.ready, 1);
