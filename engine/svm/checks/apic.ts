/** Checks of VMRUN on interrupt virtualization: AVIC, x2AVIC and virtual NMIs. */
import { V } from '../fields.js';
import { type SvmCheck, type SvmRow, svmSection } from './check.js';
import { SVM_CITE } from './manual.js';
import * as t from './terms.js';

const V_NMI_ENABLE = 26;
const NMI_INTERCEPT = 1;
const X2AVIC_ENABLE = 30;
const MAX_INDEX = 0xfff;
const MOST_XAVIC = 255;
const MOST_X2AVIC = 511;

const pointer = (name: string, field: number, what: string): SvmRow => [
  `svm.avic.${name}`,
  `the ${what} does not exceed the physical-address width, with AVIC`,
  [field, V.INT_CTL],
  (s) => !t.avic(s) || t.inWidth(s, field),
];

const avicRows: readonly SvmRow[] = [
  pointer('backing_page', V.AVIC_BACKING_PAGE, 'AVIC backing page'),
  pointer('logical_table', V.AVIC_LOGICAL_ID, 'AVIC logical table'),
  pointer('physical_table', V.AVIC_PHYSICAL_ID, 'AVIC physical table'),
  [
    'svm.x2avic.needs_avic',
    'x2AVIC is on only with AVIC',
    [V.INT_CTL],
    (s) => t.avic(s) || !t.bit(s, V.INT_CTL, X2AVIC_ENABLE),
    'AVIC was inhibited without switching x2AVIC off',
  ],
  [
    'svm.avic.max_index',
    'the highest index of the AVIC physical table is at most 255 in xAVIC mode',
    [V.AVIC_PHYSICAL_ID, V.INT_CTL],
    (s) => !t.avic(s) || t.bit(s, V.INT_CTL, X2AVIC_ENABLE) || (s.low(V.AVIC_PHYSICAL_ID) & MAX_INDEX) <= MOST_XAVIC,
  ],
  [
    'svm.x2avic.max_index',
    'the highest index of the AVIC physical table is at most 511 in x2AVIC mode on a processor without x2AVIC_EXT',
    [V.AVIC_PHYSICAL_ID, V.INT_CTL, 'x2avicExtended'],
    (s) =>
      !t.avic(s) ||
      !t.bit(s, V.INT_CTL, X2AVIC_ENABLE) ||
      (s.low(V.AVIC_PHYSICAL_ID) & MAX_INDEX) <= MOST_X2AVIC ||
      s.has('x2avicExtended'),
  ],
];

export const svmApicChecks: readonly SvmCheck[] = [
  ...svmSection(SVM_CITE.nmi, [
    [
      'svm.nmi_virtualization',
      'NMIs are intercepted where NMI virtualization is on',
      [V.INT_CTL, V.INTERCEPT_WORD3, ...t.SEV_FEATURES_READ],
      (s) => !t.bit(s, V.INT_CTL, V_NMI_ENABLE) || t.bit(s, V.INTERCEPT_WORD3, NMI_INTERCEPT) || t.vmsaInjects(s),
    ],
  ]),
  ...svmSection(SVM_CITE.avic, avicRows),
  ...svmSection(
    SVM_CITE.avic,
    [
      [
        'svm.avic.nested_paging',
        'nested paging is on with AVIC',
        [V.INT_CTL, V.NESTED_CTL],
        (s) => !t.avic(s) || t.nested(s),
      ],
    ],
    { optional: true },
  ),
];
