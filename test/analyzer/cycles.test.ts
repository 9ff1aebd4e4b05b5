/** Handler times of a host that are cycles of its TSC: named so, and samples as all times of hosts are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readBudget } from '../../analyzer/budget.js';
import { judge } from '../../analyzer/budget-judge.js';
import { DiffSide } from '../../analyzer/diff-side.js';
import { profile } from '../../analyzer/profile/profile.js';
import { integrityOf, isIntact } from '../../analyzer/verify.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { fixturePath } from '../recorder/import-helpers.js';
import { scratch } from '../traces/rows.js';

const FILE = readFileSync(fixturePath('xen-svm-pvh.xentrace'));

function side(tscHz?: number): DiffSide {
  const made = new DiffSide();
  const writer = new StreamWriter((chunk) => made.take(chunk));
  importTrace(memorySource(FILE), () => writer, tscHz === undefined ? {} : { tscHz });
  made.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
  return made;
}

describe('handler times in cycles', () => {
  for (const name of ['xen.arrow', 'xen.sqlite']) {
    it(`of ${name} are its unit, and the trace is intact`, (t) => {
      const path = join(scratch(t), name);
      importTrace(memorySource(FILE), () => createTrace(path));
      const reader = openTrace(path);
      try {
        const { unit, rows } = profile(reader);
        assert.equal(unit, 'cycles');
        const hlt = rows.find(({ reason }) => reason === 'HLT');
        assert.deepEqual([hlt?.count, hlt?.times?.samples], [128, 128]);
        assert.ok(isIntact(integrityOf(reader)));
      } finally {
        reader.close();
      }
    });
  }

  it('are nanoseconds where the frequency is known: half as many at 2 GHz', () => {
    const [cycles, time] = [side(), side(2e9)].map(({ profile: of }) =>
      of?.rows.find(({ reason }) => reason === 'MSR'),
    );
    const half = (cycles?.times?.total ?? 0) / 2;
    // each of the two times of a pair is truncated
    assert.ok(Math.abs((time?.times?.total ?? 0) - half) <= (time?.count ?? 0), `${time?.times?.total} of ${half}`);
  });

  it('are no ticks, of which budgets may be exact', () => {
    const run = { left: side(), right: side() };
    assert.throws(() => judge(run, readBudget('ticks.total <= baseline')), { code: 'NOISY_BUDGET' });
    assert.throws(() => judge(run, readBudget('latency.mean.total <= 3us')), { code: 'MIXED_BUDGET' });
    const verdict = judge(run, readBudget('latency.p50.MSR <= baseline + 5%'));
    assert.deepEqual([verdict.unit, verdict.holds], ['cycles', true]);
    assert.notEqual(verdict.test, null, 'judged as samples');
  });

  it('are not held against nanoseconds', () => {
    const run = { left: side(), right: side(2e9) };
    assert.throws(() => judge(run, readBudget('latency.p50.MSR <= baseline')), { code: 'MIXED_BUDGET' });
  });
});
