/** Validity: a byte a row in memory, a bit a row in Arrow. */
import { kernels, validBits, validBytes } from './kernels.js';

export interface Validity {
  readonly nulls: number;
  /** Null where every row has a value, or none has; good until validity is packed again. */
  readonly bits: Uint8Array | null;
}

/** Counts the nulls among validity bytes and packs them where values and nulls are mixed. */
export function packValidity(valid: Uint8Array): Validity {
  const rows = valid.length;
  const bytes = Buffer.from(valid.buffer, valid.byteOffset, rows);
  if (bytes.indexOf(0) < 0) return { nulls: 0, bits: null };
  if (bytes.indexOf(1) < 0) return { nulls: rows, bits: null };
  const blocks = (rows + 15) >>> 4;
  validBytes.set(valid);
  validBytes.fill(0, rows, 16 * blocks);
  const values = kernels.pack(blocks);
  return { nulls: rows - values, bits: validBits.subarray(0, (rows + 7) >>> 3) };
}

/** Eight bytes, each 0 or 1, for every byte of bits: as a number that is only copied, so that its bits stay. */
const SPREAD = new Float64Array(Uint8Array.from({ length: 8 * 256 }, (_, i) => ((i >>> 3) >>> (i & 7)) & 1).buffer);

export function unpackValidity(bits: Uint8Array, rows: number): Uint8Array {
  const words = (rows + 7) >>> 3;
  const spread = new Float64Array(words);
  for (let i = 0; i < words; i++) spread[i] = SPREAD[bits[i] as number] as number;
  return new Uint8Array(spread.buffer, 0, rows);
}
