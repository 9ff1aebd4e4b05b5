/** What VMX non-root operation does to instructions and events before they happen: Vol. 3C, chapter "VMX Non-Root Operation". */
import type { Cpu } from '../cpu/cpu.js';
import { generalProtection, invalidOpcode, VECTOR } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import type { Intercepted, Intercepts, IoAccess } from '../cpu/intercepts.js';
import { GPR, S, SEG, segBase } from '../cpu/layout.js';
import { EVENT_FLAGS } from '../observer.js';
import { cause, type ExitCause } from './cause.js';
import { ACTIVITY, BLOCKING, EVENT_TYPE, INTR, PIN, PRIMARY, SECONDARY } from './controls.js';
import { secondaryControls, vmExit } from './exit.js';
import { F } from './fields.js';
import { stringIoInfo } from './info.js';
import { INSTRUCTION_EXITS } from './instruction-exits.js';
import { timerExpired } from './timer.js';
import { high, low, REASON, whole } from './vmcs.js';

const NMI_VECTOR = 2;
/** Types of access in bits 5:4 of the qualification of a CR access. */
const CR_ACCESS = { moveTo: 0, moveFrom: 1 << 4, clts: 2 << 4, lmsw: 3 << 4 } as const;
/** Offset of the virtual TPR in the virtual-APIC page. */
const VTPR = 0x80;
const CR0_PE_PG = 0x8000_0001n;

const pin = (cpu: Cpu): number => low(cpu, F.PIN_BASED_VM_EXEC_CONTROL);
const primary = (cpu: Cpu): number => low(cpu, F.CPU_BASED_VM_EXEC_CONTROL);

/** An exit that an instruction causes: its length is reported, and RF of the saved flags is clear. */
function byInstruction(cpu: Cpu, reason: number): ExitCause {
  cause.begin(reason, 'clear');
  const record = cpu.u32(S.RECORD);
  if (record) cause.instructionLength = cpu.vmx.insn.at(record).length;
  return cause;
}

function instruction(cpu: Cpu, what: Intercepted, qualification?: bigint): boolean {
  const exit = INSTRUCTION_EXITS[what];
  if (!exit) return false;
  if (exit.enable && !(secondaryControls(cpu) & exit.enable)) throw invalidOpcode();
  if (exit.primary && !(primary(cpu) & exit.primary)) return false;
  if (exit.secondary && !(secondaryControls(cpu) & exit.secondary)) return false;
  byInstruction(cpu, exit.reason);
  if (qualification !== undefined) cause.qualifyBig(qualification);
  if (exit.about >= 0) cause.about(cpu.u32(exit.about));
  if (exit.info && cpu.u32(S.RECORD)) cause.instructionInfo = exit.info(cpu, cpu.vmx.insn);
  vmExit(cpu, cause);
  return true;
}

/** A bit of a bitmap page at a physical address that a field holds. */
function bitmapBit(cpu: Cpu, field: number, bit: number): boolean {
  const address = low(cpu, field) + high(cpu, field) * 2 ** 32;
  return ((cpu.memory.read(address + (bit >>> 3), 1) >> (bit & 7)) & 1) !== 0;
}

function ioIntercepted(cpu: Cpu, { port, size }: IoAccess): boolean {
  const controls = primary(cpu);
  if (!(controls & PRIMARY.ioBitmaps)) return (controls & PRIMARY.unconditionalIo) !== 0;
  // An access that wraps around the end of the port space exits whatever the bitmaps say.
  if (port + size > 0x1_0000) return true;
  for (let at = port; at < port + size; at++) {
    if (bitmapBit(cpu, at < 0x8000 ? F.IO_BITMAP_A : F.IO_BITMAP_B, at & 0x7fff)) return true;
  }
  return false;
}

/** Linear address of INS or OUTS: ES:rDI, or the source segment and rSI. */
function stringAddress(cpu: Cpu, input: boolean): bigint {
  const { insn } = cpu.vmx;
  const offset = BigInt.asUintN(8 * insn.addressSize, cpu.u64(input ? GPR.RDI : GPR.RSI));
  const segment = input ? SEG.ES : insn.segment;
  const based = !cpu.mode64 || segment === SEG.FS || segment === SEG.GS;
  return BigInt.asUintN(cpu.mode64 ? 64 : 32, offset + (based ? cpu.u64(segBase(segment)) : 0n));
}

function io(cpu: Cpu, access: IoAccess): boolean {
  if (!ioIntercepted(cpu, access)) return false;
  const { port, size, input, string, rep, immediate } = access;
  byInstruction(cpu, REASON.io).about(port);
  const bits = (size - 1) | (input ? 8 : 0) | (string ? 16 : 0) | (rep ? 32 : 0) | (immediate ? 64 : 0);
  cause.qualify((bits | (port << 16)) >>> 0);
  if (string && cpu.u32(S.RECORD)) {
    cause.linear = stringAddress(cpu, input);
    cause.instructionInfo = stringIoInfo(cpu.vmx.insn, input);
  }
  const masked = size === 4 ? cpu.u32(GPR.RAX) : cpu.u32(GPR.RAX) & ((1 << (8 * size)) - 1);
  if (!input && !string) cause.writes(masked, 0, size);
  else if (!input) cause.flags |= EVENT_FLAGS.write;
  if (string) cause.flags |= EVENT_FLAGS.string;
  if (rep) cause.flags |= EVENT_FLAGS.rep;
  vmExit(cpu, cause);
  return true;
}

/** MSRs that the bitmaps cover: 0 to 1FFFH, and C0000000H to C0001FFFH 1024 bytes further on; writes 2048 further. */
function msrIntercepted(cpu: Cpu, msr: number, write: boolean): boolean {
  if (!(primary(cpu) & PRIMARY.msrBitmaps)) return true;
  const range = msr >>> 13;
  if (range !== 0 && range !== 0xc000_0000 >>> 13) return true;
  const byte = (range === 0 ? 0 : 1024) + (write ? 2048 : 0);
  return bitmapBit(cpu, F.MSR_BITMAP, byte * 8 + (msr & 0x1fff));
}

function msrAccess(cpu: Cpu, msr: number, write: boolean): boolean {
  if (!msrIntercepted(cpu, msr, write)) return false;
  byInstruction(cpu, write ? REASON.msrWrite : REASON.msrRead).about(msr);
  if (write) cause.writes(cpu.u32(GPR.RAX), cpu.u32(GPR.RDX), 8);
  vmExit(cpu, cause);
  return true;
}

function crExit(cpu: Cpu, qualification: number): void {
  byInstruction(cpu, REASON.crAccess)
    .qualify(qualification >>> 0)
    .about(qualification & 0xf);
}

function moveToCr(cpu: Cpu, cr: number, value: bigint, gpr: number): null {
  crExit(cpu, cr | CR_ACCESS.moveTo | (gpr << 8));
  cause.writes(Number(value & 0xffff_ffffn), Number(value >> 32n), 8);
  vmExit(cpu, cause);
  return null;
}

const isCr3Target = (cpu: Cpu, value: bigint): boolean => {
  const count = Math.min(low(cpu, F.CR3_TARGET_COUNT), 4);
  for (let i = 0; i < count; i++) if (whole(cpu, F.CR3_TARGET_VALUE0 + 8 * i) === value) return true;
  return false;
};

/** CR0 or CR4 with a guest/host mask: exits where a bit that the host owns would differ from the read shadow. */
function writeMasked(cpu: Cpu, cr: 0 | 4, value: bigint, gpr: number): bigint | null {
  const mask = whole(cpu, cr === 0 ? F.CR0_GUEST_HOST_MASK : F.CR4_GUEST_HOST_MASK);
  const shadow = whole(cpu, cr === 0 ? F.CR0_READ_SHADOW : F.CR4_READ_SHADOW);
  if ((value ^ shadow) & mask) return moveToCr(cpu, cr, value, gpr);
  const merged = (value & ~mask) | (cpu.readControl(cr) & mask);
  // Only an unrestricted guest may clear PE or PG.
  const free = cr === 4 || (secondaryControls(cpu) & SECONDARY.unrestricted) !== 0;
  if (!free && (merged & CR0_PE_PG) !== CR0_PE_PG) throw generalProtection();
  return merged;
}

/** MOV to CR8 with a TPR shadow: the virtual TPR takes the value; falling below the threshold exits afterwards. */
function writeTprShadow(cpu: Cpu, value: bigint): bigint | null {
  if (value > 15n) throw generalProtection();
  const page = Number(whole(cpu, F.VIRTUAL_APIC_PAGE_ADDR));
  const tpr = Number(value);
  cpu.memory.write(page + VTPR, 4, tpr << 4);
  if (tpr >= (low(cpu, F.TPR_THRESHOLD) & 0xf)) return cpu.u64(S.CR8);
  // A trap: the instruction is done.
  byInstruction(cpu, REASON.tprBelowThreshold);
  cpu.rip = BigInt.asUintN(64, cpu.rip + BigInt(cause.instructionLength));
  cause.instructionLength = 0;
  vmExit(cpu, cause);
  return null;
}

function writeCr(cpu: Cpu, cr: number, value: bigint, gpr: number): bigint | null {
  const controls = primary(cpu);
  if (cr === 0 || cr === 4) return writeMasked(cpu, cr, value, gpr);
  if (cr === 3) return controls & PRIMARY.cr3Load && !isCr3Target(cpu, value) ? moveToCr(cpu, cr, value, gpr) : value;
  if (controls & PRIMARY.cr8Load) return moveToCr(cpu, cr, value, gpr);
  return controls & PRIMARY.tprShadow ? writeTprShadow(cpu, value) : value;
}

function readCr(cpu: Cpu, cr: number, gpr: number): bigint | null {
  const controls = primary(cpu);
  if (cr === 0 || cr === 4) {
    const mask = whole(cpu, cr === 0 ? F.CR0_GUEST_HOST_MASK : F.CR4_GUEST_HOST_MASK);
    const shadow = whole(cpu, cr === 0 ? F.CR0_READ_SHADOW : F.CR4_READ_SHADOW);
    return (cpu.readControl(cr) & ~mask) | (shadow & mask);
  }
  if (controls & (cr === 3 ? PRIMARY.cr3Store : PRIMARY.cr8Store)) {
    crExit(cpu, cr | CR_ACCESS.moveFrom | (gpr << 8));
    vmExit(cpu, cause);
    return null;
  }
  if (cr === 8 && controls & PRIMARY.tprShadow) {
    return BigInt((cpu.memory.read(Number(whole(cpu, F.VIRTUAL_APIC_PAGE_ADDR)) + VTPR, 4) >>> 4) & 0xf);
  }
  return cpu.readControl(cr);
}

const CR0_TS = 8;

function clts(cpu: Cpu): boolean | 'keep' {
  if (!(low(cpu, F.CR0_GUEST_HOST_MASK) & CR0_TS)) return false;
  if (!(low(cpu, F.CR0_READ_SHADOW) & CR0_TS)) return 'keep';
  crExit(cpu, CR_ACCESS.clts);
  vmExit(cpu, cause);
  return true;
}

function lmsw(cpu: Cpu, source: number, memoryOperand: bigint | null): bigint | null {
  const mask = low(cpu, F.CR0_GUEST_HOST_MASK);
  const shadow = low(cpu, F.CR0_READ_SHADOW);
  // LMSW never clears PE, so PE exits only where it would be set.
  const differs = (source ^ shadow) & mask & 0xe;
  if (differs || source & ~shadow & mask & 1) {
    crExit(cpu, CR_ACCESS.lmsw | (memoryOperand === null ? 0 : 1 << 6) | ((source & 0xffff) << 16));
    cause.linear = memoryOperand;
    vmExit(cpu, cause);
    return null;
  }
  const cr0 = cpu.readControl(0);
  const kept = BigInt(mask & 0xf);
  const value = (cr0 & ~0xfn) | (cr0 & kept) | (BigInt(source & 0xf) & ~kept);
  return value | (cr0 & 1n);
}

function movDr(cpu: Cpu, dr: number, write: boolean, gpr: number): boolean {
  if (!(primary(cpu) & PRIMARY.movDr)) return false;
  byInstruction(cpu, REASON.drAccess)
    .qualify(dr | (write ? 0 : 1 << 4) | (gpr << 8))
    .about(dr);
  vmExit(cpu, cause);
  return true;
}

/** The exception bitmap; for #PF the error code decides whether bit 14 means exit or its contrary. */
function exceptionIntercepted(cpu: Cpu, vector: number, errorCode: number | null): boolean {
  const bit = ((low(cpu, F.EXCEPTION_BITMAP) >>> vector) & 1) !== 0;
  if (vector !== VECTOR.PF) return bit;
  const masked = ((errorCode ?? 0) & low(cpu, F.PAGE_FAULT_ERROR_CODE_MASK)) >>> 0;
  return (masked === low(cpu, F.PAGE_FAULT_ERROR_CODE_MATCH)) === bit;
}

/** Exceptions whose exits leave RF as it is: traps; the others are faults, whose image has RF set. */
const TRAPS = new Set<number>([VECTOR.DB, VECTOR.BP, VECTOR.OF, VECTOR.DF, VECTOR.MC]);

function exception(
  cpu: Cpu,
  vector: number,
  errorCode: number | null,
  qualification: bigint,
  software: boolean,
): boolean {
  if (!exceptionIntercepted(cpu, vector, errorCode)) return false;
  const softwareType = vector === VECTOR.DB ? EVENT_TYPE.privilegedException : EVENT_TYPE.softwareException;
  const type = software ? softwareType : EVENT_TYPE.hardwareException;
  cause.begin(REASON.exception, software || TRAPS.has(vector) ? 'image' : 'set').about(vector);
  cause.interruption = (INTR.valid | vector | (type << 8) | (errorCode === null ? 0 : INTR.errorCode)) >>> 0;
  cause.errorCode = errorCode ?? 0;
  if (vector === VECTOR.DB || vector === VECTOR.PF) cause.qualifyBig(qualification);
  if (software && cpu.u32(S.RECORD)) cause.instructionLength = cpu.vmx.insn.at(cpu.u32(S.RECORD)).length;
  vmExit(cpu, cause);
  return true;
}

function nmi(cpu: Cpu): boolean {
  if (!(pin(cpu) & PIN.nmi)) return false;
  cause.begin(REASON.exception, 'image').about(NMI_VECTOR);
  cause.interruption = (INTR.valid | NMI_VECTOR | (EVENT_TYPE.nmi << 8)) >>> 0;
  vmExit(cpu, cause);
  return true;
}

function externalInterrupt(cpu: Cpu, acknowledge: () => number): boolean {
  if (!(pin(cpu) & PIN.externalInterrupt)) return false;
  cause.begin(REASON.externalInterrupt, 'image');
  if (low(cpu, F.VM_EXIT_CONTROLS) & (1 << 15)) {
    const vector = acknowledge();
    cause.interruption = (INTR.valid | vector | (EVENT_TYPE.external << 8)) >>> 0;
    cause.about(vector);
  }
  vmExit(cpu, cause);
  return true;
}

function simpleExit(cpu: Cpu, reason: number): true {
  vmExit(cpu, cause.begin(reason, 'keep'));
  return true;
}

/** Exits between instructions, in the order of their priority: timer, NMI window, interrupt window. */
function window(cpu: Cpu): boolean {
  // A guest that waits for a SIPI is woken by nothing else.
  if (cpu.u32(S.ACTIVITY) === ACTIVITY.waitForSipi) return false;
  if (timerExpired(cpu)) return simpleExit(cpu, REASON.preemptionTimer);
  const controls = primary(cpu);
  if (!(controls & (PRIMARY.nmiWindow | PRIMARY.interruptWindow))) return false;
  const blocking = cpu.u32(S.INTERRUPTIBILITY);
  if (controls & PRIMARY.nmiWindow && !(blocking & (BLOCKING.nmi | BLOCKING.movSs | BLOCKING.sti))) {
    return simpleExit(cpu, REASON.nmiWindow);
  }
  const open = cpu.u32(S.RFLAGS_REST) & FLAG.IF && !(blocking & (BLOCKING.sti | BLOCKING.movSs));
  return controls & PRIMARY.interruptWindow && open ? simpleExit(cpu, REASON.interruptWindow) : false;
}

/**
 * The VM exit of an access that EPT stopped; `gva` counts where the qualification says that it is valid. Ends the
 * delivery of an event that was under way.
 */
export function exitForNestedFault(
  cpu: Cpu,
  kind: 'ept_violation' | 'ept_misconfig',
  qualification: bigint,
  gva: bigint,
  gpa: number,
): void {
  cause.begin(kind === 'ept_violation' ? REASON.eptViolation : REASON.eptMisconfig, 'set').qualifyBig(qualification);
  if (qualification & 0x80n) cause.linear = gva;
  cause.physical = gpa;
  vmExit(cpu, cause);
}

export const vmxIntercepts: Intercepts = {
  instruction,
  io,
  readMsr: (cpu, msr) => msrAccess(cpu, msr, false),
  writeMsr: (cpu, msr) => msrAccess(cpu, msr, true),
  writeCr,
  readCr,
  clts,
  lmsw,
  movDr,
  exception,
  tripleFault: (cpu) => simpleExit(cpu, REASON.tripleFault),
  nestedFault: (cpu, fault) => exitForNestedFault(cpu, fault.kind, fault.qualification, fault.gva, fault.gpa),
  nmi,
  externalInterrupt,
  window,
  interruptsIgnoreFlag: (cpu) => (pin(cpu) & PIN.externalInterrupt) !== 0,
};
