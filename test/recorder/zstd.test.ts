/** The zstd decoder against frames of RFC 8878 written by hand, and against Node's own zstd where there is one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import zlib from 'node:zlib';
import { ZstdStream } from '../../recorder/import/binary/compression.js';
import { unzstd, ZstdPieces } from '../../recorder/import/binary/zstd.js';
import { zstdEmpty, zstdOf } from './zstd-frames.js';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const unpacked = (data: Uint8Array, size: number): Buffer => {
  const target = Buffer.alloc(size);
  assert.equal(unzstd(data, target), null);
  return target;
};

/** What comes out of pieces of `size` bytes each. */
function inPieces(data: Uint8Array, size: number): Buffer {
  const pieces = new ZstdPieces();
  const out: Buffer[] = [];
  for (let at = 0; at < data.length; at += size) {
    const problem = pieces.push(data.subarray(at, at + size), (part) => {
      out.push(Buffer.from(part));
      return null;
    });
    assert.equal(problem, null);
  }
  return Buffer.concat(out);
}

describe('frames in memory', () => {
  it('fill their target', () => {
    assert.deepEqual(unpacked(zstdOf(7, 300_000), 300_000), Buffer.alloc(300_000, 7));
    assert.deepEqual(unpacked(Buffer.concat([zstdOf(1, 5), zstdOf(2, 3)]), 8), Buffer.from([1, 1, 1, 1, 1, 2, 2, 2]));
    assert.deepEqual(unpacked(zstdEmpty, 0), Buffer.alloc(0));
  });

  const damaged: { readonly [what: string]: readonly [data: Uint8Array, size: number, says: RegExp] } = {
    'more than was announced': [zstdOf(7, 300_000), 299_999, /more bytes than were announced/],
    'less than was announced': [zstdOf(7, 300_000), 300_001, /300000 bytes where 300001 were announced/],
    'a frame that ends early': [zstdOf(7, 300_000).subarray(0, -1), 300_000, /ends early/],
    'no frame': [Buffer.from('no frame at all'), 10, /no zstd frame/],
    nothing: [new Uint8Array(0), 10, /0 bytes where 10/],
    'a block of the reserved type': [Buffer.from([...MAGIC, 0, 0x38, 0x0f, 0, 0, 1]), 1, /damaged/],
    'the reserved bit of the header': [Buffer.from([...MAGIC, 0x08, 0x38, 1, 0, 0]), 1, /does not read/],
    'a dictionary': [Buffer.from([...MAGIC, 0x01, 0x38, 9, 1, 0, 0]), 1, /dictionary/],
  };
  for (const [what, [data, size, says]] of Object.entries(damaged)) {
    it(`${what} is said, and the next frame is read`, () => {
      assert.match(unzstd(data, Buffer.alloc(size)) ?? '', says);
      assert.deepEqual(unpacked(zstdOf(9, 4), 4), Buffer.alloc(4, 9));
    });
  }
});

describe('frames in pieces', () => {
  it('come out the same however they are cut', () => {
    const frames = Buffer.concat([zstdOf(1, 200_000), zstdOf(2, 131_072), zstdEmpty, zstdOf(3, 400_000)]);
    const whole = Buffer.concat([Buffer.alloc(200_000, 1), Buffer.alloc(131_072, 2), Buffer.alloc(400_000, 3)]);
    for (const size of [1, 2, 3, 7, 16, frames.length]) assert.deepEqual(inPieces(frames, size), whole);
  });

  it('a window of more than 128 MiB is refused, as a number and as a content of one segment', () => {
    for (const header of [
      [0, 18 << 3], // 2^(10 + 18)
      [0xa0, 0, 0, 0, 0x10], // 256 MiB
    ]) {
      const frame = Buffer.from([...MAGIC, ...header, 0x0b, 0, 0, 1]);
      assert.match(new ZstdPieces().push(frame, () => null) ?? '', /128 MiB/);
    }
  });

  it('hand out the blocks before one that is damaged', () => {
    const good = zstdOf(5, 300_000);
    good[good.length - 4] = (good[good.length - 4] as number) & ~1; // not the last block
    const out: number[] = [];
    const pieces = new ZstdPieces();
    const problem = pieces.push(Buffer.concat([good, Buffer.from([0x0f, 0, 0, 1])]), (part) => {
      out.push(part.length);
      return null;
    });
    assert.match(problem ?? '', /damaged/);
    assert.equal(
      out.reduce((sum, length) => sum + length, 0),
      300_000,
    );
  });

  it('give back their memory', () => {
    const frame = Buffer.from([...MAGIC, 0, 17 << 3, 0x0b, 0, 0, 1]); // a window of 128 MiB
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 40; i++) {
      const pieces = new ZstdPieces();
      pieces.push(frame, () => null);
      pieces.close();
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 300 << 20);
    assert.deepEqual(unpacked(zstdOf(9, 4), 4), Buffer.alloc(4, 9));
  });

  it('end where what takes them refuses', () => {
    let blocks = 0;
    const problem = new ZstdPieces().push(zstdOf(1, 1 << 20), () => {
      blocks += 1;
      return blocks === 3 ? 'enough' : null;
    });
    assert.equal(problem, 'enough');
    assert.equal(blocks, 3);
  });

  it('a piece becomes no more than it may', () => {
    const stream = new ZstdStream(() => {});
    assert.equal(stream.push(zstdOf(1, 1 << 20), 1 << 20), null);
    assert.match(stream.push(zstdOf(1, 1 << 20), (1 << 20) - 1) ?? '', /beyond all bounds/);
  });
});

const compress = (zlib as { readonly zstdCompressSync?: (data: Uint8Array) => Uint8Array }).zstdCompressSync;

describe("what Node's zstd packed", { skip: compress === undefined && 'this Node has no zstd' }, () => {
  it('comes out as it went in, whole and in pieces', () => {
    const words = ['kvm_exit', 'kvm_entry', 'reason', 'EXIT_NPF', 'rip', '0x1047f'];
    const text = Array.from({ length: 200_000 }, (_, i) => `${words[(i * i) % 6]} ${(i * 2_654_435_761) % 4096}\n`);
    const data = Buffer.from(text.join(''));
    const packed = compress?.(data) ?? data;
    assert.deepEqual(unpacked(packed, data.length), data);
    assert.deepEqual(inPieces(packed, 1000), data);
  });
});
