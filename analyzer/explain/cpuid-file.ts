/**
 * What CPUID says of a host, from a file: its /proc/cpuinfo (or what lscpu prints), or the registers of each leaf as
 * `cpuid -1 -r` prints them. Of several processors the first one counts.
 */
import { CPU_FEATURES, type CpuFeature, type CpuidRegisters, featureOf } from '../../engine/vmx/checks/features.js';
import { AnalysisError } from '../errors.js';
import { type Bound, type Features, type Processor, UNKNOWN } from './processor.js';

const SIZES = /^\s*address sizes\s*:\s*(\d{1,3}) bits physical, (\d{1,3}) bits virtual$/i;
const FLAGS = /^\s*flags\s*:\s*(.*)$/i;
const REGISTERS =
  /^\s*0x([\da-f]{8})\s+0x([\da-f]{1,8}): eax=0x([\da-f]{8}) ebx=0x([\da-f]{8}) ecx=0x([\da-f]{8}) edx=0x([\da-f]{8})$/i;
/** Lines that are one of these, and must read like it. */
const BEGINNINGS = /^\s*(0x[\da-f]+\s|address sizes\s*:)/i;

/** What Linux calls the features. One that it does not name may be hidden by it (`tsx=off`, `ibt=off`), or be newer. */
const FLAG_OF: { readonly [feature in CpuFeature]: string } = {
  SGX: 'sgx',
  RTM: 'rtm',
  CET_SS: 'user_shstk',
  CET_IBT: 'ibt',
  BUS_LOCK_DETECT: 'bus_lock_detect',
  FRED: 'fred',
  LAM: 'lam',
};
/** With memory encryption Linux takes the bits of key numbers off the physical width: the processor has more. */
const TAKES_BITS = ['tme', 'sme'];

/** Widths that a 64-bit processor can have (SDM Vol. 3A, 4.1.4). */
const PHYSICAL = { least: 32, most: 52 } as const;
const LINEAR = [48, 57];
/** Of a 32-bit processor, whose addresses are never looked at beyond. */
const LINEAR_32 = 32;

type Facts = Pick<Processor, 'physicalBits' | 'linearBits' | 'counters' | 'features'> & {
  readonly least: Bound;
  readonly most: Bound;
};
const NOTHING: Facts = { physicalBits: null, linearBits: null, counters: null, features: {}, least: {}, most: {} };

type Read = (leaf: number, subleaf: number) => CpuidRegisters | null;

const inRange = (physical: number, linear: number): boolean =>
  physical >= PHYSICAL.least && physical <= PHYSICAL.most && (LINEAR.includes(linear) || linear === LINEAR_32);
const linearOf = (linear: number): number | null => (LINEAR.includes(linear) ? linear : null);

/** Facts of /proc/cpuinfo. */
function ofCpuinfo(sizes: readonly [physical: number, linear: number] | null, flags: ReadonlySet<string>): Facts {
  const features = CPU_FEATURES.filter((feature) => flags.has(FLAG_OF[feature])).map((feature) => [feature, true]);
  const [physical = null, linear = 0] = sizes ?? [];
  const isLess = TAKES_BITS.some((flag) => flags.has(flag));
  return {
    ...NOTHING,
    physicalBits: isLess ? null : physical,
    linearBits: linearOf(linear),
    features: Object.fromEntries(features),
    least: isLess && physical !== null ? { physicalBits: physical } : {},
  };
}

const ones = (n: number): bigint => (1n << BigInt(n)) - 1n;

/** CPUID.0AH and, where leaf 7 says so, 23H (SDM Vol. 3B, "Architectural Performance Monitoring"): bits that enable a counter. */
function countersOf(read: Read): Pick<Facts, 'counters' | 'least' | 'most'> {
  const leaf = read(0xa, 0);
  if (leaf === null) return NOTHING;
  const [version, programmable] = [leaf.eax & 0xff, (leaf.eax >>> 8) & 0xff];
  if (version === 0) return { ...NOTHING, counters: 0n };
  const fixed = version < 2 ? 0n : ones(leaf.edx & 0x1f) | (version < 5 ? 0n : BigInt(leaf.ecx));
  const least = ones(Math.min(programmable, 32)) | (fixed << 32n);
  const extended = ((read(7, 1)?.eax ?? 0) & 0x100) !== 0 ? read(0x23, 1) : null;
  const wider = extended === null ? least : least | BigInt(extended.eax) | (BigInt(extended.ebx) << 32n);
  // Bit 48 enables performance metrics, which go with fixed counter 3; whether they are there an MSR says.
  const most = ((wider >> 35n) & 1n) === 0n ? wider : wider | (1n << 48n);
  return { counters: least === most ? least : null, least: { counters: least }, most: { counters: most } };
}

/** A leaf; zeros where it is known that there is none. */
function reader(leaves: ReadonlyMap<string, CpuidRegisters>): Read {
  const get = (leaf: number, subleaf: number): CpuidRegisters | null => leaves.get(`${leaf} ${subleaf}`) ?? null;
  return (leaf, subleaf) => {
    const last = subleaf === 0 ? get(leaf < 0x8000_0000 ? 0 : 0x8000_0000, 0) : get(leaf, 0);
    const isBeyond = last !== null && last.eax < (subleaf === 0 ? leaf : subleaf);
    return get(leaf, subleaf) ?? (isBeyond ? { eax: 0, ebx: 0, ecx: 0, edx: 0 } : null);
  };
}

/** Facts of the registers. */
function ofRegisters(read: Read): Facts {
  const size = read(0x8000_0008, 0)?.eax ?? 0;
  const [physical, linear] = [size & 0xff, (size >>> 8) & 0xff];
  const isKnown = inRange(physical, linear);
  const features: Features = Object.fromEntries(
    CPU_FEATURES.map((feature) => [feature, featureOf(read, feature)]).filter(([, has]) => has !== null),
  );
  return {
    ...countersOf(read),
    physicalBits: isKnown ? physical : null,
    linearBits: linearOf(linear),
    features,
  };
}

/** Gathers what the lines say of the first processor. */
class Lines {
  readonly leaves = new Map<string, CpuidRegisters>();
  sizes: readonly [physical: number, linear: number] | null = null;
  flags: ReadonlySet<string> | null = null;

  /** Null where the line says nothing; false where it says what cannot be. */
  take(line: string): boolean | null {
    const [, ...words] = REGISTERS.exec(line) ?? [];
    if (words.length > 0) return this.#leaf(words.map((word) => Number.parseInt(word, 16)));
    const sizes = SIZES.exec(line);
    if (sizes !== null) {
      const [physical, linear] = [Number(sizes[1]), Number(sizes[2])];
      this.sizes ??= [physical, linear];
      return inRange(physical, linear);
    }
    const flags = FLAGS.exec(line)?.[1];
    if (flags === undefined) return BEGINNINGS.test(line) ? false : null;
    this.flags ??= new Set(flags.trim().split(/\s+/));
    return true;
  }

  #leaf([leaf = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0]: readonly number[]): true {
    const key = `${leaf} ${subleaf}`;
    if (!this.leaves.has(key)) this.leaves.set(key, { eax, ebx, ecx, edx });
    return true;
  }
}

/** Throws AnalysisError BAD_CPUID, with the line where one is bad. `where` names the file. */
export function readCpuid(text: string, where: string): Processor {
  const lines = new Lines();
  let says = false;
  for (const [i, line] of text.split(/\r\n|\n|\r/).entries()) {
    const taken = lines.take(line.trimEnd());
    if (taken === false) throw new AnalysisError('BAD_CPUID', `${where}, line ${i + 1}`);
    says ||= taken === true;
  }
  if (!says) throw new AnalysisError('BAD_CPUID', where, 'no line "address sizes" or "flags", and no leaf');
  const listed = ofCpuinfo(lines.sizes, lines.flags ?? new Set());
  const read = ofRegisters(reader(lines.leaves));
  const facts: Facts = {
    ...read,
    physicalBits: read.physicalBits ?? listed.physicalBits,
    linearBits: read.linearBits ?? listed.linearBits,
    features: { ...listed.features, ...read.features },
    least: { ...listed.least, ...read.least },
  };
  return { ...UNKNOWN, ...facts, name: where, isFile: true };
}
