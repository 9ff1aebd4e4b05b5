/** Every check of VMRUN: a state that holds all, and for each check a change that breaks exactly that one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SvmCheckState } from '../../../engine/svm/checks/check.js';
import { SVM_CHECKS } from '../../../engine/svm/checks/table.js';
import { V, VMCB_FIELDS, type VmcbFieldName } from '../../../engine/svm/fields.js';

type Values = { readonly [name in VmcbFieldName]?: bigint };

/** A 64-bit guest as KVM runs one: long mode, nested paging, VMRUN intercepted. */
const GOOD: Values = {
  INTERCEPT_WORD3: 0xbdcc_8027n,
  INTERCEPT_WORD4: 0x6e7fn,
  IOPM_BASE_PA: 0x16e2_0000n,
  MSRPM_BASE_PA: 0x3705_0000n,
  ASID: 1n,
  NESTED_CTL: 1n,
  NESTED_CR3: 0x173a_d000n,
  CS_ATTRIB: 0xa9bn,
  EFER: 0x1d00n,
  CR0: 0x8001_0033n,
  CR3: 0x1000n,
  CR4: 0x4_0260n,
  DR6: 0xffff_0ff0n,
  DR7: 0x400n,
  G_PAT: 0x0007_0406_0007_0406n,
};

interface Processor {
  readonly longMode?: boolean;
  readonly hostPaging?: boolean;
}

const BY_OFFSET = new Map(VMCB_FIELDS.map((field) => [field.offset, field.name]));

function violated(values: Values, { longMode = true, hostPaging = true }: Processor = {}): string[] {
  const value = (field: number): bigint => {
    const name = BY_OFFSET.get(field);
    return (name === undefined ? undefined : values[name]) ?? 0n;
  };
  const state: SvmCheckState = {
    low: (field) => Number(value(field) & 0xffff_ffffn),
    high: (field) => Number(value(field) >> 32n),
    physicalBits: 48,
    longMode,
    cr4Supported: 0x0037_07ff,
    eferSupported: 0x7d01,
    hostPaging,
  };
  return SVM_CHECKS.filter((check) => !check.holds(state)).map(({ id }) => id);
}

/** By check: what to change in GOOD. */
const BREAKS: { readonly [id: string]: readonly [Values, Processor?] } = {
  'svm.efer.svme': [{ EFER: 0xd00n }],
  'svm.cr0.nw_needs_cd': [{ CR0: 0xa001_0033n }],
  'svm.cr0.high': [{ CR0: 0x1_8001_0033n }],
  'svm.cr3.reserved': [{ CR3: 1n << 48n }],
  'svm.cr4.reserved': [{ CR4: 0x4_0260n | (1n << 13n) }],
  'svm.cr4.supported': [{ CR4: 0x4_0260n | (1n << 12n) }],
  'svm.dr6.high': [{ DR6: 0x1_ffff_0ff0n }],
  'svm.dr7.high': [{ DR7: 0x1_0000_0400n }],
  'svm.efer.reserved': [{ EFER: 0x1d02n }],
  'svm.efer.supported': [{ EFER: 0x1d00n | (1n << 20n) }],
  'svm.efer.long_mode': [{}, { longMode: false }],
  'svm.long_mode.pae': [{ CR4: 0x4_0240n }],
  'svm.long_mode.protection': [{ CR0: 0x8001_0032n }],
  'svm.cs.l_and_d': [{ CS_ATTRIB: 0xe9bn }],
  'svm.vmrun_intercept': [{ INTERCEPT_WORD4: 0x6e7en }],
  'svm.iopm': [{ IOPM_BASE_PA: (1n << 48n) - 0x2000n }],
  'svm.msrpm': [{ MSRPM_BASE_PA: (1n << 48n) - 0x1000n }],
  'svm.asid': [{ ASID: 0n }],
  'svm.s_cet.reserved': [{ CR4: 0x84_0260n, S_CET: 0x40n }],
  'svm.cr4.cet_needs_wp': [{ CR4: 0x84_0260n, CR0: 0x8000_0033n }],
  'svm.injection.type': [{ EVENT_INJ: 0x8000_0120n }],
  'svm.injection.vector': [{ EVENT_INJ: 0x8000_0302n }],
  'svm.injection.reserved_vector': [{ EVENT_INJ: 0x8000_030fn }],
  'svm.nested_paging.host': [{}, { hostPaging: false }],
  'svm.nested_cr3.reserved': [{ NESTED_CR3: 1n << 48n }],
  'svm.g_pat': [{ G_PAT: 0x0007_0406_0007_0402n }],
  'svm.nmi_virtualization': [{ INT_CTL: 1n << 26n, INTERCEPT_WORD3: 0xbdcc_8025n }],
  'svm.avic.backing_page': [{ INT_CTL: 1n << 31n, AVIC_BACKING_PAGE: 1n << 50n }],
  'svm.avic.logical_table': [{ INT_CTL: 1n << 31n, AVIC_LOGICAL_ID: 1n << 50n }],
  'svm.avic.physical_table': [{ INT_CTL: 1n << 31n, AVIC_PHYSICAL_ID: 1n << 50n }],
  'svm.sev.nested_paging': [{ NESTED_CTL: 2n }],
  'svm.sev_es.sev': [{ NESTED_CTL: 5n, VIRT_EXT: 1n }],
  'svm.sev_es.lbr': [{ NESTED_CTL: 7n }],
  'svm.tlb_control': [{ TLB_CONTROL: 2n }],
};
/** CR4.CET is beyond what the processor of these tests has. */
const ALSO: { readonly [id: string]: readonly string[] } = {
  'svm.s_cet.reserved': ['svm.cr4.supported'],
  'svm.cr4.cet_needs_wp': ['svm.cr4.supported'],
};

describe('VMRUN', () => {
  it('a state as KVM runs it breaks nothing', () => assert.deepEqual(violated(GOOD), []));

  for (const { id } of SVM_CHECKS) {
    it(`${id} is broken by its own change and by no other`, () => {
      const [change, processor] = BREAKS[id] ?? [];
      assert.ok(change, `no change for ${id}`);
      assert.deepEqual(violated({ ...GOOD, ...change }, processor).sort(), [id, ...(ALSO[id] ?? [])].sort());
    });
  }

  it('an event that is not valid is not looked at', () =>
    assert.deepEqual(violated({ ...GOOD, EVENT_INJ: 0x0000_0302n }), []));
  it('outside long mode, L and D of CS are free', () =>
    assert.deepEqual(violated({ ...GOOD, EFER: 0x1000n, CS_ATTRIB: 0xe9bn }), []));
  it('a permission map that ends with physical memory fits', () =>
    assert.deepEqual(
      violated({ ...GOOD, IOPM_BASE_PA: (1n << 48n) - 0x3000n, MSRPM_BASE_PA: (1n << 48n) - 0x2000n }),
      [],
    ));
  it('a permission map across 4 GiB fits', () =>
    assert.deepEqual(violated({ ...GOOD, IOPM_BASE_PA: 0xffff_f000n, MSRPM_BASE_PA: 0xffff_f000n }), []));

  it('every check declares what it reads', () => {
    for (const check of SVM_CHECKS) {
      const reads = new Set<number>();
      const look = (field: number): number => {
        reads.add(field);
        return 0xffff_ffff;
      };
      for (const answer of [look, (field: number) => look(field) & 0]) {
        const processor = { physicalBits: 48, longMode: true, cr4Supported: 0, eferSupported: 0, hostPaging: true };
        check.holds({ low: answer, high: answer, ...processor });
      }
      for (const field of reads) assert.ok(check.reads.includes(field), `${check.id} reads ${BY_OFFSET.get(field)}`);
    }
  });
  it('ids are unique, and fields do not overlap', () => {
    assert.equal(new Set(SVM_CHECKS.map(({ id }) => id)).size, SVM_CHECKS.length);
    const sorted = [...VMCB_FIELDS].sort((a, b) => a.offset - b.offset);
    sorted.forEach((field, i) => {
      const next = sorted[i + 1];
      assert.ok(next === undefined || field.offset + field.bytes <= next.offset, field.name);
    });
    assert.equal(V.EFER, 0x4d0);
    assert.equal(V.CR0, 0x558);
  });
});
