/**
 * Whether the exits of a file are those of VMX or of SVM. From Xen 4.19 on the number of the event says it; before, both
 * write the same and only reasons tell: most have a meaning on one of the two.
 */
import { SVM_EXIT_CODES } from '../../../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, VMX_EXIT_REASONS } from '../../../engine/vmx/exit-reasons.js';
import { ISA } from '../reasons.js';

/** Exit codes below are accesses to CR0..CR15, reads and then writes: AMD64 APM volume 2, appendix C. */
const CR_CODES = 0x20;
/** Control registers that there are; accesses to others are #UD, which is no such exit. */
const CONTROL_REGISTERS = [0, 2, 3, 4, 8];

const SVM: ReadonlySet<number> = new Set(
  SVM_EXIT_CODES.map(({ code }) => Number(code & 0xffff_ffffn)).filter(
    (code) => code >= CR_CODES || CONTROL_REGISTERS.includes(code & 15),
  ),
);
const VMX: ReadonlySet<number> = new Set(VMX_EXIT_REASONS.map(({ code }) => code));

/** The architecture that a reason gives away, 0 where it may be of either. */
export function isaOfReason(reason: number): number {
  const svm = SVM.has(reason);
  const vmx = VMX.has(reason >= VM_ENTRY_FAILURE ? reason - VM_ENTRY_FAILURE : reason);
  return svm === vmx ? 0 : svm ? ISA.svm : ISA.vmx;
}
