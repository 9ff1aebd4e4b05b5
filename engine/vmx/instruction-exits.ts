/**
 * Instructions that a VM exit may stand before: Vol. 3C, "Instructions That Cause VM Exits". The reason, what asks for
 * the exit, and what the exit is about in the trace.
 */
import type { Cpu } from '../cpu/cpu.js';
import type { Insn } from '../cpu/insn.js';
import type { Intercepted } from '../cpu/intercepts.js';
import { GPR } from '../cpu/layout.js';
import { PRIMARY, SECONDARY } from './controls.js';
import { invalidationInfo, randomInfo, selectorInfo, tableInfo, vmreadInfo } from './info.js';

export interface InstructionExit {
  readonly reason: number;
  /** Control bit that asks for the exit; both 0: it always happens. */
  readonly primary: number;
  readonly secondary: number;
  /** Secondary control without which the instruction does not exist in the guest (#UD). */
  readonly enable: number;
  /** General register whose low 32 bits the trace's `code` column gets; -1: none. */
  readonly about: number;
  readonly info: ((cpu: Cpu, insn: Insn) => number) | null;
}

const exit = (reason: number, rest: Partial<InstructionExit> = {}): InstructionExit => ({
  reason,
  primary: 0,
  secondary: 0,
  enable: 0,
  about: -1,
  info: null,
  ...rest,
});

const register = (slot: number): number => (slot >> 3) & 15;
const first = (_cpu: Cpu, insn: Insn): number => invalidationInfo(insn, register(insn.dst));
const memoryOnly = (_cpu: Cpu, insn: Insn): number => invalidationInfo(insn, 0);
const table = (identity: number) => ({
  secondary: SECONDARY.descriptorTable,
  info: (_cpu: Cpu, insn: Insn) => tableInfo(insn, identity),
});
const selector = (identity: number) => ({
  secondary: SECONDARY.descriptorTable,
  info: (_cpu: Cpu, insn: Insn) => selectorInfo(insn, identity),
});

/** PAUSE-loop exiting, MWAIT and MONITOR qualifications come with the call; VMFUNC is #UD without its control. */
export const INSTRUCTION_EXITS: { readonly [name in Intercepted]?: InstructionExit } = {
  cpuid: exit(10, { about: GPR.RAX }),
  getsec: exit(11, { about: GPR.RAX }),
  hlt: exit(12, { primary: PRIMARY.hlt }),
  invd: exit(13),
  invlpg: exit(14, { primary: PRIMARY.invlpg }),
  rdpmc: exit(15, { primary: PRIMARY.rdpmc, about: GPR.RCX }),
  rdtsc: exit(16, { primary: PRIMARY.rdtsc }),
  rsm: exit(17),
  vmcall: exit(18, { about: GPR.RAX }),
  vmclear: exit(19, { info: memoryOnly }),
  vmlaunch: exit(20),
  vmptrld: exit(21, { info: memoryOnly }),
  vmptrst: exit(22, { info: memoryOnly }),
  vmread: exit(23, { info: (_cpu, insn) => vmreadInfo(insn, register(insn.src), register(insn.dst)) }),
  vmresume: exit(24),
  vmwrite: exit(25, { info: (_cpu, insn) => vmreadInfo(insn, register(insn.dst), register(insn.src)) }),
  vmxoff: exit(26),
  vmxon: exit(27, { info: memoryOnly }),
  mwait: exit(36, { primary: PRIMARY.mwait }),
  monitor: exit(39, { primary: PRIMARY.monitor }),
  pause: exit(40, { primary: PRIMARY.pause }),
  task_switch: exit(9),
  sgdt: exit(46, table(0)),
  sidt: exit(46, table(1)),
  lgdt: exit(46, table(2)),
  lidt: exit(46, table(3)),
  sldt: exit(47, selector(0)),
  str: exit(47, selector(1)),
  lldt: exit(47, selector(2)),
  ltr: exit(47, selector(3)),
  invept: exit(50, { info: first }),
  rdtscp: exit(51, { primary: PRIMARY.rdtsc, enable: SECONDARY.rdtscp }),
  invvpid: exit(53, { info: first }),
  wbinvd: exit(54, { secondary: SECONDARY.wbinvd }),
  xsetbv: exit(55, { about: GPR.RCX }),
  rdrand: exit(57, { secondary: SECONDARY.rdrand, info: (_cpu, insn) => randomInfo(insn) }),
  invpcid: exit(58, { primary: PRIMARY.invlpg, enable: SECONDARY.invpcid, info: first }),
  rdseed: exit(61, { secondary: SECONDARY.rdseed, info: (_cpu, insn) => randomInfo(insn) }),
};
