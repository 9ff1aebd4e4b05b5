/** The checks of VMRUN over a VMCB dump. */
import type { Dump } from './dump.js';
import type { Judged } from './evaluate.js';
import type { Processor } from './processor.js';

export const SVM_MANUAL =
  'AMD64 Architecture Programmer’s Manual, Volume 2 (24593), chapter 15, "Secure Virtual Machine"';

export const judgeSvm = (_dump: Dump, _processor: Processor): Judged[] => [];
