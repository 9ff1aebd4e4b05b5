/**
 * What Xen says of a VMCB that it refuses before VMRUN, those of nested guests: `svm_vmcb_isvalid`
 * (xen/arch/x86/hvm/svm/svmdebug.c, vmcb.c since 4.21), a line for each rule, with the value where it prints one.
 */
import { SVM_CHECKS } from '../../engine/svm/checks/table.js';
import { vmcbFieldAt } from '../../engine/svm/fields.js';
import type { Dump } from './dump.js';
import type { Judged } from './evaluate.js';
import type { RowSpec } from './row.js';

/** Marks the check that a line is about, in the values of its dump. */
const MARK = 'refused.';

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
  ['svm.efer.supported', 'EFER: {*} without feature ({EFER:1})'],
  ['svm.long_mode.pae', 'EFER_LME and CR0.PG are both set and CR4.PAE is zero'],
  ['svm.long_mode.protection', 'EFER_LME and CR0.PG are both set and CR0.PE is zero'],
  ['svm.cs.l_and_d', 'EFER_LME, CR0.PG, CR4.PAE, CS.L and CS.D are all non-zero'],
  ['svm.vmrun_intercept', 'GENERAL2_INTERCEPT: VMRUN intercept bit is clear ({INTERCEPT_WORD4:1})'],
];

export const XEN_CHECK_ROWS: readonly RowSpec[] = MESSAGES.flatMap(([check, ...texts]) =>
  texts.map((text) => ({ section: 'control', text, optional: true, says: `${MARK}${check}` })),
);

/** The rules that Xen found broken. */
export const judgeRefused = ({ values }: Dump): Judged[] =>
  SVM_CHECKS.filter(({ id }) => values.has(`${MARK}${id}`)).map((row) => ({
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
