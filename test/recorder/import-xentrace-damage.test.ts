/** Files of xentrace that are damaged or hostile: what came before is kept, what comes after is found again. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixturePath, importBytes } from './import-helpers.js';
import { entry, exit, record, recordsOf, runs, window, XEN, type XenRecord } from './xentrace-files.js';

const RIP = 0xffff_ffff_8100_0000n;
const CPUID_EXIT = 0x72;
const FILE = readFileSync(fixturePath('xen-svm-pvh.xentrace'));
const HEADS = recordsOf(FILE).filter(({ event }) => event === XEN.cpu_change);
const EVENTS = recordsOf(FILE).length - HEADS.length;

/** Pairs of exit and entry of a vCPU on CPU 0, from time `from` on. */
const pairs = (from: number, count: number): XenRecord[] =>
  Array.from({ length: count }, (_, i) => [exit(from + 2 * i, CPUID_EXIT, RIP), entry(from + 2 * i + 1)]).flat();
const first = window(0, [runs(1, 1, 0), ...pairs(2, 3)]);
const last = window(0, pairs(100, 2));

describe('a damaged file of xentrace', () => {
  it('that is cut anywhere keeps what came before', () => {
    const whole = recordsOf(first);
    for (let length = 16; length < first.length; length++) {
      const cut = first.subarray(0, length);
      const records = whole.filter(({ to, event }) => to <= length && event !== XEN.cpu_change).length;
      if (records === 0) {
        assert.throws(() => importBytes(cut), { code: 'TRUNCATED' });
        continue;
      }
      const { counts, stopped } = importBytes(cut).result;
      assert.deepEqual([counts.events, stopped?.code], [records, 'TRUNCATED'], `${length} bytes`);
    }
  });

  it('says where, and goes on at the next CPU', () => {
    const garbage = Buffer.alloc(40, 0xff);
    const { counts, stopped } = importBytes(Buffer.concat([first, garbage, last])).result;
    assert.equal(counts.events, 11);
    assert.equal(counts.damaged, 1);
    assert.match(
      stopped?.message ?? '',
      new RegExp(`offset ${first.length}\\): no record that names a CPU where one must be; 40 bytes are left out`),
    );
  });

  it('whose bytes were shifted is found again', () => {
    const { counts } = importBytes(Buffer.concat([first, Buffer.alloc(3), last, last])).result;
    assert.deepEqual([counts.events, counts.damaged], [15, 1]);
  });

  it('with a window that is said to be longer than it is', () => {
    const longer = Buffer.from(first);
    longer.writeUInt32LE(first.readUInt32LE(8) + 400, 8);
    const { counts, stopped } = importBytes(Buffer.concat([longer, last])).result;
    assert.deepEqual([counts.events, counts.damaged], [11, 1]);
    assert.match(stopped?.message ?? '', /records of the next CPU before these end/);
  });

  it('with a window that ends within a record', () => {
    const shorter = Buffer.from(first);
    shorter.writeUInt32LE(first.readUInt32LE(8) - 4, 8);
    const { counts, stopped } = importBytes(Buffer.concat([shorter, last])).result;
    assert.deepEqual([counts.events, counts.damaged], [10, 1]);
    assert.match(stopped?.message ?? '', /a record of 12 bytes where its CPU has 8 left; 12 bytes are left out/);
  });

  it('with zeros in it', () => {
    const zeros = window(0, [{ event: 0 }, { event: 0 }]);
    const { counts, stopped } = importBytes(Buffer.concat([first, zeros, last])).result;
    assert.deepEqual([counts.events, counts.damaged], [11, 1]);
    assert.match(stopped?.message ?? '', /an event of number 0x0, which has no class/);
  });

  it('with a CPU that no host has', () => {
    const { counts } = importBytes(Buffer.concat([first, window(0xffff_fff0, pairs(50, 1)), last])).result;
    assert.deepEqual([counts.events, counts.damaged], [11, 1]);
  });

  it('without a single event', () => {
    assert.throws(() => importBytes(window(0, [])), { code: 'NO_EVENTS' });
    assert.throws(() => importBytes(window(0, [{ event: XEN.wrap_buffer, words: [1, 2] }])), { code: 'NO_EVENTS' });
  });

  it('that lost one window of a real recording keeps all others', () => {
    for (const [i, { from }] of HEADS.entries()) {
      if (i % 9 !== 4) continue;
      const to = HEADS[i + 1]?.from ?? FILE.length;
      const gone = recordsOf(FILE.subarray(from, to)).length - 1;
      const { counts, stopped } = importBytes(Buffer.concat([FILE.subarray(0, from), FILE.subarray(to)])).result;
      assert.deepEqual([counts.events, stopped], [EVENTS - gone, null]);
    }
  });
});

describe('a file of xentrace that comes through a pipe', () => {
  it('a few bytes at a time is the same file', () => {
    const memory = memorySource(FILE, 'test.txt');
    let turn = 0;
    const trickle = {
      ...memory,
      size: 0,
      readAt: null,
      read: (target: Uint8Array, at: number) => memory.read(target.subarray(0, at + 1 + (turn++ % 97)), at),
    };
    const { counts } = importTrace(trickle, () => new StreamWriter(() => {}));
    assert.deepEqual(counts, importBytes(FILE).result.counts);
  });

  it('goes on two rounds later, not at its end', () => {
    let rows = 0;
    const seen: number[] = [];
    const rounds = Array.from({ length: 600 }, (_, i) => window(0, pairs(1 + 100 * i, 40)));
    const memory = memorySource(Buffer.concat(rounds));
    const slow = {
      ...memory,
      readAt: null,
      read: (target: Uint8Array, at: number) => {
        seen.push(rows);
        return memory.read(target.subarray(0, at + 100_000), at);
      },
    };
    importTrace(slow, () => new StreamWriter((chunk) => (rows += chunk.rows)));
    assert.ok((seen.at(-1) ?? 0) > 40_000 - 8192, `${seen.at(-1)} rows of 48,000 before the last read`);
  });
});

describe('hostile files of xentrace', () => {
  it('records far in the future on every CPU do not make each round ask them all', () => {
    const future = Array.from({ length: 16_384 }, (_, cpu) => window(cpu, [entry(2 ** 50)]));
    const rounds = Array.from({ length: 20_000 }, (_, i) => window(0, [entry(i)]));
    assert.equal(importBytes(Buffer.concat([...future, ...rounds])).result.counts.entries, 36_384);
  });

  it('more vCPUs than a trace has lanes for end the import, and what came before is kept', () => {
    const many = Array.from({ length: 70_000 }, (_, i) => runs(i + 1, i >>> 8, i & 0xff));
    const { counts, stopped } = importBytes(window(0, many)).result;
    assert.deepEqual([counts.lanes, stopped?.code], [65_536, 'TOO_MANY_THREADS']);
  });

  it('heads alone are damage once', () => {
    const heads = Buffer.alloc(1 << 20, record({ event: XEN.cpu_change, words: [0, 0] }).subarray(0, 4));
    assert.throws(() => importBytes(heads), { code: 'CORRUPT' });
  });

  it('events without a name, each another one, are named no more at some point', () => {
    const many = Array.from({ length: 9000 }, (_, i) => ({
      event: 0x8000_000 + (i % 4096) + 0x1_0000 * (i >> 12) + 0x1000,
    }));
    const { result, writer } = importBytes(window(0, many));
    assert.equal(result.counts.events, 9000);
    assert.ok(writer.dictionary('event').size <= 4096);
  });
});
