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
