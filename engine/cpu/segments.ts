/** Segment registers: loading them, and forming linear addresses through them. */
import type { Cpu } from './cpu.js';
import { type Descriptor, isNull, markAccessed, RIGHTS, readDescriptor } from './descriptor.js';
import { CpuFault, generalProtection, VECTOR } from './fault.js';
import type { Insn } from './insn.js';
import { S, SEG, segBase, segLimit, segRights, segSelector, UNUSABLE } from './layout.js';

/** Rights of a segment in virtual-8086 mode: data, writable, accessed, DPL 3. */
export const RIGHTS_V86 = 0xf3;
/** Rights of a segment after reset. */
const RIGHTS_REAL = 0x93;

/** Changes the privilege level, and with it what translations may be used. */
export function setCpl(cpu: Cpu, level: number): void {
  cpu.setU32(S.CPL, level);
  cpu.translations.retag();
}

/** Runs `action` at another privilege level, and returns to the old one if it throws. */
export function withCpl<T>(cpu: Cpu, level: number, action: () => T): T {
  const old = cpu.cpl;
  if (level === old) return action();
  setCpl(cpu, level);
  try {
    return action();
  } catch (error) {
    setCpl(cpu, old);
    throw error;
  }
}

/** Writes every part of a segment register; the caller recomputes the mode. */
export function setSegment(cpu: Cpu, n: number, selector: number, base: bigint, limit: number, rights: number): void {
  cpu.setU32(segSelector(n), selector);
  cpu.setU64(segBase(n), base);
  cpu.setU32(segLimit(n), limit);
  cpu.setU32(segRights(n), rights);
}

/** Loads a data register with a null selector: it becomes unusable. SS keeps the privilege level as its DPL. */
export function setNullSegment(cpu: Cpu, n: number, selector: number): void {
  const dpl = n === SEG.SS ? (selector & 3) << 5 : 0;
  setSegment(cpu, n, selector, 0n, 0, UNUSABLE | dpl);
}

/** Loads a register from a checked descriptor, sets the accessed bit and recomputes the mode. */
export function setFromDescriptor(cpu: Cpu, n: number, selector: number, descriptor: Descriptor): void {
  const rights = markAccessed(cpu, descriptor);
  setSegment(cpu, n, selector, BigInt(descriptor.base), descriptor.limit, rights);
  cpu.updateMode();
}

/** Loads a register as real-address and virtual-8086 mode do: base is selector * 16. */
export function setRealSegment(cpu: Cpu, n: number, selector: number): void {
  const base = BigInt(selector << 4);
  if (cpu.virtual8086) setSegment(cpu, n, selector, base, 0xffff, RIGHTS_V86);
  else {
    // Limit and attributes stay as protected mode left them ("big real mode").
    const rights = cpu.u32(segRights(n));
    const lost = (rights & UNUSABLE) !== 0;
    setSegment(cpu, n, selector, base, lost ? 0xffff : cpu.u32(segLimit(n)), lost ? RIGHTS_REAL : rights);
  }
  cpu.updateMode();
}

/**
 * Loads CS and the privilege level from a checked code descriptor. RIP is the caller's.
 */
export function setCodeSegment(cpu: Cpu, selector: number, descriptor: Descriptor, cpl: number): void {
  const rights = markAccessed(cpu, descriptor);
  setSegment(cpu, SEG.CS, (selector & 0xfffc) | cpl, BigInt(descriptor.base), descriptor.limit, rights);
  setCpl(cpu, cpl);
  cpu.updateMode();
}

/** True where a null selector may be loaded into SS: 64-bit mode, CPL below 3, RPL equal to CPL. */
const nullStackAllowed = (cpu: Cpu, selector: number): boolean =>
  cpu.mode64 && cpu.cpl < 3 && (selector & 3) === cpu.cpl;

/** Checks for SS: Intel SDM Vol. 2, "MOV", "IF SS is loaded". */
function loadStackSegment(cpu: Cpu, selector: number): void {
  if (isNull(selector)) {
    if (!nullStackAllowed(cpu, selector)) throw generalProtection();
    setNullSegment(cpu, SEG.SS, selector);
    cpu.updateMode();
    return;
  }
  const error = selector & 0xfffc;
  const descriptor = readDescriptor(cpu, selector, VECTOR.GP);
  const cpl = cpu.cpl;
  if ((selector & 3) !== cpl || descriptor.dpl !== cpl || !descriptor.isWritableData) throw generalProtection(error);
  if (!descriptor.present) throw new CpuFault(VECTOR.SS, error);
  setFromDescriptor(cpu, SEG.SS, selector, descriptor);
}

/**
 * Loads ES, SS, DS, FS or GS as MOV, POP and LDS do. Throws #GP, #NP, #SS (Intel SDM Vol. 2, "MOV") or what reading
 * the descriptor throws.
 */
export function loadSegment(cpu: Cpu, n: number, selector: number): void {
  if (!cpu.protectedMode || cpu.virtual8086) {
    setRealSegment(cpu, n, selector);
    return;
  }
  if (n === SEG.SS) {
    loadStackSegment(cpu, selector);
    return;
  }
  if (isNull(selector)) {
    setNullSegment(cpu, n, selector);
    cpu.updateMode();
    return;
  }
  const error = selector & 0xfffc;
  const descriptor = readDescriptor(cpu, selector, VECTOR.GP);
  if (!descriptor.isReadable) throw generalProtection(error);
  // Both RPL and CPL must be able to see it, unless it is conforming code.
  if (!descriptor.isConforming && Math.max(selector & 3, cpu.cpl) > descriptor.dpl) throw generalProtection(error);
  if (!descriptor.present) throw new CpuFault(VECTOR.NP, error);
  setFromDescriptor(cpu, n, selector, descriptor);
}

/** Canonical: bits 63:47 are equal. */
export const isCanonical = (linear: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;

const stackOrGeneral = (segment: number): CpuFault =>
  segment === SEG.SS ? new CpuFault(VECTOR.SS) : generalProtection();

/** True where [offset, offset + size) lies inside a segment. */
export function insideLimit(rights: number, limit: number, offset: number, size: number): boolean {
  const last = offset + size - 1;
  const expandsDown = (rights & 0x1c) === (RIGHTS.segment | RIGHTS.expandDown);
  if (!expandsDown) return last <= limit;
  return offset > limit && last <= (rights & RIGHTS.big ? 0xffff_ffff : 0xffff);
}

/** May a segment with these rights be read or written, in protected mode outside 64-bit mode. */
const typeAllows = (rights: number, write: boolean): boolean => {
  if (rights & UNUSABLE) return false;
  const code = (rights & RIGHTS.code) !== 0;
  return write ? !code && (rights & RIGHTS.writable) !== 0 : !code || (rights & RIGHTS.readable) !== 0;
};

/**
 * Linear address of an access through a segment register. Throws #SS(0) for SS and #GP(0) for others where the limit,
 * the type or canonical form forbids it.
 */
export function linearAddress(cpu: Cpu, segment: number, offset: bigint, size: number, write: boolean): bigint {
  if (cpu.mode64) {
    const base = segment === SEG.FS || segment === SEG.GS ? cpu.u64(segBase(segment)) : 0n;
    const linear = BigInt.asUintN(64, base + offset);
    const last = BigInt.asUintN(64, linear + BigInt(size - 1));
    if (!isCanonical(linear) || !isCanonical(last)) throw stackOrGeneral(segment);
    return linear;
  }
  const rights = cpu.u32(segRights(segment));
  const protectedTypes = cpu.protectedMode && !cpu.virtual8086;
  if (protectedTypes && !typeAllows(rights, write)) throw stackOrGeneral(segment);
  if (!insideLimit(rights, cpu.u32(segLimit(segment)), Number(offset & 0xffff_ffffn), size)) {
    throw stackOrGeneral(segment);
  }
  return BigInt.asUintN(32, cpu.u64(segBase(segment)) + offset);
}

/** Offset that an instruction's memory operand names, before the segment's base. */
export function effectiveAddress(cpu: Cpu, insn: Insn): bigint {
  const sum = cpu.u64(insn.base) + (cpu.u64(insn.index) << BigInt(insn.scale)) + insn.displacement;
  return BigInt.asUintN(8 * insn.addressSize, sum);
}

/** Linear address of an instruction's memory operand of `size` bytes, `at` bytes in. */
export function operandAddress(cpu: Cpu, insn: Insn, size: number, write: boolean, at = 0): bigint {
  const offset = BigInt.asUintN(8 * insn.addressSize, effectiveAddress(cpu, insn) + BigInt(at));
  return linearAddress(cpu, insn.segment, offset, size, write);
}
