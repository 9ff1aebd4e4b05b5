/** What IRET and far RET share: the checks of the code and stack segment returned to. Intel SDM Vol. 2, "RET", "IRET". */
import type { Cpu } from '../cpu.js';
import { type Descriptor, isNull, markAccessed, RIGHTS, readDescriptor } from '../descriptor.js';
import { CpuFault, generalProtection, VECTOR } from '../fault.js';
import { GPR, SEG, segRights, UNUSABLE } from '../layout.js';
import { insideLimit, isCanonical, setCodeSegment, setNullSegment, setSegment } from '../segments.js';

/** True where a code descriptor is of 64-bit code, and IA-32e mode is active. */
export const isLongCode = (cpu: Cpu, code: Descriptor): boolean => cpu.longMode && (code.rights & RIGHTS.long) !== 0;

/** Throws #GP(selector) for L and D both set in IA-32e mode. */
export function checkCodeSize(cpu: Cpu, code: Descriptor, selector: number): void {
  const both = RIGHTS.long | RIGHTS.big;
  if (cpu.longMode && (code.rights & both) === both) throw generalProtection(selector & 0xfffc);
}

/** The code segment that a return leads to, at the level of the selector's RPL, which must not be an inner one. */
export function readReturnCode(cpu: Cpu, selector: number): Descriptor {
  if (isNull(selector)) throw generalProtection();
  const error = selector & 0xfffc;
  const code = readDescriptor(cpu, selector, VECTOR.GP);
  const rpl = selector & 3;
  const levelFits = code.isConforming ? code.dpl <= rpl : code.dpl === rpl;
  if (!code.isCode || rpl < cpu.cpl || !levelFits) throw generalProtection(error);
  checkCodeSize(cpu, code, selector);
  if (!code.present) throw new CpuFault(VECTOR.NP, error);
  return code;
}

/** Throws #GP(0) where the instruction pointer lies outside the segment or is not canonical. */
export function checkReturnOffset(cpu: Cpu, rip: bigint, code: Descriptor): void {
  const valid = isLongCode(cpu, code)
    ? isCanonical(rip)
    : insideLimit(code.rights & ~RIGHTS.expandDown, code.limit, Number(rip & 0xffff_ffffn), 1);
  if (!valid) throw generalProtection();
}

/** SS for a return; descriptor null: a null selector, which 64-bit code below ring 3 may have. */
export interface ReturnStack {
  readonly selector: number;
  readonly descriptor: Descriptor | null;
}

/** Checks SS for a return to `rpl`. Throws #GP or #SS. */
export function checkReturnStack(cpu: Cpu, selector: number, rpl: number, code: Descriptor): ReturnStack {
  if (isNull(selector)) {
    if (!isLongCode(cpu, code) || rpl === 3 || (selector & 3) !== rpl) throw generalProtection();
    return { selector, descriptor: null };
  }
  const error = selector & 0xfffc;
  const descriptor = readDescriptor(cpu, selector, VECTOR.GP);
  if ((selector & 3) !== rpl || descriptor.dpl !== rpl || !descriptor.isWritableData) throw generalProtection(error);
  if (!descriptor.present) throw new CpuFault(VECTOR.SS, error);
  return { selector, descriptor };
}

/** Data registers that an outer level may not see become null: "RET", "RETURN-TO-OUTER-PRIVILEGE-LEVEL". */
function dropInnerSegments(cpu: Cpu): void {
  for (const n of [SEG.ES, SEG.DS, SEG.FS, SEG.GS]) {
    const rights = cpu.u32(segRights(n));
    const conforming = (rights & 0x1c) === 0x1c;
    if (!(rights & UNUSABLE) && !conforming && ((rights >> 5) & 3) < cpu.cpl) setNullSegment(cpu, n, 0);
  }
}

/** Loads what was checked; `stack` null: SS stays, and the caller has moved RSP. */
export function commitReturn(
  cpu: Cpu,
  rip: bigint,
  selector: number,
  code: Descriptor,
  stack: { rsp: bigint; ss: ReturnStack } | null,
): void {
  const from = cpu.cpl;
  const ssRights = stack?.ss.descriptor ? markAccessed(cpu, stack.ss.descriptor) : 0;
  setCodeSegment(cpu, selector, code, selector & 3);
  if (stack) {
    const { selector: ss, descriptor } = stack.ss;
    if (descriptor) setSegment(cpu, SEG.SS, ss, BigInt(descriptor.base), descriptor.limit, ssRights);
    else setNullSegment(cpu, SEG.SS, ss);
    cpu.writeRegister(GPR.RSP, cpu.mode64 ? 8 : ssRights & RIGHTS.big ? 4 : 2, stack.rsp);
  }
  if (cpu.cpl > from) dropInnerSegments(cpu);
  cpu.updateMode();
  cpu.rip = cpu.mode64 ? rip : rip & 0xffff_ffffn;
}
