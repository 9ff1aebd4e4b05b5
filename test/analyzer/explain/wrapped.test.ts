/** Lines of dumps that a mail reader or a terminal wrapped. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture, hard, REGISTERS, values } from './helpers.js';

const old = fixture('vmx-two-faults')
  .replace(/^\[ *[0-9.]+\] /gm, '')
  .trimEnd();

describe('wrapped lines', () => {
  it('a line that a mail reader wrapped', () => {
    for (const at of [', gh_mask', ', base=', ' CR4=', ' qualification=']) {
      const text = old.replace(at, `${at.startsWith(',') ? ',' : ''}\n${at.replace(/^,? /, '')}`);
      assert.notEqual(text, old);
      assert.deepEqual(values(text), values(old), at);
    }
  });
  it('a line that was wrapped before its sign of equality', () => {
    for (const by of ['\n', ' \n> ']) {
      const text = old.replace(/ ?= ?(0x[0-9a-f]+)$/gm, `${by}= $1`).replace(/ ?=([0-9a-f]{8,16})$/gm, `${by}=$1`);
      assert.ok(text.split('\n').length > old.split('\n').length + 10);
      assert.deepEqual(values(text), values(old));
    }
  });
  it('what was wrapped off a line that names its thread is of that thread', () => {
    const text = old
      .replace(/^/gm, '[   61.190300][T12345] ')
      .replace(/ {2}(RIP =|PAT =|TPR|CS:RIP)| (SecondaryExec|EntryControls|ExitControls)/g, '\n$1$2');
    assert.ok(text.split('\n').length > old.split('\n').length + 3);
    assert.deepEqual(values(text), values(old));
  });
  it('registers of QEMU, whose line begins like one of Xen', () => {
    const said =
      'KVM: entry failed, hardware error 0x80000021\nEAX=00000000 EBX=00000000\nGDT=     00000000 0000ffff\n';
    const whole = `${said}CR0=60000010 CR2=00000000 CR3=00001000 CR4=00002040\n`;
    for (const by of [' CR3=', '=00002040', ' CR2'])
      assert.deepEqual(values(whole.replace(by, `\n${by.trim()}`)), values(whole), by);
  });
  // kvm_cpu_exec of QEMU's accel/kvm/kvm-all.c prints the number with %PRIx64: it has no length of its own
  it('what QEMU says of a failed entry, with its registers and alone, before its number and amid it', () => {
    const prefix = 'Jun 10 15:58:40 pve QEMU[1234567]: ';
    const said = `${prefix}KVM: entry failed, hardware error 0x80000021\n`;
    const registers = `${prefix}EAX=00000064 EBX=91df5efe ECX=00000000 EDX=000003f8\n`;
    const broken = [said.replace(' 0x', '\n0x'), said.replace('0x80', '0x80\n'), said.replace(/1\n$/, '\n1\n')];
    for (const text of broken)
      for (const rest of ['', registers]) assert.deepEqual(values(text + rest), values(said + rest), text);
    assert.deepEqual(values(`${said}${prefix}00000000\n`), values(said));
  });
  // The numbers of hardware_entry_failure_reason: SDM volume 3C, "VM Instruction Error Numbers" and "Basic Exit Reasons";
  // APM volume 2, VMEXIT_INVALID.
  it('a number that KVM gives takes nothing of the next line, and one that it does not give what makes it one', () => {
    const head = 'KVM: entry failed, hardware error 0x';
    for (const number of ['80000021', '80000022', '7', '8', '1a', 'ffffffffffffffff'])
      for (const next of ['12345', '0', '7', '00000000', 'f', 'deadbeef', '123456789'])
        assert.deepEqual(values(`${head}${number}\n${next}\n`), values(`${head}${number}\n`), `${number} ${next}`);
    for (const number of ['80000021', '80000022', '80000029', '1a', '10', 'ffffffff', 'ffffffffffffffff'])
      for (let at = 1; at < number.length; at++) {
        const text = `${head}${number.slice(0, at)}\n${number.slice(at)}\n`;
        assert.deepEqual(values(text), values(`${head}${number}\n`), text);
      }
    const suberror = 'KVM internal error. Suberror: 1\n';
    assert.deepEqual(values(`${suberror}7\n`), values(suberror));
  });
});

describe('numbers that are printed with as many digits as they need', () => {
  // svm_vmcb_dump of xen/arch/x86/hvm/svm/svmdebug.c: %#x
  it('of Xen, which the longest line breaks in', () => {
    const said = '(XEN) general1_intercepts = 0xbdc4800f general2_intercepts = 0x2e7f\n';
    const long = '(XEN) cr_intercepts = 0xfbfb0010 dr_intercepts = 0xffff0000 exception_intercepts = 0x60042\n';
    for (const at of ['0x6', '0x600', '0x6004']) {
      const broken = long.replace('0x60042', `${at}\n${'0x60042'.slice(at.length)}`);
      assert.deepEqual(values(said + broken), values(said + long), at);
    }
    // A line that is shorter than another was not broken by a terminal.
    assert.deepEqual(values(`${long}${said}2\n`), values(long + said));
  });
});

describe('whole dumps that were wrapped', () => {
  const stamped = fixture('vmx-two-faults').trimEnd().split('\n');
  const PREFIXES: { readonly [name: string]: (line: string) => string } = {
    none: (line) => line.replace(/^\[[^\]]*\] /, ''),
    'ring buffer': (line) => line,
    syslog: (line) => `Nov 29 10:00:00 myhost kernel: ${line}`,
    'time of the day': (line) => `10:00:00 ${line.replace(/^\[[^\]]*\] /, '')}`,
  };
  /** As mail readers do: between words, and no line is longer. */
  const soft = (line: string, width: number): string => {
    const lines = [''];
    for (const word of line.split(/(?<= )/)) {
      const last = lines.at(-1) ?? '';
      if (last !== '' && (last + word.trimEnd()).length > width) lines.push(word);
      else lines[lines.length - 1] = last + word;
    }
    return lines.map((part) => part.trimEnd()).join('\n');
  };
  for (const [name, prefix] of Object.entries(PREFIXES)) {
    const lines = stamped.map(prefix);
    const expected = values(lines.join('\n'));
    const wrapped = (wrap: typeof soft, width: number): [string, bigint][] =>
      values(lines.map((line) => wrap(line, width)).join('\n'));

    it(`between words: ${name}`, () => {
      for (let width = 60; width <= 120; width += 2) assert.deepEqual(wrapped(soft, width), expected, String(width));
    });
    it(`and quoted: ${name}`, () => {
      for (const width of [66, 72, 76]) {
        const text = lines.map((line) => soft(line, width).replace(/^/gm, '> ')).join('\n');
        assert.deepEqual(values(text), expected, String(width));
      }
    });
    it(`anywhere: ${name}`, () => {
      // With the longest prefix a narrower terminal breaks the heading itself.
      for (let width = 66; width <= 130; width++) assert.deepEqual(wrapped(hard, width), expected, String(width));
    });
    it(`of a line that is cut the next is no part: ${name}`, () => {
      const whole = new Map(expected);
      for (const [i, line] of lines.entries()) {
        for (let end = prefix('').length; end < line.length; end += 3) {
          for (const dump of findDumps(lines.with(i, line.slice(0, end)).join('\n')))
            for (const [field, { value }] of dump.values) assert.equal(value, whole.get(field), `${field}: ${line}`);
        }
      }
    });
  }
});

describe('dumps that a terminal broke amid words, numbers and heads', () => {
  const head = 'KVM: entry failed, hardware error 0x80000021\n\nIf you are running a guest on an Intel machine\n\n';
  const dumps: { readonly [name: string]: string } = {
    'of QEMU': `${head}${REGISTERS}`,
    'of KVM': old,
    'of KVM on AMD': fixture('svm-cs').replace(/^\[ *[0-9.]+\] /gm, ''),
  };
  const PREFIXES = [
    '',
    'Nov 29 15:58:40 host kernel: [ 1234.100000] ',
    'Nov 29 15:58:40 long.example.com kernel: [ 1234.1] kvm: ',
  ];
  for (const [name, text] of Object.entries(dumps))
    it(name, () => {
      for (const prefix of PREFIXES) {
        const whole = text.trimEnd().replace(/^/gm, prefix);
        for (let width = Math.max(60, prefix.length + 20); width <= 140; width += 3) {
          const [dump, ...others] = findDumps(hard(whole, width));
          assert.deepEqual([dump?.damage, others], [[], []], `${width} characters, ${prefix}`);
          assert.deepEqual(values(hard(whole, width)), values(whole), `${width} characters, ${prefix}`);
        }
      }
    });
});

// Since 5.13 dump_vmcs computes an EFER that the entry does not load: then the field has another value, or none.
describe('an EFER of which a terminal broke off what it is', () => {
  it('is none of the field', () => {
    const efer = 'EFER= 0x0000000000000d00';
    for (const source of ['effective', 'autoload'])
      for (const prefix of ['', '[ 2311.499061] kvm_intel: ']) {
        const whole = old.replace(efer, `${efer} (${source})`).replace(/^/gm, prefix);
        assert.ok(whole.includes(source));
        const [line = ''] = whole.split('\n').filter((one) => one.includes(source));
        for (let at = prefix.length + efer.length; at < line.length; at++)
          for (const by of ['\n', '\n> ']) {
            const text = whole.replace(line, `${line.slice(0, at)}${by}${line.slice(at)}`);
            if (by === '\n' || line.charAt(at) === '(') assert.deepEqual(values(text), values(whole), text);
          }
      }
  });
});
