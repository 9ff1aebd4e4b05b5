/**
 * Whether the files of an Arrow trace are as they were written also where no digest of rows covers them. Our reader goes
 * by the manifest and takes of a stream what it needs; other readers of Arrow go by schemas, metadata and marks of ends.
 * All of that follows from the rows and the bytes of their buffers, so it is made again and held against the file.
 */
import { isVariable, WIDTH } from '../column.js';
import { hasLanes } from '../form.js';
import type { Column } from '../schema.js';
import type { StoredChunk } from '../sink.js';
import { unfold } from './batch.js';
import { compressConstant, isFrame } from './codec.js';
import { readBytes } from './files.js';
import { ABSENT, type Batch, type BatchParts, type BodyBuffer, batchMessage, END_OF_STREAM, readBatch } from './ipc.js';
import { Malformed } from './malformed.js';
import { description } from './manifest.js';
import type { Stream } from './stream.js';

/** The last version whose record batches are apache-arrow's and do not describe their chunks. */
const LAST_UNDESCRIBED = 2;

/** What a stream is to hold. */
export interface Expected {
  readonly columns: readonly Column[];
  readonly chunks: readonly StoredChunk[];
  /** Of the format. */
  readonly version: number;
  /** Whether the recorder came to the end. */
  readonly complete: boolean;
}

/** What of a stream is not as it was written, in words: of its record batches, the first. */
export function flawsOf(stream: Stream, { columns, chunks, version, complete }: Expected): string[] {
  const schema = stream.schemaFlaw(columns, version);
  const described = version > LAST_UNDESCRIBED ? chunks : [];
  const batch = described.find((chunk) => !isAsWritten(stream, chunk, columns));
  return [
    ...(schema === null ? [] : [schema]),
    ...(batch === undefined ? [] : [`what describes its record batch at offset ${batch.offset} is damaged`]),
    ...(complete && !isEnded(stream, chunks) ? ['its mark of the end is damaged or missing'] : []),
  ];
}

function isEnded({ file, start }: Stream, chunks: readonly StoredChunk[]): boolean {
  const last = chunks.at(-1);
  const end = last === undefined ? start : last.offset + last.length;
  if (file.size - end !== END_OF_STREAM.length) return false;
  return Buffer.compare(readBytes(file, end, END_OF_STREAM.length), END_OF_STREAM) === 0;
}

function isAsWritten({ file }: Stream, chunk: StoredChunk, columns: readonly Column[]): boolean {
  const message = readBytes(file, chunk.offset, chunk.length);
  try {
    const batch = readBatch(message);
    const parts = partsOf(batch, columns, chunk);
    if (!parts.buffers.every(({ bytes, unfolded }) => unfolded === null || isFrame(bytes, unfolded))) return false;
    const { table, first, rows, tags } = chunk;
    return Buffer.compare(batchMessage(rows, parts, description(table, first, rows, tags)), message) === 0;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * Nodes and buffers of a batch, those that a column of its type has.
 * @throws RangeError where it has too many nulls, or a column without a tag, which no reader of ours reads, is not empty
 */
function partsOf(batch: Batch, columns: readonly Column[], { rows, tags }: StoredChunk): BatchParts {
  const parts: BatchParts = { nodes: [], buffers: [] };
  for (const column of columns) {
    const nulls = batch.nulls(parts.nodes.length);
    if (nulls > rows) throw new Malformed(`${nulls} nulls of ${rows} rows`);
    const first = parts.buffers.length;
    const lengths = lengthsOf(column, rows);
    // lanes are nodes of their own, without validity
    const step = hasLanes(column.type) ? 2 : 1;
    const bits = nulls === 0 ? ABSENT : batch.buffer(first);
    const stored = lengths.map((_, i) => batch.buffer(first + step * (i + 1)));
    if (!tags.has(column.name)) {
      const empty =
        nulls === rows && isZero(bits, (rows + 7) >>> 3) && stored.every((each, i) => isZero(each, lengths[i]));
      if (!empty) throw new Malformed(`column ${column.name} has no tag and is not empty`);
    }
    parts.nodes.push({ rows, nulls });
    parts.buffers.push(bits);
    for (const buffer of stored) {
      if (step === 2) {
        parts.nodes.push({ rows, nulls: 0 });
        parts.buffers.push(ABSENT);
      }
      parts.buffers.push(buffer);
    }
  }
  return parts;
}

/** Bytes of the buffers of a column behind its validity, where all rows are null. */
function lengthsOf({ type }: Column, rows: number): number[] {
  const width = WIDTH[type];
  if (hasLanes(type)) return Array.from({ length: width }, () => rows);
  return isVariable(type) ? [width * (rows + 1), 0] : [width * rows];
}

function isZero(buffer: BodyBuffer, length = 0): boolean {
  const { bytes, unfolded } = buffer;
  // as nearly all are, unless another version of the codec made them
  if (unfolded === length && Buffer.compare(bytes, compressConstant(0, length)) === 0) return true;
  return unfold(buffer, length).every((byte) => byte === 0);
}
