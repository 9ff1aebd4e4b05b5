/** What a profile reads of a recording without storing it is all that it needs: read whole, the recording has the same. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CountedEvent, ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { NestedProfiler } from '../../analyzer/profile/nested.js';
import { READING } from '../../analyzer/profile/walk.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportOptions } from '../../recorder/import/result.js';
import { openSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { inPackage } from '../../traces/guests/guest.js';

const FIXTURES = inPackage('test', 'recorder', 'fixtures');
const COUNTED: readonly CountedEvent[] = ['vmexit', 'mmio', 'ioport'];

/** Everything that is counted of a recording. */
function counted(path: string, options: ImportOptions): unknown {
  const builders = COUNTED.map((event) => new ExitIndexBuilder(event));
  const nested = new NestedProfiler();
  const writer = new StreamWriter((chunk) => {
    for (const taker of [...builders, nested]) taker.take(chunk);
  });
  const source = openSource(path);
  try {
    const { counts } = importTrace(source, () => writer, options);
    assert.ok(counts.events > 0);
  } finally {
    source.close();
  }
  return [builders.map((builder) => builder.finish()), nested.finish(() => null)];
}

describe('a profile without storing counts what a whole import holds', () => {
  const files = readdirSync(FIXTURES).filter((name) => /\.(dat|data|txt|xentrace)$/.test(name));
  assert.ok(files.length > 10);
  for (const file of files) {
    it(file, () => {
      const path = join(FIXTURES, file);
      assert.deepEqual(counted(path, { ...READING, brief: true }), counted(path, {}));
    });
  }
});
