/** IN, OUT, INS and OUTS: permission, interception, transfer. Intel SDM Vol. 1, "Input/Output". */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { wrap } from '../descriptor.js';
import { generalProtection } from '../fault.js';
import { FLAG } from '../flags.js';
import { type Insn, PREFIX } from '../insn.js';
import type { IoAccess } from '../intercepts.js';
import { GPR, S, SEG, segBase, segLimit, segRights } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { linearAddress } from '../segments.js';

/** Offset of the I/O map base in a 32- and 64-bit TSS. */
const MAP_BASE = 102;

/** Intel SDM Vol. 1, "I/O Permission Bit Map". Throws #GP(0). */
export function checkIoPermission(cpu: Cpu, port: number, size: number): void {
  if (!cpu.protectedMode) return;
  const iopl = (cpu.u32(S.RFLAGS_REST) & FLAG.IOPL) >> 12;
  if (!cpu.virtual8086 && cpu.cpl <= iopl) return;
  const limit = cpu.u32(segLimit(SEG.TR));
  // Type 9 or 11: only these TSSs have a map.
  const hasMap = (cpu.u32(segRights(SEG.TR)) & 0x1_001d) === 9 && limit >= MAP_BASE + 1;
  if (!hasMap) throw generalProtection();
  const tss = cpu.u64(segBase(SEG.TR));
  const base = Number(cpu.linear.load(cpu, wrap(cpu, tss + BigInt(MAP_BASE)), 2, true));
  const at = base + (port >> 3);
  // Two bytes are read, whatever the port: the map ends with a byte of ones.
  if (at + 1 > limit) throw generalProtection();
  const bits = Number(cpu.linear.load(cpu, wrap(cpu, tss + BigInt(at)), 2, true)) >> (port & 7);
  if (bits & ((1 << size) - 1)) throw generalProtection();
}

const portOf = (cpu: Cpu, insn: Insn): number =>
  insn.src === S.ZERO ? insn.immediate32 & 0xff : cpu.u32(GPR.RDX) & 0xffff;

const sizeOf = (insn: Insn): 1 | 2 | 4 => (insn.size === 1 ? 1 : insn.size === 2 ? 2 : 4);

const accessOf = (cpu: Cpu, insn: Insn, input: boolean, string: boolean): IoAccess => ({
  port: string ? cpu.u32(GPR.RDX) & 0xffff : portOf(cpu, insn),
  size: sizeOf(insn),
  input,
  string,
  rep: string && (insn.prefixes & PREFIX.repMask) !== 0,
  immediate: !string && insn.src === S.ZERO,
});

const input: SlowInstruction = (cpu, insn) => {
  const access = accessOf(cpu, insn, true, false);
  checkIoPermission(cpu, access.port, access.size);
  if (cpu.intercepts.io(cpu, access)) return OUTCOME.switched;
  cpu.writeRegister(GPR.RAX, access.size, BigInt(cpu.ports.in(access.port, access.size) >>> 0));
  return OUTCOME.next;
};

/** A device may raise an interrupt or stop the machine in answer: the run loop looks again after each OUT. */
const output: SlowInstruction = (cpu, insn) => {
  const access = accessOf(cpu, insn, false, false);
  checkIoPermission(cpu, access.port, access.size);
  if (cpu.intercepts.io(cpu, access)) return OUTCOME.switched;
  cpu.ports.out(access.port, access.size, Number(cpu.readRegister(GPR.RAX, access.size)));
  return OUTCOME.nextLeave;
};

/** Moves one element between a port and memory, at the address in an index register. */
function element(cpu: Cpu, insn: Insn, access: IoAccess, index: number): void {
  const width = insn.addressSize;
  const size: AccessSize = access.size;
  const offset = cpu.readRegister(index, width);
  const segment = access.input ? SEG.ES : insn.segment;
  const linear = linearAddress(cpu, segment, offset, size, access.input);
  if (access.input) {
    // Reading a port may change its device: the store must not fail afterwards.
    cpu.linear.probeStore(cpu, linear, size);
    cpu.linear.store(cpu, linear, size, BigInt(cpu.ports.in(access.port, size) >>> 0));
  } else {
    cpu.ports.out(access.port, access.size, Number(cpu.linear.load(cpu, linear, size)));
  }
  const step = cpu.u32(S.RFLAGS_REST) & FLAG.DF ? -size : size;
  cpu.writeRegister(index, width, BigInt.asUintN(8 * width, offset + BigInt(step)));
}

/** One iteration. The VM exit comes before faults of the memory operand: Intel SDM Vol. 3C, "Relative Priority". */
const string =
  (isInput: boolean, index: number): SlowInstruction =>
  (cpu, insn) => {
    const access = accessOf(cpu, insn, isInput, true);
    const width = insn.addressSize;
    const count = access.rep ? cpu.readRegister(GPR.RCX, width) : 1n;
    if (count === 0n) return OUTCOME.next;
    checkIoPermission(cpu, access.port, access.size);
    if (cpu.intercepts.io(cpu, access)) return OUTCOME.switched;
    element(cpu, insn, access, index);
    if (!access.rep) return OUTCOME.nextLeave;
    cpu.writeRegister(GPR.RCX, width, count - 1n);
    return count === 1n ? OUTCOME.nextLeave : OUTCOME.repeat;
  };

export const IO: SlowTable = {
  in: input,
  out: output,
  ins: string(true, GPR.RDI),
  outs: string(false, GPR.RSI),
};
