/**
 * What an exit is about, where the exit itself says it: its column `code`, and the address of a nested page fault. Numbers
 * of MSRs, CPUID leaves and hypercalls, and the address of an EPT violation, are in the event that KVM traces next.
 */
import { ISA } from './reasons.js';
import { type EventRow, FIELD } from './row.js';

/** Access types of the qualification of a CR access: 0 MOV to CR, 1 MOV from CR; CLTS and LMSW are about CR0. */
const MOVES = 2;
const CR_ACCESS = 28;
const DR_ACCESS = 29;
const IO = 30;

/** Intel SDM volume 3C, "Exit Qualification" tables for control-register, MOV DR and I/O exits; -1: it says nothing. */
function codeOfVmx(reason: number, qualification: number): number {
  if (reason === IO) return qualification >>> 16;
  if (reason === CR_ACCESS) return ((qualification >>> 4) & 3) < MOVES ? qualification & 15 : 0;
  return reason === DR_ACCESS ? qualification & 7 : -1;
}

const IOIO = 0x7b;
/** Below 0x40 are reads and writes of CR0..CR15 and DR0..DR15, from there on the 32 exceptions: AMD64 APM volume 2, appendix C. */
const EXCEPTIONS = 0x40;
const BEHIND_EXCEPTIONS = 0x60;
const NPF = 0x400;

/** False where the architecture and the reason of an exit tell that nothing else of it says what it is about. */
export function isAbout({ isa, words }: EventRow): boolean {
  const reason = (words[2 * FIELD.reason] as number) & 0xffff;
  return isa === ISA.vmx
    ? reason >= CR_ACCESS && reason <= IO
    : reason < BEHIND_EXCEPTIONS || reason === IOIO || reason === NPF;
}

/**
 * Fills `code` and `gpa` of an exit. `info1` is the low half of its qualification or EXITINFO1, the others are the halves
 * of EXITINFO2, as AMD64 APM volume 2 has them in "IOIO Intercept" and "Nested versus Guest Page Faults".
 */
export function fillAbout(row: EventRow, info1: number, info2Low: number, info2High: number): void {
  const reason = row.words[2 * FIELD.reason] as number;
  if (row.isa === ISA.vmx) {
    const code = codeOfVmx(reason & 0xffff, info1);
    if (code >= 0) row.put(FIELD.code, code, 0);
  } else if (row.isa === ISA.svm) {
    if (reason < BEHIND_EXCEPTIONS) row.put(FIELD.code, reason < EXCEPTIONS ? reason & 15 : reason & 31, 0);
    else if (reason === IOIO) row.put(FIELD.code, info1 >>> 16, 0);
    else if (reason === NPF) row.put(FIELD.gpa, info2Low, info2High);
  }
}
