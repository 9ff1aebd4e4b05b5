import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { readTimeline, type Timeline } from '../../analyzer/timeline.js';
import type { Axis, Filter, View } from '../../analyzer/timeline-answers.js';
import { EVENT_KINDS } from '../../engine/observer.js';
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
