/**
 * Errors of VM instructions and entries as hypervisors word them in a line of a log, in the one spelling that rows.ts
 * reads. A number is hexadecimal with `0x` and decimal without; one that is no such error makes the line an ordinary one.
 */
import { VM_ENTRY_FAILURE } from '../../engine/vmx/exit-reasons.js';
import { INSTRUCTION_ERRORS } from './instruction.js';
import { isReportOf, reportsNothing } from './report-lines.js';

/** Rows of these lines; what follows is hexadecimal. */
export const BARE = { error: 'vm-instruction-error:', entry: 'vm-entry-failure:' } as const;

/** A full stop may end the line, or what is quoted; any other is one of a version or of a sentence. */
const END = String.raw`(?!\w|\.(?!["'\x60]|\s*$))`;
const NUMBER = String.raw`(0x[0-9a-f]{1,16}|\d{1,20})${END}`;
const HEX = `((?:0x)?[0-9a-f]{1,8})${END}`;
/**
 * ` code: `, `=`, ` number is `, a blank, or what ends a name in JSON. No blanks may stand next to others that are optional
 * too, here and below: a line of many would be tried with every division of them.
 */
const TO = String.raw`(?:[ _](?:code|number|field|status))?["']?\s*(?:(?:[:=]|->|\bis\b|\bwas\b)\s*)?["'(#]?`;
/** The encoding of the field that holds it; SDM volume 3D, appendix B, "Field Encoding in VMCS". */
const FIELD = String.raw`[([]0x0*4400[)\]]`;

interface Wording {
  readonly pattern: RegExp;
  readonly as: (typeof BARE)[keyof typeof BARE];
  readonly isOne: (value: bigint) => boolean;
  /** Its number is hexadecimal without `0x` as well. */
  readonly isHex?: true;
  /** What it says that gives no number. */
  readonly value?: bigint;
  /** Its number is that of an exit reason without bit 31, which says that an entry failed. */
  readonly isBasic?: true;
  /** One program prints it, and nobody else would say it so: it counts wherever it stands in a line. */
  readonly isOwn?: true;
}

const HIGHEST = 28n;
const isError = (value: bigint): boolean => value > 0n && value <= HIGHEST;
const FAILED = BigInt(VM_ENTRY_FAILURE);
/** Bit 31 with invalid guest state, MSR loading or a machine check. */
const isEntryFailure = (value: bigint): boolean => [0x8000_0021n, 0x8000_0022n, 0x8000_0029n].includes(value);
/** VMEXIT_INVALID, -1. */
const INVALID = 0xffff_ffff_ffff_ffffn;
const isInvalid = (value: bigint): boolean => value === 0xffff_ffffn || value === INVALID;
/** What VMLAUNCH and VMRESUME give, in SMM as well; SDM volume 3C, "VM Instruction Error Numbers". */
const isEntryError = (value: bigint): boolean => [4n, 5n, 6n, 7n, 8n, 16n, 17n, 18n, 25n, 26n].includes(value);
const isReason = (value: bigint): boolean => isError(value) || isEntryFailure(value) || isInvalid(value);
/**
 * What KVM tells of a failed entry (hardware_entry_failure_reason; arch/x86/kvm/vmx/vmx.c, svm/svm.c): an error of the
 * entry, or what has more digits and cannot be taken for anything else.
 */
export const isToldInFull = (value: bigint): boolean => isEntryFailure(value) || isInvalid(value);
export const isToldByKvm = (value: bigint): boolean => isEntryError(value) || isToldInFull(value);
const TOLD_IN_FULL = ['80000021', '80000022', '80000029', 'ffffffffffffffff'];
/** What is only the beginning of a number that KVM tells. */
export const isCutOff = (value: bigint): boolean =>
  !isToldByKvm(value) && TOLD_IN_FULL.some((told) => told.startsWith(value.toString(16)));
/** What certainly is a KVM_EXIT_FAIL_ENTRY may give 0, which no processor does. */
const isReasonOrNone = (value: bigint): boolean => value === 0n || isReason(value);

/** VM-instruction errors: of a line that may tell of any instruction, and of one that names the entry. */
const OF_ANY = { as: BARE.error, isOne: isError } as const;
const OF_ENTRY = { as: BARE.error, isOne: isEntryError } as const;
/** Exit reasons, the exit code of SVM, and what KVM gives to user space, which may be any of all these. */
const OF_REASON = { as: BARE.entry, isOne: isEntryFailure } as const;
const OF_VMRUN = { as: BARE.entry, isOne: isInvalid, value: INVALID } as const;
const OF_KVM = { as: BARE.entry, isOne: isReasonOrNone } as const;

const VIRTUALBOX = String.raw`(?:HM: CPU\[\d{1,5}\]|VERR_VMX_UNABLE_TO_(?:START|RESUME)_VM: CPU\d{1,5})`;

/** The manual's words for errors of an entry: Bareflank tells them with these alone, others with the number beside. */
const WORDS: readonly (readonly [words: string, error: bigint])[] = [
  ['VMLAUNCH with non-clear VMCS', 4n],
  ['VMRESUME with non-launched VMCS', 5n],
  [String.raw`VM entry with invalid control field\(s\)`, 7n],
  [String.raw`VM entry with invalid host-state field\(s\)`, 8n],
  ['VM entry with events blocked by MOV SS', 26n],
];

/** A wording as it is printed, or in any case. */
const printed = (text: TemplateStringsArray, ...parts: readonly string[]): RegExp =>
  new RegExp(String.raw(text, ...parts), 'g');
const anyCase = (text: TemplateStringsArray, ...parts: readonly string[]): RegExp =>
  new RegExp(String.raw(text, ...parts), 'gi');

const WORDINGS: readonly Wording[] = [
  {
    pattern: anyCase`\b(?:vmcs[._])?vm(?:x|cs)?[-_ ]?instr(?:uction)?[-_ ]?error(?: ?${FIELD})?${TO}${NUMBER}`,
    ...OF_ANY,
  },
  {
    pattern: anyCase`\b(?:__vmx_)?vmread ?${FIELD}${TO}${NUMBER}`,
    ...OF_ANY,
  },
  {
    pattern: anyCase`\b(?:__vmx_)?vm(?:launch|resume)\b(?::?\s+(?:has\s+)?failed|\s+failure)?[,:;.!]?\s*(?:(?:\(|with |due to |- )\s*)?(?:vm[- ]?)?(?:instruction )?err(?:or)?${TO}${NUMBER}`,
    ...OF_ENTRY,
  },
  {
    pattern: anyCase`\b(?:__vmx_)?vm(?:launch|resume) fail(?:ed)?(?:: *| \()${NUMBER}`,
    ...OF_ENTRY,
  },
  {
    pattern: anyCase`\bvm[-_ ]?ent(?:ry|er)\s+(?:fail(?:ed|ure)\b[,:]?\s*(?:with\s+)?)?(?:instruction )?error${TO}${NUMBER}`,
    ...OF_ENTRY,
  },
  {
    pattern: anyCase`\bvm[-_ ]?entry\s+fail(?:ed|ure)\b[^0-9(\n]{0,40}?${NUMBER}`,
    ...OF_REASON,
  },
  {
    // kvm-ioctls as {:?}, in Cloud Hypervisor and others: a pair once, and a structure since. Its number always has an end.
    pattern: printed`\b\w{0,40}FailEntry\s*(?:\(|\{\s*hardware_entry_failure_reason:)\s*${NUMBER}(?=\s*[,)}])`,
    ...OF_KVM,
    isOwn: true,
  },
  {
    // Firecracker, Dragonball.
    pattern: printed`\bKVM_EXIT_FAIL_ENTRY signal\b[^0-9\n]{0,80}(?:: |reasons\()${NUMBER}`,
    ...OF_KVM,
    isOwn: true,
  },
  {
    pattern: printed`\b(?:KVM_EXIT_)?FAIL_ENTRY\b[:,]?\s*\(?reason${TO}${NUMBER}`,
    as: BARE.entry,
    isOne: isReason,
    isOwn: true,
  },
  {
    // bhyve, xhyve and hvt, a line for each; PAL and others the reason with a colon. In a line of Xen it is part of more.
    pattern: anyCase`(?<!failed vm entry \()\b(?:vm[- ]?)?exit:?[ _]reason(?: is)?\s*(?:[:=]\s*)?${NUMBER}`,
    ...OF_REASON,
  },
  {
    pattern: printed`\binst_error\s+${NUMBER}`,
    ...OF_ANY,
  },
  {
    pattern: anyCase`\b(?:__vmx_)?vm(?:launch|resume) failed with (?:code|status)(?: ?[:=])? ?${NUMBER}`,
    ...OF_ENTRY,
  },
  {
    // A number of the system in the same place would be negative, or is tried again.
    pattern: anyCase`\bvm[-_ ]?ent(?:ry|er) failed: ${NUMBER}(?!, retry)`,
    ...OF_ENTRY,
  },
  {
    // KVM on a nested guest, arch/x86/kvm/vmx.c until 5.0: %x.
    pattern: printed`\bnested_vmx_exit_reflected failed vm entry ${HEX}`,
    ...OF_ANY,
    isOwn: true,
    isHex: true,
  },
  {
    // HAXM, core/cpu.c.
    pattern: printed`\bVMfailValid\. Prev exit: [0-9a-f]{1,16}\. Error code: ${NUMBER}`,
    ...OF_ANY,
    isOwn: true,
  },
  {
    // OpenBSD, sys/arch/amd64/amd64/vmm.c: the number in a line that names the launch, and in one for itself.
    pattern: printed`\bfailed launch with valid vmcs, code=${NUMBER}`,
    ...OF_ANY,
    isOwn: true,
  },
  {
    pattern: printed`\bvcpu_run_vmx: insn error code = ${NUMBER}`,
    ...OF_ANY,
    isOwn: true,
  },
  {
    // VirtualBox, HMR3CheckError (%#x) and HWACCMR3CheckError (%x), where it could not start or resume a guest.
    pattern: anyCase`\b${VIRTUALBOX} instruction error +${HEX}`,
    ...OF_ENTRY,
    isOwn: true,
    isHex: true,
  },
  {
    pattern: anyCase`\b${VIRTUALBOX} exit reason +${HEX}`,
    ...OF_REASON,
    isOwn: true,
    isHex: true,
  },
  {
    // The same behind "VMX setup failed", where none was entered yet.
    pattern: printed`\bH(?:M|WACCM): (?:CPU\[\d{1,5}\] )?Last instruction error +${HEX}`,
    as: BARE.error,
    isOne: (value) => isError(value) && !isEntryError(value),
    isOwn: true,
    isHex: true,
  },
  {
    // Intel's eVMM, in tboot's successors and ikgt.
    pattern: anyCase`\bFLAGS=0x[0-9a-f]{1,16} \(zf=1 cf=0\) ErrorCode=${NUMBER}`,
    ...OF_ANY,
    isOwn: true,
  },
  {
    // NoirVisor.
    pattern: printed`\bFailed at VM-Entry, Code=${NUMBER}`,
    ...OF_ANY,
    isOwn: true,
  },
  {
    // XMHF.
    pattern: printed`\bVT Instruction ERROR: ${NUMBER}`,
    ...OF_ANY,
    isOwn: true,
  },
  {
    // Xen until 4.6, and programs that took this over; xen/arch/x86/hvm/vmx/vmcs.c, %lx.
    pattern: printed`<vm_(?:launch|resume)_fail> error code ${HEX}`,
    ...OF_ENTRY,
    isOwn: true,
    isHex: true,
  },
  {
    // tboot, txt/vmcs.c: %lx.
    pattern: printed`\bvmlaunch failed for cpu \d{1,5}, error code ${HEX}`,
    ...OF_ENTRY,
    isOwn: true,
    isHex: true,
  },
  {
    // Xen with the failed entries of its FRED series, in the line below `VMLAUNCH Failure, VMCS valid`.
    pattern: printed`\bd\d{1,5}v\d{1,5} +Instruction Error ${NUMBER},`,
    ...OF_ENTRY,
    isOwn: true,
  },
  ...WORDS.map(([words, value]) => ({ pattern: anyCase`\bvm_instruction_error: ${words}`, ...OF_ENTRY, value })),
  ...WORDS.map(([words, error]) => ({
    pattern: anyCase`\berr(?:or)?${TO}${NUMBER}(?=[):,;]*\s*[-–(["']*${words})`,
    as: BARE.error,
    isOne: (value: bigint) => value === error,
  })),
  {
    // ksm: what MSVC's intrinsic returned, and the error.
    pattern: printed`\b__vmx_vmlaunch\(\): failed \d ${NUMBER}`,
    ...OF_ENTRY,
    isOwn: true,
  },
  {
    // HyperDbg, VmxPerformVmlaunch.
    pattern: printed`\bunable to execute VMLAUNCH, status : ${NUMBER}`,
    ...OF_ENTRY,
    isOwn: true,
  },
  {
    // ACRN, hypervisor/arch/x86/guest/vcpu.c, both in hexadecimal; with DEBUG in front it prints what may be an old number.
    pattern: printed`(?<!DEBUG: )\bvmexit fail err_inst=${HEX}`,
    ...OF_ENTRY,
    isOwn: true,
    isHex: true,
  },
  {
    pattern: printed`\bvmentry fail reason=${HEX}`,
    ...OF_REASON,
    isOwn: true,
    isHex: true,
  },
  {
    // Napoca.
    pattern: printed`\bVMX-instrux-error = ${NUMBER}`,
    ...OF_ENTRY,
    isOwn: true,
  },
  {
    pattern: printed`\bVMX-exit-reason-error = ${NUMBER}`,
    ...OF_REASON,
    isOwn: true,
  },
  {
    // HyperBone, and Jailhouse on Intel and on AMD, which print what is left of the reason without its high half.
    pattern: printed`\b(?:Failed to enter VM|FATAL: VM-Entry failure), reason ${NUMBER}`,
    ...OF_REASON,
    isOwn: true,
    isBasic: true,
  },
  { pattern: printed`\bFATAL: VM-Entry failure, error -1\b`, ...OF_VMRUN, isOwn: true },
  {
    // qemu-kvm until 1.2: what KVM told, in hexadecimal, and exits that it did not know, which were no failed entries.
    pattern: printed`\bkvm: vm entry failed with error ${NUMBER}`,
    ...OF_KVM,
    isOwn: true,
  },
  {
    pattern: printed`\bkvm: unhandled exit ${HEX}`,
    as: BARE.entry,
    isOne: (value) => isEntryFailure(value) || isInvalid(value),
    isOwn: true,
    isHex: true,
  },
  {
    // The manual's name for it, as functions, structures and sentences give its number.
    pattern: printed`\b\w{0,40}V[Mm][Ff]ailValid(?:\(|\s*\{\s*|[:,]?\s+\(?)(?:error(?: code)?[:=]?\s*)?${NUMBER}`,
    ...OF_ANY,
  },
  // Other instructions than entries, with their own errors alone: what MSVC's intrinsics return is 1 or 2 here too.
  ...Object.entries(INSTRUCTION_ERRORS).map(([name, errors]) => ({
    pattern: anyCase`\b(?:__vmx_)?${name} failed(?:,|:| with)? (?:vm[- ]instruction )?error(?: code)?[:=]? ?${NUMBER}`,
    as: BARE.error,
    isOne: (value: bigint) => value > 0n && errors.some((error) => BigInt(error) === value),
  })),
  // A number alone may be what MSVC's intrinsic returned, but not where it is above 2.
  ...Object.entries(INSTRUCTION_ERRORS).map(([name, errors]) => ({
    pattern: anyCase`\b(?:__vmx_)?${name} failed: ${NUMBER}`,
    as: BARE.error,
    isOne: (value: bigint) => value > 2n && errors.some((error) => BigInt(error) === value),
  })),
  { pattern: anyCase`\bvmrun failed[:,]? (?:with )?VMEXIT_INVALID\b`, ...OF_VMRUN },
  {
    // The instruction, whose exit code has no other value; `vmrun`, in small letters, is a tool of VMware that exits so.
    pattern: printed`\bVMRUN failed[:,]? (?:with )?(?:exit ?code|EXITCODE) -1\b`,
    ...OF_VMRUN,
  },
  {
    // crosvm.
    pattern: printed`\bvcpu hw run failure: ${NUMBER}`,
    ...OF_KVM,
    isOwn: true,
  },
  {
    pattern: anyCase`\bhardware_entry_failure_reason${TO}${NUMBER}`,
    as: BARE.entry,
    isOne: isReason,
  },
];

/** Any of them has one of these words, and most lines of a log have none. */
const WORTH_A_LOOK =
  /vm(?:(?:x|cs)?[-_ ]?instr|launch|resume|[-_ ]?ent(?:ry|er)|run failed|failvalid|_(?:launch|resume)_fail>|read ?[([]0x0*4400|(?:ptrld|clear|xon|read|write) failed|x-(?:instrux|exit-reason)-error)|fail(?:ure_reason|_?entry|ed launch|ed to enter vm| err_inst=)|hw run failure|ins(?:t_error\s|n error|truction error)|exit:?[ _]reason(?: is)?\W+(?:0x)?(?:8000002|21474836)|unhandled exit|\) errorcode=/i;

/** Whether a line is worth a closer look. */
export const mayReport = (line: string): boolean => WORTH_A_LOOK.test(line);

/** An exit reason of a failed entry without its `0x`; no decimal number of an error has so many digits. */
const BARE_REASON = /^8000002[129]$/;

function numberOf(number: string, isHex = false): bigint {
  const hasNoPrefix = isHex ? !number.startsWith('0x') : BARE_REASON.test(number);
  return BigInt(hasNoPrefix ? `0x${number}` : number);
}

/** A report in a line: where it stands, and what it says in the spelling of BARE. */
interface Report {
  readonly from: number;
  readonly to: number;
  readonly value: bigint;
  readonly says: string;
}

/** Every wording of a line that reports something, also where several are of one report. */
export function reportsIn(line: string): Report[] {
  const reports: Report[] = [];
  if (!mayReport(line) || reportsNothing(line)) return reports;
  for (const { pattern, as, isOne, isHex, isBasic, isOwn, value: meant } of WORDINGS) {
    // `matchAll` would make a copy of each expression for each line.
    pattern.lastIndex = 0;
    for (let found = pattern.exec(line); found !== null; found = pattern.exec(line)) {
      const value = meant ?? numberOf(found[1] ?? '', isHex) | (isBasic ? FAILED : 0n);
      const [from, to] = [found.index, found.index + found[0].length];
      if (isOne(value) && (isOwn || isReportOf(line.slice(0, from), line.slice(to))))
        reports.push({ from, to, value, says: `${as} 0x${value.toString(16)}` });
    }
  }
  return reports;
}

/** The line in the spelling of BARE, where it reports such errors; else the line as it is. */
export function respelled(line: string): string {
  let [said, end] = ['', 0];
  for (const { from, to, says } of reportsIn(line).sort((a, b) => a.from - b.from || b.to - a.to)) {
    if (from < end) continue;
    said += line.slice(end, from) + says;
    end = to;
  }
  return said + line.slice(end);
}
