/**
 * Chunks as Arrow record batches, and back. Lanes (traces/lanes.ts) lie in a struct of uint8 columns b0, b1, ...; other
 * columns are what Arrow has for them.
 */
import { ColumnVector, cellsOver, isVariable, type TableChunk, WIDTH } from '../column.js';
import { formTag, type Tags } from '../digest.js';
import { type ColumnForm, constantOr, formOf, hasLanes } from '../form.js';
import { joinLanes, type Lane, laneRoom } from '../lanes.js';
import type { TaggedColumn } from '../reader.js';
import { type Column, TABLES } from '../schema.js';
import { unpackValidity } from '../validity.js';
import { compress, compressConstant, decompress, Workspace } from './codec.js';
import { ABSENT, type Batch, type BatchParts, type BodyBuffer, batchMessage, readBatch } from './ipc.js';
import { Malformed } from './malformed.js';
import { description } from './manifest.js';

/** Where the buffers of a record batch are made ready. */
const workspace = new Workspace();

/** The record batch of a chunk, and the tags of its columns. */
export function encodeBatch(chunk: TableChunk): { message: Uint8Array; tags: Tags } {
  const parts: BatchParts = { nodes: [], buffers: [] };
  const tags = new Map<string, string>();
  workspace.clear();
  for (const column of TABLES[chunk.table].columns) {
    const form = formOf(chunk.column(column.name));
    const tag = formTag(form);
    if (tag !== null) tags.set(column.name, tag);
    addColumn(parts, column, form);
  }
  return { message: batchMessage(chunk.rows, parts, description(chunk.table, chunk.first, chunk.rows, tags)), tags };
}

function addColumn({ nodes, buffers }: BatchParts, { type }: Column, { rows, nulls, bits, parts }: ColumnForm): void {
  nodes.push({ rows, nulls });
  buffers.push(bits !== null ? folded(bits) : nulls > 0 ? constant(0, (rows + 7) >>> 3) : ABSENT);
  const width = WIDTH[type];
  if (isVariable(type)) {
    const [offsets = 0, data = new Uint8Array(0)] = parts;
    buffers.push(stored(offsets, width * (rows + 1)), stored(data, 0));
  } else if (!hasLanes(type)) buffers.push(stored(parts[0] ?? 0, width * rows));
  else {
    for (let i = 0; i < width; i++) {
      nodes.push({ rows, nulls: 0 });
      buffers.push(ABSENT, stored(parts[i] ?? 0, rows));
    }
  }
}

const stored = (part: Lane, length: number): BodyBuffer =>
  typeof part === 'number' ? constant(part, length) : folded(part);

/** Compressed, or as it is where that is no longer. */
function folded(bytes: Uint8Array): BodyBuffer {
  if (bytes.length === 0) return ABSENT;
  const frame = compress(bytes, workspace);
  if (frame.length < bytes.length) return { bytes: frame, unfolded: bytes.length };
  return { bytes: workspace.copy(bytes), unfolded: null };
}

const constant = (byte: number, length: number): BodyBuffer => ({
  bytes: compressConstant(byte, length),
  unfolded: length,
});

/** Field nodes and buffers that a column takes in a batch. */
const nodesOf = ({ type }: Column): number => (hasLanes(type) ? 1 + WIDTH[type] : 1);
const buffersOf = ({ type }: Column): number => (hasLanes(type) ? 1 + 2 * WIDTH[type] : isVariable(type) ? 3 : 2);

/**
 * Columns of a record batch message.
 * @throws RangeError where it does not hold `rows` rows of the table
 */
export function decodeBatch(
  message: Uint8Array,
  all: readonly Column[],
  wanted: readonly Column[],
  rows: number,
): TaggedColumn[] {
  const batch = readBatch(message);
  if (batch.rows !== rows) throw new Malformed(`${batch.rows} rows where ${rows} were expected`);
  const columns: TaggedColumn[] = [];
  let node = 0;
  let buffer = 0;
  for (const column of all) {
    if (wanted.includes(column)) columns.push(readColumn(batch, column, node, buffer));
    node += nodesOf(column);
    buffer += buffersOf(column);
  }
  return columns;
}

function readColumn(batch: Batch, column: Column, node: number, buffer: number): TaggedColumn {
  const { rows } = batch;
  const nulls = batch.nulls(node);
  const bits = nulls === 0 ? null : unfold(batch.buffer(buffer), (rows + 7) >>> 3);
  const parts = readParts(batch, column, buffer + 1);
  const tag = formTag({ rows, nulls, bits, parts });
  const valid = !column.nullable ? null : bits === null ? new Uint8Array(rows).fill(1) : unpackValidity(bits, rows);
  return { vector: vectorOf(column, rows, parts, bits === null ? null : valid, valid), tag };
}

function readParts(batch: Batch, { type }: Column, buffer: number): Lane[] {
  const { rows } = batch;
  const width = WIDTH[type];
  if (hasLanes(type))
    return Array.from({ length: width }, (_, i) => unfoldLane(batch.buffer(buffer + 1 + 2 * i), i, rows));
  if (!isVariable(type)) return [constantOr(unfold(batch.buffer(buffer), width * rows), type)];
  const offsets = aligned(unfold(batch.buffer(buffer), width * (rows + 1)));
  const length = new Uint32Array(offsets.buffer, offsets.byteOffset, rows + 1)[rows] as number;
  return [offsets, unfold(batch.buffer(buffer + 1), length)];
}

/** `mixed` has the validity bytes where some rows are null. */
function vectorOf(
  column: Column,
  rows: number,
  parts: readonly Lane[],
  mixed: Uint8Array | null,
  valid: Uint8Array | null,
): ColumnVector {
  if (hasLanes(column.type)) return new ColumnVector(column, rows, joinLanes(parts, rows, mixed), valid, null);
  const [first = 0, data = null] = parts;
  const bytes = typeof first === 'number' ? new Uint8Array(rows).fill(first) : aligned(first);
  const cells = cellsOver(column.type, bytes.buffer, bytes.byteOffset, rows);
  return new ColumnVector(column, rows, cells, valid, data instanceof Uint8Array ? data : null);
}

/** A frame of nothing is longer than nothing; beyond that only what became shorter was compressed. */
const SHORTEST = 64;

/**
 * What a buffer holds.
 * @throws RangeError where that are not `length` bytes, or it is damaged
 */
export function unfold(
  { bytes, unfolded }: BodyBuffer,
  length: number,
  room?: (length: number) => Uint8Array,
): Uint8Array {
  const said = unfolded ?? bytes.length;
  if (said !== length) throw new Malformed(`${said} bytes where ${length} were expected`);
  if (bytes.length > Math.max(length, SHORTEST)) throw new Malformed('a frame is longer than what it holds');
  return unfolded === null ? bytes : decompress(bytes, length, room);
}

/** Where the first literal byte of a frame lies: after frame header, block length and token. */
const FIRST_LITERAL = 12;

/** A constant lane is recognised by its frame, so that it need not be unfolded; others are good until lanes are next. */
function unfoldLane(buffer: BodyBuffer, lane: number, rows: number): Lane {
  const guess = buffer.bytes[FIRST_LITERAL];
  if (guess !== undefined && buffer.unfolded === rows) {
    if (Buffer.compare(compressConstant(guess, rows), buffer.bytes) === 0) return guess;
  }
  return constantOr(
    unfold(buffer, rows, (length) => laneRoom(lane, length)),
    'u8',
  );
}

/** The same bytes at an offset that cells of any width can lie at. */
function aligned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset } = bytes;
  if (byteOffset % 8 === 0 && buffer instanceof ArrayBuffer) return new Uint8Array(buffer, byteOffset, bytes.length);
  return new Uint8Array(bytes);
}
