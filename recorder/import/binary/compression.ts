/** Decompression with a bound that is known beforehand: what a file says of itself is never believed. */
import zlib, { constants, inflateSync } from 'node:zlib';
import { Decompress, decompress } from 'fzstd';

/** What may come out of compressed data beyond RATIO times its size, in all: most of a ring buffer may be empty. */
const SLACK = 256 << 20;
/** Records have times that differ, which no compression makes smaller than this. */
const RATIO = 1024;

/** Holds what comes out of a file's compressed parts against what went in: a small file must not become endless work. */
export class Growth {
  #room = SLACK;

  /** Takes account of `packed` bytes that announce `unpacked`; false where that is out of all proportion. */
  allows(packed: number, unpacked: number): boolean {
    this.#room += packed * RATIO - unpacked;
    return this.#room >= 0;
  }
}

/** Fills `target` from `data`; null where all went well, else what is wrong with it. */
export type Inflate = (data: Uint8Array, target: Uint8Array) => string | null;

function guard(target: Uint8Array, inflate: () => Uint8Array): string | null {
  try {
    const result = inflate();
    if (result.length !== target.length) return `${result.length} bytes where ${target.length} were announced`;
    if (result.buffer !== target.buffer) target.set(result);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * fzstd compares the array that it is given with 1; without this the whole array becomes a string first, for every
 * chunk, which takes twice as long as to decompress it.
 */
function asTarget(target: Uint8Array): Uint8Array {
  if (!Object.hasOwn(target, Symbol.toPrimitive))
    Object.defineProperty(target, Symbol.toPrimitive, { value: () => Number.NaN });
  return target;
}

/** Node's own zstd, from 22.15 on: more than twice as fast as one in JavaScript. */
const native = (zlib as { readonly zstdDecompressSync?: (data: Uint8Array, options: object) => Uint8Array })
  .zstdDecompressSync;

const unzstd = (data: Uint8Array, target: Uint8Array): Uint8Array =>
  native === undefined
    ? decompress(data, asTarget(target))
    : native(data, { maxOutputLength: Math.max(1, target.length) });

/** By the name that trace.dat gives its compression. */
export const INFLATE: ReadonlyMap<string, Inflate> = new Map<string, Inflate>([
  ['zstd', (data, target) => guard(target, () => unzstd(data, target))],
  [
    'zlib',
    (data, target) =>
      guard(target, () =>
        inflateSync(data, { maxOutputLength: Math.max(1, target.length), finishFlush: constants.Z_FINISH }),
      ),
  ],
]);

/** More than zstd itself accepts without being asked to (ZSTD_WINDOWLOG_LIMIT_DEFAULT, 2^27). */
const MAX_WINDOW = 128 << 20;
const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** Longest frame header before its blocks. */
const HEADER = 18;

/** Window of a frame whose header begins at `at`, or 0 where the header is not whole. */
function windowSize(bytes: Uint8Array, at: number): number {
  const descriptor = bytes[at + 4] ?? 0x20;
  const window = bytes[at + 5] ?? 0;
  if ((descriptor & 0x20) === 0) {
    const base = 2 ** (10 + (window >> 3));
    return base + (base / 8) * (window & 7);
  }
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const field = [1, 2, 4, 8][descriptor >> 6] ?? 1;
  let size = 0;
  for (let i = field - 1; i >= 0; i--) size = size * 256 + (bytes[at + 5 + dictionary + i] ?? 0);
  return size;
}

/** A zstd stream that comes in pieces, each ending with a block: perf's compressed records. */
export class ZstdStream {
  readonly #decoder: Decompress;
  readonly #growth = new Growth();
  #tail = new Uint8Array(0);
  #room = 0;

  constructor(take: (data: Uint8Array) => void) {
    this.#decoder = new Decompress((data) => {
      this.#room -= data.length;
      if (this.#room < 0 || !this.#growth.allows(0, data.length)) throw new Error('a record grows beyond all bounds');
      take(data);
    });
  }

  /** Decompresses a piece to `most` bytes at the most; null where all went well, else what is wrong with it. */
  push(piece: Uint8Array, most: number): string | null {
    const problem = this.#guard(piece);
    if (problem !== null) return problem;
    this.#room = most;
    this.#growth.allows(piece.length, 0);
    try {
      this.#decoder.push(piece.slice());
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The decoder reserves the window that a frame asks for; ask before it does. */
  #guard(piece: Uint8Array): string | null {
    const bytes = Buffer.concat([this.#tail, piece]);
    for (let at = bytes.indexOf(MAGIC); at >= 0; at = bytes.indexOf(MAGIC, at + 1)) {
      const window = windowSize(bytes, at);
      if (window > MAX_WINDOW) return 'a window of more than 128 MiB';
      if (!this.#growth.allows(0, window)) return 'windows out of all proportion';
    }
    this.#tail = bytes.subarray(Math.max(0, bytes.length - HEADER));
    return null;
  }
}
