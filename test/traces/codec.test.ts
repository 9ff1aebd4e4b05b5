/** LZ4 frames of the Arrow store, held against another implementation, and damaged. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import { compress, decompress } from '../../traces/arrow/codec.js';
import { compressBlock, decompressBlock } from '../../traces/arrow/lz4.js';
import { Malformed } from '../../traces/arrow/malformed.js';
import { random } from '../web/synthetic.js';

/** Bytes of which some repeat: the less `variety`, the more. */
function bytesOf(length: number, variety: number, seed: number): Uint8Array {
  const next = random(seed);
  return Uint8Array.from({ length }, () => Math.floor(next() * variety));
}

/** A number of bytes as lz4_flex puts it before a block. */
function sizeOf(length: number): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(length);
  return size;
}

const LENGTHS = [1, 12, 13, 300, 8192, 65_535, 65_536, 65_537, 262_145, 1_048_577, 4_194_304, 4_194_305, 9_000_000];

describe('LZ4 frames', () => {
  for (const length of LENGTHS) {
    it(`of ${length} bytes are read by another implementation, and its frames here`, () => {
      for (const variety of [1, 3, 256]) {
        const bytes = bytesOf(length, variety, length);
        assert.equal(Buffer.compare(decompressFrameSync(Buffer.from(compress(bytes))), bytes), 0, `${variety}`);
        assert.equal(Buffer.compare(decompress(compressFrameSync(Buffer.from(bytes)), length), bytes), 0, `${variety}`);
        assert.equal(Buffer.compare(decompress(compress(bytes), length), bytes), 0, `${variety}`);
      }
    });
  }

  // lz4_Frame_format.md: "a block size ... shall not be larger than the maximum size"; HC is a byte of the xxHash
  it('begin as the format says, and no block in them is longer than what it holds', () => {
    const head = (length: number): string =>
      Buffer.from(compress(new Uint8Array(length)).subarray(0, 7)).toString('hex');
    assert.deepEqual([8, 65_537, 262_145, 1_048_577].map(head), [
      '04224d18604082',
      '04224d186050fb',
      '04224d18606051',
      '04224d18607073',
    ]);
    for (const length of [1, 65_536, 5_000_000])
      assert.ok(compress(bytesOf(length, 256, 1)).length <= length + 15 + (length > 4_194_304 ? 4 : 0));
  });

  it('that are damaged are refused, or hold as many bytes as they should', () => {
    const frames = [bytesOf(3000, 4, 1), bytesOf(70_000, 3, 2)].map((bytes) => ({ frame: compress(bytes), bytes }));
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat({ max: 40 }),
        fc.integer({ min: -2, max: 2 }),
        ({ frame, bytes }, changes, cut, more) => {
          const damaged = frame.slice(0, frame.length - (changes.length === 0 ? cut : 0));
          for (const [at, value] of changes) damaged[at % damaged.length] = value;
          const length = bytes.length + more;
          try {
            assert.equal(decompress(damaged, length).length, length);
          } catch (error) {
            assert.ok(error instanceof RangeError, String(error));
          }
        },
      ),
      { numRuns: 5000, seed: 1 },
    );
  });

  it('of a few bytes that should hold many are refused before there is room for them', () => {
    const frame = compress(new Uint8Array(1000));
    assert.throws(() => decompress(frame, 0xffff_ffff), Malformed);
  });

  // lz4_Frame_format.md: the highest bit of a block's size says that its bytes are stored as they are
  it('of a stored block that is shorter than what it holds are refused, also where it holds nothing', () => {
    const head = compress(bytesOf(1000, 256, 1)).subarray(0, 7);
    for (const stored of [0, 1, 999]) {
      const block = Buffer.alloc(4 + stored + 4);
      block.writeUInt32LE(0x8000_0000 + stored);
      assert.throws(() => decompress(Buffer.concat([head, block]), 1000), Malformed, `${stored} bytes`);
    }
  });

  // lz4_Frame_format.md: a block that would be larger than the maximum is to be passed uncompressed
  it('of a block that is larger than they say are refused, alone or behind another', () => {
    for (const [largest, head] of [
      [65_536, '04224d18604082'],
      [262_144, '04224d186050fb'],
    ] as const) {
      const bytes = bytesOf(largest, 256, 3);
      const block = Buffer.concat([sizeOf(bytes.length), compressBlock(bytes, (made) => made.slice())]);
      assert.ok(block.length - 4 > largest);
      block.writeUInt32LE(block.length - 4);
      for (const before of [0, 1]) {
        const frame = [Buffer.from(head, 'hex'), ...[block, block].slice(before), Buffer.alloc(4)];
        assert.throws(() => decompress(Buffer.concat(frame), (2 - before) * largest), Malformed);
      }
    }
  });

  it('of a block for which there is no room are refused, and what comes after them is read', () => {
    const bytes = bytesOf(4 << 20, 3, 4);
    const good = compress(bytes);
    for (const size of [57 << 20, 70 << 20]) {
      const frame = Buffer.alloc(7 + 4 + size + 4);
      frame.write('04224d18607073', 'hex');
      frame.writeUInt32LE(size, 7);
      assert.throws(() => decompress(frame, 4 << 20), Malformed);
      assert.equal(Buffer.compare(decompress(good, bytes.length), bytes), 0);
      assert.throws(
        () => decompressBlock(frame.subarray(7), Buffer.alloc(4 << 20)),
        Malformed,
        'also where its code itself runs out of memory',
      );
      assert.equal(Buffer.compare(decompress(good, bytes.length), bytes), 0);
    }
  });
});
