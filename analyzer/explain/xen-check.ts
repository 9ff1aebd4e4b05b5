/**
 * What Xen says of a VMCB that it refuses before VMRUN, those of nested guests: `svm_vmcb_isvalid`
 * (xen/arch/x86/hvm/svm/svmdebug.c, vmcb.c since 4.21), a line for each rule, with the value where it prints one.
 */
import type { SvmCheck } from '../../engine/svm/checks/check.js';
import { SVM_CITE as CITE } from '../../engine/svm/checks/manual.js';
import { SVM_CHECKS } from '../../engine/svm/checks/table.js';
import { V, vmcbFieldAt } from '../../engine/svm/fields.js';
import { type Dump, fieldOf } from './dump.js';
import type { Judged } from './evaluate.js';
import type { RowSpec } from './row.js';

/** Marks the check that a line is about, in the values of its dump. */
const MARK = 'refused.';

type Rule = Pick<SvmCheck, 'id' | 'cites' | 'says' | 'reads' | 'causes'>;

/** What Xen refuses and the manual's list of VMRUN does not have. */
const XEN_RULES: readonly Rule[] = [
  {
    id: 'xen.efer.lma',
    cites: CITE.consistency,
    says: 'EFER.LMA is 1 only where EFER.LME and CR0.PG are (a rule of Xen, not of the manual)',
    reads: [V.EFER],
  },
  {
    id: 'xen.cr3.low',
    cites: CITE.consistency,
    says: 'bits 2:0 of CR3 are 0, and bits 11:5 without PAE and in long mode (a rule of Xen, not of the manual)',
    reads: [V.CR3],
  },
  {
    id: 'xen.injection.reserved',
    cites: CITE.injection,
    says: 'reserved bits 30:12 of EVENTINJ are 0 (the manual does not say that VMRUN looks at them)',
    reads: [V.EVENT_INJ],
  },
  {
    id: 'xen.nested_cr3.zero',
    cites: CITE.nested,
    says: 'the nested CR3 is not 0 with nested paging (a rule of older versions of Xen, not of the manual)',
    reads: [V.NESTED_CR3],
  },
];

/** The check, and the texts of all versions. */
const MESSAGES: readonly (readonly [check: string, ...texts: readonly string[]])[] = [
  ['svm.efer.svme', 'EFER: SVME bit not set ({EFER:1})'],
  ['svm.cr0.nw_needs_cd', 'CR0: CD bit is zero and NW bit set ({CR0:1})'],
  ['svm.cr0.high', 'CR0: bits [63:32] are not zero ({CR0:1})'],
  ['svm.cr3.reserved', 'CR3: MBZ bits are set ({CR3:1})'],
  [
    'svm.cr4.supported',
    'CR4: invalid value {CR4:1} (valid {:1}, rejected {:1})',
    'CR4: invalid bits are set ({CR4:1}, valid: {:1})',
    'CR4: bits [63:19] are not zero ({CR4:1})',
    'CR4: bits [17:11] are not zero ({CR4:1})',
  ],
  ['svm.dr6.high', 'DR6: bits [63:32] are not zero ({DR6:1})'],
  ['svm.dr7.high', 'DR7: bits [63:32] are not zero ({DR7:1})'],
  [
    'svm.efer.reserved',
    'EFER: unknown bits are not zero ({EFER:1})',
    'EFER: Unknown bits set ({EFER:1})',
    'EFER: bits [63:15] are not zero ({EFER:1})',
  ],
  // hvm_efer_valid (xen/arch/x86/hvm/hvm.c)
  [
    'svm.efer.supported',
    'EFER: {*} without feature ({EFER:1})',
    'EFER: SVME without nested virt ({EFER:1})',
    'EFER: LMSLE without support ({EFER:1})',
  ],
  ['xen.efer.lma', 'EFER: LMA/LME/CR0.PG inconsistency ({EFER:1})'],
  ['svm.long_mode.pae', 'EFER_LME and CR0.PG are both set and CR4.PAE is zero'],
  ['svm.long_mode.protection', 'EFER_LME and CR0.PG are both set and CR0.PE is zero'],
  ['svm.cs.l_and_d', 'EFER_LME, CR0.PG, CR4.PAE, CS.L and CS.D are all non-zero'],
  ['svm.vmrun_intercept', 'GENERAL2_INTERCEPT: VMRUN intercept bit is clear ({INTERCEPT_WORD4:1})'],
  ['xen.injection.reserved', 'eventinj: MBZ bits are set ({xen.event_inj:1})'],
  ['xen.nested_cr3.zero', 'nested paging enabled but host cr3 is 0'],
];

/** Behind the vCPU or the function that says it; anywhere else the text is a line of a program or of a table. */
const SAID = /(?:^|: )$/;

export const XEN_CHECK_ROWS: readonly RowSpec[] = MESSAGES.flatMap(([check, ...texts]) =>
  texts.map((text) => ({ section: 'control', text, optional: true, says: `${MARK}${check}`, behind: SAID })),
);

/** No processor has so few bits of physical addresses, so that Xen means others of CR3. */
const LEAST_WIDTH = 36n;

function refused({ id }: Rule, dump: Dump): boolean {
  const isLow = (fieldOf(dump, 'CR3') ?? 0n) >> LEAST_WIDTH === 0n;
  const said = id === 'xen.cr3.low' ? 'svm.cr3.reserved' : id;
  return dump.values.has(`${MARK}${said}`) && (said !== 'svm.cr3.reserved' || isLow === (id === 'xen.cr3.low'));
}

/** The rules that Xen found broken. */
export const judgeRefused = (dump: Dump): Judged[] =>
  [...SVM_CHECKS, ...XEN_RULES]
    .filter((rule) => refused(rule, dump))
    .map((row) => ({
      check: {
        ...row,
        stage: 'vmcb',
        fields: row.reads.flatMap((read) => (typeof read === 'number' ? (vmcbFieldAt(read)?.name ?? []) : [])),
      },
      answer: 'violated',
      missing: [],
      assumes: [],
      depends: false,
    }));
