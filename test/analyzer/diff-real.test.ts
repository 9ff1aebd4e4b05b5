/** Pairs of real recordings whose differences are known: the manifest of the collection says them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { compare, type Diff } from '../../analyzer/diff.js';
import { DiffSide } from '../../analyzer/diff-side.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { sharedPath } from '../recorder/import-helpers.js';

function sideOf(path: string): DiffSide {
  const side = new DiffSide();
  const writer = new StreamWriter((chunk) => side.take(chunk));
  importTrace(memorySource(readFileSync(path)), () => writer);
  side.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
  return side;
}

/** Reasons whose number of exits changed, by how many. */
const deltas = ({ reasons }: Diff): { [reason: string]: number } =>
  Object.fromEntries(reasons.flatMap(({ reason, delta }) => (delta === 0 ? [] : [[reason, delta]])));
/** Events besides exits and the entry that follows each, whose number changed. */
const eventsOf = ({ events }: Diff): { [kind: string]: readonly [number, number] } =>
  Object.fromEntries(
    events.flatMap(({ kind, left, right }) =>
      kind === 'entry' || kind === 'exit' ? [] : [[kind, [left, right] as const]],
    ),
  );

interface Pair {
  readonly left: string;
  readonly right: string;
  readonly holds: (diff: Diff) => void;
}

const PAIRS: { readonly [says: string]: Pair } = {
  'AMD, 150 CPUIDs for 100: those, their emulation, and interrupts': {
    left: 'kvm/svm/svm_basic.trace.dat',
    right: 'kvm/svm/svm_diff_cpuid150.trace.dat',
    holds: (diff) => {
      const { INTR: _interrupts = 0, ...others } = deltas(diff);
      assert.deepEqual([diff.related, others], [true, { CPUID: 50 }]);
      assert.deepEqual(eventsOf(diff), { cpuid: [100, 150], emulate: [261, 311] });
    },
  },
  'Intel, the same twice: no count differs': {
    left: 'kvm/vmx/vmx_basic.trace.dat',
    right: 'kvm/vmx/vmx_basic_rerun.trace.dat',
    holds: (diff) => {
      assert.deepEqual([diff.related, diff.matched, diff.vanished, diff.appeared], [true, 409, 0, 0]);
      assert.deepEqual([deltas(diff), diff.events], [{}, []]);
    },
  },
  'Intel, 150 CPUIDs for 100: those and nothing else': {
    left: 'kvm/vmx/vmx_basic.trace.dat',
    right: 'kvm/vmx/vmx_diff_cpuid150.trace.dat',
    holds: (diff) => {
      assert.deepEqual([diff.matched, diff.vanished, diff.appeared, diff.hunks], [409, 0, 50, 1]);
      assert.deepEqual(deltas(diff), { CPUID: 50 });
      assert.deepEqual(eventsOf(diff), { cpuid: [100, 150] });
    },
  },
  'AMD idle HLT off and on: the exit by HLT disappears': {
    left: 'text/B02_amd_idle_hlt_DISABLED.trace.txt',
    right: 'text/B01_amd_idle_hlt_ENABLED.trace.txt',
    holds: (diff) => {
      assert.deepEqual([diff.matched, diff.vanished, diff.appeared], [2, 1, 0]);
      assert.deepEqual(deltas(diff), { HLT: -1 });
    },
  },
  'AMD against Intel: unrelated': {
    left: 'kvm/svm/svm_basic.trace.dat',
    right: 'kvm/vmx/vmx_basic.trace.dat',
    holds: (diff) => assert.equal(diff.related, false),
  },
};

describe('diff of real recordings', () => {
  for (const [says, { left, right, holds }] of Object.entries(PAIRS)) {
    const [one, other] = [sharedPath(left), sharedPath(right)];
    it(says, { skip: (one === null || other === null) && 'the shared collection of real data is not here' }, () => {
      if (one !== null && other !== null) holds(compare(sideOf(one), sideOf(other)));
    });
  }
});
