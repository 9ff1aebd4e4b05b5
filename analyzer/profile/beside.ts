/**
 * The exit index of a trace, kept beside it so that the next profile does not read the trace again. It is no part of
 * the trace: no digest covers it, it may be removed at any time, and it is used only where the trace is still what it
 * was made from: the same rows by their tags, in files of the same size and time.
 */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TraceReader } from '../../traces/store.js';
import { type ExitIndex, ExitIndexBuilder } from './exit-index.js';
import { decodeIndex, encodeIndex } from './index-file.js';
import { COLUMNS } from './view.js';

/** Samples from which an index is kept: reading fewer takes no time that anyone would notice. */
export const WORTH_KEEPING = 100_000;

/** Where the index of a trace is: in the folder of an Arrow trace, behind the name of an SQLite file. */
export const indexPath = ({ kind, path }: Pick<TraceReader, 'kind' | 'path'>): string =>
  kind === 'arrow' ? join(path, 'exits.profile') : `${path}.profile`;

/** Runs what may fail for reasons of the operating system; null where it does. */
function tried<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
}

/** What an index has to be of, to be that of a trace. */
function identityOf(reader: TraceReader): string {
  const file = reader.kind === 'arrow' ? join(reader.path, 'event.arrow') : reader.path;
  const { size, mtimeNs } = statSync(file, { bigint: true });
  return `${reader.fingerprint('event')} ${size} ${mtimeNs}`;
}

export class IndexBeside {
  readonly #reader: TraceReader;
  readonly #least: number;
  readonly #path: string;
  /** Taken before anything is read, so that a trace that changes meanwhile is another one afterwards. */
  readonly #identity: string | null;

  /** `least` samples are worth keeping. */
  constructor(reader: TraceReader, least = WORTH_KEEPING) {
    this.#reader = reader;
    this.#least = least;
    this.#path = indexPath(reader);
    this.#identity = tried(() => identityOf(reader));
  }

  /** The index that is kept; null where there is none, or none that can be trusted. */
  read(): ExitIndex | null {
    const bytes = tried(() => readFileSync(this.#path));
    return bytes === null || this.#identity === null ? null : decodeIndex(bytes, this.#identity);
  }

  /** Keeps the index of a whole trace, where that is worth it and the place can be written. */
  keep(index: ExitIndex): void {
    const identity = this.#identity;
    if (!this.#reader.complete || index.times.values.length < this.#least || identity === null) return;
    const fresh = `${this.#path}.${process.pid}.new`;
    const kept = tried(() => {
      writeFileSync(fresh, encodeIndex(index, identity), { flag: 'wx' });
      renameSync(fresh, this.#path);
      return true;
    });
    if (kept === null) tried(() => rmSync(fresh, { force: true }));
  }
}

/**
 * The index of a trace: the one that is kept, else a new one, which is kept.
 * @throws TraceError where the trace is damaged
 */
export function indexOf(reader: TraceReader): ExitIndex {
  const beside = new IndexBeside(reader);
  const kept = beside.read();
  if (kept !== null) return kept;
  const builder = new ExitIndexBuilder();
  for (const chunk of reader.chunks('event', { columns: COLUMNS })) builder.take(chunk);
  const index = builder.finish();
  beside.keep(index);
  return index;
}
