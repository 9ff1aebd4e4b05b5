/** MOV to and from debug registers. Breakpoints themselves are not taken; the registers hold what is written. */
import type { Cpu } from '../cpu.js';
import { CpuFault, generalProtection, invalidOpcode, VECTOR } from '../fault.js';
import { S } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { CR4 } from './control.js';
import { registerNumber, requireRing0 } from './operands.js';

/** DR7.GD: any access to a debug register raises #DB; bit 13 (BD) of the debug status says so. */
const GENERAL_DETECT = 0x2000;
const STATUS_BD = 0x2000n;

/** DR6: bits 11:4 and 31:16 read as 1, bit 12 as 0. DR7: bit 10 reads as 1, bits 11, 12, 14 and 15 as 0. */
const DR6_ONES = 0xffff_0ff0n;
const DR6_MASK = 0xe00fn;
const DR7_ONES = 0x400n;
const DR7_MASK = 0xffff_23ffn;

const SLOTS: { readonly [dr: number]: number } = { 0: S.DR0, 1: S.DR1, 2: S.DR2, 3: S.DR3, 6: S.DR6, 7: S.DR7 };

/** Slot of a debug register. DR4 and DR5 are DR6 and DR7 unless CR4.DE, which makes them #UD. */
function slotOf(cpu: Cpu, dr: number): number {
  if (dr === 4 || dr === 5) {
    if (cpu.u64(S.CR4) & CR4.DE) throw invalidOpcode();
    return dr === 4 ? S.DR6 : S.DR7;
  }
  const slot = SLOTS[dr];
  if (slot === undefined) throw invalidOpcode();
  return slot;
}

/** What both directions check: Intel SDM Vol. 2, "MOV - Move to/from Debug Registers"; true: a VM exit happened. */
function intercepted(cpu: Cpu, dr: number, write: boolean, register: number): boolean {
  requireRing0(cpu);
  if (cpu.intercepts.movDr(cpu, dr, write, registerNumber(register))) return true;
  if (cpu.u32(S.DR7) & GENERAL_DETECT) throw new CpuFault(VECTOR.DB, 0, STATUS_BD);
  return false;
}

const movToDr: SlowInstruction = (cpu, insn) => {
  const dr = insn.immediate32 & 0xff;
  const slot = slotOf(cpu, dr);
  if (intercepted(cpu, dr, true, insn.dst)) return OUTCOME.switched;
  const value = cpu.readRegister(insn.dst, insn.size);
  if ((slot === S.DR6 || slot === S.DR7) && value >> 32n !== 0n) throw generalProtection();
  if (slot === S.DR6) cpu.setU64(slot, (value & DR6_MASK) | DR6_ONES);
  else if (slot === S.DR7) cpu.setU64(slot, (value & DR7_MASK) | DR7_ONES);
  else cpu.setU64(slot, value);
  return OUTCOME.nextLeave;
};

const movFromDr: SlowInstruction = (cpu, insn) => {
  const dr = insn.immediate32 & 0xff;
  const slot = slotOf(cpu, dr);
  if (intercepted(cpu, dr, false, insn.dst)) return OUTCOME.switched;
  cpu.writeRegister(insn.dst, insn.size, cpu.u64(slot));
  return OUTCOME.next;
};

export const DEBUG: SlowTable = { mov_to_dr: movToDr, mov_from_dr: movFromDr };
