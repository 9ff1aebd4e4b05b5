/** What the caller's thread and the worker of a store say to each other; see threaded.ts. */
import type { MessagePort } from 'node:worker_threads';
import type { ChunkBuffer } from './column.js';
import type { TraceError } from './errors.js';
import type { TableName } from './schema.js';
import type { Prepared, Segment, Store } from './sink.js';

/** What the caller asks of the worker; each is answered once, in order. */
export type Request =
  | { readonly kind: 'segment'; readonly segment: Segment; readonly give: boolean }
  | { readonly kind: 'prepared'; readonly prepared: Prepared }
  | { readonly kind: 'close'; readonly end: boolean };

export type Failure = Pick<TraceError, 'code' | 'place' | 'detail'>;

export interface Answer {
  readonly table: TableName | null;
  readonly ended: Prepared['ended'];
  /** The buffer of a segment that was given, to be used again. */
  readonly buffer: ChunkBuffer | null;
  readonly failure: Failure | null;
}

export interface WorkerStart {
  readonly store: Store['name'];
  readonly path: string;
  readonly port: MessagePort;
  /** Carries no messages: it is closed when the worker ends. */
  readonly life: MessagePort;
  /** Words of 32 bits, in the order of SHARED. */
  readonly shared: SharedArrayBuffer;
}

/** What the thread that watches a worker is given: the other end of its `life`. */
export type Watch = Pick<WorkerStart, 'life' | 'shared'>;

/** Words that all threads see: how many answers there are, to wait for, and whether the worker can be asked, or has ended. */
export const SHARED = { answered: 0, ready: 1, ended: 2 } as const;
