/**
 * Writes an Arrow trace. It begins on the caller's thread; once a long table has filled its first chunk, a worker takes
 * over the files and the work, so that short traces never wait for a thread to start. The caller then hands over whole
 * chunks. Where the worker is behind, the caller encodes a chunk itself and hands over the result: both cores are busy,
 * memory is bounded, and the files do not depend on who did what.
 */
import { rmSync } from 'node:fs';
import { type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { type ChunkBuffer, layoutOf, newChunkBuffer } from '../column.js';
import { TraceDigest } from '../digest.js';
import { TraceError } from '../errors.js';
import type { TableName } from '../schema.js';
import type { Segment, Sink } from '../sink.js';
import { type Encoded, encodeSegment } from './encoder.js';
import { freshLengths, type StreamLengths, Streams } from './streams.js';

/** What the caller asks of the worker; each is answered once, in order. */
export type Request =
  | { readonly kind: 'chunk'; readonly segment: Segment }
  | { readonly kind: 'encoded'; readonly encoded: Encoded }
  | { readonly kind: 'close'; readonly end: boolean };
export interface Answer {
  readonly table: TableName | null;
  readonly ended: Encoded['ended'];
  /** The chunk's buffer, cleared, to be filled again. */
  readonly buffer: ChunkBuffer | null;
  readonly failure: Failure | null;
}
export type Failure = Pick<TraceError, 'code' | 'place' | 'detail'>;

export interface WorkerStart {
  readonly folder: string;
  readonly lengths: StreamLengths;
  readonly port: MessagePort;
  /** One 32-bit counter of answers, to wait for. */
  readonly answered: SharedArrayBuffer;
}

/** Chunks that the worker may have before it, and requests of any kind before the caller waits. */
const AHEAD = 2;
const MOST_AHEAD = 6;

export class ArrowSink implements Sink {
  readonly #folder: string;
  readonly #digest = new TraceDigest();
  #streams: Streams | null;
  #helper: Helper | null = null;

  constructor(folder: string) {
    this.#folder = folder;
    this.#streams = new Streams(folder, freshLengths());
  }

  append(segment: Segment): ChunkBuffer {
    const whole = segment.last && segment.from === 0 && segment.to === layoutOf(segment.table).rows;
    if (whole && this.#streams !== null) {
      const { lengths } = this.#streams;
      this.#streams.close(false);
      this.#streams = null;
      this.#helper = new Helper(this.#folder, lengths, (answer) => this.#take(answer));
    }
    if (this.#helper === null) {
      const encoded = encodeSegment(segment);
      this.#streams?.append(encoded);
      this.#fold(encoded.table, encoded.ended);
      return segment.buffer;
    }
    if (whole && this.#helper.chunksAhead < AHEAD) return this.#helper.hand(segment);
    this.#helper.pass(encodeSegment(segment));
    return segment.buffer;
  }

  settle(): string {
    this.#helper?.settle();
    return this.#digest.hex();
  }

  close(): void {
    this.#end(true);
  }

  remove(): void {
    this.#end(false);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #end(whole: boolean): void {
    this.#streams?.close(whole);
    this.#helper?.close(whole);
    this.#streams = null;
    this.#helper = null;
  }

  #take({ table, ended, failure }: Answer): void {
    if (failure !== null) throw new TraceError(failure.code, this.#folder, failure.place, failure.detail);
    if (table !== null) this.#fold(table, ended);
  }

  #fold(table: TableName, ended: Encoded['ended']): void {
    if (ended !== null) this.#digest.add(table, ended.rows, ended.tags);
  }
}

/** The worker as its owner sees it. Requests and answers are counted, so that the owner can wait without an event loop. */
class Helper {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #answered: Int32Array;
  readonly #take: (answer: Answer) => void;
  readonly #free = new Map<TableName, ChunkBuffer[]>();
  #asked = 0;
  #received = 0;
  #chunks = 0;

  constructor(folder: string, lengths: StreamLengths, take: (answer: Answer) => void) {
    const { port1, port2 } = new MessageChannel();
    const answered = new SharedArrayBuffer(4);
    this.#answered = new Int32Array(answered);
    this.#take = take;
    this.#port = port1;
    const workerData: WorkerStart = { folder, lengths, port: port2, answered };
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData, transferList: [port2] });
    this.#worker.unref();
    this.#port.unref();
  }

  /** Chunks that the worker has not yet answered. */
  get chunksAhead(): number {
    this.#receive();
    return this.#chunks;
  }

  /** Gives a full chunk to the worker, and the caller another buffer. */
  hand(segment: Segment): ChunkBuffer {
    const { slab, arenas, touched } = segment.buffer;
    const transfer = [slab, touched.buffer as ArrayBuffer];
    for (const arena of arenas) if (arena !== null) transfer.push(arena.buffer as ArrayBuffer);
    this.#chunks++;
    this.#ask({ kind: 'chunk', segment }, transfer);
    return this.#free.get(segment.table)?.pop() ?? newChunkBuffer(layoutOf(segment.table));
  }

  pass(encoded: Encoded): void {
    this.#ask({ kind: 'encoded', encoded }, [encoded.message.buffer as ArrayBuffer]);
    while (this.#asked - this.#received > MOST_AHEAD) this.#wait();
  }

  settle(): void {
    while (this.#received < this.#asked) this.#wait();
  }

  close(end: boolean): void {
    this.#ask({ kind: 'close', end }, []);
    try {
      this.settle();
    } finally {
      this.#port.close();
      void this.#worker.terminate();
    }
  }

  #ask(request: Request, transfer: ArrayBuffer[]): void {
    this.#asked++;
    this.#port.postMessage(request, transfer);
  }

  #wait(): void {
    Atomics.wait(this.#answered, 0, this.#received);
    this.#receive();
  }

  #receive(): void {
    for (;;) {
      const message = receiveMessageOnPort(this.#port);
      if (message === undefined) return;
      const answer = message.message as Answer;
      this.#received++;
      if (answer.buffer !== null && answer.table !== null) {
        this.#chunks--;
        const free = this.#free.get(answer.table) ?? [];
        free.push(answer.buffer);
        this.#free.set(answer.table, free);
      }
      this.#take(answer);
    }
  }
}
