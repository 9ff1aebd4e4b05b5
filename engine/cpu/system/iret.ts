/** IRET: returns inside a mode, to an outer level, and to virtual-8086 mode. Intel SDM Vol. 2, "IRET". */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { BLOCKING } from '../delivery.js';
import { generalProtection } from '../fault.js';
import { FLAG } from '../flags.js';
import { S, SEG, segLimit } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { setCpl, setRealSegment } from '../segments.js';
import { Stack } from '../stack.js';
import { ioplOf, loadedFlags } from './interrupts.js';
import { checkReturnOffset, checkReturnStack, commitReturn, readReturnCode } from './returns.js';

const VIRTUAL = FLAG.VIF | FLAG.VIP;

/** Real-address mode, and virtual-8086 mode with IOPL 3: IP, CS and FLAGS, no privilege. */
function returnReal(cpu: Cpu, stack: Stack, size: AccessSize): void {
  const rip = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  const image = Number(stack.pop(size) & 0xffff_ffffn);
  if (rip > BigInt(cpu.u32(segLimit(SEG.CS)))) throw generalProtection();
  stack.commit();
  const keeps = cpu.virtual8086 ? FLAG.IOPL : 0;
  const flags = loadedFlags(cpu, image, size, 0);
  cpu.rflags = (flags & ~keeps) | (cpu.rflags & keeps);
  setRealSegment(cpu, SEG.CS, selector);
  cpu.rip = rip;
}

/** From ring 0, with VM set in the image: ESP, SS, ES, DS, FS and GS follow. */
function returnVirtual8086(cpu: Cpu, stack: Stack, rip: bigint, selector: number, image: number): void {
  const esp = stack.pop(4);
  const [ss, es, ds, fs, gs] = [0, 1, 2, 3, 4].map(() => Number(stack.pop(4) & 0xffffn));
  cpu.rflags = (loadedFlags(cpu, image, 4, 0) | FLAG.VM | (image & VIRTUAL)) >>> 0;
  setRealSegment(cpu, SEG.CS, selector);
  for (const [n, value] of [
    [SEG.SS, ss],
    [SEG.ES, es],
    [SEG.DS, ds],
    [SEG.FS, fs],
    [SEG.GS, gs],
  ] as const) {
    setRealSegment(cpu, n, value ?? 0);
  }
  cpu.rsp = esp;
  setCpl(cpu, 3);
  cpu.rip = rip & 0xffffn;
}

function returnProtected(cpu: Cpu, stack: Stack, size: AccessSize): void {
  const rip = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  const image = Number(stack.pop(size) & 0xffff_ffffn);
  const from = cpu.cpl;
  if (image & FLAG.VM && from === 0 && size === 4 && !cpu.longMode) {
    returnVirtual8086(cpu, stack, rip, selector, image);
    return;
  }
  const code = readReturnCode(cpu, selector);
  // In 64-bit mode SS:RSP is popped even where the level stays.
  const switches = cpu.mode64 || (selector & 3) > from;
  const loaded = loadedFlags(cpu, image, size, from);
  // Unlike POPF, IRET in ring 0 loads VIF and VIP too.
  const flags = from === 0 && size > 2 ? (loaded & ~VIRTUAL) | (image & VIRTUAL) : loaded;
  if (switches) {
    const rsp = stack.pop(size);
    const ss = checkReturnStack(cpu, Number(stack.pop(size) & 0xffffn), selector & 3, code);
    checkReturnOffset(cpu, rip, code);
    commitReturn(cpu, rip, selector, code, { rsp, ss });
  } else {
    checkReturnOffset(cpu, rip, code);
    stack.commit();
    commitReturn(cpu, rip, selector, code, null);
  }
  cpu.rflags = flags;
  cpu.translations.retag();
}

const iret: SlowInstruction = (cpu, insn) => {
  const virtual = cpu.virtual8086;
  if (virtual && ioplOf(cpu) < 3) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'iret')) return OUTCOME.switched;
  const size: AccessSize = insn.size === 8 ? 8 : insn.size === 4 ? 4 : 2;
  const nested = cpu.protectedMode && !virtual && (cpu.u32(S.RFLAGS_REST) & FLAG.NT) !== 0;
  if (nested) {
    // Returning to another task. In IA-32e mode #GP(0) by the manual; elsewhere a VM exit or, as there is no switching
    // of tasks by hardware here, the fault of a back link that names no task.
    const exits = !cpu.longMode && cpu.intercepts.instruction(cpu, 'task_switch', 1n << 30n);
    if (exits) return OUTCOME.switched;
    throw generalProtection();
  }
  // NMIs are unblocked even where the rest of the instruction faults.
  cpu.setU32(S.INTERRUPTIBILITY, cpu.u32(S.INTERRUPTIBILITY) & ~BLOCKING.nmi);
  const stack = Stack.current(cpu);
  if (!cpu.protectedMode || virtual) returnReal(cpu, stack, size);
  else returnProtected(cpu, stack, size);
  return OUTCOME.jump;
};

export const IRET: SlowTable = { iret };
