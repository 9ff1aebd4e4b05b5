/** What a profile reads of a recording without storing it is all that it needs: read whole, the recording has the same. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CountedEvent, type ExitIndex, ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { NestedProfiler } from '../../analyzer/profile/nested.js';
import { PROFILE_READING, READING } from '../../analyzer/profile/walk.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportOptions } from '../../recorder/import/result.js';
import type { EventTaker } from '../../recorder/import/sink.js';
import { memorySource, openSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { inPackage } from '../../traces/guests/guest.js';
import { sharedPath } from '../recorder/import-helpers.js';
import { asVersion7 } from '../recorder/trace-dat-files.js';

const FIXTURES = inPackage('test', 'recorder', 'fixtures');
const COUNTED: readonly CountedEvent[] = ['vmexit', 'mmio', 'ioport'];

interface Counted {
  readonly answers: readonly unknown[];
  readonly events: number;
  /** Rows that were written. */
  readonly rows: number;
}

/** Everything that is counted of a recording. */
function counted(from: string | Buffer, options: ImportOptions): Counted {
  let rows = 0;
  const builders = COUNTED.map((event) => new ExitIndexBuilder(event));
  const nested = new NestedProfiler();
  const writer = new StreamWriter((chunk) => {
    rows += chunk.rows;
    for (const taker of [...builders, nested]) taker.take(chunk);
  });
  const source = typeof from === 'string' ? openSource(from) : memorySource(from);
  try {
    const { counts, notes } = importTrace(source, () => writer, options);
    assert.ok(counts.events > 0);
    const indexes = builders.map((builder) => builder.finish());
    return { answers: [indexes, nested.finish(() => null), counts, notes], events: counts.events, rows };
  } finally {
    source.close();
  }
}

/** Exits that are counted as they come, without rows, and all that there is to compare with counted(). */
function taken(from: string | Buffer): Counted {
  const builder = new ExitIndexBuilder('vmexit');
  const { events } = builder;
  assert.ok(events !== null);
  let taken = 0;
  const taker: EventTaker = {
    wants: (kind, lane) => events.wants(kind, lane),
    event: (seq, event) => {
      taken += 1;
      events.event(seq, event);
    },
  };
  const writer = new StreamWriter(({ table }) => assert.notEqual(table, 'event'));
  const source = typeof from === 'string' ? openSource(from) : memorySource(from);
  try {
    const { counts, notes } = importTrace(source, () => writer, { ...PROFILE_READING, brief: true, taker });
    return { answers: [builder.finish(), counts, notes], events: counts.events, rows: taken };
  } finally {
    source.close();
  }
}

/** What `counted` has that `taken` has too. */
const exitsOf = ({ answers: [indexes, , counts, notes] }: Counted): readonly unknown[] => [
  (indexes as readonly unknown[])[COUNTED.indexOf('vmexit')],
  counts,
  notes,
];

/** perf_event.h: PERF_RECORD_SAMPLE, PERF_RECORD_FINISHED_ROUND, and PERF_RECORD_HEADER_TRACING_DATA, whose data follow it. */
const PERF = { sample: 9, tracingData: 66, finishedRound: 68 } as const;
/** A sample's time, behind its header, identifier, address and thread. */
const TIME = 32;

/** A recording of perf's pipe mode with its last sample once more, 0.2 s earlier and rounds too late. */
function withLateSample(file: Buffer): Buffer {
  let last = file;
  for (let at = 16; at < file.length; ) {
    const type = file.readUInt32LE(at);
    const size = file.readUInt16LE(at + 6);
    if (type === PERF.sample) last = file.subarray(at, at + size);
    at += size + (type === PERF.tracingData ? Math.ceil(file.readUInt32LE(at + 8) / 8) * 8 : 0);
  }
  const late = Buffer.from(last);
  late.writeBigUInt64LE(late.readBigUInt64LE(TIME) - 200_000_000n, TIME);
  const round = Buffer.alloc(8);
  round.writeUInt32LE(PERF.finishedRound);
  round.writeUInt16LE(8, 6);
  return Buffer.concat([file, round, round, late]);
}

describe('a profile without storing counts what a whole import holds', () => {
  const files = readdirSync(FIXTURES).filter((name) => /\.(dat|data|txt|xentrace)$/.test(name));
  assert.ok(files.length > 10);
  for (const file of files) {
    it(file, () => {
      const path = join(FIXTURES, file);
      const { answers, events } = counted(path, {});
      const read = counted(path, { ...READING, brief: true });
      assert.deepEqual(read, { answers, events, rows: events });
      const profiled = counted(path, { ...PROFILE_READING, brief: true });
      assert.deepEqual(profiled, { answers, events, rows: profiled.rows });
      assert.deepEqual(taken(path).answers, exitsOf({ answers, events, rows: events }));
    });
  }

  const piped = sharedPath('kvm/svm/svm_pipe.perf.data');
  it('also where an event that it does not look at comes late', {
    skip: piped === null && 'needs kvm/svm/svm_pipe.perf.data of the shared data',
  }, () => {
    const file = withLateSample(readFileSync(piped ?? ''));
    const { answers, events } = counted(file, {});
    const profiled = counted(file, { ...PROFILE_READING, brief: true });
    assert.deepEqual(profiled, { answers, events, rows: profiled.rows });
    assert.deepEqual(taken(file).answers, exitsOf({ answers, events, rows: events }));
  });

  for (const clocks of [
    ['local', 'x86-tsc'],
    ['x86-tsc', 'local'],
  ])
    it(`of buffers with the clocks ${clocks.join(' and ')}: that of the first event goes`, () => {
      const one = readFileSync(join(FIXTURES, 'svm-two-vcpus.trace.dat'));
      const file = Buffer.from(asVersion7(one, true, { buffers: ['', 'kvm'], clocks }));
      const whole = counted(file, {});
      assert.deepEqual(taken(file).answers, exitsOf(whole));
      const [index] = exitsOf(whole) as [ExitIndex];
      assert.equal(index.unit, clocks[0] === 'local' ? 'ns' : 'cycles');
    });

  it('without rows of events that it does not look at', () => {
    const { events, rows } = counted(join(FIXTURES, 'svm-two-vcpus.trace.dat'), { ...PROFILE_READING, brief: true });
    assert.ok(rows > events / 2 && rows < 0.8 * events, `${rows} rows of ${events} events`);
  });

  it('nor of those that would say what is known', () => {
    const path = join(FIXTURES, 'svm-two-vcpus.trace.dat');
    const { rows } = counted(path, { ...PROFILE_READING, brief: true });
    assert.ok(taken(path).rows < 0.8 * rows, `${taken(path).rows} of ${rows} rows`);
  });
});
