/** Dumps of every version of KVM: whole ones are not called damaged, and a line that their controls call for is missed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture, random } from './helpers.js';
import { anyMachine, printAs, VERSIONS } from './kvm-printer.js';
import { printAsXen, XEN_VERSIONS } from './xen-printer.js';

/** Lines without a value, and those of which no control says whether they are there. */
const SILENT = /\*\*\*|^VMCS |MSR |msr=|^VE info|^ve_info/;
/** Without the head that 5.14 brought, nothing may tell whether the kernel would have printed these. */
const UNSURE = /^PDPTR|virt-APIC|^EFER/;
/** The dump of a kernel that has CET but no line of it may be of one that does not print it. */
const CET = /^S_CET/;

describe('dump_vmcs', () => {
  for (const version of VERSIONS) {
    const next = random(0xd0_0000 + version);
    const dumps = Array.from({ length: 120 }, () => printAs(version, anyMachine(next, version), next));

    it(`of ${version / 100} is whole, whatever its controls`, () => {
      for (const lines of dumps) {
        const found = findDumps(lines.join('\n'));
        assert.deepEqual(
          found.map(({ first, last, damage }) => [first > 2, last < lines.length - 2, damage]),
          [[false, false, []]],
          lines.join('\n'),
        );
      }
    });
    it(`of ${version / 100} is not, where a line is lost`, () => {
      for (const lines of dumps.slice(0, 16)) {
        const ofCet = lines.filter((line) => CET.test(line)).length;
        for (const [i, line] of lines.entries()) {
          if (SILENT.test(line) || (version < 515 && UNSURE.test(line)) || (CET.test(line) && ofCet < 2)) continue;
          const damage = findDumps(lines.toSpliced(i, 1).join('\n')).flatMap((dump) => dump.damage);
          assert.ok(
            damage.some(({ kind }) => kind === 'missing'),
            `${line} of\n${lines.join('\n')}`,
          );
        }
      }
    });
    it(`of ${version / 100}: the lists of MSRs are those that the entry and the exit load`, () => {
      for (const lines of dumps) {
        const counts = { guest: 0, host: 0, none: 0 };
        let list: keyof typeof counts = 'none';
        for (const line of lines) {
          if (line.startsWith('MSR'))
            list = /(guest|host) autoload/.test(line) ? (line.includes('host') ? 'host' : 'guest') : 'none';
          if (line.includes('msr=')) counts[list]++;
        }
        const [dump] = findDumps(lines.join('\n'));
        const read = (name: string): number => dump?.msrs.filter((entry) => entry.list === name).length ?? 0;
        assert.deepEqual([read('guest'), read('host')], [counts.guest, counts.host], lines.join('\n'));
      }
    });
  }
});

/** Lines without a value, those that a control of Xen's own decides, and those of which no line tells the version. */
const SILENT_XEN = /\*\*\*|sel +attr|PreemptionTimer|PDPTE/;

describe('vmcs_dump_vcpu', () => {
  for (const version of XEN_VERSIONS) {
    const next = random(0x3e_0000 + version);
    const dumps = Array.from({ length: 120 }, () => {
      const machine = anyMachine(next, version);
      return { machine, lines: printAsXen(version, machine, next) };
    });

    it(`of ${version / 100} is whole, whatever its controls`, () => {
      for (const { lines } of dumps) {
        const found = findDumps(lines.join('\n'));
        assert.deepEqual(
          found.map(({ format, damage }) => [format, damage]),
          [['xen-vmcs', []]],
          lines.join('\n'),
        );
      }
    });
    it(`of ${version / 100} is not, where a line is lost`, () => {
      for (const { machine, lines } of dumps.slice(0, 16)) {
        for (const [i, line] of lines.entries()) {
          // EFER and PAT are also printed where an exit saves them, and posted interrupts are a control of the host.
          const isSaved = /EFER/.test(line) && (machine.entry & 0xc000) === 0;
          const isPosted = /TPR/.test(line) && ((machine.primary >>> 21) & 1) === 0;
          if (SILENT_XEN.test(line) || isSaved || isPosted) continue;
          const damage = findDumps(lines.toSpliced(i, 1).join('\n')).flatMap((dump) => dump.damage);
          assert.ok(
            damage.some(({ kind }) => kind === 'missing'),
            `${line} of\n${lines.join('\n')}`,
          );
        }
      }
    });
  }
});

describe('vmcs_dump_vcpu of 4.5', () => {
  const lines = printAsXen(405, anyMachine(random(0x45), 405), random(0x46)).map((line) =>
    line
      .replace(/actual=0x\w+, target_count=0/, 'actual=0x0000000012345000, target_count=3')
      .replace(/Offset = \w+/, 'Offset = ffffff0123456789')
      .replace(/^\(XEN\) RSP = 0x\w+ {2}RIP = 0x\w+$/, '(XEN) RSP = 0xffff83000000ff90  RIP = 0xffff82d0801f0000')
      .replace(/CS=\w+ DS=\w+ ES=\w+ FS=\w+ GS=\w+ SS=\w+/, 'CS=e008 DS=0001 ES=0002 FS=0003 GS=0004 SS=0005')
      .replace(/Interruptibility=\w+ ActivityState=\w+/, 'Interruptibility=0008 ActivityState=0001')
      .replace(/reason=\w+ qualification=\w+/, 'reason=80000021 qualification=00000004'),
  );
  const expected: { readonly [field: string]: bigint } = {
    GUEST_CR3: 0x12345000n,
    CR3_TARGET_COUNT: 3n,
    TSC_OFFSET: 0xffff_ff01_2345_6789n,
    HOST_RSP: 0xffff_8300_0000_ff90n,
    HOST_RIP: 0xffff_82d0_801f_0000n,
    HOST_CS_SELECTOR: 0xe008n,
    HOST_SS_SELECTOR: 5n,
    HOST_GS_SELECTOR: 4n,
    GUEST_INTERRUPTIBILITY_INFO: 8n,
    GUEST_ACTIVITY_STATE: 1n,
    VM_EXIT_REASON: 0x8000_0021n,
    EXIT_QUALIFICATION: 4n,
  };
  it('gives its values, behind any prefix or none', () => {
    for (const prefix of ['(XEN) ', '', '(XEN) [2014-03-01 10:00:00] ']) {
      const [dump, ...others] = findDumps(lines.map((line) => line.replace('(XEN) ', prefix)).join('\n'));
      assert.deepEqual([dump?.format, dump?.damage, others], ['xen-vmcs', [], []]);
      for (const [name, value] of Object.entries(expected)) assert.equal(dump?.values.get(name)?.value, value, name);
      // `VMExit: ilen=` is VM_ENTRY_INSTRUCTION_LEN there, too.
      assert.equal(dump?.values.has('VM_EXIT_INSTRUCTION_LEN'), false);
    }
  });
  const whole = new Map([...(findDumps(lines.join('\n'))[0]?.values ?? [])].map(([name, { value }]) => [name, value]));
  const isTrue = (log: readonly string[], about: string): void => {
    const [dump, ...others] = findDumps(log.join('\n'));
    assert.deepEqual([dump?.format, others], ['xen-vmcs', []], about);
    for (const [name, { value }] of dump?.values ?? []) assert.equal(value, whole.get(name), `${name} ${about}`);
    assert.deepEqual(
      dump?.damage.filter(({ kind }) => kind !== 'missing'),
      [],
      about,
    );
  };
  // The ring of the console holds 16 KiB, so that `xl dmesg` gives what is left of a dump.
  it('gives no value but its own and mixes none, where it is cut', () => {
    for (const [i, line] of lines.entries()) {
      if (i > 1) isTrue(lines.slice(0, i), `up to ${line}`);
      // The last lines of the exit are printed alike by others.
      if (!/VMExit|reason=/.test(line)) isTrue(lines.slice(i), `from ${line}`);
    }
  });
  it('nor where a line is lost, or two', () => {
    for (const i of lines.keys()) {
      for (let j = i; j < lines.length; j++) isTrue(lines.toSpliced(j, 1).toSpliced(i, i === j ? 0 : 1), `${i}, ${j}`);
    }
  });
  it('nor where a character of the line of the host’s CR3 is lost', () => {
    const broken = lines.map((line) => line.replace(/(CR3=\w+) CR4=/, '$1 C#4='));
    const [dump] = findDumps(broken.join('\n'));
    assert.equal(dump?.values.get('GUEST_CR3')?.value, 0x12345000n);
    assert.deepEqual(
      dump?.damage.map(({ kind }) => kind),
      ['missing'],
    );
  });
  // A processor has VMX or SVM: `CR3= CR4=` that is left of it is none of a VMCB, whether a dump stands around it or not.
  it('nor where a character of the line of the host’s CR0 is lost, or its front', () => {
    const newer = printAsXen(413, anyMachine(random(0x45), 413), random(0x46));
    for (const dump of [lines, newer]) {
      const at = dump.findIndex((line) => /CR0=\w+ CR3=\w+ CR4=/.test(line));
      const line = dump[at] ?? assert.fail();
      for (let i = '(XEN) '.length; i < line.indexOf('CR3='); i++) {
        const spoiled = [line.slice(i + 1), ` ${line.slice(i + 1)}`, `#${line.slice(i + 1)}`];
        for (const said of [...spoiled.map((rest) => line.slice(0, i) + rest), `(XEN) ${line.slice(i)}`]) {
          const [found, ...others] = findDumps(dump.with(at, said).join('\n'));
          assert.deepEqual([found?.format, others], ['xen-vmcs', []], said);
          assert.deepEqual(findDumps([said, ...dump.slice(at + 1)].join('\n')).length, 1, said);
          for (const [name, { value }] of findDumps(said).flatMap(({ values }) => [...values]))
            assert.ok(name.startsWith('HOST'), `${name} ${value} of ${said}`);
        }
      }
    }
  });
  it('tells of a segment that is broken once, at its line', () => {
    for (const name of ['CS', 'DS', 'SS', 'ES', 'FS', 'GS', 'LDTR', 'TR']) {
      const at = lines.findIndex((line) => line.startsWith(`(XEN) ${name}: `));
      const broken = lines.map((line, i) => (i === at ? line.replace('attr=', 'at#r=') : line));
      assert.deepEqual(
        findDumps(broken.join('\n')).flatMap(({ damage }) => damage.map(({ kind, line }) => `${kind} ${line}`)),
        [`garbled ${at + 1}`],
      );
    }
  });
  it('lacks TSC Offset where it was printed', () => {
    const [dump] = findDumps(lines.filter((line) => !line.includes('TSC Offset')).join('\n'));
    assert.deepEqual(
      dump?.damage.map(({ what }) => what),
      ['guest: TSC Offset (between lines 20 and 21)'],
    );
  });
  it('without the line that tells it from others, lacks that line and mixes none', () => {
    const [dump] = findDumps(lines.filter((line) => !line.includes('CR3: actual')).join('\n'));
    assert.deepEqual(
      dump?.damage.map(({ kind, what }) => `${kind} ${what}`),
      ['missing guest: CR3 (between lines 3 and 4)'],
    );
  });
});

/** `dump_vmcb` (arch/x86/kvm/svm/svm.c), from what 6.1 printed. */
const VMCB = fixture('svm-cs');
const without = (text: string, ...names: readonly string[]): string =>
  text
    .split('\n')
    .filter((line) => !names.some((name) => line.includes(`SVM: ${name}:`)))
    .join('\n');
const BEFORE_SEV_ES = without(VMCB, 'ghcb', 'vmsa_pa');
const BEFORE_AVIC = without(
  BEFORE_SEV_ES,
  'avic_vapic_bar',
  'avic_backing_page',
  'avic_logical_id',
  'avic_physical_id',
  'pause filter threshold',
)
  .replace(/(intercepts: +)(\w{8}) (\w{8})/, '$1$3$2')
  .replace('virt_ext: ', 'lbr_ctl:  ');

describe('dump_vmcb', () => {
  const VERSIONS_OF_SVM: { readonly [version: string]: string } = {
    '2.6.39': BEFORE_AVIC,
    '4.19': BEFORE_SEV_ES,
    '6.1': VMCB,
    '6.18, with the shadow stack': VMCB.replace(
      /^(.*SVM: )rsp: .*\n/m,
      (rsp, prefix: string) =>
        `${rsp}${prefix}s_cet:          0000000000000000 ssp:          0000000000000000\n` +
        `${prefix}isst_addr:      0000000000000000\n`,
    ),
    'with exit codes of 64 bits': VMCB.replace('exit_code:          ffffffff', 'exit_code:          ffffffffffffffff'),
    'with exit codes of 64 bits, after an exit': VMCB.replace(
      'exit_code:          ffffffff',
      'exit_code:          0000000000000400',
    ),
  };
  for (const [version, text] of Object.entries(VERSIONS_OF_SVM)) {
    it(`${version} is whole`, () => {
      assert.deepEqual(
        findDumps(text).map(({ damage }) => damage),
        [[]],
      );
    });
    it(`${version} is not, where a line is lost`, () => {
      const lines = text.trimEnd().split('\n');
      for (const [i, line] of lines.entries()) {
        if (/last attempted|Area:|pause filter|s_cet:|isst_addr:/.test(line)) continue;
        const damage = findDumps(lines.toSpliced(i, 1).join('\n')).flatMap((dump) => dump.damage);
        assert.ok(
          damage.some(({ kind }) => kind === 'missing'),
          line,
        );
      }
    });
  }
  it('ends before the state of an SEV-ES guest that may not be decrypted, and of no other', () => {
    const control = VMCB.slice(0, VMCB.lastIndexOf('\n', VMCB.indexOf('VMCB State Save Area')));
    const damage = (text: string): string[] => findDumps(text).flatMap((dump) => dump.damage.map(({ kind }) => kind));
    // NP_ENABLE, SEV and SEV-ES: AMD64 APM, volume 2, appendix B.
    assert.deepEqual(damage(control.replace(/(nested_ctl: +)1/, '$17')), []);
    assert.deepEqual(damage(control), ['missing']);
    assert.deepEqual(damage(VMCB.replace(/(nested_ctl: +)1/, '$17').replace(/.*SVM: cr3:.*\n/, '')), ['missing']);
  });
});
