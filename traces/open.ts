/** Doors of the room: open a trace, create one, and copy one into the other. */
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { filesOf } from './arrow/manifest.js';
import { ArrowSource } from './arrow/source.js';
import { TraceError, traceError } from './errors.js';
import { StoreReader } from './reader.js';
import type { Store } from './sink.js';
import { MAGIC } from './sqlite/schema.js';
import { SqliteSource } from './sqlite/source.js';
import type { TraceReader, TraceWriter } from './store.js';
import { STORES } from './stores.js';
import { ThreadedSink } from './threaded.js';
import { StoreWriter } from './writer.js';

type Kind = TraceReader['kind'];

/** False where nothing is; unlike existsSync it throws where nobody may look. */
const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

/** Which store a path holds, by its content; null where it is no trace. Throws the system's errors. */
export function traceKind(path: string): Kind | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new TraceError('TRACE_NOT_FOUND', path);
  if (stat.isDirectory()) return filesOf(path).some((file) => isThere(file)) ? 'arrow' : null;
  if (!stat.isFile()) return null;
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(MAGIC.length);
    return readSync(file, head, 0, head.length, 0) === head.length && head.equals(MAGIC) ? 'sqlite' : null;
  } finally {
    closeSync(file);
  }
}

/**
 * Opens a trace for reading, whichever store it is in.
 * @throws TraceError where there is none, or where its facts cannot be read
 */
export function openTrace(path: string): TraceReader {
  try {
    const kind = traceKind(path);
    if (kind === null) throw new TraceError('TRACE_NOT_A_TRACE', path);
    const source = kind === 'sqlite' ? new SqliteSource(path) : new ArrowSource(path);
    try {
      return new StoreReader(source);
    } catch (error) {
      source.close();
      throw error;
    }
  } catch (error) {
    throw traceError(error, path, 'read');
  }
}

/** The store that a name's end asks for. */
function storeFor(path: string): Store {
  const name = basename(path);
  const store = Object.values(STORES).find((candidate) => name.endsWith(`.${candidate.name}`));
  if (store === undefined || name === `.${store.name}`) throw new TraceError('TRACE_NAME', path);
  return store;
}

export interface CreateOptions {
  readonly replace?: boolean;
  /** A thread of the store's own prepares and writes long tables; without it where there is more than one core. */
  readonly threads?: boolean;
}

/**
 * Begins a trace; the name's end (.sqlite or .arrow) says in which store. With `replace`, a trace that is there stays
 * until the new one is whole, which is written beside it as `.NAME.PID.new` and takes its place when it is finished: who
 * is killed before has both. Anything else that is there stays.
 * @throws TraceError TRACE_NAME, TRACE_EXISTS, TRACE_UNWRITABLE, TRACE_DISK_FULL
 */
export function createTrace(path: string, options: CreateOptions = {}): TraceWriter {
  const target = path.replace(/(?<=.)\/+$/, '');
  const store = storeFor(target);
  if (!existsSync(dirname(target))) throw new TraceError('TRACE_UNWRITABLE', path, null, 'its folder does not exist');
  const exists = existsSync(target);
  if (exists && !(options.replace === true && traceKind(target) !== null)) throw new TraceError('TRACE_EXISTS', path);
  const fresh = beside(target, 'new');
  try {
    store.begin(fresh);
    if (!exists) renameSync(fresh, target);
    const threads = options.threads ?? availableParallelism() > 1;
    const sink = new ThreadedSink(store, exists ? fresh : target, threads);
    return new StoreWriter(path, sink, exists ? () => replace(target, fresh, store) : () => {});
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // the name that was asked for, not the one that it has until it is there
    if (error instanceof Error) error.message = error.message.replaceAll(fresh, target);
    throw traceError(error, path, 'write');
  }
}

const beside = (target: string, word: string): string =>
  join(dirname(target), `.${basename(target)}.${process.pid}.${word}`);

/** Puts a trace that was written beside another in its place. That takes two steps, as of folders; both are there between them. */
function replace(target: string, fresh: string, store: Store): void {
  const old = beside(target, 'old');
  try {
    renameSync(target, old);
    // the journal of a recorder that was killed is none of the new trace
    store.remove(target);
    renameSync(fresh, target);
    rmSync(old, { recursive: true, force: true });
  } catch (error) {
    if (existsSync(old) && !existsSync(target)) renameSync(old, target);
    throw traceError(error, target, 'write');
  }
}
