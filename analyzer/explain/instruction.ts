/** What a VMX instruction that failed means, other than an entry: hypervisors report it with its operands. */
import { FIELDS } from '../../engine/vmx/fields.js';
import { VM_INSTRUCTION_ERRORS } from '../detail-bits.js';
import { type Dump, fieldOf } from './dump.js';

/** The high half of a 64-bit field. */
const HIGH = 1n;

const nameOf = (encoding: bigint): string => {
  const exact = FIELDS.find((field) => BigInt(field.encoding) === encoding);
  const whole = exact ?? FIELDS.find((field) => BigInt(field.encoding) === encoding - HIGH && field.width === '64');
  return whole === undefined ? '' : ` (${whole.name}${exact === undefined ? '_HIGH' : ''})`;
};

const NO_VMCS = 'no VMCS was current (VMPTRLD was not executed on this CPU, or VMCLEAR followed)';
const UNSUPPORTED = 'the processor lacks the field, because it lacks the feature';

/** Every processor with VMX has the field. */
const isBasic = (encoding: bigint): boolean =>
  FIELDS.some((field) => BigInt(field.encoding) === encoding && field.needs.length === 0);

/**
 * What instructions other than entries fail with (SDM Vol. 3C, "VM Instruction Error Numbers"); 0 stands for
 * VMfailInvalid.
 */
export const INSTRUCTION_ERRORS = {
  VMREAD: [0, 12],
  VMWRITE: [0, 12, 13],
  VMCLEAR: [0, 2, 3],
  VMPTRLD: [0, 9, 10, 11],
  VMXON: [0, 15],
} as const;
type Instruction = keyof typeof INSTRUCTION_ERRORS;
const INSTRUCTIONS: readonly Instruction[] = ['VMREAD', 'VMWRITE', 'VMCLEAR', 'VMPTRLD', 'VMXON'];

const isErrorOf = (name: Instruction, error: bigint): boolean =>
  INSTRUCTION_ERRORS[name].some((one) => BigInt(one) === error);

/** With a current VMCS the failed instruction would have written one of its own numbers there. */
const noneOf = (name: Instruction, error: bigint): string =>
  `${error}, which was printed as its VM-instruction error, is none of ${name}: it was not read, because ${NO_VMCS}`;

function meaning(field: bigint, error: bigint | null): string {
  if (error === 0n || (error === null && isBasic(field)))
    return `${NO_VMCS}${error === null ? ': every processor has this field' : ''}`;
  if (error === 12n && nameOf(field) === '') return 'no such field is known: is the encoding right?';
  if (error === 12n) return `${UNSUPPORTED}: ask its capability MSR before the access`;
  if (error === 13n) return 'the field is read-only, unless IA32_VMX_MISC bit 29 says otherwise';
  return `${UNSUPPORTED}, or ${NO_VMCS}`;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function failedField(dump: Dump): string | null {
  const error = fieldOf(dump, 'error.vm');
  for (const [name, instruction, to] of [
    ['report.vmread', 'VMREAD', 'of'],
    ['report.vmwrite', 'VMWRITE', 'to'],
  ] as const) {
    const field = fieldOf(dump, name);
    if (field === null) continue;
    const encoding = `${field.toString(16).toUpperCase()}H`;
    const said = `${instruction} ${to} field ${encoding}${nameOf(field)} failed`;
    if (error !== null && !isErrorOf(instruction, error)) return `${said}: ${noneOf(instruction, error)}`;
    return `${said}${error === null ? '' : ` with VM-instruction error ${error}`}: ${meaning(field, error)}`;
  }
  return null;
}

/** Instructions on the address of a VMCS. */
const ON_VMCS = [
  { report: 'report.vmclear', name: 'VMCLEAR' },
  { report: 'report.vmptrld', name: 'VMPTRLD' },
] as const;
const PAGE = 0xfffn;

function failedPointer(dump: Dump): string | null {
  const error = fieldOf(dump, 'error.vm');
  for (const { report, name } of ON_VMCS) {
    const address = fieldOf(dump, report);
    if (address === null) continue;
    const said = `${name} of the VMCS at ${hex(address)} failed`;
    const meant = (number: number): string => VM_INSTRUCTION_ERRORS[number] ?? 'no such error in the manual';
    if (error !== null && !isErrorOf(name, error)) return `${said}: ${noneOf(name, error)}`;
    if (error !== null && error !== 0n) return `${said} with VM-instruction error ${error}: ${meant(Number(error))}`;
    if ((address & PAGE) !== 0n) return `${said}: the address is not aligned to 4 KiB`;
    const errors = INSTRUCTION_ERRORS[name]
      .filter((number) => number !== 0)
      .map((number) => `${number} (${meant(number)})`);
    return `${said}, with no error number: one of ${errors.join(', ')}`;
  }
  return null;
}

const EPTP_MEMORY_TYPE = 7n;
const WRITE_BACK = 6n;
/** What no processor takes in an EPT pointer (SDM Vol. 3C, "Extended-Page-Table Pointer"). */
const eptpWrong = (eptp: bigint): string | null => {
  const type = eptp & EPTP_MEMORY_TYPE;
  if (type !== 0n && type !== WRITE_BACK)
    return `memory type ${type} of the EPT pointer ${hex(eptp)} is neither 0 nor 6`;
  const levels = ((eptp >> 3n) & 7n) + 1n;
  if (levels !== 4n && levels !== 5n) return `the EPT pointer ${hex(eptp)} has a page-walk length of ${levels}`;
  return null;
};

const isCanonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(57, address)) === address;

const MOST_FIELD = 0xffffn;
/** No processor has more bits of a physical address. */
const PHYSICAL_BITS = 52n;
const isPhysical = (address: bigint): boolean => address >> PHYSICAL_BITS === 0n;
const isOfVmcs = (address: bigint): boolean => isPhysical(address) && (address & PAGE) === 0n;
const isEptp = (eptp: bigint): boolean => isPhysical(eptp) && eptpWrong(eptp) === null;

/** What the last number of a report can be, with more digits than it has in its line. */
const LONGER: { readonly [name: string]: (joined: bigint, alone: bigint) => boolean } = {
  'report.vmread': (joined) => joined <= MOST_FIELD,
  'report.vmclear': isOfVmcs,
  'report.vmptrld': isOfVmcs,
  'report.eptp': (joined, alone) => isEptp(joined) || (isPhysical(joined) && !isEptp(alone)),
  // One that is not canonical may be what failed; all of its digits are there.
  'report.gva': (joined) => isCanonical(joined) || joined >> 60n !== 0n,
};
/** An error that was not read is whatever a register held: of many digits. */
const LEAST_UNREAD = 10_000n;
const MOST_UNREAD = 0xffff_ffffn;

function isLongerError(name: Instruction, joined: bigint, alone: bigint): boolean {
  if (isErrorOf(name, alone) || isErrorOf(name, joined)) return isErrorOf(name, joined);
  return joined >= LEAST_UNREAD && joined <= MOST_UNREAD;
}

/**
 * Whether digits of the next line may be the rest of the last number of a report, which no printer begins with a 0.
 * @param names what the report gives, in order
 */
export function mayHaveMore(names: readonly (string | null)[], digits: string, rest: string): boolean {
  const last = names.at(-1) ?? '';
  if (digits === '0') return false;
  if (last !== 'error.vm.decimal') return LONGER[last]?.(BigInt(`0x${digits}${rest}`), BigInt(`0x${digits}`)) ?? false;
  const instruction = INSTRUCTIONS.find((name) => names.includes(`report.${name.toLowerCase()}`));
  const isDecimal = /^\d+$/.test(digits + rest);
  return isDecimal && instruction !== undefined && isLongerError(instruction, BigInt(digits + rest), BigInt(digits));
}

/** What of the operands no processor takes; null where it is a question of the processor. */
function inveptWrong(type: bigint, eptp: bigint | null): string | null {
  if (type !== 1n && type !== 2n) return `INVEPT has no type ${type}, only 1 (one EPT pointer) and 2 (all)`;
  return type === 1n && eptp !== null ? eptpWrong(eptp) : null;
}
function invvpidWrong(type: bigint, vpid: bigint | null, address: bigint | null): string | null {
  if (type > 3n) return `INVVPID has no type ${type}, only 0 to 3`;
  if (type !== 2n && vpid === 0n) return 'VPID 0 is that of the host, and only type 2 (all) takes it';
  if (type === 0n && address !== null && !isCanonical(address)) return `the address ${hex(address)} is not canonical`;
  return null;
}

const SUPPORT = 'ask IA32_VMX_EPT_VPID_CAP (MSR 48CH)';

function failedInvalidation(dump: Dump): string | null {
  const [invept, invvpid] = [fieldOf(dump, 'report.invept'), fieldOf(dump, 'report.invvpid')];
  if (invept !== null) {
    const wrong = inveptWrong(invept, fieldOf(dump, 'report.eptp'));
    const pointer = invept === 1n ? ', or an entry with this EPT pointer would fail on it' : '';
    return `INVEPT of type ${invept} failed: ${wrong ?? `the processor lacks this type${pointer}: ${SUPPORT}`}`;
  }
  if (invvpid === null) return null;
  const vpid = fieldOf(dump, 'report.vpid');
  const wrong = invvpidWrong(invvpid, vpid, fieldOf(dump, 'report.gva'));
  return `INVVPID of type ${invvpid} for VPID ${vpid ?? '?'} failed: ${wrong ?? `the processor lacks this type, or the address is beyond its linear-address width: ${SUPPORT}`}`;
}

/** In words; null where the dump reports none. */
export const failedInstruction = (dump: Dump): string | null =>
  failedField(dump) ?? failedPointer(dump) ?? failedInvalidation(dump);
