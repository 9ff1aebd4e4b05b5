/** Control registers: what may be loaded, and what a load changes. Intel SDM Vol. 3A, "Control Registers". */
import { loadPdptes } from '../../memory/paging.js';
import type { Cpu } from '../cpu.js';
import { generalProtection, invalidOpcode } from '../fault.js';
import { S, SEG, segRights } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { operandAddress } from '../segments.js';
import { readRm, registerNumber, requireRing0, writeRm } from './operands.js';

export const CR0 = {
  PE: 1n,
  MP: 2n,
  EM: 4n,
  TS: 8n,
  ET: 0x10n,
  NE: 0x20n,
  WP: 0x1_0000n,
  AM: 0x4_0000n,
  NW: 0x2000_0000n,
  CD: 0x4000_0000n,
  PG: 0x8000_0000n,
} as const;
export const CR4 = {
  VME: 1n,
  PVI: 2n,
  TSD: 4n,
  DE: 8n,
  PSE: 0x10n,
  PAE: 0x20n,
  MCE: 0x40n,
  PGE: 0x80n,
  PCE: 0x100n,
  OSFXSR: 0x200n,
  OSXMMEXCPT: 0x400n,
  UMIP: 0x800n,
  VMXE: 0x2000n,
  FSGSBASE: 0x1_0000n,
  PCIDE: 0x2_0000n,
  OSXSAVE: 0x4_0000n,
  SMEP: 0x10_0000n,
  SMAP: 0x20_0000n,
} as const;
export const EFER = { SCE: 1n, LME: 0x100n, LMA: 0x400n, NXE: 0x800n } as const;

const CR0_DEFINED = Object.values(CR0).reduce((all, bit) => all | bit, 0n);
const IA32_VMX = { CR0_FIXED0: 0x486, CR0_FIXED1: 0x487, CR4_FIXED0: 0x488, CR4_FIXED1: 0x489 } as const;

/** Paging-mode bits: a change of one drops every translation, global ones too. */
const CR0_TRANSLATES = CR0.PE | CR0.WP | CR0.PG;
const CR4_TRANSLATES = CR4.PSE | CR4.PAE | CR4.PGE | CR4.PCIDE | CR4.SMEP | CR4.SMAP;

const msr = (cpu: Cpu, index: number, otherwise: bigint): bigint => cpu.model.msrs.get(index) ?? otherwise;

/** Bits of CR4 that the model has: those that VMX allows to be 1 (IA32_VMX_CR4_FIXED1). */
export const cr4Supported = (cpu: Cpu): bigint =>
  msr(cpu, IA32_VMX.CR4_FIXED1, CR4.TSD | CR4.DE | CR4.PSE | CR4.PAE | CR4.PGE | CR4.MCE | CR4.PCE);

/** In VMX operation the fixed bits bind; unrestricted guests are free of PE and PG. */
function vmxAllows(cpu: Cpu, value: bigint, fixed0: number, fixed1: number, free: bigint): boolean {
  if (cpu.u32(S.VMX_ON) === 0) return true;
  const must = msr(cpu, fixed0, 0n) & ~free;
  return (value & must) === must && (value & ~msr(cpu, fixed1, ~0n)) === 0n;
}

/** Throws #GP(0) unless CR0 may become `value`: Intel SDM Vol. 2, "MOV - Move to/from Control Registers". */
function checkCr0(cpu: Cpu, value: bigint): void {
  const paging = (value & CR0.PG) !== 0n;
  const bad =
    value >> 32n !== 0n ||
    (paging && !(value & CR0.PE)) ||
    ((value & CR0.NW) !== 0n && !(value & CR0.CD)) ||
    (paging && !(cpu.u64(S.CR0) & CR0.PG) && !mayEnablePaging(cpu)) ||
    (!paging && cpu.mode64) ||
    (!paging && (cpu.u64(S.CR4) & CR4.PCIDE) !== 0n) ||
    // Non-root operation has its own guest/host masks; PE and PG are free in an unrestricted guest only.
    !vmxAllows(cpu, value, IA32_VMX.CR0_FIXED0, IA32_VMX.CR0_FIXED1, cpu.nonRoot ? CR0.PE | CR0.PG : 0n);
  if (bad) throw generalProtection();
}

/** IA-32e mode needs PAE, and CS.L clear at the moment of activation. */
function mayEnablePaging(cpu: Cpu): boolean {
  if (!(cpu.u64(S.EFER) & EFER.LME)) return true;
  return (cpu.u64(S.CR4) & CR4.PAE) !== 0n && !(cpu.u32(segRights(SEG.CS)) & 0x2000);
}

const usesPdptes = (cr0: bigint, cr4: bigint, efer: bigint): boolean =>
  (cr0 & CR0.PG) !== 0n && (cr4 & CR4.PAE) !== 0n && !(efer & EFER.LMA);

/** Loads CR0 with all that follows from it: EFER.LMA, PDPTEs, translations, the mode. Throws #GP(0). */
export function loadCr0(cpu: Cpu, requested: bigint): void {
  checkCr0(cpu, requested);
  // ET is hardwired, undefined bits read as 0.
  const value = (requested & CR0_DEFINED) | CR0.ET;
  const old = cpu.u64(S.CR0);
  const changed = old ^ value;
  let efer = cpu.u64(S.EFER);
  if (changed & CR0.PG) {
    const active = (value & CR0.PG) !== 0n && (efer & EFER.LME) !== 0n;
    efer = active ? efer | EFER.LMA : efer & ~EFER.LMA;
  }
  const reloads = (changed & (CR0.CD | CR0.NW | CR0.PG)) !== 0n && usesPdptes(value, cpu.u64(S.CR4), efer);
  if (reloads) loadPdptes(cpu, cpu.u64(S.CR3));
  cpu.setU64(S.CR0, value);
  cpu.setU64(S.EFER, efer);
  if (changed & CR0_TRANSLATES) {
    cpu.translations.flush(true);
    cpu.translations.retag();
  }
  cpu.updateMode();
}

/**
 * Loads CR3. Throws #GP(0). Bit 63 with CR4.PCIDE allows to keep translations, which none here are by PCID: all that
 * are not global are dropped, as a processor may at any time.
 */
export function loadCr3(cpu: Cpu, requested: bigint): void {
  const value = cpu.u64(S.CR4) & CR4.PCIDE ? requested & ~(1n << 63n) : requested;
  if (cpu.longMode && value >> BigInt(cpu.model.physicalBits) !== 0n) throw generalProtection();
  if (usesPdptes(cpu.u64(S.CR0), cpu.u64(S.CR4), cpu.u64(S.EFER))) loadPdptes(cpu, value);
  cpu.setU64(S.CR3, value);
  cpu.translations.flush(false);
}

/** Loads CR4. Throws #GP(0). */
export function loadCr4(cpu: Cpu, value: bigint): void {
  const old = cpu.u64(S.CR4);
  const changed = old ^ value;
  const enablesPcid = (changed & value & CR4.PCIDE) !== 0n;
  const bad =
    (value & ~cr4Supported(cpu)) !== 0n ||
    (cpu.longMode && !(value & CR4.PAE)) ||
    (enablesPcid && (!cpu.longMode || (cpu.u64(S.CR3) & 0xfffn) !== 0n)) ||
    !vmxAllows(cpu, value, IA32_VMX.CR4_FIXED0, IA32_VMX.CR4_FIXED1, 0n);
  if (bad) throw generalProtection();
  const reloads = (changed & (CR4.PAE | CR4.PSE | CR4.PGE | CR4.SMEP)) !== 0n;
  if (reloads && usesPdptes(cpu.u64(S.CR0), value, cpu.u64(S.EFER))) loadPdptes(cpu, cpu.u64(S.CR3));
  cpu.setU64(S.CR4, value);
  if (changed & CR4_TRANSLATES) {
    cpu.translations.flush(true);
    cpu.translations.retag();
  }
}

/** Loads CR8, the task priority. Throws #GP(0). */
function loadCr8(cpu: Cpu, value: bigint): void {
  if (value > 15n) throw generalProtection();
  cpu.setU64(S.CR8, value);
}

const LOAD: { readonly [cr: number]: (cpu: Cpu, value: bigint) => void } = {
  0: loadCr0,
  2: (cpu, value) => cpu.setU64(S.CR2, value),
  3: loadCr3,
  4: loadCr4,
  8: loadCr8,
};

/** Control registers whose moves a hypervisor may intercept. */
const INTERCEPTED = new Set([0, 3, 4, 8]);

const movToCr: SlowInstruction = (cpu, insn) => {
  const cr = insn.immediate32 & 0xff;
  const load = LOAD[cr];
  if (load === undefined || (cr === 8 && !cpu.mode64)) throw invalidOpcode();
  requireRing0(cpu);
  const source = cpu.readRegister(insn.dst, insn.size);
  const value = INTERCEPTED.has(cr) ? cpu.intercepts.writeCr(cpu, cr, source, registerNumber(insn.dst)) : source;
  if (value === null) return OUTCOME.switched;
  load(cpu, value);
  return OUTCOME.nextLeave;
};

const movFromCr: SlowInstruction = (cpu, insn) => {
  const cr = insn.immediate32 & 0xff;
  if (LOAD[cr] === undefined || (cr === 8 && !cpu.mode64)) throw invalidOpcode();
  requireRing0(cpu);
  const value = INTERCEPTED.has(cr) ? cpu.intercepts.readCr(cpu, cr, registerNumber(insn.dst)) : cpu.readControl(cr);
  if (value === null) return OUTCOME.switched;
  cpu.writeRegister(insn.dst, insn.size, value);
  return OUTCOME.next;
};

const clts: SlowInstruction = (cpu) => {
  requireRing0(cpu);
  const verdict = cpu.intercepts.clts(cpu);
  if (verdict === true) return OUTCOME.switched;
  if (verdict === false) cpu.setU64(S.CR0, cpu.u64(S.CR0) & ~CR0.TS);
  return OUTCOME.nextLeave;
};

const lmsw: SlowInstruction = (cpu, insn) => {
  requireRing0(cpu);
  const source = Number(readRm(cpu, insn, insn.dst, 2));
  const operand = insn.isMemory ? operandAddress(cpu, insn, 2, false) : null;
  const value = cpu.intercepts.lmsw(cpu, source, operand);
  if (value === null) return OUTCOME.switched;
  loadCr0(cpu, value);
  return OUTCOME.nextLeave;
};

/** SMSW names no general register; it sees CR0 through the read shadow and never exits. */
const SMSW = -1;

const smsw: SlowInstruction = (cpu, insn) => {
  if (cpu.cpl !== 0 && cpu.u64(S.CR4) & CR4.UMIP) throw generalProtection();
  const value = cpu.intercepts.readCr(cpu, 0, SMSW);
  if (value === null) return OUTCOME.switched;
  writeRm(cpu, insn, insn.dst, value, 2);
  return OUTCOME.next;
};

export const CONTROL: SlowTable = { mov_to_cr: movToCr, mov_from_cr: movFromCr, clts, lmsw, smsw };
