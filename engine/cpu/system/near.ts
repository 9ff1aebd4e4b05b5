/**
 * Stack and near branches where generated code has no form for them: segments that are not flat, 16-bit stacks,
 * operands of another size than the stack's.
 */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { generalProtection } from '../fault.js';
import type { Insn } from '../insn.js';
import { GPR, gpr, S, SEG, segLimit } from '../layout.js';
import { OUTCOME, type Outcome, type SlowTable } from '../outcome.js';
import { isCanonical, operandAddress } from '../segments.js';
import { Stack } from '../stack.js';
import { readRm } from './operands.js';

/** Size of a stack operand: PUSH and POP of 1 byte (imm8) take the operand size of the mode. */
const operandSize = (insn: Insn): AccessSize => (insn.size === 2 ? 2 : insn.size === 8 ? 8 : 4);

/** Jumps to an offset in CS: #GP(0) beyond the limit, or where it is not canonical. */
function jumpTo(cpu: Cpu, target: bigint): Outcome {
  const inside = cpu.mode64 ? isCanonical(target) : target <= BigInt(cpu.u32(segLimit(SEG.CS)));
  if (!inside) throw generalProtection();
  cpu.rip = target;
  return OUTCOME.jump;
}

const nextRip = (cpu: Cpu, insn: Insn): bigint => cpu.rip + BigInt(insn.length);

/** The decoder's branch immediate is relative to the page. */
const relativeTarget = (cpu: Cpu, insn: Insn): bigint =>
  BigInt.asUintN(8 * insn.size, cpu.u64(S.PAGE_LINEAR) + insn.immediate);

const hasRelativeTarget = (insn: Insn): boolean => !insn.isMemory && insn.dst === S.ZERO;

const targetOf = (cpu: Cpu, insn: Insn): bigint =>
  hasRelativeTarget(insn) ? relativeTarget(cpu, insn) : readRm(cpu, insn, insn.dst, operandSize(insn));

function call(cpu: Cpu, insn: Insn): Outcome {
  const target = targetOf(cpu, insn);
  const stack = Stack.current(cpu);
  stack.push(operandSize(insn), nextRip(cpu, insn));
  const outcome = jumpTo(cpu, target);
  stack.commit();
  return outcome;
}

function ret(cpu: Cpu, insn: Insn): Outcome {
  const stack = Stack.current(cpu);
  const target = stack.pop(operandSize(insn));
  stack.skip(insn.immediate32 & 0xffff);
  const outcome = jumpTo(cpu, target);
  stack.commit();
  return outcome;
}

function push(cpu: Cpu, insn: Insn): Outcome {
  const size = operandSize(insn);
  const isImmediate = !insn.isMemory && insn.dst === S.ZERO;
  const value = isImmediate ? insn.immediate : readRm(cpu, insn, insn.dst, size);
  const stack = Stack.current(cpu);
  stack.push(size, value);
  stack.commit();
  return OUTCOME.next;
}

function pop(cpu: Cpu, insn: Insn): Outcome {
  const size = operandSize(insn);
  const stack = Stack.current(cpu);
  const value = stack.pop(size);
  const before = cpu.rsp;
  // The address of a memory operand is computed with the stack pointer after the pop: Intel SDM Vol. 2B, POP.
  stack.commit();
  if (!insn.isMemory) {
    cpu.writeRegister(insn.dst, size, value);
    return OUTCOME.next;
  }
  try {
    cpu.linear.store(cpu, operandAddress(cpu, insn, size, true), size, value);
  } catch (fault) {
    cpu.rsp = before;
    throw fault;
  }
  return OUTCOME.next;
}

function pushAll(cpu: Cpu, insn: Insn): Outcome {
  const size = insn.size === 2 ? 2 : 4;
  const stack = Stack.current(cpu);
  // RSP is pushed as it was before.
  for (let n = 0; n < 8; n++) stack.push(size, cpu.readRegister(gpr(n), size));
  stack.commit();
  return OUTCOME.next;
}

function popAll(cpu: Cpu, insn: Insn): Outcome {
  const size = insn.size === 2 ? 2 : 4;
  const stack = Stack.current(cpu);
  const values: bigint[] = [];
  for (let n = 7; n >= 0; n--) values[n] = stack.pop(size);
  stack.commit();
  values.forEach((value, n) => {
    if (gpr(n) !== GPR.RSP) cpu.writeRegister(gpr(n), size, value);
  });
  return OUTCOME.next;
}

function leave(cpu: Cpu, insn: Insn): Outcome {
  const size = operandSize(insn);
  const stack = Stack.current(cpu);
  stack.pointer = cpu.readRegister(GPR.RBP, stack.width);
  const frame = stack.pop(size);
  stack.commit();
  cpu.writeRegister(GPR.RBP, size, frame);
  return OUTCOME.next;
}

export const NEAR: SlowTable = {
  call,
  ret,
  jmp: (cpu, insn) => jumpTo(cpu, targetOf(cpu, insn)),
  push,
  pop,
  pusha: pushAll,
  popa: popAll,
  leave,
};
