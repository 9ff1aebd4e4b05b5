/** Writes chunks as record batches, each followed by its line in the manifest. */
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import type { ChunkBuffer } from '../column.js';
import { TraceDigest } from '../digest.js';
import { traceError } from '../errors.js';
import { TABLE_NAMES, type TableName } from '../schema.js';
import { type Segment, type Sink, tagged } from '../sink.js';
import { encodeBatch } from './batch.js';
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

export class ArrowSink implements Sink {
  readonly #folder: string;
  readonly #digest = new TraceDigest();
  readonly #streams = new Map<TableName, GrowingFile>();
  readonly #manifest: GrowingFile;
  #failed = false;

  constructor(folder: string) {
    this.#folder = folder;
    for (const table of TABLE_NAMES) {
      this.#streams.set(table, new GrowingFile(streamPath(folder, table), schemaMessage(table).length));
    }
    this.#manifest = new GrowingFile(manifestPath(folder), firstLine().length);
  }

  append(segment: Segment): ChunkBuffer {
    const { chunk, tags } = tagged(segment, this.#digest);
    const stream = this.#streams.get(chunk.table);
    if (chunk.rows === 0 || stream === undefined) return segment.buffer;
    try {
      const message = encodeBatch(chunk);
      const offset = stream.length;
      stream.append(message);
      const { table, first, rows } = chunk;
      const line = chunkLine({ table, first, rows, offset, length: message.length, tags });
      this.#manifest.append(Buffer.from(line));
    } catch (error) {
      this.#failed = true;
      throw traceError(error, this.#folder, 'write', `table ${chunk.table}, row ${chunk.first}`);
    }
    return segment.buffer;
  }

  settle(): string {
    return this.#digest.hex();
  }

  close(): void {
    for (const stream of this.#streams.values()) {
      try {
        if (!this.#failed) stream.append(END_OF_STREAM);
      } finally {
        stream.close();
      }
    }
    this.#manifest.close();
  }

  remove(): void {
    this.#failed = true;
    this.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
