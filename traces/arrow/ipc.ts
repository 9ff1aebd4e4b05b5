/**
 * Messages of the Arrow IPC streaming format (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
 * The schema is apache-arrow's (schema-message.ts). Record batches are put together here, because its writer (21.2) puts
 * the compressed length before a compressed buffer where the format wants the uncompressed one, so that other readers
 * refuse the file, because its reader decompresses every column, needed or not, and because loading it takes a worker
 * longer than writing 100,000 rows.
 */
import { valueLength } from './description.js';
import { setString } from './flatbuffer.js';
import { Malformed } from './malformed.js';
import { type BatchPlaces, batchMetadata, getCount, getPair, locate, setCount, setPair } from './record-batch.js';

const CONTINUATION = 0xffff_ffff;
/** Bytes before the metadata of a message: the continuation mark and its length. */
export const PREFIX = 8;
/** Marks a buffer that is stored as it is. */
const STORED = -1n;

export const END_OF_STREAM = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);

/** A message's metadata with its continuation mark and length, padded to 8 bytes. */
export function framed(metadata: Uint8Array): Uint8Array {
  const padded = (metadata.length + 7) & ~7;
  const message = new Uint8Array(PREFIX + padded);
  setPrefix(message, padded);
  message.set(metadata, PREFIX);
  return message;
}

function setPrefix(message: Uint8Array, metadataLength: number): void {
  const view = new DataView(message.buffer);
  view.setUint32(0, CONTINUATION, true);
  view.setUint32(4, metadataLength, true);
}

/** Bytes of metadata that follow the prefix of a message; null where it is no such prefix, or ends the stream. */
export function metadataLength(prefix: Uint8Array): number | null {
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX);
  const length = view.getUint32(4, true);
  return view.getUint32(0, true) === CONTINUATION && length > 0 && length % 8 === 0 ? length : null;
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
  readonly metadata: Uint8Array;
  readonly places: BatchPlaces;
}
/** Metadata by shape: nodes * 2^16 + buffers. */
const templates = new Map<number, Template>();

function templateFor(nodes: number, buffers: number): Template {
  const shape = nodes * 0x1_0000 + buffers;
  let template = templates.get(shape);
  if (template === undefined) {
    const metadata = batchMetadata(nodes, buffers);
    template = { metadata, places: locate(new DataView(metadata.buffer)) };
    templates.set(shape, template);
  }
  return template;
}

/** A whole record batch message that carries a description. */
export function batchMessage(rows: number, { nodes, buffers }: BatchParts, description: string): Uint8Array {
  const { metadata: template, places } = templateFor(nodes.length, buffers.length);
  const described = Buffer.from(description);
  const head = PREFIX + template.length + valueLength(described);
  let length = 0;
  for (const { bytes } of buffers) length += bytes.length === 0 ? 0 : (PREFIX + bytes.length + 7) & ~7;
  const message = new Uint8Array(head + length);
  setPrefix(message, head - PREFIX);
  message.set(template, PREFIX);
  const metadata = new DataView(message.buffer, PREFIX, head - PREFIX);
  const body = new DataView(message.buffer, head);
  setString(metadata, template.length, described);
  setCount(metadata, places.bodyLength, length);
  setCount(metadata, places.rows, rows);
  nodes.forEach((node, i) => {
    setPair(metadata, places.nodes, i, node.rows, node.nulls);
  });
  let offset = 0;
  buffers.forEach(({ bytes, unfolded }, i) => {
    const size = bytes.length === 0 ? 0 : PREFIX + bytes.length;
    setPair(metadata, places.buffers, i, offset, size);
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
  if (view.getUint32(0, true) !== CONTINUATION || PREFIX + size > message.length) throw new Malformed('no message');
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
  if (length < PREFIX || offset + length > body.length) throw new Malformed('a buffer is outside the message');
  const unfolded = new DataView(body.buffer, body.byteOffset + offset, PREFIX).getBigInt64(0, true);
  return {
    bytes: body.subarray(offset + PREFIX, offset + length),
    unfolded: unfolded === STORED ? null : Number(unfolded),
  };
}
