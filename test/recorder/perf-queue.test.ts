/** Records that wait for their round, in the window that they were read in and, where it cannot keep them, copied. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SampleLayout } from '../../recorder/import/binary/perf-attr.js';
import { PerfQueue } from '../../recorder/import/binary/perf-queue.js';
import { HEADER, RECORD } from '../../recorder/import/binary/perf-records.js';
import { pipeWindow, Window } from '../../recorder/import/binary/window.js';
import { memorySource } from '../../recorder/import/source.js';

const SPAN = 1000;

/** A sequence that looks random, from 0 to 2^32 - 1 (Knuth's MMIX generator, upper half). */
function sequence(seed: bigint): () => number {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 32n);
  };
}

interface Piece {
  /** A record to queue, the end of a round, or bytes that nobody reads. */
  readonly what: 'record' | 'round' | 'other';
  readonly size: number;
  readonly time: number;
}

/** Rounds of records, each of which may come before those of the round before but not before those of an earlier one. */
function pieces(rounds: number, each: number, other: number, sizes: () => number, times: () => number): Piece[] {
  return Array.from({ length: rounds }, (_, round) => {
    const records = Array.from({ length: each }, (): Piece[] => {
      const time = round * SPAN + (times() % (SPAN + SPAN / 2));
      return [{ what: 'record', size: 16 + 8 * (sizes() % 40), time }];
    }).flat();
    const middle = each >> 1;
    return [
      ...records.slice(0, middle),
      ...(other > 0 ? [{ what: 'other', size: other, time: 0 } as const] : []),
      ...records.slice(middle),
      { what: 'round', size: 8, time: 0 } as const,
    ];
  }).flat();
}

/** A sample of 8 bytes of header and 8 of time, then of its number; an end of a round; or nothing that is read. */
function bytesOf({ what, size, time }: Piece, number: number): Buffer {
  const bytes = Buffer.alloc(size, number % 251);
  if (what === 'other') return bytes;
  bytes.writeUInt32LE(what === 'record' ? RECORD.sample : RECORD.finishedRound, 0);
  bytes.writeUInt16LE(size, 6);
  if (what === 'record') bytes.writeBigUInt64LE(BigInt(time), HEADER);
  return bytes;
}

/** Of samples with a time and nothing else. */
const LAYOUT: SampleLayout = {
  ip: -1,
  tid: -1,
  time: HEADER,
  addr: -1,
  id: -1,
  cpu: -1,
  period: -1,
  end: HEADER + 8,
  read: false,
  callchain: false,
  raw: false,
  rawAt: -1,
  trailer: { time: 0, cpu: 0, size: 0 },
};

/** What the queue hands on: number and time of each record, all of whose bytes must be as they were. */
function handed(all: readonly Piece[], into: (window: Window) => Window | null = () => null): [number, number][] {
  const bytes = all.map(bytesOf);
  const out: [number, number][] = [];
  const numbers = new Map<number, number>();
  const queue = new PerfQueue(
    true,
    () => LAYOUT,
    ({ view, at, size, offset, timeLow, timeHigh }) => {
      const number = numbers.get(offset) ?? -1;
      assert.ok(Buffer.from(view.buffer, view.byteOffset + at, size).equals(bytes[number] ?? Buffer.alloc(0)));
      assert.equal(timeHigh, 0);
      out.push([number, timeLow]);
    },
  );
  const window = pipeWindow(memorySource(Buffer.concat(bytes)));
  queue.stayIn(window);
  let taken = 0;
  all.reduce((offset, { size }, i) => {
    numbers.set(offset, i);
    return offset + size;
  }, 0);
  for (let i = 0; i < all.length; ) {
    const { what, size } = all[i] as Piece;
    if (what === 'other') assert.ok(window.skip(size));
    else {
      assert.ok(window.ensure(size));
      const other = what === 'record' ? into(window) : null;
      if (what === 'round') queue.round();
      else if (other === null) {
        taken = queue.take(window);
        assert.ok(taken > 0);
        i += taken;
        continue;
      } else {
        other.push(window.bytes.slice(window.start, window.start + size));
        queue.stayIn(other);
        assert.equal(queue.take(other, window.offset), 1);
      }
      window.consume(size);
    }
    i += 1;
  }
  queue.end();
  assert.equal(queue.late, 0);
  return out;
}

const sorted = (all: readonly Piece[]): [number, number][] =>
  all
    .flatMap(({ what, time }, i): [number, number][] => (what === 'record' ? [[i, time]] : []))
    .sort(([i, a], [j, b]) => a - b || i - j);

describe('records of perf.data on their way into the order of time', () => {
  const cases: readonly (readonly [what: string, rounds: number, each: number, other: number])[] = [
    ['in small rounds', 200, 40, 0],
    ['in rounds larger than the window', 4, 12_000, 0],
    ['in rounds larger than what the window keeps', 2, 40_000, 0],
    ['around bytes that are passed over', 5, 200, 5 << 20],
    ['without rounds', 1, 3000, 1 << 20],
  ];
  for (const [what, rounds, each, other] of cases) {
    it(what, () => {
      const all = pieces(rounds, each, other, sequence(1n), sequence(2n));
      assert.deepEqual(handed(all), sorted(all));
    });
  }

  it('some of another window', () => {
    const all = pieces(50, 200, 100_000, sequence(3n), sequence(4n));
    const choose = sequence(5n);
    const inner = new Window(() => 0, 0, 64);
    const into = (): Window | null => (choose() % 3 > 0 ? null : inner);
    assert.deepEqual(handed(all, into), sorted(all));
  });

  it('a window keeps a few MiB at the most', () => {
    const window = new Window((target, at) => target.length - at);
    let released = false;
    window.keeper = {
      get first() {
        return released ? Number.POSITIVE_INFINITY : 0;
      },
      release() {
        released = true;
      },
    };
    assert.ok(window.skip(1 << 30));
    assert.ok(released);
    assert.ok(window.bytes.length <= 16 << 20);
  });
});
