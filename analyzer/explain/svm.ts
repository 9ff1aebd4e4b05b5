/** The checks of VMRUN over a VMCB dump. */
import { SVM_FACTS, type SvmCheck, type SvmCheckState, type SvmFact } from '../../engine/svm/checks/check.js';
import { SVM_CHECKS } from '../../engine/svm/checks/table.js';
import { vmcbFieldAt } from '../../engine/svm/fields.js';
import { type Dump, fieldOf, type Value } from './dump.js';
import { assumedEverywhere, type Judged, type Missing, Unknown, unknown } from './evaluate.js';
import type { Processor } from './processor.js';

/** What is asked of an AMD processor; null: not known. */
interface SvmProcessor {
  readonly physicalBits: number | null;
  readonly cr4: number | null;
  readonly efer: number | null;
}

/** The first processors with SVM (family 0Fh, revision F): 40 address bits, CR4 to OSXMMEXCPT, EFER to FFXSR. */
const LEAST: SvmProcessor = { physicalBits: 40, cr4: 0x7ff, efer: 0x7d01 };
const MOST: SvmProcessor = { physicalBits: 52, cr4: 0x00f7_1fff, efer: 0x0036_fd01 };

const SEV_ES = 4n;
/** KVM prints these of a VMSA alone. */
const VMSA_ONLY = ['U_CET', 'SEV_FEATURES'];
/** Every host of a dump is a 64-bit kernel with paging, which switches SEV on only where memory is encrypted. */
const KNOWN: ReadonlySet<SvmFact> = new Set(['longMode', 'hostPaging', 'host64', 'memoryEncryption']);

class VmcbState implements SvmCheckState {
  readonly #dump: Dump;
  readonly #processor: SvmProcessor;
  #piece: number | null = null;
  constructor(dump: Dump, processor: SvmProcessor) {
    this.#dump = dump;
    this.#processor = processor;
  }

  begin(): this {
    this.#piece = null;
    return this;
  }

  #value(offset: number): bigint {
    const field = vmcbFieldAt(offset);
    const name = field?.name ?? String(offset);
    if (field?.area === 'save' && name !== 'SEV_FEATURES' && this.#isEncrypted)
      unknown('field', 'the encrypted save area');
    const found = this.#printed(name) ?? unknown('field', name);
    if (this.#piece !== null && this.#piece !== found.piece) unknown('piece', `${name} of the same piece`);
    this.#piece = found.piece;
    return found.value;
  }
  /** Where the VMSA is not printed, the VMCB holds the copy of SEV_FEATURES that the processor made, once it made one. */
  #printed(name: string): Value | undefined {
    const { values } = this.#dump;
    const copy = name === 'SEV_FEATURES' ? values.get('GUEST_SEV_FEATURES') : undefined;
    return values.get(name) ?? (copy?.value === 0n ? undefined : copy);
  }
  /** The registers of an SEV-ES guest are in its VMSA, and the VMCB's are none of it, unless the VMSA was printed. */
  get #isEncrypted(): boolean {
    const control = fieldOf(this.#dump, 'NESTED_CTL') ?? 0n;
    const { values, sections } = this.#dump;
    return (control & SEV_ES) !== 0n && !sections.includes('vmsa') && !VMSA_ONLY.some((name) => values.has(name));
  }
  has(fact: SvmFact): boolean {
    return KNOWN.has(fact) || unknown('processor', SVM_FACTS[fact]);
  }
  get encryptedGuests(): number {
    return unknown('processor', 'number of encrypted guests (CPUID.8000001FH:ECX)');
  }
  get firstSevAsid(): number {
    return unknown('processor', 'lowest ASID without SEV-ES (CPUID.8000001FH:EDX)');
  }
  memory(): number {
    return unknown('memory', 'physical memory');
  }
  low(field: number): number {
    return Number(this.#value(field) & 0xffff_ffffn);
  }
  high(field: number): number {
    return Number((this.#value(field) >> 32n) & 0xffff_ffffn);
  }
  get physicalBits(): number {
    return this.#processor.physicalBits ?? unknown('processor', 'physical-address width');
  }
  get cr4Supported(): number {
    return this.#processor.cr4 ?? unknown('processor', 'supported bits of CR4');
  }
  get eferSupported(): number {
    return this.#processor.efer ?? unknown('processor', 'supported bits of EFER');
  }
}

const ask = (check: SvmCheck, state: VmcbState): boolean | Missing => {
  try {
    return check.holds(state.begin());
  } catch (error) {
    if (error instanceof Unknown) return error.missing;
    throw error;
  }
};

/** Judges every check of VMRUN. */
export function judgeSvm(dump: Dump, { physicalBits, least: atLeast }: Processor): Judged[] {
  const state = new VmcbState(dump, { physicalBits, cr4: null, efer: null });
  const closest = { ...LEAST, physicalBits: atLeast?.physicalBits ?? LEAST.physicalBits };
  const [narrow, wide] = [closest, MOST].map(
    (bound) => new VmcbState(dump, { ...bound, physicalBits: physicalBits ?? bound.physicalBits }),
  );
  return SVM_CHECKS.map((row): Judged => {
    const check = {
      ...row,
      stage: 'vmcb',
      fields: row.reads.flatMap((read) => (typeof read === 'number' ? (vmcbFieldAt(read)?.name ?? []) : [])),
    };
    const answer = ask(row, state);
    const decided = (holds: boolean): Judged['answer'] => (holds ? 'holds' : 'violated');
    if (typeof answer === 'boolean')
      return { check, answer: decided(answer), missing: [], assumes: [], depends: false };
    const least = narrow === undefined ? answer : ask(row, narrow);
    const most = wide === undefined ? answer : ask(row, wide);
    if (typeof least === 'boolean' && least === most)
      return { check, answer: decided(least), missing: [], assumes: [assumedEverywhere(answer.name)], depends: false };
    return { check, answer: 'undecidable', missing: [answer], assumes: [], depends: least === false && most === true };
  });
}
