/** Chunks as Arrow record batches, and back. */
import { ColumnVector, cellsOver, isVariable, type TableChunk, type ColumnVector as Vector, WIDTH } from '../column.js';
import type { Column } from '../schema.js';
import { TABLES } from '../schema.js';
import { compress, compressConstant, decompress } from './codec.js';
import { ABSENT, type Batch, type BatchParts, type BodyBuffer, batchMessage, hasLanes, readBatch } from './ipc.js';
import { joinLanes, type Lane, splitLanes } from './lanes.js';

const bytesOf = (view: Uint8Array | Uint16Array | Uint32Array): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

export function encodeBatch(chunk: TableChunk): Uint8Array {
  const parts: BatchParts = { nodes: [], buffers: [] };
  for (const column of TABLES[chunk.table].columns) addColumn(parts, column, chunk.column(column.name));
  return batchMessage(chunk.rows, parts);
}

function addColumn({ nodes, buffers }: BatchParts, column: Column, vector: Vector): void {
  const { rows } = vector;
  const validity = validityOf(vector);
  nodes.push({ rows, nulls: validity.nulls });
  buffers.push(validity.buffer);
  if (vector.offsets !== null && vector.data !== null) {
    buffers.push(folded(bytesOf(vector.offsets)), folded(vector.data));
  } else if (vector.numbers === null) return;
  else if (!hasLanes(column)) buffers.push(folded(bytesOf(vector.numbers)));
  else {
    const width = WIDTH[column.type];
    const lanes: Lane[] =
      validity.nulls === rows ? new Array(width).fill(0) : splitLanes(bytesOf(vector.numbers), width, rows);
    for (const lane of lanes) {
      nodes.push({ rows, nulls: 0 });
      buffers.push(ABSENT, typeof lane === 'number' ? constant(lane, rows) : folded(lane));
    }
  }
}

/** Compressed, or as it is where that is no longer. */
function folded(bytes: Uint8Array): BodyBuffer {
  if (bytes.length === 0) return ABSENT;
  const frame = compress(bytes);
  return frame.length < bytes.length ? { bytes: frame, unfolded: bytes.length } : { bytes, unfolded: null };
}

const constant = (byte: number, rows: number): BodyBuffer => ({ bytes: compressConstant(byte, rows), unfolded: rows });

/** Validity as Arrow has it, one bit a row; no buffer where every row has a value. */
function validityOf({ valid, rows }: Vector): { nulls: number; buffer: BodyBuffer } {
  if (valid === null) return { nulls: 0, buffer: ABSENT };
  const bits = new Uint8Array((rows + 7) >>> 3);
  let values = 0;
  for (let i = 0; i < rows; i++) {
    const bit = valid[i] as number;
    values += bit;
    bits[i >>> 3] = (bits[i >>> 3] as number) | (bit << (i & 7));
  }
  if (values === rows) return { nulls: 0, buffer: ABSENT };
  return { nulls: rows - values, buffer: values === 0 ? constant(0, bits.length) : folded(bits) };
}

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
): Vector[] {
  const batch = readBatch(message);
  if (batch.rows !== rows) throw new RangeError(`${batch.rows} rows where ${rows} were expected`);
  const vectors: Vector[] = [];
  let node = 0;
  let buffer = 0;
  for (const column of all) {
    if (wanted.includes(column)) vectors.push(readColumn(batch, column, node, buffer));
    node += nodesOf(column);
    buffer += buffersOf(column);
  }
  return vectors;
}

function readColumn(batch: Batch, column: Column, node: number, buffer: number): Vector {
  const { rows } = batch;
  const valid = column.nullable ? readValidity(batch, node, buffer) : null;
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
  return new ColumnVector(column, rows, cellsFrom(column, joinLanes(lanes, rows), rows), valid, null);
}

function readValidity(batch: Batch, node: number, buffer: number): Uint8Array {
  const { rows } = batch;
  const valid = new Uint8Array(rows);
  if (batch.nodes[node]?.nullCount === 0) return valid.fill(1);
  const bits = unfold(batch.buffer(buffer), (rows + 7) >>> 3);
  for (let i = 0; i < rows; i++) valid[i] = ((bits[i >>> 3] as number) >>> (i & 7)) & 1;
  return valid;
}

function unfold({ bytes, unfolded }: BodyBuffer, length: number): Uint8Array {
  if ((unfolded ?? bytes.length) !== length) throw new RangeError(`${unfolded} bytes where ${length} were expected`);
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
  const aligned = bytes.byteOffset % 8 === 0 && bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes);
  return cellsOver(column.type, aligned.buffer as ArrayBuffer, aligned.byteOffset, rows);
}
