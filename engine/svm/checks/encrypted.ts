/** Checks of VMRUN on encrypted guests: SEV, SEV-ES, SEV-SNP and what their VMSA asks for. */
import { V } from '../fields.js';
import { type SvmCheck, type SvmCheckState, type SvmRow, svmSection } from './check.js';
import { SVM_CITE } from './manual.js';
import * as t from './terms.js';

const LBR = 0;
const PMC = 3;
/** Reserved bits of U_CET: 9:6. */
const CET_RESERVED = 0x3c0;
const SUPERVISOR_SHADOW_STACK = 4;
const HYPERVISOR_EXCEPTION = 28;
const ERROR_CODE = 11;
const MASK_ENABLE = 63;
/** Bits 61:32, the upper part of what the mask is for. */
const MASKED_HIGH = 0x3fff_ffff;
const SECURE_AVIC_ENABLE = 0;
const BUSY = 63;
const IBS_ON = 'perf with IBS runs on the host';
const BREAKPOINT = 3;
const OVERFLOW = 4;

/** SEV counts only where memory encryption is on. */
const encrypts = (s: SvmCheckState): boolean => t.sev(s) && s.has('memoryEncryption');

const sevRows: readonly SvmRow[] = [
  [
    'svm.sev.nested_paging',
    'nested paging is on where SEV is on',
    [V.NESTED_CTL, 'memoryEncryption'],
    (s) => t.nested(s) || !encrypts(s),
  ],
  [
    'svm.sev.smm_lock',
    'HWCR.SmmLock is set where SEV is on',
    [V.NESTED_CTL, 'memoryEncryption', 'smmLock'],
    (s) => !encrypts(s) || s.has('smmLock'),
    'the firmware does not lock SMM',
  ],
  [
    'svm.sev.asid',
    'the ASID is at most the number of encrypted guests where SEV is on',
    [V.NESTED_CTL, V.ASID, 'memoryEncryption'],
    (s) => !encrypts(s) || s.low(V.ASID) <= s.encryptedGuests,
  ],
  [
    'svm.sev.host64',
    'the host runs in 64-bit mode where SEV is on and the processor wants that',
    [V.NESTED_CTL, 'memoryEncryption', 'host64', 'needsHost64'],
    (s) => !encrypts(s) || s.has('host64') || !s.has('needsHost64'),
  ],
];

const sevEsRows: readonly SvmRow[] = [
  ['svm.sev_es.sev', 'SEV is on where SEV-ES is on', [V.NESTED_CTL], (s) => !t.sevEs(s) || t.sev(s)],
  [
    'svm.sev_es.lbr',
    'LBR virtualization is on where SEV-ES is on',
    [V.VIRT_EXT, V.NESTED_CTL],
    (s) => !t.sevEs(s) || t.bit(s, V.VIRT_EXT, LBR),
    'kvm_amd was loaded with lbrv=0, or the hypervisor switched LBR virtualization off after the guest used DEBUGCTL',
  ],
  [
    'svm.sev_es.asid',
    'the ASID is one that the processor keeps for SEV without SEV-ES (CPUID.8000001FH:EDX), where SEV-ES is off',
    [V.NESTED_CTL, V.ASID, 'memoryEncryption'],
    (s) => !encrypts(s) || t.sevEs(s) || s.low(V.ASID) >= s.firstSevAsid,
    'the ASID ranges of SEV and SEV-ES that the firmware set were not respected',
  ],
];

const sevEsRunRows: readonly SvmRow[] = [
  [
    'svm.sev_es.vmsa',
    'the VMSA pointer does not exceed the physical-address width where SEV-ES is on',
    [V.VMSA_PA, V.NESTED_CTL],
    (s) => !t.sevEs(s) || t.inWidth(s, V.VMSA_PA),
  ],
  [
    'svm.sev_es.checksum',
    'the checksum over the VMSA matches',
    [V.NESTED_CTL, 'vmsaIntact'],
    (s) => !t.sevEs(s) || s.has('vmsaIntact'),
    'the VMSA was changed, or was made with another key',
  ],
  [
    'svm.sev_es.injection',
    'no software interrupt and no exception 3 or 4 is injected where SEV-ES is on',
    t.EVENT_INJ_READ,
    (s) =>
      !t.sevEs(s) ||
      !t.injects(s) ||
      (t.eventType(s) !== t.EVENT.software &&
        (t.eventType(s) !== t.EVENT.exception || (t.eventVector(s) !== BREAKPOINT && t.eventVector(s) !== OVERFLOW))),
  ],
];

const cetRows: readonly SvmRow[] = [
  [
    'svm.u_cet.reserved',
    'bits 9:6 of U_CET are 0 where SEV-ES is on',
    [V.U_CET, V.NESTED_CTL],
    (s) => !t.sevEs(s) || t.clear(s, V.U_CET, CET_RESERVED, 0),
  ],
];

const injectsHv = (s: SvmCheckState): boolean =>
  t.eventType(s) === t.EVENT.exception &&
  t.eventVector(s) === HYPERVISOR_EXCEPTION &&
  !t.bit(s, V.EVENT_INJ, ERROR_CODE);

const snpRows: readonly SvmRow[] = [
  [
    'svm.snp.enabled',
    'SEV-SNP is on in the system where SEV_FEATURES asks for it',
    [...t.SEV_FEATURES_READ, 'snp'],
    (s) => !t.sevFeature(s, 'snp') || s.has('snp'),
  ],
  [
    'svm.snp.vmsa_page',
    'the VMSA page is the guest’s (a VMSA page in the RMP), or the hypervisor’s where SNP is off in the guest',
    [V.NESTED_CTL, 'snp', 'vmsaOwned'],
    (s) => !t.sevEs(s) || !s.has('snp') || s.has('vmsaOwned'),
  ],
  [
    'svm.snp.avic_page',
    'the AVIC backing page is the hypervisor’s where SEV-SNP is on in the system',
    [V.INT_CTL, 'snp', 'avicPageOwned'],
    (s) => !t.avic(s) || !s.has('snp') || s.has('avicPageOwned'),
  ],
];

const restrictionRows: readonly SvmRow[] = [
  [
    'svm.snp.injection_modes',
    'restricted and alternate injection are not both on',
    t.SEV_FEATURES_READ,
    (s) => !t.sevFeature(s, 'restrictedInjection') || !t.sevFeature(s, 'alternateInjection'),
  ],
  [
    'svm.snp.restricted_injection',
    'only #HV without error code is injected with restricted injection',
    t.EVENT_INJ_READ,
    (s) => !t.injects(s) || !t.sevFeature(s, 'restrictedInjection') || injectsHv(s),
  ],
  [
    'svm.snp.hv_injection',
    '#HV is injected only with restricted injection',
    t.EVENT_INJ_READ,
    (s) =>
      !t.injects(s) ||
      t.eventType(s) !== t.EVENT.exception ||
      t.eventVector(s) !== HYPERVISOR_EXCEPTION ||
      t.sevFeature(s, 'restrictedInjection'),
  ],
  [
    'svm.snp.injection_avic',
    'AVIC is off with restricted or alternate injection',
    [V.INT_CTL, ...t.SEV_FEATURES_READ],
    (s) => !t.avic(s) || (!t.sevFeature(s, 'restrictedInjection') && !t.sevFeature(s, 'alternateInjection')),
  ],
];

const secureAvicRows: readonly SvmRow[] = [
  [
    'svm.secure_avic.alone',
    'AVIC, restricted and alternate injection are off with secure AVIC',
    [V.INT_CTL, ...t.SEV_FEATURES_READ],
    (s) =>
      !t.sevFeature(s, 'secureAvic') ||
      (!t.avic(s) && !t.sevFeature(s, 'restrictedInjection') && !t.sevFeature(s, 'alternateInjection')),
  ],
  [
    'svm.secure_avic.backing_page',
    'the guest’s APIC backing page does not exceed the physical-address width where secure AVIC is enabled',
    [V.SECURE_AVIC_CONTROL, ...t.SEV_FEATURES_READ],
    (s) =>
      !t.sevFeature(s, 'secureAvic') ||
      !t.bit(s, V.SECURE_AVIC_CONTROL, SECURE_AVIC_ENABLE) ||
      t.inWidth(s, V.SECURE_AVIC_CONTROL),
  ],
];

/** The mask of allowed features in the VMCB counts, and is held against the VMSA. */
const masksFeatures = (s: SvmCheckState): boolean => t.sevEs(s) && t.bit(s, V.ALLOWED_SEV_FEATURES, MASK_ENABLE);

const allowed = (s: SvmCheckState): boolean =>
  !masksFeatures(s) || (s.low(V.SEV_FEATURES) & t.SEV_FEATURES_DEFINED & ~s.low(V.ALLOWED_SEV_FEATURES)) === 0;

const allowedReserved = (s: SvmCheckState): boolean =>
  !masksFeatures(s) ||
  ((s.low(V.SEV_FEATURES) & ~t.SEV_FEATURES_DEFINED & ~s.low(V.ALLOWED_SEV_FEATURES)) === 0 &&
    (s.high(V.SEV_FEATURES) & MASKED_HIGH & ~s.high(V.ALLOWED_SEV_FEATURES)) === 0);

export const svmEncryptedChecks: readonly SvmCheck[] = [
  ...svmSection(SVM_CITE.consistency, cetRows),
  ...svmSection(SVM_CITE.sev, sevRows),
  ...svmSection(SVM_CITE.sevEs, sevEsRows),
  ...svmSection(SVM_CITE.sevEsRun, sevEsRunRows),
  ...svmSection(SVM_CITE.vmpl, [
    [
      'svm.snp.shadow_stack',
      'supervisor shadow-stack checks are not on both in the VMCB and by VMPL',
      t.SEV_FEATURES_READ,
      (s) => !t.bit(s, V.NESTED_CTL, SUPERVISOR_SHADOW_STACK) || !t.sevFeature(s, 'vmplShadowStack'),
    ],
  ]),
  ...svmSection(SVM_CITE.snp, snpRows),
  ...svmSection(SVM_CITE.restrictions, restrictionRows),
  ...svmSection(
    SVM_CITE.restrictions,
    [
      [
        'svm.vmsa.busy',
        'the BUSY bit of the VMSA is 0 with alternate injection, and where SEV-ES is on in a processor with secure AVIC',
        [V.VINTR_CTRL, ...t.SEV_FEATURES_READ, 'secureAvic'],
        (s) => !t.sevEs(s) || !t.bit(s, V.VINTR_CTRL, BUSY) || (!t.vmsaInjects(s) && !s.has('secureAvic')),
      ],
    ],
    { exit: 'BUSY' },
  ),
  ...svmSection(SVM_CITE.sideChannels, [
    [
      'svm.snp.host_ibs',
      'IBS of the host is off where the guest forbids it',
      [...t.SEV_FEATURES_READ, 'ibsOff'],
      (s) => !t.sevFeature(s, 'preventHostIbs') || s.has('ibsOff'),
      IBS_ON,
    ],
  ]),
  ...svmSection(SVM_CITE.ibs, [
    [
      'svm.ibs.host_ibs',
      'IBS of the host is off where the guest has IBS virtualization',
      [...t.SEV_FEATURES_READ, 'ibsOff'],
      (s) => !t.sevFeature(s, 'ibs') || s.has('ibsOff'),
      IBS_ON,
    ],
  ]),
  ...svmSection(
    SVM_CITE.sideChannels,
    [
      [
        'svm.snp.smt_idle',
        'the sibling thread is idle and in host mode with SMT protection',
        [...t.SEV_FEATURES_READ, 'siblingIdle'],
        (s) => !t.sevFeature(s, 'smtProtection') || s.has('siblingIdle'),
      ],
    ],
    { exit: 'IDLE_REQUIRED' },
  ),
  ...svmSection(SVM_CITE.allowed, [
    [
      'svm.sev_features.allowed',
      'SEV_FEATURES has no bit other than reserved ones that the mask of allowed features lacks, where that is enabled',
      [V.ALLOWED_SEV_FEATURES, ...t.SEV_FEATURES_READ],
      allowed,
    ],
  ]),
  ...svmSection(
    SVM_CITE.allowed,
    [
      [
        'svm.sev_features.reserved',
        'SEV_FEATURES has no reserved bit that the mask of allowed features lacks, where that is enabled',
        [V.ALLOWED_SEV_FEATURES, ...t.SEV_FEATURES_READ],
        allowedReserved,
      ],
      [
        'svm.sev_features.opt_in',
        'PMC virtualization and secure AVIC are on in SEV_FEATURES only where the mask of allowed features is enabled',
        [V.ALLOWED_SEV_FEATURES, ...t.SEV_FEATURES_READ],
        (s) =>
          t.bit(s, V.ALLOWED_SEV_FEATURES, MASK_ENABLE) || (!t.sevFeature(s, 'pmc') && !t.sevFeature(s, 'secureAvic')),
      ],
    ],
    // the section's text and the processor's vendor (in Linux, "non-reserved bits") differ on the first, and the second
    // is said to be "not available", not to fail
    { optional: true },
  ),
  ...svmSection(SVM_CITE.secureAvic, secureAvicRows),
  ...svmSection(
    SVM_CITE.pmc,
    [
      [
        'svm.pmc.vmcb',
        'no counter is enabled in the VMSA where PMC virtualization is on in SEV_FEATURES and off in the VMCB',
        [V.VIRT_EXT, ...t.SEV_FEATURES_READ, 'guestCountersOff'],
        (s) => !t.sevFeature(s, 'pmc') || t.bit(s, V.VIRT_EXT, PMC) || s.has('guestCountersOff'),
      ],
    ],
    { exit: 'INVALID_PMC' },
  ),
];
