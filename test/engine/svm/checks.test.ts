/** Every check of VMRUN: a state that holds all, and for each check a change that breaks exactly that one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SvmCheckState, SvmFact } from '../../../engine/svm/checks/check.js';
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

/** What the processor, its host and its memory are like, where it is not as GOOD wants it. */
interface Processor {
  readonly not?: readonly SvmFact[];
  readonly is?: readonly SvmFact[];
  /** By address: words of memory. */
  readonly memory?: { readonly [address: number]: number };
}
/** Holds for a host that runs encrypted guests. */
const USUAL: ReadonlySet<SvmFact> = new Set<SvmFact>([
  ...(['longMode', 'hostPaging', 'host64', 'needsHost64', 'memoryEncryption', 'smmLock', 'snp'] as const),
  ...(['ibsOff', 'siblingIdle', 'guestCountersOff', 'vmsaOwned', 'avicPageOwned', 'vmsaIntact'] as const),
]);

const BY_OFFSET = new Map(VMCB_FIELDS.map((field) => [field.offset, field.name]));

function violated(values: Values, { not = [], is = [], memory = {} }: Processor = {}): string[] {
  const value = (field: number): bigint => {
    const name = BY_OFFSET.get(field);
    return (name === undefined ? undefined : values[name]) ?? 0n;
  };
  const state: SvmCheckState = {
    low: (field) => Number(value(field) & 0xffff_ffffn),
    high: (field) => Number(value(field) >> 32n),
    physicalBits: 48,
    cr4Supported: 0x00b7_07ff,
    eferSupported: 0x7d01,
    encryptedGuests: 509,
    firstSevAsid: 100,
    has: (fact) => (USUAL.has(fact) && !not.includes(fact)) || is.includes(fact),
    memory: (low, high) => memory[high * 2 ** 32 + low] ?? 0,
  };
  return SVM_CHECKS.filter((check) => !check.holds(state)).map(({ id }) => id);
}

const AVIC = 1n << 31n;
/** An SEV-ES guest; one in legacy PAE paging without nested paging. */
const ES: Values = { NESTED_CTL: 7n, VIRT_EXT: 1n };
/** PMC virtualization and secure AVIC are "off by default", that is want the mask of allowed features. */
const OPT_IN: Values = { ALLOWED_SEV_FEATURES: (1n << 63n) | 0x21_ffffn };
const PAE: Values = { NESTED_CTL: 0n, EFER: 0x1000n };

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
  'svm.efer.long_mode': [{}, { not: ['longMode'] }],
  'svm.long_mode.pae': [{ CR4: 0x4_0240n }],
  'svm.long_mode.protection': [{ CR0: 0x8001_0032n }],
  'svm.cs.l_and_d': [{ CS_ATTRIB: 0xe9bn }],
  'svm.vmrun_intercept': [{ INTERCEPT_WORD4: 0x6e7en }],
  'svm.iopm': [{ IOPM_BASE_PA: (1n << 48n) - 0x2000n }],
  'svm.msrpm': [{ MSRPM_BASE_PA: (1n << 48n) - 0x1000n }],
  'svm.asid': [{ ASID: 0n }],
  'svm.s_cet.reserved': [{ S_CET: 0x40n }],
  'svm.cr4.cet_needs_wp': [{ CR4: 0x84_0260n, CR0: 0x8000_0033n }],
  'svm.cr4.cet_in_v86': [{ CR4: 0x84_0260n, RFLAGS: 0x2_0002n }, { is: ['userShadowStack'] }],
  'svm.pdpe0.reserved': [PAE, { memory: { 4096: 0x3 } }],
  'svm.pdpe1.reserved': [PAE, { memory: { 4104: 0x21 } }],
  'svm.pdpe2.reserved': [PAE, { memory: { 4112: 0x101 } }],
  'svm.pdpe3.reserved': [PAE, { memory: { 4120: 1, 4124: 0x1_0000 } }],
  'svm.injection.type': [{ EVENT_INJ: 0x8000_0120n }],
  'svm.injection.vector': [{ EVENT_INJ: 0x8000_0302n }],
  'svm.injection.reserved_vector': [{ EVENT_INJ: 0x8000_030fn }],
  'svm.injection.bound': [{ CS_ATTRIB: 0xa9bn, EVENT_INJ: 0x8000_0305n }],
  'svm.nested_paging.host': [{}, { not: ['hostPaging'] }],
  'svm.nested_cr3.reserved': [{ NESTED_CR3: 1n << 48n }],
  'svm.g_pat': [{ G_PAT: 0x0007_0406_0007_0402n }],
  'svm.nmi_virtualization': [{ INT_CTL: 1n << 26n, INTERCEPT_WORD3: 0xbdcc_8025n }],
  'svm.avic.backing_page': [{ INT_CTL: 1n << 31n, AVIC_BACKING_PAGE: 1n << 50n }],
  'svm.avic.logical_table': [{ INT_CTL: 1n << 31n, AVIC_LOGICAL_ID: 1n << 50n }],
  'svm.avic.physical_table': [{ INT_CTL: 1n << 31n, AVIC_PHYSICAL_ID: 1n << 50n }],
  'svm.avic.max_index': [{ INT_CTL: AVIC, AVIC_PHYSICAL_ID: 0x5100n }],
  'svm.avic.nested_paging': [{ INT_CTL: AVIC, NESTED_CTL: 0n }],
  'svm.x2avic.needs_avic': [{ INT_CTL: 1n << 30n }],
  'svm.x2avic.max_index': [{ INT_CTL: AVIC | (1n << 30n), AVIC_PHYSICAL_ID: 0x5200n }],
  'svm.sev.nested_paging': [{ NESTED_CTL: 2n, ASID: 100n }],
  'svm.sev.smm_lock': [{ NESTED_CTL: 3n, ASID: 100n }, { not: ['smmLock'] }],
  'svm.sev.asid': [{ NESTED_CTL: 3n, ASID: 510n }],
  'svm.sev.host64': [{ NESTED_CTL: 3n, ASID: 100n }, { not: ['host64'] }],
  'svm.sev_es.sev': [{ NESTED_CTL: 5n, VIRT_EXT: 1n }],
  'svm.sev_es.lbr': [{ NESTED_CTL: 7n }],
  'svm.sev_es.asid': [{ NESTED_CTL: 3n, ASID: 99n }],
  'svm.sev_es.vmsa': [{ ...ES, VMSA_PA: 1n << 48n }],
  'svm.sev_es.checksum': [ES, { not: ['vmsaIntact'] }],
  'svm.sev_es.injection': [{ ...ES, EVENT_INJ: 0x8000_0480n }],
  'svm.u_cet.reserved': [{ ...ES, U_CET: 0x200n }],
  'svm.snp.shadow_stack': [{ ...ES, NESTED_CTL: 0x17n, SEV_FEATURES: 0x101n }],
  'svm.snp.enabled': [{ ...ES, SEV_FEATURES: 1n }, { not: ['snp'] }],
  'svm.snp.vmsa_page': [ES, { not: ['vmsaOwned'] }],
  'svm.snp.avic_page': [{ INT_CTL: AVIC }, { not: ['avicPageOwned'] }],
  'svm.snp.injection_modes': [{ ...ES, SEV_FEATURES: 0x19n }],
  'svm.snp.restricted_injection': [{ ...ES, SEV_FEATURES: 9n, EVENT_INJ: 0x8000_0202n }],
  'svm.snp.hv_injection': [{ EVENT_INJ: 0x8000_031cn }],
  'svm.snp.injection_avic': [{ ...ES, SEV_FEATURES: 0x11n, INT_CTL: AVIC }],
  'svm.vmsa.busy': [{ ...ES, SEV_FEATURES: 0x11n, VINTR_CTRL: 1n << 63n }],
  'svm.snp.host_ibs': [{ ...ES, SEV_FEATURES: 0x41n }, { not: ['ibsOff'] }],
  'svm.ibs.host_ibs': [{ ...ES, SEV_FEATURES: 0x1001n }, { not: ['ibsOff'] }],
  'svm.snp.smt_idle': [{ ...ES, SEV_FEATURES: 0x8001n }, { not: ['siblingIdle'] }],
  'svm.sev_features.allowed': [{ ...ES, SEV_FEATURES: 0x201n, ALLOWED_SEV_FEATURES: (1n << 63n) | 1n }],
  'svm.sev_features.reserved': [{ ...ES, SEV_FEATURES: (1n << 61n) | 1n, ALLOWED_SEV_FEATURES: (1n << 63n) | 1n }],
  'svm.sev_features.opt_in': [{ ...ES, SEV_FEATURES: 0x801n }],
  'svm.pmc.vmcb': [{ ...ES, SEV_FEATURES: 0x801n, ...OPT_IN }, { not: ['guestCountersOff'] }],
  'svm.secure_avic.alone': [{ ...ES, SEV_FEATURES: 0x1_0001n, ...OPT_IN, INT_CTL: AVIC }],
  'svm.secure_avic.backing_page': [
    { ...ES, SEV_FEATURES: 0x1_0001n, ...OPT_IN, SECURE_AVIC_CONTROL: (1n << 48n) | 1n },
  ],
  'svm.tlb_control': [{ TLB_CONTROL: 2n }],
};
describe('VMRUN', () => {
  it('a state as KVM runs it breaks nothing', () => assert.deepEqual(violated(GOOD), []));

  for (const { id } of SVM_CHECKS) {
    it(`${id} is broken by its own change and by no other`, () => {
      const [change, processor] = BREAKS[id] ?? [];
      assert.ok(change, `no change for ${id}`);
      assert.deepEqual(violated({ ...GOOD, ...change }, processor).sort(), [id]);
    });
  }

  it('an event that is not valid is not looked at', () =>
    assert.deepEqual(violated({ ...GOOD, EVENT_INJ: 0x0000_0302n }), []));
  it('"non-reserved bits" of SEV_FEATURES are held against the mask of allowed features; others may be', () => {
    for (const bit of [17n, 20n, 22n, 31n, 32n, 61n, 62n, 63n]) {
      const found = violated({ ...GOOD, ...ES, ...OPT_IN, SEV_FEATURES: (1n << bit) | 1n });
      assert.deepEqual(found, bit > 61n ? [] : ['svm.sev_features.reserved'], String(bit));
    }
    assert.deepEqual(
      violated({ ...GOOD, ...ES, SEV_FEATURES: (1n << 21n) | 1n, ALLOWED_SEV_FEATURES: (1n << 63n) | 1n }),
      ['svm.sev_features.allowed'],
    );
  });
  it('with alternate injection or secure AVIC, events and NMIs of the VMCB are ignored', () => {
    const vmcb = { EVENT_INJ: 0x8000_0302n, INT_CTL: 1n << 26n, INTERCEPT_WORD3: 0xbdcc_8025n };
    for (const SEV_FEATURES of [0x11n, 0x1_0001n]) {
      assert.deepEqual(violated({ ...GOOD, ...ES, ...OPT_IN, SEV_FEATURES, ...vmcb }), [], String(SEV_FEATURES));
    }
    assert.deepEqual(violated({ ...GOOD, ...ES, SEV_FEATURES: 1n, ...vmcb }), [
      'svm.injection.vector',
      'svm.nmi_virtualization',
    ]);
  });
  it('BUSY of the VMSA counts for any SEV-ES guest where the processor has secure AVIC', () => {
    const busy = { ...GOOD, ...ES, SEV_FEATURES: 1n, VINTR_CTRL: 1n << 63n };
    assert.deepEqual(violated(busy, { is: ['secureAvic'] }), ['svm.vmsa.busy']);
    assert.deepEqual(violated(busy, { not: ['secureAvic'] }), []);
  });
  it('U_CET of an SEV-ES guest is the VMSA’s', () => {
    const v86 = { ...GOOD, ...ES, CR4: 0x84_0260n, RFLAGS: 0x2_0002n };
    assert.deepEqual(violated({ ...v86, U_CET: 1n }), ['svm.cr4.cet_in_v86']);
    assert.deepEqual(violated(v86, { is: ['userShadowStack'] }), []);
  });
  it('secure AVIC wants the mask of allowed features too, even where it forbids other features', () => {
    assert.deepEqual(violated({ ...GOOD, ...ES, SEV_FEATURES: 0x1_0001n }), ['svm.sev_features.opt_in']);
    assert.deepEqual(violated({ ...GOOD, ...ES, SEV_FEATURES: 0x1_0001n, ...OPT_IN }), []);
  });
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
      const further = new Set<SvmFact | 'memory'>();
      const look = (field: number): number => {
        reads.add(field);
        return 0xffff_ffff;
      };
      for (const answer of [look, (field: number) => look(field) & 0]) {
        const numbers = { physicalBits: 48, cr4Supported: 0, eferSupported: 0, encryptedGuests: 0, firstSevAsid: 0 };
        const others = {
          has: (fact: SvmFact) => further.add(fact) !== undefined,
          memory: () => (further.add('memory') ? 1 : 0),
        };
        check.holds({ low: answer, high: answer, ...numbers, ...others });
      }
      for (const field of [...reads, ...further]) assert.ok(check.reads.includes(field), `${check.id} reads ${field}`);
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
