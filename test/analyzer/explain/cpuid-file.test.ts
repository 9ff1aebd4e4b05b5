/** What CPUID says of a host, as Linux, lscpu and cpuid(1) print it; leaves by Intel SDM Vol. 2A, "CPUID". */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnalysisError } from '../../../analyzer/errors.js';
import { readCpuid } from '../../../analyzer/explain/cpuid-file.js';
import { explain } from '../../../analyzer/explain/log.js';
import { readMsrs } from '../../../analyzer/explain/msr-file.js';
import { withCpuid } from '../../../analyzer/explain/processor.js';
import { PROCESSORS } from '../../../analyzer/explain/processors.js';
import { CPUINFO, KCPUID, KCPUID_NAMED, LSCPU, RAW, raw } from './cpuid-lists.js';
import { broken, fixture, ids } from './helpers.js';

describe('/proc/cpuinfo', () => {
  it('gives both widths, and the features that it names; of others it says nothing', () => {
    const { physicalBits, linearBits, features, counters, msr } = readCpuid(CPUINFO.join('\n'), 'cpuinfo');
    assert.deepEqual([physicalBits, linearBits, counters, msr(0x480)], [46, 57, null, null]);
    assert.deepEqual(features, { SGX: true, RTM: true, CET_SS: true, CET_IBT: true, BUS_LOCK_DETECT: true });
  });
  it('of several processors the first one counts', () => {
    const second = CPUINFO.map((line) => line.replace('46 bits', '39 bits'));
    assert.equal(readCpuid([...CPUINFO, ...second].join('\n'), 'cpuinfo').physicalBits, 46);
  });
  it('reads what grep takes out of it, and lscpu with its indents', () => {
    assert.equal(readCpuid(CPUINFO[4] ?? '', 'line').linearBits, 57);
    const { physicalBits, linearBits, features } = readCpuid(LSCPU.join('\r\n'), 'lscpu');
    assert.deepEqual([physicalBits, linearBits, features], [39, 48, { SGX: true }]);
  });
  it('with memory encryption the width is the least, for Linux takes the bits of key numbers off', () => {
    // arch/x86/kernel/cpu/intel.c, detect_tme_early: c->x86_phys_bits -= keyid_bits.
    const text = CPUINFO.join('\n').replace(' la57', ' la57 tme');
    const { physicalBits, least } = readCpuid(text, 'cpuinfo');
    assert.deepEqual([physicalBits, least?.physicalBits], [null, 46]);
  });
});

describe('kcpuid', () => {
  it('registers give widths, features and counters', () => {
    const { physicalBits, linearBits, features, counters } = readCpuid(KCPUID.join('\n'), 'kcpuid.txt');
    // An i7-1255U has 39 and 48 bits, 6 counters and 3 fixed ones, IBT and shadow stacks, and neither TSX nor SGX.
    assert.deepEqual([physicalBits, linearBits, counters], [39, 48, 0x7_0000_003fn]);
    assert.deepEqual(features, {
      SGX: false,
      RTM: false,
      CET_SS: true,
      CET_IBT: true,
      BUS_LOCK_DETECT: false,
      FRED: false,
      LAM: false,
    });
  });
  it('what it leaves out, for all its registers are 0, is 0; what nobody printed is not known', () => {
    const without = KCPUID.filter((line) => !/^ {2}[12]:/.test(line));
    assert.equal(readCpuid(without.join('\n'), 'k').features.FRED, false);
    assert.equal(readCpuid(KCPUID.slice(9).join('\n'), 'k').features.FRED, undefined);
  });
  it('a newer one calls the first leaves otherwise, and indents', () => {
    const text = KCPUID.join('\n').replace('Basic', 'Standard');
    assert.equal(readCpuid(text, 'k').physicalBits, 39);
    assert.equal(readCpuid(text.replace(/^/gm, '  '), 'k').physicalBits, 39);
  });
  it('names give widths, and the flags that are set', () => {
    const text = KCPUID_NAMED.join('\n');
    const { physicalBits, linearBits, features } = readCpuid(text, 'k');
    assert.deepEqual([physicalBits, linearBits, features], [48, 48, {}]);
    const flags = ['sgx', 'cet_ss', 'ibt'].map((name) => `\t${name.padEnd(20)} \t\t\t`);
    const newer = text
      .replace('phy_adr', 'phys_addr')
      .replace('lnr_adr', 'virt_addr')
      .replace('\t smap', `${flags.join('\n')}\n\t smap`);
    assert.deepEqual(readCpuid(newer, 'k').features, { SGX: true, CET_SS: true, CET_IBT: true });
    assert.equal(readCpuid(newer, 'k').physicalBits, 48);
  });
  it('of a line that is damaged it says which', () => {
    const damaged = KCPUID.map((line) => line.replace('ECX=0x984007bc', 'ECX=0x9840'));
    assert.throws(() => readCpuid(damaged.join('\n'), 'k'), /k, line 5/);
    assert.throws(() => readCpuid(KCPUID.slice(4).join('\n'), 'k'), /k, line 1/);
  });
});

describe('registers of CPUID', () => {
  it('give widths, features and counters, and what is beyond the last leaf is 0', () => {
    const { physicalBits, linearBits, features, least, most } = readCpuid(RAW.join('\n'), 'cpuid.txt');
    assert.deepEqual([physicalBits, linearBits], [52, 57]);
    assert.deepEqual(features, {
      SGX: true,
      RTM: false,
      CET_SS: true,
      CET_IBT: true,
      BUS_LOCK_DETECT: false,
      FRED: true,
      LAM: false,
    });
    // Bit 48 goes with fixed counter 3, and an MSR says whether it is there.
    assert.deepEqual([least?.counters, most?.counters], [0xf_0000_00ffn, 0x1_000f_0000_00ffn]);
    const three = RAW.map((line) => (line.includes('0x0000000a') ? raw(0xa, 0, 0x0730_0404, 0, 0, 0x603) : line));
    assert.equal(readCpuid(three.join('\n'), 'cpuid.txt').counters, 0x7_0000_000fn);
    const none = [raw(0, 0, 6), raw(0x8000_0000, 0, 0x8000_0004)].join('\n');
    assert.deepEqual(
      [readCpuid(none, 'old').features.SGX, readCpuid(none, 'old').counters, readCpuid(none, 'old').physicalBits],
      [false, 0n, null],
    );
  });
  it('a leaf that was left out is not known', () => {
    const { features, counters, physicalBits } = readCpuid(RAW.slice(0, 2).join('\n'), 'cut');
    assert.deepEqual([features, counters, physicalBits], [{}, null, null]);
  });
});

/** What a processor can have at least and at most, as far as a list says. */
function boundsOf(lines: readonly string[]): Partial<Record<string, readonly [least: bigint, most: bigint]>> {
  try {
    const { physicalBits, linearBits, counters, features, least, most } = readCpuid(lines.join('\n'), 'list');
    const between = (known: bigint | null, few = 0n, many = (1n << 64n) - 1n): readonly [bigint, bigint] =>
      known === null ? [few, many] : [known, known];
    const big = (bits: number | null | undefined): bigint | null => (typeof bits === 'number' ? BigInt(bits) : null);
    return {
      physical: between(big(physicalBits), big(least?.physicalBits) ?? 0n),
      linear: between(big(linearBits)),
      counters: between(counters, least?.counters ?? 0n, most?.counters ?? (1n << 64n) - 1n),
      ...Object.fromEntries(Object.entries(features).map(([name, has]) => [name, between(BigInt(has))])),
    };
  } catch (error) {
    if (!(error instanceof AnalysisError)) throw error;
    return {};
  }
}

describe('a list that is not whole says nothing that the whole one denies', () => {
  const EXTENDED = [
    ...RAW.slice(0, 3),
    raw(7, 1, (1 << 17) | (1 << 8)),
    RAW[4] ?? '',
    raw(0x23, 0, 3),
    raw(0x23, 1, 0x7ff, 0x1f),
    ...RAW.slice(5),
  ];
  /** With FRED and LAM. */
  const KCPUID_NEWER = KCPUID.map((line) => line.replace('EAX=0x00400810', 'EAX=0x04420810'));
  it('counters of leaf 23H are among those that the whole list has', () => {
    // SDM Vol. 2A, CPUID.(23H,1): bit maps of the counters; fixed counter 3 may go with performance metrics.
    assert.deepEqual(boundsOf(EXTENDED).counters, [0x1f_0000_07ffn, 0x1_001f_0000_07ffn]);
  });
  for (const [name, list] of Object.entries({ CPUINFO, LSCPU, RAW, EXTENDED, KCPUID, KCPUID_NEWER, KCPUID_NAMED })) {
    const whole = boundsOf(list);
    const parts = new Map(list.map((_, i) => [`cut behind line ${i}`, list.slice(0, i)]));
    // What kcpuid leaves out is 0.
    if (name === 'RAW' || name === 'EXTENDED')
      for (const [i] of list.entries()) parts.set(`without line ${i + 1}`, list.toSpliced(i, 1));
    it(name, () => {
      for (const [part, lines] of parts) {
        for (const [fact, said] of Object.entries(boundsOf(lines))) {
          const has = whole[fact];
          assert.ok(
            said && has && said[0] <= has[0] && has[1] <= said[1],
            `${part}: ${fact} ${said}, and it is ${has}`,
          );
        }
      }
    });
  }
});

describe('a file that is none', () => {
  for (const [text, where] of [
    ['', 'file'],
    ['[    1.0] Linux version 6.1\n', 'file'],
    ['processor : 0\naddress sizes : 99 bits physical, 48 bits virtual', 'file, line 2'],
    ['address sizes : many', 'file, line 1'],
    ['CPU:\n   0x00000007 0x00: eax=0x1', 'file, line 2'],
  ] as const) {
    it(JSON.stringify(text), () => {
      assert.throws(
        () => readCpuid(text, 'file'),
        (error) => error instanceof AnalysisError && error.code === 'BAD_CPUID' && error.message.includes(where),
      );
    });
  }
});

describe('what a dump leaves open', () => {
  /** CR3 of 46 bits and a GDTR base of 48 in a dump that is valid besides. */
  const text = fixture('vmx-two-faults')
    .replace(/(TR:.*attr=0x)0009b/, '$10008b')
    .replace('CR3 = 0x0000000000001000', 'CR3 = 0x0000200000001000');
  const judged = (cpuinfo: string | null): ReturnType<typeof explain>['dumps'][number] => {
    const processor = cpuinfo === null ? undefined : readCpuid(cpuinfo, 'cpuinfo');
    const [report] = explain(text, 'test', { processor }).dumps;
    if (report === undefined) throw new Error('no dump');
    return report;
  };
  const sizes = (physical: number, linear: number): string =>
    `address sizes\t: ${physical} bits physical, ${linear} bits virtual\n`;

  it('says with which options it can be settled', () => {
    const { next } = judged(null);
    assert.ok(
      next.some((line) =>
        /physical-address width, linear-address width.*--cpuid FILE, \/proc\/cpuinfo.*--cpu MODEL/.test(line),
      ),
      next.join('\n'),
    );
  });
  it('is settled by the two widths, and nothing is advised any more', () => {
    assert.deepEqual(ids(judged(sizes(39, 48)).violated), ['guest.cr3.width', 'guest.gdtr.base']);
    assert.deepEqual(ids(judged(sizes(46, 48)).violated), ['guest.gdtr.base']);
    assert.deepEqual(ids(judged(sizes(39, 57)).violated), ['guest.cr3.width']);
    assert.deepEqual(broken(judged(sizes(46, 57))), []);
    for (const [physical, linear] of [
      [39, 48],
      [46, 57],
    ] as const)
      assert.ok(judged(sizes(physical, linear)).next.every((line) => !line.includes('--cpuid')));
  });
  it('stays open beyond a width that Linux made less, and is decided within it', () => {
    const flags = 'flags\t: tme\n';
    assert.deepEqual(broken(judged(flags + sizes(46, 57))), []);
    assert.deepEqual(ids(judged(flags + sizes(39, 57)).suspects), ['guest.cr3.width']);
  });
});

it('settles the physical width of a VMCB too, of which no model of Intel is advised', () => {
  const text = fixture('svm-cs')
    .replace(/(cs:.* a: )0e9b/, '$1029b')
    .replace(/(SVM: cr3: +)0000[0-9a-f]{12}/, '$10001000000001000');
  assert.notEqual(text, fixture('svm-cs'));
  const report = (cpuinfo: string): ReturnType<typeof explain>['dumps'][number] | undefined =>
    explain(text, 'test', { processor: cpuinfo === '' ? undefined : readCpuid(cpuinfo, 'cpuinfo') }).dumps[0];
  const open = report('');
  const advice = open?.next.find((line) => line.includes('--cpuid FILE')) ?? '';
  assert.match(advice, /physical-address width/);
  assert.doesNotMatch(advice, /--cpu MODEL/);
  assert.deepEqual(ids(open?.suspects ?? []).includes('svm.cr3.reserved'), true);
  const narrow = report('address sizes : 48 bits physical, 48 bits virtual');
  assert.ok(ids(narrow?.violated ?? []).includes('svm.cr3.reserved'));
  // CR3 has bit 48: within 49 bits, however many more the encrypting processor has.
  const wide = report('flags : sme\naddress sizes : 49 bits physical, 48 bits virtual');
  assert.ok(wide !== undefined && !broken(wide).includes('svm.cr3.reserved'));
});

it('stands beside a list of MSRs, and before what a model says', () => {
  const said = readCpuid('address sizes : 46 bits physical, 57 bits virtual', 'cpuinfo');
  const both = withCpuid(readMsrs('0x480 0x10', 'host.msrs'), said);
  assert.deepEqual([both.msr(0x480), both.physicalBits, both.name], [0x10n, 46, 'host.msrs with cpuinfo']);
  const model = PROCESSORS.get('broadwell');
  assert.ok(model !== undefined);
  const { physicalBits, linearBits, counters, msr } = withCpuid(model, said);
  assert.deepEqual([physicalBits, linearBits, counters, msr(0x480)], [46, 57, model.counters, model.msr(0x480)]);
});
