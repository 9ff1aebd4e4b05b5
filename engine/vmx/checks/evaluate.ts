/** Which checks a VM entry violates, evaluating only those that could have changed since the last good entry. */
import type { Cpu } from '../../cpu/cpu.js';
import { S } from '../../cpu/layout.js';
import type { Capabilities } from '../capabilities.js';
import { CHECKED_BYTES, REGION } from '../fields.js';
import { CHANGED } from '../transfer.js';
import { touch, vmcsAddress } from '../vmcs.js';
import { type CheckState, type CpuRegister, STAGES, type Stage } from './check.js';
import { CPU_FEATURES, type CpuFeature, hasFeature } from './features.js';
import { CHECKS } from './table.js';

const ADDRESS_SPACE = 2 ** 32;

/** Four programmable counters and three fixed ones, as MSRs of the engine accept them (cpu/system/msr.ts). */
export const COUNTERS = { low: 0xf, high: 7 } as const;

/** The state of a vCPU with a current VMCS. One for all; `at` points it. */
class LiveState implements CheckState {
  #cpu: Cpu | null = null;
  #ram: DataView = new DataView(new ArrayBuffer(0));
  #region = 0;
  #capabilities: Capabilities | null = null;
  physicalBits = 0;
  /** Set by `memory`: the answer may change without any field changing. */
  readMemory = false;
  #features: ReadonlySet<CpuFeature> = new Set();
  readonly linearBits = 48;
  readonly countersLow = COUNTERS.low;
  readonly countersHigh = COUNTERS.high;

  at(cpu: Cpu): this {
    if (this.#cpu !== cpu) {
      this.#cpu = cpu;
      this.#ram = cpu.memory.view;
      this.#capabilities = cpu.vmx.capabilities;
      this.physicalBits = cpu.model.physicalBits;
      this.#features = new Set(CPU_FEATURES.filter((feature) => hasFeature(cpu.model, feature)));
    }
    this.#region = vmcsAddress(cpu);
    return this;
  }

  low(field: number): number {
    return this.#ram.getUint32(this.#region + field, true);
  }
  high(field: number): number {
    return this.#ram.getUint32(this.#region + field + 4, true);
  }
  capabilityLow(msr: number): number {
    return Number((this.#capabilities?.read(msr) ?? 0n) & 0xffff_ffffn);
  }
  capabilityHigh(msr: number): number {
    return Number((this.#capabilities?.read(msr) ?? 0n) >> 32n);
  }
  has(feature: CpuFeature): boolean {
    return this.#features.has(feature);
  }
  register(name: CpuRegister): number {
    // The machine has neither SMM, and so no executive VMCS, nor Intel PT.
    if (name !== 'EFER' && name !== 'VMCS_POINTER' && name !== 'VMXON_POINTER') return 0;
    if (name === 'VMXON_POINTER') return this.#cpu?.u32(S.VMXON_POINTER) ?? 0;
    return this.#cpu?.u32(name === 'EFER' ? S.EFER : S.VMCS_POINTER) ?? 0;
  }
  memory(low: number, high: number): number {
    this.readMemory = true;
    return this.#cpu?.memory.read(high * ADDRESS_SPACE + low, 4) ?? 0;
  }
}

const live = new LiveState();

/** Checks that read each field (by (offset - REGION.fields) / 8), and those that read a processor register. */
const byField: number[][] = Array.from({ length: (CHECKED_BYTES - REGION.fields) / 8 }, () => []);
const byRegister: number[] = [];
/**
 * Checks that may read memory, which changes unseen. Each has a bit in the region that says whether it did read memory
 * when it was last evaluated; one that did not depends on fields only.
 */
const mayReadMemory: number[] = [];
CHECKS.forEach((check, i) => {
  // Checks that the manual leaves to the processor are none of this one's.
  if (check.optional) return;
  for (const read of check.reads) {
    if (read === 'memory') mayReadMemory.push(i);
    else if (typeof read === 'string') byRegister.push(i);
    else byField[(read - REGION.fields) / 8]?.push(i);
  }
});
const MEMORY_BIT = new Int32Array(CHECKS.length);
mayReadMemory.forEach((i, bit) => {
  MEMORY_BIT[i] = 1 << bit;
});

/** What an entry violates: the checks of the first stage that has any, as indices into CHECKS, ascending. */
export interface Verdict {
  readonly stage: Stage;
  readonly violated: readonly number[];
}

/** Stages are judged in the manual's order; controls and host state come before any guest state. */
function verdict(violated: readonly number[]): Verdict | null {
  const ordered = [...new Set(violated)].sort((a, b) => a - b);
  for (const stage of STAGES) {
    const here = ordered.filter((i) => CHECKS[i]?.stage === stage);
    if (here.length > 0) return { stage, violated: here };
  }
  return null;
}

/** Checks that do not hold; null as long as all do. */
let found: number[] | null = null;
/** Bits of the checks that read memory. */
let memoryReaders = 0;

function judgeOne(i: number): void {
  live.readMemory = false;
  if (CHECKS[i]?.holds(live) === false) {
    found ??= [];
    found.push(i);
  }
  const bit = MEMORY_BIT[i] ?? 0;
  if (bit) memoryReaders = live.readMemory ? memoryReaders | bit : memoryReaders & ~bit;
}

function judge(checks: readonly number[]): void {
  for (let k = 0; k < checks.length; k++) judgeOne(checks[k] ?? 0);
}

function judgeMemoryReaders(): void {
  const readers = memoryReaders;
  for (const i of mayReadMemory) if (readers & (MEMORY_BIT[i] ?? 0)) judgeOne(i);
}

/** Registers that checks read, as one number other than 0. */
const inputsOf = (cpu: Cpu): number => (cpu.u32(S.EFER) | 0x8000_0000) >>> 0;

const EVERY = CHECKS.map((_, i) => i).filter((i) => !CHECKS[i]?.optional);

/**
 * Evaluates the checks of an entry with the current VMCS; null where all hold. A check is skipped only where nothing
 * that it reads changed since this VMCS last passed all of them: the region keeps a shadow of its fields for that, and
 * the registers that checks read.
 */
export function evaluate(cpu: Cpu): Verdict | null {
  live.at(cpu);
  const region = vmcsAddress(cpu);
  const ram = cpu.memory.view;
  const inputs = ram.getUint32(region + REGION.good, true);
  touch(cpu, region);
  const changed = cpu.vmx.copies.compare(cpu, region);
  found = null;
  memoryReaders = ram.getUint32(region + REGION.memory, true);
  if (inputs === 0 || cpu.vmx.checkAlways) judge(EVERY);
  else {
    for (let i = 0; i < changed; i++) {
      judge(byField[(ram.getUint16(region + CHANGED + 2 * i, true) - REGION.fields) >> 3] ?? []);
    }
    if (inputs !== inputsOf(cpu)) judge(byRegister);
    if (memoryReaders) judgeMemoryReaders();
  }
  const result = found === null ? null : verdict(found);
  ram.setUint32(region + REGION.good, result ? 0 : inputsOf(cpu), true);
  ram.setUint32(region + REGION.memory, memoryReaders, true);
  return result;
}
