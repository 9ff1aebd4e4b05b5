/** Dumps of several vCPUs that are printed at the same time, by a kernel that does not name the caller of a line. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Dump } from '../../../analyzer/explain/dump.js';
import { findDumps } from '../../../analyzer/explain/find.js';
import { broken, explained, fixture, healthy, ids, only, REGISTERS, random } from './helpers.js';

const bare = (name: string): string[] =>
  fixture(name)
    .replace(/^\[ *[0-9.]+\] /gm, '')
    .trimEnd()
    .split('\n');

const stamped = (lines: readonly string[]): string =>
  lines.map((line, i) => `[   61.${String(190_000 + i * 10)}] ${line}`).join('\n');

const headless = (name: string): string[] => bare(name).filter((line) => !line.includes('last attempted'));

/** Another state of the same guest. */
const other = (lines: readonly string[]): string[] =>
  lines.map((line) =>
    line
      .replace(/^(.*\bVMCB )\w/, '$17')
      .replace(/(\b(?:rip|rsp|cr3|exit_info1|iopm_base_pa): +\w{12})\w{4}/, '$15000')
      .replace(/(\bss: +s: \w{3})\w/, '$18'),
  );

const INTEL = ['vmx-two-faults', 'vmx-pdpte', 'vmx-injection'].flatMap((name) => [bare(name), headless(name)]);
const AMD = [bare('svm-cs'), other(bare('svm-cs'))];

/** The lines of all, each in its order, up to `most` of one before those of another. */
function mix(dumps: readonly (readonly string[])[], most: number, next: (n: number) => number): string[] {
  const rest = dumps.map((lines) => [...lines]);
  const mixed: string[] = [];
  while (rest.some(({ length }) => length > 0))
    mixed.push(...(rest[next(rest.length)] ?? []).splice(0, 1 + next(most)));
  return mixed;
}

const isMixed = ({ damage }: Dump): boolean => damage.some(({ kind }) => kind === 'mixed' || kind === 'conflict');

/** A dump is of one state, where it is not told that lines of two are mixed. */
function assertOfOne(text: string, states: readonly Dump[]): void {
  for (const dump of findDumps(text)) {
    const isOf = ({ values }: Dump): boolean =>
      [...dump.values].every(([name, { value }]) => values.get(name)?.value === value);
    assert.ok(isMixed(dump) || states.some(isOf), `lines ${dump.first} to ${dump.last} of\n${text}`);
  }
}

describe('two dumps whose lines are mixed, without caller ids', () => {
  it('no dump is made of lines of both without a word of it', () => {
    const next = random(0x5eed);
    for (const family of [INTEL, AMD]) {
      for (const first of family) {
        for (const second of family) {
          const states = findDumps([first, second].flat().join('\n'));
          for (const most of [1, 2, 5, 12, 30]) {
            for (let round = 0; round < 6; round++) assertOfOne(stamped(mix([first, second], most, next)), states);
          }
        }
      }
    }
  });
  for (const [name, first, second] of [
    ['dump_vmcs', bare('vmx-two-faults'), bare('vmx-pdpte')],
    ['dump_vmcs of old kernels', headless('vmx-two-faults'), headless('vmx-pdpte')],
    ['dump_vmcb', AMD[0] ?? [], AMD[1] ?? []],
  ] as const)
    it(`line by line it is one damage, and no rule is judged across lines: ${name}`, () => {
      const lines = first.flatMap((line, i) => [line, second[i] ?? '']);
      const report = only(stamped(lines));
      assert.equal(report.verdict, 'damaged');
      assert.match(report.sentence, /mixes the lines of two states/);
      assert.ok(report.next.some((line) => line.includes('CONFIG_PRINTK_CALLER')));
      assert.ok(report.undecidable.some(({ missing }) => missing.some(({ kind }) => kind === 'piece')));
      for (const { values } of [...report.violated, ...report.suspects])
        assert.equal(new Set(values.map(({ line }) => line)).size, 1);
      assert.ok(report.last > lines.length - 4);
    });
  it('two states with the same faults in another order of lines break no rule that neither breaks', () => {
    const next = random(0xfa17);
    const [first, second] = [bare('vmx-pdpte'), bare('vmx-injection')];
    const own = new Set([first, second].flatMap((lines) => broken(only(lines.join('\n')))));
    for (let round = 0; round < 100; round++) {
      const { dumps } = explained(stamped(mix([first, second], 6, next)));
      for (const report of dumps)
        assert.deepEqual(
          broken(report).filter((id) => !own.has(id)),
          [],
        );
    }
  });
});

describe('dumps of two hosts in one log', () => {
  it('each line counts for the section it was printed in, or for none', () => {
    const next = random(0x2057);
    const whole = ['vmx-two-faults', 'vmx-pdpte', 'vmx-injection'].map(bare);
    // As before 5.13.
    const printed = whole.flatMap((lines) => [lines, lines.map((line) => line.replace('EFER= 0x', 'EFER =     0x'))]);
    const states = whole.flatMap((lines) => findDumps(lines.join('\n')));
    const cut = (lines: readonly string[]): string[] => lines.slice(next(2) * next(lines.length));
    const logged = (host: string, seconds: number): string[] =>
      cut(printed[next(printed.length)] ?? []).map(
        (line, i) => `Sep  8 22:52:20 ${host} kernel: [${seconds}.${190_000 + i * 10}] ${line}`,
      );
    for (let round = 0; round < 400; round++) {
      const text = mix([logged('alpha', 61), logged('beta', 70_000)], 1 + (round % 12), next).join('\n');
      for (const { values } of findDumps(text))
        for (const [name, { value, line }] of values)
          assert.ok(
            states.some((state) => state.values.get(name)?.value === value),
            `${name} of line ${line} of\n${text}`,
          );
    }
  });
});

describe('a dump of a VMCS and the registers of QEMU, whose lines are mixed', () => {
  // dump_vmcs prints `EFER= 0x%016llx`, or `EFER =     0x%016llx` before 5.13, and QEMU `EFER=%016" PRIx64`.
  const linux = healthy.trimEnd().split('\n');
  const qemu = REGISTERS.replace('EFER=0000000000000000', 'EFER=0000000000000500').trimEnd().split('\n');
  for (const [name, print] of [
    ['of 6.1', (line: string) => line],
    ['of 4.19', (line: string) => line.replace('EFER= 0x', 'EFER =     0x')],
  ] as const)
    it(`each has its own EFER: ${name}`, () => {
      const next = random(0xefe2);
      for (let round = 0; round < 60; round++) {
        const text = mix([linux.map(print), qemu], 1 + (round % 12), next).join('\n');
        const told = findDumps(text).map(({ format, values, damage }) => [
          format,
          ['GUEST_IA32_EFER', 'HOST_IA32_EFER', 'qemu.efer'].map((field) => values.get(field)?.value),
          damage.map(({ kind }) => kind),
        ]);
        assert.deepEqual(
          told.sort(),
          [
            ['kvm-vmcs', [0n, 0xd01n, undefined], []],
            ['qemu', [undefined, undefined, 0x500n], []],
          ],
          text,
        );
      }
    });
});

describe('dumps one after the other', () => {
  const [first, second] = [bare('vmx-two-faults'), bare('vmx-pdpte')];
  const causes = (text: string): string[][] =>
    explained(text).dumps.map(({ damage, violated }) => [...new Set(damage.map(({ kind }) => kind)), ...ids(violated)]);

  it('whole ones are not mixed', () => {
    const expected = [['guest.tr.s'], ['guest.pdpte2.reserved']];
    assert.deepEqual(causes(stamped([...first, ...second])), expected);
    assert.deepEqual(causes(stamped([...headless('vmx-two-faults'), ...headless('vmx-pdpte')])), expected);
    const amd = causes(stamped(AMD.flat()));
    assert.ok(amd.length > 0 && amd.every((said) => said.join() === 'svm.cs.l_and_d'), String(amd));
  });
  it('what a ring buffer lost of the first is no damage of the next', () => {
    for (const left of [5, 20, 36])
      assert.deepEqual(causes(stamped([...first.slice(0, left), ...second])).at(-1), ['guest.pdpte2.reserved']);
  });
  it('lines that were logged twice, or two that came in the wrong order, are no other dump', () => {
    const whole = ids(only(stamped(first)).violated);
    assert.deepEqual(causes(stamped(first.flatMap((line) => [line, line]))), [whole]);
    for (let i = 1; i + 1 < first.length; i++) {
      const swapped = first.toSpliced(i, 2, first[i + 1] ?? '', first[i] ?? '');
      assert.deepEqual(causes(stamped(swapped)), [whole], first[i]);
    }
  });
});
