/** Dumps behind the signs of comments, quotes and changes are those without them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture, REGISTERS, random } from './helpers.js';
import { anyMachine } from './kvm-printer.js';
import { printAsXen } from './xen-printer.js';

const next = random(0x3a);
/** What QEMU prints between its error and the registers (target/i386/kvm/kvm.c). */
const ADVICE = [
  '',
  "If you're running a guest on an Intel machine without unrestricted mode",
  'support, the failure can be most likely due to the guest entering an invalid',
  'state for Intel VT. For example, the guest maybe running in big real mode',
  'which is not supported on less recent Intel processors.',
  '',
].join('\n');

const DUMPS: { readonly [name: string]: string } = {
  'of QEMU, with its advice': `KVM: entry failed, hardware error 0x80000021\n${ADVICE}\n${REGISTERS}`,
  'of QEMU, with details': `KVM internal error. Suberror: 1\nextra data[0]: 0x0000000000000001\n${REGISTERS}`,
  'of Xen, with the heading of a table': printAsXen(413, anyMachine(next, 413), next).join('\n'),
  'of KVM': fixture('vmx-two-faults'),
  'of KVM on AMD, with a broken line': fixture('svm-cs').replace(/ (cr0:\s+\w+) /, ' $1\n'),
  'of two guests, between headings': `# First\n\n${fixture('vmx-two-faults')}\n# Second\n\n${fixture('vmx-injection')}`,
};

const MARKS = [
  '# ',
  '#',
  '    # ',
  '## ',
  '> ',
  '> > ',
  '| ',
  '> # ',
  '// ',
  '; ',
  ' * ',
  '-- ',
  '+',
  '-',
  '% ',
  'REM ',
];

const found = (text: string): unknown =>
  findDumps(text).map(({ format, first, last, values, damage }) => ({ format, first, last, values, damage }));

describe('a dump', () => {
  for (const [name, text] of Object.entries(DUMPS))
    it(name, () => {
      const plain = found(text.trimEnd());
      for (const mark of MARKS)
        for (const marked of [text.trimEnd().replace(/^/gm, mark), text.trimEnd().replace(/^(?=.)/gm, mark)])
          assert.deepEqual(found(marked), plain, mark);
    });
  it('ends before the heading that follows it, as one that nothing marks', () => {
    const [first = '', second = ''] = [fixture('vmx-two-faults'), fixture('vmx-injection')].map((text) =>
      text.replace(/^\[[^\]]*\] /gm, ''),
    );
    const half = (text: string, from: number, to: number): string => text.split('\n').slice(from, to).join('\n');
    const text = `${half(first, 0, 20)}\n\n# Another\n\n${half(second, 20, 50)}`;
    assert.equal(findDumps(text).length, 2);
    assert.deepEqual(found(text.replace(/^/gm, '> ')), found(text));
  });
});

describe('a comment that speaks of an error', () => {
  it('is none, whatever comments or dumps stand beside it', () => {
    const error = '// KVM: entry failed, hardware error 0x7';
    for (const text of [
      error,
      `${error}\n// is what it prints`,
      `${error}\n${REGISTERS}`,
      `${error}\n// if it fails\nEAX=0`,
    ]) {
      const errors = findDumps(text).flatMap(({ values }) => [...values.keys()].filter((key) => /^error/.test(key)));
      assert.deepEqual(errors, [], text);
    }
  });
});

// kvm_cpu_exec of accel/kvm/kvm-all.c prints the registers behind the error, and target/i386/kvm/kvm.c its advice between.
describe('an error of QEMU with its advice or registers below', () => {
  const ERRORS = {
    'KVM: entry failed, hardware error 0x80000021': 0x8000_0021n,
    'KVM internal error. Suberror: 1': 1n,
  };
  const told = (text: string): unknown =>
    findDumps(text).map(({ values, damage }) => [
      (values.get('error.hardware') ?? values.get('error.internal'))?.value,
      values.get('qemu.rip')?.value,
      damage,
    ]);
  const FRONTS = [
    'Booting from Hard Disk...',
    'BUILDID git-9346e',
    '[    0.000000] Linux version',
    '\0\0',
    'vm-test ',
    '12 ',
  ];
  const WRITERS = ['2024-05-01T10:11:12.123456Z 01O ', '<system-out><![CDATA[', 'stderr was "', 'qemu exited with '];
  for (const [error, number] of Object.entries(ERRORS))
    it(`is a report behind anything: ${error}`, () => {
      for (const front of [...FRONTS, ...WRITERS])
        for (const between of ['', ADVICE])
          assert.deepEqual(told(`${front}${error}\n${between}${REGISTERS}`), [[number, 0xfff0n, []]], front);
    });
  it('is one where each line has a number or a name in front, or is a string of a list', () => {
    const lines = `KVM: entry failed, hardware error 0x80000021\n${ADVICE}\n${REGISTERS}`.trimEnd().split('\n');
    for (const write of [
      (line: string, i: number) => `${i + 1}\t${line}`.padStart(7),
      (line: string) => `vm-test ${line}`,
      (line: string) => ` '${line}\\n'`,
      (line: string) => `'${line}',`,
      (line: string) => `- '${line.replaceAll("'", "''")}'`,
      (line: string) => `    '${line.replaceAll("'", "\\'")}\\n'`,
      (line: string) => `vm-test ${line.replaceAll("'", '&#39;')}<br>`,
    ])
      assert.deepEqual(told(lines.map(write).join('\n')), [[0x8000_0021n, 0xfff0n, []]], write('', 0));
  });
  it('is one in a string of Python', () => {
    const text = `KVM: entry failed, hardware error 0x80000021\n${ADVICE}\n${REGISTERS}`.replaceAll('\n', '\\n');
    assert.deepEqual(told(`E   AssertionError: assert 'Linux' in "${text}"`), [[0x8000_0021n, 0xfff0n, []]]);
  });
  it('is one where a terminal broke its number', () => {
    const text = `vm-test KVM: entry failed, hardware error 0x8\n0000021\n${ADVICE}\n${REGISTERS}`;
    assert.deepEqual(told(text), [[0x8000_0021n, 0xfff0n, []]]);
  });
  it('is the last before them; another speaks of it', () => {
    const text = `about KVM: entry failed, hardware error 0x7\nKVM: entry failed, hardware error 0x80000021\n${REGISTERS}`;
    assert.deepEqual(told(text), [[0x8000_0021n, 0xfff0n, []]]);
  });
  it('is lost where that is too far away to tell, so that they are damaged', () => {
    const text = `vm-test KVM: entry failed, hardware error 0x80000021\n${'tick\n'.repeat(6)}${REGISTERS}`;
    const [dump] = findDumps(text);
    assert.deepEqual(
      dump?.damage.map(({ kind, line }) => [kind, line]),
      [['garbled', 1]],
    );
  });
});
