/**
 * One event through the IVT or IDT to its handler: Intel SDM Vol. 3A, "Interrupt and Exception Handling", Vol. 2,
 * "INT n" (operation). Everything is checked and pushed before anything is committed, so that a fault on the way
 * leaves the interrupted state as it was.
 */
import type { AccessSize } from '../memory/access.js';
import type { Cpu } from './cpu.js';
import { Descriptor, isNull, markAccessed, RIGHTS, readDescriptor, readHighHalf, SYSTEM, wrap } from './descriptor.js';
import { CpuFault, generalProtection, VECTOR } from './fault.js';
import { FLAG } from './flags.js';
import { S, SEG, segBase, segLimit, segRights, segSelector } from './layout.js';
import { insideLimit, isCanonical, setCpl, setNullSegment, setRealSegment, setSegment, withCpl } from './segments.js';
import { Stack } from './stack.js';

/** Interruption types of the VMCS: Intel SDM Vol. 3C, "Information for VM Exits Due to Vectored Events". */
export const EVENT_TYPE = {
  interrupt: 0,
  nmi: 2,
  exception: 3,
  softwareInterrupt: 4,
  privilegedException: 5,
  softwareException: 6,
} as const;

export interface VectoredEvent {
  readonly vector: number;
  /** EVENT_TYPE. */
  readonly type: number;
  /** Null: none is pushed. */
  readonly errorCode: number | null;
  /** Bytes of the instruction that a software event returns behind; 0 for others. */
  readonly instructionLength: number;
  /** RF in the pushed image is set: a fault, or a repeated string instruction between two iterations. */
  readonly resume: boolean;
}

/** INT n, INT3 and INTO: DPL of the gate is checked, and errors on the way are not external. */
const isSoftware = (event: VectoredEvent): boolean =>
  event.type === EVENT_TYPE.softwareInterrupt || event.type === EVENT_TYPE.softwareException;

/** EXT bit of error codes raised on the way. */
const external = (event: VectoredEvent): number => (isSoftware(event) ? 0 : 1);

/** Error code that names an IDT entry. */
const gateError = (event: VectoredEvent): number => event.vector * 8 + 2 + external(event);

const returnRip = (cpu: Cpu, event: VectoredEvent): bigint => {
  const rip = cpu.rip + BigInt(event.instructionLength);
  return BigInt.asUintN(cpu.mode64 ? 64 : 32, rip);
};

const pushedFlags = (cpu: Cpu, event: VectoredEvent): bigint =>
  BigInt((cpu.rflags & ~FLAG.RF) | (event.resume ? FLAG.RF : 0));

function throughIvt(cpu: Cpu, event: VectoredEvent): void {
  const offset = event.vector * 4;
  if (offset + 3 > cpu.u32(S.IDTR_LIMIT)) throw generalProtection(gateError(event));
  const pointer = Number(cpu.linear.load(cpu, wrap(cpu, cpu.u64(S.IDTR_BASE) + BigInt(offset)), 4, true));
  const stack = Stack.current(cpu);
  stack.push(2, BigInt(cpu.rflags));
  stack.push(2, BigInt(cpu.u32(segSelector(SEG.CS))));
  stack.push(2, returnRip(cpu, event));
  stack.commit();
  cpu.rflags = cpu.rflags & ~(FLAG.IF | FLAG.TF | FLAG.AC | FLAG.RF);
  setRealSegment(cpu, SEG.CS, pointer >>> 16);
  cpu.rip = BigInt(pointer & 0xffff);
}

const GATES = new Set<number>([
  SYSTEM.taskGate,
  SYSTEM.interruptGate16,
  SYSTEM.trapGate16,
  SYSTEM.interruptGate32,
  SYSTEM.trapGate32,
]);
const LONG_GATES = new Set<number>([SYSTEM.interruptGate32, SYSTEM.trapGate32]);

function readGate(cpu: Cpu, event: VectoredEvent): Descriptor {
  const long = cpu.longMode;
  const bytes = long ? 16 : 8;
  const offset = event.vector * bytes;
  const error = gateError(event);
  if (offset + bytes - 1 > cpu.u32(S.IDTR_LIMIT)) throw generalProtection(error);
  const address = wrap(cpu, cpu.u64(S.IDTR_BASE) + BigInt(offset));
  const gate = new Descriptor(0, address, cpu.linear.load(cpu, address, 8, true));
  if (gate.isSegment || !(long ? LONG_GATES : GATES).has(gate.type)) throw generalProtection(error);
  if (isSoftware(event) && gate.dpl < cpu.cpl) throw generalProtection(error);
  if (!gate.present) throw new CpuFault(VECTOR.NP, error);
  return gate;
}

/** The handler's code segment, checked. */
function readHandlerCode(cpu: Cpu, selector: number, ext: number): Descriptor {
  if (isNull(selector)) throw generalProtection(ext);
  const code = readDescriptor(cpu, selector, VECTOR.GP, ext);
  const error = (selector & 0xfffc) | ext;
  if (!code.isCode || code.dpl > cpu.cpl) throw generalProtection(error);
  // IA-32e mode: L set and D clear.
  if (cpu.longMode && (code.rights & (RIGHTS.long | RIGHTS.big)) !== RIGHTS.long) throw generalProtection(error);
  // From virtual-8086 mode only into ring 0, non-conforming.
  if (cpu.virtual8086 && (code.isConforming || code.dpl !== 0)) throw generalProtection(error);
  if (!code.present) throw new CpuFault(VECTOR.NP, error);
  return code;
}

/** A field of the current TSS. Throws #TS(TR) where it lies outside the limit. */
export function readTss(cpu: Cpu, offset: number, size: AccessSize, ext: number): bigint {
  if (offset + size - 1 > cpu.u32(segLimit(SEG.TR))) {
    throw new CpuFault(VECTOR.TS, (cpu.u32(segSelector(SEG.TR)) & 0xfffc) | ext);
  }
  return cpu.linear.load(cpu, wrap(cpu, cpu.u64(segBase(SEG.TR)) + BigInt(offset)), size, true);
}

/** A new SS for `cpl`, checked but not loaded. */
export interface InnerStack {
  readonly stack: Stack;
  readonly selector: number;
  readonly descriptor: Descriptor;
  readonly rights: number;
}

/** The stack of a more privileged level, from a 16- or 32-bit TSS. */
export function innerStack(cpu: Cpu, cpl: number, ext: number): InnerStack {
  const wide = (cpu.u32(segRights(SEG.TR)) & 8) !== 0;
  const [pointerAt, selectorAt] = wide ? [4 + 8 * cpl, 8 + 8 * cpl] : [2 + 4 * cpl, 4 + 4 * cpl];
  const selector = Number(readTss(cpu, selectorAt, 2, ext));
  const pointer = readTss(cpu, pointerAt, wide ? 4 : 2, ext);
  if (isNull(selector)) throw new CpuFault(VECTOR.TS, ext);
  const error = (selector & 0xfffc) | ext;
  const descriptor = readDescriptor(cpu, selector, VECTOR.TS, ext);
  if ((selector & 3) !== cpl || descriptor.dpl !== cpl || !descriptor.isWritableData) {
    throw new CpuFault(VECTOR.TS, error);
  }
  if (!descriptor.present) throw new CpuFault(VECTOR.SS, error);
  const rights = markAccessed(cpu, descriptor);
  const segment = { base: BigInt(descriptor.base), limit: descriptor.limit, rights };
  const stack = new Stack(cpu, segment, pointer, rights & RIGHTS.big ? 4 : 2, error);
  return { stack, selector, descriptor, rights };
}

/** The stack that a handler in 64-bit mode runs on: IST, that of an inner level, or the current one; 16-aligned. */
function longStack(cpu: Cpu, ist: number, cpl: number, ext: number): Stack {
  let pointer = cpu.rsp;
  if (ist !== 0) pointer = readTss(cpu, 0x24 + 8 * (ist - 1), 8, ext);
  else if (cpl < cpu.cpl) pointer = readTss(cpu, 4 + 8 * cpl, 8, ext);
  return new Stack(cpu, { base: 0n, limit: 0, rights: 0 }, pointer & ~15n, 8, ext);
}

/** Writes SS of an inner stack. */
export function setInnerStack(cpu: Cpu, inner: InnerStack): void {
  const { descriptor, selector, rights } = inner;
  setSegment(cpu, SEG.SS, selector, BigInt(descriptor.base), descriptor.limit, rights);
}

const V86_PUSHED = [SEG.GS, SEG.FS, SEG.DS, SEG.ES] as const;

function throughIdt(cpu: Cpu, event: VectoredEvent): void {
  const ext = external(event);
  const gate = readGate(cpu, event);
  if (gate.type === SYSTEM.taskGate) {
    // This machine's TSS holds stacks and the I/O bitmap only: switching tasks by hardware is refused as a gate
    // that may not be used. (A hypervisor sees the switch first: it is a VM exit, see delivery.ts.)
    throw new TaskGate(gate.gateSelector, gateError(event));
  }
  const code = readHandlerCode(cpu, gate.gateSelector, ext);
  const long = cpu.longMode;
  const from86 = cpu.virtual8086;
  const cpl = code.isConforming ? cpu.cpl : code.dpl;
  const inward = cpl < cpu.cpl;
  const size: AccessSize = long ? 8 : gate.type & 8 ? 4 : 2;
  const inner = inward && !long ? innerStack(cpu, cpl, ext) : null;
  const stack = long ? longStack(cpu, gate.high & 7, cpl, ext) : (inner?.stack ?? Stack.current(cpu, ext));
  const offset = handlerOffset(cpu, gate, code, size, ext);
  const codeRights = markAccessed(cpu, code);

  withCpl(cpu, cpl, () => {
    if (from86) for (const n of V86_PUSHED) stack.push(size, BigInt(cpu.u32(segSelector(n))));
    if (long || inward) {
      stack.push(size, BigInt(cpu.u32(segSelector(SEG.SS))));
      stack.push(size, cpu.rsp);
    }
    stack.push(size, pushedFlags(cpu, event));
    stack.push(size, BigInt(cpu.u32(segSelector(SEG.CS))));
    stack.push(size, returnRip(cpu, event));
    if (event.errorCode !== null) stack.push(size, BigInt(event.errorCode));
  });

  // Nothing can fail from here on.
  const masks = gate.type === SYSTEM.interruptGate16 || gate.type === SYSTEM.interruptGate32 ? FLAG.IF : 0;
  cpu.rflags = cpu.rflags & ~(FLAG.TF | FLAG.NT | FLAG.RF | FLAG.VM | masks);
  if (from86) for (const n of V86_PUSHED) setNullSegment(cpu, n, 0);
  if (inner) setInnerStack(cpu, inner);
  else if (inward) setNullSegment(cpu, SEG.SS, cpl);
  stack.commit();
  setSegment(cpu, SEG.CS, (gate.gateSelector & 0xfffc) | cpl, BigInt(code.base), code.limit, codeRights);
  setCpl(cpu, cpl);
  cpu.updateMode();
  cpu.rip = offset;
}

/** Where the handler begins. Throws #GP(EXT) where that lies outside its segment or is not canonical. */
function handlerOffset(cpu: Cpu, gate: Descriptor, code: Descriptor, size: AccessSize, ext: number): bigint {
  if (size === 8) {
    const offset = ((readHighHalf(cpu, gate) & 0xffff_ffffn) << 32n) | BigInt(gate.gateOffset);
    if (!isCanonical(offset)) throw generalProtection(ext);
    return offset;
  }
  const offset = size === 4 ? gate.gateOffset : gate.gateOffset & 0xffff;
  if (!insideLimit(code.rights, code.limit, offset, 1)) throw generalProtection(ext);
  return BigInt(offset);
}

/** An event that leads to a task gate. */
export class TaskGate extends CpuFault {
  /** Selector of the task's TSS. */
  readonly task: number;
  constructor(task: number, errorCode: number) {
    super(VECTOR.GP, errorCode);
    this.task = task;
  }
}

/** Transfers control to the handler of an event. Throws CpuFault or NestedPageFault with the state untouched. */
export function vector(cpu: Cpu, event: VectoredEvent): void {
  if (cpu.protectedMode) throughIdt(cpu, event);
  else throughIvt(cpu, event);
}
