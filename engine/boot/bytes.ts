/** Reads little-endian fields of an image, with a coded error for what lies past its end. */
import { EngineError } from '../errors.js';

export class ImageReader {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Throws IMAGE_TRUNCATED where [at, at + size) is not in the image; `what` names the thing that should be there. */
  need(at: number, size: number, what: string): void {
    if (at + size <= this.length) return;
    const why = `${what} at ${at} needs ${size} bytes, the image has ${this.length}`;
    throw new EngineError('IMAGE_TRUNCATED', this.name, why);
  }

  u16(at: number, what: string): number {
    this.need(at, 2, what);
    return this.#view.getUint16(at, true);
  }

  u32(at: number, what: string): number {
    this.need(at, 4, what);
    return this.#view.getUint32(at, true);
  }

  /** A 64-bit field. One of 2^53 or more is exact no more, and larger than any RAM. */
  u64(at: number, what: string): number {
    return this.u32(at, what) + this.u32(at + 4, what) * 0x1_0000_0000;
  }
}
