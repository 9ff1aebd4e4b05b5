/** What the commands say of traces that lost their end, and of disks without room. */
import assert from 'node:assert/strict';
import { cpSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createTrace } from '../../traces/open.js';
import { CHUNK_ROWS } from '../../traces/schema.js';
import { prepareExits, recordExits } from '../bench/stores.js';
import { smallDisk } from '../disk.js';
import { fixturePath } from '../recorder/import-helpers.js';
import { folderOf, reading } from '../traces/rows.js';
import { call } from './process.js';

const EXITS = 6 * CHUNK_ROWS.event;
const STORES = ['sqlite', 'arrow'] as const;
let folder = '';
const at = (name: string): string => join(folder, name);

before(() => {
  folder = folderOf('salvage');
  for (const store of STORES) {
    const writer = createTrace(at(`whole.${store}`));
    writer.setRun('source', 'test');
    recordExits(writer, prepareExits(), EXITS);
    writer.finish();
    cpSync(at(`whole.${store}`), at(`cut.${store}`), { recursive: true });
    const file = store === 'sqlite' ? at('cut.sqlite') : join(at('cut.arrow'), 'event.arrow');
    truncateSync(file, Math.floor(statSync(file).size * 0.7));
  }
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const store of STORES) {
  test(`verify of a cut ${store} trace exits with 2 and one line, incomplete ones allowed or not`, async () => {
    assert.equal((await call('verify', at(`whole.${store}`))).code, 0);
    for (const words of [[], ['--allow-incomplete'], ['--json']]) {
      const { code, out, err } = await call('verify', at(`cut.${store}`), ...words);
      assert.deepEqual([code, out], [2, '']);
      assert.match(err, /^trapline: TRACE_CUT [^\n]*cut\.[^\n]*: cut short: [^\n]+\n$/);
    }
  });

  test(`convert of a cut ${store} trace keeps what is left, which verifies as incomplete`, async () => {
    const copy = at(`kept-${store}.arrow`);
    const { code, err } = await call('convert', at(`cut.${store}`), '-o', copy);
    assert.equal(code, 2);
    assert.match(err, /^trapline: TRACE_CUT [^\n]+\n$/);
    reading(copy, (reader) => assert.ok(reader.rows('event') >= 0.6 * EXITS, `${reader.rows('event')}`));
    assert.equal((await call('verify', copy)).code, 1);
    assert.equal((await call('verify', copy, '--allow-incomplete')).code, 0);
  });

  test(`convert to ${store} on a full disk says so in one line, and the copy so far opens`, async (t) => {
    const disk = smallDisk(t, 1);
    if (disk === null) return t.skip('no file system of limited size can be mounted here');
    const copy = join(disk, `copy.${store}`);
    const { code, err } = await call('convert', at('whole.sqlite'), '-o', copy);
    assert.equal(code, 2);
    assert.match(err, /^trapline: TRACE_DISK_FULL [^\n]+\n$/);
    reading(copy, (reader) => assert.equal(reader.complete, false));
  });
}

test('a trace whose names are damaged is read, and said to be', async () => {
  const path = at('nameless.arrow');
  await call('import', fixturePath('vmx-basic.trace.dat'), '-o', path);
  truncateSync(join(path, 'dictionary.arrow'), 3000);
  const calls = [
    ['events', path],
    ['profile', path],
    ['diff', path, path],
    ['export', path, '-o', at('nameless.svg'), '--as', 'svg'],
  ];
  for (const words of calls) {
    const { code, out, err } = await call(...words);
    assert.deepEqual([code, out.length > 0], [2, true], words[0]);
    assert.match(err, /^(trapline: TRACE_CUT [^\n]*dictionary\.arrow[^\n]+\n)+$/, words[0]);
  }
});

test('a cut trace is left as it is', async () => {
  const before = statSync(at('cut.sqlite'));
  await call('profile', at('cut.sqlite'));
  const { size, mtimeMs } = statSync(at('cut.sqlite'));
  assert.deepEqual([size, mtimeMs], [before.size, before.mtimeMs]);
});
