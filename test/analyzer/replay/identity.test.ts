/** A replay is identical: of every guest, in both stores, from every checkpoint, with memory recorded and without. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replay } from '../../../analyzer/replay/replay.js';
import { EVERYTHING } from '../../../engine/access-filter.js';
import { EVENT_KINDS } from '../../../engine/observer.js';
import { convert } from '../../../traces/convert.js';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { createTrace } from '../../../traces/open.js';
import { TraceSql } from '../../../traces/sql.js';
import { brief, record, STORES } from '../../recorder/run/scene.js';
import { ended } from '../../steps.js';
import { reading, scratch } from '../../traces/rows.js';

/** Digests by guest, which every way of recording must give. */
const digests = new Map<string, string>();

for (const guest of GUESTS.keys()) {
  test(`${guest}: replays from the start and from every checkpoint are identical, in both stores`, async (t) => {
    const folder = scratch(t);
    const found = new Set<string>();
    for (const store of STORES) {
      const path = join(folder, `all.${store}`);
      found.add((await record(path, { ...brief(guest), memory: EVERYTHING })).digest);
      found.add((await record(join(folder, `off.${store}`), brief(guest))).digest);
      reading(path, (reader) => {
        const checkpoints = reader.rows('checkpoint');
        assert.ok(checkpoints >= (guest === 'halt' || guest === 'triple' ? 1 : 2), `${checkpoints} checkpoints`);
        const starts = [null, ...Array.from({ length: checkpoints }, (_, id) => id)];
        for (const from of starts) {
          // Each start with memory in one store, and without in the other.
          const memory = ((from ?? -1) + 1 + STORES.indexOf(store)) % 2 === 0;
          const result = replay(reader, { from, memory });
          assert.equal(result.divergence, null);
          assert.equal(result.checkpoints, checkpoints - (from ?? 0));
          if (from === null) assert.equal(result.events, reader.rows('event'));
          if (from === null && memory) assert.equal(result.memoryRows, reader.rows('memory'));
        }
      });
    }
    const [digest = ''] = found;
    assert.equal(found.size, 1, 'one digest across stores, with memory and without');
    digests.set(guest, digest);
  });
}

for (const flag of ['--liftoff-only', '--no-liftoff']) {
  test(`every guest gives the same digest under node ${flag}`, () => {
    const child = fileURLToPath(new URL('./digests.js', import.meta.url));
    const { stdout, stderr, status } = spawnSync(process.execPath, [flag, child], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), Object.fromEntries(digests));
  });
}

test('a trace replays in the other store and in another folder, with no image there', async (t) => {
  const [folder, other] = [scratch(t), scratch(t)];
  const path = join(folder, 'run.sqlite');
  const { digest } = await record(path, brief('echo'));
  const copy = join(other, 'copy.arrow');
  reading(path, (reader) => assert.equal(ended(convert(reader, createTrace(copy))).digest, digest));
  reading(copy, (reader) => {
    assert.equal(replay(reader, { from: null, memory: false }).divergence, null);
    assert.equal(replay(reader, { from: 1, memory: false }).divergence, null);
  });
});

for (const monitor of ['none', 'ymir', 'vmware'] as const) {
  test(`echo under ${monitor}, by interrupts: each checkpoint, with every access of deliveries`, async (t) => {
    const path = join(scratch(t), 'run.arrow');
    // Checkpoints that fall between any two instructions, entries and deliveries among them.
    const configuration = { monitor, checkpointEvery: 7001 };
    await record(path, { guest: 'echo', settings: { irq: 1 }, memory: EVERYTHING, budget: 130_000, configuration });
    reading(path, (reader) => {
      const checkpoints = reader.rows('checkpoint');
      assert.ok(checkpoints > 10);
      for (let from = 0; from < checkpoints; from++) {
        assert.equal(replay(reader, { from, memory: true }).divergence, null, `from ${from}`);
      }
    });
  });
}

test('what the delivery of an injected event reads and writes belongs to the level that the entry enters', async (t) => {
  const path = join(scratch(t), 'run.sqlite');
  await record(path, { guest: 'echo', settings: { irq: 1 }, memory: EVERYTHING, configuration: { monitor: 'ymir' } });
  const sql = new TraceSql(path);
  try {
    // The entry takes a tick, and so does the delivery, whose accesses come then.
    const { rows } = sql.ask(`select e.to_level, m.level, count(*) from event e join memory m on m.tick = e.tick + 2
      where e.kind = ${EVENT_KINDS.entry} and e.intr_info & 2147483648 group by 1, 2`);
    const found = [...rows];
    assert.deepEqual(
      found.map(([to, level]) => [to, level]),
      [[1n, 1n]],
    );
    assert.ok(Number(found[0]?.[2]) > 0);
  } finally {
    sql.close();
  }
});
