/** VMCB dumps of encrypted guests, in the form in which KVM prints them (arch/x86/kvm/svm/svm.c, dump_vmcb). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { fixture, ids, only } from './helpers.js';

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
  it('a mask that allows it, or that is not enabled, is no cause', () => {
    for (const mask of ['8000000000000081', '0000000000000001'])
      assert.deepEqual(ids(only(snp(mask, '0000000000000081')).violated), []);
  });
});
