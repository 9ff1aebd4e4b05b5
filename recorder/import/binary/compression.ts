/** Decompression with a bound that is known beforehand: what a file says of itself is never believed. */
import { constants, inflateSync } from 'node:zlib';
import { unzstd, ZstdPieces } from './zstd.js';

/** What may come out of compressed data beyond RATIO times its size, in all: most of a ring buffer may be empty. */
const SLACK = 256 << 20;
/** Records have times that differ, which no compression makes smaller than this. */
const RATIO = 1024;

/** Bytes that readers of one file may hold together. */
export const HELD = 512 << 20;

/**
 * Holds what comes out of a file's compressed parts against what went in: a small file must become neither endless work
 * nor more than memory holds.
 */
export class Growth {
  /** Bytes that a part may have which one of the readers holds. */
  readonly most: number;
  #room = SLACK;

  /** `readers` hold a part each at the same time. */
  constructor(readers = 1) {
    this.most = Math.floor(HELD / Math.max(1, readers));
  }

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
 * By the name that trace.dat gives its compression. Node has a zstd of its own from 22.15 on, which makes memory for every
 * chunk that is free again only when the event loop turns: imports take a fifth longer with it.
 */
export const INFLATE: ReadonlyMap<string, Inflate> = new Map<string, Inflate>([
  ['zstd', unzstd],
  [
    'zlib',
    (data, target) =>
      guard(target, () =>
        inflateSync(data, { maxOutputLength: Math.max(1, target.length), finishFlush: constants.Z_FINISH }),
      ),
  ],
]);

/**
 * Fills `target` from the start of data that was cut, as far as that goes; returns how many bytes. Only zlib's can be:
 * what zstd needs first of a block lies at its end, and pages are packed in one block.
 */
export const INFLATE_START: ReadonlyMap<Inflate, (data: Uint8Array, target: Uint8Array) => number> = new Map(
  [INFLATE.get('zlib')].flatMap((inflate) => (inflate === undefined ? [] : [[inflate, startOfZlib]])),
);

function startOfZlib(data: Uint8Array, target: Uint8Array): number {
  try {
    const start = inflateSync(data, {
      maxOutputLength: Math.max(1, target.length),
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    target.set(start);
    return start.length;
  } catch {
    return 0;
  }
}

/** A zstd stream that comes in pieces, each ending with a block: perf's compressed records. */
export class ZstdStream {
  readonly #pieces = new ZstdPieces();
  readonly #growth = new Growth();
  readonly #take: (data: Uint8Array) => void;
  #room = 0;

  /** `take` gets what comes out, good during the call only. */
  constructor(take: (data: Uint8Array) => void) {
    this.#take = take;
  }

  /**
   * Decompresses a piece to `most` bytes at the most; null where all went well, else what is wrong with it, with what came
   * before that taken.
   */
  push(piece: Uint8Array, most: number): string | null {
    this.#room = most;
    this.#growth.allows(piece.length, 0);
    return this.#pieces.push(piece, (data) => {
      this.#room -= data.length;
      if (this.#room < 0 || !this.#growth.allows(0, data.length)) return 'a record grows beyond all bounds';
      this.#take(data);
      return null;
    });
  }

  /** Gives back its memory; nothing can be pushed afterwards. */
  close(): void {
    this.#pieces.close();
  }
}
