/** SYSCALL, SYSRET, SYSENTER, SYSEXIT and SWAPGS: Intel SDM Vol. 2. Segments are loaded with fixed attributes. */
import type { Cpu } from '../cpu.js';
import { generalProtection, invalidOpcode } from '../fault.js';
import { FLAG } from '../flags.js';
import { GPR, S, SEG, segBase } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { isCanonical, setCpl, setSegment } from '../segments.js';
import { EFER } from './control.js';
import { requireRing0 } from './operands.js';

/** Flat segments: code (execute, read, accessed) or data (write, accessed), present, granular. */
const CODE = 0x809b;
const DATA = 0xc093;
const LONG = 0x2000;
const BIG = 0x4000;
const dplBits = (cpl: number): number => cpl << 5;

/** Loads CS and SS flat for a level; `long`: 64-bit code. */
function loadFlat(cpu: Cpu, cs: number, ss: number, cpl: number, long: boolean): void {
  setSegment(cpu, SEG.CS, cs, 0n, 0xffff_ffff, CODE | (long ? LONG : BIG) | dplBits(cpl));
  setSegment(cpu, SEG.SS, ss, 0n, 0xffff_ffff, DATA | dplBits(cpl));
  setCpl(cpu, cpl);
  cpu.updateMode();
}

function requireSyscall(cpu: Cpu): void {
  if (!cpu.mode64 || !(cpu.u64(S.EFER) & EFER.SCE)) throw invalidOpcode();
}

const syscall: SlowInstruction = (cpu, insn) => {
  requireSyscall(cpu);
  cpu.setU64(GPR.RCX, BigInt.asUintN(64, cpu.rip + BigInt(insn.length)));
  const flags = cpu.rflags & ~FLAG.RF;
  cpu.setU32(GPR.R11, flags);
  cpu.rflags = flags & ~cpu.u32(S.FMASK);
  const star = cpu.u32(S.STAR + 4) & 0xffff;
  loadFlat(cpu, star & 0xfffc, (star + 8) & 0xffff, 0, true);
  cpu.rip = cpu.u64(S.LSTAR);
  return OUTCOME.jump;
};

/** Flags that SYSRET takes from R11: all but RF, VM and the reserved ones. */
const SYSRET_FLAGS = 0x3c_7fd7;

const sysret: SlowInstruction = (cpu, insn) => {
  requireSyscall(cpu);
  requireRing0(cpu);
  const long = insn.size === 8;
  const rip = long ? cpu.u64(GPR.RCX) : BigInt(cpu.u32(GPR.RCX));
  if (!isCanonical(rip)) throw generalProtection();
  cpu.rflags = (cpu.u32(GPR.R11) & SYSRET_FLAGS) | 2;
  const star = cpu.u32(S.STAR + 4) >>> 16;
  loadFlat(cpu, ((star + (long ? 16 : 0)) & 0xffff) | 3, ((star + 8) & 0xffff) | 3, 3, long);
  cpu.rip = rip;
  return OUTCOME.jump;
};

const sysenter: SlowInstruction = (cpu) => {
  const selector = cpu.u32(S.SYSENTER_CS) & 0xffff;
  if (!cpu.protectedMode || (selector & 0xfffc) === 0) throw generalProtection();
  const long = cpu.longMode;
  cpu.rflags = cpu.rflags & ~(FLAG.VM | FLAG.IF | FLAG.RF);
  const rsp = cpu.u64(S.SYSENTER_ESP);
  const rip = cpu.u64(S.SYSENTER_EIP);
  loadFlat(cpu, selector & 0xfffc, ((selector & 0xfffc) + 8) & 0xffff, 0, long);
  cpu.rsp = long ? rsp : rsp & 0xffff_ffffn;
  cpu.rip = long ? rip : rip & 0xffff_ffffn;
  return OUTCOME.jump;
};

const sysexit: SlowInstruction = (cpu, insn) => {
  const selector = cpu.u32(S.SYSENTER_CS) & 0xffff;
  if (!cpu.protectedMode || (selector & 0xfffc) === 0) throw generalProtection();
  requireRing0(cpu);
  const long = insn.size === 8;
  const rsp = long ? cpu.u64(GPR.RCX) : BigInt(cpu.u32(GPR.RCX));
  const rip = long ? cpu.u64(GPR.RDX) : BigInt(cpu.u32(GPR.RDX));
  if (!isCanonical(rsp) || !isCanonical(rip)) throw generalProtection();
  loadFlat(cpu, ((selector + (long ? 32 : 16)) & 0xffff) | 3, ((selector + (long ? 40 : 24)) & 0xffff) | 3, 3, long);
  cpu.rsp = rsp;
  cpu.rip = rip;
  return OUTCOME.jump;
};

const swapgs: SlowInstruction = (cpu) => {
  if (!cpu.mode64) throw invalidOpcode();
  requireRing0(cpu);
  const base = cpu.u64(segBase(SEG.GS));
  cpu.setU64(segBase(SEG.GS), cpu.u64(S.KERNEL_GS_BASE));
  cpu.setU64(S.KERNEL_GS_BASE, base);
  return OUTCOME.next;
};

export const SYSCALL: SlowTable = { syscall, sysret, sysenter, sysexit, swapgs };
