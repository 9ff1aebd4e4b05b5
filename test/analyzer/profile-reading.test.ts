/** What a profile reads of a recording without storing it is all that it needs: read whole, the recording has the same. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CountedEvent, ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { NestedProfiler } from '../../analyzer/profile/nested.js';
import { PROFILE_READING, READING } from '../../analyzer/profile/walk.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportOptions } from '../../recorder/import/result.js';
import { openSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { inPackage } from '../../traces/guests/guest.js';

const FIXTURES = inPackage('test', 'recorder', 'fixtures');
const COUNTED: readonly CountedEvent[] = ['vmexit', 'mmio', 'ioport'];

interface Counted {
  readonly answers: readonly unknown[];
  readonly events: number;
  /** Rows that were written. */
  readonly rows: number;
}

/** Everything that is counted of a recording. */
function counted(path: string, options: ImportOptions): Counted {
  let rows = 0;
  const builders = COUNTED.map((event) => new ExitIndexBuilder(event));
  const nested = new NestedProfiler();
  const writer = new StreamWriter((chunk) => {
    rows += chunk.rows;
    for (const taker of [...builders, nested]) taker.take(chunk);
  });
  const source = openSource(path);
  try {
    const { counts, notes } = importTrace(source, () => writer, options);
    assert.ok(counts.events > 0);
    const indexes = builders.map((builder) => builder.finish());
    return { answers: [indexes, nested.finish(() => null), counts, notes], events: counts.events, rows };
  } finally {
    source.close();
  }
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
    });
  }

  it('without rows of events that it does not look at', () => {
    const { events, rows } = counted(join(FIXTURES, 'svm-two-vcpus.trace.dat'), { ...PROFILE_READING, brief: true });
    assert.ok(rows > events / 2 && rows < 0.8 * events, `${rows} rows of ${events} events`);
  });
});
