/** Texts of events, line by line, with what the line says of itself as the expectation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SVM_EXIT_CODES } from '../../engine/svm/exit-codes.js';
import { VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import { type Event, importText } from './import-helpers.js';
import { TEXTS } from './import-lines.js';

const bare = ({ seq: _seq, vcpu: _vcpu, time_ns: _time, ...rest }: Event): object => rest;
const one = (text: string): Event => {
  const { events } = importText(`t-1 [000] 1.0: ${text}\n`);
  assert.equal(events.length, 1);
  return events[0] as Event;
};

describe('text of an event', () => {
  for (const [text, row] of TEXTS) {
    it(text, () => {
      assert.deepEqual(bare(one(text)), row);
    });
  }

  it('tells a guest physical address from a linear one by the exit that is served', () => {
    const served = (exit: string): Event | undefined =>
      importText(
        `t-1 [000] 1.0: ${exit}\nt-1 [000] 1.1: kvm_page_fault: vcpu 0 rip 0x10 address 0x1000 error_code 0x2\n`,
      ).events[1];
    const common = { kind: 'page_fault', rip: 0x10, parent: 0 };
    assert.deepEqual(bare(served('kvm_exit: reason EPT_VIOLATION rip 0x10 info 2 0') as Event), {
      ...common,
      gpa: 0x1000,
      qualification: 2,
    });
    assert.deepEqual(bare(served('kvm_exit: reason npf rip 0x10 info1 0x2 info2 0x1000') as Event), {
      ...common,
      gpa: 0x1000,
      qualification: 2,
    });
    assert.deepEqual(bare(served('kvm_exit: reason EXCEPTION_NMI rip 0x10 info 1000 80000b0e') as Event), {
      ...common,
      gva: 0x1000,
      error_code: 2,
    });
    assert.deepEqual(bare(one('kvm_page_fault: address 1000 error_code 14')), {
      kind: 'page_fault',
      qualification: 0x14,
      text: 'address 1000',
    });
  });

  it('knows the exit that is served by the vCPU of a line that names no thread', () => {
    const lines = [
      'kvm_exit: vcpu 0 reason EPT_VIOLATION rip 0x10 info1 0x2 info2 0x0',
      'kvm_page_fault: vcpu 0 rip 0x10 address 0x1000 error_code 0x2',
      'kvm_exit: vcpu 1 reason EXCEPTION_NMI rip 0x10 info1 0x2000 info2 0x0',
      'kvm_page_fault: vcpu 0 rip 0x10 address 0x3000 error_code 0x2',
      'kvm_page_fault: vcpu 1 rip 0x10 address 0x2000 error_code 0x2',
      'kvm_page_fault: address 2000 error_code 2',
      'kvm_page_fault: vcpu 2 rip 0x10 address 0x4000 error_code 0x2',
    ];
    for (const head of ['', '1.5: ', '  CPU 3: ', '[003] 1.5: ']) {
      const { events } = importText(lines.map((line) => `${head}${line}\n`).join(''));
      assert.deepEqual(
        events.map(({ gpa, gva }) => [gpa, gva]),
        [
          [undefined, undefined],
          [0x1000, undefined],
          [undefined, undefined],
          [0x3000, undefined],
          [undefined, 0x2000],
          [undefined, 0x2000],
          [undefined, undefined],
        ],
        head,
      );
    }
  });

  it('knows every exit reason of both architectures by its names', () => {
    for (const { code, name } of VMX_EXIT_REASONS) {
      const { isa, reason } = one(`kvm_exit: vcpu 0 reason ${name} rip 0x0`);
      assert.deepEqual([isa, reason], [1, code], name);
    }
    for (const { code, name } of SVM_EXIT_CODES) {
      const { isa, reason } = one(`kvm_exit: reason EXIT_${name} rip 0x0 info 0 0`);
      assert.deepEqual([isa, BigInt(reason as number)], [2, code], name);
    }
  });

  it('takes the architecture of a number without a name from the lines before it', () => {
    const after = (name: string): unknown =>
      importText(`t-1 [000] 1.0: kvm_exit: reason ${name} rip 0x0\nt-1 [000] 1.1: kvm_exit: reason 0xa9 rip 0x0\n`)
        .events[1]?.isa;
    assert.equal(after('HLT'), 1);
    assert.equal(after('hlt'), 2);
  });
});

/** Symbols of the kernel's own print format, from `events/kvm/kvm_exit/format` of Linux 6.18. */
describe('names in the kernel', () => {
  it('prints SVM exceptions with a blank in their name', () => {
    for (const [vector, name] of [
      [0, 'DE'],
      [1, 'DB'],
      [13, 'GP'],
      [14, 'PF'],
      [19, 'XF'],
    ] as const) {
      assert.equal(one(`kvm_exit: vcpu 0 reason ${name} excp rip 0x0`).reason, 0x40 + vector);
    }
  });
});
