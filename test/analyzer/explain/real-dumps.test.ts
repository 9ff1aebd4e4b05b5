/** Real dumps get the cause that the people who debugged or made them know, and the healthy ones none. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FAULTS } from '../../engine/vmx/dump-faults.js';
import { broken, explained, fixture, ids, only, SKIP, shared } from './helpers.js';

describe('dumps of entries that hardware refused', { skip: SKIP }, () => {
  const folder = shared(join('kvm', 'dumps-vmx')) ?? '';
  for (const file of SKIP ? [] : readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    const name = file.replace('.txt', '');
    it(name, () => {
      const report = only(readFileSync(join(folder, file), 'utf8'));
      const { violated, suspects, outcome } = report;
      if (name === 'inject_gp_noerr') {
        // VM-instruction error 7; a processor with IA32_VMX_BASIC bit 56 would have taken it.
        assert.deepEqual([ids(violated), ids(suspects)], [[], FAULTS[name]]);
        assert.equal(outcome.kind, 'vmfail');
        return;
      }
      assert.deepEqual(broken(report), FAULTS[name]);
      // A base of 57 bits is one that some processors take.
      assert.ok(suspects.every(({ missing }) => missing.every(({ name: what }) => what === 'linear-address width')));
      assert.equal(outcome.kind, 'guest-state');
    });
  }

  it('cs_l1_d1 and efer_bit1 of SVM', () => {
    const svm = shared(join('kvm', 'dumps-svm')) ?? '';
    const cause = (name: string): string[] => ids(only(readFileSync(join(svm, name), 'utf8')).violated);
    assert.deepEqual(cause('cs_l1_d1.txt'), ['svm.cs.l_and_d']);
    assert.deepEqual(cause('efer_bit1.txt'), ['svm.efer.reserved']);
  });
});

/** What is known of each public report: violated or suspected checks, and the verdict, dump by dump. */
const REPORTED: { readonly [file: string]: readonly (readonly [verdict: string, checks: readonly string[]])[] } = {
  A03_kvm_dosemu2_ds_es_not_accessed: [['violated', ['guest.ds.accessed', 'guest.es.accessed']]],
  A04_kvm_intel_cet_stale_ssp: [['optional', ['guest.ssp.high']]],
  A05_kvm_qiancai_hwerr0_healthy_state: [
    ['valid', []],
    ['valid', []],
  ],
  A09_xen_pvh_debugkey_v_healthy: [['valid', []]],
  A10_kvm_grsec_nested_triplefault_healthy: [['valid', []]],
  A11_kvm_syzbot_2017_cr4: [['suspect', ['guest.cr4.fixed']]],
  A12_amd_kvm_bug213781_vmcb_npf: [
    ['valid', []],
    ['valid', []],
  ],
  A14_kvm_martins3_ept_violation_healthy: [['valid', []]],
  A16_kvm_custom_kvm_test_spliced_80000021: [['damaged', []]],
  P02_kvm_svsm_1081_truncated: [['undecidable', []]],
  P03_kvm_dosemu2_1274_vm86_truncated: [['undecidable', []]],
  P05_xen_drakvuf_465_tail: [['undecidable', []]],
  P06_qemu_regs_shadow_me_mask_pdpte: [['undecidable', []]],
  P07_qemu_regs_nested_reset: [['undecidable', []]],
  P08_noirvisor_24_code7: [['undecidable', []]],
  P09_fragments_with_known_cause: [
    ['suspect', ['guest.dr7.high']],
    ['undecidable', []],
    ['undecidable', []],
    ['undecidable', []],
    ['undecidable', []],
    ['undecidable', []],
    ['violated', ['guest.interruptibility.sti_needs_if']],
    ['undecidable', []],
    ['undecidable', []],
  ],
};

describe('public reports', { skip: SKIP }, () => {
  const folder = shared('dumps') ?? '';
  const read = (name: string): string => readFileSync(join(folder, `${name}.txt`), 'utf8');

  for (const [name, expected] of Object.entries(REPORTED)) {
    it(name, () => {
      const { dumps } = explained(read(name));
      assert.deepEqual(
        dumps.map(({ verdict, violated, suspects }) => [verdict, ids([...violated, ...suspects])]),
        expected,
      );
    });
  }

  it('names SMXE in the dump of 2017', () => {
    const [report] = explained(read('A11_kvm_syzbot_2017_cr4')).dumps;
    assert.match(report?.suspects[0]?.detail.join() ?? '', /SMXE/);
    assert.doesNotMatch(report?.suspects[0]?.detail.join() ?? '', /TSD|PCE|PAE/);
  });

  describe('a rule that not every processor applies is named, whatever else is lost or may be wrong', () => {
    const lines = SKIP ? [] : read('A04_kvm_intel_cet_stale_ssp').trimEnd().split('\n');
    const SAYS_NONE = /All that can be decided holds|breaks no rule|[Nn]o check is violated/;
    /** Verdicts of the damaged dumps, each of which breaks the rule. */
    function verdicts(texts: readonly (readonly string[])[]): string[] {
      const reports = texts.map((text) => only(text.join('\n')));
      const found = reports.filter(
        ({ verdict, violated }) => verdict !== 'violated' && ids(violated).includes('guest.ssp.high'),
      );
      for (const { sentence } of found) {
        assert.match(sentence, /"bits 63:32 of guest SSP are 0 .*which the manual leaves to the processor/);
        assert.doesNotMatch(sentence, SAYS_NONE);
      }
      return [...new Set(found.map(({ verdict }) => verdict))].sort();
    }
    it('without a line of the controls, which makes another check suspect', () => {
      const report = only(lines.filter((line) => !line.includes('PinBased=')).join('\n'));
      assert.deepEqual([report.verdict, ids(report.suspects)], ['suspect', ['guest.cr0.fixed']]);
      assert.match(
        report.sentence,
        /What else can be decided holds; .*SSP is 0x7fc1727fdfd0\).* and breaks .*guest CR0/,
      );
    });
    it('without any one of its lines', () => {
      assert.deepEqual(verdicts(lines.map((_, i) => lines.toSpliced(i, 1))), ['optional', 'suspect']);
    });
    it('with any one of its lines cut', () => {
      const cut = lines.map((line, i) => lines.with(i, line.slice(0, -1)));
      assert.ok(verdicts(cut).includes('damaged'));
    });
    it('with lines of another moment from any one of its lines on', () => {
      const later = (line: string): string => line.replace('[341485.', '[341999.');
      const spliced = lines.slice(1).map((_, i) => [...lines.slice(0, i + 1), ...lines.slice(i + 1).map(later)]);
      // The host's last three have the words of the guest's: of another moment, they are not known to be of this dump.
      const either = lines.findLastIndex((line) => line.includes('S_CET = ')) - 1;
      assert.deepEqual(verdicts(spliced.slice(0, either)), ['damaged']);
      assert.deepEqual(verdicts(spliced.slice(either)), ['optional']);
    });
  });

  it('names the PDPTE check among the undecidable where only QEMU told of the failure', () => {
    const [report] = explained(read('P06_qemu_regs_shadow_me_mask_pdpte')).dumps;
    const open = ids(report?.undecidable ?? []);
    for (const i of [0, 1, 2, 3]) assert.ok(open.includes(`guest.pdpte${i}.memory`));
  });

  it('reads fragments by what their qualification says', () => {
    const sentences = explained(read('P09_fragments_with_known_cause')).dumps.map(({ sentence }) => sentence);
    assert.match(sentences[1] ?? '', /entry 4 .*680H.*0x1fff800000102e60/);
    assert.match(sentences[2] ?? '', /PDPTE/);
    assert.match(sentences[3] ?? '', /PDPTE/);
    assert.match(sentences[7] ?? '', /VMEXIT_INVALID/);
    assert.match(sentences[8] ?? '', /NMI was injected while blocking by STI/);
  });

  it('says which EFER is printed and not loaded', () => {
    const [xen] = explained(read('A09_xen_pvh_debugkey_v_healthy')).dumps;
    assert.ok(xen?.traps.some((trap) => /guest IA32_EFER is printed as 0x0 .* does not look at it/.test(trap)));
    const [kvm] = explained(read('A10_kvm_grsec_nested_triplefault_healthy')).dumps;
    assert.ok(kvm?.traps.some((trap) => /\(effective\)/.test(trap)));
  });
});

describe('the fixtures that come along', () => {
  it('two faults of guest state, with the qualification that each permits', () => {
    const report = only(fixture('vmx-two-faults'));
    const { violated, suspects, outcome, undecidable } = report;
    assert.deepEqual(broken(report), ['guest.gdtr.base', 'guest.tr.s']);
    assert.equal(outcome.reason, 0x8000_0021n);
    for (const { permits } of [...violated, ...suspects]) assert.match(permits, /0x80000021\), qualification 0$/);
    // Only what Linux does not print is open; the processor got past controls and host state.
    assert.ok(undecidable.every(({ id }) => id.startsWith('guest.link.')));
  });

  it('a PDPTE, with qualification 2', () => {
    const { violated, outcome } = only(fixture('vmx-pdpte'));
    assert.deepEqual(ids(violated), ['guest.pdpte2.reserved']);
    assert.equal(outcome.qualification, 2n);
    assert.match(violated[0]?.permits ?? '', /qualification 2$/);
  });

  it('an injected #GP without error code, and a stale exit reason', () => {
    const { suspects, traps } = only(fixture('vmx-injection'));
    assert.deepEqual(ids(suspects), ['controls.injection.error_code']);
    assert.deepEqual(suspects[0]?.missing, [{ kind: 'msr', name: 'IA32_VMX_BASIC' }]);
    assert.ok(traps.some((trap) => trap.startsWith('VMfail does not write the exit reason')));
  });

  it('CS.L with CS.D of a VMCB', () => {
    assert.deepEqual(ids(only(fixture('svm-cs')).violated), ['svm.cs.l_and_d']);
  });
});

describe('fixtures of which lines are lost', () => {
  const without = (name: string, lost: RegExp): string => {
    const lines = fixture(name).split('\n');
    assert.ok(lines.some((line) => lost.test(line)));
    return lines.filter((line) => !lost.test(line)).join('\n');
  };
  // SDM Vol. 3C, "Basic VM-Exit Information": 0 is the reason of an exception or NMI, and VMfail writes none.
  it('an exit reason of 0 is no exit where the interruption information is lost', () => {
    const lines = fixture('vmx-injection').trimEnd().split('\n');
    const exit = lines.findIndex((line) => line.includes('VMExit:'));
    for (const text of [without('vmx-injection', /VMExit:/), lines.slice(exit + 1).join('\n')]) {
      const { verdict, sentence, outcome, next } = only(text);
      assert.deepEqual([verdict, outcome.kind, outcome.failed], ['undecidable', 'unknown', null]);
      assert.match(sentence, /^The dump is not whole: no check is violated by what it says/);
      assert.ok(next.some((one) => one.startsWith('Lines of the dump are missing')));
    }
  });
  it('a state is not called valid of which a section is lost', () => {
    const healthy = fixture('vmx-pdpte').replace('reason=80000021', 'reason=00000030');
    const rest = healthy.slice(healthy.indexOf('*** Control State'));
    assert.deepEqual([only(rest).verdict, only(rest).outcome.kind], ['undecidable', 'exit']);
    assert.doesNotMatch(only(rest).sentence, /valid/);
  });
  it('what the lost line may say comes before a rule that only some processors break', () => {
    const { sentence, violated, undecidable } = only(without('svm-cs', /\bcs: /));
    assert.match(sentence, /exit code -1\)\. Lines are missing, and 1 check of what they say cannot be decided/);
    assert.deepEqual(violated, []);
    assert.ok(ids(undecidable).includes('svm.cs.l_and_d'));
    // The checks of the guest are none that a VMfail can mean.
    assert.doesNotMatch(only(without('vmx-injection', /\bCS: +sel/)).sentence, /Lines are missing/);
  });
  it('a feature that the processor may lack is suspected last', () => {
    const { suspects } = only(without('vmx-two-faults', /CR4=0000|\bTR: +sel/));
    assert.deepEqual(
      suspects.map(({ id }) => id),
      ['guest.gdtr.base', 'guest.cr4.fixed'],
    );
  });
  it('what is broken by the dump alone comes before what is by an assumption about the processor', () => {
    const text = fixture('vmx-two-faults').replace(/(CR4: actual=0x0{8})0/, '$18');
    const { violated } = only(text);
    assert.deepEqual(
      violated.map(({ id, assumes }) => [id, assumes.length > 0]),
      [
        ['guest.tr.s', false],
        ['guest.cr4.fixed', true],
      ],
    );
  });
});
