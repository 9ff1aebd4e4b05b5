/**
 * LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), one of the two codecs of Arrow IPC. Most
 * byte lanes of a chunk are constant; their frames are remembered in both directions.
 */
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import { Malformed } from './malformed.js';

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const compress = (bytes: Uint8Array): Uint8Array => compressFrameSync(asBuffer(bytes));

/** Frames of `length` times the same byte, for all bytes and the few lengths that there are. */
const constants = new Map<number, Uint8Array>();
const MOST_CONSTANTS = 4096;

export function compressConstant(byte: number, length: number): Uint8Array {
  const key = length * 256 + byte;
  let frame = constants.get(key);
  if (frame === undefined) {
    frame = compress(new Uint8Array(length).fill(byte));
    if (constants.size >= MOST_CONSTANTS) constants.clear();
    constants.set(key, frame);
  }
  return frame;
}

/** @throws RangeError where the frame does not hold exactly `length` bytes */
export function decompress(frame: Uint8Array, length: number): Uint8Array {
  const bytes = decompressFrameSync(asBuffer(frame));
  if (bytes.length !== length) throw new Malformed(`${bytes.length} bytes where ${length} were expected`);
  return bytes;
}
