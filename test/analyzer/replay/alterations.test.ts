/** A replay can fail: whatever is changed in a trace is found, and the place is named. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Divergence } from '../../../analyzer/replay/divergence.js';
import { replay } from '../../../analyzer/replay/replay.js';
import { integrityOf, isIntact } from '../../../analyzer/verify.js';
import { EVERYTHING } from '../../../engine/access-filter.js';
import { S } from '../../../engine/cpu/layout.js';
import { TABLES, type TableName } from '../../../traces/schema.js';
import type { Cell, Row } from '../../../traces/store.js';
import { record } from '../../recorder/run/scene.js';
import { folderOf, reading } from '../../traces/rows.js';
import { type Alteration, alter, change, fact, flipped } from './alter.js';

let folder = '';
let original = '';
let echo = '';
let ymir = '';
let backdoor = '';
let clock = '';
before(async () => {
  folder = folderOf('alterations');
  original = join(folder, 'original.arrow');
  echo = join(folder, 'echo.arrow');
  const settings = { cpuid: 2, timer: 0, window: 0, hlt: 1, ept: 1, mmio: 1, loop: 40 };
  const configuration = { checkpointEvery: 8000 };
  await record(original, { guest: 'hypervisor', settings, memory: EVERYTHING, configuration });
  ymir = join(folder, 'ymir.arrow');
  await record(ymir, { guest: 'ymir-hello' });
  backdoor = join(folder, 'backdoor.arrow');
  await record(backdoor, { guest: 'backdoor' });
  clock = join(folder, 'clock.arrow');
  await recordClock(clock);
  await record(echo, { guest: 'echo', configuration: { checkpointEvery: 30_000 } });
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A guest of 16 bits that reads the seconds from the CMOS clock and ends with them: OUT 70h, 0; IN 71h; OUT F4h. */
async function recordClock(path: string): Promise<void> {
  const image = Uint8Array.of(0xb0, 0x00, 0xe6, 0x70, 0xe4, 0x71, 0xe6, 0xf4);
  const configuration = { flat: { address: 0x7c00, bits: 16 } as const, epoch: 1_700_000_007 };
  await record(path, { guest: 'halt', image, configuration });
}

/** What a replay of the altered trace says; null: identical. */
function divergence(from: string, alteration: Alteration, start: number | null = null): Divergence | null {
  const path = join(folder, 'altered.arrow');
  alter(from, path, alteration);
  return reading(path, (reader) => replay(reader, { from: start, memory: true }).divergence);
}

/** The last row that has a value in a column, or else the last one, with its index. */
function find(path: string, table: TableName, column: string): { index: number; row: Row } {
  return reading(path, (reader) => {
    let found: { index: number; row: Row } | null = null;
    let last: { index: number; row: Row } | null = null;
    for (const chunk of reader.chunks(table)) {
      for (let i = 0; i < chunk.rows; i++) {
        last = { index: chunk.first + i, row: chunk.row(i) };
        const value = last.row[column] ?? null;
        if (value !== null && !(value instanceof Uint8Array && value.length === 0)) found = last;
      }
    }
    const row = found ?? last;
    assert.ok(row);
    return row;
  });
}

/** Another value of the same type. */
function other(cell: Cell | undefined): Cell {
  if (typeof cell === 'bigint') return cell ^ 1n;
  if (typeof cell === 'number') return (cell ^ 1) >>> 0;
  if (typeof cell === 'string') return `${cell}x`;
  return cell instanceof Uint8Array && cell.length > 0 ? flipped(cell, 0) : 1n;
}

describe('an altered trace', () => {
  it('replays identical as long as nothing is altered', () => {
    for (const path of [original, echo])
      assert.equal(
        divergence(path, (_table, row) => row),
        null,
      );
  });

  for (const table of ['event', 'register', 'memory', 'output'] as const) {
    for (const { name } of TABLES[table].columns) {
      if (name === 'time_ns' || name === 'text' || name === 'wide' || name === 'info2') continue;
      it(`diverges by one cell of ${table}.${name}, at its row`, () => {
        const { index } = find(original, table, name);
        const found = divergence(
          original,
          change(table, index, (row) => ({ [name]: other(row[name]) })),
        );
        assert.equal(found?.table, table);
        const at = table === 'register' && name !== 'seq' ? null : index;
        if (at !== null && table !== 'register') assert.equal(found?.row, at);
        assert.ok(found?.fields.includes(name), `${found?.fields}`);
      });
    }
  }

  for (const [column, value] of [
    ['time_ns', 1n],
    ['text', 'x'],
    ['info2', 5n],
  ] as const) {
    it(`diverges by event.${column} where the machine has none`, () => {
      const found = divergence(
        original,
        change('event', 20, () => ({ [column]: value })),
      );
      assert.deepEqual([found?.table, found?.row, found?.fields], ['event', 20, [column]]);
    });
  }

  it('diverges by an event, a register row, an access or an output that is missing or too many', () => {
    for (const table of ['event', 'register', 'memory', 'output'] as const) {
      const { index } = find(original, table, TABLES[table].columns[0]?.name ?? '');
      const missing = divergence(original, (its, row, at) => (its === table && at === index ? null : row));
      assert.equal(missing?.table, table, 'missing');
      const kept = divergence(original, (its, row, at) => (its === table && at >= index ? null : row));
      assert.equal(kept?.table, table, 'cut off');
    }
  });

  it('diverges by one cell of message, at its row', () => {
    for (const { name } of TABLES.message.columns) {
      const found = divergence(
        ymir,
        change('message', 1, (row) => ({ [name]: other(row[name]) })),
      );
      assert.deepEqual([found?.table, found?.row, found?.fields], ['message', 1, [name]]);
    }
  });

  it('diverges by one bit of one input byte', () => {
    const { index } = find(echo, 'input', 'bytes');
    const found = divergence(
      echo,
      change('input', index - 1, ({ bytes }) => ({ bytes: flipped(bytes, 0) })),
    );
    assert.deepEqual([found?.table, found?.fields], ['output', ['bytes']]);
  });

  it('diverges by the tick of an input', () => {
    const found = divergence(
      echo,
      change('input', 1, ({ tick }) => ({ tick: BigInt(String(tick)) + 5000n })),
    );
    assert.equal(found?.table, 'output');
  });
});

describe('an altered checkpoint', () => {
  const STATE_SLOTS = { 'cpu.rip': S.RIP, 'cpu.cr3': S.CR3, 'cpu.efer': S.EFER, 'cpu.ring_next': S.RING_NEXT };

  for (const [name, slot] of Object.entries(STATE_SLOTS)) {
    it(`is found by one bit of ${name}, from the start and from the checkpoint`, () => {
      const flip = change('checkpoint', 1, ({ state }) => ({ state: flipped(state, 8 * slot + 2) }));
      for (const from of [null, 0, 1]) {
        const found = divergence(original, flip, from);
        assert.deepEqual([found?.table, found?.row], ['checkpoint', 1]);
        // A machine that starts from it may have that bit too: then its digest alone says that it was another.
        assert.ok(
          found?.fields.some((each) => each === name || (from === 1 && each === 'digest')),
          `${found?.fields}`,
        );
      }
    });
  }

  it('is found by one digit of its device records', () => {
    const flip = change('checkpoint', 1, ({ devices }) => ({
      devices: String(devices).replace(/"scratch":0/, '"scratch":1'),
    }));
    for (const from of [null, 1]) {
      const found = divergence(original, flip, from);
      assert.deepEqual([found?.table, found?.row], ['checkpoint', 1]);
      assert.ok(found?.fields.includes(from === 1 ? 'digest' : 'com1.scratch'), `${found?.fields}`);
    }
  });

  it('is found by its tick, its seq and its digest', () => {
    for (const column of ['tick', 'seq', 'digest']) {
      const found = divergence(
        original,
        change('checkpoint', 1, (row) => ({ [column]: other(row[column]) })),
      );
      assert.deepEqual([found?.table, found?.row], ['checkpoint', 1]);
      assert.ok(found?.fields.includes(column), `${found?.fields}`);
    }
  });

  it('is found by the hash of one page, which is named', () => {
    const { index, row } = find(original, 'checkpoint_page', 'hash');
    const other = `${'0'.repeat(60)}abcd`;
    const found = divergence(
      original,
      change('checkpoint_page', index, () => ({ hash: other })),
    );
    assert.deepEqual([found?.table, found?.row], ['checkpoint', Number(row.checkpoint)]);
    assert.ok(found?.fields.includes(`page 0x${Number(row.number).toString(16)}`), `${found?.fields}`);
  });

  it('is found by one bit of a page: by verify, and where a replay loads it', () => {
    const path = join(folder, 'page.arrow');
    alter(
      original,
      path,
      change('page', 3, ({ content }) => ({ content: flipped(content, 12_345) })),
    );
    reading(path, (reader) => {
      const integrity = integrityOf(reader);
      assert.equal(isIntact(integrity), false);
      assert.deepEqual(integrity.breaches, [{ table: 'page', row: 3, says: 'its hash is of another content' }]);
      assert.throws(() => replay(reader, { from: 1, memory: false }), {
        code: 'BAD_CHECKPOINT',
        message: /page \d+ does/,
      });
    });
  });

  it('is found where the recording took one more or one less', () => {
    const last = reading(original, (reader) => reader.rows('checkpoint') - 1);
    const without: Alteration = (table, row, at) => (table === 'checkpoint' && at === last ? null : row);
    const missing = divergence(original, without);
    assert.deepEqual([missing?.table, missing?.recorded], ['checkpoint', null]);
    const path = join(folder, 'more.arrow');
    alter(
      original,
      path,
      fact('ticks', (ticks) => String(Number(ticks) - 12_000)),
    );
    const found = reading(path, (reader) => replay(reader, { from: null, memory: false }).divergence);
    assert.notEqual(found, null);
  });
});

describe('altered facts of a run', () => {
  const configured = (name: string, value: unknown): Alteration =>
    fact('configuration', (text) => JSON.stringify({ ...JSON.parse(text), [name]: value }));

  it('an image with one bit flipped differs at checkpoint 0, where the page is named', () => {
    const found = divergence(original, (table, row) =>
      table === 'run' && row.key === 'image' ? { ...row, bytes: flipped(row.bytes, 8 * 0x1200 + 3) } : row,
    );
    assert.deepEqual([found?.table, found?.row], ['checkpoint', 0]);
    assert.ok(
      found?.fields.some((name) => name.startsWith('page ')),
      `${found?.fields}`,
    );
  });

  it('another command line, size of RAM or checkpoint interval differs at the first checkpoint that it touches', () => {
    assert.equal(divergence(original, configured('commandLine', 'hypervisor cpuid=3'))?.row, 0);
    assert.equal(divergence(original, configured('memoryBytes', 17 << 20))?.row, 0);
    const interval = divergence(original, configured('checkpointEvery', 7000));
    assert.deepEqual([interval?.table, interval?.row], ['checkpoint', 1]);
    assert.ok(interval?.fields.includes('tick'));
  });

  it('another monitor, placement or variable of the guest differs before the first tick', () => {
    for (const alteration of [configured('monitor', 'ymir'), configured('flat', { address: 0x10_0000, bits: 32 })]) {
      assert.deepEqual(divergence(original, alteration)?.row, 0);
    }
    const found = divergence(backdoor, configured('guestinfo', { y: 'other' }));
    assert.deepEqual([found?.table, found?.row], ['checkpoint', 0]);
    assert.ok(
      found?.fields.some((name) => name.startsWith('monitor.variables')),
      `${found?.fields}`,
    );
  });

  it('another epoch differs where the guest reads the clock, and is the same run where it does not', () => {
    const later = (text: string): string => JSON.stringify({ ...JSON.parse(text), epoch: 1_800_000_000 });
    assert.equal(divergence(original, fact('configuration', later)), null);
    assert.notEqual(divergence(clock, fact('configuration', later)), null);
  });

  it('another end is found in the state there', () => {
    const found = divergence(
      echo,
      fact('ticks', (ticks) => String(Number(ticks) - 1)),
    );
    assert.deepEqual([found?.table, found?.fields], ['end', ['tick']]);
    const state = divergence(
      echo,
      fact('state', (digest) => `${digest.slice(1)}0`),
    );
    assert.equal(state?.table, 'end');
  });
});
