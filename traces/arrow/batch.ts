/** Chunks as Arrow record batches, and back. */
import { ColumnVector, cellsOver, isVariable, type TableChunk, WIDTH } from '../column.js';
import { type Column, TABLES } from '../schema.js';
import { compress, compressConstant, decompress } from './codec.js';
import { ABSENT, type Batch, type BatchParts, type BodyBuffer, batchMessage, hasLanes, readBatch } from './ipc.js';
import { joinLanes, type Lane, splitLanes } from './lanes.js';
import { packValidity, unpackValidity, type Validity } from './validity.js';

const bytesOf = (view: Uint8Array | Uint16Array | Uint32Array): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

export function encodeBatch(chunk: TableChunk): Uint8Array {
  const parts: BatchParts = { nodes: [], buffers: [] };
  for (const column of TABLES[chunk.table].columns) addColumn(parts, column, chunk.column(column.name));
  return batchMessage(chunk.rows, parts);
}

const ALL_VALID: Validity = { nulls: 0, bits: null };

function addColumn({ nodes, buffers }: BatchParts, column: Column, vector: ColumnVector): void {
  const { rows, valid, numbers, offsets, data } = vector;
  const { nulls, bits } = valid === null ? ALL_VALID : packValidity(valid);
  nodes.push({ rows, nulls });
  buffers.push(bits !== null ? folded(bits) : nulls > 0 ? constant(0, (rows + 7) >>> 3) : ABSENT);
  if (offsets !== null && data !== null) {
    buffers.push(nulls === rows ? constant(0, offsets.byteLength) : folded(bytesOf(offsets)), folded(data));
  } else if (!hasLanes(column)) {
    if (numbers !== null) buffers.push(nulls === rows ? constant(0, numbers.byteLength) : folded(bytesOf(numbers)));
  } else if (numbers instanceof Uint32Array) {
    const lanes =
      nulls === rows ? noLanes(column) : splitLanes(numbers, cellWidth(column), bits === null ? null : valid);
    for (const lane of lanes) {
      nodes.push({ rows, nulls: 0 });
      buffers.push(ABSENT, typeof lane === 'number' ? constant(lane, rows) : folded(lane));
    }
  }
}

const cellWidth = (column: Column): 4 | 8 => (WIDTH[column.type] === 8 ? 8 : 4);
const noLanes = (column: Column): Lane[] => new Array<Lane>(WIDTH[column.type]).fill(0);

/** Compressed, or as it is where that is no longer. */
function folded(bytes: Uint8Array): BodyBuffer {
  if (bytes.length === 0) return ABSENT;
  const frame = compress(bytes);
  if (frame.length < bytes.length) return { bytes: frame, unfolded: bytes.length };
  return { bytes: bytes.slice(), unfolded: null };
}

const constant = (byte: number, length: number): BodyBuffer => ({
  bytes: compressConstant(byte, length),
  unfolded: length,
});

/** Field nodes and buffers that a column takes in a batch. */
const nodesOf = (column: Column): number => (hasLanes(column) ? 1 + WIDTH[column.type] : 1);
const buffersOf = (column: Column): number =>
  hasLanes(column) ? 1 + 2 * WIDTH[column.type] : isVariable(column.type) ? 3 : 2;

/**
 * Columns of a record batch message.
 * @throws RangeError where it does not hold `rows` rows of the table
 */
export function decodeBatch(
  message: Uint8Array,
  all: readonly Column[],
  wanted: readonly Column[],
  rows: number,
): ColumnVector[] {
  const batch = readBatch(message);
  if (batch.rows !== rows) throw new RangeError(`${batch.rows} rows where ${rows} were expected`);
  const vectors: ColumnVector[] = [];
  let node = 0;
  let buffer = 0;
  for (const column of all) {
    if (wanted.includes(column)) vectors.push(readColumn(batch, column, node, buffer));
    node += nodesOf(column);
    buffer += buffersOf(column);
  }
  return vectors;
}

function readColumn(batch: Batch, column: Column, node: number, buffer: number): ColumnVector {
  const { rows } = batch;
  const mixed = batch.nodes[node]?.nullCount !== 0;
  const valid = column.nullable ? readValidity(batch, mixed, buffer) : null;
  if (isVariable(column.type)) {
    const offsets = cellsFrom(column, unfold(batch.buffer(buffer + 1), 4 * (rows + 1)), rows);
    const length = offsets[rows] as number;
    return new ColumnVector(column, rows, offsets, valid, unfold(batch.buffer(buffer + 2), length));
  }
  const width = WIDTH[column.type];
  if (!hasLanes(column)) {
    const cells = unfold(batch.buffer(buffer + 1), width * rows);
    return new ColumnVector(column, rows, cellsFrom(column, cells, rows), valid, null);
  }
  const lanes = Array.from({ length: width }, (_, i) => unfoldLane(batch.buffer(buffer + 2 + 2 * i), rows));
  return new ColumnVector(column, rows, joinLanes(lanes, rows, mixed ? valid : null), valid, null);
}

function readValidity({ rows, buffer }: Batch, mixed: boolean, index: number): Uint8Array {
  if (!mixed) return new Uint8Array(rows).fill(1);
  return unpackValidity(unfold(buffer(index), (rows + 7) >>> 3), rows);
}

function unfold({ bytes, unfolded }: BodyBuffer, length: number): Uint8Array {
  const said = unfolded ?? bytes.length;
  if (said !== length) throw new RangeError(`${said} bytes where ${length} were expected`);
  return unfolded === null ? bytes : decompress(bytes, length);
}

/** A constant lane is recognised by its frame, so that it need not be unfolded. */
function unfoldLane(buffer: BodyBuffer, rows: number): Lane {
  if (buffer.unfolded === rows) {
    for (const byte of [0, 0xff]) if (Buffer.compare(compressConstant(byte, rows), buffer.bytes) === 0) return byte;
  }
  return unfold(buffer, rows);
}

/** Cells over bytes of any alignment. */
function cellsFrom(column: Column, bytes: Uint8Array, rows: number): Uint8Array | Uint16Array | Uint32Array {
  const { buffer, byteOffset } = bytes;
  if (byteOffset % 8 === 0 && buffer instanceof ArrayBuffer) return cellsOver(column.type, buffer, byteOffset, rows);
  return cellsOver(column.type, new Uint8Array(bytes).buffer, 0, rows);
}
