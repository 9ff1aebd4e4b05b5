/** The interrupt flag, software interrupts and RFLAGS on the stack: CLI, STI, INT n, PUSHF, POPF, STAC, CLAC. */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { BLOCKING, type Delivery, softwareInterrupt } from '../delivery.js';
import { generalProtection, invalidOpcode, VECTOR } from '../fault.js';
import { FLAG } from '../flags.js';
import { S } from '../layout.js';
import { OUTCOME, type Outcome, type SlowInstruction, type SlowTable } from '../outcome.js';
import { Stack } from '../stack.js';
import { EVENT_TYPE } from '../vector.js';

export const ioplOf = (cpu: Cpu): number => (cpu.u32(S.RFLAGS_REST) & FLAG.IOPL) >> 12;

const setRest = (cpu: Cpu, set: number, clear: number): void =>
  cpu.setU32(S.RFLAGS_REST, ((cpu.u32(S.RFLAGS_REST) & ~clear) | set) >>> 0);

/** CLI and STI: CPL must not exceed IOPL. (The models have no VME, hence no virtual interrupt flag.) */
function requireIopl(cpu: Cpu): void {
  if (cpu.protectedMode && cpu.cpl > ioplOf(cpu)) throw generalProtection();
}

const cli: SlowInstruction = (cpu) => {
  requireIopl(cpu);
  setRest(cpu, 0, FLAG.IF);
  return OUTCOME.nextLeave;
};

/** Interrupts stay blocked for one more instruction where IF was clear: the run loop ends the shadow. */
const sti: SlowInstruction = (cpu) => {
  requireIopl(cpu);
  if (!(cpu.u32(S.RFLAGS_REST) & FLAG.IF)) {
    cpu.setU32(S.INTERRUPTIBILITY, cpu.u32(S.INTERRUPTIBILITY) | BLOCKING.sti);
    setRest(cpu, FLAG.IF, 0);
  }
  return OUTCOME.nextLeave;
};

/** The instruction retires where its own handler runs; else a fault or VM exit took its place. */
const outcomeOf = (delivery: Delivery): Outcome => (delivery === 'delivered' ? OUTCOME.jump : OUTCOME.switched);

/** In virtual-8086 mode INT n needs IOPL 3; INT3, INTO and INT1 do not. */
const intN: SlowInstruction = (cpu, insn) => {
  if (cpu.virtual8086 && ioplOf(cpu) < 3) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'int_n', BigInt(insn.immediate32 & 0xff))) return OUTCOME.switched;
  return outcomeOf(softwareInterrupt(cpu, insn.immediate32 & 0xff, EVENT_TYPE.softwareInterrupt, insn.length));
};

const int3: SlowInstruction = (cpu, insn) =>
  outcomeOf(softwareInterrupt(cpu, VECTOR.BP, EVENT_TYPE.softwareException, insn.length));

const into: SlowInstruction = (cpu, insn) => {
  if (cpu.mode64) throw invalidOpcode();
  if (!(cpu.rflags & FLAG.OF)) return OUTCOME.next;
  return outcomeOf(softwareInterrupt(cpu, VECTOR.OF, EVENT_TYPE.softwareException, insn.length));
};

const int1: SlowInstruction = (cpu, insn) => {
  if (cpu.intercepts.instruction(cpu, 'icebp')) return OUTCOME.switched;
  return outcomeOf(softwareInterrupt(cpu, VECTOR.DB, EVENT_TYPE.privilegedException, insn.length));
};

const accessSize = (size: number): AccessSize => (size === 8 ? 8 : size === 4 ? 4 : 2);

const pushf: SlowInstruction = (cpu, insn) => {
  if (cpu.virtual8086 && ioplOf(cpu) < 3) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'pushf')) return OUTCOME.switched;
  const stack = Stack.current(cpu);
  // VM and RF are clear in the image: Intel SDM Vol. 2, "PUSHF".
  stack.push(accessSize(insn.size), BigInt((cpu.rflags & ~(FLAG.VM | FLAG.RF)) >>> 0));
  stack.commit();
  return OUTCOME.next;
};

/** Flags that POPF and IRET may change at any privilege. */
const COMMON = 0xcd5 | FLAG.TF | FLAG.NT;
const WIDE = FLAG.AC | FLAG.ID;

/**
 * RFLAGS after a load of `image` of `size` bytes at privilege `cpl`: IOPL changes in ring 0 only, IF where CPL does not
 * exceed IOPL, VM, VIF and VIP stay as they are. RF is cleared by every instruction that completes, the loader's successor
 * included, and is never kept: nothing here breaks on instructions.
 */
export function loadedFlags(cpu: Cpu, image: number, size: number, cpl: number): number {
  let mask = COMMON;
  if (cpl <= ioplOf(cpu)) mask |= FLAG.IF;
  if (cpl === 0) mask |= FLAG.IOPL;
  if (size > 2) mask |= WIDE;
  return ((cpu.rflags & ~mask & ~FLAG.RF) | (image & mask)) >>> 0;
}

const popf: SlowInstruction = (cpu, insn) => {
  if (cpu.virtual8086 && ioplOf(cpu) < 3) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'popf')) return OUTCOME.switched;
  const stack = Stack.current(cpu);
  const image = Number(stack.pop(accessSize(insn.size)) & 0xffff_ffffn);
  stack.commit();
  const changedAc = (cpu.rflags ^ image) & FLAG.AC;
  cpu.rflags = loadedFlags(cpu, image, insn.size, cpu.cpl);
  if (changedAc) cpu.translations.retag();
  return OUTCOME.nextLeave;
};

/** STAC and CLAC: SMAP looks at AC, so that translations change with it. */
const setAc =
  (value: boolean): SlowInstruction =>
  (cpu) => {
    if (cpu.cpl !== 0) throw invalidOpcode();
    setRest(cpu, value ? FLAG.AC : 0, FLAG.AC);
    cpu.translations.retag();
    return OUTCOME.nextLeave;
  };

export const INTERRUPTS: SlowTable = {
  cli,
  sti,
  int_n: intN,
  int3,
  into,
  int1,
  pushf,
  popf,
  stac: setAc(true),
  clac: setAc(false),
};
