/** Recordings that still go on: reading without waiting, looking at events while they are stored, and how late they are. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { importTrace } from '../../recorder/import/import.js';
import type { Lane } from '../../recorder/import/lanes.js';
import { type ByteSource, memorySource, roomy } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { Lag } from '../../recorder/live/lag.js';
import { openLive } from '../../recorder/live/source.js';
import { TapWriter } from '../../recorder/live/tap.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { CHUNK_ROWS } from '../../traces/schema.js';
import type { Chunk, Row } from '../../traces/store.js';
import { fixture, fixturePath } from './import-helpers.js';

const NUMBERS = ['seq', 'vcpu', 'time_ns', 'kind', 'isa', 'from_level', 'reason', 'rip', 'parent'];

const rowsOf = (rows: Row[], chunk: Chunk): void => {
  for (let i = 0; i < chunk.rows; i++) {
    const row = chunk.row(i);
    rows.push(Object.fromEntries(NUMBERS.map((name) => [name, row[name] ?? null])));
  }
};

/** A source that gives a few bytes at a time, and calls before each piece. */
function piecemeal(bytes: Uint8Array, size: number, before: () => void): ByteSource {
  const whole = memorySource(bytes, 'pieces');
  return {
    ...whole,
    readAt: null,
    read(target, at) {
      before();
      return whole.read(target.subarray(0, Math.min(target.length, at + size)), at);
    },
  };
}

test('who looks on sees each event once, in order, as the trace gets it, across chunks', () => {
  const text = Buffer.from(fixture('svm-two-vcpus.report.txt').repeat(200));
  const [stored, seen]: [Row[], Row[]] = [[], []];
  let tap: TapWriter | null = null;
  let looks = 0;
  let lanes: readonly Lane[] = [];
  const source = piecemeal(text, 9001, () => {
    const before = seen.length;
    tap?.show();
    if (seen.length > before) looks += 1;
  });
  const open = (): TapWriter => {
    tap = new TapWriter(new StreamWriter((chunk) => rowsOf(stored, chunk)), (chunk) => rowsOf(seen, chunk));
    return tap;
  };
  importTrace(source, open, {
    lanes: (all) => {
      lanes = all;
    },
  });
  assert.ok(stored.length > CHUNK_ROWS.event, 'more than one chunk');
  assert.ok(looks > 20, 'they came while they were read');
  assert.deepEqual(seen, stored);
  assert.deepEqual(
    lanes.map(({ vcpu }) => vcpu),
    [...new Set(stored.map(({ vcpu }) => vcpu))].map((lane) => lanes[Number(lane)]?.vcpu),
  );
});

test('a pipe that has nothing yet is asked again and again, and the rest of the program has its turn', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-live-'));
  try {
    const path = join(folder, 'fifo');
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    const writer = spawn('sh', ['-c', `exec >"${path}"; printf one; sleep 0.3; printf two; exec sleep 60`]);
    let ticks = 0;
    let stop = false;
    const source = openLive(path, {
      waits: () => {},
      tick: () => {
        ticks += 1;
        if (source.bytes === 6 && ticks > 2000) stop = true;
        if (source.bytes === 6) ticks += 500;
      },
      stopped: () => stop,
    });
    assert.equal(source.readAt, null);
    const target = new Uint8Array(100);
    let filled = 0;
    while (filled < 6) filled += source.read(target, filled);
    assert.equal(Buffer.from(target.subarray(0, 6)).toString(), 'onetwo');
    assert.ok(ticks > 5, 'it looked while it waited');
    assert.equal(source.read(target, filled), 0, 'who is told to stop says that the input ends');
    assert.equal(source.bytes, 6);
    source.close();
    writer.kill('SIGKILL');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a file can be read out of order, a folder not at all', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-live-'));
  try {
    const hooks = { waits: () => {}, tick: () => {}, stopped: () => false };
    writeFileSync(join(folder, 'file'), 'abcdef');
    const source = openLive(join(folder, 'file'), hooks);
    const target = new Uint8Array(3);
    assert.equal(source.readAt?.(target, 2), 3);
    assert.equal(Buffer.from(target).toString(), 'cde');
    assert.equal(source.size, 6);
    source.close();
    assert.throws(() => openLive(folder, hooks), { code: 'EISDIR' });
    assert.throws(() => openLive(join(folder, 'none'), hooks), { code: 'ENOENT' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what is read in small pieces is asked of the system in large ones, and comes whole', () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  const whole = memorySource(bytes);
  const asked: number[] = [];
  const read = roomy((target, at) => {
    asked.push(target.length - at);
    return whole.read(target.subarray(0, Math.min(target.length, at + 300)), at); // records, as /dev/kmsg has them
  });
  const got = new Uint8Array(bytes.length + 20_000);
  let filled = 0;
  for (let turn = 0, count = -1; count !== 0; turn++) {
    const room = [16, 1, 299, 8192, 20_000][turn % 5] ?? 16;
    count = read(got.subarray(0, filled + room), filled);
    filled += count;
  }
  assert.equal(filled, bytes.length);
  assert.deepEqual(got.subarray(0, filled), bytes);
  assert.ok(Math.min(...asked) >= 8192, 'a record of /dev/kmsg fits in any read');
});

test('lag is what events take beyond the quickest of them', () => {
  const lag = new Lag();
  const second = 1e9;
  lag.arrived(100 * second, 5_000);
  assert.equal(lag.behind, 0);
  lag.arrived(101 * second, 6_250);
  assert.equal(lag.behind, 250);
  lag.arrived(103 * second, 7_000); // quicker than any before
  assert.equal(lag.behind, 0);
  lag.arrived(103.5 * second, 8_500);
  assert.equal(lag.behind, 1000);
});

test('a look that a person ends amid a record replaces a trace, and one that its recorder cuts does not', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-live-'));
  try {
    const path = join(folder, 'run.sqlite');
    const whole = readFileSync(fixturePath('xen-svm-pvh.xentrace'));
    importTrace(memorySource(whole), () => createTrace(path));
    for (const ended of [false, true]) {
      const open = () =>
        new TapWriter(
          createTrace(path, { replace: true }),
          () => {},
          () => ended,
        );
      const result = importTrace(memorySource(whole.subarray(0, -1001)), open);
      assert.equal(result.stopped?.code, 'TRUNCATED');
      assert.equal(result.path === path, ended);
      const reader = openTrace(path);
      reader.close();
      assert.equal(reader.complete, !ended);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
