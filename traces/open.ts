/** Doors of the room: open a trace, create one, and copy one into the other. */
import { closeSync, lstatSync, openSync, readlinkSync, readSync, realpathSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname } from 'node:path';
import { filesOf } from './arrow/manifest.js';
import { ArrowSource } from './arrow/source.js';
import { diskFullSays, TraceError, traceError } from './errors.js';
import { type Beside, beginAt, checkBeside, lyingBeside, type Place } from './place.js';
import { StoreReader } from './reader.js';
import type { Store } from './sink.js';
import { isWrittenHere } from './sqlite/lock.js';
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
  if (isWrittenHere(path)) return 'sqlite';
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

/** The name with its links followed: what replaces a trace replaces the trace, and not a link to it. */
function targetOf(path: string): string {
  const name = path.replace(/(?<=.)\/+$/, '');
  const stat = lstatSync(name, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink() !== true) return name;
  if (isThere(name)) return realpathSync(name);
  throw new TraceError('TRACE_UNWRITABLE', path, null, `it is a link to ${readlinkSync(name)}, and nothing is there`);
}

/** The store of the trace that is to be replaced; null where nothing is. */
function replaceable(path: string, target: string, store: Store, replace: boolean): Store['name'] | null {
  if (isThere(target)) {
    const kind = replace ? traceKind(target) : null;
    if (kind === null) throw new TraceError('TRACE_EXISTS', path);
    const refusal = STORES[kind].refusal(target);
    if (refusal !== null) throw new TraceError('TRACE_EXISTS', path, null, refusal);
    if (STORES[kind].isWritten(target)) throw new TraceError('TRACE_BUSY', path);
    return kind;
  }
  const beside = store.beside.map((suffix) => `${target}${suffix}`).find(isThere);
  if (beside === undefined) return null;
  throw new TraceError('TRACE_EXISTS', beside, null, 'SQLite would take it for changes of the new trace');
}

/** Where a trace is to come, and what of: nothing is made yet. */
interface Plan {
  readonly target: string;
  readonly store: Store;
  /** The store of the trace that it replaces. */
  readonly old: Store['name'] | null;
}

function planned(path: string, { replace = false }: CreateOptions): Plan {
  const target = targetOf(path);
  const store = storeFor(path.replace(/\/+$/, ''));
  if (!isThere(dirname(target))) throw new TraceError('TRACE_UNWRITABLE', path, null, 'its folder does not exist');
  return { target, store, old: replaceable(path, target, store, replace) };
}

/**
 * Makes sure that a trace could begin now, for who has much to read before it does.
 * @throws TraceError as createTrace
 */
export function checkPlace(path: string, options: CreateOptions = {}): void {
  try {
    checkBeside(planned(path, options).target);
  } catch (error) {
    throw diskFullSays(traceError(error, path, 'write'), 'nothing is kept');
  }
}

/**
 * Begins a trace; the name's end (.sqlite or .arrow) says in which store. With `replace`, a trace that is there stays
 * until the new one is whole (place.ts): who is killed before has both. Anything else that is there stays.
 * @throws TraceError TRACE_NAME, TRACE_EXISTS, TRACE_BUSY, TRACE_UNWRITABLE, TRACE_DISK_FULL
 */
export function createTrace(path: string, options: CreateOptions = {}): TraceWriter {
  let place: Place | null = null;
  try {
    const { target, store, old } = planned(path, options);
    place = beginAt(path, target, store, old);
    const threads = options.threads ?? availableParallelism() > 1;
    return new StoreWriter(place, new ThreadedSink(store, place.written, threads));
  } catch (error) {
    place?.remove();
    throw diskFullSays(traceError(error, path, 'write'), 'nothing is kept');
  }
}

/** What commands that were to replace the trace at a path left beside it, or still work on. */
export function leftBeside(path: string): Beside {
  return lyingBeside(targetOf(path));
}
