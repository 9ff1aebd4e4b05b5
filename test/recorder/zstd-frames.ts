/** zstd frames that a compressor would not write: of one byte many times over, or of nothing (RFC 8878, 3.1.1). */

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const MOST_OF_A_BLOCK = 128 << 10;

/** A single segment that says its content is empty: one raw block of no bytes, the last. */
export const zstdEmpty = Buffer.from([...MAGIC, 0x20, 0, 1, 0, 0]);

/** `count` bytes of `byte`, in run-length blocks of 128 KiB and a window of as much. */
export function zstdOf(byte: number, count: number): Buffer {
  const blocks = Math.ceil(count / MOST_OF_A_BLOCK);
  const out = Buffer.alloc(6 + 4 * blocks);
  out.set([...MAGIC, 0, 7 << 3]);
  for (let i = 0; i < blocks; i++) {
    const size = Math.min(MOST_OF_A_BLOCK, count - i * MOST_OF_A_BLOCK);
    out.writeUIntLE((size << 3) | (1 << 1) | (i === blocks - 1 ? 1 : 0), 6 + 4 * i, 3);
    out[6 + 4 * i + 3] = byte;
  }
  return out;
}
