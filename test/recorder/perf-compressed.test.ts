/** perf.data of `perf record -z`: records that are pieces of one zstd stream, whole, cut and damaged. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ImportError } from '../../recorder/import/errors.js';
import { fixturePath, type Imported, importBytes } from './import-helpers.js';
import { asAligned, asDamaged, asPipe, asPlain, asShort } from './perf-files.js';

const PERF = readFileSync(fixturePath('svm-exit-entry.zstd.perf.data'));
const ALIGNED = 83;
const same = ({ events, result }: Imported): unknown => [events, result.counts];

/** Offsets of the records of a pipe of this type. */
function recordsOf(pipe: Buffer, type: number): number[] {
  const found: number[] = [];
  for (let at = 16; at < pipe.length; ) {
    const is = pipe.readUInt32LE(at);
    if (is === type) found.push(at);
    // tracing data: its length stands in the record, and it follows
    at += pipe.readUInt16LE(at + 6) + (is === 66 ? (pipe.readUInt32LE(at + 8) + 7) & ~7 : 0);
  }
  return found;
}

/** What does not depend on events that are not there. */
const rowOf = ({ kind, time_ns, reason, rip, vcpu }: Imported['events'][number]): string =>
  [kind, time_ns, reason, rip, vcpu].map(String).join(' ');

/** Rows of a file that is not whole; none where it is refused. */
function rowsOf(bytes: Uint8Array): { readonly rows: string[]; readonly code: string | undefined } {
  try {
    const { events, result } = importBytes(bytes);
    return { rows: events.map(rowOf), code: result.stopped?.code };
  } catch (error) {
    if (!(error instanceof ImportError)) throw error;
    return { rows: [], code: error.code };
  }
}

function assertAmong(rows: readonly string[], all: readonly string[], says: string): void {
  let at = -1;
  for (const row of rows) {
    at = all.indexOf(row, at + 1);
    assert.ok(at >= 0, `${says}: ${row} is not of the recording, or not in its order`);
  }
}

describe('compressed records of perf.data', () => {
  const file = importBytes(PERF);
  const all = file.events.map(rowOf);

  it('compressed records of a file', () => {
    assert.equal(file.result.counts.exits, 417); // of the manifest of the collection
    assert.equal(file.result.stopped, null);
  });

  it('what is not compressed says what compressed records said', () => {
    assert.deepEqual(same(importBytes(asPlain(PERF))), same(file));
  });

  it('those of newer kernels, which say how long their data is, say the same', () => {
    for (const aligned of [asAligned(PERF), asPipe(asAligned(PERF))])
      assert.deepEqual(same(importBytes(aligned)), same(file));
  });

  it('a damaged block of a compressed perf.data costs nothing of what was packed before it', () => {
    const plain = importBytes(asPlain(PERF));
    const damaged = importBytes(asDamaged(asPlain(PERF)));
    assert.deepEqual(damaged.events, plain.events);
    assert.equal(damaged.result.stopped?.code, 'CORRUPT');
  });

  for (const [name, pipe] of [
    ['as they were', asPipe(asShort(PERF))],
    ['with their length', asPipe(asAligned(asShort(PERF)))],
  ] as const) {
    it(`${name}: a cut costs what lies behind it, and no more the later it is`, () => {
      let last = 0;
      for (let length = pipe.length - 1; length > 0; length -= 1 + (pipe.length >> 7)) {
        const { rows, code } = rowsOf(pipe.subarray(0, length));
        assertAmong(rows, all, `${length} of ${pipe.length} bytes`);
        assert.notEqual(code, undefined, `${length} of ${pipe.length} bytes`);
        assert.ok(length === pipe.length - 1 || rows.length <= last, `${length} of ${pipe.length} bytes`);
        last = rows.length;
      }
    });
  }

  it('one that says more data than it has, or none, is damaged, and what came before it is kept', () => {
    const pipe = asPipe(asAligned(asShort(PERF)));
    const places = recordsOf(pipe, ALIGNED);
    assert.ok(places.length > 2);
    for (const place of [places.at(0) ?? 0, places.at(1) ?? 0, places.at(-1) ?? 0]) {
      const before = rowsOf(pipe.subarray(0, place)).rows;
      const room = pipe.readUInt16LE(place + 6) - 16;
      for (const length of [BigInt(room + 1), 1n << 40n, (1n << 64n) - 1n]) {
        const bad = Buffer.from(pipe);
        bad.writeBigUInt64LE(length, place + 8);
        const { rows, code } = rowsOf(bad);
        assert.equal(code, before.length === 0 ? code : 'CORRUPT', `${length} bytes at ${place}`);
        assert.notEqual(code, undefined);
        assert.deepEqual(rows, before, `${length} bytes at ${place}`);
      }
    }
  });
});
