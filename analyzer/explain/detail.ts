/** Which bits of a value break a rule about bits. */
import { SEV_FEATURES_DEFINED } from '../../engine/svm/checks/terms.js';
import { VMX_MSR } from '../../engine/vmx/capabilities.js';
import { decodeBits } from './decode.js';
import { type Dump, fieldOf } from './dump.js';
import { bounds, type Processor } from './processor.js';

/** Rules on fixed bits, by id: the field, and the MSRs that name the bits that must and may be 1. */
const FIXED: { readonly [id: string]: readonly [field: string, fixed0: number, fixed1: number] } = {
  'guest.cr0.fixed': ['GUEST_CR0', VMX_MSR.cr0Fixed0, VMX_MSR.cr0Fixed1],
  'guest.cr4.fixed': ['GUEST_CR4', VMX_MSR.cr4Fixed0, VMX_MSR.cr4Fixed1],
  'host.cr0.fixed': ['HOST_CR0', VMX_MSR.cr0Fixed0, VMX_MSR.cr0Fixed1],
  'host.cr4.fixed': ['HOST_CR4', VMX_MSR.cr4Fixed0, VMX_MSR.cr4Fixed1],
};

/** Rules on a mask of allowed bits, by id: the value, or what holds a copy of it, the mask, and the bits it is about. */
const MASKED: { readonly [id: string]: readonly [fields: readonly string[], mask: string, about: bigint] } = {
  'svm.sev_features.allowed': [
    ['SEV_FEATURES', 'GUEST_SEV_FEATURES'],
    'ALLOWED_SEV_FEATURES',
    BigInt(SEV_FEATURES_DEFINED >>> 0),
  ],
};

function beyondMask(id: string, dump: Dump): string[] {
  const [fields, mask, about] = MASKED[id] ?? [[], '', 0n];
  const field = fields.find((name) => dump.values.has(name));
  const [value, allowed] = [fieldOf(dump, field ?? ''), fieldOf(dump, mask)];
  if (field === undefined || value === null || allowed === null) return [];
  const beyond = value & about & ~allowed;
  const bits = [...beyond.toString(2)].reverse().flatMap((digit, bit) => (digit === '1' ? [bit] : []));
  if (bits.length === 0) return [];
  const which = `${bits.length === 1 ? 'bit' : 'bits'} ${bits.join(', ')}`;
  return [
    `${which} of ${field} (${decodeBits('SEV_FEATURES', beyond).join(', ')}) ${bits.length === 1 ? 'is' : 'are'} not in ${mask}`,
  ];
}

/** The bits in words; empty where the rule is not about fixed or allowed bits. */
export function detailOf(id: string, dump: Dump, processor: Processor): string[] {
  if (MASKED[id] !== undefined) return beyondMask(id, dump);
  const rule = FIXED[id];
  const value = rule === undefined ? null : fieldOf(dump, rule[0]);
  if (rule === undefined || value === null) return [];
  const [field, fixed0, fixed1] = rule;
  const [least] = bounds(fieldOf(dump, 'HOST_CR4'));
  const known = processor.msr(fixed1) !== null;
  const must = processor.msr(fixed0) ?? least.msr(fixed0) ?? 0n;
  const may = processor.msr(fixed1) ?? least.msr(fixed1) ?? 0n;
  const said: string[] = [];
  const clear = decodeBits(field, must & ~value);
  if (clear.length > 0) said.push(`${clear.join(', ')} must be 1`);
  const set = decodeBits(field, value & ~may);
  if (set.length > 0) said.push(`${set.join(', ')} must be 0${known ? '' : ' unless the processor has that feature'}`);
  return said;
}
