/**
 * Mutations of binary recordings from a fixed seed: bits flipped, bytes and words replaced by values that hurt, pieces
 * cut out, doubled or moved, the end cut off. Whatever comes, the answer is rows in order or one coded error.
 */
import assert from 'node:assert/strict';
import { ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';

/** Numerical Recipes' LCG. */
export function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

const HURTING = [0, 1, 7, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const;

/** One or two changes; a quarter of them near the start, where files say how long everything is. */
export function mutate(original: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Buffer.from(original);
  for (let changes = 1 + random(2); changes > 0 && bytes.length > 64; changes--) {
    const reach = random(4) === 0 ? Math.min(bytes.length, 2048) : bytes.length;
    const at = random(reach - 8);
    const length = 1 + random(64);
    switch (random(7)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        bytes.writeUInt32LE(HURTING[random(HURTING.length)] ?? 0, at);
        break;
      case 2:
        bytes.writeBigUInt64LE(
          BigInt.asUintN(64, BigInt(HURTING[random(HURTING.length)] ?? 0) << BigInt(random(40))),
          at,
        );
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      case 5:
        bytes.copy(bytes, at, random(bytes.length - 8), bytes.length);
        break;
      default:
        bytes = bytes.subarray(0, 16 + random(bytes.length - 16));
    }
  }
  return bytes;
}

export interface Fuzzed {
  whole: number;
  stopped: number;
  refused: number;
}

/** Longest that a file of some KiB may take: a hang, not a slow machine. */
const HANG_MS = 5000;

/** Imports `runs` mutations of `original` and asserts what must hold of each. */
export function fuzz(original: Uint8Array, runs: number, seed: number): Fuzzed {
  const random = numbers(seed);
  const seen: Fuzzed = { whole: 0, stopped: 0, refused: 0 };
  for (let run = 0; run < runs; run++) {
    const bytes = mutate(original, random);
    const where = `run ${run} of seed ${seed}`;
    let next = 0;
    const writer = new StreamWriter((chunk) => {
      assert.equal(chunk.first, next, where);
      next += chunk.rows;
    });
    const begun = performance.now();
    try {
      const { counts, stopped } = importTrace(memorySource(bytes, 'mutation'), () => writer);
      assert.equal(counts.events, next, where);
      if (stopped === null) seen.whole += 1;
      else seen.stopped += 1;
    } catch (error) {
      if (!(error instanceof ImportError)) throw new Error(`${where}: ${String(error)}`, { cause: error });
      seen.refused += 1;
    }
    assert.ok(performance.now() - begun < HANG_MS, `${where} took ${performance.now() - begun} ms`);
  }
  return seen;
}
