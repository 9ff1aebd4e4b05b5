/** Errors of this room that a user can cause: what happened and what to do; where and why come with the error. */
import { CodedError, type ErrorSpec } from '../engine/errors.js';

export const ANALYSIS_ERRORS = {
  NOT_REPLAYABLE: { what: 'trace cannot be replayed', advice: 'replay a trace that trapline record wrote' },
  OTHER_SEMANTICS: {
    what: 'trace was recorded by another version of the machine',
    advice: 'replay it with that version of Trapline, or record it again; every other command works on it',
  },
  BAD_RECORD: {
    what: 'trace contradicts itself',
    advice: 'it was altered, or something other than trapline record wrote it: record again',
  },
  BAD_CHECKPOINT: { what: 'checkpoint cannot be used', advice: 'start from another one, or from the beginning' },
  NO_CHECKPOINT: { what: 'no such checkpoint', advice: 'name one that is there, or start from the beginning' },
  NO_DUMP: {
    what: 'no state dump and no VMX error found',
    advice: 'give the log with the dump that KVM (dump_invalid_vmcs=1), Xen or QEMU printed',
  },
  LOG_UTF16: {
    what: 'the log is text in UTF-16',
    advice: 'run `iconv -f utf-16 -t utf-8 FILE | trapline explain -`',
  },
  LOG_COMPRESSED: { what: 'the log is compressed', advice: 'pipe what is in it into trapline explain -' },
  NO_FAILURE: {
    what: 'no VM entry failed in this run',
    advice: 'name an event with --event to look at the VMCS as of it',
  },
  NO_FAILURE_RECORDED: {
    what: 'a recording without a failed VM entry',
    advice: 'see where its exits go with trapline profile; explain takes the kernel log of an entry that failed',
  },
  NO_VMCS: {
    what: 'there is no VMCS at that event',
    advice: 'name an exit, an entry, or a VMX instruction of the trace (trapline query)',
  },
  LOG_TOO_LARGE: { what: 'log is too large', advice: 'cut the part around the failure out, with grep or tail' },
  BAD_MSRS: {
    what: 'not a list of MSRs',
    advice: 'write one MSR a line: its number, a blank, its value in hexadecimal',
  },
  BAD_CPUID: {
    what: 'no CPUID of a processor can be read',
    advice: 'give /proc/cpuinfo of the host, or what cpuid -1 -r or kcpuid -r prints there',
  },
  BAD_SYMBOLS: {
    what: 'no symbols can be read',
    advice: 'give an ELF file, System.map, /proc/kallsyms, the output of nm or a perf map',
  },
  NO_SYMBOL: { what: 'file has no such symbol', advice: 'name one that it has' },
  TOO_MANY_EVENTS: { what: 'more events than a timeline can hold', advice: 'profile it, or record less at a time' },
} as const satisfies { readonly [code: string]: ErrorSpec };
export type AnalysisErrorCode = keyof typeof ANALYSIS_ERRORS;

export class AnalysisError extends CodedError<AnalysisErrorCode> {
  constructor(code: AnalysisErrorCode, where: string, why: string | null = null, advice: string | null = null) {
    super(ANALYSIS_ERRORS[code], code, where, why, advice);
  }
}
