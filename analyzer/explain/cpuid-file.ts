/** What CPUID says of a host, from a file: maker, widths, features and counters, as far as its lines have them. */
import { CPU_FEATURES, type CpuFeature, type CpuidRegisters, featureOf } from '../../engine/vmx/checks/features.js';
import { AnalysisError } from '../errors.js';
import { CpuidLines, inRange } from './cpuid-lines.js';
import { makerOf } from './makers.js';
import { type Bound, type Features, type Processor, UNKNOWN } from './processor.js';

/**
 * What Linux, and kcpuid where it has another name, call the features. One that Linux does not name may be hidden by it
 * (`tsx=off`, `ibt=off`), and one that either does not name may be newer.
 */
const NAMES: { readonly [feature in CpuFeature]: readonly string[] } = {
  SGX: ['sgx'],
  RTM: ['rtm'],
  CET_SS: ['user_shstk', 'cet_ss'],
  CET_IBT: ['ibt'],
  BUS_LOCK_DETECT: ['bus_lock_detect'],
  FRED: ['fred'],
  LAM: ['lam'],
};
/** With memory encryption Linux takes the bits of key numbers off the physical width: the processor has more. */
const TAKES_BITS = ['tme', 'sme'];

/** Widths of linear addresses in 64-bit mode. */
const LINEAR = [48, 57];

type Facts = Pick<Processor, 'physicalBits' | 'linearBits' | 'counters' | 'features'> & {
  readonly least: Bound;
  readonly most: Bound;
};
const NOTHING: Facts = { physicalBits: null, linearBits: null, counters: null, features: {}, least: {}, most: {} };

type Read = (leaf: number, subleaf: number) => CpuidRegisters | null;

const linearOf = (linear: number): number | null => (LINEAR.includes(linear) ? linear : null);

/** Facts that Linux or kcpuid name. */
function ofNames({ sizes, flags, isOfLinux }: CpuidLines): Facts {
  const features = CPU_FEATURES.filter((feature) => NAMES[feature].some((name) => flags?.has(name)));
  const [physical = null, linear = 0] = sizes ?? [];
  const isLess = isOfLinux && TAKES_BITS.some((flag) => flags?.has(flag));
  return {
    ...NOTHING,
    physicalBits: isLess ? null : physical,
    linearBits: linearOf(linear),
    features: Object.fromEntries(features.map((feature) => [feature, true])),
    least: isLess && physical !== null ? { physicalBits: physical } : {},
  };
}

const ZEROS: CpuidRegisters = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
/** CPUID.(07H,1):EAX: there is a leaf 23H, which may tell of more counters. */
const EXTENDED = 1 << 8;

const ones = (n: number): bigint => (1n << BigInt(n)) - 1n;

/** CPUID.0AH and, where leaf 7 says so, 23H (SDM Vol. 3B, "Architectural Performance Monitoring"): bits that enable a counter. */
function countersOf(read: Read): Pick<Facts, 'counters' | 'least' | 'most'> {
  const leaf = read(0xa, 0);
  if (leaf === null) return NOTHING;
  const [version, programmable] = [leaf.eax & 0xff, (leaf.eax >>> 8) & 0xff];
  if (version === 0) return { ...NOTHING, counters: 0n };
  const fixed = version < 2 ? 0n : ones(leaf.edx & 0x1f) | (version < 5 ? 0n : BigInt(leaf.ecx));
  const least = ones(Math.min(programmable, 32)) | (fixed << 32n);
  const extended = ((read(7, 1)?.eax ?? EXTENDED) & EXTENDED) === 0 ? ZEROS : read(0x23, 1);
  if (extended === null) return { counters: null, least: { counters: least }, most: {} };
  const wider = least | BigInt(extended.eax) | (BigInt(extended.ebx) << 32n);
  // Bit 48 enables performance metrics, which go with fixed counter 3; whether they are there an MSR says.
  const most = ((wider >> 35n) & 1n) === 0n ? wider : wider | (1n << 48n);
  return { counters: wider === most ? wider : null, least: { counters: wider }, most: { counters: most } };
}

/** A leaf; zeros where it is known that there is none, or that its registers are all 0. */
function reader({ leaves, isWhole }: CpuidLines): Read {
  const get = (leaf: number, subleaf: number): CpuidRegisters | null => leaves.get(`${leaf} ${subleaf}`) ?? null;
  return (leaf, subleaf) => {
    const last = subleaf === 0 ? get(leaf < 0x8000_0000 ? 0 : 0x8000_0000, 0) : get(leaf, 0);
    const isBeyond = last !== null && last.eax < (subleaf === 0 ? leaf : subleaf);
    return get(leaf, subleaf) ?? (isBeyond || isWhole(leaf, subleaf) ? ZEROS : null);
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

/** Throws AnalysisError BAD_CPUID, with the line where one is bad. `where` names the file. */
export function readCpuid(text: string, where: string): Processor {
  const lines = new CpuidLines();
  let says = false;
  for (const [i, line] of text.split(/\r\n|\n|\r/).entries()) {
    const taken = lines.take(line.trimEnd());
    if (taken === false) throw new AnalysisError('BAD_CPUID', `${where}, line ${i + 1}`);
    says ||= taken === true;
  }
  if (!says) throw new AnalysisError('BAD_CPUID', where, 'no line "address sizes" or "flags", and no leaf of CPUID');
  const listed = ofNames(lines);
  const read = ofRegisters(reader(lines));
  const facts: Facts = {
    ...read,
    physicalBits: read.physicalBits ?? listed.physicalBits,
    linearBits: read.linearBits ?? listed.linearBits,
    features: { ...listed.features, ...read.features },
    least: { ...listed.least, ...read.least },
  };
  const maker = makerOf(lines.vendor ?? '');
  return { ...UNKNOWN, ...facts, name: where, isFile: true, ...(maker === null ? {} : { maker }) };
}
