/** User-level instructions that are too rare or too wide for generated code. */
import type { AccessSize } from '../../memory/access.js';
import type { Cpu } from '../cpu.js';
import { CpuFault, generalProtection, invalidOpcode, VECTOR } from '../fault.js';
import { ARITHMETIC, FLAG } from '../flags.js';
import type { Insn } from '../insn.js';
import { GPR, S } from '../layout.js';
import { OUTCOME, type Outcome, type SlowInstruction, type SlowTable } from '../outcome.js';
import { linearAddress, operandAddress } from '../segments.js';
import { readRm } from './operands.js';

const setDirection =
  (down: boolean): SlowInstruction =>
  (cpu) => {
    const rest = cpu.u32(S.RFLAGS_REST);
    cpu.setU32(S.RFLAGS_REST, down ? rest | FLAG.DF : rest & ~FLAG.DF);
    return OUTCOME.next;
  };

function sahf(cpu: Cpu): Outcome {
  const loaded = FLAG.SF | FLAG.ZF | FLAG.AF | FLAG.PF | FLAG.CF;
  const ah = cpu.state.getUint8(GPR.RAX + 1);
  cpu.rflags = (cpu.rflags & ~loaded) | (ah & loaded);
  return OUTCOME.next;
}

/** AL = [rBX + AL], in DS or the segment of an override. */
function xlat(cpu: Cpu, insn: Insn): Outcome {
  const size = insn.addressSize as AccessSize;
  const sum = cpu.readRegister(GPR.RBX, size) + cpu.readRegister(GPR.RAX, 1);
  const offset = BigInt.asUintN(8 * size, sum);
  const linear = linearAddress(cpu, insn.segment, offset, 1, false);
  cpu.writeRegister(GPR.RAX, 1, cpu.linear.load(cpu, linear, 1));
  return OUTCOME.next;
}

const setZero = (cpu: Cpu, zero: boolean): void => {
  cpu.rflags = zero ? cpu.rflags | FLAG.ZF : cpu.rflags & ~FLAG.ZF;
};

/** CMPXCHG8B. */
function compareExchange8(cpu: Cpu, insn: Insn): Outcome {
  const pair = (high: number, low: number): bigint => (BigInt(cpu.u32(high)) << 32n) | BigInt(cpu.u32(low));
  const linear = operandAddress(cpu, insn, 8, true);
  cpu.linear.probeStore(cpu, linear, 8);
  const old = cpu.linear.load(cpu, linear, 8);
  const equal = old === pair(GPR.RDX, GPR.RAX);
  cpu.linear.store(cpu, linear, 8, equal ? pair(GPR.RCX, GPR.RBX) : old);
  if (!equal) {
    cpu.setU32(GPR.RAX, Number(old & 0xffff_ffffn));
    cpu.setU32(GPR.RDX, Number(old >> 32n));
  }
  setZero(cpu, equal);
  return OUTCOME.next;
}

/** CMPXCHG16B: #GP(0) where the operand is not aligned to 16 bytes. */
function compareExchange16(cpu: Cpu, insn: Insn): Outcome {
  const linear = operandAddress(cpu, insn, 16, true);
  if (linear & 15n) throw generalProtection();
  cpu.linear.probeStore(cpu, linear, 8);
  const low = cpu.linear.load(cpu, linear, 8);
  const high = cpu.linear.load(cpu, linear + 8n, 8);
  const equal = low === cpu.u64(GPR.RAX) && high === cpu.u64(GPR.RDX);
  cpu.linear.store(cpu, linear, 8, equal ? cpu.u64(GPR.RBX) : low);
  cpu.linear.store(cpu, linear + 8n, 8, equal ? cpu.u64(GPR.RCX) : high);
  if (!equal) {
    cpu.setU64(GPR.RAX, low);
    cpu.setU64(GPR.RDX, high);
  }
  setZero(cpu, equal);
  return OUTCOME.next;
}

/** DIV and IDIV of RDX:RAX by 64 bits; generated code takes the narrow dividends. */
const divide128 =
  (signed: boolean): SlowInstruction =>
  (cpu, insn) => {
    const as = signed ? BigInt.asIntN : BigInt.asUintN;
    const divisor = as(64, readRm(cpu, insn, insn.dst, 8));
    const dividend = as(128, (cpu.u64(GPR.RDX) << 64n) | cpu.u64(GPR.RAX));
    if (divisor === 0n) throw new CpuFault(VECTOR.DE);
    const quotient = dividend / divisor;
    if (as(64, quotient) !== quotient) throw new CpuFault(VECTOR.DE);
    cpu.setU64(GPR.RAX, BigInt.asUintN(64, quotient));
    cpu.setU64(GPR.RDX, BigInt.asUintN(64, dividend % divisor));
    return OUTCOME.next;
  };

/** Sets the arithmetic flags that a decimal adjustment defines; SF, ZF and PF are those of AL. */
function setDecimalFlags(cpu: Cpu, carry: boolean, adjust: boolean): void {
  const al = cpu.state.getUint8(GPR.RAX);
  let ones = 0;
  for (let bit = al; bit; bit &= bit - 1) ones++;
  let flags = cpu.rflags & ~ARITHMETIC;
  if (carry) flags |= FLAG.CF;
  if (adjust) flags |= FLAG.AF;
  if (al === 0) flags |= FLAG.ZF;
  if (al & 0x80) flags |= FLAG.SF;
  if (!(ones & 1)) flags |= FLAG.PF;
  cpu.rflags = flags;
}

/** DAA and DAS: Intel SDM Vol. 2A. */
const decimalAdjust =
  (sign: 1 | -1): SlowInstruction =>
  (cpu) => {
    if (cpu.mode64) throw invalidOpcode();
    const flags = cpu.rflags;
    const old = cpu.state.getUint8(GPR.RAX);
    const oldCarry = (flags & FLAG.CF) !== 0;
    let al = old;
    let carry = false;
    const adjust = (old & 0xf) > 9 || (flags & FLAG.AF) !== 0;
    if (adjust) {
      al += sign * 6;
      carry = oldCarry || al < 0 || al > 0xff;
    }
    const high = old > 0x99 || oldCarry;
    if (high) al += sign * 0x60;
    cpu.state.setUint8(GPR.RAX, al & 0xff);
    setDecimalFlags(cpu, high || (sign < 0 && carry), adjust);
    return OUTCOME.next;
  };

/** AAA and AAS. */
const asciiAdjust =
  (sign: 1 | -1): SlowInstruction =>
  (cpu) => {
    if (cpu.mode64) throw invalidOpcode();
    const adjust = (cpu.state.getUint8(GPR.RAX) & 0xf) > 9 || (cpu.rflags & FLAG.AF) !== 0;
    if (adjust) cpu.state.setUint16(GPR.RAX, cpu.state.getUint16(GPR.RAX, true) + sign * 0x106, true);
    cpu.state.setUint8(GPR.RAX, cpu.state.getUint8(GPR.RAX) & 0xf);
    setDecimalFlags(cpu, adjust, adjust);
    return OUTCOME.next;
  };

function aam(cpu: Cpu, insn: Insn): Outcome {
  if (cpu.mode64) throw invalidOpcode();
  const base = insn.immediate32 & 0xff;
  if (base === 0) throw new CpuFault(VECTOR.DE);
  const al = cpu.state.getUint8(GPR.RAX);
  cpu.state.setUint16(GPR.RAX, (Math.floor(al / base) << 8) | (al % base), true);
  setDecimalFlags(cpu, false, false);
  return OUTCOME.next;
}

function aad(cpu: Cpu, insn: Insn): Outcome {
  if (cpu.mode64) throw invalidOpcode();
  const ax = cpu.state.getUint16(GPR.RAX, true);
  cpu.state.setUint16(GPR.RAX, ((ax & 0xff) + (ax >> 8) * (insn.immediate32 & 0xff)) & 0xff, true);
  setDecimalFlags(cpu, false, false);
  return OUTCOME.next;
}

export const RARE: SlowTable = {
  cld: setDirection(false),
  std: setDirection(true),
  sahf,
  xlatb: xlat,
  cmpxchg8b: compareExchange8,
  cmpxchg16b: compareExchange16,
  div: divide128(false),
  idiv: divide128(true),
  daa: decimalAdjust(1),
  das: decimalAdjust(-1),
  aaa: asciiAdjust(1),
  aas: asciiAdjust(-1),
  aam,
  aad,
  /** What no table knows: instructions that CPUID does not offer. */
  unsupported: () => {
    throw invalidOpcode();
  },
};
