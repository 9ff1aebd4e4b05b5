/** Traces that version 1 of the format wrote are read as those of the newest. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { inPackage } from '../../traces/guests/guest.js';
import { openTrace } from '../../traces/open.js';
import { FORMAT_VERSION } from '../../traces/schema.js';
import { UPGRADERS, upgradesFor } from '../../traces/upgrade.js';

const KINDS = ['load', 'store', 'walk'];
/** Recorded by version 1: the guest `halt`, its accesses to a range and all of them. */
const SAMPLES = [
  ['version-1.sqlite', { ranges: [{ from: 0x10_0000, to: 0x10_1000 }], kinds: KINDS }],
  ['version-1.arrow', { ranges: 'all', kinds: KINDS }],
] as const;

for (const [name, memory] of SAMPLES) {
  test(`${name} opens, and says which kinds of access it holds`, () => {
    const reader = openTrace(join(inPackage('test', 'traces', 'fixtures'), name));
    try {
      assert.equal(reader.run('format'), '1');
      assert.deepEqual(JSON.parse(reader.run('memory') ?? ''), memory);
      assert.ok(reader.rows('memory') > 0);
      assert.equal(reader.digest(), reader.run('digest'));
    } finally {
      reader.close();
    }
  });
}

test('each version before this one has an upgrader', () => {
  assert.deepEqual(
    upgradesFor(1, 'path').map(({ from }) => from),
    Array.from({ length: FORMAT_VERSION - 1 }, (_, i) => i + 1),
  );
});

test('an upgraded fact: off stays off, and what is no JSON stays what it is', () => {
  const [first] = UPGRADERS;
  assert.equal(first?.facts?.memory?.('"off"'), '"off"');
  assert.equal(first?.facts?.memory?.('{'), '{');
});
