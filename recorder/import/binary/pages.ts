/** The ring-buffer pages of one host CPU in trace.dat, read block by block. */
import { ImportError } from '../errors.js';
import type { CpuData } from './buffers.js';
import { type Growth, INFLATE_START, type Inflate } from './compression.js';
import type { Pages } from './ring.js';
import type { RandomBytes } from './scanner.js';

/** Blocks of all CPUs together; each has one, of a page at least. */
const BLOCKS = 32 << 20;
const MAX_BLOCK = 1 << 18;
/** trace-cmd compresses ten pages at once; what announces more than this is refused. */
export const MAX_CHUNK = 16 << 20;
/** Packed and unpacked size. */
export const CHUNK_HEAD = 8;

export const blockSize = (pageSize: number, cpus: number): number =>
  Math.max(pageSize, Math.floor(Math.min(MAX_BLOCK, BLOCKS / Math.max(1, cpus)) / pageSize) * pageSize);

abstract class BlockPages implements Pages {
  view: DataView = new DataView(new ArrayBuffer(0));
  start = 0;
  end = 0;
  protected filled = 0;
  protected readonly pageSize: number;

  constructor(pageSize: number) {
    this.pageSize = pageSize;
  }

  /** Reads the next block into `view` and sets `filled`; false at the end. */
  protected abstract fill(): boolean;
  abstract readonly cut: boolean;
  abstract where(): string;

  next(): boolean {
    this.start = this.end;
    if (this.start >= this.filled) {
      if (!this.fill()) return false;
      this.start = 0;
    }
    this.end = Math.min(this.start + this.pageSize, this.filled);
    return true;
  }
}

export class PlainPages extends BlockPages {
  readonly #bytes: RandomBytes;
  readonly #block: Uint8Array;
  readonly #end: number;
  #at: number;
  #base: number;
  readonly #missing: boolean = false;

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
    this.#end = Math.min(offset + size, bytes.size);
    this.#block = new Uint8Array(Math.min(block, Math.max(0, this.#end - offset)));
    this.view = new DataView(this.#block.buffer);
    if (offset + size <= bytes.size) return;
    const why = `${offset + size - Math.max(offset, bytes.size)} bytes of pages are missing`;
    missing(new ImportError('TRUNCATED', `${bytes.name} (offset ${Math.max(offset, bytes.size)})`, why));
    this.#missing = true;
  }

  get cut(): boolean {
    return this.#missing && this.#base + this.end === this.#end && this.end - this.start < this.pageSize;
  }

  where(): string {
    return `${this.#bytes.name} (offset ${this.#base + this.start})`;
  }

  protected fill(): boolean {
    const wanted = Math.min(this.#block.length, this.#end - this.#at);
    const got = wanted <= 0 ? 0 : this.#bytes.readAt(this.#block.subarray(0, wanted), this.#at);
    this.#base = this.#at;
    this.#at += got;
    this.filled = got;
    return got > 0;
  }
}

/** How far the chunks go is what their number says: trace-cmd 3.1 gives a size that lacks the heads of the chunks. */
export class CompressedPages extends BlockPages {
  readonly #bytes: RandomBytes;
  readonly #inflate: Inflate;
  readonly #little: boolean;
  readonly #broken: (error: ImportError) => void;
  readonly #growth: Growth;
  readonly #end: number;
  #packed = new Uint8Array(0);
  #block = new Uint8Array(0);
  #at: number;
  #chunk: number;
  /** The chunk at hand is the start of one. */
  #started = false;
  /** Chunks left; -1 before their number was read. */
  #left = -1;

  /** `broken` is told where a chunk cannot be read; what came before it stands. No chunk goes beyond `end`. */
  constructor(
    bytes: RandomBytes,
    { offset }: CpuData,
    pageSize: number,
    inflate: Inflate,
    little: boolean,
    broken: (error: ImportError) => void,
    growth: Growth,
    end: number,
  ) {
    super(pageSize);
    this.#growth = growth;
    this.#end = Math.min(end, bytes.size);
    this.#bytes = bytes;
    this.#at = this.#chunk = offset;
    this.#inflate = inflate;
    this.#little = little;
    this.#broken = broken;
  }

  get cut(): boolean {
    return this.#started && this.end === this.filled && this.end - this.start < this.pageSize;
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
    while (this.#left > 0) {
      this.#left -= 1;
      if (!this.#unpack()) return false;
      if (this.filled > 0) return true;
    }
    return false;
  }

  /** Reads a chunk; false where that cannot be done. */
  #unpack(): boolean {
    const head = new Uint8Array(CHUNK_HEAD);
    if (this.#read(head) < CHUNK_HEAD) return this.#stop('TRUNCATED', `${this.#left + 1} chunks are missing`);
    const view = new DataView(head.buffer);
    const packed = view.getUint32(0, this.#little);
    const unpacked = view.getUint32(4, this.#little);
    if (Math.max(unpacked, packed) > Math.min(MAX_CHUNK, this.#growth.most))
      return this.#stop('CORRUPT', `a chunk of ${packed} bytes that becomes ${unpacked}`);
    const left = this.#bytes.size - this.#at - CHUNK_HEAD;
    if (packed > left) {
      this.#stop('TRUNCATED', `a chunk needs ${packed} bytes`);
      return this.#unpackStart(left, unpacked);
    }
    if (packed > this.#end - this.#at - CHUNK_HEAD)
      return this.#stop('CORRUPT', `a chunk of ${packed} bytes goes into the next CPU's`);
    if (!this.#growth.allows(packed, unpacked))
      return this.#stop('CORRUPT', `a chunk of ${packed} bytes that becomes ${unpacked}`);
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
    return true;
  }

  /** What there is of a chunk that the file's end cuts; its last page may be cut too. */
  #unpackStart(packed: number, unpacked: number): boolean {
    const inflate = INFLATE_START.get(this.#inflate);
    if (inflate === undefined || !this.#growth.allows(packed, unpacked)) return false;
    this.#chunk = this.#at;
    this.#at += CHUNK_HEAD;
    const data = new Uint8Array(packed);
    this.#read(data);
    this.#block = new Uint8Array(unpacked);
    const filled = inflate(data, this.#block);
    this.view = new DataView(this.#block.buffer);
    this.filled = filled;
    this.#started = true;
    return filled > 0;
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
