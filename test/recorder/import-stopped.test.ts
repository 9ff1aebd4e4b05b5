/** Who ends a reading ends it amid something: that is no damage of what was read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import type { ImportResult } from '../../recorder/import/result.js';
import { type ByteSource, memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixturePath } from './import-helpers.js';
import { asPipe, asPlain } from './perf-files.js';

const fixture = (name: string): Buffer => readFileSync(fixturePath(name));

const RECORDINGS: { readonly [what: string]: Buffer } = {
  'perf.data of a pipe': asPipe(asPlain(fixture('svm-exit-entry.zstd.perf.data'))),
  'trace.dat': fixture('vmx-basic.trace.dat'),
  xentrace: fixture('xen-svm-pvh.xentrace'),
  text: fixture('svm-two-vcpus.report.txt'),
};

/** Imports the first `size` bytes of a pipe. */
function importFirst(file: Buffer, size: number, end: Pick<ByteSource, 'cut' | 'isStopped'>): ImportResult {
  const source = { ...memorySource(file.subarray(0, size), 'a pipe'), size: 0, readAt: null, ...end };
  return importTrace(source, () => new StreamWriter(() => {}));
}

describe('a recording of which somebody ended the reading', () => {
  for (const [what, file] of Object.entries(RECORDINGS)) {
    // places of any kind: amid heads, amid contents; a trace.dat says in its last section where its pages are
    const from = what === 'trace.dat' ? file.length - 1 : Math.floor(file.length * 0.9);
    const sizes = Array.from({ length: 12 }, (_, i) => from - (what === 'trace.dat' ? i : 61 * i));

    it(`has no damage: ${what}`, () => {
      const whole = importFirst(file, file.length, {});
      assert.equal(whole.counts.damaged, 0);
      for (const size of sizes) {
        const cut = (): ImportError => new ImportError('INTERRUPTED', 'a pipe');
        const asked = importFirst(file, size, { isStopped: () => true });
        const interrupted = importFirst(file, size, { cut });
        assert.deepEqual([asked.counts.damaged, asked.stopped], [0, null]);
        assert.deepEqual([interrupted.counts.damaged, interrupted.stopped?.code], [0, 'INTERRUPTED']);
        assert.ok(asked.counts.events > 0 && asked.counts.events <= whole.counts.events);
        assert.equal(interrupted.counts.events, asked.counts.events);
        for (const { says } of [...asked.notes, ...interrupted.notes])
          assert.doesNotMatch(says, /ends before|no event:/);
      }
    });
  }

  it('has no line that it is amid, whose numbers may go on', () => {
    const lines = '  CPU 0/KVM-1 [000] 1.000001: kvm_exit: reason MSR_WRITE rip 0x1000 info 0 0\n'.repeat(3);
    const text = Buffer.from(lines);
    const ended = importFirst(text, text.length - 5, { isStopped: () => true });
    assert.equal(ended.counts.events, 2);
    assert.equal(importFirst(text, text.length - 5, {}).counts.events, 3);
  });

  it('has the damage that it had before', () => {
    const file = Buffer.from(RECORDINGS['perf.data of a pipe'] ?? []);
    assert.ok(importFirst(file, file.length - 3, {}).counts.damaged > 0);
  });
});
