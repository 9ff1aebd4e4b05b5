/** Recordings as installed tools print them in their other forms: the same events as in the usual one. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TRACEPOINTS } from '../../recorder/import/kvm/table.js';
import { type Event, importBytes, importText, sharedPath } from './import-helpers.js';

const print = (tool: string, words: readonly string[]): string =>
  execFileSync(tool, words, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: 'pipe' });

/** Why a form cannot be tested here, or false. */
function missing(tool: string, path: string | null): string | false {
  if (path === null) return 'the shared collection of real data is not here';
  return spawnSync(tool, ['--version']).error === undefined ? false : `no ${tool}`;
}

interface Form {
  readonly file: string;
  readonly usual: readonly string[];
  readonly other: readonly string[];
}

const REPORT = ['report', '-i'];
const SCRIPT = ['script', '-i'];
const FORMS: readonly Form[] = [
  ...['kvm/svm/svm_basic.trace.dat', 'kvm/svm/svm_2vcpu.trace.dat', 'kvm/vmx/vmx_nested.trace.dat'].flatMap((file) => [
    { file, usual: REPORT, other: ['report', '-l', '-i'] },
    { file, usual: REPORT, other: ['report', '--ts-diff', '-i'] },
    { file, usual: REPORT, other: ['report', '--align-ts', '-i'] },
  ]),
  ...['kvm/svm/svm_basic_perf.perf.data', 'kvm/vmx/vmx_basic_perf.perf.data'].flatMap((file) => [
    { file, usual: SCRIPT, other: ['script', '-F', 'comm,tid,time,event,trace', '-i'] },
    { file, usual: SCRIPT, other: ['script', '-F', 'tid,time,event,trace', '-i'] },
    {
      file,
      usual: SCRIPT,
      other: ['script', '--show-task-events', '--show-mmap-events', '--show-switch-events', '-i'],
    },
    { file, usual: SCRIPT, other: ['script', '--ns', '-F', 'comm,pid,tid,time,event,trace', '-i'] },
  ]),
];

/** What all forms say alike: some shift times or cut them. */
const alike = ({ time_ns: _time, ...event }: Event): object => event;

describe('other forms in which tools print a recording', () => {
  for (const { file, usual, other } of FORMS) {
    const path = sharedPath(file);
    const tool = file.endsWith('.dat') ? 'trace-cmd' : 'perf';
    it(`${file}: ${other.join(' ')}`, { skip: missing(tool, path) }, () => {
      if (path === null) return;
      const expected = importText(print(tool, [...usual, path]));
      const found = importText(print(tool, [...other, path]));
      assert.deepEqual(found.result.counts.damaged, 0);
      assert.deepEqual(found.events.map(alike), expected.events.map(alike));
      assert.ok(found.events.every(({ time_ns: time }) => typeof time === 'number'));
    });
  }
});

/** Recordings of both architectures, of one and more vCPUs, of nested guests and of failed entries. */
const RECORDINGS = [
  'kvm/svm/svm_2vcpu.trace.dat',
  'kvm/svm/svm_2vcpu_v6.trace.dat',
  'kvm/svm/svm_basic.trace.dat',
  'kvm/svm/svm_nested.trace.dat',
  'kvm/svm/svm_nested_bad1.trace.dat',
  'kvm/vmx/vmx_basic.trace.dat',
  'kvm/vmx/vmx_failtrace_gdtr_base_noncanon.trace.dat',
  'kvm/vmx/vmx_nested.trace.dat',
  'kvm/vmx/vmx_nested_bad3.trace.dat',
];

/** Columns alone: what has none is text, which each tool writes in its own way. */
const columns = ({ time_ns: _time, text: _text, ...event }: Event): object => event;

describe('fields by their names', () => {
  for (const file of RECORDINGS) {
    const path = sharedPath(file);
    it(`${file}: trace-cmd report -R has the columns of the recording itself`, {
      skip: missing('trace-cmd', path),
    }, () => {
      if (path === null) return;
      const raw = importText(print('trace-cmd', ['report', '-R', '-i', path]));
      const { events } = importBytes(readFileSync(path));
      assert.deepEqual(raw.result.counts.damaged, 0);
      assert.deepEqual(raw.events.map(columns), events.map(columns));
    });
  }

  const one = (text: string): object => {
    const { events, result } = importText(`t-1 [000] 1.0: ${text}\n`);
    assert.deepEqual([events.length, result.counts.damaged], [1, 0]);
    const { seq: _seq, vcpu: _vcpu, time_ns: _time, ...rest } = events[0] as Event;
    return rest;
  };

  const EXIT = {
    kind: 'exit',
    isa: 1,
    from_level: 1,
    to_level: 0,
    reason: 0x4000030,
    rip: 0x10000,
    qualification: 0x782,
  };

  // print_fields of kernel/trace/trace_output.c
  it('are read as a kernel prints them with the option `fields`', () => {
    assert.deepEqual(
      one('kvm_exit: exit_reason=67108912 (0x4000030) guest_rip=65536 (0x10000) isa=1 (0x1) info1=1922 (0x782)'),
      EXIT,
    );
    assert.deepEqual(one("kvm_mmio: type=2 (0x2) len='\u0004'(4) gpa=3489660928 (0xd0000000) val=0 (0x0)"), {
      kind: 'mmio',
      flags: 1,
      size: 4,
      gpa: 0xd0000000,
      value: 0,
    });
  });

  it('may be in any order, twice, or of more than the event has columns for', () => {
    assert.deepEqual(one('kvm_exit: info1=0x782 isa=1 guest_rip=0x10000 exit_reason=67108912 isa=1'), EXIT);
    assert.deepEqual(one('kvm_exit: exit_reason=67108912 guest_rip=0x10000 isa=1 info1=0x782 new=a b other=0x1'), {
      ...EXIT,
      text: 'new=a b other=0x1',
    });
  });

  it('that are no numbers, or too few, are damage and not taken for zero', () => {
    for (const text of ['exit_reason=x guest_rip=0x1 isa=1', 'guest_rip=0x1 isa=1', 'exit_reason= isa=1']) {
      const { events, result } = importText(`t-1 [000] 1.0: kvm_exit: ${text}\n`);
      assert.deepEqual([events[0]?.kind, events[0]?.reason, result.counts.damaged], ['other', undefined, 1], text);
    }
  });

  /** A line of an event with some of its fields, and maybe some that it does not have, before, among and behind them. */
  const line = fc
    .constantFrom(...Object.entries(TRACEPOINTS))
    .chain(([name, { fields }]) =>
      fc.tuple(
        fc.constant(name),
        fc.array(fc.constantFrom(...Object.keys(fields), 'first', 'toString'), { maxLength: 8 }),
      ),
    )
    .map(([name, fields]) => `${name}: ${fields.map((field) => `${field}=0x1`).join(' ')}`);

  it('say the same whatever lines stand before them', () => {
    const said = (text: string): readonly object[] => {
      const { events, writer } = importText(text);
      return events.map(({ seq: _seq, vcpu: _vcpu, parent: _parent, tracepoint, ...rest }) => ({
        ...rest,
        name: tracepoint === undefined ? null : writer.dictionary('event').get(BigInt(Number(tracepoint)))?.name,
        code: rest.kind === 'other' ? null : rest.code,
      }));
    };
    const few = fc.array(line, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(few, fc.array(fc.nat(3), { minLength: 2, maxLength: 8 }), (lines, order) => {
        const texts = order.map((at, i) => `t-${i + 1} [000] ${i + 1}.0: ${lines[at % lines.length]}\n`);
        assert.deepEqual(said(texts.join('')), texts.flatMap(said));
      }),
      { numRuns: 2000 },
    );
  });

  it('are those of the event behind a line of it that was cut', () => {
    const cut = 'q-8 [000] 1.0: kvm_hv_hypercall: rep_cnt=0x0 rep_idx=0x0 ingpa=0x1000\n';
    const rest = 'rep_idx=0x0 ingpa=0x1000 outgpa=0x2000 code=0x5c var_cnt=0x0 fast=0x1';
    const whole = (thread: number): string => `q-${thread} [000] 2.0: kvm_hv_hypercall: rep_cnt=0x0 ${rest}\n`;
    const [, behind] = importText(cut + whole(9)).events;
    const [alone] = importText(whole(9)).events;
    assert.deepEqual({ ...behind, seq: 0, vcpu: 0 }, { ...alone, seq: 0, vcpu: 0 });
    assert.deepEqual([alone?.code, alone?.value], [0x5c, 0x1000]);
  });
});
