/** The files of an Arrow trace that is being written: record batches, each followed by its line in the manifest. */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { traceError } from '../errors.js';
import { TABLE_NAMES, type TableName } from '../schema.js';
import type { Encoded } from './encoder.js';
import { END_OF_STREAM, schemaMessage } from './ipc.js';
import { chunkLine, firstLine, manifestPath, streamPath } from './manifest.js';

/** Begins an empty trace: every table has its stream with its schema. */
export function beginArrow(folder: string): void {
  mkdirSync(folder);
  for (const table of TABLE_NAMES) writeFileSync(streamPath(folder, table), schemaMessage(table), { flag: 'wx' });
  writeFileSync(manifestPath(folder), firstLine(), { flag: 'wx' });
}

/** A file that only grows; a write that fails leaves it as it was. */
class GrowingFile {
  readonly #file: number;
  #length: number;

  constructor(path: string, length: number) {
    this.#file = openSync(path, 'r+');
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  append(bytes: Uint8Array): void {
    let written = 0;
    try {
      while (written < bytes.length) {
        written += writeSync(this.#file, bytes, written, bytes.length - written, this.#length + written);
      }
    } catch (error) {
      ftruncateSync(this.#file, this.#length);
      throw error;
    }
    this.#length += bytes.length;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Lengths of the files, to go on where another thread left off. */
export interface StreamLengths {
  readonly manifest: number;
  readonly tables: ReadonlyMap<TableName, number>;
}

export const freshLengths = (): StreamLengths => ({
  manifest: firstLine().length,
  tables: new Map(TABLE_NAMES.map((table) => [table, schemaMessage(table).length])),
});

export class Streams {
  readonly #folder: string;
  readonly #tables = new Map<TableName, GrowingFile>();
  readonly #manifest: GrowingFile;
  #failed = false;

  constructor(folder: string, lengths: StreamLengths) {
    this.#folder = folder;
    for (const [table, length] of lengths.tables) {
      this.#tables.set(table, new GrowingFile(streamPath(folder, table), length));
    }
    this.#manifest = new GrowingFile(manifestPath(folder), lengths.manifest);
  }

  get lengths(): StreamLengths {
    const tables = new Map([...this.#tables].map(([table, { length }]) => [table, length]));
    return { manifest: this.#manifest.length, tables };
  }

  /** @throws TraceError where the files cannot grow; nothing is written after that */
  append({ table, first, rows, message, tags }: Encoded): void {
    const stream = this.#tables.get(table);
    if (rows === 0 || stream === undefined || this.#failed) return;
    try {
      const offset = stream.length;
      stream.append(message);
      this.#manifest.append(Buffer.from(chunkLine({ table, first, rows, offset, length: message.length, tags })));
    } catch (error) {
      this.#failed = true;
      throw traceError(error, this.#folder, 'write', `table ${table}, row ${first}`);
    }
  }

  /** Closes the files; with `end` as streams that are whole. */
  close(end: boolean): void {
    for (const stream of this.#tables.values()) {
      try {
        if (end && !this.#failed) stream.append(END_OF_STREAM);
      } finally {
        stream.close();
      }
    }
    this.#manifest.close();
  }
}
