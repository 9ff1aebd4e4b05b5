/** Decompression with a bound that is known beforehand: what a file says of itself is never believed. */
import { constants, inflateSync } from 'node:zlib';
import { decompress } from 'fzstd';

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

/** By the name that trace.dat gives its compression. */
export const INFLATE: ReadonlyMap<string, Inflate> = new Map<string, Inflate>([
  ['zstd', (data, target) => guard(target, () => decompress(data, target))],
  [
    'zlib',
    (data, target) =>
      guard(target, () =>
        inflateSync(data, { maxOutputLength: Math.max(1, target.length), finishFlush: constants.Z_FINISH }),
      ),
  ],
]);
