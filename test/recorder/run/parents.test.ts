/** Every event names the exit that it serves: events of a run form trees. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { integrityOf } from '../../../analyzer/verify.js';
import { EVENT_KINDS } from '../../../engine/observer.js';
import { reading, scratch } from '../../traces/rows.js';
import { record, STORES } from './scene.js';

interface Event {
  readonly seq: number;
  readonly kind: number;
  readonly from: number;
  readonly to: number;
  readonly parent: number | null;
}

function eventsOf(path: string): Event[] {
  return reading(path, (reader) => {
    const events: Event[] = [];
    for (const chunk of reader.chunks('event')) {
      for (let i = 0; i < chunk.rows; i++) {
        const { seq, kind, from_level: from, to_level: to, parent } = chunk.row(i);
        events.push({
          seq: Number(seq),
          kind: Number(kind),
          from: Number(from ?? -1),
          to: Number(to ?? -1),
          parent: parent === null || parent === undefined ? null : Number(parent),
        });
      }
    }
    return events;
  });
}

/**
 * Without nesting there are two levels: what level 0 does after an exit serves that exit, up to the entry, which does
 * too; what the guest does serves none. Said of the events as written, not of how the engine counts.
 */
function assertParents(events: readonly Event[]): number {
  let serving: number | null = null;
  let served = 0;
  for (const event of events) {
    const expected: number | null = event.from === 0 ? serving : null;
    assert.equal(event.parent, expected, `event ${event.seq}`);
    if (event.parent !== null) served++;
    if (event.kind === EVENT_KINDS.exit) serving = event.seq;
    if (event.kind === EVENT_KINDS.entry) serving = null;
  }
  return served;
}

test('hypervisor with any counts: each event is a child of the exit that it serves', async (t) => {
  const folder = scratch(t);
  let run = 0;
  const few = fc.integer({ min: 0, max: 3 });
  const names = ['cpuid', 'out', 'rdmsr', 'vmcall', 'cr3', 'ept', 'mmio', 'ud', 'hlt'];
  const settings = fc.record({
    ...Object.fromEntries(names.map((name) => [name, few])),
    timer: fc.constantFrom(0, 0, 1),
    window: fc.constant(0),
    fail: fc.constantFrom('all', 'gdtr', 'ctl', 0),
  });
  await fc.assert(
    fc.asyncProperty(settings, async (values) => {
      const path = join(folder, `${run}.${STORES[run++ % 2]}`);
      await record(path, { guest: 'hypervisor', settings: values });
      const events = eventsOf(path);
      assert.ok(assertParents(events) > 0);
      assert.deepEqual(
        reading(path, (reader) => integrityOf(reader).breaches),
        [],
      );
    }),
    { numRuns: 12, seed: 7 },
  );
});

for (const guest of ['ymir-hello', 'backdoor']) {
  test(`${guest}: what the monitor does serves the exit that it handles`, async (t) => {
    const path = join(scratch(t), 'run.arrow');
    await record(path, { guest });
    assert.ok(assertParents(eventsOf(path)) > 0);
  });
}
