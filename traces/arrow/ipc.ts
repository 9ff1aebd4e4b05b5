/**
 * Messages of the Arrow IPC streaming format (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
 * apache-arrow encodes and decodes their metadata; bodies are put together here, because its writer (21.2) puts the
 * compressed length before a compressed buffer where the format wants the uncompressed one, so that other readers
 * refuse the file, and because its reader decompresses every column, needed or not.
 */
import { Binary, type DataType, Field, Schema, Struct, Uint8, Uint16, Uint32, Utf8 } from 'apache-arrow';
import { CompressionType } from 'apache-arrow/fb/compression-type';
import { BodyCompression, BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message';
import { isVariable, WIDTH } from '../column.js';
import { type Column, FORMAT_VERSION, TABLES, type TableName } from '../schema.js';

const CONTINUATION = 0xffff_ffff;
const PREFIX = 8;
const COMPRESSION = new BodyCompression(CompressionType.LZ4_FRAME);
/** Marks a buffer that is stored as it is. */
const STORED = -1n;

export const END_OF_STREAM = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);

/** Integers of more than 16 bits are split into byte lanes. */
export const hasLanes = (column: Column): boolean => !isVariable(column.type) && WIDTH[column.type] > 2;

function arrowType(column: Column): DataType {
  if (column.type === 'text') return new Utf8();
  if (column.type === 'bytes') return new Binary();
  if (!hasLanes(column))
    return column.type === 'u8' ? new Uint8() : column.type === 'u16' ? new Uint16() : new Uint32();
  const lanes = Array.from({ length: WIDTH[column.type] }, (_, i) => new Field(`b${i}`, new Uint8(), false));
  return new Struct(lanes);
}

/** The schema message that begins the stream of a table. Field metadata says the logical type and the column's use. */
export function schemaMessage(table: TableName): Uint8Array {
  const fields = TABLES[table].columns.map((column) => {
    const metadata = new Map([
      ['trapline.type', column.type],
      ['trapline.says', column.says],
    ]);
    if (hasLanes(column)) metadata.set('trapline.lanes', 'value = b0 + 256 b1 + 65536 b2 + ..., little-endian bytes');
    return new Field(column.name, arrowType(column), column.nullable, metadata);
  });
  const metadata = new Map([
    ['trapline.format', String(FORMAT_VERSION)],
    ['trapline.table', table],
    ['trapline.says', TABLES[table].says],
  ]);
  return framed(Message.encode(Message.from(new Schema(fields, metadata))));
}

/** A message's metadata with its continuation mark and length, padded to 8 bytes. */
function framed(metadata: Uint8Array): Uint8Array {
  const padded = (metadata.length + 7) & ~7;
  const message = new Uint8Array(PREFIX + padded);
  const view = new DataView(message.buffer);
  view.setUint32(0, CONTINUATION, true);
  view.setUint32(4, padded, true);
  message.set(metadata, PREFIX);
  return message;
}

/** A buffer of a record batch: compressed bytes with the length they unfold to, stored bytes, or none at all. */
export interface BodyBuffer {
  readonly bytes: Uint8Array;
  readonly unfolded: number | null;
}
export const ABSENT: BodyBuffer = { bytes: new Uint8Array(0), unfolded: null };

/** One field node and its buffers, depth first as the format lists them. */
export interface BatchParts {
  readonly nodes: { readonly rows: number; readonly nulls: number }[];
  readonly buffers: BodyBuffer[];
}

/** A whole record batch message. */
export function batchMessage(rows: number, { nodes, buffers }: BatchParts): Uint8Array {
  let length = 0;
  const regions = buffers.map(({ bytes }) => {
    const offset = length;
    const size = bytes.length === 0 ? 0 : PREFIX + bytes.length;
    length = (length + size + 7) & ~7;
    return new BufferRegion(offset, size);
  });
  const fieldNodes = nodes.map((node) => new FieldNode(node.rows, node.nulls));
  const head = framed(Message.encode(Message.from(new RecordBatch(rows, fieldNodes, regions, COMPRESSION), length)));
  const message = new Uint8Array(head.length + length);
  message.set(head);
  const view = new DataView(message.buffer);
  buffers.forEach(({ bytes, unfolded }, i) => {
    const region = regions[i];
    if (region === undefined || bytes.length === 0) return;
    const at = head.length + region.offset;
    view.setBigInt64(at, unfolded === null ? STORED : BigInt(unfolded), true);
    message.set(bytes, at + PREFIX);
  });
  return message;
}

export interface Batch {
  readonly rows: number;
  readonly nodes: readonly { readonly length: number; readonly nullCount: number }[];
  /** Bytes of buffer i and what they unfold to (null: stored as they are). */
  buffer(index: number): BodyBuffer;
}

/**
 * A record batch message, as it lies in the file.
 * @throws RangeError where the bytes are no such message
 */
export function readBatch(message: Uint8Array): Batch {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const size = view.getUint32(4, true);
  if (view.getUint32(0, true) !== CONTINUATION || PREFIX + size > message.length) throw new RangeError('no message');
  const decoded = Message.decode(message.subarray(PREFIX, PREFIX + size));
  if (!decoded.isRecordBatch()) throw new RangeError('no record batch');
  const header = decoded.header();
  const body = message.subarray(PREFIX + size);
  return {
    rows: header.length,
    nodes: header.nodes,
    buffer: (index) => bodyBuffer(body, header.buffers[index]),
  };
}

function bodyBuffer(body: Uint8Array, region: BufferRegion | undefined): BodyBuffer {
  if (region === undefined) throw new RangeError('a buffer is missing');
  if (region.length === 0) return ABSENT;
  const end = region.offset + region.length;
  if (region.offset < 0 || region.length < PREFIX || end > body.length) throw new RangeError('a buffer is outside');
  const view = new DataView(body.buffer, body.byteOffset + region.offset, PREFIX);
  const unfolded = view.getBigInt64(0, true);
  return {
    bytes: body.subarray(region.offset + PREFIX, end),
    unfolded: unfolded === STORED ? null : Number(unfolded),
  };
}
