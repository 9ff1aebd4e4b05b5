/** Timelines of few events, each with what must be seen of them: pairs, failures, gaps, damage. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readTimeline } from '../../analyzer/timeline.js';
import type { Filter } from '../../analyzer/timeline-answers.js';
import { EVENT_KINDS, type EventKind } from '../../engine/observer.js';
import { importTrace } from '../../recorder/import/import.js';
import { openSource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { fixturePath } from '../recorder/import-helpers.js';
import { writeSynthetic } from '../web/synthetic.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-timeline-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const ALL: Filter = { kinds: [], reasons: [], vcpus: [], levels: [], text: '', stack: [] };

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

  it('finds events by their tracepoint, by the fields that its columns hold, and by the text beside them', async () => {
    const path = join(folder, 'words.arrow');
    importTrace(openSource(fixturePath('svm-two-vcpus.report.txt')), () => createTrace(path));
    const lines = readFileSync(fixturePath('svm-two-vcpus.report.txt'), 'utf8').split('\n');
    const reader = openTrace(path);
    const timeline = await readTimeline(reader, 'words');
    const range = { axis: 'seq', from: 0, to: lines.length, bins: 1 } as const;
    const count = async (text: string): Promise<number> =>
      (await timeline.view(range, { ...ALL, text })).totals.reduce(
        (sum, value, i) => sum + (i % 2 === 1 ? value : 0),
        0,
      );
    const printed = (word: string): number => lines.filter((line) => line.includes(word)).length;
    assert.ok(printed('kvm_write_tsc_offset') > 10);
    assert.equal(await count('write_tsc'), printed('kvm_write_tsc_offset'));
    assert.equal(await count('previous_tsc_offset'), printed('kvm_write_tsc_offset'));
    assert.equal(await count('vcpu_match GPA'), printed('vcpu_match_mmio'));
    assert.equal(await count('code:1 write_tsc'), printed('kvm_write_tsc_offset: vcpu=1 '));
    assert.equal(await count('next_tsc_offset=0'), printed('next=0'));
    assert.equal(await count('previous_tsc_offset:18446744051901653896'), printed('prev=18446744051901653896 '));
    assert.equal(await count('load=1'), printed('kvm_fpu:              load'));
    assert.equal(await count('load:0 fpu'), printed('kvm_fpu:              unload'));
    assert.ok(printed(' rax d ') > 0);
    for (const word of ['rax=13', 'rax:0xd', 'rbx=0x68747541', 'rbx:1752462657'])
      assert.equal(await count(word), printed(' rax d rbx 68747541 '), word);
    for (const word of ['rax=0', 'ax=13', 'rax=1', 'rbx=0x6874', 'rbx=6']) assert.equal(await count(word), 0, word);
    reader.close();
  });

  it('finds the numbers of fields that no column holds, of a binary recording as of its text', async () => {
    const path = join(folder, 'binary.arrow');
    importTrace(openSource(fixturePath('svm-two-vcpus.trace.dat')), () => createTrace(path));
    const text = readFileSync(fixturePath('svm-two-vcpus.report.txt'), 'utf8').split('\n');
    const reader = openTrace(path);
    const timeline = await readTimeline(reader, 'binary');
    const range = { axis: 'seq', from: 0, to: text.length, bins: 1 } as const;
    for (const [word, print] of [
      ['rax=13', ' rax d '],
      ['rbx:0x68747541', ' rbx 68747541 '],
      ['rax=0', ' rax 0 '],
      ['rbx=6', ' rbx 6 '],
    ] as const) {
      const { totals } = await timeline.view(range, { ...ALL, text: word });
      const found = totals.reduce((sum, value, i) => sum + (i % 2 === 1 ? value : 0), 0);
      assert.equal(found, text.filter((line) => line.includes(print)).length, word);
    }
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
