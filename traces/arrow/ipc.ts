/**
 * Messages of the Arrow IPC streaming format (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
 * apache-arrow encodes and decodes their metadata; bodies are put together here, because its writer (21.2) puts the
 * compressed length before a compressed buffer where the format wants the uncompressed one, so that other readers
 * refuse the file, and because its reader decompresses every column, needed or not.
 */
import { Binary, type DataType, Field, Schema, Struct, Uint8, Uint16, Uint32, Utf8 } from 'apache-arrow';
import { CompressionType } from 'apache-arrow/fb/compression-type';
import { BodyCompression, BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message';
import { WIDTH } from '../column.js';
import { hasLanes } from '../form.js';
import { type Column, FORMAT_VERSION, TABLES, type TableName } from '../schema.js';
import { type BatchPlaces, getCount, getPair, locate, setCount, setPair } from './record-batch.js';

const CONTINUATION = 0xffff_ffff;
const PREFIX = 8;
const COMPRESSION = new BodyCompression(CompressionType.LZ4_FRAME);
/** Marks a buffer that is stored as it is. */
const STORED = -1n;

export const END_OF_STREAM = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);

function arrowType(column: Column): DataType {
  if (column.type === 'text') return new Utf8();
  if (column.type === 'bytes') return new Binary();
  if (!hasLanes(column.type))
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
    if (hasLanes(column.type))
      metadata.set('trapline.lanes', 'value = b0 + 256 b1 + 65536 b2 + ..., little-endian bytes');
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

interface Template {
  readonly message: Uint8Array;
  readonly places: BatchPlaces;
}
/** Metadata by shape: nodes * 2^16 + buffers. */
const templates = new Map<number, Template>();

function templateFor(nodes: number, buffers: number): Template {
  const shape = nodes * 0x1_0000 + buffers;
  let template = templates.get(shape);
  if (template === undefined) {
    const node = Array.from({ length: nodes }, () => new FieldNode(1, 0));
    const region = Array.from({ length: buffers }, () => new BufferRegion(0, 0));
    const message = framed(Message.encode(Message.from(new RecordBatch(1, node, region, COMPRESSION), 8)));
    template = { message, places: locate(new DataView(message.buffer, PREFIX)) };
    templates.set(shape, template);
  }
  return template;
}

/** A whole record batch message. */
export function batchMessage(rows: number, { nodes, buffers }: BatchParts): Uint8Array {
  const template = templateFor(nodes.length, buffers.length);
  const head = template.message.length;
  let length = 0;
  for (const { bytes } of buffers) length += bytes.length === 0 ? 0 : (PREFIX + bytes.length + 7) & ~7;
  const message = new Uint8Array(head + length);
  message.set(template.message);
  const metadata = new DataView(message.buffer, PREFIX, head - PREFIX);
  const body = new DataView(message.buffer, head);
  setCount(metadata, template.places.bodyLength, length);
  setCount(metadata, template.places.rows, rows);
  nodes.forEach((node, i) => {
    setPair(metadata, template.places.nodes, i, node.rows, node.nulls);
  });
  let offset = 0;
  buffers.forEach(({ bytes, unfolded }, i) => {
    const size = bytes.length === 0 ? 0 : PREFIX + bytes.length;
    setPair(metadata, template.places.buffers, i, offset, size);
    if (size === 0) return;
    if (unfolded === null) body.setBigInt64(offset, STORED, true);
    else setCount(body, offset, unfolded);
    message.set(bytes, head + offset + PREFIX);
    offset += (size + 7) & ~7;
  });
  return message;
}

export interface Batch {
  readonly rows: number;
  /** Null cells of field node i. */
  nulls(index: number): number;
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
  const metadata = new DataView(message.buffer, message.byteOffset + PREFIX, size);
  const places = locate(metadata);
  const body = message.subarray(PREFIX + size);
  return {
    rows: getCount(metadata, places.rows),
    nulls: (index) => getPair(metadata, places.nodes, places.nodeCount, index)[1],
    buffer: (index) => bodyBuffer(body, ...getPair(metadata, places.buffers, places.bufferCount, index)),
  };
}

function bodyBuffer(body: Uint8Array, offset: number, length: number): BodyBuffer {
  if (length === 0) return ABSENT;
  if (length < PREFIX || offset + length > body.length) throw new RangeError('a buffer is outside the message');
  const unfolded = new DataView(body.buffer, body.byteOffset + offset, PREFIX).getBigInt64(0, true);
  return {
    bytes: body.subarray(offset + PREFIX, offset + length),
    unfolded: unfolded === STORED ? null : Number(unfolded),
  };
}
