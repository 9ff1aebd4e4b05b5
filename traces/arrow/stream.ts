/** Messages of a stream as they lie in its file, found without the manifest. */
import type { Column, TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';
import { readBytes, type TraceFile } from './files.js';
import { metadataLength, PREFIX } from './ipc.js';
import { chunkOf } from './manifest.js';
import { descriptionIn, getCount, locate } from './record-batch.js';
import { formatOf, isSchemaOf } from './schema-message.js';

/** Metadata of a batch is a few kB; a stream that claims more was made to deceive. */
const MOST_METADATA = 1 << 20;

export class Stream {
  readonly file: TraceFile;
  readonly #table: TableName;
  readonly #schema: Uint8Array | null;

  constructor(file: TraceFile, table: TableName) {
    this.file = file;
    this.#table = table;
    this.#schema = this.#metadataAt(0);
  }

  /** Where the first record batch lies: after the schema, or at 0 where that is damaged. */
  get start(): number {
    return this.#schema === null ? 0 : PREFIX + this.#schema.length;
  }

  /** The format version that the schema says, or null. */
  version(): number | null {
    return this.#schema === null ? null : formatOf(this.#schema);
  }

  /** What is wrong with its schema, which is to be that of these columns; null where nothing is. */
  schemaFlaw(columns: readonly Column[], version: number): string | null {
    if (this.#schema === null) return 'its schema is damaged or cut';
    return isSchemaOf(this.#schema, { table: this.#table, columns, version }) ? null : 'its schema is damaged';
  }

  /** The chunk whose record batch lies at an offset, as it describes itself; it may end behind the file. */
  describedAt(offset: number): StoredChunk | null {
    const metadata = this.#metadataAt(offset);
    if (metadata === null) return null;
    const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength);
    try {
      const description = descriptionIn(view);
      const length = PREFIX + metadata.length + getCount(view, locate(view).bodyLength);
      const chunk = description === null ? null : chunkOf(description, { offset, length });
      return chunk?.table === this.#table ? chunk : null;
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  }

  #metadataAt(offset: number): Uint8Array | null {
    if (offset + PREFIX > this.file.size) return null;
    const length = metadataLength(readBytes(this.file, offset, PREFIX));
    if (length === null || length > MOST_METADATA || offset + PREFIX + length > this.file.size) return null;
    return readBytes(this.file, offset + PREFIX, length);
  }
}
