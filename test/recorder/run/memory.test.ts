/** The memory table made afterwards, by recording a recorded run again, is that of having recorded it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { recordedRun } from '../../../analyzer/replay/recorded.js';
import { replay } from '../../../analyzer/replay/replay.js';
import { type AddressRange, ALL_KINDS, EVERYTHING, type MemoryFilter } from '../../../engine/access-filter.js';
import { recordAgain } from '../../../recorder/run/again.js';
import { createTrace } from '../../../traces/open.js';
import type { Row } from '../../../traces/store.js';
import { ended } from '../../steps.js';
import { reading, rowsOf, scratch } from '../../traces/rows.js';
import { brief, record, type Scene, STORES } from './scene.js';

const RANGES: readonly AddressRange[] = [
  { from: 0x10_0000, to: 0x10_1000 },
  { from: 0x10_2003, to: 0x10_2005 },
  { from: 0x20_0000, to: 2 ** 52 },
];

const SELECTIONS: readonly MemoryFilter[] = [
  EVERYTHING,
  { ranges: RANGES, kinds: ALL_KINDS },
  { ranges: 'all', kinds: ['load', 'store', 'walk'] },
  { ranges: RANGES, kinds: ['fetch', 'store'] },
];

/** Rows of `memory` that touch a range, picked here from all of them. */
function touching(path: string, ranges: readonly AddressRange[]): number {
  return reading(path, (reader) => {
    let count = 0;
    const touches = ({ gpa, size }: Row): boolean =>
      ranges.some(({ from, to }) => Number(gpa) < to && Number(gpa) + Number(size) > from);
    for (const chunk of reader.chunks('memory')) {
      for (let i = 0; i < chunk.rows; i++) if (touches(chunk.row(i))) count++;
    }
    return count;
  });
}

/** The guest `hypervisor` without what makes it wait: comparing every access of that takes long. */
const sceneOf = (guest: string): Scene => {
  const scene = brief(guest);
  return guest === 'hypervisor' ? { ...scene, settings: { ...scene.settings, timer: 0, window: 0 } } : scene;
};

for (const guest of ['echo', 'hypervisor', 'ymir-hello', 'backdoor', 'halt', 'triple', 'refault']) {
  test(`${guest}: memory made afterwards is the same as recorded, all of it and by ranges`, async (t) => {
    const folder = scratch(t);
    const without = join(folder, 'without.sqlite');
    const { digest, outcome } = await record(without, sceneOf(guest));
    // Selections of kinds are told apart in the same place for every guest: one of them is enough.
    for (const [i, memory] of SELECTIONS.slice(0, guest === 'hypervisor' ? 4 : 2).entries()) {
      const recorded = join(folder, `recorded${i}.arrow`);
      const made = join(folder, `made${i}.${STORES[i % 2]}`);
      const first = await record(recorded, { ...sceneOf(guest), memory });
      const again = reading(without, (reader) =>
        ended(recordAgain(recordedRun(reader), () => createTrace(made), memory)),
      );
      assert.deepEqual([first.digest, again.digest], [digest, digest]);
      assert.deepEqual(again.outcome, outcome);
      reading(recorded, (one) =>
        reading(made, (two) => {
          for (const table of ['memory', 'checkpoint', 'input', 'output'] as const) {
            assert.deepEqual(rowsOf(two, table), rowsOf(one, table));
          }
          assert.deepEqual(
            [two.run('memory'), two.run('state'), two.run('ticks')],
            [one.run('memory'), one.run('state'), one.run('ticks')],
          );
          const result = replay(two, { from: null, memory: true });
          assert.deepEqual([result.divergence, result.memoryRows], [null, two.rows('memory')]);
        }),
      );
    }
    const picked = touching(join(folder, 'recorded0.arrow'), RANGES);
    reading(join(folder, 'recorded1.arrow'), (reader) => assert.equal(reader.rows('memory'), picked));
  });
}

test('a run that was stopped while its guest waited is made again to the same tick', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'run.sqlite');
  const late = [{ tick: 90_000, port: 'com1', bytes: Uint8Array.of(113) }];
  const scene = { guest: 'echo', settings: { irq: 1 }, inputs: late, budget: 50_000 };
  const { digest, outcome } = await record(path, { ...scene, configuration: { checkpointEvery: 10_000 } });
  assert.equal(outcome.kind, 'budget');
  const again = reading(path, (reader) =>
    ended(recordAgain(recordedRun(reader), () => createTrace(join(folder, 'again.sqlite')), EVERYTHING)),
  );
  assert.deepEqual([again.digest, again.outcome], [digest, outcome]);
});
