/**
 * Where the numbers of a record batch lie in its metadata. The metadata is a flatbuffer (https://flatbuffers.dev/
 * internals: a table begins with the distance to its vtable, whose entry i + 2 is the offset of field i) whose shape
 * is the same for all batches of a table, so that writing one is copying another and setting its numbers.
 */

/** Offsets of what a batch's metadata is made of; vectors are preceded by their count, and aligned to 8 bytes. */
const LAID = { message: 16, batch: 48, compression: 76, nodes: 88 } as const;
const METADATA_V5 = 4;

/** Metadata of a record batch of LZ4 frames with so many nodes and buffers, all its numbers 0: flatbuffers internals. */
export function batchMetadata(nodes: number, buffers: number): Uint8Array {
  const buffersAt = LAID.nodes + PAIR * nodes + 8;
  const view = new DataView(new ArrayBuffer(buffersAt + PAIR * buffers));
  const vtable = (at: number, ...entries: number[]): void => {
    entries.forEach((entry, i) => {
      view.setUint16(at + 2 * i, entry, true);
    });
  };
  const point = (at: number, to: number): void => view.setUint32(at, to - at, true);
  point(0, LAID.message);
  vtable(4, 12, 20, 4, 6, 16, 8); // version, type of header, header, length of body
  view.setInt32(LAID.message, 12, true);
  view.setInt16(LAID.message + 4, METADATA_V5, true);
  view.setUint8(LAID.message + 6, RECORD_BATCH);
  point(LAID.message + 16, LAID.batch);
  vtable(36, 12, 24, 8, 4, 16, 20); // length, nodes, buffers, compression
  view.setInt32(LAID.batch, 12, true);
  point(LAID.batch + 4, LAID.nodes - 4);
  point(LAID.batch + 16, buffersAt - 4);
  point(LAID.batch + 20, LAID.compression);
  vtable(72, 4, 4); // codec LZ4_FRAME and method BUFFER are what a field has that is not there
  view.setInt32(LAID.compression, 4, true);
  view.setUint32(LAID.nodes - 4, nodes, true);
  view.setUint32(buffersAt - 4, buffers, true);
  return new Uint8Array(view.buffer);
}

/** Fields of Message and RecordBatch: Arrow's Message.fbs. */
const MESSAGE = { headerType: 1, header: 2, bodyLength: 3 } as const;
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
  const field = (table: number, id: number): number => {
    const vtable = table - metadata.getInt32(table, true);
    const entry = 4 + 2 * id;
    const offset = entry < metadata.getUint16(vtable, true) ? metadata.getUint16(vtable + entry, true) : 0;
    if (offset === 0) throw new RangeError('a field of the metadata is missing');
    return table + offset;
  };
  const follow = (at: number): number => at + metadata.getUint32(at, true);
  const message = follow(0);
  if (metadata.getUint8(field(message, MESSAGE.headerType)) !== RECORD_BATCH) throw new RangeError('no record batch');
  const batch = follow(field(message, MESSAGE.header));
  const pairs = (id: number): { at: number; count: number } => {
    const at = follow(field(batch, id));
    const count = metadata.getUint32(at, true);
    if (at + 4 + count * PAIR > metadata.byteLength) throw new RangeError('the metadata ends early');
    return { at: at + 4, count };
  };
  const nodes = pairs(BATCH.nodes);
  const buffers = pairs(BATCH.buffers);
  return {
    bodyLength: field(message, MESSAGE.bodyLength),
    rows: field(batch, BATCH.length),
    nodes: nodes.at,
    nodeCount: nodes.count,
    buffers: buffers.at,
    bufferCount: buffers.count,
  };
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
  if (index >= count) throw new RangeError('the record batch lacks a column');
  return [getCount(view, start + PAIR * index), getCount(view, start + PAIR * index + 8)];
}
