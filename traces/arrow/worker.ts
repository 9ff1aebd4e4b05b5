/** The thread that encodes and writes the chunks of an Arrow trace; see sink.ts. */
import { workerData } from 'node:worker_threads';
import { type ChunkBuffer, clearChunkBuffer, layoutOf } from '../column.js';
import { TraceError } from '../errors.js';
import { encodeSegment } from './encoder.js';
import type { Answer, Failure, Request, WorkerStart } from './sink.js';
import { Streams } from './streams.js';

const { folder, lengths, port, answered } = workerData as WorkerStart;
const count = new Int32Array(answered);
const streams = new Streams(folder, lengths);
const NOTHING: Answer = { table: null, ended: null, buffer: null, failure: null };

function serve(request: Request): Answer {
  if (request.kind === 'close') {
    streams.close(request.end);
    return NOTHING;
  }
  if (request.kind === 'encoded') {
    const { encoded } = request;
    streams.append(encoded);
    return { ...NOTHING, table: encoded.table, ended: encoded.ended };
  }
  const { segment } = request;
  const encoded = encodeSegment(segment);
  streams.append(encoded);
  clearChunkBuffer(layoutOf(segment.table), segment.buffer, segment.to);
  return { ...NOTHING, table: encoded.table, ended: encoded.ended, buffer: segment.buffer };
}

function failureOf(error: unknown): Failure {
  if (error instanceof TraceError) return { code: error.code, place: error.place, detail: error.detail };
  return { code: 'TRACE_UNWRITABLE', place: null, detail: error instanceof Error ? error.message : String(error) };
}

const buffersOf = ({ slab, arenas, touched }: ChunkBuffer): ArrayBuffer[] => [
  slab,
  touched.buffer as ArrayBuffer,
  ...arenas.flatMap((arena) => (arena === null ? [] : [arena.buffer as ArrayBuffer])),
];

port.on('message', (request: Request) => {
  let answer: Answer;
  try {
    answer = serve(request);
  } catch (error) {
    answer = { ...NOTHING, failure: failureOf(error) };
  }
  port.postMessage(answer, answer.buffer === null ? [] : buffersOf(answer.buffer));
  Atomics.add(count, 0, 1);
  Atomics.notify(count, 0);
  if (request.kind === 'close') port.close();
});
