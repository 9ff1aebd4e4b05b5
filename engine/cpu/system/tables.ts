/** Descriptor-table registers, LDTR, TR and what drops translations of a page. */
import type { Cpu } from '../cpu.js';
import { descriptorAddress, isNull, markBusy, readDescriptor, readHighHalf, SYSTEM } from '../descriptor.js';
import { CpuFault, generalProtection, invalidOpcode, VECTOR } from '../fault.js';
import type { Insn } from '../insn.js';
import type { Intercepted } from '../intercepts.js';
import { S, SEG, segSelector, UNUSABLE } from '../layout.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { effectiveAddress, isCanonical, operandAddress, setSegment } from '../segments.js';
import { CR4 } from './control.js';
import { displacement, readSelector, requireProtected, requireRing0, writeRm } from './operands.js';

/** CR4.UMIP: SGDT, SIDT, SLDT, SMSW and STR only in ring 0. */
function requireUserReadable(cpu: Cpu): void {
  if (cpu.cpl !== 0 && cpu.u64(S.CR4) & CR4.UMIP) throw generalProtection();
}

/** Qualification of an exit by a descriptor-table instruction: the displacement, 0 for a register operand. */
const qualify = (cpu: Cpu, insn: Insn): bigint => (insn.isMemory ? displacement(cpu, insn) : 0n);

const loadTable =
  (what: Intercepted, baseSlot: number, limitSlot: number): SlowInstruction =>
  (cpu, insn) => {
    if (!insn.isMemory) throw invalidOpcode();
    requireRing0(cpu);
    if (cpu.intercepts.instruction(cpu, what, qualify(cpu, insn))) return OUTCOME.switched;
    const wide = cpu.mode64;
    const limit = Number(cpu.linear.load(cpu, operandAddress(cpu, insn, 2, false), 2));
    const raw = cpu.linear.load(cpu, operandAddress(cpu, insn, wide ? 8 : 4, false, 2), wide ? 8 : 4);
    if (wide && !isCanonical(raw)) throw generalProtection();
    // With a 16-bit operand size only 24 bits of the base are loaded.
    cpu.setU64(baseSlot, insn.size === 2 && !wide ? raw & 0xff_ffffn : raw);
    cpu.setU32(limitSlot, limit);
    return OUTCOME.next;
  };

const storeTable =
  (what: Intercepted, baseSlot: number, limitSlot: number): SlowInstruction =>
  (cpu, insn) => {
    if (!insn.isMemory) throw invalidOpcode();
    requireUserReadable(cpu);
    if (cpu.intercepts.instruction(cpu, what, qualify(cpu, insn))) return OUTCOME.switched;
    const size = cpu.mode64 ? 8 : 4;
    const baseAddress = operandAddress(cpu, insn, size, true, 2);
    cpu.linear.probeStore(cpu, baseAddress, size);
    cpu.linear.store(cpu, operandAddress(cpu, insn, 2, true), 2, BigInt(cpu.u32(limitSlot)));
    cpu.linear.store(cpu, baseAddress, size, BigInt.asUintN(8 * size, cpu.u64(baseSlot)));
    return OUTCOME.next;
  };

/** The descriptor that LLDT or LTR names, and its base: 16 bytes wide in IA-32e mode. */
function readSystem(cpu: Cpu, selector: number, types: readonly number[]) {
  const error = selector & 0xfffc;
  if (selector & 4) throw generalProtection(error);
  const descriptor = readDescriptor(cpu, selector, VECTOR.GP);
  if (descriptor.isSegment || !types.includes(descriptor.type)) throw generalProtection(error);
  if (!descriptor.present) throw new CpuFault(VECTOR.NP, error);
  if (!cpu.longMode) return { descriptor, base: BigInt(descriptor.base) };
  if (descriptorAddress(cpu, selector, 16) === null) throw generalProtection(error);
  const high = readHighHalf(cpu, descriptor);
  const base = ((high & 0xffff_ffffn) << 32n) | BigInt(descriptor.base);
  // The type field of the second half must be 0, so that it cannot be taken for a descriptor of its own.
  if (high & 0x1f00_0000_0000n || !isCanonical(base)) throw generalProtection(error);
  return { descriptor, base };
}

const lldt: SlowInstruction = (cpu, insn) => {
  requireProtected(cpu);
  requireRing0(cpu);
  if (cpu.intercepts.instruction(cpu, 'lldt', qualify(cpu, insn))) return OUTCOME.switched;
  const selector = readSelector(cpu, insn, insn.dst);
  if (isNull(selector)) {
    setSegment(cpu, SEG.LDTR, selector, 0n, 0, UNUSABLE);
    return OUTCOME.next;
  }
  const { descriptor, base } = readSystem(cpu, selector, [SYSTEM.ldt]);
  setSegment(cpu, SEG.LDTR, selector, base, descriptor.limit, descriptor.rights);
  return OUTCOME.next;
};

const ltr: SlowInstruction = (cpu, insn) => {
  requireProtected(cpu);
  requireRing0(cpu);
  if (cpu.intercepts.instruction(cpu, 'ltr', qualify(cpu, insn))) return OUTCOME.switched;
  const selector = readSelector(cpu, insn, insn.dst);
  if (isNull(selector)) throw generalProtection();
  const types = cpu.longMode ? [SYSTEM.tss32] : [SYSTEM.tss16, SYSTEM.tss32];
  const { descriptor, base } = readSystem(cpu, selector, types);
  markBusy(cpu, descriptor, true);
  setSegment(cpu, SEG.TR, selector, base, descriptor.limit, descriptor.rights | 2);
  return OUTCOME.next;
};

const storeSelector =
  (what: Intercepted, segment: number): SlowInstruction =>
  (cpu, insn) => {
    requireProtected(cpu);
    requireUserReadable(cpu);
    if (cpu.intercepts.instruction(cpu, what, qualify(cpu, insn))) return OUTCOME.switched;
    writeRm(cpu, insn, insn.dst, BigInt(cpu.u32(segSelector(segment))), 2);
    return OUTCOME.next;
  };

const invlpg: SlowInstruction = (cpu, insn) => {
  if (!insn.isMemory) throw invalidOpcode();
  requireRing0(cpu);
  // Limits and canonical form are not checked: Intel SDM Vol. 2, "INVLPG".
  const base =
    cpu.mode64 && insn.segment !== SEG.FS && insn.segment !== SEG.GS ? 0n : cpu.u64(S.BASE + 8 * insn.segment);
  const linear = BigInt.asUintN(cpu.mode64 ? 64 : 32, base + effectiveAddress(cpu, insn));
  if (cpu.intercepts.instruction(cpu, 'invlpg', linear)) return OUTCOME.switched;
  if (isCanonical(linear)) cpu.translations.flushPage(linear);
  return OUTCOME.next;
};

/** INVPCID types: Intel SDM Vol. 2. Translations carry no PCID, so that each type but 0 drops all it may. */
const INVPCID = { address: 0n, context: 1n, allAndGlobal: 2n, all: 3n } as const;

const invpcid: SlowInstruction = (cpu, insn) => {
  if (!insn.isMemory) throw invalidOpcode();
  requireRing0(cpu);
  if (cpu.intercepts.instruction(cpu, 'invpcid', qualify(cpu, insn))) return OUTCOME.switched;
  const type = cpu.readRegister(insn.dst, cpu.mode64 ? 8 : 4);
  const pcid = cpu.linear.load(cpu, operandAddress(cpu, insn, 8, false), 8);
  const linear = cpu.linear.load(cpu, operandAddress(cpu, insn, 8, false, 8), 8);
  const named = type === INVPCID.address || type === INVPCID.context;
  const bad =
    type > INVPCID.all ||
    pcid >> 12n !== 0n ||
    (named && pcid !== 0n && !(cpu.u64(S.CR4) & CR4.PCIDE)) ||
    (type === INVPCID.address && !isCanonical(linear));
  if (bad) throw generalProtection();
  if (type === INVPCID.address) cpu.translations.flushPage(linear);
  else cpu.translations.flush(type === INVPCID.allAndGlobal);
  return OUTCOME.next;
};

export const TABLES: SlowTable = {
  lgdt: loadTable('lgdt', S.GDTR_BASE, S.GDTR_LIMIT),
  lidt: loadTable('lidt', S.IDTR_BASE, S.IDTR_LIMIT),
  sgdt: storeTable('sgdt', S.GDTR_BASE, S.GDTR_LIMIT),
  sidt: storeTable('sidt', S.IDTR_BASE, S.IDTR_LIMIT),
  lldt,
  ltr,
  sldt: storeSelector('sldt', SEG.LDTR),
  str: storeSelector('str', SEG.TR),
  invlpg,
  invpcid,
};
