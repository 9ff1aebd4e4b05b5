/** Which checks a VM entry violates, evaluating only those that could have changed since the last good entry. */
import type { Cpu } from '../../cpu/cpu.js';
import { S } from '../../cpu/layout.js';
import type { GoodEntry } from '../cache.js';
import { type Capabilities, capabilitiesOf } from '../capabilities.js';
import { CHECKED_BYTES } from '../fields.js';
import { vmcsAddress } from '../vmcs.js';
import type { CheckState, CpuRegister, Stage } from './check.js';
import { CHECKS } from './table.js';

const WORDS = CHECKED_BYTES / 4;
const ADDRESS_SPACE = 2 ** 32;

/** Four programmable counters and three fixed ones, as MSRs of the engine accept them (cpu/system/msr.ts). */
const COUNTERS = { low: 0xf, high: 7 } as const;

/** The state of a vCPU with a current VMCS. One for all; `at` points it. */
class LiveState implements CheckState {
  #cpu: Cpu | null = null;
  #ram: DataView = new DataView(new ArrayBuffer(0));
  #region = 0;
  #capabilities: Capabilities | null = null;
  physicalBits = 0;
  readonly linearBits = 48;
  readonly countersLow = COUNTERS.low;
  readonly countersHigh = COUNTERS.high;

  at(cpu: Cpu): this {
    if (this.#cpu !== cpu) {
      this.#cpu = cpu;
      this.#ram = cpu.memory.view;
      this.#capabilities = capabilitiesOf(cpu.model);
      this.physicalBits = cpu.model.physicalBits;
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
  register(name: CpuRegister): number {
    if (name === 'SMM') return 0;
    return this.#cpu?.u32(name === 'EFER' ? S.EFER : S.VMCS_POINTER) ?? 0;
  }
  memory(low: number, high: number): number {
    return this.#cpu?.memory.read(high * ADDRESS_SPACE + low, 4) ?? 0;
  }
}

const live = new LiveState();

/** Checks that read each word of the region, that read a processor register, and that read memory. */
const byWord: number[][] = Array.from({ length: WORDS }, () => []);
const byRegister: number[] = [];
const always: number[] = [];
CHECKS.forEach((check, i) => {
  for (const read of check.reads) {
    if (read === 'memory') always.push(i);
    else if (typeof read === 'string') byRegister.push(i);
    else {
      byWord[read / 4]?.push(i);
      byWord[read / 4 + 1]?.push(i);
    }
  }
});

const STAGE_OF: readonly Stage[] = CHECKS.map((check) => check.stage);

/** What an entry violates: the checks of the first stage that has any, as indices into CHECKS, ascending. */
export interface Verdict {
  readonly stage: Stage;
  readonly violated: readonly number[];
}

/** Stages are judged in the manual's order; controls and host state come before any guest state. */
function verdict(violated: readonly number[]): Verdict | null {
  if (violated.length === 0) return null;
  for (const stage of ['controls', 'host', 'guest'] as const) {
    const here = violated.filter((i) => STAGE_OF[i] === stage);
    if (here.length > 0) return { stage, violated: here };
  }
  return null;
}

/** Checks that the manual leaves to the processor are none of this one's. */
const holds = (i: number): boolean => {
  const check = CHECKS[i];
  return check === undefined || check.optional === true || check.holds(live);
};

/** Registers that checks read, as one number. */
const inputsOf = (cpu: Cpu): number => cpu.u32(S.EFER);

/** Marks the checks that read something which changed since `good`; false: none did. */
const wanted = new Uint8Array(CHECKS.length);
function findChanged(cpu: Cpu, good: GoodEntry): number[] {
  const found: number[] = [];
  const add = (list: readonly number[]): void => {
    for (const i of list) {
      if (wanted[i]) continue;
      wanted[i] = 1;
      found.push(i);
    }
  };
  const first = vmcsAddress(cpu) >> 2;
  const ram = cpu.vmx.ramWords(cpu.memory);
  for (let word = 0; word < WORDS; word++) {
    if (ram[first + word] !== good.words[word]) add(byWord[word] ?? []);
  }
  if (good.inputs !== inputsOf(cpu)) add(byRegister);
  add(always);
  for (const i of found) wanted[i] = 0;
  return found;
}

/** Remembers the VMCS as one that passed every check. */
function remember(cpu: Cpu): void {
  const region = vmcsAddress(cpu);
  const ram = cpu.vmx.ramWords(cpu.memory);
  let good = cpu.vmx.goodEntries.get(region);
  if (!good) {
    good = { words: new Int32Array(WORDS), inputs: 0 };
    cpu.vmx.goodEntries.set(region, good);
  }
  good.words.set(ram.subarray(region >> 2, (region >> 2) + WORDS));
  good.inputs = inputsOf(cpu);
}

/**
 * Evaluates the checks of an entry with the current VMCS; null where all hold. A check is skipped only where nothing
 * that it reads changed since this VMCS last passed all of them.
 */
export function evaluate(cpu: Cpu): Verdict | null {
  live.at(cpu);
  const good = cpu.vmx.checkAlways ? undefined : cpu.vmx.goodEntries.get(vmcsAddress(cpu));
  const violated: number[] = [];
  if (good) {
    for (const i of findChanged(cpu, good)) if (!holds(i)) violated.push(i);
    violated.sort((a, b) => a - b);
  } else {
    for (let i = 0; i < CHECKS.length; i++) if (!holds(i)) violated.push(i);
  }
  const result = verdict(violated);
  if (!result) remember(cpu);
  return result;
}
