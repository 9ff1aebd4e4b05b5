/**
 * A stack that is pushed to or popped from as a whole: the pointer becomes the register's only when every access went
 * well. It need not be the current one: an inner stack is pushed to before SS is loaded.
 */
import type { AccessSize } from '../memory/access.js';
import type { Cpu } from './cpu.js';
import { RIGHTS } from './descriptor.js';
import { CpuFault, VECTOR } from './fault.js';
import { GPR, SEG, segBase, segLimit, segRights } from './layout.js';
import { insideLimit, isCanonical } from './segments.js';

export interface StackSegment {
  readonly base: bigint;
  readonly limit: number;
  readonly rights: number;
}

export class Stack {
  readonly #cpu: Cpu;
  readonly #segment: StackSegment;
  /** Bytes of the stack pointer: 2, 4 or 8 (64-bit mode, no segment). */
  readonly width: 2 | 4 | 8;
  /** Error code of the #SS that a bad access raises. */
  readonly #errorCode: number;
  pointer: bigint;

  constructor(cpu: Cpu, segment: StackSegment, pointer: bigint, width: 2 | 4 | 8, errorCode: number) {
    this.#cpu = cpu;
    this.#segment = segment;
    this.width = width;
    this.#errorCode = errorCode;
    this.pointer = BigInt.asUintN(8 * width, pointer);
  }

  /** The stack that SS and RSP name. */
  static current(cpu: Cpu, errorCode = 0): Stack {
    const rights = cpu.u32(segRights(SEG.SS));
    const segment = { base: cpu.u64(segBase(SEG.SS)), limit: cpu.u32(segLimit(SEG.SS)), rights };
    const width = cpu.mode64 ? 8 : rights & RIGHTS.big ? 4 : 2;
    return new Stack(cpu, segment, cpu.rsp, width, errorCode);
  }

  #linear(size: number): bigint {
    if (this.width === 8) {
      const last = BigInt.asUintN(64, this.pointer + BigInt(size - 1));
      if (isCanonical(this.pointer) && isCanonical(last)) return this.pointer;
    } else if (insideLimit(this.#segment.rights, this.#segment.limit, Number(this.pointer), size)) {
      return BigInt.asUintN(32, this.#segment.base + this.pointer);
    }
    throw new CpuFault(VECTOR.SS, this.#errorCode);
  }

  #move(bytes: number): void {
    this.pointer = BigInt.asUintN(8 * this.width, this.pointer + BigInt(bytes));
  }

  push(size: AccessSize, value: bigint): void {
    this.#move(-size);
    this.#cpu.linear.store(this.#cpu, this.#linear(size), size, BigInt.asUintN(8 * size, value));
  }

  pop(size: AccessSize): bigint {
    const value = this.#cpu.linear.load(this.#cpu, this.#linear(size), size);
    this.#move(size);
    return value;
  }

  /** Passes over `bytes` bytes without touching them. */
  skip(bytes: number): void {
    this.#move(bytes);
  }

  /** Makes the pointer the stack pointer, at its width. */
  commit(): void {
    // A 32-bit stack pointer is ESP, whose write clears the high half; a 16-bit one is SP.
    this.#cpu.writeRegister(GPR.RSP, this.width, this.pointer);
  }
}
