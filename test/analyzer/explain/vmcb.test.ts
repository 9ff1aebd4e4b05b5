/** VMCB dumps of encrypted guests, in the form in which KVM prints them (arch/x86/kvm/svm/svm.c, dump_vmcb). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { broken, explained, fixture, ids, only } from './helpers.js';

describe('KVM, a guest with SEV-SNP', () => {
  /** A column of `%-20s` and a value, as printf fills it: a name that is wider has no blank behind it. */
  const column = (name: string, value: string): string => `kvm_amd: ${name.padEnd(20)}${value}`;
  const snp = (allowed: string, features: string | null): string =>
    [
      ...fixture('svm-cs')
        .trimEnd()
        .replace(/(cs: .* a: )0e9b/, '$10a9b')
        .replace(/(nested_ctl: +)1/, '$17')
        .replace(/(virt_ext: +)0/, '$13')
        .split('\n')
        .flatMap((line) =>
          line.includes('vmsa_pa')
            ? [line, column('allowed_sev_features:', allowed), column('guest_sev_features:', '0000000000000081')]
            : [line],
        ),
      ...(features === null ? [] : [`kvm_amd: ${'sev_features'.padEnd(15)} ${features}`]),
    ].join('\n');

  // AMD APM Vol. 2, 15.36.20: with bit 63 of the mask, VMRUN fails where SEV_FEATURES has a bit that the mask lacks.
  it('the mask without a blank before it is read, and a feature that it lacks is the cause', () => {
    const text = snp('8000000000000001', '0000000000000081');
    assert.match(text, /allowed_sev_features:8/);
    const report = only(text);
    assert.deepEqual([report.damage, report.verdict], [[], 'violated']);
    assert.deepEqual(ids(report.violated), ['svm.sev_features.allowed']);
    assert.match(report.violated[0]?.detail.join() ?? '', /bit 7 of SEV_FEATURES .*not in ALLOWED/);
    assert.notEqual(report.next.length, 0);
    assert.equal(findDumps(text)[0]?.values.get('SEV_FEATURES')?.value, 0x81n);
  });
  it('without the VMSA, the copy of its features in the VMCB decides', () => {
    const report = only(snp('8000000000000001', null));
    assert.deepEqual(ids(report.violated), ['svm.sev_features.allowed']);
    assert.match(report.violated[0]?.detail.join() ?? '', /bit 7 of GUEST_SEV_FEATURES/);
    assert.ok(report.undecidable.some(({ missing }) => missing.some(({ name }) => /encrypted save area/.test(name))));
  });
  // 64 bits of it are printed since 6.18.
  it('that VMRUN failed is said of all forms of its exit code, and that it did not of others', () => {
    const traps = (code: string): number =>
      only(fixture('svm-cs').replace(/(exit_code: +)\w+/, `$1${code}`)).traps.filter((one) => /below zero/.test(one))
        .length;
    assert.deepEqual(['ffffffff', 'ffffffffffffffff', 'fffffffe', '00000078'].map(traps), [0, 0, 0, 1]);
  });
  it('a mask that allows it, or that is not enabled, is no cause', () => {
    for (const mask of ['8000000000000081', '0000000000000001'])
      assert.deepEqual(ids(only(snp(mask, '0000000000000081')).violated), []);
  });
});

describe('KVM since 2026', () => {
  // "KVM: SVM: Rename vmcb->nested_ctl to vmcb->misc_ctl", "... virt_ext to misc_ctl2", and ERAP's own control
  const renamed = (name: string): string =>
    fixture(name)
      .replace(/nested_ctl: {2}/, 'misc_ctl:    ')
      .replace(/virt_ext: {2}/, 'misc_ctl2: ')
      .replace(/^(.*)tlb_ctl: .*$/m, (line, before) => `${line}\n${before}${'erap_ctl:'.padEnd(20)}0`);

  it('renames two controls, and the answer stays', () => {
    const [before, after] = [only(fixture('svm-cs')), only(renamed('svm-cs'))];
    assert.match(renamed('svm-cs'), /misc_ctl: [\s\S]*misc_ctl2: /);
    assert.deepEqual(after.damage, []);
    assert.deepEqual([ids(after.violated), ids(after.undecidable)], [ids(before.violated), ids(before.undecidable)]);
    assert.equal(findDumps(renamed('svm-cs'))[0]?.values.get('NESTED_CTL')?.value, 1n);
  });
});

describe('KVM before 5.10', () => {
  // dump_vmcb: `pr_err("%-20s%016llx\n", "intercepts:", control->intercept)`, of which struct vmcb_control_area has a u64
  // at 00Ch; AMD APM Vol. 2, appendix B: 00Ch and 010h, each of 32 bits, and the intercept of VMRUN is bit 0 of 010h
  const intercepts = (value: string): string => fixture('svm-cs').replace(/(intercepts: +)\S+ \S+/, `$1${value}`);
  const [OLD, NEW] = [intercepts('00006e7fbdcc8027'), fixture('svm-cs')];
  const [WITHOUT, LOST] = [intercepts('00006e7ebdcc8027'), intercepts('00006e7fbdcc')];
  const CHECK = 'svm.vmrun_intercept';

  it('both intercept words in one number are those that are printed apart since', () => {
    const [old, now] = [OLD, NEW].map((text) =>
      [...(findDumps(text)[0]?.values ?? [])].map(([name, { value }]) => [name, value]),
    );
    assert.deepEqual(old, now);
    assert.deepEqual(
      [ids(only(OLD).violated), ids(only(OLD).undecidable)],
      [ids(only(NEW).violated), ids(only(NEW).undecidable)],
    );
  });
  it('they decide whether VMRUN is intercepted, unless digits of them are lost', () => {
    assert.deepEqual(
      [OLD, WITHOUT, LOST].map((text) => ids(only(text).violated).includes(CHECK)),
      [false, true, false],
    );
    assert.deepEqual(
      [OLD, WITHOUT, LOST].map((text) => ids(only(text).undecidable).includes(CHECK)),
      [false, false, true],
    );
    assert.deepEqual(
      only(LOST).damage.map(({ kind }) => kind),
      ['cut'],
    );
  });
});

/** A valid guest in 64-bit mode, or one whose EFER has bit 1, in the lines of xen/arch/x86/hvm/svm/svmdebug.c of a version. */
interface XenVersion {
  readonly words: (efer: string, exitcode: string) => readonly string[];
  readonly segment: (name: string, selector: string, attributes: string, limit: string, base: string) => string;
}

const segments = (segment: XenVersion['segment']): string[] => [
  segment('CS', '0010', '0a9b', 'ffffffff', '0000000000000000'),
  ...['DS', 'SS', 'ES', 'FS', 'GS'].map((name) => segment(name, '0018', '0c93', 'ffffffff', '0000000000000000')),
  segment('GDTR', '0000', '0000', '0000007f', 'fffffe0000001000'),
  segment('LDTR', '0000', '0000', '00000000', '0000000000000000'),
  segment('IDTR', '0000', '0000', '00000fff', 'fffffe0000000000'),
  segment('TR', '0040', '0089', '00004087', 'fffffe0000003000'),
];

const registers = (between: readonly string[]): string[] => [
  'CR0 = 0x000000008005003b CR2 = 0x0000000000001000',
  'CR3 = 0x0000000002e23000 CR4 = 0x0000000000000ef0',
  'RSP = 0xffffffff82e03e00  RIP = 0xffffffff820e26ca',
  'RAX = 0x0000000000004000  RFLAGS=0x0000000000000246',
  'DR6 = 0x00000000ffff0ff0, DR7 = 0x0000000000000400',
  'CSTAR = 0xffffffff82201470 SFMask = 0x0000000000257fd5',
  'KernGSBase = 0x0000000000000000 PAT = 0x0007040600070406',
  ...between,
];

const XEN_VERSIONS: { readonly [version: string]: XenVersion } = {
  '4.21': {
    words: (efer, exitcode) => [
      "Dumping guest's current state at svm_vmexit_handler...",
      'Size of VMCB = 4096, paddr = 0000000847733000, vaddr = ffff830847733000',
      'cr_intercepts = 0xfef3fef3 dr_intercepts = 0xffffffff exception_intercepts = 0x60082',
      'general1_intercepts = 0xbdc4000f general2_intercepts = 0x6f7f',
      'iopm_base_pa = 0x95518000 msrpm_base_pa = 0x847730000 tsc_offset = 0xffffff8cfff785f6',
      'tlb_control = 0 vintr = 0x10f0001 int_stat = 0',
      'event_inj 00000abc80000b0e, valid? 1, ec? 1, type 3, vector 0xe',
      `exitcode = ${exitcode} exit_int_info = 0`,
      'exitinfo1 = 0x12 exitinfo2 = 0',
      'asid = 0x22d np_ctrl = 0x1: NP',
      'virtual vmload/vmsave = 0, virt_ext = 0',
      `cpl = 0 efer = ${efer} star = 0x23001000000000 lstar = 0xffffffff82200000`,
      ...registers([
        'SSP = 0x0000000000000000 S_CET = 0x0000000000000000 ISST = 0x0000000000000000',
        'H_CR3 = 0x00000008476c2000 CleanBits = 0xfffffff7',
        '       sel attr  limit   base',
      ]),
    ],
    segment: (name, ...values) => `${name.padStart(4)}: ${values.join(' ')}`,
  },
  '4.11': {
    words: (efer, exitcode) => [
      "Dumping guest's current state at svm_vmexit_handler...",
      'Size of VMCB = 4096, paddr = 0000000847733000, vaddr = ffff830847733000',
      'cr_intercepts = 0xfef3fef3 dr_intercepts = 0xffffffff exception_intercepts = 0x60082',
      'general1_intercepts = 0xbdc4000f general2_intercepts = 0x6f7f',
      'iopm_base_pa = 0x95518000 msrpm_base_pa = 0x847730000 tsc_offset = 0xffffff8cfff785f6',
      'tlb_control = 0 vintr = 0x10f0001 interrupt_shadow = 0',
      'eventinj 00000abc80000b0e, valid? 1, ec? 1, type 3, vector 0xe',
      `exitcode = ${exitcode} exitintinfo = 0`,
      'exitinfo1 = 0x12 exitinfo2 = 0',
      'np_enable = 0x1 guest_asid = 0x22d',
      'virtual vmload/vmsave = 0, virt_ext = 0',
      `cpl = 0 efer = ${efer} star = 0x23001000000000 lstar = 0xffffffff82200000`,
      ...registers(['H_CR3 = 0x00000008476c2000 CleanBits = 0xfffffff7', '       sel attr  limit   base']),
    ],
    segment: (name, ...values) => `${name.padStart(4)}: ${values.join(' ')}`,
  },
  '4.1': {
    words: (efer, exitcode) => [
      "Dumping guest's current state at svm_vmexit_handler...",
      'Size of VMCB = 4096, paddr = 0x0000000847733000, vaddr = ffff830847733000',
      'cr_intercepts = 0xfef3fef3 dr_intercepts = 0xffffffff exception_intercepts = 0x00060082',
      'general1_intercepts = 0xbdc4000f general2_intercepts = 0x00006f7f',
      'iopm_base_pa = 0x0000000095518000 msrpm_base_pa = 0x0000000847730000 tsc_offset = 0xffffff8cfff785f6',
      'tlb_control = 0x00000000 vintr = 0x00000000010f0001 interrupt_shadow = 0x0000000000000000',
      `exitcode = 0x${exitcode.slice(2).padStart(16, '0')} exitintinfo = 0x0000000000000000`,
      'exitinfo1 = 0x0000000000000012 exitinfo2 = 0x0000000000000000 ',
      'np_enable = 0x0000000000000001 guest_asid = 0x22d',
      `cpl = 0 efer = 0x${efer.slice(2).padStart(16, '0')} star = 0x0023001000000000 lstar = 0xffffffff82200000`,
      ...registers(['H_CR3 = 0x00000008476c2000 CleanBits = 0xfffffff7']),
    ],
    segment: (name, selector, attributes, limit, base) =>
      `${name}: sel=0x${selector}, attr=0x${attributes}, limit=0x${limit}, base=0x${base}`,
  },
};

describe('Xen on AMD', () => {
  const dumped = ({ words, segment }: XenVersion, efer: string, exitcode: string): string =>
    [...words(efer, exitcode), ...segments(segment)].map((line) => `(XEN) ${line}`).join('\n');

  for (const [version, xen] of Object.entries(XEN_VERSIONS)) {
    it(`${version}: a valid VMCB is read whole, and breaks no rule`, () => {
      const text = dumped(xen, '0x1d01', '0x78');
      const report = only(text);
      assert.deepEqual([report.format, report.isa, report.verdict], ['xen-vmcb', 'svm', 'valid']);
      assert.deepEqual([report.damage, report.first, report.last], [[], 1, text.split('\n').length]);
      assert.match(report.sentence, /HLT \(0x78\)/);
      const value = (name: string): bigint | undefined => findDumps(text)[0]?.values.get(name)?.value;
      // 16 bits of reads and 16 of writes; interrupt control and vector, injection and error code share a word (APM, appendix B).
      assert.deepEqual(['INTERCEPT_CR_READ', 'INTERCEPT_CR_WRITE', 'INTERCEPT_WORD3', 'INTERCEPT_WORD4'].map(value), [
        0xfef3n,
        0xfef3n,
        0xbdc4_000fn,
        0x6f7fn,
      ]);
      assert.deepEqual(['INT_CTL', 'INT_VECTOR', 'INT_STATE'].map(value), [0x10f_0001n, 0n, 0n]);
      if (version !== '4.1') assert.deepEqual(['EVENT_INJ', 'EVENT_INJ_ERR'].map(value), [0x8000_0b0en, 0xabcn]);
      assert.deepEqual(['ASID', 'NESTED_CTL', 'NESTED_CR3', 'EXIT_INFO_1'].map(value), [
        0x22dn,
        1n,
        0x8_476c_2000n,
        0x12n,
      ]);
      assert.deepEqual(['CR0', 'CR3', 'CR4', 'DR6', 'DR7', 'RIP', 'RFLAGS', 'CPL', 'EFER', 'CS_ATTRIB'].map(value), [
        0x8005_003bn,
        0x2e2_3000n,
        0xef0n,
        0xffff_0ff0n,
        0x400n,
        0xffff_ffff_820e_26can,
        0x246n,
        0n,
        0x1d01n,
        0xa9bn,
      ]);
      assert.deepEqual(['TR_BASE', 'GDTR_LIMIT'].map(value), [0xffff_fe00_0000_3000n, 0x7fn]);
    });
    it(`${version}: its words are those of the manual`, () => {
      const { decoded } = only(dumped(xen, '0x1d01', '0x78'));
      const says = (name: string): readonly string[] | undefined => decoded.find(({ field }) => field === name)?.says;
      // APM Vol. 2, appendix B: 060h, 090h (as Xen has it, "np_ctrl = 0x1: NP"), 008h; DR6 as it is after a reset
      assert.deepEqual(says('INT_CTL'), ['V_TPR 1', 'V_INTR_PRIO 15', 'V_INTR_MASKING']);
      assert.deepEqual(says('NESTED_CTL'), ['NP_ENABLE']);
      assert.deepEqual(says('INTERCEPT_EXCEPTIONS'), ['#DB', '#NM', '#AC', '#MC']);
      assert.deepEqual(says('INTERCEPT_CR_READ')?.slice(0, 3), ['READ_CR0', 'READ_CR1', 'READ_CR4']);
      assert.equal(says('DR6'), undefined);
    });
    it(`${version}: a reserved bit of EFER is the cause of VMEXIT_INVALID`, () => {
      for (const invalid of ['0xffffffffffffffff', '0xffffffff']) {
        const { verdict, violated, outcome } = only(dumped(xen, '0x1d03', invalid));
        assert.deepEqual([verdict, outcome.kind, ids(violated)], ['violated', 'vmrun-invalid', ['svm.efer.reserved']]);
      }
    });
  }

  const text = dumped(XEN_VERSIONS['4.21'] ?? assert.fail(), '0x1d03', '0xffffffffffffffff');

  it('dumps of several vCPUs are told apart, as the key handler prints them', () => {
    const other = text.replace('efer = 0x1d03', 'efer = 0xd01');
    const all = findDumps(`(XEN) >>> Domain 1 <<<\n(XEN) \tVCPU 0\n${text}\n(XEN) \tVCPU 1\n${other}`);
    assert.deepEqual(
      all.map(({ format, values }) => [format, values.get('EFER')?.value]),
      [
        ['xen-vmcb', 0x1d03n],
        ['xen-vmcb', 0xd01n],
      ],
    );
  });
  it('without its first lines it is no dump of Intel, and says what is missing', () => {
    for (const from of [1, 3, 12, 16]) {
      const dumps = findDumps(text.split('\n').slice(from).join('\n'));
      assert.deepEqual(
        dumps.map(({ format }) => format),
        ['xen-vmcb'],
      );
      if (from > 2) assert.ok(dumps[0]?.damage.some(({ kind, what }) => kind === 'missing' && /control/.test(what)));
    }
  });
  // The order of svm_vmcb_dump: the controls are lines 3 to 11 here, and cpl with efer is the first of the state.
  it('what stands before the first long name is read where the head is lost', () => {
    const lines = text.split('\n');
    const value = (from: number, name: string): bigint | undefined =>
      findDumps(lines.slice(from).join('\n'))[0]?.values.get(name)?.value;
    assert.match(lines[11] ?? '', /cpl = /);
    assert.deepEqual([value(11, 'EFER'), value(12, 'CR0'), value(13, 'CR4')], [0x1d03n, 0x8005_003bn, 0xef0n]);
    assert.deepEqual([value(14, 'RSP'), value(15, 'RAX')], [0xffff_ffff_82e0_3e00n, 0x4000n]);
    const report = only(lines.slice(11).join('\n'));
    assert.deepEqual(broken(report), ['svm.efer.reserved']);
    assert.match(report.damage.map(({ what }) => what).join(), /all of the control section/);
    // Without Xen's mark two registers in a line are anybody's.
    assert.deepEqual(findDumps('CR0 = 0x0000000080050033 CR2 = 0x0000000000000000'), []);
  });
  it('a lost line is said to be missing, and what it held is not decided', () => {
    const { damage, undecidable } = only(text.replace(/.*cpl = .*\n/, ''));
    assert.ok(damage.some(({ kind, what }) => kind === 'missing' && /state: cpl/.test(what)));
    assert.ok(undecidable.some(({ id }) => id === 'svm.efer.reserved'));
  });
});

// xen/arch/x86/hvm/svm/svmdebug.c, svm_vmcb_isvalid: "%pv[%s]: " in front, and "%s: " before 4.11.
describe('Xen, a VMCB that it refuses before VMRUN', () => {
  const SAID: readonly (readonly [line: string, check: string, value: bigint | null])[] = [
    ['d1v0[nsvm_vmcb_prepare4vmrun]: EFER: SVME bit not set (0x500)', 'svm.efer.svme', 0x500n],
    ['nsvm_vmcb_prepare4vmrun: CR0: CD bit is zero and NW bit set (0xa0000031)', 'svm.cr0.nw_needs_cd', 0xa000_0031n],
    ['d1v0[f]: CR0: bits [63:32] are not zero (0x180000031)', 'svm.cr0.high', 0x1_8000_0031n],
    ['d1v0[f]: CR3: MBZ bits are set (0x80000000000000)', 'svm.cr3.reserved', 0x80_0000_0000_0000n],
    ['d1v0[f]: CR4: invalid bits are set (0x2000, valid: 0x7ff)', 'svm.cr4.supported', 0x2000n],
    ['d1v0[f]: CR4: invalid value 0x2000 (valid 0x7ff, rejected 0x2000)', 'svm.cr4.supported', 0x2000n],
    ['d1v0[f]: DR7: bits [63:32] are not zero (0x100000400)', 'svm.dr7.high', 0x1_0000_0400n],
    ['d1v0[f]: EFER: unknown bits are not zero (0x1d03)', 'svm.efer.reserved', 0x1d03n],
    ['d1v0[f]: EFER: NXE without feature (1d00)', 'svm.efer.supported', 0x1d00n],
    ['f: EFER_LME and CR0.PG are both set and CR4.PAE is zero.', 'svm.long_mode.pae', null],
    ['d1v0[f]: EFER_LME, CR0.PG, CR4.PAE, CS.L and CS.D are all non-zero', 'svm.cs.l_and_d', null],
    ['d1v0[f]: GENERAL2_INTERCEPT: VMRUN intercept bit is clear (0x6f7e)', 'svm.vmrun_intercept', 0x6f7en],
    // xen/arch/x86/hvm/hvm.c, hvm_efer_valid
    ['d1v0[f]: EFER: LME/LMA without feature (1d01)', 'svm.efer.supported', 0x1d01n],
    ['d1v0[f]: EFER: SVME without nested virt (1d01)', 'svm.efer.supported', 0x1d01n],
    ['d1v0[f]: EFER: LMSLE without support (3d01)', 'svm.efer.supported', 0x3d01n],
    ['d1v0[f]: EFER: LMA/LME/CR0.PG inconsistency (1401)', 'xen.efer.lma', 0x1401n],
    ['d1v0[f]: eventinj: MBZ bits are set (0x80001b0d)', 'xen.injection.reserved', 0x8000_1b0dn],
    ['f: nested paging enabled but host cr3 is 0', 'xen.nested_cr3.zero', null],
    // (cr3 & 7), and (cr3 & 0xfe0) in long mode
    ['d1v0[f]: CR3: MBZ bits are set (0x1007)', 'xen.cr3.low', 0x1007n],
  ];
  for (const [line, check, value] of SAID) {
    it(`${check}: ${line}`, () => {
      const { format, isa, verdict, violated, damage, next } = only(`(XEN) ${line}`);
      assert.deepEqual([format, isa, verdict, ids(violated), damage], ['xen-check', 'svm', 'violated', [check], []]);
      assert.deepEqual(
        violated.flatMap(({ values }) => values.map((one) => one.value)),
        value === null ? [] : [value],
      );
      assert.ok(next.every((one) => !one.includes('kvm_amd')));
    });
  }

  it('several rules that one VMCB breaks are told of one VMCB, those of another of another', () => {
    const svme = '(XEN) d1v0[f]: EFER: SVME bit not set (0x500)';
    const nw = '(XEN) d1v0[f]: CR0: CD bit is zero and NW bit set (0xa0000031)';
    assert.deepEqual(ids(only(`${svme}\n${nw}`).violated), ['svm.cr0.nw_needs_cd', 'svm.efer.svme']);
    const other = nw
      .replace('0xa0000031', '0x1a0000031')
      .replace('CD bit is zero and NW bit set', 'bits [63:32] are not zero');
    for (const text of [`${svme}\n${svme}`, `${nw}\n${other}`, `${svme}${'\n'.repeat(20)}${nw}`])
      assert.equal(findDumps(text).length, 2, text);
    // Two lines are about the same rule: CR4 of old versions, EFER where it has unknown bits.
    for (const [check, lines] of [
      ['svm.cr4.supported', ['CR4: bits [63:19] are not zero (0x80a20)', 'CR4: bits [17:11] are not zero (0x80a20)']],
      ['svm.efer.reserved', ['EFER: unknown bits are not zero (0x21d03)', 'EFER: Unknown bits set (21d03)']],
    ] as const)
      assert.deepEqual(ids(only(lines.map((line) => `(XEN) d1v0[f]: ${line}`).join('\n')).violated), [check]);
  });
  it('each vCPU has its own', () => {
    const said = ['v0[f]: EFER: SVME bit not set (0x500)', 'v1[f]: DR7: bits [63:32] are not zero (0x100000400)'];
    const text = [...said, 'v0[f]: CR0: CD bit is zero and NW bit set (0xa0000031)'].map((line) => `(XEN) d1${line}`);
    assert.deepEqual(
      explained(text.join('\n')).dumps.map(({ violated }) => ids(violated)),
      [['svm.cr0.nw_needs_cd', 'svm.efer.svme'], ['svm.dr7.high']],
    );
  });
  it('a line of a program that prints it is none', () => {
    for (const line of [
      'PRINTF("EFER_LME and CR0.PG are both set and CR4.PAE is zero\\n");',
      "['svm.long_mode.pae', 'EFER_LME and CR0.PG are both set and CR4.PAE is zero'],",
      '+ printk("EFER_LME, CR0.PG, CR4.PAE, CS.L and CS.D are all non-zero.\\n");',
    ])
      assert.deepEqual(findDumps(line), [], line);
  });
});
