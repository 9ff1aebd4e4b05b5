/**
 * Errors of VM instructions and entries as hypervisors word them in a line of a log, in the one spelling that rows.ts
 * reads. A number is hexadecimal with `0x` and decimal without; one that is no such error makes the line an ordinary one.
 */

/** Rows of these lines; what follows is hexadecimal. */
export const BARE = { error: 'vm-instruction-error:', entry: 'vm-entry-failure:' } as const;

const NUMBER = String.raw`(0x[0-9a-f]{1,16}|\d{1,20})(?![\w.])`;
/** What is counted is no number of an error. */
const NO_COUNT = '(?! (?:lines?|times?|bytes?|seconds?|minutes?|hours?|days?|calls?|places?|cases?|errors?|tests?)\\b)';
/** ` code: `, `=`, ` number is `, or a blank. */
const TO = String.raw`(?:[ _](?:code|number|field|status))?\s*(?:[:=]|\bis\b|\bwas\b)?\s*\(?`;

interface Wording {
  readonly pattern: RegExp;
  readonly as: (typeof BARE)[keyof typeof BARE];
  readonly isOne: (value: bigint) => boolean;
}

const HIGHEST = 28n;
const isError = (value: bigint): boolean => value > 0n && value <= HIGHEST;
/** Bit 31 with invalid guest state, MSR loading or a machine check. */
const isEntryFailure = (value: bigint): boolean => [0x8000_0021n, 0x8000_0022n, 0x8000_0029n].includes(value);
const isInvalid = (value: bigint): boolean => value === 0xffff_ffffn || value === 0xffff_ffff_ffff_ffffn;
const isReason = (value: bigint): boolean => isError(value) || isEntryFailure(value) || isInvalid(value);
/** What certainly is a KVM_EXIT_FAIL_ENTRY may give 0, which no processor does. */
const isReasonOrNone = (value: bigint): boolean => value === 0n || isReason(value);

const WORDINGS: readonly Wording[] = [
  {
    pattern: new RegExp(String.raw`\bvm[-_ ]?instruction[-_ ]?error${TO}${NUMBER}`, 'i'),
    as: BARE.error,
    isOne: isError,
  },
  {
    pattern: new RegExp(
      String.raw`\bvm(?:launch|resume)\b(?:\s+(?:has\s+)?failed|\s+failure)?[,:;.]?\s*(?:\(|with |due to |- )?\s*(?:vm[- ]?)?err(?:or)?${TO}${NUMBER}${NO_COUNT}`,
      'i',
    ),
    as: BARE.error,
    isOne: isError,
  },
  {
    pattern: new RegExp(String.raw`\bvm[-_ ]?entry\s+fail(?:ed|ure)\b[^0-9(\n]{0,40}?${NUMBER}`, 'i'),
    as: BARE.entry,
    isOne: isEntryFailure,
  },
  {
    // kvm-ioctls as {:?}, in Cloud Hypervisor and others: a pair once, and a structure since.
    pattern: new RegExp(String.raw`\b\w{0,40}FailEntry\s*(?:\(|\{\s*hardware_entry_failure_reason:)\s*${NUMBER}`),
    as: BARE.entry,
    isOne: isReasonOrNone,
  },
  {
    // Firecracker, Dragonball.
    pattern: new RegExp(String.raw`\bKVM_EXIT_FAIL_ENTRY signal\b[^0-9\n]{0,80}(?:: |reasons\()${NUMBER}`),
    as: BARE.entry,
    isOne: isReasonOrNone,
  },
  {
    // crosvm.
    pattern: new RegExp(String.raw`\bvcpu hw run failure: ${NUMBER}`),
    as: BARE.entry,
    isOne: isReasonOrNone,
  },
  {
    pattern: new RegExp(String.raw`\bhardware_entry_failure_reason${TO}${NUMBER}`, 'i'),
    as: BARE.entry,
    isOne: isReason,
  },
];

/** A line of a program, not what it printed. */
const SOURCE = /\bassert\w*!?\s*\(|=>|[;{]\s*$/;

/** Any of them has one of these words, and most lines of a log have none. */
const WORTH_A_LOOK = /vm[-_ ]?instruction|vmlaunch|vmresume|vm[-_ ]?entry|failure_reason|fail_?entry|hw run failure/i;

/** Whether a line is worth a closer look. */
export const mayReport = (line: string): boolean => WORTH_A_LOOK.test(line);

/** The line in the spelling of BARE, where it reports such an error; else the line as it is. */
export function respelled(line: string): string {
  if (!mayReport(line) || (line.includes('FailEntry') && SOURCE.test(line))) return line;
  for (const { pattern, as, isOne } of WORDINGS) {
    const found = pattern.exec(line);
    if (found === null) continue;
    const value = BigInt(found[1] ?? '0');
    if (isOne(value))
      return `${line.slice(0, found.index)}${as} 0x${value.toString(16)}${line.slice(found.index + found[0].length)}`;
  }
  return line;
}
