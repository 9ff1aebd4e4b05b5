/** Time in the guest and outside in what is in view, against arithmetic over the rows of the trace. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { readTimeline, type Timeline } from '../../analyzer/timeline.js';
import type { Axis, ProfileTable } from '../../analyzer/timeline-answers.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { TraceReader } from '../../traces/store.js';
import { fixturePath, sharedPath } from '../recorder/import-helpers.js';
import { type PlainEvent, plainEvents } from '../web/rows.js';
import { writeSynthetic } from '../web/synthetic.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-time-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const SEED = 20_261_129;

/** What a vCPU did from one time to another. */
interface Stretch {
  readonly vcpu: number;
  readonly level: number | null;
  readonly part: 'guest' | 'outside';
  /** After HLT, by which the guest waits: Intel SDM volume 3D, appendix C; AMD64 APM volume 2, appendix C. */
  readonly halted: boolean;
  readonly from: number;
  readonly to: number;
}

interface Recording {
  readonly timeline: Timeline;
  readonly axis: 'tick' | 'time';
  readonly vcpus: readonly number[];
  readonly stretches: readonly Stretch[];
  readonly exits: readonly { readonly vcpu: number; readonly at: number }[];
  readonly end: number;
}

/** Nanoseconds since the first event that has any, or ticks. */
function timesOf(events: readonly PlainEvent[], axis: Recording['axis']): number[] {
  const base = events.find(({ time }) => time !== null)?.time ?? 0n;
  return events.map(({ tick, time }) => (axis === 'tick' ? (tick ?? Number.NaN) : Number((time ?? 0n) - base)));
}

/** From entries to the exits that follow on the vCPU and from exits to the entries that follow, nothing across a loss. */
function stretchesOf(events: readonly PlainEvent[], times: readonly number[]): Stretch[] {
  const found: Stretch[] = [];
  const open = new Map<number, { readonly at: number; readonly exit: PlainEvent | null }>();
  const isHalt = ({ row: { isa, reason } }: PlainEvent): boolean => Number(reason) === (Number(isa) === 2 ? 0x78 : 12);
  for (const [i, event] of events.entries()) {
    const { kind, vcpu } = event;
    const at = times[i] ?? Number.NaN;
    const before = open.get(vcpu);
    if (kind === 'lost') open.clear();
    else if (kind === 'entry') {
      const exit = before?.exit ?? null;
      if (before !== undefined && exit !== null)
        found.push({ vcpu, level: exit.level, part: 'outside', halted: isHalt(exit), from: before.at, to: at });
      open.set(vcpu, { at, exit: null });
    } else if (event.reason !== null || (kind === 'exit' && event.row.reason !== null)) {
      if (before?.exit === null && kind === 'exit')
        found.push({ vcpu, level: event.level, part: 'guest', halted: false, from: before.at, to: at });
      open.set(vcpu, { at, exit: event });
    }
  }
  return found;
}

async function recordingOf(reader: TraceReader, name: string): Promise<Recording> {
  const events = plainEvents(reader);
  const axis = events.some(({ tick }) => tick !== null) ? 'tick' : 'time';
  const times = timesOf(events, axis);
  const isExit = ({ kind, row }: PlainEvent): boolean =>
    (kind === 'exit' || kind === 'entry_failed') && row.reason !== null;
  return {
    timeline: await readTimeline(reader, name),
    axis,
    vcpus: [...new Set(events.map(({ vcpu }) => vcpu))],
    stretches: stretchesOf(events, times),
    exits: events.flatMap((event, i) => (isExit(event) ? [{ vcpu: event.vcpu, at: times[i] ?? 0 }] : [])),
    end: times.reduce((last, at) => Math.max(last, at), 0) + 1,
  };
}

function imported(bytes: Uint8Array, name: string): TraceReader {
  const path = join(folder, `${name}.arrow`);
  importTrace(memorySource(bytes, name), () => createTrace(path));
  return openTrace(path);
}

function synthetic(clock: 'engine' | 'host'): TraceReader {
  const path = join(folder, `${clock}.arrow`);
  writeSynthetic(createTrace(path), { events: 6000, vcpus: 3, seed: 5, clock });
  return openTrace(path);
}

/** Three vCPUs, each behind the one before it in the file, and all at the same time. */
function disordered(): TraceReader {
  const path = join(folder, 'disordered.arrow');
  const writer = createTrace(path);
  const table = writer.table('event');
  for (const [name, code] of Object.entries(EVENT_KINDS)) writer.define('kind', code, name);
  for (let seq = 0; seq < 600; seq++) {
    const [vcpu, i] = [Math.floor(seq / 200), seq % 200];
    const kind = EVENT_KINDS[i % 2 === 0 ? 'entry' : 'exit'];
    const more = i % 2 === 0 ? { to_level: 1 } : { from_level: 1, isa: 1, reason: i % 8 === 1 ? 12 : 10 };
    table.row({ seq, vcpu, kind, time_ns: 1000n * BigInt(i + 1) + BigInt((i * 7919) % 900) - BigInt(vcpu), ...more });
  }
  writer.finish();
  return openTrace(path);
}

/** An entry and an exit of a vCPU as KVM's tracepoints print them. */
const line = (vcpu: number, micros: number, event: string): string =>
  `qemu ${100 + vcpu}/${100 + vcpu} [00${vcpu}] ${(5 + micros / 1e6).toFixed(6)}: kvm:${event}\n`;
const entry = (vcpu: number, micros: number): string => line(vcpu, micros, `kvm_entry: vcpu ${vcpu}, rip 0x1000`);
const exit = (vcpu: number, micros: number, reason: string): string =>
  line(vcpu, micros, `kvm_exit: vcpu ${vcpu} reason ${reason} rip 0x1000 info1 0x0 info2 0x0`);

/** vCPU 0 runs 100 µs, halts 1 s and runs 100 µs; vCPU 1 is in its guest meanwhile, without an exit. */
const HALT = [
  [entry(0, 0), entry(1, 10), exit(0, 100, 'HLT'), entry(0, 1_000_100), exit(0, 1_000_200, 'CPUID')],
  [exit(1, 1_000_210, 'CPUID'), entry(0, 1_000_220)],
].flat();

const sum = (stretches: readonly Stretch[], from: number, to: number): number =>
  stretches.reduce((all, each) => all + Math.max(0, Math.min(each.to, to) - Math.max(each.from, from)), 0);

/** Times of some stretches in a window. */
function timeIn(stretches: readonly Stretch[], from: number, to: number): [guest: number, out: number, halted: number] {
  const only = (pick: (each: Stretch) => boolean): number => sum(stretches.filter(pick), from, to);
  return [only(({ part }) => part === 'guest'), only(({ part }) => part === 'outside'), only(({ halted }) => halted)];
}

const totals = ({ time, exits, handled }: ProfileTable): [number, number, number, number] => [
  time?.guest ?? 0,
  time?.outside ?? 0,
  exits,
  handled,
];

/** Lines of a table of the answer, as numbers in ascending order: names are of no matter here. */
const linesBy = (table: ProfileTable, by: 'vCPU' | 'level'): string[] =>
  (table.spent.find((each) => each.by === by)?.lines ?? [])
    .map(({ guest, outside, halted }) => `${[guest, outside, halted]}`)
    .sort();

/** The same from the stretches, of what has time in the window. */
function expectedBy({ stretches }: Recording, by: 'vcpu' | 'level', from: number, to: number): string[] {
  const groups = [...new Set(stretches.map((each) => each[by]))];
  const times = groups.map((group) =>
    timeIn(
      stretches.filter((each) => each[by] === group),
      from,
      to,
    ),
  );
  return times
    .filter(([guest, outside]) => guest + outside > 0)
    .map(String)
    .sort();
}

async function assertWindow(recording: Recording, from: number, to: number): Promise<void> {
  const { timeline, axis, stretches, exits, vcpus } = recording;
  const table = await timeline.profile({ window: { axis, from, to }, vcpus: [] });
  const [guest, outside, halted] = timeIn(stretches, from, to);
  const what = `${from} to ${to}`;
  assert.deepEqual(table.time, guest + outside === 0 ? null : { guest, outside }, what);
  assert.ok(guest + outside <= vcpus.length * (to - from), what);
  assert.equal(table.exits, exits.filter(({ at }) => at >= from && at < to).length, what);
  for (const [name, by] of [
    ['vCPU', 'vcpu'],
    ['level', 'level'],
  ] as const) {
    const told = linesBy(table, name).filter((each) => each !== '0,0,0');
    const expected = expectedBy(recording, by, from, to);
    if (told.length > 1 || expected.length > 1) assert.deepEqual(told, expected, `${what}, by ${name}`);
  }
  for (const vcpu of vcpus) {
    const one = await timeline.profile({ window: { axis, from, to }, vcpus: [vcpu] });
    const own = stretches.filter((each) => each.vcpu === vcpu);
    assert.deepEqual(totals(one).slice(0, 2), timeIn(own, from, to).slice(0, 2), `${what}, vCPU ${vcpu}`);
  }
  const lines = table.spent[0]?.lines ?? [];
  if (lines.length > 0)
    assert.equal(
      lines.reduce((all, each) => all + each.halted, 0),
      halted,
      what,
    );
}

/** Answers of neighbouring windows add up to that of the whole trace. */
async function assertPartition({ timeline }: Recording, axis: Axis, cuts: readonly number[]): Promise<void> {
  const { from, to } = timeline.overview.axes[axis] ?? { from: 0, to: 1 };
  const edges = [...new Set([from, ...cuts.map((cut) => from + Math.floor(cut * (to - from))), to])];
  edges.sort((a, b) => a - b);
  const parts = [0, 0, 0, 0];
  for (const [i, edge] of edges.slice(1).entries()) {
    const table = await timeline.profile({ window: { axis, from: edges[i] ?? from, to: edge }, vcpus: [] });
    for (const [at, value] of totals(table).entries()) parts[at] = (parts[at] ?? 0) + value;
  }
  assert.deepEqual(parts, totals(await timeline.profile({ window: null, vcpus: [] })), `${axis} at ${edges}`);
}

/** From 0 to 1; what fast-check calls a double is nearly always next to 0. */
const PARTS = fc.integer({ min: 0, max: 1_000_000 }).map((part) => part / 1_000_000);

const RECORDINGS: { readonly [name: string]: () => TraceReader | null } = {
  'two vCPUs on SVM': () => imported(readFileSync(fixturePath('svm-two-vcpus.trace.dat')), 'svm-two-vcpus'),
  'a nested guest on SVM': () => imported(readFileSync(fixturePath('svm-nested.trace.dat')), 'svm-nested'),
  'vCPUs out of order': disordered,
  'a long halt': () => imported(Buffer.from(HALT.join('')), 'halt'),
  'our machine, made up': () => synthetic('engine'),
  'a host with losses, made up': () => synthetic('host'),
  ...Object.fromEntries(
    ['svm/svm_2vcpu', 'vmx/vmx_nested'].map((name) => [
      `the whole of ${name}`,
      () => {
        const path = sharedPath(`kvm/${name}.trace.dat`);
        return path === null ? null : imported(readFileSync(path), name.replace('/', '-'));
      },
    ]),
  ),
};

describe('time in view', () => {
  for (const [name, open] of Object.entries(RECORDINGS)) {
    it(`is that of the rows within, of ${name}`, async (context) => {
      const reader = open();
      if (reader === null) return context.skip('the shared collection of real data is not here');
      const recording = await recordingOf(reader, name);
      const middle = fc.constantFrom(...recording.stretches.map(({ to }) => to));
      const asked = fc.asyncProperty(middle, PARTS, PARTS, async (at, share, power) => {
        const width = Math.ceil(recording.end * 10 ** (-6 * power));
        const from = Math.max(0, Math.floor(at - share * width));
        await assertWindow(recording, from, from + width);
      });
      await fc.assert(asked, { seed: SEED, numRuns: 80 });
      const cuts = fc.array(PARTS, { maxLength: 12 });
      for (const axis of [recording.axis, 'seq'] as const)
        await fc.assert(
          fc.asyncProperty(cuts, (at) => assertPartition(recording, axis, at)),
          { seed: SEED, numRuns: 12 },
        );
      reader.close();
    });
  }

  it('is cut at both ends, of a vCPU that halts, of one without an exit, and of a window inside either', async () => {
    const { timeline } = await recordingOf(imported(Buffer.from(HALT.join('')), 'halt-again'), 'halt');
    const micros = async (from: number, to: number, vcpus: readonly number[]): Promise<unknown> => {
      const window = { axis: 'time', from: from * 1000, to: to * 1000 } as const;
      const { exits, time, handled } = await timeline.profile({ window, vcpus });
      return [exits, time === null ? null : [time.guest / 1000, time.outside / 1000], handled / 1000];
    };
    // of the exit that begins in view the handler time is whole
    assert.deepEqual(await micros(50, 150, [0]), [1, [50, 50], 1_000_000]);
    assert.deepEqual(await micros(50, 150, []), [1, [150, 50], 1_000_000]);
    assert.deepEqual(await micros(20, 70, [0]), [0, [50, 0], 0]);
    assert.deepEqual(await micros(5000, 6000, [0]), [0, [0, 1000], 0]);
    assert.deepEqual(await micros(5000, 6000, []), [0, [1000, 1000], 0]);
    assert.deepEqual(await micros(1_000_090, 1_000_110, [0]), [0, [10, 10], 0]);
    // a window that a page asks for may begin and end between two moments: only the one of the exit lies in this one
    assert.deepEqual(await micros(99.9995, 100.0005, [0]), [1, [0, 0.001], 1_000_000]);
  });
});
