/** The checks of a VM entry over a dump: each holds, is violated, or cannot be decided, and then it is said why. */
import type { Check, CheckState, CpuRegister } from '../../engine/vmx/checks/check.js';
import { violates } from '../../engine/vmx/checks/executive.js';
import type { CpuFeature } from '../../engine/vmx/checks/features.js';
import { VM_ERROR } from '../../engine/vmx/controls.js';
import { fieldAt } from '../../engine/vmx/fields.js';
import { type Dump, fieldOf } from './dump.js';
import { agreed, type Bound, bounds, FACTS, type Processor } from './processor.js';
import { DEFAULT1, MSR_NAMES } from './vmx-msrs.js';

/** What a check needs and the dump does not say. */
export interface Missing {
  readonly kind: 'field' | 'msr' | 'processor' | 'memory' | 'register' | 'piece';
  readonly name: string;
}

/** Thrown by a reading method whose answer is not known. */
export class Unknown extends Error {
  readonly missing: Missing;
  constructor(missing: Missing) {
    super(missing.name);
    this.missing = missing;
  }
}

/** One for each thing that can be missing: they are thrown thousands of times, and a stack trace is slow to take. */
const thrown = new Map<string, Unknown>();

export function unknown(kind: Missing['kind'], name: string): never {
  const key = `${kind} ${name}`;
  const found = thrown.get(key) ?? new Unknown({ kind, name });
  thrown.set(key, found);
  throw found;
}

const low = (value: bigint): number => Number(value & 0xffff_ffffn);
const high = (value: bigint): number => Number((value >> 32n) & 0xffff_ffffn);

/** A processor in IA-32e mode: it came back to, or runs at, an address above 4 GiB. */
const EFER_IA32E = 0xd01;

const REGISTER_NAMES: { readonly [name in CpuRegister]: string } = {
  EFER: 'IA32_EFER of the host',
  VMCS_POINTER: 'the VMCS pointer',
  VMXON_POINTER: 'the VMXON pointer',
  SMM: 'whether the processor is in SMM',
  RTIT_CTL: 'IA32_RTIT_CTL of the host',
  EXECUTIVE_LAUNCHED: 'the launch state of the executive VMCS',
  EXECUTIVE_CONTROLS: 'the VM-execution controls of the executive VMCS',
  EXECUTIVE_PIN: 'the VM-execution controls of the executive VMCS',
  EXECUTIVE_PRIMARY: 'the VM-execution controls of the executive VMCS',
  EXECUTIVE_SECONDARY: 'the VM-execution controls of the executive VMCS',
  EXECUTIVE_TERTIARY: 'the VM-execution controls of the executive VMCS',
};

class DumpState implements CheckState {
  readonly #dump: Dump;
  readonly #processor: Processor;
  #piece: number | null = null;

  constructor(dump: Dump, processor: Processor) {
    this.#dump = dump;
    this.#processor = processor;
  }

  /** Forgets which piece of a spliced dump the last check read. */
  begin(): this {
    this.#piece = null;
    return this;
  }

  #value(field: number): bigint {
    const name = fieldAt(field)?.name ?? String(field);
    const found = this.#dump.values.get(name) ?? unknown('field', name);
    if (this.#piece !== null && this.#piece !== found.piece) unknown('piece', `${name} of the same piece`);
    this.#piece = found.piece;
    return found.value;
  }

  low(field: number): number {
    return low(this.#value(field));
  }
  high(field: number): number {
    return high(this.#value(field));
  }
  #msr(msr: number): bigint {
    return this.#processor.msr(msr) ?? unknown('msr', MSR_NAMES[msr] ?? `MSR ${msr.toString(16)}H`);
  }
  capabilityLow(msr: number): number {
    return low(this.#msr(msr));
  }
  capabilityHigh(msr: number): number {
    return high(this.#msr(msr));
  }
  get physicalBits(): number {
    return this.#processor.physicalBits ?? unknown('processor', FACTS.physicalBits);
  }
  get linearBits(): number {
    return this.#processor.linearBits ?? unknown('processor', FACTS.linearBits);
  }
  get countersLow(): number {
    return low(this.#processor.counters ?? unknown('processor', FACTS.counters));
  }
  get countersHigh(): number {
    return high(this.#processor.counters ?? unknown('processor', FACTS.counters));
  }
  has(feature: CpuFeature): boolean {
    return this.#processor.features[feature] ?? unknown('processor', `${feature} (CPUID)`);
  }
  register(name: CpuRegister): number {
    // Neither Linux nor Xen runs as an SMM-transfer monitor, and our machine has none.
    if (name === 'SMM') return 0;
    const { machine } = this.#dump;
    if (machine) return low(name === 'EFER' ? machine.efer : machine.vmcs);
    if (name === 'EFER' && (fieldOf(this.#dump, 'HOST_RIP') ?? 0n) >> 32n !== 0n) return EFER_IA32E;
    return unknown('register', REGISTER_NAMES[name]);
  }
  memory(addressLow: number, addressHigh: number): number {
    const { machine } = this.#dump;
    if (machine) return machine.memory((BigInt(addressHigh) << 32n) | BigInt(addressLow >>> 0));
    return unknown('memory', 'physical memory');
  }
}

export type Answer = 'holds' | 'violated' | 'undecidable';

/** What is said of a check, of either architecture. */
export type Rule = Pick<Check, 'id' | 'cites' | 'says' | 'causes' | 'optional'> & {
  readonly stage: string;
  readonly qualification?: number;
  readonly error?: number;
  /** Exit code of a failed VMRUN other than VMEXIT_INVALID. */
  readonly exit?: string;
  /** Names of the fields that it reads. */
  readonly fields: readonly string[];
};

const ERROR_OF_STAGE: { readonly [stage: string]: number } = {
  controls: VM_ERROR.entryControls,
  host: VM_ERROR.entryHostState,
};

/** VM-instruction error of a VMfail that a violation means; null where it means something else. */
export const errorOf = ({ stage, error }: Rule): number | null => error ?? ERROR_OF_STAGE[stage] ?? null;

export interface Judged {
  readonly check: Rule;
  readonly answer: Answer;
  /** What an undecidable check lacks. */
  readonly missing: readonly Missing[];
  /** What a decided one takes for granted of the processor. */
  readonly assumes: readonly string[];
  /** Undecidable, and violated on some processors with VMX but not on others. */
  readonly depends: boolean;
}

const ask = (check: Check, state: DumpState): boolean | Missing => {
  try {
    return !violates(check, state.begin());
  } catch (error) {
    if (error instanceof Unknown) return error.missing;
    throw error;
  }
};

/** Fields that the check declares and the dump lacks, after the one that stopped it. */
function lacks(check: Check, dump: Dump, first: Missing): Missing[] {
  const others = check.reads.flatMap((read): Missing[] => {
    if (typeof read !== 'number') return [];
    const name = fieldAt(read)?.name;
    return name === undefined || dump.values.has(name) || name === first.name ? [] : [{ kind: 'field', name }];
  });
  return first.kind === 'field' ? [first, ...others] : [first];
}

/** The bounds of what processors have agree. */
export const assumedEverywhere = (name: string): string => `${name} as on every known processor`;

/** What a decided check takes for granted: the same of both bounds, or that either is taken. */
function assumed(name: string, least: Processor, most: Processor): string {
  if (name !== FACTS.linearBits || least.linearBits !== most.linearBits) return assumedEverywhere(name);
  return `linear addresses have ${least.linearBits} bits`;
}

const rules = new WeakMap<Check, Rule>();

/** What is said of a check; made once. */
function ruleOf(check: Check): Rule {
  const known = rules.get(check);
  if (known !== undefined) return known;
  const fields = check.reads.flatMap((read) => (typeof read === 'number' ? [fieldAt(read)?.name ?? ''] : []));
  const made = { ...check, fields };
  rules.set(check, made);
  return made;
}

/** Judges every check of a table over a dump, with what is known of the processor. */
export function judge(checks: readonly Check[], dump: Dump, processor: Processor): Judged[] {
  const [least, most] = bounds(fieldOf(dump, 'HOST_CR4'));
  const common = agreed(processor, least, most);
  const over = (bound: Processor, closer: Bound = {}): DumpState =>
    new DumpState(dump, {
      name: bound.name,
      msr: (msr) => processor.msr(msr) ?? bound.msr(msr),
      physicalBits: processor.physicalBits ?? closer.physicalBits ?? bound.physicalBits,
      linearBits: processor.linearBits ?? closer.linearBits ?? bound.linearBits,
      counters: processor.counters ?? closer.counters ?? bound.counters,
      features: { ...bound.features, ...processor.features },
    });
  const lost = lostControls(dump);
  const usual = usually(dump, common, lost);
  const states = {
    exact: new DumpState(dump, processor),
    common: new DumpState(dump, common),
    least: over(least, processor.least),
    most: over(most, processor.most),
  };
  return checks.map((row): Judged => {
    const check = ruleOf(row);
    const exact = ask(row, states.exact);
    if (typeof exact === 'boolean') return decided(check, exact, []);
    const likely = (): boolean => usual.length > 0 && usual.every((state) => ask(row, state) === false);
    if (exact.kind === 'field' || exact.kind === 'piece') {
      // Whatever the processor has, the check comes to this field.
      const depends = lost.has(exact.name) && likely();
      return { check, answer: 'undecidable', missing: lacks(row, dump, exact), assumes: [], depends };
    }
    const [narrow, wide] = [ask(row, states.least), ask(row, states.most)];
    if (narrow === wide && typeof narrow === 'boolean') {
      return decided(check, narrow, [assumed(exact.name, least, most)]);
    }
    // What known processors agree in is not what is missing.
    const open = ask(row, states.common);
    const missing = lacks(row, dump, typeof open === 'boolean' ? exact : open);
    const depends = narrow === false && wide === true;
    return { check, answer: 'undecidable', missing, assumes: [], depends: depends || likely() };
  });
}

const IA32E = 1n << 9n;

/**
 * The dump with controls that it lacks as hypervisors usually have them, the default1 class, for either kind of guest.
 * What is violated in all of these is likely violated.
 */
function usually(dump: Dump, processor: Processor, lost: ReadonlyMap<string, number>): DumpState[] {
  // Of pieces it is not known which one lacks them.
  if (lost.size === 0 || dump.pieces > 1) return [];
  return [0n, IA32E].map((mode) => {
    const values = new Map(dump.values);
    for (const [name, usual] of lost) {
      const value = BigInt(usual) | (name.startsWith('VM_E') ? mode : 0n);
      values.set(name, { value, line: dump.last, piece: dump.pieces });
    }
    return new DumpState({ ...dump, values }, processor);
  });
}

/** Controls that a dump lacks, with their usual values. */
const lostControls = ({ values }: Dump): ReadonlyMap<string, number> =>
  new Map(
    DEFAULT1.flatMap(({ field, usual }): [string, number][] => {
      const name = fieldAt(field)?.name;
      return name === undefined || values.has(name) ? [] : [[name, usual]];
    }),
  );

const decided = (check: Rule, holds: boolean, assumes: readonly string[]): Judged => ({
  check,
  answer: holds ? 'holds' : 'violated',
  missing: [],
  assumes,
  depends: false,
});
