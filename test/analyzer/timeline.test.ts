import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { readTimeline, type Timeline } from '../../analyzer/timeline.js';
import type { Axis, Filter, View } from '../../analyzer/timeline-answers.js';
import { EVENT_KINDS, type EventKind } from '../../engine/observer.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { Row, TraceReader } from '../../traces/store.js';
import { type PlainEvent, plainEvents } from '../web/rows.js';
import { writeSynthetic } from '../web/synthetic.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-timeline-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const ALL: Filter = { kinds: [], reasons: [], vcpus: [], levels: [], text: '', stack: [] };
const SEED = 20_240_607;

interface Case {
  readonly reader: TraceReader;
  readonly timeline: Timeline;
  readonly events: readonly PlainEvent[];
  /** Axes with the place of each event on it. */
  readonly axes: readonly { readonly axis: Axis; readonly x: readonly number[] }[];
}

async function synthetic(name: string, clock: 'engine' | 'host', events: number, vcpus: number): Promise<Case> {
  const path = join(folder, name);
  writeSynthetic(createTrace(path), { events, vcpus, seed: 11, clock });
  const reader = openTrace(path);
  const plain = plainEvents(reader);
  const first = plain[0]?.time ?? 0n;
  const x = plain.map(({ tick, time }) => (clock === 'engine' ? (tick ?? 0) : Number((time ?? 0n) - first)));
  const own = { axis: clock === 'engine' ? ('tick' as const) : ('time' as const), x };
  return {
    reader,
    timeline: await readTimeline(reader, name),
    events: plain,
    axes: [own, { axis: 'seq', x: plain.map(({ seq }) => seq) }],
  };
}

function passes(event: PlainEvent, filter: Filter): boolean {
  const { kinds, reasons, vcpus, levels } = filter;
  if (vcpus.length > 0 && !vcpus.includes(event.vcpu)) return false;
  if (levels.length > 0 && !levels.includes(event.level ?? -1)) return false;
  if (event.failure) return true;
  if (kinds.length > 0 && !kinds.includes(event.kind)) return false;
  if (reasons.length === 0) return true;
  return event.reason === null ? kinds.length > 0 : reasons.includes(event.reason);
}

/** What a category is called in the comparison: kind, reason, failure. */
const nameOf = ({ kind, reason, failure }: { kind: string; reason: string | null; failure: boolean }): string =>
  `${kind} ${reason} ${failure}`;

const tally = (names: readonly string[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
};

describe('timeline', () => {
  const cases: Case[] = [];
  before(async () => {
    cases.push(await synthetic('engine.arrow', 'engine', 20_000, 3));
    cases.push(await synthetic('host.sqlite', 'host', 16_000, 2));
  });

  const filters = fc.record({
    kinds: fc.subarray(['exit', 'entry', 'lost', 'entry_failed']),
    reasons: fc.subarray(['CPUID', 'HLT', 'VMRESUME', 'EPT_VIOLATION', 'no such reason']),
    vcpus: fc.subarray([0, 1, 2, 99]),
    levels: fc.subarray([0, 1, 2, -1]),
    text: fc.constant(''),
    stack: fc.constant([]),
  });
  const windows = fc.record({
    a: fc.double({ min: -0.1, max: 1.1, noNaN: true }),
    span: fc.oneof(fc.double({ min: 0, max: 1.2, noNaN: true }), fc.double({ min: 0, max: 0.01, noNaN: true })),
    bins: fc.integer({ min: 1, max: 2000 }),
    which: fc.nat(3),
  });

  it('counts every event of any viewport once, in its bin, lane and category', async () => {
    await fc.assert(
      fc.asyncProperty(windows, filters, async ({ a, span, bins, which }, filter) => {
        const of = cases[which >> 1];
        const on = of?.axes[which & 1];
        assert.ok(of !== undefined && on !== undefined);
        const low = on.x.reduce((least, x) => Math.min(least, x), Number.POSITIVE_INFINITY);
        const high = on.x.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
        const from = low + a * (high - low);
        const to = from + 1 + span * (high - low);
        const view = await of.timeline.view({ axis: on.axis, from, to, bins }, filter);
        compare(of, on.x, view, from, to, filter);
      }),
      { numRuns: 150, seed: SEED },
    );
  });

  function compare(of: Case, x: readonly number[], view: View, from: number, to: number, filter: Filter): void {
    const { categories, lanes } = of.timeline.overview;
    const shown = of.events.filter((event) => passes(event, filter));
    const at = ({ seq }: PlainEvent): number => x[seq] ?? Number.NaN;
    const totals = new Map<string, number>();
    for (let i = 0; i < view.totals.length; i += 2) {
      const category = categories[view.totals[i] ?? -1];
      assert.ok(category !== undefined);
      totals.set(nameOf(category), view.totals[i + 1] ?? 0);
    }
    assert.deepEqual(totals, tally(shown.filter((each) => at(each) >= from && at(each) < to).map(nameOf)));
    assert.ok(view.start <= from && view.start + view.bins * view.step >= to, 'the bins cover the viewport');
    const found = new Map<string, number>();
    const failures = new Map<string, number>();
    for (const lane of view.lanes) {
      const { vcpu, level } = lanes[lane.lane] ?? { vcpu: -1, level: -1 };
      for (let i = 0; i < lane.cells.length; i += 3) {
        const category = categories[lane.cells[i + 1] ?? -1];
        assert.ok(category !== undefined);
        const key = `${lane.cells[i]} ${vcpu} ${level} ${nameOf(category)}`;
        assert.ok(!found.has(key), 'a cell is there once');
        found.set(key, lane.cells[i + 2] ?? 0);
      }
      for (let i = 0; i < lane.failures.length; i += 3) {
        failures.set(`${lane.failures[i]} ${vcpu} ${level}`, lane.failures[i + 2] ?? 0);
        const first = of.events[lane.failures[i + 1] ?? -1];
        assert.ok(first?.failure === true && first.vcpu === vcpu, 'a mark leads to a failure of its lane');
      }
      for (let i = 0; i < lane.events.length; i += 4) {
        const event = of.events[lane.events[i] ?? -1];
        assert.ok(event !== undefined);
        assert.equal(lane.events[i + 2], at(event));
        const before = at(event) < from;
        if (before) assert.ok((lane.events[i + 3] ?? -1) >= from, 'what lies before reaches into the viewport');
        else found.set(`event ${event.seq} ${vcpu} ${level}`, 1);
      }
    }
    const bin = (event: PlainEvent): number => Math.floor((at(event) - view.start) / view.step);
    if (view.detail === 'bins') {
      const inside = shown.filter((each) => bin(each) >= 0 && bin(each) < view.bins);
      assert.deepEqual(found, tally(inside.map((each) => `${bin(each)} ${each.vcpu} ${each.level} ${nameOf(each)}`)));
      const failed = inside.filter(({ failure }) => failure).map((each) => `${bin(each)} ${each.vcpu} ${each.level}`);
      assert.deepEqual(failures, tally(failed));
    } else {
      const inside = shown.filter((each) => at(each) >= from && at(each) < to);
      assert.deepEqual(found, tally(inside.map(({ seq, vcpu, level }) => `event ${seq} ${vcpu} ${level}`)));
    }
  }

  it('shows failures and losses whatever kinds, reasons and words are chosen', async () => {
    for (const { timeline, events, axes } of cases) {
      const axis = axes[0]?.axis ?? 'seq';
      const { from, to } = timeline.overview.axes[axis] ?? { from: 0, to: 1 };
      const filter = { ...ALL, kinds: ['entry'], reasons: ['HLT'], text: 'nothing has this' };
      const view = await timeline.view({ axis, from, to, bins: 50 }, filter);
      const failed = events.filter(({ failure }) => failure).length;
      assert.ok(failed > 0);
      assert.equal(
        view.totals.reduce((sum, value, i) => sum + (i % 2 === 1 ? value : 0), 0),
        failed,
      );
      const lost = events.filter(({ kind }) => kind === 'lost').length;
      assert.ok(lost > 0);
      assert.equal(
        view.gaps.reduce((sum, { gaps }) => sum + gaps, 0),
        lost,
      );
    }
  });

  it('finds what has the words of a text filter', async () => {
    for (const { timeline, events, axes } of cases) {
      const axis = axes[1]?.axis ?? 'seq';
      const window = { axis, from: 0, to: events.length, bins: 100 };
      const has = (row: Row, value: bigint): boolean =>
        Object.entries(row).some(([, cell]) => typeof cell === 'bigint' && cell === value);
      const counts: [string, (event: PlainEvent) => boolean][] = [
        ['cpuid', ({ reason }) => reason === 'CPUID'],
        ['EXIT ept', ({ kind, reason }) => kind === 'exit' && reason === 'EPT_VIOLATION'],
        ['0xfe003000', ({ row }) => has(row, 0xfe00_3000n)],
        ['gpa:0xfe003000', ({ row }) => row.gpa === 0xfe00_3000n],
        ['rip:0xfe003000', () => false],
        ['seq:77', ({ seq }) => seq === 77],
      ];
      for (const [text, expected] of counts) {
        const { totals } = await timeline.view(window, { ...ALL, text });
        const found = totals.reduce((sum, value, i) => sum + (i % 2 === 1 ? value : 0), 0);
        assert.equal(found, events.filter((event) => event.failure || expected(event)).length, text);
      }
    }
  });

  it('steps through exactly the events that pass, both ways', async () => {
    const [of] = cases;
    assert.ok(of !== undefined);
    const filter = { ...ALL, kinds: ['exit'], reasons: ['HLT', 'VMCALL'], vcpus: [1] };
    const expected = of.events.filter((event) => passes(event, filter)).map(({ seq }) => seq);
    const walk = async (start: number, direction: 1 | -1): Promise<number[]> => {
      const seen: number[] = [];
      let at: number | undefined = start;
      while (at !== undefined) {
        at = (await of.timeline.step(at, direction, filter, false))?.seq;
        if (at !== undefined) seen.push(at);
      }
      return seen;
    };
    assert.ok(expected.length > 20);
    assert.deepEqual(await walk(-1, 1), expected);
    assert.deepEqual(await walk(of.events.length, -1), expected.toReversed());
    const failed = of.events.find(({ failure }) => failure)?.seq;
    assert.equal((await of.timeline.step(-1, 1, ALL, true))?.seq, failed);
  });

  it('finds the event of a lane that is nearest', async () => {
    const [of] = cases;
    assert.ok(of !== undefined);
    const lane = of.timeline.overview.lanes.findIndex(({ vcpu, level }) => vcpu === 1 && level === 2);
    const inLane = of.events.filter(({ vcpu, level, kind }) => vcpu === 1 && level === 2 && kind === 'exit');
    for (const x of [0, 12_345, 500_000, 1e9]) {
      const place = await of.timeline.nearest('tick', lane, x, { ...ALL, kinds: ['exit'] });
      const least = Math.min(...inLane.map(({ tick }) => Math.abs((tick ?? 0) - x)));
      assert.equal(Math.abs((place?.at.tick ?? 0) - x), least);
    }
  });

  it('keeps an answer within its bound', async () => {
    const path = join(folder, 'wide.arrow');
    const writer = createTrace(path);
    const table = writer.table('event');
    // a hostile trace: every event on a lane and of a reason of its own
    for (let seq = 0; seq < 60_000; seq++) {
      const kind = EVENT_KINDS.exit;
      table.row({
        seq,
        tick: seq,
        vcpu: seq % 5000,
        kind,
        isa: 2,
        from_level: 1,
        to_level: 0,
        reason: 0x10_0000 + (seq % 3000),
      });
    }
    writer.finish();
    const reader = openTrace(path);
    const timeline = await readTimeline(reader, 'wide');
    assert.ok(timeline.overview.problems.some((problem) => problem.includes('lanes')));
    assert.ok(timeline.overview.problems.some((problem) => problem.includes('reasons')));
    assert.ok(JSON.stringify(timeline.overview).length < 2 ** 20);
    for (const bins of [1, 4096]) {
      const view = await timeline.view({ axis: 'tick', from: 0, to: 60_000, bins }, ALL);
      assert.ok(JSON.stringify(view).length < 2 ** 20, `${JSON.stringify(view).length}`);
      assert.equal(view.lanes.length + view.lanesLeftOut, 4096);
    }
    reader.close();
  });
});

describe('timeline of exits and entries', () => {
  const lines: [EventKind, number | null, number | null][] = [
    ['exit', 2, 0], // 0: L0 reflects this one,
    ['entry', 0, 1], // 1: enters L1,
    ['exit', 1, 0], // 2: which works,
    ['entry', 0, 1], // 3
    ['exit', 1, 0], // 4: and resumes
    ['entry', 0, 2], // 5: what ends the exits of both levels
    ['exit', 2, 0], // 6: of this one the end was lost
    ['lost', null, null], // 7
    ['entry', 0, 2], // 8
    ['exit', 1, 0], // 9: and this one never ends
  ];

  it('ends an exit where its level or one above it is entered', async () => {
    const path = join(folder, 'pairs.arrow');
    const writer = createTrace(path);
    lines.forEach(([kind, from_level, to_level], seq) => {
      writer
        .table('event')
        .row({ seq, tick: seq * 10, vcpu: 0, kind: EVENT_KINDS[kind], isa: 1, from_level, to_level, reason: 10 });
    });
    writer.finish();
    const reader = openTrace(path);
    const { index, overview } = await readTimeline(reader, 'pairs');
    assert.deepEqual([...index.end], [5, 0, 3, 0, 5, 0, 0, 0, 0, 0]);
    assert.equal(overview.gaps, 1);
    reader.close();
  });

  it('counts an entry that failed once, whoever was told of it', async () => {
    const path = join(folder, 'told.arrow');
    const writer = createTrace(path);
    const kinds = ['entry_failed', 'nested_exit', 'nested_inject'] as const;
    kinds.forEach((kind, seq) => {
      const row = { seq, tick: seq, vcpu: 0, isa: 1, from_level: 2, to_level: seq, reason: 0x8000_0021n };
      writer.table('event').row({ ...row, kind: EVENT_KINDS[kind] });
    });
    writer.finish();
    const reader = openTrace(path);
    const { overview } = await readTimeline(reader, 'told');
    const failures = overview.categories.filter(({ failure }) => failure);
    assert.deepEqual(
      failures.map(({ kind, count }) => [kind, count]),
      [['entry_failed', 1]],
    );
    reader.close();
  });

  it('has one category of the exits of a basic reason, whatever else their reasons say', async () => {
    const path = join(folder, 'basic.arrow');
    const writer = createTrace(path);
    for (const [seq, reason] of [0x30n, 0x400_0030n, 0x30n, 0x1en].entries())
      writer.table('event').row({ seq, tick: seq, vcpu: 0, kind: EVENT_KINDS.exit, isa: 1, from_level: 1, reason });
    for (const code of [0x30, 0x1e]) writer.define('reason.vmx', code, `reason ${code}`);
    writer.finish();
    const reader = openTrace(path);
    const { overview } = await readTimeline(reader, 'basic');
    assert.deepEqual(
      overview.categories.map(({ reason, count }) => [reason, count]),
      [
        ['reason 48', 3],
        ['reason 30', 1],
      ],
    );
    reader.close();
  });

  it('takes the losses of a host CPU for gaps of all lanes, since the event before', async () => {
    const path = join(folder, 'cpu.arrow');
    const writer = createTrace(path);
    const table = writer.table('event');
    table.row({
      seq: 0,
      time_ns: 100,
      vcpu: 0,
      kind: EVENT_KINDS.exit,
      isa: 1,
      from_level: 1,
      to_level: 0,
      reason: 10,
    });
    table.row({ seq: 1, vcpu: 1, kind: EVENT_KINDS.lost, value: 1230 });
    table.row({ seq: 2, time_ns: 900, vcpu: 0, kind: EVENT_KINDS.entry, from_level: 0, to_level: 1 });
    writer.finish();
    const reader = openTrace(path);
    const timeline = await readTimeline(reader, 'cpu');
    const { gaps } = await timeline.view({ axis: 'seq', from: 0, to: 3, bins: 3 }, ALL);
    assert.deepEqual(
      gaps.map(({ vcpu, from, to, lost }) => ({ vcpu, from, to, lost })),
      [{ vcpu: null, from: 0, to: 1, lost: 1230 }],
    );
    const times = await timeline.view({ axis: 'time', from: 0, to: 1000, bins: 3 }, ALL);
    assert.deepEqual(
      times.gaps.map(({ from, to }) => to - from),
      [800],
      'until the event behind it, for a loss has no time of its own',
    );
    reader.close();
  });
});

describe('timeline of a damaged trace', () => {
  it('makes a hole of what cannot be read, and shows the rest', async () => {
    const path = join(folder, 'damaged.arrow');
    writeSynthetic(createTrace(path), { events: 30_000, vcpus: 1, seed: 3, clock: 'engine' });
    const largest = readdirSync(path)
      .map((name) => join(path, name))
      .sort((a, b) => statSync(b).size - statSync(a).size)
      .find((name) => name.includes('event'));
    assert.ok(largest !== undefined);
    const bytes = readFileSync(largest);
    const third = Math.floor(bytes.length / 3);
    for (let at = third; at < third * 2; at += 50) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
    writeFileSync(largest, bytes);
    const reader = openTrace(path);
    const timeline = await readTimeline(reader, 'damaged');
    assert.ok(timeline.overview.problems.length > 0);
    const view = await timeline.view({ axis: 'seq', from: 0, to: 30_000, bins: 100 }, ALL);
    const found = view.totals.reduce((sum, value, i) => sum + (i % 2 === 1 ? value : 0), 0);
    const lost = view.gaps.reduce((sum, gap) => sum + (gap.vcpu === null ? (gap.lost ?? 0) : 0), 0);
    assert.equal(found + lost, 30_000);
    assert.ok(lost >= 8192 && lost <= 3 * 8192, 'chunks are lost, and no more than were damaged');
    const last = await timeline.view({ axis: 'seq', from: 29_000, to: 30_000, bins: 1 }, { ...ALL, text: 'exit' });
    assert.ok(last.totals.length > 0, 'a filter of words finds what lies behind the hole');
    const whole = { window: null, vcpus: [] };
    const { problem, exits, lost: missing } = await timeline.profile(whole);
    assert.match(problem ?? '', /cannot be read/, 'a profile says that it is not of all events');
    assert.ok(exits > 0 && missing >= lost, 'what the recorder lost counts too');
    assert.equal((await timeline.flame(whole)).frames[0]?.exits, exits);
    reader.close();
  });

  it('says that a recording was cut', async () => {
    const path = join(folder, 'cut.arrow');
    const writer = createTrace(path);
    writer
      .table('event')
      .row({ seq: 0, tick: 5, vcpu: 0, kind: EVENT_KINDS.exit, isa: 1, from_level: 1, to_level: 0, reason: 10 });
    writer.flush();
    const reader = openTrace(path);
    const { overview } = await readTimeline(reader, 'cut');
    assert.equal(overview.complete, false);
    assert.ok(overview.problems.some((problem) => problem.includes('cut')));
    reader.close();
    writer.abandon();
  });
});
