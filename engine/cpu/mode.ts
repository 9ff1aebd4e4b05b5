/** The decoder's key: what, besides the bytes themselves, decides how an instruction is decoded and addressed. */
import type { Cpu } from './cpu.js';
import { SEG, segBase, segLimit, segRights, UNUSABLE } from './layout.js';

/**
 * Bits of S.MODE. bits: log2 of the code size in 16-bit units (0: 16, 1: 32, 2: 64). flat: DS, ES, SS (and CS) are
 * base 0, limit 4 GiB, writable data, so that no segment check can fail. stack32: the stack pointer is ESP.
 */
export const MODE = { bitsMask: 3, flat: 4, stack32: 8 } as const;
/** Number of different keys. */
export const MODES = 16;

const isFlat = (cpu: Cpu, segment: number): boolean => {
  const rights = cpu.u32(segRights(segment));
  const code = segment === SEG.CS;
  // Type: accessed or not, writable data growing up, or code; present, granular in pages.
  const writableData = (rights & 0x1e) === 0x12;
  const typeFits = code ? (rights & 0x18) === 0x18 || writableData : writableData;
  return (
    !(rights & UNUSABLE) &&
    (rights & 0x80) !== 0 &&
    typeFits &&
    cpu.u64(segBase(segment)) === 0n &&
    cpu.u32(segLimit(segment)) === 0xffff_ffff
  );
};

export function modeOf(cpu: Cpu): number {
  if (cpu.mode64) return 2 | MODE.flat;
  const bits = cpu.u32(segRights(SEG.CS)) & 0x4000 ? 1 : 0;
  const flat = [SEG.CS, SEG.SS, SEG.DS, SEG.ES].every((segment) => isFlat(cpu, segment));
  const stack32 = (cpu.u32(segRights(SEG.SS)) & 0x4000) !== 0;
  return bits | (flat ? MODE.flat : 0) | (stack32 ? MODE.stack32 : 0);
}

/** Bits of code for a key: 16, 32 or 64. */
export const bitness = (mode: number): 16 | 32 | 64 => (mode & 2 ? 64 : mode & 1 ? 32 : 16);
