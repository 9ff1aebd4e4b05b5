/** What a dump says that happened: whether an entry failed, and how. */
import { SVM_EXIT_CODES, SVM_EXIT_INVALID } from '../../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, vmxExitReasonName } from '../../engine/vmx/exit-reasons.js';
import { VM_INSTRUCTION_ERRORS } from '../detail-bits.js';
import { type Dump, FORMATS, fieldOf } from './dump.js';
import { failedInstruction } from './instruction.js';

export type OutcomeKind =
  | 'guest-state'
  | 'msr-load'
  | 'machine-check'
  | 'vmfail'
  | 'vmrun-invalid'
  | 'exit'
  | 'access'
  | 'no-error'
  | 'unknown';

export interface Outcome {
  readonly kind: OutcomeKind;
  /** Whose: null where it could be either's. */
  readonly isa: 'vmx' | 'svm' | null;
  /** An entry failed; null: the dump does not say. */
  readonly failed: boolean | null;
  /** Exit reason (VMX) or exit code (SVM), whole. */
  readonly reason: bigint | null;
  readonly qualification: bigint | null;
  /** VM-instruction error number. */
  readonly error: number | null;
  /** In words. */
  readonly says: string;
  /** Stages that the processor got past at this entry. */
  readonly passed: readonly string[];
}

const BASIC_FAILURES: { readonly [basic: number]: readonly [OutcomeKind, string, readonly string[]] } = {
  33: ['guest-state', 'VM entry failed: invalid guest state', ['controls', 'host']],
  34: ['msr-load', 'VM entry failed while loading MSRs', ['controls', 'host', 'guest']],
  41: ['machine-check', 'VM entry failed by a machine check', ['controls', 'host']],
};

const INVALID = 0xffff_ffffn;
const INTR_VALID = 0x8000_0000n;
const BASIC = 0xffffn;
/** VM-instruction errors are at most this. */
const MOST_ERROR = 28n;
const HIGHEST_BASIC = 0x100n;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

const blank = { isa: null, reason: null, qualification: null, error: null, passed: [] } as const;

const failedEntry = (reason: bigint, qualification: bigint | null): Outcome => {
  const [kind, says, passed] = BASIC_FAILURES[Number(reason & BASIC)] ?? ['unknown', 'VM entry failed', []];
  const detail = qualification === null ? '' : `, qualification ${qualification}`;
  return {
    ...blank,
    kind,
    isa: 'vmx',
    failed: true,
    reason,
    qualification,
    says: `${says} (reason ${hex(reason)}${detail})`,
    passed,
  };
};

const vmfail = (error: number): Outcome => ({
  ...blank,
  kind: 'vmfail',
  isa: 'vmx',
  failed: error === 7 || error === 8 || error === 26,
  error,
  says: `VMfail with VM-instruction error ${error}: ${VM_INSTRUCTION_ERRORS[error] ?? 'no such error in the manual'}`,
});

/** "KVM: entry failed, hardware error": a VM-instruction error, an exit reason, or an SVM exit code. */
function hardwareError(value: bigint): Outcome {
  if (value === 0n) {
    return {
      ...blank,
      kind: 'no-error',
      failed: null,
      says: 'KVM told of a failed entry with hardware error 0x0, which is none that a processor reports',
    };
  }
  if (value <= MOST_ERROR) return vmfail(Number(value));
  if (value === INVALID || value === SVM_EXIT_INVALID) return svmInvalid(value);
  if (value & BigInt(VM_ENTRY_FAILURE)) return failedEntry(value, null);
  return { ...blank, kind: 'unknown', failed: true, reason: value, says: `entry failed, hardware error ${hex(value)}` };
}

const svmInvalid = (reason: bigint): Outcome => ({
  ...blank,
  kind: 'vmrun-invalid',
  isa: 'svm',
  failed: true,
  reason,
  says: 'VMRUN failed: VMEXIT_INVALID (exit code -1)',
});

const REFUSED_BY_XEN: Outcome = {
  ...blank,
  kind: 'vmrun-invalid',
  isa: 'svm',
  failed: true,
  says: 'Xen refused a VMCB before VMRUN, as it does with those of a nested guest',
};

/** Codes below zero: VMRUN itself failed. Kernels print 32 bits of them or 64. */
const SVM_FAILURES = SVM_EXIT_CODES.filter(({ code }) => code >> 63n === 1n);

function svmOutcome(dump: Dump): Outcome {
  const code = fieldOf(dump, 'EXIT_CODE');
  if (code === null) return { ...blank, kind: 'unknown', failed: null, says: 'the dump has no exit code' };
  const failure = SVM_FAILURES.find((exit) => BigInt.asUintN(32, code) === BigInt.asUintN(32, exit.code));
  if (failure !== undefined && (code >> 32n === 0n || code === failure.code)) {
    if (failure.code === SVM_EXIT_INVALID) return svmInvalid(code);
    const says = `VMRUN failed: VMEXIT_${failure.name} (exit code ${BigInt.asIntN(64, failure.code)}): ${failure.says}`;
    return { ...blank, kind: 'vmrun-invalid', isa: 'svm', failed: true, reason: code, says };
  }
  const name = SVM_EXIT_CODES.find((exit) => exit.code === code)?.name ?? 'unknown';
  return {
    ...blank,
    kind: 'exit',
    failed: false,
    reason: code,
    says: `VMRUN succeeded; the last #VMEXIT was ${name} (${hex(code)})`,
  };
}

function vmxOutcome(dump: Dump): Outcome {
  const access = dump.format === 'report' ? failedInstruction(dump) : null;
  if (access !== null) return { ...blank, kind: 'access', isa: 'vmx', failed: null, says: access };
  const error = fieldOf(dump, 'error.vm');
  if (error !== null) return vmfail(Number(error));
  const reason = fieldOf(dump, 'failure.reason') ?? fieldOf(dump, 'VM_EXIT_REASON');
  const entry = fieldOf(dump, 'failure.msr');
  const told = entry === null ? fieldOf(dump, 'failure.qualification') : entry + 1n;
  const qualification = told ?? fieldOf(dump, 'EXIT_QUALIFICATION');
  if (reason === null) return { ...blank, kind: 'unknown', failed: null, says: 'the dump has no exit reason' };
  if (reason & BigInt(VM_ENTRY_FAILURE)) return failedEntry(reason, qualification);
  const info = fieldOf(dump, 'VM_EXIT_INTR_INFO');
  if (reason === 0n && info === null) {
    const says =
      'the exit reason is 0, which is that of an exception or NMI or left from before the first exit, and the dump lacks the interruption information that tells which';
    return { ...blank, kind: 'unknown', failed: null, reason, qualification, says };
  }
  if (reason === 0n && info !== null && (info & INTR_VALID) === 0n) {
    return {
      ...blank,
      kind: 'vmfail',
      failed: true,
      reason,
      qualification,
      says: 'no VM exit has happened: an exit with reason 0 would have a valid interruption information, so the entry ended in VMfail',
    };
  }
  const basic = reason & BASIC;
  const name = basic < HIGHEST_BASIC ? vmxExitReasonName(Number(basic)) : null;
  return {
    ...blank,
    kind: 'exit',
    failed: false,
    reason,
    qualification,
    says: `the last VM exit was ${name ?? 'unknown'} (reason ${hex(reason)}), so the entry before it succeeded`,
  };
}

/** Architecture of the host, where a dump of its control structure in the same log tells it. */
export type Host = 'vmx' | 'svm' | null;

/** What happened. */
export function outcomeOf(dump: Dump, host: Host = null): Outcome {
  const outcome = ownOutcome(dump);
  return { ...outcome, isa: outcome.isa ?? FORMATS[dump.format].isa ?? host };
}

function ownOutcome(dump: Dump): Outcome {
  if (dump.format === 'qemu' || dump.format === 'report') {
    const error = fieldOf(dump, 'error.hardware');
    if (error !== null) return hardwareError(error);
    const internal = fieldOf(dump, 'error.internal');
    if (internal !== null) {
      const says = `KVM gave up on an exit (suberror ${internal}), not on an entry`;
      return { ...blank, kind: 'exit', failed: false, says };
    }
    if (dump.format === 'qemu') return { ...blank, kind: 'unknown', failed: null, says: 'no error is told' };
  }
  if (dump.format === 'xen-check') return REFUSED_BY_XEN;
  return FORMATS[dump.format].isa === 'svm' ? svmOutcome(dump) : vmxOutcome(dump);
}
