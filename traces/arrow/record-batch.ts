/**
 * Where the numbers of a record batch lie in its metadata: a flatbuffer (flatbuffer.ts) whose shape is the same for all
 * batches of a table, so that writing one is copying another and setting its numbers and its description.
 */
import { BEFORE_VALUE, beginDescription, descriptionAt } from './description.js';
import { field, follow, point, setVtable } from './flatbuffer.js';
import { Malformed } from './malformed.js';

/** Offsets of what a batch's metadata is made of; vectors are preceded by their count, and aligned to 8 bytes. */
const LAID = { message: 24, batch: 64, compression: 92, nodes: 104 } as const;
const METADATA_V5 = 4;

/**
 * Metadata of a record batch of LZ4 frames with so many nodes and buffers, all its numbers 0: flatbuffers internals. The
 * value of its description is to follow.
 */
export function batchMetadata(nodes: number, buffers: number): Uint8Array {
  const buffersAt = LAID.nodes + PAIR * nodes + 8;
  const described = buffersAt + PAIR * buffers;
  const view = new DataView(new ArrayBuffer(described + BEFORE_VALUE));
  point(view, 0, LAID.message);
  setVtable(view, 4, 14, 24, 4, 6, 16, 8, 20); // version, type of header, header, length of body, custom metadata
  view.setInt32(LAID.message, LAID.message - 4, true);
  view.setInt16(LAID.message + 4, METADATA_V5, true);
  view.setUint8(LAID.message + 6, RECORD_BATCH);
  point(view, LAID.message + 16, LAID.batch);
  point(view, LAID.message + 20, described);
  setVtable(view, LAID.batch - 12, 12, 24, 8, 4, 16, 20); // length, nodes, buffers, compression
  view.setInt32(LAID.batch, 12, true);
  point(view, LAID.batch + 4, LAID.nodes - 4);
  point(view, LAID.batch + 16, buffersAt - 4);
  point(view, LAID.batch + 20, LAID.compression);
  setVtable(view, LAID.compression - 4, 4, 4); // codec LZ4_FRAME and method BUFFER are what a field has that is not there
  view.setInt32(LAID.compression, 4, true);
  view.setUint32(LAID.nodes - 4, nodes, true);
  view.setUint32(buffersAt - 4, buffers, true);
  beginDescription(view, described);
  return new Uint8Array(view.buffer);
}

/** Fields of Message and RecordBatch: Arrow's Message.fbs. */
const MESSAGE = { headerType: 1, header: 2, bodyLength: 3, custom: 4 } as const;
const BATCH = { length: 0, nodes: 1, buffers: 2 } as const;
const RECORD_BATCH = 3;
/** A field node (rows, nulls) and a buffer (offset, length) are two 64-bit numbers. */
const PAIR = 16;

/** Byte offsets in the metadata. */
export interface BatchPlaces {
  readonly bodyLength: number;
  readonly rows: number;
  readonly nodes: number;
  readonly nodeCount: number;
  readonly buffers: number;
  readonly bufferCount: number;
}

/** @throws RangeError where the bytes are no metadata of a record batch */
export function locate(metadata: DataView): BatchPlaces {
  const needed = (table: number, id: number): number => {
    const at = field(metadata, table, id);
    if (at === null) throw new Malformed('a field of the metadata is missing');
    return at;
  };
  const message = follow(metadata, 0);
  if (metadata.getUint8(needed(message, MESSAGE.headerType)) !== RECORD_BATCH) throw new Malformed('no record batch');
  const batch = follow(metadata, needed(message, MESSAGE.header));
  const pairs = (id: number): { at: number; count: number } => {
    const at = follow(metadata, needed(batch, id));
    const count = metadata.getUint32(at, true);
    if (at + 4 + count * PAIR > metadata.byteLength) throw new Malformed('the metadata ends early');
    return { at: at + 4, count };
  };
  const nodes = pairs(BATCH.nodes);
  const buffers = pairs(BATCH.buffers);
  return {
    bodyLength: needed(message, MESSAGE.bodyLength),
    rows: needed(batch, BATCH.length),
    nodes: nodes.at,
    nodeCount: nodes.count,
    buffers: buffers.at,
    bufferCount: buffers.count,
  };
}

/**
 * The description that a batch carries, or null.
 * @throws RangeError where the bytes are no metadata
 */
export function descriptionIn(metadata: DataView): string | null {
  const custom = field(metadata, follow(metadata, 0), MESSAGE.custom);
  return custom === null ? null : descriptionAt(metadata, follow(metadata, custom));
}

const HALF = 0x1_0000_0000;

/** 64-bit numbers below 2^53. */
export function setCount(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / HALF), true);
}
export const getCount = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint32(at + 4, true) * HALF;

export function setPair(view: DataView, start: number, index: number, first: number, second: number): void {
  setCount(view, start + PAIR * index, first);
  setCount(view, start + PAIR * index + 8, second);
}

/** @throws RangeError where there is no such pair */
export function getPair(view: DataView, start: number, count: number, index: number): [number, number] {
  if (index >= count) throw new Malformed('the record batch lacks a column');
  return [getCount(view, start + PAIR * index), getCount(view, start + PAIR * index + 8)];
}
