/**
 * `trapline profile` against `perf kvm stat report` of the same recordings: reports that came with them, and perf as it
 * is installed here. Every figure that perf prints is compared as it prints it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type BreakdownRow, breakdownOf } from '../../analyzer/profile/breakdown.js';
import { type CountedEvent, ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { sharedPath } from '../recorder/import-helpers.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

const EVENTS: readonly CountedEvent[] = ['vmexit', 'mmio', 'ioport'];

/** Key and figures of each line of a report, and its last line. */
function readReport(text: string): { lines: Map<string, string>; total: string } {
  const line = /^ *(\S.*?) +(\d+) +([\d.]+)% +([\d.]+)% +([\d.]+)us +([\d.]+)us +([\d.]+)us \( \+- +([\d.]+)% \)/gm;
  const lines = [...text.matchAll(line)].map(([, key = '', ...figures]): [string, string] => [key, figures.join(' ')]);
  const total = /Total Samples:\d+, Total events handled time:[\d.]+us/.exec(text)?.[0] ?? 'no total';
  return { lines: new Map(lines), total };
}

/** Microseconds as perf prints them. */
const micros = (ns: number): string => (ns / 1000).toFixed(2);
const percent = (share: number): string => (100 * share).toFixed(2);

function ourReport(bytes: Uint8Array, event: CountedEvent): ReturnType<typeof readReport> {
  const builder = new ExitIndexBuilder(event);
  const writer = new StreamWriter((chunk) => builder.take(chunk));
  importTrace(memorySource(bytes), () => writer);
  const nameOf = (domain: string, code: bigint): string | null => writer.dictionary(domain).get(code)?.name ?? null;
  const rows = breakdownOf(builder.finish(), [event === 'vmexit' ? 'reason' : 'key'], { nameOf });
  const samples = rows.reduce((sum, { times }) => sum + (times?.samples ?? 0), 0);
  const handled = rows.reduce((sum, { times }) => sum + (times?.total ?? 0), 0);
  const figures = ({ times }: BreakdownRow): string => {
    if (times === null) return '';
    const shares = [times.samples / samples, times.total / handled].map(percent);
    const [min = '', max = '', mean = ''] = [times.min, times.max, times.mean].map(micros);
    return [times.samples, ...shares, min, max, mean, percent(times.error)].join(' ');
  };
  return {
    lines: new Map(rows.flatMap((row) => (row.times === null ? [] : [[row.labels.join(' '), figures(row)]]))),
    total: `Total Samples:${samples}, Total events handled time:${micros(handled)}us`,
  };
}

/** Names of perf that are not ours in lower case: its table of SVM exits. */
const SVM_NAMES: { readonly [ours: string]: string } = {
  IOIO: 'io',
  VMMCALL: 'hypercall',
  EXCP_UD: 'UD excp',
  INTR: 'interrupt',
};

/** A key of ours as perf writes it. */
function perfKey(label: string, event: CountedEvent, svm: boolean): string {
  if (event === 'vmexit') return svm ? (SVM_NAMES[label] ?? label.toLowerCase()) : label;
  const [, address = '', way = ''] = /^\S+ (0x[0-9a-f]+) (\S+)$/.exec(label) ?? [];
  return `${address}:${{ write: 'W', read: 'R', out: 'POUT', in: 'PIN' }[way]}`;
}

function assertSame(ours: ReturnType<typeof readReport>, theirs: typeof ours, event: CountedEvent, svm: boolean): void {
  const renamed = [...ours.lines].map(([label, figures]): [string, string] => [perfKey(label, event, svm), figures]);
  assert.deepEqual(new Map(renamed.sort()), new Map([...theirs.lines].sort()));
  assert.equal(ours.total, theirs.total);
}

const REPORTED: readonly (readonly [recording: string, events: readonly CountedEvent[]])[] = [
  ['svm/svm_basic_pk', EVENTS],
  ['vmx/vmx_basic_pk', ['vmexit']],
];
const RECORDINGS = [
  'svm/svm_basic_pk.perfkvm.data',
  'vmx/vmx_basic_pk.perfkvm.data',
  'svm/svm_basic_perf.perf.data',
  'vmx/vmx_basic_perf.perf.data',
  'svm/svm_timer_perf.perf.data',
  'svm/svm_exitentry_z.perf.data',
];

describe('figures of perf kvm stat report', () => {
  for (const [recording, events] of REPORTED) {
    for (const event of events) {
      it(`are ours: ${recording}, ${event}`, (test) => {
        const path = sharedPath(`kvm/${recording}.perfkvm.data`);
        const report = sharedPath(`kvm/${recording}.report_${event}.txt`);
        if (path === null || report === null) return test.skip('the recordings are not here');
        const theirs = readReport(readFileSync(report, 'utf8'));
        assert.ok(theirs.lines.size > 5);
        assertSame(ourReport(readFileSync(path), event), theirs, event, recording.startsWith('svm'));
      });
    }
  }

  for (const recording of RECORDINGS) {
    for (const event of EVENTS) {
      it(`are ours: ${recording}, ${event}, by the perf that is installed`, (test) => {
        const path = sharedPath(`kvm/${recording}`);
        if (path === null) return test.skip('the recordings are not here');
        const text = perfReport(path, event, test);
        if (text !== null) {
          assertSame(ourReport(readFileSync(path), event), readReport(text), event, recording.startsWith('svm'));
        }
      });
    }
  }
});

/** What perf prints, on its standard error as it happens; null where there is no perf. It asks that the file is ours. */
function perfReport(path: string, event: CountedEvent, test: TestContext): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-perf-'));
  try {
    const copy = join(folder, 'perf.data');
    copyFileSync(path, copy);
    const words = ['kvm', '-i', copy, 'stat', 'report', `--event=${event}`];
    const { stdout, stderr, error, status } = spawnSync('perf', words, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    if (error !== undefined || status !== 0) {
      test.skip('perf is not installed');
      return null;
    }
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('accesses that the host emulates', () => {
  const rowsOf = (
    event: CountedEvent,
    events: readonly EventDraft[],
  ): (readonly [string | undefined, number, number | undefined])[] => {
    const builder = new ExitIndexBuilder(event);
    feedEvents(events, (chunk) => builder.take(chunk));
    return breakdownOf(builder.finish(), ['key']).map(({ labels, count, times }) => [labels[0], count, times?.total]);
  };
  const exit = (tick: number): EventDraft => ({ kind: 'exit', isa: 2, reason: 0x400, from_level: 1, tick });
  const mmio = (tick: number, gpa: number, flags: number): EventDraft => ({ kind: 'mmio', gpa, flags, tick });
  const entry = (tick: number): EventDraft => ({ kind: 'entry', tick });

  it('are timed by the definitions of perf', () => {
    // a write: to the entry; a read: from the exit, where only its end counts, not that user space is asked
    const events = [
      exit(10),
      mmio(13, 0x1004, 1),
      entry(20),
      exit(30),
      mmio(31, 0x2000, 8),
      mmio(37, 0x2000, 0),
      entry(40),
    ];
    assert.deepEqual(rowsOf('mmio', events), [
      ['MMIO 0x1004 write', 1, 7],
      ['MMIO 0x2000 read', 1, 7],
    ]);
    const port: EventDraft = { kind: 'io', code: 0x3f8, flags: 1, tick: 52 };
    assert.deepEqual(rowsOf('ioport', [exit(50), port, entry(60)]), [['port 0x3f8 out', 1, 8]]);
  });

  it('are left out where nothing says when they ended', () => {
    const lost: EventDraft = { kind: 'lost', value: 3, tick: 3 };
    assert.deepEqual(rowsOf('mmio', [exit(1), mmio(2, 0x1000, 1), lost, entry(4)]), []);
    assert.deepEqual(rowsOf('mmio', [exit(1), mmio(2, 0x1000, 1), mmio(3, 0x1008, 1), entry(5)]), [
      ['MMIO 0x1008 write', 1, 2],
    ]);
    assert.deepEqual(rowsOf('mmio', [mmio(2, 0x1000, 0), entry(4)]), []);
  });
});
