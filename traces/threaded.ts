/**
 * Hands the work of a store to a worker. A trace begins on the caller's thread; once a long table has filled its first
 * chunk, a worker is started, and takes over the files once it can be asked, so that no trace waits for a thread to start,
 * and the files are without an owner for no longer than it takes to open them. Then the caller hands over whole chunks
 * and fills the next. Where the worker is behind, the caller prepares an Arrow chunk itself and hands over the result,
 * or waits: both cores are busy, memory is bounded, and the files do not depend on who did what.
 */
import { type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { type ChunkBuffer, copyChunkBuffer, layoutOf, newSharedBuffer } from './column.js';
import { TraceDigest } from './digest.js';
import { TraceError } from './errors.js';
import { type Answer, type Request, SHARED, type Watch, type WorkerStart } from './exchange.js';
import type { TableName } from './schema.js';
import type { Backend, Prepared, Segment, Sink, Store } from './sink.js';

/** Whole chunks that the worker may have before it, and requests of any kind before the caller waits. */
const AHEAD = 2;
const MOST_AHEAD = 6;

/** Milliseconds of a wait for an answer until the owner doubts that the worker lives, and asks again whether it does. */
const WAIT = 1000;
const ENDED = 'the thread that writes it ended early, as where memory is short';

export class ThreadedSink implements Sink {
  readonly #store: Store;
  readonly #path: string;
  readonly #threads: boolean;
  readonly #digest = new TraceDigest();
  readonly #hold: ReturnType<Store['hold']>;
  /** The files, until the helper has them. */
  #backend: Backend | null;
  #helper: Helper | null = null;
  /** Prepares chunks beside the helper, if the store can be prepared elsewhere than it is written. */
  #prepare: ((segment: Segment) => Prepared) | null = null;

  /** Without `threads` all is done on the caller's, which on one core takes less time in all. */
  constructor(store: Store, path: string, threads: boolean) {
    this.#store = store;
    this.#path = path;
    this.#threads = threads;
    this.#backend = store.append(path);
    this.#hold = store.hold(path);
  }

  append(segment: Segment): ChunkBuffer {
    const whole = segment.last && segment.from === 0 && segment.to === layoutOf(segment.table).rows;
    const helper = this.#backend === null || (whole && this.#threads) ? this.#engage() : null;
    if (helper === null) return this.#write(segment);
    if (whole && (helper.chunksAhead < AHEAD || this.#prepare === null)) {
      helper.give(segment);
      return segment.buffer;
    }
    const prepared = this.#prepare?.(segment);
    if (prepared?.message !== undefined) helper.ask({ kind: 'prepared', prepared });
    else helper.ask({ kind: 'segment', segment, give: false });
    return segment.buffer;
  }

  settle(): string {
    this.#helper?.settle();
    return this.#digest.hex();
  }

  close(end: boolean): void {
    const [backend, helper] = [this.#backend, this.#helper];
    this.#backend = null;
    this.#helper = null;
    try {
      if (backend === null) helper?.close(end);
      else {
        helper?.dismiss();
        backend.close(end);
      }
    } finally {
      this.#hold.release();
    }
  }

  #write(segment: Segment): ChunkBuffer {
    const backend = this.#backend;
    if (backend === null) throw new TraceError('TRACE_CLOSED', this.#path);
    const prepared = backend.prepare(segment);
    backend.write(prepared, segment);
    this.#fold(prepared.table, prepared.ended);
    return segment.buffer;
  }

  /** The worker, where it has the files or can take them over; null where the caller still writes. */
  #engage(): Helper | null {
    const backend = this.#backend;
    if (backend === null) return this.#helper;
    this.#helper ??= new Helper(this.#store.name, this.#path, ({ table, ended, failure }) => {
      if (failure !== null) throw new TraceError(failure.code, this.#path, failure.place, failure.detail);
      if (table !== null) this.#fold(table, ended);
    });
    if (!this.#helper.isReady) return null;
    backend.close(false);
    this.#backend = null;
    if (this.#store.name === 'arrow') this.#prepare = (segment) => backend.prepare(segment);
    return this.#helper;
  }

  #fold(table: TableName, ended: Prepared['ended']): void {
    if (ended !== null) this.#digest.add(table, ended.rows, ended.tags);
  }
}

/** The worker as its owner sees it. Requests and answers are counted, so that the owner can wait without an event loop. */
class Helper {
  readonly #path: string;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #shared: Int32Array<SharedArrayBuffer>;
  /** Closed when the worker ends; null once a thread was started that waits for that. */
  #life: MessagePort | null;
  readonly #take: (answer: Answer) => void;
  readonly #free = new Map<TableName, ChunkBuffer[]>();
  #asked = 0;
  #received = 0;
  #given = 0;

  constructor(store: Store['name'], path: string, take: (answer: Answer) => void) {
    const { port1, port2 } = new MessageChannel();
    const { port1: life, port2: workersLife } = new MessageChannel();
    this.#path = path;
    const shared = new SharedArrayBuffer(4 * Object.keys(SHARED).length);
    this.#shared = new Int32Array(shared);
    this.#life = life;
    this.#take = take;
    this.#port = port1;
    const workerData: WorkerStart = { store, path, port: port2, life: workersLife, shared };
    const options = { workerData, transferList: [port2, workersLife], execArgv: [] };
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), options);
    this.#worker.unref();
    this.#worker.on('error', () => {}); // what is asked of it fails then
    this.#port.unref();
  }

  /** It can be asked. */
  get isReady(): boolean {
    return Atomics.load(this.#shared, SHARED.ready) === 1;
  }

  /** Whole chunks that the worker has not yet answered. */
  get chunksAhead(): number {
    this.#receive();
    return this.#given;
  }

  /**
   * Gives a copy of a whole chunk to the worker. To hand over the buffer itself saves the copy, but then the caller
   * writes to dozens of columns whose lines must come back from the worker's core: measured, accesses take 8 % longer
   * that way, and exits as long. The copy lies in shared memory. To transfer it would detach it, and once anything was
   * detached V8 reads all typed arrays of a thread more slowly: imports took 10 % longer.
   */
  give(segment: Segment): void {
    while (this.#given >= AHEAD) this.#wait();
    const layout = layoutOf(segment.table);
    const buffer = this.#free.get(segment.table)?.pop() ?? newSharedBuffer(layout);
    copyChunkBuffer(layout, segment.buffer, buffer, segment.to);
    this.#given++;
    this.ask({ kind: 'segment', segment: { ...segment, buffer }, give: true });
  }

  ask(request: Request): void {
    while (this.#asked - this.#received >= MOST_AHEAD) this.#wait();
    this.#asked++;
    this.#port.postMessage(request);
  }

  settle(): void {
    while (this.#received < this.#asked) this.#wait();
  }

  close(end: boolean): void {
    try {
      this.settle();
    } finally {
      try {
        this.ask({ kind: 'close', end });
        while (this.#received < this.#asked) this.#wait();
      } finally {
        this.dismiss();
      }
    }
  }

  /** Ends it where nothing is asked of it any more. */
  dismiss(): void {
    this.#port.close();
    void this.#worker.terminate();
  }

  /**
   * However long the worker takes, it is waited for while it lives: a disk may stall for minutes.
   * @throws TraceError where no answer will come
   */
  #wait(): void {
    const isAnswered = (): boolean => Atomics.load(this.#shared, SHARED.answered) !== this.#received;
    while (!isAnswered()) {
      // its answers come before its end
      if (Atomics.load(this.#shared, SHARED.ended) === 1 && !isAnswered())
        throw new TraceError('TRACE_UNWRITABLE', this.#path, null, ENDED);
      if (Atomics.wait(this.#shared, SHARED.answered, this.#received, WAIT) === 'timed-out') this.#watch();
    }
    this.#receive();
  }

  /** Has a thread look for the worker's end, from the first long wait on: few traces have one. */
  #watch(): void {
    if (this.#life === null) return;
    const watch: Watch = { life: this.#life, shared: this.#shared.buffer };
    this.#life = null;
    const watcher = new Worker(new URL('./watch.js', import.meta.url), { execArgv: [] });
    watcher.unref();
    watcher.on('error', () => {}); // the trace may be written all the same
    watcher.postMessage(watch, [watch.life]);
  }

  #receive(): void {
    for (;;) {
      const message = receiveMessageOnPort(this.#port);
      if (message === undefined) return;
      const answer = message.message as Answer;
      this.#received++;
      if (answer.buffer !== null && answer.table !== null) {
        this.#given--;
        const free = this.#free.get(answer.table) ?? [];
        free.push(answer.buffer);
        this.#free.set(answer.table, free);
      }
      this.#take(answer);
    }
  }
}
