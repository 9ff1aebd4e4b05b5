/** Comparisons of what Linux recorded on real hosts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { compare } from '../../analyzer/diff.js';
import { DiffSide } from '../../analyzer/diff-side.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixture, sharedPath } from '../recorder/import-helpers.js';

function sideOfText(text: string, ignore: readonly string[] = []): DiffSide {
  const side = new DiffSide(ignore);
  const writer = new StreamWriter((chunk) => side.take(chunk));
  importTrace(memorySource(Buffer.from(text)), () => writer);
  side.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
  return side;
}

describe('diff of recordings', () => {
  it('finds fifty CPUID rounds more, and the work that goes with them', () => {
    // the lines of one round: exit, kvm_cpuid, entry
    const text = fixture('vmx-basic.report.txt');
    const lines = text.split('\n');
    const exit = lines.findIndex((line) => line.includes('reason CPUID'));
    const entry = lines.findIndex((line, i) => i > exit && line.includes('kvm_entry'));
    const round = lines.slice(exit, entry + 1);
    const more = [
      ...lines.slice(0, entry + 1),
      ...Array.from({ length: 50 }, () => round).flat(),
      ...lines.slice(entry + 1),
    ];
    const found = compare(sideOfText(text), sideOfText(more.join('\n')));
    assert.deepEqual([found.vanished, found.appeared, found.hunks, found.match], [0, 50, 1, 'rip']);
    assert.deepEqual(
      found.changes.map(({ exit: { reason }, appeared }) => [reason, appeared]),
      [['CPUID', 50]],
    );
    assert.deepEqual(found.events, [
      { kind: 'exit', left: found.left.exits, right: found.left.exits + 50 },
      { kind: 'entry', left: found.left.entries, right: found.left.entries + 50 },
      { kind: 'cpuid', left: sumOf(text, 'kvm_cpuid'), right: sumOf(text, 'kvm_cpuid') + 50 },
    ]);
  });

  const pair = ['text/B02_amd_idle_hlt_DISABLED.trace.txt', 'text/B01_amd_idle_hlt_ENABLED.trace.txt'].map(sharedPath);
  it('idle-HLT: the hlt exit disappears, msr and vintr stay', {
    skip: pair.includes(null) && 'the shared collection of real data is not here',
  }, () => {
    const [off = '', on = ''] = pair.map((path) => readFileSync(path ?? '', 'utf8'));
    const found = compare(sideOfText(off), sideOfText(on));
    assert.deepEqual([found.vanished, found.appeared], [1, 0]);
    assert.deepEqual(found.reasons.map(({ reason, delta }) => [reason, delta]).sort(), [
      ['HLT', -1],
      ['MSR', 0],
      ['VINTR', 0],
    ]);
  });

  for (const name of ['vmx', 'svm'] as const) {
    const tools = [`kvm/${name}/${name}_basic.report.txt`, `kvm/${name}/${name}_basic_perf.script.txt`].map(sharedPath);
    it(`${name}: two recordings of one workload by two tools agree, host interrupts aside`, {
      skip: tools.includes(null) && 'the shared collection of real data is not here',
    }, () => {
      const [report = '', script = ''] = tools.map((path) => readFileSync(path ?? '', 'utf8'));
      const found = compare(sideOfText(report, ['INTR']), sideOfText(script, ['INTR']));
      assert.deepEqual([found.match, found.hunks], ['rip', 0]);
      assert.equal(found.matched, name === 'vmx' ? 409 : 413);
    });
  }
});

const sumOf = (text: string, name: string): number =>
  text.split('\n').filter((line) => line.includes(`${name}:`)).length;
