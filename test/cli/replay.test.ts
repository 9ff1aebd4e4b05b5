/** `replay`, `verify` and `memory` as commands: exit codes, what they print, damaged and altered traces. */
import assert from 'node:assert/strict';
import { copyFileSync, cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { alter, change, fact } from '../analyzer/replay/alter.js';
import { record } from '../recorder/run/scene.js';
import { folderOf, reading } from '../traces/rows.js';
import { call } from './process.js';

let folder = '';
const at = (name: string): string => join(folder, name);

before(async () => {
  folder = folderOf('replay');
  const settings = { timer: 0, window: 0 };
  const configuration = { checkpointEvery: 8000 };
  for (const name of ['run.sqlite', 'run.arrow']) {
    await record(at(name), { guest: 'hypervisor', settings, configuration });
  }
  alter(
    at('run.sqlite'),
    at('event.arrow'),
    change('event', 100, ({ rip }) => ({ rip: BigInt(String(rip)) ^ 1n })),
  );
  alter(
    at('run.sqlite'),
    at('seq.arrow'),
    change('register', 5, ({ seq }) => ({ seq: BigInt(String(seq)) + 900n })),
  );
  alter(
    at('run.sqlite'),
    at('input.arrow'),
    fact('ticks', (ticks) => `${Number(ticks) - 500}`),
  );
});
after(() => rmSync(folder, { recursive: true, force: true }));

const rowsIn = (name: string, table: 'event' | 'checkpoint'): number =>
  reading(at(name), (reader) => reader.rows(table));

describe('replay', () => {
  it('says in one line that it is identical, and to where', async () => {
    const { code, out, err } = await call('replay', at('run.sqlite'));
    assert.deepEqual([code, err], [0, '']);
    const counts = `${rowsIn('run.sqlite', 'event')} events, ${rowsIn('run.sqlite', 'checkpoint')} checkpoints`;
    assert.match(out, /\/run\.sqlite: identical from the start to tick [\d,]+ \([^)]+\)\n$/);
    assert.ok(out.includes(counts), out);
  });

  it('starts from any checkpoint, and compares what comes after it', async () => {
    const { code, out } = await call('replay', at('run.arrow'), '--from', '1', '--memory', '--json');
    const result = JSON.parse(out);
    assert.deepEqual([code, result.identical, result.from, result.divergence], [0, true, 1, null]);
    assert.equal(result.checkpoints, rowsIn('run.arrow', 'checkpoint') - 1);
    assert.ok(result.events > 0 && result.events < rowsIn('run.arrow', 'event'));
  });

  it('prints both sides of the first difference, marks what differs, and exits with 1', async () => {
    const { code, out } = await call('replay', at('event.arrow'));
    assert.equal(code, 1);
    assert.match(out, /\/event\.arrow: DIVERGES at event 100, tick [\d,]+, replayed from the start\n/);
    const rip = out.split('\n').find((line) => line.startsWith('* rip'));
    const [, , recorded, replayed] = rip?.split(/\s+/) ?? [];
    assert.equal(BigInt(recorded ?? 0) ^ BigInt(replayed ?? 0), 1n);
    assert.equal(out.split('\n').filter((line) => line.startsWith('* ')).length, 1);
    const { divergence } = JSON.parse((await call('replay', at('event.arrow'), '--json')).out);
    assert.deepEqual([divergence.table, divergence.row, divergence.fields], ['event', 100, ['rip']]);
  });
});

describe('verify', () => {
  it('holds for both stores, from every checkpoint', async () => {
    for (const name of ['run.sqlite', 'run.arrow']) {
      const { code, out } = await call('verify', at(name), '--every-checkpoint');
      assert.equal(code, 0, out);
      assert.equal(out.match(/identical from/g)?.length, rowsIn(name, 'checkpoint') + 1);
    }
  });

  it('exits with 1 where the replay diverges or rows break their promises', async () => {
    const event = await call('verify', at('event.arrow'));
    assert.equal(event.code, 1);
    assert.match(event.out, /DIVERGES at event 100/);
    const seq = await call('verify', at('seq.arrow'), '--no-replay');
    assert.equal(seq.code, 1);
    assert.match(seq.out, /ALTERED/);
    assert.match(seq.out, /table register, row 6: seq \d+ comes after \d+/);
    assert.equal((await call('verify', at('seq.arrow'), '--json')).code, 1);
  });

  it('exits with 1 where the recorder did not come to the end, unless that is allowed', async () => {
    for (const name of ['killed.sqlite', 'killed.arrow']) {
      alter(at('run.sqlite'), at(name), (_, row) => row, { complete: false });
      const { code, out } = await call('verify', at(name), '--json');
      const { holds, complete, replays } = JSON.parse(out);
      assert.deepEqual([code, holds, complete, replays[0].divergence], [1, false, false, null]);
      assert.match((await call('verify', at(name))).out, /INCOMPLETE.*\n {2}--allow-incomplete accepts it/);
      const allowed = await call('verify', at(name), '--allow-incomplete');
      assert.equal(allowed.code, 0);
      assert.doesNotMatch(allowed.out, /INCOMPLETE/);
    }
  });

  it('exits with 2, naming the place, where a bit of either store is flipped or its end is cut off', async () => {
    const flip = (path: string, from: string, offset: number): void => {
      const bytes = readFileSync(from);
      bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
      writeFileSync(path, bytes);
    };
    copyFileSync(at('run.sqlite'), at('flipped.sqlite'));
    // Room that no row takes changes no answer: the last name stands in a page that is full of rows.
    const place = readFileSync(at('run.sqlite')).lastIndexOf('EPT_VIOLATION');
    assert.ok(place > 0);
    flip(at('flipped.sqlite'), at('run.sqlite'), place);
    cpSync(at('run.arrow'), at('flipped.arrow'), { recursive: true });
    const pages = join('run.arrow', 'page.arrow');
    flip(at(join('flipped.arrow', 'page.arrow')), at(pages), Math.floor(statSync(at(pages)).size / 2));
    cpSync(at('run.arrow'), at('short.arrow'), { recursive: true });
    truncateSync(at(join('short.arrow', 'event.arrow')), 3000);
    for (const name of ['flipped.sqlite', 'flipped.arrow', 'short.arrow']) {
      const { code, err } = await call('verify', at(name));
      assert.equal(code, 2, name);
      assert.match(err, /^trapline: TRACE_(DAMAGED|CUT) [^\n]+\n$/);
    }
  });
});

describe('memory', () => {
  it('makes the table of a trace that has none, without another digest', async () => {
    const { code, out } = await call('memory', at('run.sqlite'), '0x100000-0x101000', '-o', at('page.arrow'), '--json');
    const made = JSON.parse(out);
    assert.deepEqual([code, made.identical], [0, true]);
    reading(at('page.arrow'), (reader) => {
      assert.equal(reader.rows('memory'), made.accesses);
      assert.ok(made.accesses > 0);
      assert.equal(
        reader.run('digest'),
        reading(at('run.sqlite'), (original) => original.run('digest')),
      );
    });
    assert.equal((await call('verify', at('page.arrow'))).code, 0);
  });

  it('exits with 1 where the run does not come out as it was recorded', async () => {
    const { code, out } = await call('memory', at('event.arrow'), 'all', '-o', at('other.arrow'));
    assert.equal(code, 1);
    assert.match(out, /the replay diverged: see trapline replay/);
  });
});
