/** A dump of which anything is lost is not called valid, whatever happened last. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { damageOf, explained, fixture, healthy, only, REGISTERS, random } from './helpers.js';
import { anyMachine } from './kvm-printer.js';
import { printAsXen } from './xen-printer.js';

const LINES = healthy.trimEnd().split('\n');

describe('a state in which nothing is wrong', () => {
  it('is valid as it was printed, and with a word about it below', () => {
    for (const text of [
      healthy,
      `${healthy}\nI think that VMEntry: intr_info=0 and Interruptibility = none are fine\n`,
    ])
      assert.deepEqual([only(text).verdict, only(text).damage], ['valid', []]);
  });
  it('is not with any value cut short', () => {
    for (const [i, line] of LINES.entries()) {
      for (const { index, 0: value } of line.matchAll(/(?<=[=:]\s?(?:0x)?)[\da-f]{4,16}\b/g)) {
        const cut = line.slice(0, index + value.length - 1) + line.slice(index + value.length);
        const { verdict, damage } = only(LINES.with(i, cut).join('\n'));
        assert.ok(verdict !== 'valid' && damage.length > 0, cut);
      }
    }
  });
  it('is not with a line that ends too early', () => {
    const at = LINES.findIndex((line) => line.includes('CR0: actual'));
    for (const end of [24, 34, 50, 64, 80]) {
      const { verdict, sentence } = only(LINES.with(at, (LINES[at] ?? '').slice(0, end)).join('\n'));
      assert.ok(verdict === 'damaged' || verdict === 'undecidable', sentence);
    }
  });
  // printk's %0Nx pads to N digits with zeros, and what is longer is at most what the field holds.
  it('is not with a digit too many', () => {
    for (const [i, line] of LINES.entries()) {
      for (const { index, 0: value } of line.matchAll(/(?<=[=:|]\s?(?:0x)?)[\da-f]{2,16}\b/g)) {
        if (value.length === 2 && !/TPR|SVI|Posted/.test(line)) continue;
        const longer = [`0${value}`, `${value.slice(0, 1)}0${value.slice(1)}`].filter((other) => other.startsWith('0'));
        for (const other of longer) {
          const text = LINES.with(i, line.slice(0, index) + other + line.slice(index + value.length)).join('\n');
          const { verdict, damage } = only(text);
          assert.ok(verdict !== 'valid' && damage.length > 0, `${other} in ${line}`);
        }
      }
    }
  });
  it('is not with a value that no field holds', () => {
    const wide: readonly (readonly [value: string, wider: string])[] = [
      ['limit=0xffffffff', 'limit=0xfffffffff'],
      ['sel=0x0008', 'sel=0x10008'],
      ['ExitControls=002befff', 'ExitControls=1002befff'],
      ['EntryControls=0000d1ff', 'EntryControls=0000053ff0'],
      ['attr=0x0c09b', 'attr=0x0c09b0'],
      ['Virtual processor ID = 0x0001', 'Virtual processor ID = 0x10001'],
    ];
    for (const [value, wider] of wide) {
      assert.ok(healthy.includes(value), value);
      const { verdict, violated } = only(healthy.replace(value, wider));
      assert.deepEqual([verdict, violated], ['damaged', []], wider);
    }
  });
  it('may have longer values where fields are longer than the digits that are always printed', () => {
    for (const [value, longer] of [
      ['CS:RIP=0000:', 'CS:RIP=10010:'],
      ['RFLAGS=0x00000002', 'RFLAGS=0x100000002'],
    ] as const)
      assert.deepEqual(damageOf(healthy.replace(value, longer)), []);
  });
  it('is damaged at the line of which a value is lost', () => {
    const text = healthy.replace('CR4: actual=0x0', 'CR4: actual=0x?');
    assert.match(only(text).sentence, /^The dump is damaged at line 4; .*The last VM exit was EPT_VIOLATION/);
  });
});

describe('registers of QEMU', () => {
  const word = 'KVM: entry failed, hardware error 0x0';
  it('are not called valid where one is lost', () => {
    const text = `${word}\n${REGISTERS}`;
    assert.deepEqual([only(text).verdict, damageOf(text)], ['valid', []]);
    for (const lost of [/^EIP=.*\n/m, /^CS =.*\n/m, /^CR0=.*\n/m, /^EFER=.*\n/m]) {
      const { verdict, sentence, damage } = only(text.replace(lost, ''));
      assert.deepEqual([verdict, damage.map(({ kind }) => kind)], ['undecidable', ['missing']]);
      assert.match(sentence, /^The dump is not whole: no check is violated/);
    }
  });
  it('have debug registers of 32 bits where QEMU emulates no others (TARGET_FMT_lx of qemu-system-i386)', () => {
    const short = REGISTERS.replace(/DR(\d)=0{8}/g, 'DR$1=');
    assert.notEqual(short, REGISTERS);
    assert.deepEqual(damageOf(`${word}\n${short}`), []);
  });
  // kvm_cpu_exec of accel/kvm/kvm-all.c prints them behind the error, and target/i386/kvm/kvm.c its advice between the two.
  it('say that the error above them is lost where a part of it is left', () => {
    const advice =
      "\nIf you're running a guest on an Intel machine without unrestricted mode\nsupport, the failure\n\n";
    for (const left of [
      'KVM: entry failed',
      'qemu-system-x86_64: KVM: entry failed, hardw',
      'KVM: entry failed, hardware error 0x',
      'entry failed, hardware error 0x80000021',
      'KVM internal error. Sub',
    ])
      for (const between of ['\n', `\n${advice}`]) {
        const { verdict, damage } = only(`${left}${between}${REGISTERS}`);
        assert.deepEqual([verdict, damage.map(({ kind, line }) => [kind, line])], ['damaged', [['garbled', 1]]], left);
      }
    for (const other of ['', 'KVM: Entry point', 'entry failed', `${word} twice\n`.repeat(2)])
      assert.deepEqual(damageOf(`${other}\n${REGISTERS}`), [], other);
  });
  it('know nothing of messages that a kernel lost', () => {
    const text = `${word}\n${REGISTERS}`.replace('GDT=', '** 3 printk messages dropped **\nGDT=');
    assert.deepEqual(damageOf(text), []);
  });
});

describe('messages that were lost', () => {
  /** kernel/printk/printk.c of 4.x and of 6.x, systemd-journald, rsyslog. */
  const NOTICES = [
    '** 2 printk messages dropped **',
    'systemd-journald[210]: /dev/kmsg buffer overrun, some messages lost.',
    'systemd-journald[210]: Missed 17 kernel messages',
    'rsyslogd: imjournal: 1400 messages lost due to rate-limiting (20000 allowed within 600 seconds)',
    'vmx_dump_sel: 3 callbacks suppressed',
  ];
  const amid = (notice: string): string => LINES.toSpliced(30, 0, notice).join('\n');

  for (const notice of NOTICES)
    it(notice, () => {
      const { verdict, sentence, damage, next } = only(amid(notice));
      assert.deepEqual([verdict, damage.map(({ kind, line }) => [kind, line])], ['undecidable', [['dropped', 31]]]);
      assert.match(sentence, /^The dump may not be whole: no check is violated/);
      assert.ok(next.some((one) => one.startsWith('Messages were lost')));
    });
  // xen/drivers/char/console.c, 4.0 to 4.22: XENLOG_LOWER_THRESHOLD == XENLOG_UPPER_THRESHOLD, XENLOG_GUEST_* differ.
  it('are those of guests where Xen suppressed some, as it limits none of its own', () => {
    const next = random(0x5e);
    const lines = printAsXen(420, anyMachine(next, 420), next);
    const notice = '(XEN) printk: 12 messages suppressed.';
    assert.deepEqual(damageOf(lines.toSpliced(20, 0, notice).join('\n')), []);
    // Where it was told to limit its own as well, the lines that it left out are missed.
    assert.deepEqual(damageOf(lines.toSpliced(20, 1, notice).join('\n')), ['missing']);
  });
  it('in front of the message that came next, as kernels before 4.14 say it', () => {
    const text = LINES.with(30, `** 2 printk messages dropped ** ${LINES[30]}`).join('\n');
    assert.deepEqual(damageOf(text), ['dropped']);
    assert.equal(explained(text).dumps[0]?.decoded.length, only(healthy).decoded.length);
  });
  it('before or behind the dump, or those of another function, are none of it', () => {
    const [notice = ''] = NOTICES;
    const quoted = `Its ${LINES[4]?.replace(/^\[[^\]]*\] /, '')} is that of the first process.`;
    for (const text of [
      `${healthy}${notice}\n${quoted}\n`,
      `${notice}\n${healthy}`,
      `${healthy}${notice}\n`,
      amid('net_ratelimit: 12 callbacks suppressed'),
    ])
      assert.deepEqual([only(text).verdict, damageOf(text)], ['valid', []]);
  });
});

describe('a name that ends in that of another line', () => {
  const broken = (lines: readonly string[], name: string, part: string): string =>
    lines
      .flatMap((line) =>
        line.includes(`${name}:`) ? line.replace(name, `${part}\n${name.slice(2)}`).split('\n') : [line],
      )
      .join('\n');
  const next = random(0x7a);
  const dumps: readonly (readonly [says: string, lines: readonly string[], name: string])[] = [
    ['KVM', LINES, 'LDTR'],
    ['Xen 4.4', printAsXen(404, anyMachine(next, 404), next), 'LDTR'],
    ['Xen 4.20', printAsXen(420, anyMachine(next, 420), next), 'LDTR'],
    ...['gdtr', 'ldtr', 'idtr'].map((name) => ['KVM on AMD', fixture('svm-cs').trimEnd().split('\n'), name] as const),
  ];
  for (const [says, lines, name] of dumps) {
    it(`is none, where a break left it: ${says}, ${name}`, () => {
      const [whole] = findDumps(lines.join('\n'));
      const [dump, ...others] = findDumps(broken(lines, name, name.slice(0, 2)));
      assert.deepEqual(others, []);
      for (const [field, { value }] of dump?.values ?? []) assert.equal(value, whole?.values.get(field)?.value, field);
      assert.deepEqual(dump?.damage.map(({ kind }) => kind) ?? [], ['garbled']);
    });
  }
});

// target/i386/cpu-dump.c: `DR6=` and `DR7=` are both TARGET_FMT_lx, 16 digits of QEMU for 64 bits and 8 of that for 32.
describe('DR7 of QEMU', () => {
  const lines = REGISTERS.split('\n');
  const at = lines.findIndex((line) => line.startsWith('DR6='));
  const line = lines[at] ?? '';
  it('is no part of the number that a terminal broke', () => {
    for (let i = 1; i < line.length; i++) {
      const broken = lines.toSpliced(at, 1, line.slice(0, i), line.slice(i)).join('\n');
      for (const { values, damage } of findDumps(broken)) {
        const dr7 = values.get('qemu.dr7')?.value;
        assert.ok(dr7 === 0x400n || (dr7 === undefined && damage.length > 0), `${line.slice(0, i)}|${line.slice(i)}`);
      }
    }
  });
  it('has eight digits of QEMU for 32 bits', () => {
    const [dump] = findDumps(lines.with(at, 'DR6=ffff0ff0 DR7=00000400').join('\n'));
    assert.deepEqual([dump?.values.get('qemu.dr7')?.value, dump?.damage], [0x400n, []]);
  });
});

// cpu_x86_dump_seg_cache of target/i386/cpu-dump.c: `%-3s=%04x `, the base with `%08x` or `%016` PRIx64, and `%08x %08x`;
// for a guest in protected mode what the descriptor means, which older versions leave out.
describe('segments of QEMU', () => {
  const word = 'KVM: entry failed, hardware error 0x80000021\n';
  const long = REGISTERS.replace(/EAX=(\w+) EBX=(\w+).*/, 'RAX=00000000$1 RBX=00000000$2');
  const said: readonly (readonly [says: string, base: string, registers: string])[] = [
    ['of 32 bits', '000f5000', REGISTERS],
    ['of 64 bits', 'ffff888012345678', long],
    ['of 64 bits from 0', '0'.repeat(16), long],
  ];
  const dumps = said.flatMap(([says, base, registers]) =>
    ['', ' DPL=0 CS32 [-RA]'].map((meaning): readonly [string, string[]] => [
      `${says}${meaning}`,
      registers
        .replace(/^(.. |LDT)=.*$/gm, `$1=0008 ${base} ffffffff 00c09b00${meaning}`)
        .replace(/^([GI]DT)=.*$/gm, `$1=     ${base} 0000007f`)
        .replace('CR0=60000010', 'CR0=80050033')
        .split('\n'),
    ]),
  );
  for (const [says, lines] of dumps) {
    const [whole, ...others] = findDumps(word + lines.join('\n'));
    /** Each line of a segment or a table as any of these makes it, at any place. */
    const check = (garbled: (line: string, at: number) => readonly string[]): void => {
      for (const [n, line] of lines.entries()) {
        if (!/^(?:\w\w |LDT|[GI]DT)=/.test(line)) continue;
        for (const text of Array.from(line, (_, at) => (at === 0 ? [] : garbled(line, at))).flat())
          for (const { values } of findDumps(word + lines.with(n, text).join('\n')))
            for (const [name, { value }] of values) assert.equal(value, whole?.values.get(name)?.value, text);
      }
    };
    it(`are whole: ${says}`, () => assert.deepEqual([whole?.damage, others], [[], []]));
    it(`have no values but their own, wherever a break or a blank divides them: ${says}`, () =>
      check((line, at) => ['\n', '\n    ', ' ', '\n> '].map((by) => line.slice(0, at) + by + line.slice(at))));
    it(`nor where a digit is lost: ${says}`, () => check((line, at) => [line.slice(0, at) + line.slice(at + 1)]));
    it(`nor where their selector is divided and their end is lost: ${says}`, () =>
      check((line, at) =>
        at < 5 || at > 7 ? [] : [1, 9, 14, 18, 24].map((less) => `${line.slice(0, at)} ${line.slice(at, -less)}`),
      ));
  }
});

// What exports a log writes its columns with tabs (IANA, text/tab-separated-values), the time of each line as seconds of
// the epoch or as more digits of them.
describe('a number behind each line', () => {
  const next = random(0x3c);
  const dumps: readonly (readonly [says: string, lines: readonly string[]])[] = [
    ['KVM', LINES],
    ['Xen 4.20', printAsXen(420, anyMachine(next, 420), next)],
    ['KVM on AMD', fixture('svm-cs').trimEnd().split('\n')],
    ['QEMU', `KVM: entry failed, hardware error 0x80000021\n${REGISTERS}`.trimEnd().split('\n')],
  ];
  const valuesOf = (text: string): (readonly [string, unknown])[] =>
    findDumps(text).flatMap(({ values }) => [...values].map(([name, { value }]) => [name, value] as const));
  for (const [says, lines] of dumps)
    it(`is no value of a list of ${says}`, () => {
      const whole = lines.join('\n');
      for (const behind of ['\t1700000000', ' 1700000000', '\t1700000000123', '   1700000000123456']) {
        const text = lines.map((line) => line.trimEnd() + behind).join('\n');
        assert.deepEqual(valuesOf(text), valuesOf(whole), behind);
        assert.deepEqual(damageOf(text), damageOf(whole), behind);
      }
    });
  // Flags of KVM are bits 8 to 15 and 20 to 23 (`get_seg` of QEMU's target/i386/kvm/kvm.c), a table has a limit of 16 bits.
  const qemu = `KVM: entry failed, hardware error 0x80000021\n${REGISTERS}`.trimEnd().split('\n');
  it('of 8 digits is no value of QEMU, which has those as well', () => {
    for (const behind of [' 20261130', '\t20261130', '  deadbeef', ' 90001234']) {
      const text = qemu.map((line) => line.trimEnd() + behind).join('\n');
      assert.deepEqual(valuesOf(text), valuesOf(qemu.join('\n')), behind);
      assert.deepEqual(damageOf(text), [], behind);
    }
  });
  it('is none either where flags that lost a digit leave the values in front of them', () => {
    const [dump] = findDumps(qemu.map((line) => line.replace(/^(ES .*)0$/, '$1')).join('\n'));
    assert.deepEqual([dump?.values.get('qemu.es.limit')?.value, dump?.values.has('qemu.es.flags')], [0xffffn, false]);
  });
  it('is no value of QEMU where a blank between those is lost', () => {
    const whole = new Map(valuesOf(qemu.join('\n')));
    for (const [n, line] of qemu.entries()) {
      if (!/^(?:\w\w |LDT|[GI]DT)=/.test(line)) continue;
      for (const behind of [' 20261130', ' deadbeef', ' 1700000000', ' 1700000000123', ''])
        for (const { index } of `${line}${behind}`.matchAll(/(?<=\w) /g)) {
          const text = `${line}${behind}`;
          const glued = text.slice(0, index) + text.slice(index + 1);
          for (const [name, value] of valuesOf(qemu.with(n, glued).join('\n')))
            assert.equal(value, whole.get(name), `${name}: ${glued}`);
        }
    }
  });
});

// `vmx_dump_sel` and `vmx_dump_sel2` of xen/arch/x86/hvm/vmx/vmcs.c.
describe('segments of Xen', () => {
  it('have no values but their own, wherever a break or a blank divides them', () => {
    const next = random(0x2d);
    const lines = printAsXen(420, anyMachine(next, 420), next);
    const [whole] = findDumps(lines.join('\n'));
    for (const [n, line] of lines.entries()) {
      if (!/^ *(?:.[ST]|[GLI]DTR|TR): /.test(line)) continue;
      for (let at = line.indexOf(':') + 1; at < line.length; at++)
        for (const by of ['\n', '\n    ', ' ']) {
          const divided = line.slice(0, at) + by + line.slice(at);
          for (const { values } of findDumps(lines.with(n, divided).join('\n')))
            for (const [name, { value }] of values) assert.equal(value, whole?.values.get(name)?.value, divided);
        }
    }
  });
});

// dump_vmcs of arch/x86/kvm/vmx/vmx.c: the guest's CR3 has a line, the host's stands between CR0 and CR4.
describe("a line of the host's control registers that lost its end", () => {
  it('gives no value of the guest', () => {
    const cut = LINES.map((line) => line.replace(/(CR0=[0-9a-f]+ CR3=[0-9a-f]+) CR4=.*/, '$1'));
    assert.notDeepEqual(cut, LINES);
    const [whole, [dump, ...others]] = [findDumps(LINES.join('\n'))[0], findDumps(cut.join('\n'))];
    assert.equal(others.length, 0);
    for (const [name, { value }] of dump?.values ?? []) assert.equal(value, whole?.values.get(name)?.value, name);
    const alone = findDumps(cut.filter((line) => !/ CR3 = /.test(line)).join('\n'));
    for (const { values } of alone) assert.equal(values.has('GUEST_CR3'), false);
  });
});
