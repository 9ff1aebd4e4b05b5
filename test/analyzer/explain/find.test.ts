/** Finding and reading dumps: prefixes, wrapping, damage, hostile input. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findingOf } from '../../../analyzer/explain/explain.js';
import { findDumps } from '../../../analyzer/explain/find.js';
import { UNKNOWN } from '../../../analyzer/explain/processor.js';
import { SVM_CHECKS } from '../../../engine/svm/checks/table.js';
import { broken, explained, fixture, ids, only, random, values } from './helpers.js';

/** The dump without the ring buffer's time stamps. */
const bare = (name: string): string[] =>
  fixture(name)
    .replace(/^\[ *[0-9.]+\] /gm, '')
    .trimEnd()
    .split('\n');

const PREFIXES: { readonly [name: string]: (line: string, i: number) => string } = {
  'ring buffer': (line, i) => `[   61.${190300 + i}] ${line}`,
  'ring buffer with thread': (line, i) => `[28040.${962300 + i}][T78789] ${line}`,
  'caller on a processor': (line, i) => `[   61.${190300 + i}][   C3] ${line}`,
  syslog: (line, i) => `Sep  8 22:52:20 host kernel: [10639.${238000 + i}] ${line}`,
  journal: (line) => `2024-05-01T10:00:00+0000 host kernel: ${line}`,
  'module name': (line, i) => `[ 2311.${499000 + i}] kvm_intel: ${line}`,
  'quoting as a comment': (line) => `# ${line}`,
  'mail quoting': (line) => `> > ${line}`,
  'log level': (line, i) => `<3>[   61.${190300 + i}] ${line}`,
  elided: (line) => `[…] ${line}`,
  tabs: (line) => `\t${line.replaceAll(' ', '\t')}`,
  colours: (line) => `\u001b[31m${line}\u001b[0m`,
  'colours with colons': (line) => `\u001b[38:2::255:0:0m${line}\u001b[m\u001b[K`,
  'colours in JSON': (line, i) => `\\u001b[32m[   61.${190300 + i}] \\u001b[0m${line}`,
  'colours by rsyslog': (line) => `host kernel: #033[31m${line}#033[0m`,
  'colours by cat -v': (line) => `^[[31m${line}^[[0m`,
  'colours without their ESC': (line) => `[0;31m${line}[0m`,
  'what tput sgr0 sends': (line) => `\u001b(B\u001b[m${line}`,
  'title of a terminal': (line) => `\u001b]0;root@host: ~\u0007${line}`,
};

describe('prefixes', () => {
  const plain = bare('vmx-two-faults');
  const expected = values(plain.join('\n'));

  it('a dump without any has every value that the kernel printed', () => {
    // 46 lines of Linux 6.1 hold this many values of fields.
    assert.ok(expected.length > 95, String(expected.length));
    assert.deepEqual(
      expected.find(([name]) => name === 'GUEST_GDTR_BASE'),
      ['GUEST_GDTR_BASE', 0x9000_0000_0000n],
    );
  });
  for (const [name, prefix] of Object.entries(PREFIXES)) {
    it(name, () => assert.deepEqual(values(plain.map(prefix).join('\n')), expected));
  }
  it('blanks of any kind and number', () => {
    const spaced = (space: string): string[] => plain.map((line) => line.replace(/ ?= ?/g, `${space}=${space}`));
    assert.deepEqual(values(spaced('  ').join('\n').replaceAll(' ', '\u00a0 \t')), expected);
    assert.deepEqual(values(plain.map((line) => line.replace(/^(\S+)/, '\u001b[1m$1\u001b[0m')).join('\n')), expected);
  });
  it('line ends of Windows', () => assert.deepEqual(values(plain.join('\r\n')), expected));
  it('other lines between', () =>
    assert.deepEqual(values(plain.flatMap((line) => [line, 'eth0: link is up', '']).join('\n')), expected));

  it('a prompt of root on the same console', () =>
    assert.deepEqual(values([...plain.slice(0, 20), '# ls', '# ', ...plain.slice(20)].join('\n')), expected));
  it('a heading between two fragments ends the first', () => {
    const half = plain.slice(0, 20);
    assert.equal(findDumps([...half, '', '# the rest, of another run', ...plain.slice(20)].join('\n')).length, 2);
    const host = plain.findIndex((line) => line.includes('Control State'));
    assert.equal(findDumps([...half, '# the end of another', ...plain.slice(host)].join('\n')).length, 2);
    assert.equal(findDumps(['VMLAUNCH error: 0x7', '# another', ...plain].join('\n')).length, 2);
    assert.equal(findDumps([...half, '# F2', ...plain.slice(20)].join('\n')).length, 2);
    // Times prove that they are of one dump.
    const stamped = plain.map((line, i) => `[   61.19${300 + i}] ${line}`);
    for (const note of [['# F2'], ['', '# my note', ''], ['', '#1  0x000055 in kvm_vcpu_thread_fn ()', '']])
      assert.deepEqual(values([...stamped.slice(0, 20), ...note, ...stamped.slice(20)].join('\n')), expected);
    const later = plain.map((line, i) => `[ 6100.19${300 + i}] ${line}`);
    assert.equal(findDumps([...stamped.slice(0, 20), '', '# F2', '', ...later.slice(20)].join('\n')).length, 2);
  });

  it('all in upper or in lower case, with what stands in front', () => {
    const log = fixture('vmx-two-faults');
    for (const text of [log.toUpperCase(), log.toLowerCase()]) {
      assert.deepEqual(values(text), expected);
      assert.deepEqual(only(text).damage, []);
    }
    const vmcb = fixture('svm-cs');
    assert.deepEqual(values(vmcb.toUpperCase()), values(vmcb));
    const xen = bare('vmx-two-faults').map((line) => `(XEN) [2025-09-08 22:52:20.100] ${line}`);
    assert.deepEqual(only(xen.join('\n').toLowerCase()).format, 'xen-vmcs');
  });

  it('the same of a VMCB, with the names of both modules', () => {
    const vmcb = bare('svm-cs');
    const wanted = values(vmcb.join('\n'));
    assert.deepEqual(values(vmcb.map((line) => line.replace('SVM:', 'kvm_amd:')).join('\n')), wanted);
    assert.deepEqual(values(vmcb.map((line) => line.replace('SVM: ', '')).join('\n')), wanted);
  });
});

describe('spellings', () => {
  const old = bare('vmx-two-faults').join('\n');

  it('EFER and PAT on one line are EFER and PAT on two', () => {
    const text = old.replace(/EFER= (0x\w+)\nPAT = (0x\w+)/g, 'EFER =     $1  PAT = $2');
    assert.notEqual(text, old);
    assert.deepEqual(values(text), values(old));
  });
  it('an EFER that is effective or autoloaded is no field', () => {
    for (const source of ['effective', 'autoload']) {
      const [dump] = findDumps(old.replace(/(EFER= 0x\w+)\n/, `$1 (${source})\n`));
      assert.equal(dump?.efer, source);
      assert.equal(dump?.values.has('GUEST_IA32_EFER'), false);
    }
  });
  it('controls on one line, as until 5.19', () => {
    const text = old.replace(
      /CPUBased=0x(\w+) SecondaryExec=0x(\w+) TertiaryExec=0x\w+\nPinBased=0x(\w+) /,
      'PinBased=$3 CPUBased=$1 SecondaryExec=$2\n',
    );
    assert.notEqual(text, old);
    const without = values(old).filter(([name]) => name !== 'TERTIARY_VM_EXEC_CONTROL');
    assert.deepEqual(values(text), without);
  });
  it('optional lines: CET, performance counters, APIC, lists of MSRs', () => {
    const text = old
      .replace(
        '*** Host State',
        'S_CET = 0x00000000000000c0\nSSP = 0x0000000000001000\nSSP TABLE = 0x0000000000002000\n*** Host State',
      )
      .replace(
        'EPT pointer',
        'SVI|RVI = ec|00 TPR Threshold = 0x00\nvirt-APIC addr = 0x0000000360524000\nPostedIntrVec = 0xf2\nMSR guest autoload:\n   0: msr=0x00000600 value=0x0000000000000001\nEPT pointer',
      );
    const [dump] = findDumps(text);
    assert.equal(dump?.values.get('GUEST_S_CET')?.value, 0xc0n);
    assert.equal(dump?.values.get('GUEST_INTR_SSP_TABLE')?.value, 0x2000n);
    assert.equal(dump?.values.has('HOST_SSP'), false);
    assert.equal(dump?.values.get('VIRTUAL_APIC_PAGE_ADDR')?.value, 0x3_6052_4000n);
    assert.deepEqual(
      dump?.msrs.map(({ list, index, msr, value }) => [list, index, msr, value]),
      [['guest', 1, 0x600, 1n]],
    );
  });
  it('QEMU in its short and long form, 32 and 64 bits', () => {
    const head =
      'KVM: entry failed, hardware error 0x80000021\n\nEAX=00000000 EBX=00000000 ECX=00000000 EDX=000806f3\n';
    const tail =
      '\nGDT=     00000000 0000ffff\nIDT=     00001000 0000ffff\nCR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\n';
    for (const flags of ['00009b00', '00c09b00 DPL=0 CS32 [-RA]']) {
      const [dump] = findDumps(`${head}CS =f000 000f0000 0000ffff ${flags}${tail}`);
      assert.equal(dump?.format, 'qemu');
      assert.equal(dump?.values.get('qemu.cs.base')?.value, 0xf0000n);
      assert.equal(dump?.values.get('qemu.idt.base')?.value, 0x1000n);
      assert.equal(dump?.values.get('error.hardware')?.value, 0x8000_0021n);
    }
  });
  it('bare VM-instruction errors', () => {
    assert.equal(only('(XEN) VMLAUNCH error: 0x7').outcome.error, 7);
    assert.equal(only('[Noir] Failed at VM-Entry, Code=8 Reason').outcome.error, 8);
    assert.equal(only('KVM: entry failed, hardware error 0x7').outcome.error, 7);
    // Without a state there is none that could be valid.
    const zero = only('KVM: entry failed, hardware error 0x0');
    assert.deepEqual([zero.format, zero.outcome.kind, zero.verdict], ['report', 'no-error', 'undecidable']);
    const seven = only('KVM: entry failed, hardware error 0x7');
    assert.deepEqual([seven.format, seven.undecidable.length], ['report', 0]);
    assert.match(
      only('KVM internal error. Suberror: 3').sentence,
      /gave up on an exit \(suberror 3\), not on an entry/,
    );
    assert.equal(only('KVM: entry failed, hardware error 0xffffffff').isa, 'svm');
  });
  it('Xen: its MSR entries count from 0 and in decimal, where the qualification counts from 1', () => {
    const refused = '\n(XEN)   msr 00000680 val 1fff800000102e60 (mbz 0)';
    for (const line of [
      '(XEN) d1v0 vmentry failure (reason 0x80000022): MSR loading (entry 10)',
      '(XEN) Failed vm entry (exit reason 0x80000022) caused by MSR loading (entry 10).',
    ]) {
      const { outcome, sentence } = only(line + refused);
      assert.deepEqual([outcome.kind, outcome.qualification], ['msr-load', 11n]);
      assert.match(sentence, /entry 11 .*680H/);
    }
  });
  it('Xen: its error before the dump is that dump’s', () => {
    const dump = bare('vmx-injection').map((line) => `(XEN) ${line}`);
    const report = only(['(XEN) VMRESUME error: 0x7', ...dump].join('\n'));
    assert.deepEqual([report.format, report.outcome.error], ['xen-vmcs', 7]);
    assert.deepEqual(ids(report.suspects), ['controls.injection.error_code']);
  });
});

describe('several dumps', () => {
  const one = bare('vmx-two-faults').join('\n');
  const two = bare('vmx-pdpte').join('\n');

  it('one after the other', () => {
    const { dumps } = explained(`${one}\nnoise\n${two}\n${bare('svm-cs').join('\n')}`);
    assert.deepEqual(dumps.map(broken), [
      ['guest.gdtr.base', 'guest.tr.s'],
      ['guest.pdpte2.reserved'],
      ['svm.cs.l_and_d'],
    ]);
  });
  // printk pads the caller to six characters (CONFIG_PRINTK_CALLER).
  for (const [first, second] of [
    ['T100', 'T200'],
    ['  T100', '  T200'],
    ['    C0', '    C1'],
    ['T78789', '    T9'],
  ])
    it(`of two threads, line by line mixed: [${first}], [${second}]`, () => {
      const left = one.split('\n').map((line, i) => `[   61.${190300 + i}][${first}] ${line}`);
      const right = two.split('\n').map((line, i) => `[   61.${190300 + i}][${second}] ${line}`);
      const { dumps } = explained(left.flatMap((line, i) => [line, right[i] ?? '']).join('\n'));
      assert.deepEqual(
        dumps.map((report) => [broken(report), report.damage.length]),
        [
          [['guest.gdtr.base', 'guest.tr.s'], 0],
          [['guest.pdpte2.reserved'], 0],
        ],
      );
    });
});

describe('damage', () => {
  const lines = fixture('vmx-two-faults').trimEnd().split('\n');

  it('time that goes back is a splice, and no check reads across it', () => {
    const other = fixture('vmx-pdpte')
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^\[ *\d+/, '[   12'));
    const host = lines.findIndex((line) => line.includes('Host State'));
    const report = only([...lines.slice(0, host), ...other.slice(host)].join('\n'));
    assert.equal(report.verdict, 'damaged');
    assert.match(report.sentence, /spliced from 2 pieces/);
    assert.ok(report.undecidable.some(({ missing }) => missing.some(({ kind }) => kind === 'piece')));
  });
  it('a cut line gives no value', () => {
    const at = lines.findIndex((line) => line.includes('GDTR:'));
    const text = [...lines.slice(0, at), (lines[at] ?? '').slice(0, -3)].join('\n');
    const report = only(text);
    assert.ok(report.damage.some(({ kind }) => kind === 'cut'));
    assert.equal(findDumps(text)[0]?.values.has('GUEST_GDTR_BASE'), false);
    assert.ok(!broken(report).includes('guest.gdtr.base'));
  });
  it('a garbled line is said to be garbled', () => {
    const report = only(fixture('vmx-two-faults').replace('CR4: actual=0x', 'CR4: actual=0xz'));
    assert.ok(report.damage.some(({ kind, what }) => kind === 'garbled' && what.startsWith('CR4')));
  });
  it('a line is either garbled or missing, and told once', () => {
    const garbled: readonly (readonly [from: string | RegExp, to: string, head: string])[] = [
      ['CR4: actual=0x', 'CR4: actual=0xz', 'CR4: actual='],
      [/(Sysenter RSP=)f/, '$1?', 'Sysenter RSP='],
      [/CS: ( *)sel=0x/, 'CS: $1sel=', 'CS: sel='],
      ['VMEntry: intr_info=', 'VMEntry: intr_info=~', 'VMEntry: intr_info='],
      ['IDTVectoring: info=', 'IDTVectoring: info=#', 'IDTVectoring: info='],
    ];
    for (const [from, to, head] of garbled) {
      const text = fixture('vmx-two-faults').replace(from, to.replace('sel=', 'sel=@'));
      const line = text.split('\n').findIndex((one, i) => one !== lines[i]) + 1;
      assert.deepEqual(
        only(text).damage.map(({ kind, line: at, what }) => [kind, at, what]),
        [['garbled', line, head]],
      );
      assert.ok(only(text).next.some((one) => one.startsWith('Lines of the dump are broken')));
    }
  });
  it('missing lines are named', () => {
    const text = lines.filter((line) => !line.includes(' FS: ')).join('\n');
    const at = lines.findIndex((line) => line.includes(' FS: '));
    assert.deepEqual(
      only(text).damage.map(({ kind, line, what }) => [kind, line, what]),
      [['missing', at, `guest: FS (between lines ${at} and ${at + 1})`]],
    );
    const ends = only([...lines.slice(5, 31), ''].join('\n')).damage;
    assert.deepEqual(
      ends.map(({ what }) => what.replace(/^.*\((.*)\)$/, '$1')).filter((place) => !place.startsWith('between')),
      ['before line 1', 'after line 26'],
    );
  });
  it('every sentence begins with a capital letter', () => {
    const cut = lines
      .map((line, i) => (i > 4 && i < 20 ? line.slice(0, 40) : line))
      .filter((line) => !/reason=/.test(line));
    const { sentence } = only(cut.join('\n'));
    assert.match(sentence, /damaged in \d+ places/);
    assert.doesNotMatch(sentence, /\. [a-z]/);
  });
  it('every shorter prefix of a dump is read without a made-up value', () => {
    const whole = new Map(values(fixture('vmx-two-faults')));
    const text = fixture('vmx-two-faults');
    for (let n = 0; n < text.length; n += 97) {
      for (const dump of findDumps(text.slice(0, n)))
        for (const [name, { value }] of dump.values) assert.equal(value, whole.get(name), `${name} at ${n}`);
    }
  });
});

describe('hostile input', () => {
  it('3000 mutations of real dumps are explained or refused, each in time', () => {
    const sources = ['vmx-two-faults', 'vmx-pdpte', 'vmx-injection', 'svm-cs'].map(fixture);
    const next = random(0x5eed);
    const pieces = [
      '\n',
      '\0',
      '=',
      '0x',
      '*** Guest State ***',
      'EFER = ',
      '(',
      'ffffffffffffffffff',
      '[1.000000] ',
      'é',
      ' ',
    ];
    let slowest = 0;
    for (let round = 0; round < 3000; round++) {
      let text = sources[next(sources.length)] ?? '';
      for (let k = next(6); k >= 0; k--) {
        const at = next(text.length + 1);
        const length = next(4) === 0 ? next(400) : next(3);
        const put = next(3) === 0 ? (pieces[next(pieces.length)] ?? '') : String.fromCharCode(32 + next(95));
        text = text.slice(0, at) + put + text.slice(at + length);
      }
      const began = process.cpuUsage();
      try {
        explained(text);
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, 'NO_DUMP', String(error));
      }
      slowest = Math.max(slowest, process.cpuUsage(began).user / 1000);
    }
    assert.ok(slowest < 1000, `${slowest} ms`);
  });
  it('a text without a dump is refused by name', () => {
    for (const text of ['', '\0'.repeat(1000), 'nothing here', 'CR0 CR3 EFER PAT'])
      assert.throws(() => explained(text), { code: 'NO_DUMP' });
  });
  it('long lines and many blanks take no time', () => {
    const began = process.cpuUsage();
    for (const unit of ['CR0: actual=0x', '=', ' ', 'CS: ', 'RSP = 0x0 ', 'msr=0x0 ', '0'])
      findDumps(`*** Guest State ***\n${unit.repeat(200_000)}\n${`${unit}\n`.repeat(2_000)}`);
    assert.ok(process.cpuUsage(began).user < 5_000_000);
  });
});

describe('registers of QEMU beside a dump', () => {
  const registers = [
    'KVM internal error. Suberror: 1',
    'RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000',
    'CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]',
    'CR0=80050033 CR2=0000000000000000 CR3=0000000001000000 CR4=000006f0',
    'EFER=0000000000000d01',
  ].join('\n');

  it('of AMD are not judged by the rules of Intel', () => {
    const [first] = explained(`${registers}\n${fixture('svm-cs')}`).dumps;
    assert.deepEqual([first?.format, first?.isa, first?.undecidable.length], ['qemu', 'svm', 0]);
    const [alone] = explained(registers).dumps;
    assert.ok((alone?.undecidable.length ?? 0) > 100);
  });

  it('are no reason to ask for the dump that is there', () => {
    const failed = registers.replace(/^.*/, 'KVM: entry failed, hardware error 0x80000021');
    const asks = (text: string): boolean =>
      explained(text).dumps.some(({ next }) => next.some((line) => line.startsWith('Get the VMCS')));
    assert.deepEqual([asks(failed), asks(`${failed}\n${fixture('vmx-two-faults')}`)], [true, false]);
  });

  it('a busy VMSA is a failed VMRUN', () => {
    const text = fixture('svm-cs').replace(/(exit_code: +)\w+/, '$1fffffffe');
    assert.notEqual(text, fixture('svm-cs'));
    const { outcome } = only(text);
    assert.deepEqual([outcome.kind, outcome.failed], ['vmrun-invalid', true]);
    assert.match(outcome.says, /VMEXIT_BUSY \(exit code -2\)/);
  });

  it('a check of a busy VMSA, an active sibling or PMC permits the exit code of its own', () => {
    const [dump] = findDumps(fixture('svm-cs'));
    assert.ok(dump !== undefined);
    const own = SVM_CHECKS.filter(({ exit }) => exit !== undefined).map((check) => {
      const rule = { ...check, stage: 'vmcb', fields: [] } as const;
      const judged = { check: rule, answer: 'undecidable', missing: [], assumes: [], depends: false } as const;
      return findingOf(judged, dump, UNKNOWN).permits;
    });
    // AMD64 APM volume 2, appendix C
    assert.deepEqual(own.toSorted(), [
      'exit code -2 (VMEXIT_BUSY)',
      'exit code -3 (VMEXIT_IDLE_REQUIRED)',
      'exit code -4 (VMEXIT_INVALID_PMC)',
    ]);
  });
});
