/** Far jumps, calls and returns, through segments and call gates. Intel SDM Vol. 2, "JMP", "CALL", "RET". */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import {
  type Descriptor,
  descriptorAddress,
  isNull,
  markAccessed,
  RIGHTS,
  readDescriptor,
  readHighHalf,
  SYSTEM,
} from '../descriptor.js';
import { CpuFault, generalProtection, VECTOR } from '../fault.js';
import type { Insn } from '../insn.js';
import { SEG, segLimit, segSelector } from '../layout.js';
import { OUTCOME, type Outcome, type SlowInstruction, type SlowTable } from '../outcome.js';
import { operandAddress, setCodeSegment, setNullSegment, setRealSegment, withCpl } from '../segments.js';
import { Stack } from '../stack.js';
import { type InnerStack, innerStack, readTss, setInnerStack } from '../vector.js';
import { checkCodeSize, checkReturnOffset, checkReturnStack, commitReturn, readReturnCode } from './returns.js';

interface Target {
  readonly selector: number;
  readonly offset: bigint;
}

/** Operand size: of a memory operand R.size counts the selector too. */
function operandSize(insn: Insn): AccessSize {
  const size = insn.isMemory ? insn.size - 2 : insn.size;
  return size === 8 ? 8 : size === 4 ? 4 : 2;
}

/** m16:16, m16:32, m16:64 or an immediate far pointer. */
function readTarget(cpu: Cpu, insn: Insn): Target {
  const size = operandSize(insn);
  if (insn.isMemory) {
    const offset = cpu.linear.load(cpu, operandAddress(cpu, insn, size, false), size);
    const selector = Number(cpu.linear.load(cpu, operandAddress(cpu, insn, 2, false, size), 2));
    return { selector, offset };
  }
  const selector = Number((insn.immediate >> 32n) & 0xffffn);
  return { selector, offset: BigInt.asUintN(8 * size, BigInt(insn.immediate32)) };
}

/** The next instruction's RIP, as a call pushes it. */
const nextRip = (cpu: Cpu, insn: Insn): bigint => BigInt.asUintN(cpu.mode64 ? 64 : 32, cpu.rip + BigInt(insn.length));

/** A code segment that a far transfer without a gate may enter: conforming, or of the very level. */
function readCode(cpu: Cpu, selector: number, code: Descriptor): void {
  const error = selector & 0xfffc;
  const fits = code.isConforming ? code.dpl <= cpu.cpl : (selector & 3) <= cpu.cpl && code.dpl === cpu.cpl;
  if (!fits) throw generalProtection(error);
  checkCodeSize(cpu, code, selector);
  if (!code.present) throw new CpuFault(VECTOR.NP, error);
}

function realTransfer(cpu: Cpu, target: Target, push: (() => void) | null): Outcome {
  if (target.offset > BigInt(cpu.u32(segLimit(SEG.CS)))) throw generalProtection();
  push?.();
  setRealSegment(cpu, SEG.CS, target.selector);
  cpu.rip = target.offset;
  return OUTCOME.jump;
}

/**
 * A task gate or TSS. In IA-32e mode none; elsewhere a VM exit or, as there is no switching of tasks by hardware here,
 * the fault of a descriptor that may not be used. `source`: 0 CALL, 2 JMP.
 */
function switchTask(cpu: Cpu, selector: number, source: bigint): Outcome {
  const qualification = BigInt(selector) | (source << 30n);
  if (!cpu.longMode && cpu.intercepts.instruction(cpu, 'task_switch', qualification)) return OUTCOME.switched;
  throw generalProtection(selector & 0xfffc);
}

interface Gate {
  readonly code: Descriptor;
  readonly selector: number;
  readonly offset: bigint;
  readonly size: AccessSize;
  readonly parameters: number;
}

const CALL_GATES = new Set<number>([SYSTEM.callGate16, SYSTEM.callGate32]);

/** A call gate and the code segment behind it, checked as far as JMP and CALL agree. */
function readGate(cpu: Cpu, gateSelector: number, gate: Descriptor): Gate {
  const error = gateSelector & 0xfffc;
  if (gate.dpl < cpu.cpl || gate.dpl < (gateSelector & 3)) throw generalProtection(error);
  if (!gate.present) throw new CpuFault(VECTOR.NP, error);
  let offset = BigInt(gate.type === SYSTEM.callGate16 ? gate.gateOffset & 0xffff : gate.gateOffset);
  if (cpu.longMode) {
    if (descriptorAddress(cpu, gateSelector, 16) === null) throw generalProtection(error);
    const high = readHighHalf(cpu, gate);
    if (high & 0x1f00_0000_0000n) throw generalProtection(error);
    offset |= (high & 0xffff_ffffn) << 32n;
  }
  const selector = gate.gateSelector;
  if (isNull(selector)) throw generalProtection();
  const code = readDescriptor(cpu, selector, VECTOR.GP);
  const codeError = selector & 0xfffc;
  const longOnly = cpu.longMode && (code.rights & (RIGHTS.long | RIGHTS.big)) !== RIGHTS.long;
  if (!code.isCode || code.dpl > cpu.cpl || longOnly) throw generalProtection(codeError);
  if (!code.present) throw new CpuFault(VECTOR.NP, codeError);
  const size = cpu.longMode ? 8 : gate.type === SYSTEM.callGate16 ? 2 : 4;
  return { code, selector, offset, size, parameters: cpu.longMode ? 0 : gate.high & 0x1f };
}

/** The descriptor behind a protected-mode far pointer. */
function readTargetDescriptor(cpu: Cpu, selector: number): Descriptor {
  if (isNull(selector)) throw generalProtection();
  return readDescriptor(cpu, selector, VECTOR.GP);
}

const isCallGate = (cpu: Cpu, descriptor: Descriptor): boolean =>
  CALL_GATES.has(descriptor.type) && !(cpu.longMode && descriptor.type === SYSTEM.callGate16);

const TASKS = new Set<number>([SYSTEM.tss16, SYSTEM.taskGate, SYSTEM.tss32]);

const jmpFar: SlowInstruction = (cpu, insn) => {
  const target = readTarget(cpu, insn);
  if (!cpu.protectedMode || cpu.virtual8086) return realTransfer(cpu, target, null);
  const descriptor = readTargetDescriptor(cpu, target.selector);
  let { selector, offset } = target;
  let code = descriptor;
  if (descriptor.isCode) readCode(cpu, selector, descriptor);
  else if (!descriptor.isSegment && isCallGate(cpu, descriptor)) {
    const gate = readGate(cpu, selector, descriptor);
    if (!gate.code.isConforming && gate.code.dpl !== cpu.cpl) throw generalProtection(gate.selector & 0xfffc);
    ({ code, selector, offset } = gate);
  } else if (!descriptor.isSegment && TASKS.has(descriptor.type)) return switchTask(cpu, selector, 2n);
  else throw generalProtection(selector & 0xfffc);
  checkReturnOffset(cpu, offset, code);
  setCodeSegment(cpu, selector, code, cpu.cpl);
  cpu.rip = offset;
  return OUTCOME.jump;
};

function pushReturn(cpu: Cpu, insn: Insn, stack: Stack, size: AccessSize): void {
  stack.push(size, BigInt(cpu.u32(segSelector(SEG.CS))));
  stack.push(size, nextRip(cpu, insn));
}

/** A call to a more privileged level: the old stack pointer, and parameters of a legacy gate, move to the new stack. */
function callInward(cpu: Cpu, insn: Insn, gate: Gate): void {
  const cpl = gate.code.dpl;
  const { size } = gate;
  const inner: InnerStack | null = size === 8 ? null : innerStack(cpu, cpl, 0);
  const stack =
    inner?.stack ?? new Stack(cpu, { base: 0n, limit: 0, rights: 0 }, readTss(cpu, 4 + 8 * cpl, 8, 0), 8, 0);
  const parameters: bigint[] = [];
  const old = Stack.current(cpu);
  for (let i = 0; i < gate.parameters; i++) parameters.push(old.pop(size));
  checkReturnOffset(cpu, gate.offset, gate.code);
  markAccessed(cpu, gate.code);
  withCpl(cpu, cpl, () => {
    stack.push(size, BigInt(cpu.u32(segSelector(SEG.SS))));
    stack.push(size, cpu.rsp);
    for (const parameter of parameters.reverse()) stack.push(size, parameter);
    pushReturn(cpu, insn, stack, size);
  });
  if (inner) setInnerStack(cpu, inner);
  else setNullSegment(cpu, SEG.SS, cpl);
  stack.commit();
  setCodeSegment(cpu, gate.selector, gate.code, cpl);
}

function callGate(cpu: Cpu, insn: Insn, selector: number, descriptor: Descriptor): Outcome {
  const gate = readGate(cpu, selector, descriptor);
  if (!gate.code.isConforming && gate.code.dpl < cpu.cpl) callInward(cpu, insn, gate);
  else {
    checkReturnOffset(cpu, gate.offset, gate.code);
    const stack = Stack.current(cpu);
    pushReturn(cpu, insn, stack, gate.size);
    stack.commit();
    setCodeSegment(cpu, gate.selector, gate.code, cpu.cpl);
  }
  cpu.rip = gate.offset;
  return OUTCOME.jump;
}

const callFar: SlowInstruction = (cpu, insn) => {
  const target = readTarget(cpu, insn);
  const size = operandSize(insn);
  if (!cpu.protectedMode || cpu.virtual8086) {
    return realTransfer(cpu, target, () => {
      const stack = Stack.current(cpu);
      pushReturn(cpu, insn, stack, size);
      stack.commit();
    });
  }
  const descriptor = readTargetDescriptor(cpu, target.selector);
  if (!descriptor.isSegment) {
    if (isCallGate(cpu, descriptor)) return callGate(cpu, insn, target.selector, descriptor);
    if (TASKS.has(descriptor.type)) return switchTask(cpu, target.selector, 0n);
  }
  if (!descriptor.isCode) throw generalProtection(target.selector & 0xfffc);
  readCode(cpu, target.selector, descriptor);
  checkReturnOffset(cpu, target.offset, descriptor);
  const stack = Stack.current(cpu);
  pushReturn(cpu, insn, stack, size);
  stack.commit();
  setCodeSegment(cpu, target.selector, descriptor, cpu.cpl);
  cpu.rip = target.offset;
  return OUTCOME.jump;
};

const retFar: SlowInstruction = (cpu, insn) => {
  const size = operandSize(insn);
  const extra = insn.immediate32 & 0xffff;
  const stack = Stack.current(cpu);
  const rip = stack.pop(size);
  const selector = Number(stack.pop(size) & 0xffffn);
  if (!cpu.protectedMode || cpu.virtual8086) {
    return realTransfer(cpu, { selector, offset: rip }, () => {
      stack.skip(extra);
      stack.commit();
    });
  }
  const code = readReturnCode(cpu, selector);
  stack.skip(extra);
  if ((selector & 3) === cpu.cpl) {
    checkReturnOffset(cpu, rip, code);
    stack.commit();
    commitReturn(cpu, rip, selector, code, null);
    return OUTCOME.jump;
  }
  const rsp = stack.pop(size);
  const ss = checkReturnStack(cpu, Number(stack.pop(size) & 0xffffn), selector & 3, code);
  checkReturnOffset(cpu, rip, code);
  // The parameters are released from the outer stack too.
  commitReturn(cpu, rip, selector, code, { rsp: rsp + BigInt(extra), ss });
  return OUTCOME.jump;
};

export const FAR: SlowTable = { jmp_far: jmpFar, call_far: callFar, ret_far: retFar };
