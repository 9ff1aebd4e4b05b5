/** Linear addresses as the paging in use takes them, which may be fewer bits than the processor supports. */
import { ENTRY } from '../../engine/vmx/controls.js';
import { type Dump, fieldOf } from './dump.js';

const LA57 = 1n << 12n;
const CS_L = 1n << 13n;

/** Bits of a linear address by CR4.LA57. */
export const linearBitsOf = (dump: Dump, cr4: 'GUEST_CR4' | 'HOST_CR4' = 'GUEST_CR4'): 48 | 57 =>
  ((fieldOf(dump, cr4) ?? 0n) & LA57) === 0n ? 48 : 57;

/** All bits from the highest of `bits` up are equal. */
export const isCanonical = (value: bigint, bits: number): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(bits, value)) === value;

/** The guest of a VMCS runs in 64-bit mode: "IA-32e mode guest" and CS.L. */
export function in64BitMode(dump: Dump): boolean {
  const [controls, rights] = [fieldOf(dump, 'VM_ENTRY_CONTROLS'), fieldOf(dump, 'GUEST_CS_AR_BYTES')];
  return controls !== null && rights !== null && (controls & BigInt(ENTRY.ia32e)) !== 0n && (rights & CS_L) !== 0n;
}
