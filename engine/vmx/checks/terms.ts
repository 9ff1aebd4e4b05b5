/** The vocabulary of the checks: questions about fields that the tables combine. */
import { ENTRY, PRIMARY } from '../controls.js';
import { F } from '../fields.js';
import type { CheckState } from './check.js';

/** Bit `n` of a field. */
export const bit = (s: CheckState, field: number, n: number): boolean =>
  ((n < 32 ? s.low(field) >>> n : s.high(field) >>> (n - 32)) & 1) !== 0;

/** True where no bit of the masks is set. */
export const clear = (s: CheckState, field: number, low: number, high = 0): boolean =>
  (s.low(field) & low) === 0 && (high === 0 || (s.high(field) & high) === 0);

/** Bits 63:32 are 0. */
export const below4G = (s: CheckState, field: number): boolean => s.high(field) === 0;

/** Bits 11:0 are 0. */
export const pageAligned = (s: CheckState, field: number): boolean => (s.low(field) & 0xfff) === 0;

/** No bit beyond the physical-address width. */
export const inWidth = (s: CheckState, field: number): boolean => s.high(field) >>> (s.physicalBits - 32) === 0;

/** Bits 62:61 of CR3, LAM_U48 and LAM_U57. */
const LAM = 0x6000_0000;

/** No bit beyond the physical-address width but those of linear-address masking, where the processor has it. */
export const validCr3 = (s: CheckState, field: number): boolean => {
  const high = s.high(field);
  return ((high & ~LAM) >>> 0) >>> (s.physicalBits - 32) === 0 && ((high & LAM) === 0 || s.has('LAM'));
};

/** All bits from the highest linear-address bit up are equal. */
export const canonical = (s: CheckState, field: number, bits = s.linearBits): boolean => {
  const top = (s.high(field) | 0) >> (bits - 33);
  return top === 0 || top === -1;
};

/** All bits beyond the linear-address width are equal to each other; unlike `canonical`, the highest one inside may differ. */
export const inLinearWidth = (s: CheckState, field: number): boolean => {
  const top = (s.high(field) | 0) >> (s.linearBits - 32);
  return top === 0 || top === -1;
};

/** The value is what FIXED0 and FIXED1 demand; `free` bits may be 0 where FIXED0 wants 1. */
export const fixed = (s: CheckState, field: number, fixed0: number, fixed1: number, free = 0): boolean =>
  (s.capabilityLow(fixed0) & ~free & ~s.low(field)) === 0 &&
  (s.low(field) & ~s.capabilityLow(fixed1)) === 0 &&
  (s.capabilityHigh(fixed0) & ~s.high(field)) === 0 &&
  (s.high(field) & ~s.capabilityHigh(fixed1)) === 0;

/** Eight memory types, none of them 2, 3 or above 7. */
export const validPat = (s: CheckState, field: number): boolean => {
  for (const word of [s.low(field), s.high(field)]) {
    if (word & 0xf8f8_f8f8) return false;
    // 2 and 3 are the types with bit 1 set and bit 2 clear.
    if ((word >>> 1) & ~(word >>> 2) & 0x0101_0101) return false;
  }
  return true;
};

export const pin = (s: CheckState, mask: number): boolean => (s.low(F.PIN_BASED_VM_EXEC_CONTROL) & mask) !== 0;
export const primary = (s: CheckState, mask: number): boolean => (s.low(F.CPU_BASED_VM_EXEC_CONTROL) & mask) !== 0;
/** Secondary controls count only where the primary ones activate them. */
export const secondary = (s: CheckState, mask: number): boolean =>
  primary(s, PRIMARY.secondary) && (s.low(F.SECONDARY_VM_EXEC_CONTROL) & mask) !== 0;
export const tertiary = (s: CheckState, mask: number): boolean =>
  primary(s, PRIMARY.tertiary) && (s.low(F.TERTIARY_VM_EXEC_CONTROL) & mask) !== 0;
export const exit = (s: CheckState, mask: number): boolean => (s.low(F.VM_EXIT_CONTROLS) & mask) !== 0;
export const exit2 = (s: CheckState, mask: number): boolean =>
  exit(s, 1 << 31) && (s.low(F.SECONDARY_VM_EXIT_CONTROLS) & mask) !== 0;
export const entry = (s: CheckState, mask: number): boolean => (s.low(F.VM_ENTRY_CONTROLS) & mask) !== 0;
/** An SMM-transfer monitor makes the entry, which leaves SMM. */
export const returnsFromSmm = (s: CheckState): boolean => s.register('SMM') !== 0 && !entry(s, ENTRY.smm);

/** What those questions read. */
export const PIN_CONTROLS = [F.PIN_BASED_VM_EXEC_CONTROL] as const;
export const PRIMARY_CONTROLS = [F.CPU_BASED_VM_EXEC_CONTROL] as const;
export const SECONDARY_CONTROLS = [F.CPU_BASED_VM_EXEC_CONTROL, F.SECONDARY_VM_EXEC_CONTROL] as const;
export const TERTIARY_CONTROLS = [F.CPU_BASED_VM_EXEC_CONTROL, F.TERTIARY_VM_EXEC_CONTROL] as const;
export const EXIT_CONTROLS = [F.VM_EXIT_CONTROLS] as const;
export const EXIT2_CONTROLS = [F.VM_EXIT_CONTROLS, F.SECONDARY_VM_EXIT_CONTROLS] as const;
export const ENTRY_CONTROLS = [F.VM_ENTRY_CONTROLS] as const;

/** The entry injects an event, of the given type where one is named. */
export const injects = (s: CheckState, type?: number): boolean => {
  const info = s.low(F.VM_ENTRY_INTR_INFO_FIELD);
  return info >>> 31 === 1 && (type === undefined || ((info >>> 8) & 7) === type);
};
export const injectedType = (s: CheckState): number => (s.low(F.VM_ENTRY_INTR_INFO_FIELD) >>> 8) & 7;
export const injectedVector = (s: CheckState): number => s.low(F.VM_ENTRY_INTR_INFO_FIELD) & 0xff;
export const INJECTION = [F.VM_ENTRY_INTR_INFO_FIELD] as const;
