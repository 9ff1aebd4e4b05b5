/** Exports, judged by the formats' own rules and by readers that are not ours. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { exportCsv } from '../../../analyzer/export/csv.js';
import { foldedLine } from '../../../analyzer/export/folded.js';
import { exportPerfetto } from '../../../analyzer/export/perfetto.js';
import { exportSpeedscope } from '../../../analyzer/export/speedscope.js';
import { flameGraph } from '../../../analyzer/export/svg.js';
import { inPackage } from '../../../traces/guests/guest.js';
import { TABLES } from '../../../traces/schema.js';
import { rowOf } from '../../traces/rows.js';
import type { EventDraft } from '../profile-helpers.js';
import { Paper, rowsTrace, traceOf } from './traces.js';

/** An exit of L2 that L1 serves with two exits of its own; times in ticks. */
const NESTED: readonly EventDraft[] = [
  { kind: 'entry', isa: 1, from_level: 0, to_level: 2, tick: 1000 },
  { kind: 'exit', isa: 1, from_level: 2, to_level: 0, reason: 10, code: 7, rip: 0x2000, tick: 1500 },
  { kind: 'entry', isa: 1, from_level: 0, to_level: 1, tick: 1600 },
  { kind: 'exit', isa: 1, from_level: 1, to_level: 0, reason: 23, rip: 0x1000, tick: 1700 },
  { kind: 'entry', isa: 1, from_level: 0, to_level: 1, tick: 1750 },
  { kind: 'exit', isa: 1, from_level: 1, to_level: 0, reason: 24, rip: 0x1003, tick: 1800 },
  { kind: 'vmfail', vcpu: 0, code: 7, tick: 1801 },
  { kind: 'entry_failed', isa: 1, from_level: 0, reason: 0x8000_0021, tick: 1810 },
  { kind: 'entry', isa: 1, from_level: 0, to_level: 2, tick: 1900 },
  { kind: 'exit', isa: 1, from_level: 2, to_level: 0, reason: 12, rip: 0x2002, tick: 2000 },
];

/** Any events in any order, with hostile times and levels. */
const anyEvents = fc.array(
  fc.record({
    kind: fc.constantFrom('exit', 'entry', 'entry_failed', 'vmfail', 'lost', 'cpuid'),
    vcpu: fc.nat(2),
    isa: fc.constantFrom(null, 0, 1, 2),
    from_level: fc.constantFrom(null, 0, 1, 2, 3, 255),
    to_level: fc.constantFrom(null, 0, 1, 2, 3, 255),
    reason: fc.oneof(fc.constant(null), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    qualification: fc.oneof(fc.constant(null), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    value: fc.oneof(fc.constant(null), fc.nat(9)),
    time_ns: fc.oneof(fc.constant(null), fc.nat(3000), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  }),
  { maxLength: 60 },
) as fc.Arbitrary<EventDraft[]>;

interface TraceEvent {
  readonly ph: 'B' | 'E' | 'i' | 'M';
  readonly ts: number;
  readonly pid: number;
  readonly tid: number;
  readonly name?: string;
  readonly s?: string;
  readonly args?: { readonly [key: string]: unknown };
}

/** The rules of the Trace Event Format: phases, their fields, and slices that nest on each thread. */
function checkTraceEvents(text: string): TraceEvent[] {
  const { traceEvents } = JSON.parse(text) as { traceEvents: TraceEvent[] };
  const threads = new Map<string, { open: (string | undefined)[]; last: number }>();
  for (const event of traceEvents) {
    assert.ok(Number.isInteger(event.pid) && Number.isInteger(event.tid));
    // chrome://tracing warns of any other metadata.
    if (event.ph === 'M') assert.match(event.name ?? '', /^(process|thread)_name$/);
    if (event.ph === 'M') continue;
    const id = `${event.pid} ${event.tid}`;
    const thread = threads.get(id) ?? { open: [], last: 0 };
    threads.set(id, thread);
    assert.ok(Number.isFinite(event.ts) && event.ts >= thread.last);
    thread.last = event.ts;
    assert.equal(typeof event.name, 'string');
    if (event.ph === 'B') thread.open.push(event.name);
    // speedscope ends the slice that has this name, and none without.
    if (event.ph === 'E') assert.equal(thread.open.pop(), event.name);
    if (event.ph === 'i') assert.ok(event.s === 'g' || event.s === 't');
  }
  for (const { open } of threads.values()) assert.deepEqual(open, []);
  return traceEvents;
}

describe('perfetto', () => {
  it('nests what L1 does for an exit of L2 inside it; a tick is a nanosecond', (test) => {
    const paper = new Paper();
    assert.equal(exportPerfetto(traceOf(test, NESTED), paper).written, 4 + 2);
    const said = checkTraceEvents(paper.text)
      .filter(({ ph }) => ph !== 'M')
      .map(({ ph, ts, name }) => [ph, ts, name]);
    assert.deepEqual(said, [
      ['B', 0.5, 'L2 CPUID'],
      ['B', 0.7, 'L1 VMREAD'],
      ['E', 0.75, 'L1 VMREAD'],
      ['B', 0.8, 'L1 VMRESUME'],
      ['i', 0.801, 'VMfail, error 7'],
      ['i', 0.81, 'VM entry failed: L0 INVALID_STATE'],
      ['E', 0.9, 'L1 VMRESUME'],
      ['E', 0.9, 'L2 CPUID'],
      ['B', 1, 'L2 HLT'],
      ['E', 1, 'L2 HLT'],
    ]);
    const first = checkTraceEvents(paper.text).find(({ ph }) => ph === 'B');
    assert.deepEqual(first?.args, { seq: 1, about: 'leaf 0x7', rip: '0x2000' });
  });

  it('is well formed whatever the events are, in memory that depends on lanes alone', async (test) => {
    await fc.assert(
      fc.asyncProperty(anyEvents, async (events) => {
        const paper = new Paper();
        exportPerfetto(traceOf(test, events), paper);
        const slices = checkTraceEvents(paper.text).filter(({ ph }) => ph === 'B').length;
        assert.equal(slices, events.filter(({ kind, reason }) => kind === 'exit' && reason !== null).length);
      }),
      { numRuns: 40 },
    );
  });
});

/** https://www.speedscope.app/file-format-schema.json: required members, units, and what its importer asserts. */
function checkSpeedscope(text: string): { name: string; opened: number }[] {
  const file = JSON.parse(text);
  assert.equal(file.$schema, 'https://www.speedscope.app/file-format-schema.json');
  assert.ok(file.shared.frames.every(({ name }: { name: unknown }) => typeof name === 'string'));
  return file.profiles.map(
    (profile: {
      type: string;
      name: string;
      unit: string;
      startValue: number;
      endValue: number;
      events: { type: 'O' | 'C'; frame: number; at: number }[];
    }) => {
      assert.equal(profile.type, 'evented');
      assert.ok(['bytes', 'microseconds', 'milliseconds', 'nanoseconds', 'none', 'seconds'].includes(profile.unit));
      const open: number[] = [];
      let last = profile.startValue;
      for (const { type, frame, at } of profile.events) {
        assert.ok(at >= last && at <= profile.endValue);
        last = at;
        assert.ok(frame >= 0 && frame < file.shared.frames.length);
        if (type === 'O') open.push(frame);
        else assert.equal(open.pop(), frame);
      }
      assert.deepEqual(open, []);
      return { name: profile.name, opened: profile.events.filter(({ type }) => type === 'O').length };
    },
  );
}

describe('speedscope', () => {
  it('opens and closes frames as the exits nest', (test) => {
    const paper = new Paper();
    const { written, remark } = exportSpeedscope(traceOf(test, NESTED), paper);
    assert.equal(written, 4);
    assert.match(remark ?? '', /^entries that failed are left out.*: 1$/);
    assert.deepEqual(checkSpeedscope(paper.text), [{ name: 'vCPU 0', opened: 5 }]);
    const { shared } = JSON.parse(paper.text);
    assert.deepEqual(
      shared.frames.map(({ name }: { name: string }) => name),
      ['L2 CPUID', 'leaf 0x7', 'L1 VMREAD', 'L1 VMRESUME', 'L2 HLT'],
    );
  });

  /** speedscope.schema.json is file-format-schema.json of speedscope 1.25.0, judged by Python's jsonschema. */
  it('is valid by the schema that speedscope publishes', (test) => {
    const schema = join(inPackage(), 'test', 'analyzer', 'export', 'speedscope.schema.json');
    const paper = new Paper();
    exportSpeedscope(traceOf(test, NESTED), paper);
    const script = [
      'import json, sys',
      'try:',
      '    import jsonschema',
      'except ImportError:',
      '    sys.exit(print("absent"))',
      `schema = json.load(open(${JSON.stringify(schema)}))`,
      'document = json.load(sys.stdin)',
      'jsonschema.validate(document, schema)',
      'document["profiles"][0]["unit"] = "ticks"',
      'print("lax" if jsonschema.Draft7Validator(schema).is_valid(document) else "valid")',
    ].join('\n');
    const said = python(script, paper.text)?.trim() ?? 'absent';
    if (said === 'absent') return test.skip('python3 with jsonschema is not installed');
    assert.equal(said, 'valid');
  });

  it('keeps the rules of the format whatever the events are', async (test) => {
    await fc.assert(
      fc.asyncProperty(anyEvents, async (events) => {
        const paper = new Paper();
        exportSpeedscope(traceOf(test, events), paper);
        checkSpeedscope(paper.text);
      }),
      { numRuns: 40 },
    );
  });
});

describe('a trace of many lanes', () => {
  it('keeps the 256 busiest in speedscope and says so', (test) => {
    const events = Array.from({ length: 300 }, (_, vcpu): EventDraft[] =>
      Array.from({ length: vcpu < 44 ? 1 : 2 }, (_, i) => ({
        kind: 'exit',
        vcpu,
        isa: 1,
        reason: 12,
        from_level: 1,
        tick: i,
      })),
    ).flat();
    const paper = new Paper();
    const { written, remark } = exportSpeedscope(traceOf(test, events), paper);
    assert.deepEqual([written, checkSpeedscope(paper.text).length], [512, 256]);
    assert.match(remark ?? '', /^44 lanes/);
  });
});

describe('folded stacks', () => {
  it('hold what a name may not hold', () => {
    assert.equal(foldedLine({ frames: ['L1', 'a;b\n c'], weight: 3 }), 'L1;a:b c 3');
  });
});

/** The Python that has jsonschema, if any: Debian's package is for the system's own. */
const PYTHON =
  ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', 'import jsonschema']).status === 0) ??
  'python3';

const python = (script: string, input: string): string | null => {
  const { status, stdout, stderr, error } = spawnSync(PYTHON, ['-c', script], { input, encoding: 'utf8' });
  if (error !== undefined) return null;
  assert.equal(status, 0, stderr);
  return stdout;
};

describe('csv', () => {
  it('gives Python the cells that were written, whatever they are', (test) => {
    const rows = fc.sample(rowOf('event'), { numRuns: 200, seed: 7 });
    const paper = new Paper();
    const reader = rowsTrace(
      test,
      rows.map((row, seq) => ({ ...row, seq })),
    );
    assert.equal(exportCsv(reader, paper, 'event').written, rows.length);
    const script =
      'import csv,io,json,sys\n' +
      'text = sys.stdin.buffer.read().decode("utf-8")\n' +
      'print(json.dumps(list(csv.DictReader(io.StringIO(text, newline="")))))';
    const read = python(script, paper.text);
    if (read === null) return test.skip('python3 is not installed');
    const expected = rows.map((row, seq) =>
      Object.fromEntries(
        TABLES.event.columns.map(({ name }) => {
          const cell = name === 'seq' ? seq : (row[name] ?? '');
          return [name, cell instanceof Uint8Array ? Buffer.from(cell).toString('hex') : String(cell)];
        }),
      ),
    );
    assert.deepEqual(JSON.parse(read), expected);
  });
});

describe('svg', () => {
  it('is XML whose boxes are as wide as what they weigh, and lie on those that they belong to', (test) => {
    const stacks = [
      { frames: ['L1', 'A <&">\u0001'], weight: 30 },
      { frames: ['L1', 'B', 'k'], weight: 10 },
      { frames: ['L2'], weight: 60 },
    ];
    const script = [
      'import sys, json, xml.etree.ElementTree as tree',
      'root = tree.fromstring(sys.stdin.buffer.read())',
      's = "{http://www.w3.org/2000/svg}"',
      'boxes = [[g.find(s+"title").text] + [float(g.find(s+"rect").get(k)) for k in ("x","y","width")] for g in root.iter(s+"g")]',
      'print(json.dumps(boxes))',
    ].join('\n');
    const read = python(script, flameGraph(stacks, 'a & b', 'ticks'));
    if (read === null) return test.skip('python3 is not installed');
    const boxes = JSON.parse(read) as [title: string, x: number, y: number, width: number][];
    const all = boxes[0]?.[3] ?? 0;
    const shares = boxes.map(([title, , , width]) => [title, Math.round((100 * width) / all)]);
    assert.deepEqual(shares, [
      ['all: 100 ticks, 100.00%', 100],
      ['L1: 40 ticks, 40.00%', 40],
      ['A <&">\ufffd: 30 ticks, 30.00%', 30],
      ['B: 10 ticks, 10.00%', 10],
      ['k: 10 ticks, 10.00%', 10],
      ['L2: 60 ticks, 60.00%', 60],
    ]);
    const [, l1, a, b] = boxes;
    assert.ok(l1 !== undefined && a !== undefined && b !== undefined);
    assert.ok(a[1] >= l1[1] && b[1] + b[3] <= l1[1] + l1[3] + 0.02 && Math.abs(b[1] - (a[1] + a[3])) < 0.02);
    assert.ok(a[2] < l1[2]);
  });
});
