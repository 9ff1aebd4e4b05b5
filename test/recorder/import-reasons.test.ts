/** Exit reasons that no manual of ours has: a kernel may be newer than Trapline. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fixture, importText, reasons } from './import-helpers.js';

describe('exit reasons of a newer kernel', () => {
  const REPORT = fixture('vmx-basic.report.txt');
  const renamed = (name: string): ReturnType<typeof importText> =>
    importText(REPORT.replaceAll('reason CPUID ', `reason ${name} `));

  it('are kept by their names, and change no count', () => {
    const known = importText(REPORT);
    const unknown = renamed('FROBNICATE');
    const { CPUID, ...others } = reasons(known);
    assert.ok((CPUID ?? 0) > 0);
    assert.deepEqual(reasons(unknown), { ...others, FROBNICATE: CPUID });
    assert.deepEqual(unknown.result.counts, known.result.counts);
    const said = unknown.result.notes.filter(({ says }) => says.includes('FROBNICATE'));
    assert.equal(said.length, 1);
  });

  it('have codes that no processor has, the same whatever else is in the recording', () => {
    const code = (text: string, name: string): unknown =>
      importText(text.replaceAll('NAME', name)).events.find(({ reason }) => reason !== 10 && reason !== undefined)
        ?.reason;
    const alone = 't-1 [000] 1.0: kvm_exit: reason NAME rip 0x0 info 0 0\n';
    const among = `t-1 [000] 1.0: kvm_exit: reason CPUID rip 0x0 info 0 0\n${alone}`;
    for (const name of ['FOO_NEW', 'BAR', 'a_new_one']) {
      assert.equal(code(alone, name), code(among, name));
      const low = code(alone, name) as number;
      if (name === 'a_new_one') assert.ok(low >= 0x7fff_8000 && low < 0x8000_0000);
      else assert.ok(low >= 0x8000 && low <= 0xffff);
    }
    assert.notEqual(code(alone, 'FOO_NEW'), code(alone, 'BAR'));
  });

  it('are bounded in number, and are no reason to take what is no exit of x86 for one', () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `t-1 [000] 1.0: kvm_exit: reason N${i}X rip 0x0 info 0 0\n`);
    const many = importText(lines.join(''));
    assert.equal(many.result.counts.exits, 1000);
    assert.ok(Object.keys(reasons(many)).length <= 257);
    for (const text of ['IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0xffff', 'reason FOO', 'reason FOO bar rip 0x0']) {
      assert.equal(importText(`t-1 [000] 1.0: kvm_exit: ${text}\n`).result.counts.exits, 0, text);
    }
  });
});
