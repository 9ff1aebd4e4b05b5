/**
 * The real zstd decoder in WebAssembly, of the package zstddec, made when a compressed file is met. Only its code is
 * taken: its own wrapper is asynchronous, copies what comes out once more, and does not look at what zstd answers.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What of zstd.h (1.5) is called. Sizes that are negative are errors: ZSTD_ErrorCode of zstd_errors.h, negated. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  malloc(size: number): number;
  free(at: number): void;
  ZSTD_decompress(target: number, room: number, source: number, size: number): number;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): number;
  ZSTD_decompressStream(context: number, output: number, input: number): number;
}

/** The codes that a decoder gives for what it reads. */
const ERRORS: { readonly [code: number]: string } = {
  10: 'no zstd frame',
  12: 'a frame of an unknown version of zstd',
  14: 'a frame that uses what this zstd does not read',
  16: 'a window of more than 128 MiB',
  20: 'damaged zstd data',
  22: 'a wrong checksum of zstd data',
  30: 'a damaged dictionary of zstd',
  32: 'a dictionary of zstd that the file lacks',
  64: 'no memory for zstd',
  70: 'more bytes than were announced',
  72: 'zstd data that ends early',
};
const reasonOf = (code: number): string => ERRORS[-code] ?? `damaged zstd data (error ${-code} of zstd)`;

/** Base64 of a module of WebAssembly begins with this: a NUL, `asm`, version 1. */
const CODE = /AGFzbQEAAA[A-Za-z0-9+/]+=*/;

function compile(): WebAssembly.Module {
  const text = readFileSync(fileURLToPath(import.meta.resolve('zstddec/stream')), 'latin1');
  const [code] = CODE.exec(text) ?? [];
  if (code === undefined) throw new Error('the package zstddec has no WebAssembly');
  return new WebAssembly.Module(Buffer.from(code, 'base64'));
}

let running: Exports | null = null;

/** The one instance of the decoder: its memory never becomes smaller, so all that is decoded shares it. */
function instance(): Exports {
  if (running !== null) return running;
  const imports = { env: { emscripten_notify_memory_growth: () => {} } };
  running = new WebAssembly.Instance(compile(), imports).exports as unknown as Exports;
  return running;
}

/** A place in the decoder's memory that grows. */
class Place {
  readonly #zstd: Exports;
  at = 0;
  size = 0;

  constructor(zstd: Exports, size: number) {
    this.#zstd = zstd;
    this.reserve(size);
  }

  /** Makes room for `size` bytes, whatever was there; false where there is no memory. */
  reserve(size: number): boolean {
    if (size <= this.size) return true;
    this.#zstd.free(this.at);
    this.at = this.#zstd.malloc(size);
    this.size = this.at === 0 ? 0 : size;
    return this.at !== 0;
  }

  /** Copies bytes in; false where there is no memory. */
  fill(data: Uint8Array): boolean {
    if (!this.reserve(data.length)) return false;
    new Uint8Array(this.#zstd.memory.buffer, this.at, data.length).set(data);
    return true;
  }

  free(): void {
    this.#zstd.free(this.at);
    this.at = 0;
    this.size = 0;
  }

  /** The first bytes, good until zstd is called again. */
  bytes(count: number): Uint8Array {
    return new Uint8Array(this.#zstd.memory.buffer, this.at, count);
  }
}

const START = 1 << 16;
const NO_MEMORY = reasonOf(-64);

/** Frames that are in memory as a whole. */
class Frames {
  readonly #zstd = instance();
  readonly #packed = new Place(this.#zstd, START);
  readonly #unpacked = new Place(this.#zstd, START);

  inflate(data: Uint8Array, target: Uint8Array): string | null {
    if (!this.#packed.fill(data) || !this.#unpacked.reserve(target.length)) return NO_MEMORY;
    const size = this.#zstd.ZSTD_decompress(this.#unpacked.at, target.length, this.#packed.at, data.length);
    if (size < 0) return reasonOf(size);
    if (size !== target.length) return `${size} bytes where ${target.length} were announced`;
    target.set(this.#unpacked.bytes(size));
    return null;
  }
}

let frames: Frames | null = null;

/** Decompresses frames of zstd into `target`, which they must fill; null where all went well, else what is wrong. */
export function unzstd(data: Uint8Array, target: Uint8Array): string | null {
  frames ??= new Frames();
  return frames.inflate(data, target);
}

/** ZSTD_DStreamOutSize(): a block. */
const OUT = 1 << 17;
/** ZSTD_inBuffer and ZSTD_outBuffer: address, size, position, of 32 bits each. */
const BUFFER = 12;
/** What zstd asks for at the start of a frame: ZSTD_FRAMEHEADERSIZE_MIN of the format with a magic number. */
const FRAME_START = 5;
/** ZSTD_blockHeaderSize: of the block behind the next, for which zstd asks together with that. */
const BLOCK_HEADER = 3;

/** Frames that come in pieces. Must be closed, as its memory is that of all. */
export class ZstdPieces {
  readonly #zstd = instance();
  readonly #in = new Place(this.#zstd, START);
  readonly #out = new Place(this.#zstd, OUT);
  readonly #buffers = new Place(this.#zstd, 2 * BUFFER);
  #context = this.#zstd.ZSTD_createDCtx();
  /** Bytes that complete the next block. */
  #wanted = FRAME_START;

  /**
   * Decompresses the next piece, handing out what comes of it block by block, good during the call only; `take` returns
   * what is wrong with it, or null. Returns null where all went well; what came before damage was handed out. No frame
   * gets a window of more than 128 MiB (ZSTD_WINDOWLOG_LIMIT_DEFAULT).
   */
  push(piece: Uint8Array, take: (data: Uint8Array) => string | null): string | null {
    if (this.#context === 0 || this.#buffers.size === 0 || this.#out.size === 0 || !this.#in.fill(piece))
      return NO_MEMORY;
    const { at } = this.#buffers;
    for (let read = 0; ; ) {
      // no more than a block at once: where one is damaged, zstd forgets those before it that it was given with it
      this.#describe(at, this.#in.at, Math.min(piece.length, read + this.#wanted), read);
      this.#describe(at + BUFFER, this.#out.at, OUT, 0);
      const rest = this.#zstd.ZSTD_decompressStream(this.#context, at + BUFFER, at);
      if (rest < 0) return reasonOf(rest);
      this.#wanted = rest === 0 ? FRAME_START : rest > BLOCK_HEADER ? rest - BLOCK_HEADER : rest;
      const view = new DataView(this.#zstd.memory.buffer, at, 2 * BUFFER);
      read = view.getUint32(8, true);
      const made = view.getUint32(BUFFER + 8, true);
      const problem = made === 0 ? null : take(this.#out.bytes(made));
      if (problem !== null) return problem;
      // a full buffer may not be all that there is
      if (read === piece.length && made < OUT) return null;
    }
  }

  /** Gives back its memory; nothing can be pushed afterwards. */
  close(): void {
    this.#zstd.ZSTD_freeDCtx(this.#context);
    this.#context = 0;
    for (const place of [this.#in, this.#out, this.#buffers]) place.free();
  }

  #describe(buffer: number, at: number, size: number, position: number): void {
    new Uint32Array(this.#zstd.memory.buffer, buffer, 3).set([at, size, position]);
  }
}
