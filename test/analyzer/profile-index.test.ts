/** The index of a profile as bytes and beside its trace: the same answers, or none. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { IndexBeside, indexPath } from '../../analyzer/profile/beside.js';
import { ExitCounter, type ExitIndex, ExitIndexBuilder, onlyLanes } from '../../analyzer/profile/exit-index.js';
import { decodeIndex, encodeIndex } from '../../analyzer/profile/index-file.js';
import { profile, profileOf } from '../../analyzer/profile/profile.js';
import { COLUMNS } from '../../analyzer/profile/view.js';
import { WalkedExit } from '../../analyzer/profile/walk.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

function indexOf(events: readonly EventDraft[]): ExitIndex {
  const builder = new ExitIndexBuilder();
  feedEvents(events, (chunk) => builder.take(chunk));
  return builder.finish();
}

const drafts = fc
  .array(
    fc.record({
      vcpu: fc.nat(3),
      reason: fc.constantFrom(10n, 30n, 0xffff_ffff_ffff_ffffn),
      rip: fc.option(fc.bigInt(0n, (1n << 64n) - 1n), { nil: null }),
      bytes: fc.option(fc.uint8Array({ minLength: 1, maxLength: 15 }), { nil: null }),
      ran: fc.oneof(
        fc.nat(300),
        fc.maxSafeNat().map((value) => value % 2 ** 45),
      ),
    }),
    { maxLength: 60 },
  )
  .map((rows) => {
    let now = 1n << 60n;
    return rows.flatMap(({ vcpu, reason, rip, bytes, ran }): EventDraft[] => {
      const from = now;
      now += BigInt(ran);
      return [
        { kind: 'exit', vcpu, isa: 1, from_level: 1, reason, rip, bytes, time_ns: from },
        { kind: 'entry', vcpu, time_ns: now },
      ];
    });
  });

describe('index of a trace of very many places', () => {
  it('counts them all by reason, and keeps no more of them apart than it may', () => {
    const most = 500;
    const counter = new ExitCounter(most);
    const exit = new WalkedExit();
    const exits = 2 * most + 5000;
    for (let i = 0; i < exits; i++) {
      exit.level = 1;
      exit.reasonLow = i % 7;
      exit.hasRip = true;
      exit.ripLow = i;
      exit.key.set(1, 0, i);
      exit.time = i % 100;
      counter.take(exit);
    }
    const found = counter.finish();
    assert.ok(found.counts.length <= 2 * most + 7);
    assert.equal(found.coarse, exits - most);
    const answer = profileOf({ unit: 'ns', lost: 0, lanes: [], code: new Map(), ...found }, () => null, {
      rips: 1,
    });
    assert.equal(answer.exits, exits);
    assert.equal(answer.rows.length, 7);
    assert.equal(answer.rips[0]?.count, 1);
  });
});

describe('index as bytes', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(drafts, (events) => {
        const index = indexOf(events);
        assert.deepEqual(decodeIndex(encodeIndex(index, 'a trace'), 'a trace'), index);
      }),
    );
  });

  it('is no index where it is of something else, cut, or changed in any byte', () => {
    const events = fc.sample(drafts, { numRuns: 30, seed: 7 }).find((found) => found.length > 20) ?? [];
    const bytes = encodeIndex(indexOf(events), 'a trace');
    assert.equal(decodeIndex(bytes, 'another trace'), null);
    for (let length = 0; length < bytes.length; length += 7)
      assert.equal(decodeIndex(bytes.subarray(0, length), 'a trace'), null);
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      assert.equal(decodeIndex(changed, 'a trace'), null);
    }
  });

  it('is no index where it was made to mislead', () => {
    const index = indexOf([]);
    const lane = { lane: 0, span: 1, levels: [], entries: 0, refused: 0, failedEarly: 0 };
    const forged: readonly Record<string, unknown>[] = [
      { lanes: 'none' },
      { lanes: [null] },
      { lanes: [{ ...lane, span: 'long' }] },
      { lanes: [{ ...lane, entries: '7' }] },
      { lanes: [{ ...lane, levels: undefined, guest: 0, outside: 0 }] },
      { lanes: [{ ...lane, levels: [{ level: 1, guest: 0 }] }] },
      { unit: 'years' },
      { lost: -1 },
    ];
    for (const change of forged) {
      assert.equal(decodeIndex(encodeIndex({ ...index, ...change } as ExitIndex, 'a trace'), 'a trace'), null);
    }
  });

  it('can be limited to some lanes', () => {
    fc.assert(
      fc.property(drafts, fc.subarray([0, 1, 2, 3]), (events, lanes) => {
        const some = profileOf(
          onlyLanes(indexOf(events), (lane) => lanes.includes(lane)),
          () => null,
          { by: 'lane' },
        );
        const all = profileOf(indexOf(events), () => null, { by: 'lane' });
        const wanted = all.rows.filter(({ lane }) => lanes.includes(lane ?? -1));
        const exits = wanted.reduce((sum, { count }) => sum + count, 0);
        assert.equal(some.exits, exits);
        assert.deepEqual(
          some.rows.map(({ share: _share, timeShare: _time, ...row }) => row),
          wanted.map(({ share: _share, timeShare: _time, ...row }) => row),
        );
      }),
    );
  });
});

describe('index beside a trace', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'trapline-index-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** A trace of so many exits that take `first`, `first` + 1, ... nanoseconds in turn. */
  function write(name: string, exits: number, first: number): string {
    const path = join(folder, name);
    const writer = createTrace(path, { replace: true });
    const table = writer.table('event');
    const [seq, vcpu, time, kind, isa, reason, level] = [
      'seq',
      'vcpu',
      'time_ns',
      'kind',
      'isa',
      'reason',
      'from_level',
    ].map((column) => table.index(column)) as [number, number, number, number, number, number, number];
    for (let i = 0; i < 2 * exits; i++) {
      const at = i % 2 === 0 ? 5000 * i : 5000 * (i - 1) + first + (i % 1000);
      table.number(seq, i);
      table.number(vcpu, 0);
      table.number(time, at);
      table.number(kind, i % 2 === 0 ? EVENT_KINDS.exit : EVENT_KINDS.entry);
      if (i % 2 === 0) {
        table.number(isa, 1);
        table.number(reason, 10 + (i % 3));
        table.number(level, 1);
      }
      table.end();
    }
    writer.finish();
    return path;
  }

  /** Profiles as `trapline profile` does: whether an index was there, and the longest time. */
  function profiled(path: string): { kept: boolean; max: number | undefined; digest: string } {
    const reader = openTrace(path);
    try {
      const beside = new IndexBeside(reader, 2000);
      const kept = beside.read();
      const builder = new ExitIndexBuilder();
      if (kept === null) for (const chunk of reader.chunks('event', { columns: COLUMNS })) builder.take(chunk);
      const index = kept ?? builder.finish();
      if (kept === null) beside.keep(index);
      const answer = profileOf(index, () => null);
      assert.deepEqual(answer, profile(reader));
      return { kept: kept !== null, max: answer.rows[0]?.times?.max, digest: reader.digest() };
    } finally {
      reader.close();
    }
  }

  for (const store of ['arrow', 'sqlite'] as const) {
    it(`is used while the ${store} trace is the same, and no longer`, () => {
      const path = write(`run.${store}`, 2000, 100);
      const side = indexPath({ kind: store, path });
      const first = profiled(path);
      assert.equal(first.kept, false);
      assert.ok(existsSync(side));
      assert.deepEqual(profiled(path), { ...first, kept: true });

      const bytes = readFileSync(side);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(side, bytes);
      assert.deepEqual(profiled(path), first, 'a damaged index is made anew');
      assert.equal(profiled(path).kept, true);

      utimesSync(store === 'arrow' ? join(path, 'event.arrow') : path, 1, 1);
      assert.equal(profiled(path).kept, false, 'a file that was written to is read again');
      assert.equal(profiled(path).kept, true);

      const index = readFileSync(side);
      write(`run.${store}`, 2000, 200);
      writeFileSync(side, index);
      const other = profiled(path);
      assert.equal(other.kept, false, 'an index of another trace is not used');
      assert.notEqual(other.max, first.max);
    });
  }

  it('is not made of a small trace', () => {
    const path = write('small.arrow', 1000, 100);
    profiled(path);
    assert.ok(!existsSync(indexPath({ kind: 'arrow', path })));
  });
});
