/**
 * LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), one of the two codecs of Arrow IPC: of blocks
 * that do not refer to one another, without checksums, for which there are tags (traces/digest.ts). The blocks are made
 * in WebAssembly: what a native codec returns is memory of its own, which is free again only when the event loop turns,
 * and an import does not let it. Most byte lanes of a chunk are constant; their frames are remembered.
 */
import { compressBlock, decompressBlock } from './lz4.js';
import { Malformed } from './malformed.js';

const MAGIC = 0x184d_2204;
/** Version 1, independent blocks, and nothing else. */
const FLAGS = 0x60;
/** Magic, flags, largest block, checksum of those; then blocks behind their length, and a length of 0. */
const HEAD = 7;
const LENGTH = 4;
/** By what the frame says of its largest block (bits 6:4): that, and the second byte of the xxHash of the header. */
const BLOCKS = [
  { says: 0x40, most: 64 << 10, check: 0x82 },
  { says: 0x50, most: 256 << 10, check: 0xfb },
  { says: 0x60, most: 1 << 20, check: 0x51 },
  { says: 0x70, most: 4 << 20, check: 0x73 },
] as const;
const LARGEST = BLOCKS[3];
/** A block that is stored as it is has this bit in its length. */
const STORED = 0x8000_0000;
/** A byte of a block stands for no more bytes than this. */
const MOST_FOLDED = 255;

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

const blocksFor = (length: number): (typeof BLOCKS)[number] => BLOCKS.find(({ most }) => length <= most) ?? LARGEST;

/**
 * Memory for bytes of which many are needed together, one behind the other, and then none: a frame of its own for each lane
 * would cost more than to make the frame.
 */
export class Workspace {
  #bytes = new Uint8Array(0);
  #used = 0;

  /** Forgets what was taken: its bytes are overwritten from here on. */
  clear(): void {
    this.#used = 0;
  }

  /** Room for `most` bytes, of which `take` says how many are needed. */
  room(most: number): Uint8Array {
    if (this.#used + most > this.#bytes.length) {
      this.#bytes = new Uint8Array(2 * (this.#used + most)); // what was taken stays where it is
      this.#used = 0;
    }
    return this.#bytes.subarray(this.#used, this.#used + most);
  }

  /** The first `count` bytes of the room that was given last. */
  take(count: number): Uint8Array {
    this.#used += count;
    return this.#bytes.subarray(this.#used - count, this.#used);
  }

  copy(bytes: Uint8Array): Uint8Array {
    this.room(bytes.length).set(bytes);
    return this.take(bytes.length);
  }
}

/** A frame of these bytes, of which there must be some; in memory of its own unless there is a workspace. */
export function compress(bytes: Uint8Array, workspace = new Workspace()): Uint8Array {
  const { says, most, check } = blocksFor(bytes.length);
  const frame = workspace.room(HEAD + bytes.length + LENGTH * (Math.ceil(bytes.length / most) + 1));
  setLength(frame, 0, MAGIC);
  frame[4] = FLAGS;
  frame[5] = says;
  frame[6] = check;
  let end = HEAD;
  for (let at = 0; at < bytes.length; at += most) end = putBlock(frame, end, bytes.subarray(at, at + most));
  setLength(frame, end, 0);
  return workspace.take(end + LENGTH);
}

/** Puts a block behind its length: compressed, or as it is where that is no longer. Returns where it ends. */
function putBlock(frame: Uint8Array, at: number, bytes: Uint8Array): number {
  const start = at + LENGTH;
  const size = compressBlock(bytes, (block) => {
    if (block.length < bytes.length) frame.set(block, start);
    return block.length;
  });
  const isStored = size >= bytes.length;
  if (isStored) frame.set(bytes, start);
  setLength(frame, at, isStored ? STORED + bytes.length : size);
  return start + Math.min(size, bytes.length);
}

/** Little-endian, 32 bits. */
function setLength(frame: Uint8Array, at: number, length: number): void {
  frame[at] = length;
  frame[at + 1] = length >>> 8;
  frame[at + 2] = length >>> 16;
  frame[at + 3] = length >>> 24;
}

/** Frames of `length` times the same byte, for all bytes and the few lengths that there are. */
const constants = new Map<number, Uint8Array>();
const MOST_CONSTANTS = 4096;

export function compressConstant(byte: number, length: number): Uint8Array {
  const key = length * 256 + byte;
  let frame = constants.get(key);
  if (frame === undefined) {
    frame = compress(new Uint8Array(length).fill(byte)).slice();
    if (constants.size >= MOST_CONSTANTS) constants.clear();
    constants.set(key, frame);
  }
  return frame;
}

/** Whether what stands around the blocks of a frame of `length` bytes is as `compress` writes it. */
export function isFrame(frame: Uint8Array, length: number): boolean {
  const { says, check } = blocksFor(length);
  const head = frame.length >= HEAD + LENGTH && viewOf(frame).getUint32(0, true) === MAGIC;
  if (!head || frame[4] !== FLAGS || frame[5] !== says || frame[6] !== check) return false;
  return viewOf(frame).getUint32(frame.length - LENGTH, true) === 0;
}

/**
 * The bytes of a frame, in memory of their own or in `room`, which is asked for once their number can be believed.
 * @throws RangeError where the frame is none of `compress`, or does not hold exactly `length` bytes
 */
export function decompress(
  frame: Uint8Array,
  length: number,
  room: (length: number) => Uint8Array = (bytes) => new Uint8Array(bytes),
): Uint8Array {
  const view = viewOf(frame);
  const known = BLOCKS.find(({ says }) => says === frame[5]);
  if (frame.length < HEAD + LENGTH || view.getUint32(0, true) !== MAGIC || frame[4] !== FLAGS || known === undefined)
    throw new Malformed('no LZ4 frame of independent blocks');
  if (length > MOST_FOLDED * frame.length) throw new Malformed(`${length} bytes in a frame of ${frame.length}`);
  const target = room(length);
  let at = HEAD;
  let done = 0;
  while (done < length) {
    const size = view.getUint32(at, true);
    const part = Math.min(known.most, length - done);
    const end = at + LENGTH + (size % STORED);
    if (end > frame.length) throw new Malformed('a block goes beyond its frame');
    if (size % STORED > known.most)
      throw new Malformed(`a block of ${size % STORED} bytes, of ${known.most} at the most`);
    if (size >= STORED && size !== STORED + part) throw new Malformed(`a block of ${size - STORED} bytes, not ${part}`);
    if (size < STORED) unfold(frame.subarray(at, end), target.subarray(done, done + part));
    else target.set(frame.subarray(at + LENGTH, end), done);
    done += part;
    at = end;
  }
  if (view.getUint32(at, true) !== 0 || at + LENGTH !== frame.length)
    throw new Malformed(`a frame that goes on behind ${length} bytes`);
  return target;
}

/** Fills `target` from a block behind its length, in whose place its reader wants the number of its bytes. */
function unfold(sized: Uint8Array, target: Uint8Array): void {
  const block = sized.slice();
  viewOf(block).setUint32(0, target.length, true);
  decompressBlock(block, target);
}
