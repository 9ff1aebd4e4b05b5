/** Real recordings: what comes in must be what other tools and the recorder's own counters say. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { importTrace } from '../../recorder/import/import.js';
import { openSource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { fixture, fixturePath, type Imported, importText, reasons, sharedPath, tally } from './import-helpers.js';

const FIXTURES = [
  'svm-basic.script.txt',
  'svm-nested.report.txt',
  'svm-ring-too-small.trace.txt',
  'svm-timer-callchains.script.txt',
  'svm-two-vcpus.report.txt',
  'vmx-basic.report.txt',
  'vmx-nested.report.txt',
];

/** Kernel and libtraceevent spell SVM's reasons in their own ways. */
const SPELLINGS: { readonly [printed: string]: string } = {
  io: 'IOIO',
  hypercall: 'VMMCALL',
  interrupt: 'INTR',
  'UD excp': 'EXCP_UD',
};
const canonical = (printed: string): string => SPELLINGS[printed] ?? printed.replace(/^EXIT_/, '').toUpperCase();

/** Exits by reason as a plain search sees them. */
const searched = (text: string): { [name: string]: number } =>
  tally([...text.matchAll(/kvm_exit: .*?reason (.+?) rip/g)].map(([, name = '']) => canonical(name)));

function sameEvents(text: string, imported: Imported): void {
  const names = [...text.matchAll(/\[\d{3}\].*?[\d.]+: +(?:kvm:|kvmmmu:)?(\w+):/g)].map(([, name = '']) => name);
  const kinds = tally(imported.events.map(({ kind }) => kind));
  const count = (name: string): number => names.filter((each) => each === name).length;
  assert.equal(imported.events.filter(({ kind }) => kind !== 'lost').length, names.length);
  assert.equal(imported.result.counts.damaged, 0);
  assert.equal(kinds.exit ?? 0, count('kvm_exit'));
  assert.equal(kinds.entry ?? 0, count('kvm_entry'));
  assert.equal(kinds.io ?? 0, count('kvm_pio'));
  assert.equal(kinds.mmio ?? 0, count('kvm_mmio'));
  assert.equal(kinds.msr ?? 0, count('kvm_msr'));
  assert.equal(kinds.emulate ?? 0, count('kvm_emulate_insn'));
  assert.equal(kinds.userspace_exit ?? 0, count('kvm_userspace_exit'));
  assert.equal(kinds.nested_exit ?? 0, count('kvm_nested_vmexit'));
  assert.equal(kinds.nested_inject ?? 0, count('kvm_nested_vmexit_inject'));
  assert.equal(kinds.inject ?? 0, count('kvm_inj_exception') + count('kvm_inj_virq'));
  assert.deepEqual(reasons(imported), searched(text));
}

describe('import of recorded traces', () => {
  for (const name of FIXTURES) {
    it(`has every event of ${name}, exits by reason as a plain search counts them`, () => {
      const text = fixture(name);
      sameEvents(text, importText(text));
    });
  }

  it('gives the same trace in both stores', () => {
    const folder = mkdtempSync(join(tmpdir(), 'trapline-import-'));
    try {
      const digests = ['a.sqlite', 'a.arrow'].map((name) => {
        const path = join(folder, name);
        const source = openSource(fixturePath('vmx-basic.report.txt'));
        const { digest, counts } = importTrace(source, () => createTrace(path));
        source.close();
        const reader = openTrace(path);
        assert.equal(reader.complete, true);
        assert.equal(reader.rows('event'), counts.events);
        assert.equal(reader.digest(), digest);
        assert.equal(reader.name('reason.vmx', 48), 'EPT_VIOLATION');
        assert.match(reader.name('vcpu', 0) ?? '', /kvmc-174/);
        reader.close();
        return digest;
      });
      assert.equal(digests[0], digests[1]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('counts what the ring of the recorder lost', () => {
    // the header of the file says 707 of 1937 entries
    const { result, events } = importText(fixture('svm-ring-too-small.trace.txt'));
    assert.equal(result.counts.lost, 1937 - 707);
    assert.deepEqual(events[0], { seq: 0, vcpu: 0, kind: 'lost', value: 1230 });
  });

  it('keeps threads apart and knows their vCPU where the source says it', () => {
    const { events, writer } = importText(fixture('svm-two-vcpus.report.txt'));
    const lanes = [...writer.dictionary('vcpu').values()].map(({ says }) => JSON.parse(says ?? 'null'));
    assert.deepEqual(
      lanes.map(({ thread, task, vcpu }) => ({ thread, task, vcpu })),
      [
        { thread: 134, task: 'kvmc', vcpu: 0 },
        { thread: 136, task: 'kvmc', vcpu: 1 },
      ],
    );
    for (const lane of [0, 1]) {
      const own = events.filter(({ vcpu, kind }) => vcpu === lane && (kind === 'exit' || kind === 'entry'));
      own.forEach(({ kind }, i) => {
        if (i > 0) assert.notEqual(kind, own[i - 1]?.kind, 'exits and entries of a thread alternate');
      });
    }
  });

  for (const name of ['svm-nested.report.txt', 'vmx-nested.report.txt']) {
    it(`gives each exit of ${name} its level: those of an L2 are the ones that KVM reports as nested`, () => {
      const { events } = importText(fixture(name));
      const l2 = events.filter(({ kind, from_level }) => kind === 'exit' && from_level === 2);
      const nested = events.filter(({ kind }) => kind === 'nested_exit');
      assert.ok(nested.length > 0);
      assert.deepEqual(
        nested.map(({ parent, rip }) => ({ seq: parent, rip })),
        l2.map(({ seq, rip }) => ({ seq, rip })),
      );
    });

    it(`makes one tree of each exit of ${name} that L1 handles`, () => {
      const { events } = importText(fixture(name));
      const injected = events.filter(({ kind }) => kind === 'nested_inject');
      assert.ok(injected.length > 0);
      for (const { seq, parent } of injected) {
        const next = events.findIndex(
          ({ kind, seq: at }) => kind === 'nested_entry' && (at as number) > (seq as number),
        );
        const between = events.slice(Number(seq) + 1, next < 0 ? undefined : next);
        const exits = between.filter(({ kind, from_level }) => kind === 'exit' && from_level === 1);
        for (const exit of exits) assert.equal(exit.parent, parent, 'an exit of L1 on behalf of the L2 exit');
      }
    });
  }
});

/** Exits that the manifest of the collection gives for each text. */
const EXITS: { readonly [file: string]: number } = {
  'kvm/vmx/vmx_basic.report.txt': 409,
  'kvm/vmx/vmx_basic_perf.script.txt': 409,
  'kvm/vmx/vmx_nested.report.txt': 181,
  'kvm/svm/svm_basic.report.txt': 415,
  'kvm/svm/svm_basic_perf.script.txt': 417,
  'kvm/svm/svm_timer_perf.script.txt': 88,
  'kvm/svm/svm_rawftrace.trace.txt': 196,
  'kvm/svm/svm_2vcpu.report.txt': 826,
};

/** Workload BASIC of the manifest: exits by reason, interrupts aside. */
const BASIC: { readonly [isa: string]: { readonly [reason: string]: number } } = {
  vmx: {
    CPUID: 100,
    IO_INSTRUCTION: 75,
    MSR_READ: 43,
    MSR_WRITE: 15,
    EPT_VIOLATION: 75,
    EPT_MISCONFIG: 38,
    VMCALL: 25,
    EXCEPTION_NMI: 7,
    WBINVD: 4,
    HLT: 5,
    CR_ACCESS: 19,
    DR_ACCESS: 1,
    XSETBV: 2,
  },
  svm: {
    CPUID: 100,
    IOIO: 75,
    MSR: 58,
    NPF: 113,
    VMMCALL: 25,
    EXCP_UD: 7,
    WBINVD: 4,
    HLT: 5,
    CR0_SEL_WRITE: 8,
    READ_CR4: 6,
    WRITE_CR4: 6,
    WRITE_CR8: 5,
    WRITE_DR7: 1,
  },
};

describe('import of the shared collection', () => {
  for (const [name, exits] of Object.entries(EXITS)) {
    const path = sharedPath(name);
    it(`${name} holds ${exits} exits`, {
      skip: path === null && 'the shared collection of real data is not here',
    }, () => {
      const text = readFileSync(path ?? '', 'utf8');
      const imported = importText(text);
      assert.equal(imported.result.counts.exits, exits);
      sameEvents(text, imported);
      const basic = /\/(vmx|svm)_basic/.exec(name)?.[1];
      if (basic === undefined) return;
      const { INTR: _interrupts, ...counted } = reasons(imported);
      assert.deepEqual(counted, BASIC[basic]);
      assert.equal(imported.events.filter(({ kind }) => kind === 'userspace_exit').length, 121);
    });
  }

  const reports = ['kvm/vmx/vmx_basic_pk.report_vmexit.txt', 'kvm/vmx/vmx_basic.report.txt'].map(sharedPath);
  it('agrees with perf kvm stat on each reason', {
    skip: reports.includes(null) && 'the shared collection of real data is not here',
  }, () => {
    const [report = '', trace = ''] = reports.map((path) => readFileSync(path ?? '', 'utf8'));
    const samples = Object.fromEntries(
      [...report.matchAll(/^\s*([A-Z_]+)\s+(\d+)\s+[\d.]+%/gm)].map(([, name = '', count]) => [name, Number(count)]),
    );
    // perf counts exits that an entry followed: the last one, an OUT, has none
    samples.IO_INSTRUCTION = (samples.IO_INSTRUCTION ?? 0) + 1;
    assert.deepEqual(reasons(importText(trace)), samples);
  });

  const folder = sharedPath('text');
  for (const name of folder === null ? [] : readdirSync(folder)) {
    it(`${name} comes in with the exits that a plain search finds, or is refused as no trace`, () => {
      const text = readFileSync(join(folder ?? '', name), 'utf8');
      if (/^B2[012]/.test(name)) {
        assert.throws(() => importText(text), { code: 'NOT_A_TRACE' });
        return;
      }
      const lines = text.split('\n').filter((line) => /kvm_exit: .*reason /.test(line));
      assert.equal(importText(text).result.counts.exits, lines.length);
    });
  }
});
