/**
 * Numbers of a record in the recording's byte order, as two halves of 32 bits: no bigint is made for an event. Halves are
 * signed (time.ts says why).
 */
export class NumberReader {
  readonly little: boolean;
  /** The last number read. */
  low = 0;
  high = 0;

  constructor(little: boolean) {
    this.little = little;
  }

  /** Reads a number of |width| bytes, 1, 2, 4 or 8; below zero it is signed, and its sign fills 64 bits. */
  read(view: DataView, at: number, width: number): void {
    const little = this.little === true;
    if (width === 8 || width === -8) {
      const first = view.getInt32(at, little);
      const second = view.getInt32(at + 4, little);
      this.low = little ? first : second;
      this.high = little ? second : first;
    } else if (width > 0) {
      this.low = width === 4 ? view.getInt32(at, little) : width === 1 ? view.getUint8(at) : view.getUint16(at, little);
      this.high = 0;
    } else {
      const value =
        width === -4 ? view.getInt32(at, little) : width === -1 ? view.getInt8(at) : view.getInt16(at, little);
      this.low = value;
      this.high = value >> 31;
    }
  }
}
