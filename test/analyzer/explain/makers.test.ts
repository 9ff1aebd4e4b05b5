/**
 * A processor has VMX or SVM and never both, so that a list of one maker says nothing of the other's control structure.
 * Vendor strings: Intel SDM Vol. 2A, "CPUID", leaf 0; AMD APM Vol. 3, E.3.1; arch/x86/kernel/cpu of Linux (`c_ident`).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readCpuid } from '../../../analyzer/explain/cpuid-file.js';
import type { DumpReport } from '../../../analyzer/explain/explain.js';
import { explain } from '../../../analyzer/explain/log.js';
import { readMsrs } from '../../../analyzer/explain/msr-file.js';
import { type Processor, withCpuid } from '../../../analyzer/explain/processor.js';
import { PROCESSORS } from '../../../analyzer/explain/processors.js';
import { CPUINFO, KCPUID, KCPUID_NAMED, LSCPU, RAW, raw } from './cpuid-lists.js';
import { fixture, ids, only, REGISTERS } from './helpers.js';

/** A VMCS whose only fault is a base that 57 bits allow and 48 do not. */
const VMCS = fixture('vmx-two-faults')
  .replace(/(TR:.*attr=0x)0009b/, '$10008b')
  .replace('0000900000000000', '00f0000000001000');
/** A VMCB whose CR3 has bit 48, which 49 bits allow and 48 do not. */
const VMCB = fixture('svm-cs')
  .replace(/(cs:.* a: )0e9b/, '$1029b')
  .replace(/(SVM: cr3: +)0000[0-9a-f]{12}/, '$10001000000001000');

const sizes = (physical: number, linear: number): string =>
  `address sizes\t: ${physical} bits physical, ${linear} bits virtual`;
/** A list that settles either dump: violated. */
const listOf = (...vendor: readonly string[]): Processor => readCpuid([...vendor, sizes(48, 48)].join('\n'), 'list');
const line = (vendor: string): string => `vendor_id\t: ${vendor}`;

const told = (text: string, processor?: Processor): DumpReport[] => [...explain(text, 'test', { processor }).dumps];
/** What is found, without what is said of the list. */
function findingsOf({ traps, ...rest }: DumpReport): object {
  return { ...rest, traps: traps.filter((trap) => !trap.includes('this dump is judged by the rules of')) };
}
const UNUSED =
  /^(\S+) is of a processor of (\w+), which has (VMX|SVM), and this dump is judged by the rules of (\w+): /;
const unusedOf = (report: DumpReport): string[][] =>
  report.traps.flatMap((trap) => {
    const [, ...said] = UNUSED.exec(trap) ?? [];
    return said.length > 0 ? [said] : [];
  });

/** As if the list had not been given, but for one line. */
function isUnused(text: string, processor: Processor, ...said: readonly string[][]): void {
  const [report, other] = told(text, processor);
  assert.ok(report !== undefined && other === undefined);
  assert.deepEqual(findingsOf(report), findingsOf(only(text)));
  assert.deepEqual(unusedOf(report), said);
}

/** The list counts, and nothing is said. */
function isUsed(text: string, processor: Processor, ...violated: readonly string[]): void {
  const [report] = told(text, processor);
  assert.ok(report !== undefined);
  assert.deepEqual([ids(report.violated), unusedOf(report)], [violated, []]);
}

describe('a list of CPUID', () => {
  const MAKERS: readonly (readonly [vendor: string, maker: string, isa: 'VMX' | 'SVM'])[] = [
    ['GenuineIntel', 'Intel', 'VMX'],
    ['CentaurHauls', 'Centaur', 'VMX'],
    ['  Shanghai  ', 'Zhaoxin', 'VMX'],
    ['AuthenticAMD', 'AMD', 'SVM'],
    ['HygonGenuine', 'Hygon', 'SVM'],
  ];
  for (const [vendor, maker, isa] of MAKERS) {
    const [ebx = 0, edx = 0, ecx = 0] = [0, 4, 8].map((at) => Buffer.from(vendor).readUInt32LE(at));
    for (const [form, head] of [
      ['a line', line(vendor)],
      ['leaf 0', raw(0, 0, 0x10, ebx, ecx, edx)],
    ] as const) {
      it(`of ${JSON.stringify(vendor)} in ${form} is of ${isa}`, () => {
        const list = listOf(head);
        if (isa === 'VMX') {
          isUsed(VMCS, list, 'guest.gdtr.base');
          isUnused(VMCB, list, ['list', maker, 'VMX', 'SVM']);
        } else {
          isUsed(VMCB, list, 'svm.cr3.reserved');
          isUnused(VMCS, list, ['list', maker, 'SVM', 'VMX']);
        }
      });
    }
  }
  it('leaves what 57 bits would allow suspected', () => {
    const [report] = told(VMCS, listOf(line('AuthenticAMD')));
    assert.deepEqual([report?.verdict, ids(report?.suspects ?? [])], ['suspect', ['guest.gdtr.base']]);
  });
  it('without a vendor, or with one that nobody is known by, is used', () => {
    for (const list of [listOf(), listOf(line('constructor')), listOf(raw(0, 0, 0x10)), listOf(line('KVMKVMKVM'))]) {
      isUsed(VMCS, list, 'guest.gdtr.base');
      isUsed(VMCB, list, 'svm.cr3.reserved');
    }
  });
  it('in every form tells its vendor', () => {
    const makerOf = (lines: readonly string[]): string | null | undefined =>
      readCpuid(lines.join('\n'), 'list').maker?.name;
    for (const list of [CPUINFO, RAW, KCPUID]) assert.equal(makerOf(list), 'Intel');
    // util-linux, lscpu: below it the firmware's own name of the vendor.
    const lscpu = ['Vendor ID:                       AuthenticAMD', '  BIOS Vendor ID:                GenuineIntel'];
    assert.equal(makerOf([...lscpu, ...LSCPU]), 'AMD');
    assert.equal(makerOf([lscpu[1] ?? '', ...LSCPU]), undefined);
    // tools/arch/x86/kcpuid/cpuid.csv of Linux 6.12: bytes 0 to 3 in EBX, 8 to 11 in ECX, 4 to 7 in EDX.
    const named = ['0           \t: 0x68747541', '2           \t: 0x444d4163', '1           \t: 0x69746e65'];
    const parts = named.map((end) => `\t cpu_vendorid_${end}\t- CPU vendor ID string bytes`);
    assert.equal(makerOf(KCPUID_NAMED), undefined);
    assert.equal(makerOf([...KCPUID_NAMED.slice(0, 4), ...parts, ...KCPUID_NAMED.slice(4)]), 'AMD');
  });
  it('of several processors tells that of the first', () => {
    assert.equal(listOf(line('HygonGenuine'), line('GenuineIntel')).maker?.name, 'Hygon');
  });
  it('that is a vendor alone says nothing of widths and features', () => {
    assert.throws(() => readCpuid(line('GenuineIntel'), 'list'), { code: 'BAD_CPUID' });
  });
});

describe('a model', () => {
  const model = PROCESSORS.get('skylake-k');
  assert.ok(model !== undefined);
  it('of Intel is not used for a VMCB, and held against a VMCS', () => {
    isUnused(VMCB, model, ['skylake-k', 'Intel', 'VMX', 'SVM']);
    assert.match(told(VMCS, model)[0]?.traps[0] ?? '', /^This host is not skylake-k: an entry got past/);
  });
  it('each has a maker', () => {
    for (const [name, { maker }] of PROCESSORS) assert.equal(maker?.isa, 'vmx', name);
  });
  it('and a list beside it are used each where they fit', () => {
    const both = withCpuid(model, listOf(line('AuthenticAMD')));
    const [vmcs] = told(VMCS, both);
    const [vmcb] = told(VMCB, both);
    assert.ok(vmcs !== undefined && vmcb !== undefined);
    assert.deepEqual(unusedOf(vmcs), [['list', 'AMD', 'SVM', 'VMX']]);
    assert.deepEqual(findingsOf(vmcs), findingsOf(told(VMCS, model)[0] ?? vmcb));
    assert.deepEqual(unusedOf(vmcb), [['skylake-k', 'Intel', 'VMX', 'SVM']]);
    assert.deepEqual(ids(vmcb.violated), ['svm.cr3.reserved']);
    isUnused(
      VMCB,
      withCpuid(model, listOf(line('GenuineIntel'))),
      ['skylake-k', 'Intel', 'VMX', 'SVM'],
      ['list', 'Intel', 'VMX', 'SVM'],
    );
  });
  it('capability MSRs stay where the list beside them does not fit', () => {
    const msrs = readMsrs('0x488 0x2000\n0x489 0x27ff\n', 'host.msrs');
    const [report] = told(VMCS, withCpuid(msrs, listOf(line('AuthenticAMD'))));
    assert.match(report?.traps[1] ?? '', /^host\.msrs is not of this host/);
  });
});

describe('capability MSRs', () => {
  // Intel SDM Vol. 3D, appendix A: read where CPUID.1:ECX.VMX is 1. AMD APM Vol. 2, appendix A: no such MSR.
  const msrs = readMsrs('0x488 0x2000\n0x489 0x27ff\n', 'host.msrs');
  it('decide nothing of a VMCB, which says so', () => {
    const [report] = told(VMCB, msrs);
    const [says = ''] = report?.traps ?? [];
    assert.match(
      says,
      /^host\.msrs is of a processor with VMX, and this dump is judged by the rules of SVM: nothing was/,
    );
    assert.deepEqual(findingsOf(report ?? assert.fail()), findingsOf(only(VMCB)));
  });
  it('beside a list that fits leave it in use', () => {
    const [report] = told(VMCB, withCpuid(msrs, listOf(line('AuthenticAMD'))));
    assert.deepEqual([ids(report?.violated ?? []), report?.against], [['svm.cr3.reserved'], 'list']);
    assert.match(report?.traps[0] ?? '', /^host\.msrs is of a processor with VMX,/);
  });
});

it('of a log with dumps of both architectures each takes what fits', () => {
  const log = `${VMCS}\n${VMCB}`;
  const [vmcs, vmcb] = told(log, listOf(line('AuthenticAMD')));
  assert.ok(vmcs !== undefined && vmcb !== undefined);
  assert.deepEqual([vmcs.verdict, unusedOf(vmcs).length], ['suspect', 1]);
  assert.deepEqual([ids(vmcb.violated), unusedOf(vmcb)], [['svm.cr3.reserved'], []]);
});

describe('what to give instead', () => {
  const advised = (text: string, vendor: string): string =>
    told(text, listOf(line(vendor)))[0]?.traps.find((trap) => UNUSED.test(trap)) ?? '';
  it('a model or a list for a VMCS, a list for a VMCB', () => {
    assert.match(advised(VMCS, 'AuthenticAMD'), /--cpuid, or name its model with --cpu\.$/);
    assert.match(advised(VMCB, 'GenuineIntel'), /this dump itself says with --cpuid\.$/);
  });
});

it('what has no checks is not told that they were decided by nothing', () => {
  const error = 'KVM: entry failed, hardware error 0xffffffff\n';
  for (const text of [error, error + REGISTERS]) {
    const reports = told(text, listOf(line('GenuineIntel')));
    assert.ok(reports.length > 0);
    assert.deepEqual(reports.flatMap(unusedOf), []);
  }
});
