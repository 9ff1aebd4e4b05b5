/** The files of an Arrow trace that is being written: record batches, each followed by its line in the manifest. */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { traceError } from '../errors.js';
import { prepareSegment } from '../prepare.js';
import { TABLE_NAMES, type TableName } from '../schema.js';
import type { Backend, Prepared, Segment } from '../sink.js';
import { encodeBatch } from './batch.js';
import { END_OF_STREAM } from './ipc.js';
import { chunkLine, manifestPath, streamPath } from './manifest.js';

/** A file that only grows; a write that fails leaves it as it was. */
class GrowingFile {
  readonly #file: number;
  #length: number;

  constructor(path: string) {
    this.#file = openSync(path, 'r+');
    this.#length = fstatSync(this.#file).size;
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

class ArrowBackend implements Backend {
  readonly #folder: string;
  readonly #streams: ReadonlyMap<TableName, GrowingFile>;
  readonly #manifest: GrowingFile;
  #failed = false;

  constructor(folder: string) {
    this.#folder = folder;
    this.#streams = new Map(TABLE_NAMES.map((table) => [table, new GrowingFile(streamPath(folder, table))]));
    this.#manifest = new GrowingFile(manifestPath(folder));
  }

  prepare(segment: Segment): Prepared {
    return prepareSegment(segment, encodeBatch);
  }

  write({ table, first, rows, message, tags }: Prepared): void {
    const stream = this.#streams.get(table);
    if (message === null || stream === undefined || this.#failed) return;
    try {
      const offset = stream.length;
      stream.append(message);
      this.#manifest.append(Buffer.from(chunkLine({ table, first, rows, offset, length: message.length, tags })));
    } catch (error) {
      this.#failed = true;
      throw traceError(error, this.#folder, 'write', `table ${table}, row ${first}`);
    }
  }

  close(end: boolean): void {
    for (const stream of this.#streams.values()) {
      try {
        if (end && !this.#failed) stream.append(END_OF_STREAM);
      } finally {
        stream.close();
      }
    }
    this.#manifest.close();
  }
}

export const appendArrow = (folder: string): Backend => new ArrowBackend(folder);
