/** What makes an EPT pointer valid: the same rules for VM entry and INVEPT (Vol. 3C, "Extended-Page-Table Pointer"). */
import type { Cpu } from '../../cpu/cpu.js';
import { EPT_VPID, VMX_MSR } from '../capabilities.js';

const MEMORY_TYPES: { readonly [type: number]: bigint } = { 0: EPT_VPID.uncacheable, 6: EPT_VPID.writeBack };
/** Bits 5:3: the walk's length less 1. */
const WALKS: { readonly [length: number]: bigint } = { 3: EPT_VPID.walk4, 4: EPT_VPID.walk5 };
const ACCESSED_DIRTY = 1 << 6;
const SHADOW_STACK = 1 << 7;
const RESERVED = 0xf00;

const has = (low: number, high: number, capability: bigint | undefined): boolean =>
  capability !== undefined && ((BigInt(low) | (BigInt(high) << 32n)) & capability) !== 0n;

export const memoryTypeFits = (eptp: number, low: number, high: number): boolean =>
  has(low, high, MEMORY_TYPES[eptp & 7]);
export const walkFits = (eptp: number, low: number, high: number): boolean => has(low, high, WALKS[(eptp >>> 3) & 7]);
export const flagsFit = (eptp: number, low: number, high: number): boolean =>
  !(eptp & ACCESSED_DIRTY) || has(low, high, EPT_VPID.accessedDirty);
export const shadowStackFits = (eptp: number, low: number, high: number): boolean =>
  !(eptp & SHADOW_STACK) || has(low, high, EPT_VPID.shadowStack);
export const reservedClear = (eptp: number): boolean => (eptp & RESERVED) === 0;

/** All of them, for a whole pointer. */
export function validEptp(cpu: Cpu, eptp: bigint): boolean {
  const capability = cpu.vmx.capabilities.read(VMX_MSR.eptVpid);
  const low = Number(capability & 0xffff_ffffn);
  const high = Number(capability >> 32n);
  const word = Number(eptp & 0xffff_ffffn);
  const fits = [memoryTypeFits, walkFits, flagsFit, shadowStackFits].every((rule) => rule(word, low, high));
  return fits && reservedClear(word) && eptp >> BigInt(cpu.model.physicalBits) === 0n;
}
