/** BOUND and ENTER: ordinary instructions too intricate for generated code. */
import type { AccessSize } from '../../memory/access.js';
import { CpuFault, invalidOpcode, VECTOR } from '../fault.js';
import { GPR, SEG } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { linearAddress, operandAddress } from '../segments.js';
import { Stack } from '../stack.js';

const bound: SlowInstruction = (cpu, insn) => {
  if (!insn.isMemory || cpu.mode64) throw invalidOpcode();
  const size: AccessSize = insn.size === 4 ? 4 : 2;
  const signed = (value: bigint): bigint => BigInt.asIntN(8 * size, value);
  const index = signed(cpu.readRegister(insn.dst, size));
  const lower = signed(cpu.linear.load(cpu, operandAddress(cpu, insn, size, false), size));
  const upper = signed(cpu.linear.load(cpu, operandAddress(cpu, insn, size, false, size), size));
  if (index < lower || index > upper) throw new CpuFault(VECTOR.BR);
  return OUTCOME.next;
};

/** Intel SDM Vol. 2, "ENTER": allocates a frame, with copies of the enclosing frames' pointers for a nesting level. */
const enter: SlowInstruction = (cpu, insn) => {
  const size: AccessSize = insn.size === 8 ? 8 : insn.size === 4 ? 4 : 2;
  const level = Number((insn.immediate >> 32n) & 0x1fn);
  const stack = Stack.current(cpu);
  const width = stack.width;
  stack.push(size, cpu.readRegister(GPR.RBP, size));
  const frame = stack.pointer;
  let enclosing = cpu.readRegister(GPR.RBP, width);
  for (let i = 1; i < level; i++) {
    enclosing = BigInt.asUintN(8 * width, enclosing - BigInt(size));
    stack.push(size, cpu.linear.load(cpu, linearAddress(cpu, SEG.SS, enclosing, size, false), size));
  }
  if (level > 0) stack.push(size, frame);
  stack.skip(-(insn.immediate32 & 0xffff));
  // The frame must be usable: a fault of its lowest element is ENTER's own.
  cpu.linear.probeStore(cpu, linearAddress(cpu, SEG.SS, stack.pointer, size, true), size);
  cpu.writeRegister(GPR.RBP, size, frame);
  stack.commit();
  return OUTCOME.next;
};

export const FRAME: SlowTable = { bound, enter };
