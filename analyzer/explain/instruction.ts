/** What a failed VMREAD or VMWRITE means, which hypervisors report by the field. */
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

function meaning(field: bigint, error: bigint | null): string {
  if (error === 0n || (error === null && isBasic(field)))
    return `${NO_VMCS}${error === null ? ': every processor has this field' : ''}`;
  if (error === 12n && nameOf(field) === '') return 'no such field is known: is the encoding right?';
  if (error === 12n) return `${UNSUPPORTED}: ask its capability MSR before the access`;
  if (error === 13n) return 'the field is read-only, unless IA32_VMX_MISC bit 29 says otherwise';
  if (error === null) return `${UNSUPPORTED}, or ${NO_VMCS}`;
  return VM_INSTRUCTION_ERRORS[Number(error & 0xffn)] ?? 'no such error in the manual';
}

/** In words; null where the dump reports none. */
export function failedAccess(dump: Dump): string | null {
  const error = fieldOf(dump, 'error.vm');
  for (const [name, instruction] of [
    ['report.vmread', 'VMREAD of'],
    ['report.vmwrite', 'VMWRITE to'],
  ] as const) {
    const field = fieldOf(dump, name);
    if (field === null) continue;
    const number = error === null ? '' : ` with VM-instruction error ${error}`;
    const encoding = `${field.toString(16).toUpperCase()}H`;
    return `${instruction} field ${encoding}${nameOf(field)} failed${number}: ${meaning(field, error)}`;
  }
  return null;
}
