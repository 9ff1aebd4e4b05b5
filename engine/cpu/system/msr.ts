/** Model-specific registers: a table of what can be read, written and how. Intel SDM Vol. 4. */
import type { Cpu } from '../cpu.js';
import { generalProtection } from '../fault.js';
import { GPR, S, SEG, segBase } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { isCanonical } from '../segments.js';
import { EFER } from './control.js';
import { readPair, requireRing0, writePair } from './operands.js';
import { timeStamp } from './processor.js';

export const MSR = {
  TSC: 0x10,
  APIC_BASE: 0x1b,
  FEATURE_CONTROL: 0x3a,
  BIOS_SIGN_ID: 0x8b,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  PAT: 0x277,
  PERF_GLOBAL_CTRL: 0x38f,
  EFER: 0xc000_0080,
  STAR: 0xc000_0081,
  LSTAR: 0xc000_0082,
  CSTAR: 0xc000_0083,
  FMASK: 0xc000_0084,
  FS_BASE: 0xc000_0100,
  GS_BASE: 0xc000_0101,
  KERNEL_GS_BASE: 0xc000_0102,
  TSC_AUX: 0xc000_0103,
} as const;

interface Register {
  read(cpu: Cpu): bigint;
  /** Throws #GP(0) for a value that the register does not take. */
  write(cpu: Cpu, value: bigint): void;
}

type Accepts = (value: bigint, cpu: Cpu) => boolean;

/** A register kept in a slot, with a rule for the values that it accepts. */
const stored = (slot: number, accepts: Accepts): Register => ({
  read: (cpu) => cpu.u64(slot),
  write: (cpu, value) => {
    if (!accepts(value, cpu)) throw generalProtection();
    cpu.setU64(slot, value);
  },
});

const anything: Accepts = () => true;
const below32: Accepts = (value) => value >> 32n === 0n;
const canonical: Accepts = isCanonical;
const within =
  (mask: bigint): Accepts =>
  (value) =>
    (value & ~mask) === 0n;

/** Each byte a memory type other than 2, 3 and above 7: Intel SDM Vol. 3A, "IA32_PAT MSR". */
export const validPat: Accepts = (value) => {
  for (let i = 0n; i < 64n; i += 8n) {
    const type = (value >> i) & 0xffn;
    if (type > 7n || type === 2n || type === 3n) return false;
  }
  return true;
};

const efer: Register = {
  read: (cpu) => cpu.u64(S.EFER),
  write: (cpu, value) => {
    const old = cpu.u64(S.EFER);
    const changesLme = ((old ^ value) & EFER.LME) !== 0n;
    const paging = (cpu.u32(S.CR0) & 0x8000_0000) !== 0;
    if (!within(EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE)(value, cpu) || (changesLme && paging)) {
      throw generalProtection();
    }
    // LMA follows LME and CR0.PG; a write to it is ignored.
    cpu.setU64(S.EFER, (value & ~EFER.LMA) | (old & EFER.LMA));
    if ((old ^ value) & EFER.NXE) {
      cpu.translations.flush(true);
      cpu.translations.retag();
    }
    cpu.updateMode();
  },
};

const tsc: Register = {
  read: timeStamp,
  write: (cpu, value) => {
    cpu.setU64(S.TSC_OFFSET, BigInt.asUintN(64, cpu.u64(S.TSC_OFFSET) + value - timeStamp(cpu)));
  },
};

/** Bits of FEATURE_CONTROL: locked until reset once bit 0 is set; VMXON needs bit 2. Intel SDM Vol. 3C, "VMXON". */
const featureControl = stored(
  S.FEATURE_CONTROL,
  (value, cpu) => !(cpu.u64(S.FEATURE_CONTROL) & 1n) && (value & ~7n) === 0n,
);

const apicBase = stored(
  S.APIC_BASE,
  (value, cpu) => (value & 0x6ffn) === 0n && value >> BigInt(cpu.model.physicalBits) === 0n,
);

/** No microcode: software writes 0 and runs CPUID to ask for the revision. */
const biosSignId: Register = { read: (cpu) => cpu.model.msrs.get(MSR.BIOS_SIGN_ID) ?? 0n, write: () => {} };

const REGISTERS: ReadonlyMap<number, Register> = new Map<number, Register>([
  [MSR.TSC, tsc],
  [MSR.APIC_BASE, apicBase],
  [MSR.FEATURE_CONTROL, featureControl],
  [MSR.BIOS_SIGN_ID, biosSignId],
  [MSR.SYSENTER_CS, stored(S.SYSENTER_CS, below32)],
  [MSR.SYSENTER_ESP, stored(S.SYSENTER_ESP, canonical)],
  [MSR.SYSENTER_EIP, stored(S.SYSENTER_EIP, canonical)],
  [MSR.MISC_ENABLE, stored(S.MISC_ENABLE, within(0x4_0085_1889n))],
  // LBR, BTF, TR, BTS, BTINT, BTS_OFF_OS, BTS_OFF_USR, FREEZE_LBRS and FREEZE_PERFMON.
  [MSR.DEBUGCTL, stored(S.DEBUGCTL, within(0x1fc3n))],
  [MSR.PAT, stored(S.PAT, validPat)],
  [MSR.PERF_GLOBAL_CTRL, stored(S.PERF_GLOBAL_CTRL, within(0x7_0000_000fn))],
  [MSR.EFER, efer],
  [MSR.STAR, stored(S.STAR, anything)],
  [MSR.LSTAR, stored(S.LSTAR, canonical)],
  [MSR.CSTAR, stored(S.CSTAR, canonical)],
  [MSR.FMASK, stored(S.FMASK, below32)],
  [MSR.FS_BASE, stored(segBase(SEG.FS), canonical)],
  [MSR.GS_BASE, stored(segBase(SEG.GS), canonical)],
  [MSR.KERNEL_GS_BASE, stored(S.KERNEL_GS_BASE, canonical)],
  [MSR.TSC_AUX, stored(S.TSC_AUX, below32)],
]);

/** Value of an MSR, as RDMSR and the VM-exit MSR-store area read it. Throws #GP(0) where the model has none. */
export function readMsr(cpu: Cpu, msr: number): bigint {
  const register = REGISTERS.get(msr);
  if (register) return register.read(cpu);
  const constant = cpu.model.msrs.get(msr);
  if (constant === undefined) throw generalProtection();
  return constant;
}

/** Loads an MSR with its checks, as WRMSR and the MSR-load areas do. Throws #GP(0). */
export function writeMsr(cpu: Cpu, msr: number, value: bigint): void {
  const register = REGISTERS.get(msr);
  if (!register) throw generalProtection();
  register.write(cpu, value);
}

const rdmsr: SlowInstruction = (cpu) => {
  requireRing0(cpu);
  const msr = cpu.u32(GPR.RCX);
  if (cpu.intercepts.readMsr(cpu, msr)) return OUTCOME.switched;
  writePair(cpu, GPR.RAX, GPR.RDX, readMsr(cpu, msr));
  return OUTCOME.next;
};

const wrmsr: SlowInstruction = (cpu) => {
  requireRing0(cpu);
  const msr = cpu.u32(GPR.RCX);
  if (cpu.intercepts.writeMsr(cpu, msr)) return OUTCOME.switched;
  writeMsr(cpu, msr, readPair(cpu, GPR.RAX, GPR.RDX));
  return OUTCOME.nextLeave;
};

export const MSRS: SlowTable = { rdmsr, wrmsr };
