/** What a processor says of itself, waits for, or keeps in caches: CPUID, time stamps, HLT, MONITOR, INVD ... */

import type { Cpu } from '../cpu.js';
import { ACTIVITY } from '../delivery.js';
import { generalProtection, invalidOpcode } from '../fault.js';
import type { Intercepted } from '../intercepts.js';
import { GPR, S } from '../layout.js';
import type { CpuidLeaf, CpuModel } from '../model.js';
import { OUTCOME, type SlowInstruction, type SlowTable } from '../outcome.js';
import { linearAddress } from '../segments.js';
import { CR4 } from './control.js';
import { readPair, requireRing0, writePair } from './operands.js';

/** The time-stamp counter as RDTSC reads it now: ticks, and the offset that WRMSR or a hypervisor added. */
export const timeStamp = (cpu: Cpu): bigint =>
  BigInt.asUintN(64, cpu.u64(S.TICK) * BigInt(cpu.model.tscPerTick) + cpu.u64(S.TSC_OFFSET));

/** Leaves by number, then by subleaf; -1 stands for "no subleaves". */
type LeafMap = ReadonlyMap<number, ReadonlyMap<number, CpuidLeaf>>;
const leafMaps = new WeakMap<CpuModel, LeafMap>();

function leavesOf(model: CpuModel): LeafMap {
  const known = leafMaps.get(model);
  if (known) return known;
  const map = new Map<number, Map<number, CpuidLeaf>>();
  for (const leaf of model.cpuid) {
    const subleaves = map.get(leaf.leaf) ?? new Map<number, CpuidLeaf>();
    subleaves.set(leaf.subleaf ?? -1, leaf);
    map.set(leaf.leaf, subleaves);
  }
  leafMaps.set(model, map);
  return map;
}

const NOTHING: CpuidLeaf = { leaf: 0, eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** A leaf as the model states it; above the highest basic leaf, that of the highest (Intel SDM Vol. 2, "CPUID"). */
function cpuidLeaf(model: CpuModel, leaf: number, subleaf: number): CpuidLeaf {
  const leaves = leavesOf(model);
  const highest = leaves.get(0)?.get(-1)?.eax ?? 0;
  const highestExtended = leaves.get(0x8000_0000)?.get(-1)?.eax ?? 0;
  const known = leaf <= highest || (leaf >= 0x8000_0000 && leaf <= highestExtended);
  const found = leaves.get(known ? leaf : highest);
  return found?.get(-1) ?? found?.get(subleaf) ?? NOTHING;
}

/** What CPUID answers now: the model's leaf with what depends on the processor's state. */
export function cpuidValues(cpu: Cpu, leaf: number, subleaf: number): CpuidLeaf {
  const value = cpuidLeaf(cpu.model, leaf, subleaf);
  if (value.leaf !== 1) return value;
  const osxsave = cpu.u64(S.CR4) & CR4.OSXSAVE ? 0x0800_0000 : 0;
  return { ...value, ebx: value.ebx | (cpu.index << 24), ecx: (value.ecx & ~0x0800_0000) | osxsave };
}

const cpuid: SlowInstruction = (cpu) => {
  if (cpu.intercepts.instruction(cpu, 'cpuid')) return OUTCOME.switched;
  const { eax, ebx, ecx, edx } = cpuidValues(cpu, cpu.u32(GPR.RAX), cpu.u32(GPR.RCX));
  cpu.setU32(GPR.RAX, eax);
  cpu.setU32(GPR.RBX, ebx);
  cpu.setU32(GPR.RCX, ecx);
  cpu.setU32(GPR.RDX, edx);
  return OUTCOME.next;
};

const rdtsc: SlowInstruction = (cpu) => {
  if (cpu.cpl !== 0 && cpu.u64(S.CR4) & CR4.TSD) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'rdtsc')) return OUTCOME.switched;
  writePair(cpu, GPR.RAX, GPR.RDX, timeStamp(cpu));
  return OUTCOME.next;
};

const rdtscp: SlowInstruction = (cpu) => {
  if (cpu.cpl !== 0 && cpu.u64(S.CR4) & CR4.TSD) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'rdtscp')) return OUTCOME.switched;
  writePair(cpu, GPR.RAX, GPR.RDX, timeStamp(cpu));
  cpu.setU32(GPR.RCX, cpu.u32(S.TSC_AUX));
  return OUTCOME.next;
};

/** The models have no performance counters: every index is out of range. */
const rdpmc: SlowInstruction = (cpu) => {
  if (cpu.cpl !== 0 && !(cpu.u64(S.CR4) & CR4.PCE)) throw generalProtection();
  if (cpu.intercepts.instruction(cpu, 'rdpmc')) return OUTCOME.switched;
  throw generalProtection();
};

const hlt: SlowInstruction = (cpu) => {
  requireRing0(cpu);
  if (cpu.intercepts.instruction(cpu, 'hlt')) return OUTCOME.switched;
  cpu.setU32(S.ACTIVITY, ACTIVITY.hlt);
  return OUTCOME.nextLeave;
};

/** Privileged instructions that change nothing here (caches are not modelled) but may be intercepted. */
const cacheInstruction =
  (what: Intercepted): SlowInstruction =>
  (cpu) => {
    requireRing0(cpu);
    return cpu.intercepts.instruction(cpu, what) ? OUTCOME.switched : OUTCOME.next;
  };

/** MONITOR checks its address and arms nothing: MWAIT may always fall through (Intel SDM Vol. 2, "MWAIT"). */
const monitor: SlowInstruction = (cpu, insn) => {
  if (cpu.cpl !== 0) throw invalidOpcode();
  if (cpu.intercepts.instruction(cpu, 'monitor')) return OUTCOME.switched;
  if (cpu.u32(GPR.RCX) !== 0) throw generalProtection();
  const offset = BigInt.asUintN(8 * insn.addressSize, cpu.u64(GPR.RAX));
  cpu.linear.load(cpu, linearAddress(cpu, insn.segment, offset, 1, false), 1);
  return OUTCOME.next;
};

const mwait: SlowInstruction = (cpu) => {
  if (cpu.cpl !== 0) throw invalidOpcode();
  // Qualification bit 0: the monitor is armed; it never is.
  if (cpu.intercepts.instruction(cpu, 'mwait', 0n)) return OUTCOME.switched;
  if (cpu.u32(GPR.RCX) & ~1) throw generalProtection();
  return OUTCOME.next;
};

const pause: SlowInstruction = (cpu) => (cpu.intercepts.instruction(cpu, 'pause') ? OUTCOME.switched : OUTCOME.next);

/** XCR0 of the models: x87 (always 1) and SSE. */
const XCR0_SUPPORTED = 3n;

const xgetbv: SlowInstruction = (cpu) => {
  if (!(cpu.u64(S.CR4) & CR4.OSXSAVE)) throw invalidOpcode();
  if (cpu.u32(GPR.RCX) !== 0) throw generalProtection();
  writePair(cpu, GPR.RAX, GPR.RDX, cpu.u64(S.XCR0));
  return OUTCOME.next;
};

const xsetbv: SlowInstruction = (cpu) => {
  if (!(cpu.u64(S.CR4) & CR4.OSXSAVE)) throw invalidOpcode();
  requireRing0(cpu);
  if (cpu.intercepts.instruction(cpu, 'xsetbv')) return OUTCOME.switched;
  const value = readPair(cpu, GPR.RAX, GPR.RDX);
  if (cpu.u32(GPR.RCX) !== 0 || !(value & 1n) || value & ~XCR0_SUPPORTED) throw generalProtection();
  cpu.setU64(S.XCR0, value);
  return OUTCOME.next;
};

/** Everything that no instruction is encoded as. */
const ud: SlowInstruction = () => {
  throw invalidOpcode();
};

export const PROCESSOR: SlowTable = {
  cpuid,
  rdtsc,
  rdtscp,
  rdpmc,
  hlt,
  invd: cacheInstruction('invd'),
  wbinvd: cacheInstruction('wbinvd'),
  monitor,
  mwait,
  pause,
  xgetbv,
  xsetbv,
  ud,
};
