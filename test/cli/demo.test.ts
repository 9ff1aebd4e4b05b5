/** `trapline demo`: every step of the tour runs, ends as it must, and leaves traces that hold. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { reading, scratch } from '../traces/rows.js';
import { trapline } from './process.js';

test('demo --no-serve records, replays, profiles, compares, explains and imports, in 80 columns', async (t) => {
  const folder = scratch(t);
  const { code, out, err } = await trapline(['demo', '--no-serve', 'tour'], folder);
  assert.equal(code, 0, err);
  const steps = [...out.matchAll(/^\[(\d+)\/(\d+)\] /gm)];
  assert.ok(steps.length > 0);
  assert.deepEqual(
    steps.map(([, number]) => Number(number)),
    steps.map((_, i) => i + 1),
  );
  assert.ok(steps.every(([, , all]) => Number(all) === steps.length));
  assert.ok(!/DIVERGES|ALTERED|DEFECT/.test(out + err));
  const lines = Buffer.from(out, 'latin1').toString('utf8').split('\n');
  const wide = lines.filter((line) => line.length > 80 && !/^\$ |trapline serve|^\//.test(line));
  assert.deepEqual(wide, []);
  const traces = readdirSync(join(folder, 'tour'));
  assert.ok(traces.length >= 5);
  for (const name of traces) {
    reading(join(folder, 'tour', name), (reader) => assert.equal(reader.digest(), reader.run('digest')));
  }
});
