/** How a slow instruction (one written in TypeScript) ended. Faults are thrown (cpu/fault.ts). */
import type { Cpu } from './cpu.js';
import type { Insn } from './insn.js';

export const OUTCOME = {
  /** Retired; the next instruction follows. */
  next: 0,
  /** Retired; the next follows, but mode, privilege, translation or interrupt state changed: leave generated code. */
  nextLeave: 1,
  /** Retired; the instruction has set RIP. */
  jump: 2,
  /** Not retired: a VM exit, VM entry or switch of tasks happened and set RIP. Its ticks are spent already. */
  switched: 3,
  /** One iteration of a REP instruction is done and more remain: one tick passes, RIP stays. */
  repeat: 4,
} as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

export type SlowInstruction = (cpu: Cpu, insn: Insn) => Outcome;

/**
 * Names of slow instructions, as the decoder asks for them; each must stand in exactly one table of
 * `cpu/system/`, `vmx/` or `svm/`.
 */
export type SlowTable = { readonly [name: string]: SlowInstruction };
