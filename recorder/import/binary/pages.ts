/** The ring-buffer pages of one host CPU in trace.dat, read block by block. */
import { ImportError } from '../errors.js';
import type { Inflate } from './compression.js';
import type { Pages } from './ring.js';
import type { RandomBytes } from './scanner.js';
import type { CpuData } from './tracedat.js';

/** Blocks of all CPUs together; each has one, of a page at least. */
const BLOCKS = 32 << 20;
const MAX_BLOCK = 1 << 18;
/** trace-cmd compresses ten pages at once; what announces more than this is refused. */
const MAX_CHUNK = 16 << 20;
const CHUNK_HEAD = 8;

export const blockSize = (pageSize: number, cpus: number): number =>
  Math.max(pageSize, Math.floor(Math.min(MAX_BLOCK, BLOCKS / Math.max(1, cpus)) / pageSize) * pageSize);

abstract class BlockPages implements Pages {
  view: DataView = new DataView(new ArrayBuffer(0));
  start = 0;
  end = 0;
  protected filled = 0;
  readonly #pageSize: number;

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  /** Reads the next block into `view` and sets `filled`; false at the end. */
  protected abstract fill(): boolean;
  abstract where(): string;

  next(): boolean {
    this.start = this.end;
    if (this.start >= this.filled) {
      if (!this.fill()) return false;
      this.start = 0;
    }
    this.end = Math.min(this.start + this.#pageSize, this.filled);
    return true;
  }
}

export class PlainPages extends BlockPages {
  readonly #bytes: RandomBytes;
  readonly #block: Uint8Array;
  readonly #end: number;
  #at: number;
  #base: number;
  readonly #missing: (error: ImportError) => void;

  /** `missing` is told where the file ends before its pages do; what is there is read. */
  constructor(
    bytes: RandomBytes,
    { offset, size }: CpuData,
    pageSize: number,
    block: number,
    missing: (error: ImportError) => void,
  ) {
    super(pageSize);
    this.#bytes = bytes;
    this.#at = this.#base = offset;
    this.#end = offset + size;
    this.#missing = missing;
    this.#block = new Uint8Array(Math.min(block, Math.max(0, Math.min(size, bytes.size - offset))));
    this.view = new DataView(this.#block.buffer);
  }

  where(): string {
    return `${this.#bytes.name} (offset ${this.#base + this.start})`;
  }

  protected fill(): boolean {
    const wanted = Math.min(this.#block.length, this.#end - this.#at);
    const got = wanted <= 0 ? 0 : this.#bytes.readAt(this.#block.subarray(0, wanted), this.#at);
    if (got === 0) {
      if (this.#at < this.#end) {
        const where = `${this.#bytes.name} (offset ${this.#at})`;
        this.#missing(new ImportError('TRUNCATED', where, `${this.#end - this.#at} bytes of pages are missing`));
      }
      return false;
    }
    this.#base = this.#at;
    this.#at += got;
    this.filled = got;
    return true;
  }
}

/** How far the chunks go is what their number says: trace-cmd 3.1 gives a size that lacks the heads of the chunks. */
export class CompressedPages extends BlockPages {
  readonly #bytes: RandomBytes;
  readonly #inflate: Inflate;
  readonly #little: boolean;
  readonly #broken: (error: ImportError) => void;
  #packed = new Uint8Array(0);
  #block = new Uint8Array(0);
  #at: number;
  #chunk: number;
  /** Chunks left; -1 before their number was read. */
  #left = -1;

  /** `broken` is told where a chunk cannot be read; what came before it stands. */
  constructor(
    bytes: RandomBytes,
    { offset }: CpuData,
    pageSize: number,
    inflate: Inflate,
    little: boolean,
    broken: (error: ImportError) => void,
  ) {
    super(pageSize);
    this.#bytes = bytes;
    this.#at = this.#chunk = offset;
    this.#inflate = inflate;
    this.#little = little;
    this.#broken = broken;
  }

  where(): string {
    return `${this.#bytes.name} (byte ${this.start} of the chunk at offset ${this.#chunk})`;
  }

  #stop(code: 'TRUNCATED' | 'CORRUPT', why: string): false {
    this.#broken(new ImportError(code, `${this.#bytes.name} (offset ${this.#at})`, why));
    this.#left = 0;
    return false;
  }

  protected fill(): boolean {
    if (this.#left < 0 && !this.#count()) return false;
    if (this.#left === 0) return false;
    this.#left -= 1;
    const head = new Uint8Array(CHUNK_HEAD);
    if (this.#read(head) < CHUNK_HEAD) return this.#stop('TRUNCATED', `${this.#left + 1} chunks are missing`);
    const view = new DataView(head.buffer);
    const packed = view.getUint32(0, this.#little);
    const unpacked = view.getUint32(4, this.#little);
    if (unpacked > MAX_CHUNK || packed > MAX_CHUNK) return this.#stop('CORRUPT', `a chunk of ${unpacked} bytes`);
    if (packed > this.#bytes.size - this.#at - CHUNK_HEAD)
      return this.#stop('TRUNCATED', `a chunk needs ${packed} bytes`);
    if (this.#packed.length < packed) this.#packed = new Uint8Array(packed);
    if (this.#block.length !== unpacked) this.#block = new Uint8Array(unpacked);
    this.#chunk = this.#at;
    this.#at += CHUNK_HEAD;
    const data = this.#packed.subarray(0, packed);
    this.#read(data);
    const problem = this.#inflate(data, this.#block);
    if (problem !== null) return this.#stop('CORRUPT', `a chunk: ${problem}`);
    this.#at += packed;
    this.view = new DataView(this.#block.buffer);
    this.filled = unpacked;
    return unpacked > 0 || this.fill();
  }

  #count(): boolean {
    this.#left = 0;
    const head = new Uint8Array(4);
    if (this.#read(head) < 4) return this.#stop('TRUNCATED', 'the number of chunks is missing');
    this.#left = new DataView(head.buffer).getUint32(0, this.#little);
    this.#at += 4;
    return true;
  }

  #read(target: Uint8Array): number {
    return this.#bytes.readAt(target, this.#at);
  }
}
