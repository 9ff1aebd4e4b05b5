/** Forms of binary recordings. Their seeds are recordings of real kernels, in each form that the formats have. */
import { readFileSync } from 'node:fs';
import { fixturePath } from '../recorder/import-helpers.js';
import { asAligned, asPipe, asPlain, asShort } from '../recorder/perf-files.js';
import { asVersion6, asVersion7, bigEndian } from '../recorder/trace-dat-files.js';
import { firstWindows } from '../recorder/xentrace-files.js';
import { perfAnatomy, traceDatAnatomy, xentraceAnatomy } from './anatomy.js';
import { checkImport, type ImportRules, Kept } from './imports.js';
import { type Anatomy, mutateBytes } from './mutate.js';
import type { Form } from './run.js';

/** Smallest records: a word of the ring buffer with its data, a head of perf. */
const SMALLEST = 8;
/** Records that small seeds keep: samples, and of each other type. */
const few = (type: number): number => (type === 9 ? 60 : 3);

function binaryForm(
  name: string,
  seeds: readonly Uint8Array[],
  anatomyOf: (seed: Uint8Array) => Anatomy,
  rules: ImportRules,
): Form {
  const anatomies = new Map<Uint8Array, Anatomy>();
  const anatomy = (seed: Uint8Array): Anatomy => {
    const known = anatomies.get(seed) ?? anatomyOf(seed);
    anatomies.set(seed, known);
    return known;
  };
  return {
    name,
    seeds,
    mutate: (original, random) => mutateBytes(original, anatomy(original), random),
    check: (input, original, run) => checkImport(input, original, run, rules),
  };
}

/** Rows of a seed whose records begin with the first unit at or behind `from`. */
function keptBy(
  anatomyOf: (seed: Uint8Array) => Anatomy,
  from: (seed: Uint8Array) => number,
): NonNullable<ImportRules['kept']> {
  const known = new Map<Uint8Array, Kept>();
  return (original) => {
    let kept = known.get(original);
    if (kept === undefined) {
      const start = from(original);
      const edges = anatomyOf(original).units.flatMap(({ to }) => (to > start ? [to] : []));
      kept = new Kept(original, edges, start);
      known.set(original, kept);
    }
    return kept;
  };
}

/** Where the pages of version 6 begin, which are the last thing in it. */
const pagesAt = (seed: Uint8Array): number => traceDatAnatomy(seed).units[0]?.from ?? seed.length;
/** Behind attributes and formats of a pipe. */
const TRACING_DATA = 66;
const recordsAt = (seed: Uint8Array): number => {
  const bytes = Buffer.from(seed);
  return perfAnatomy(seed).units.find(({ from }) => bytes.readUInt32LE(from) === TRACING_DATA)?.to ?? seed.length;
};

/** All of them; read when they are asked for. */
export function recordingForms(): readonly Form[] {
  const read = (name: string): Buffer => readFileSync(fixturePath(name));
  const nested = read('svm-nested.trace.dat');
  const failed = read('vmx-failed-entry.trace.dat');
  const zstd = read('svm-exit-entry.zstd.perf.data');
  const kvmStat = read('svm-kvm-stat.perf.data');
  const xen = read('xen-svm-pvh.xentrace');
  const xenLost = read('xen-svm-lost.xentrace');
  const plain = asPlain(zstd, few);
  const short = asShort(zstd);
  const turned = asVersion6(failed, { reorder: bigEndian });
  // fields of the other byte order are left to blind mutations
  const anatomy6 = (seed: Uint8Array): Anatomy => (seed === turned ? NO_ANATOMY : traceDatAnatomy(seed));
  return [
    binaryForm('trace-dat-6', [asVersion6(nested), asVersion6(failed), turned], anatomy6, {
      smallest: SMALLEST,
      kept: keptBy(anatomy6, pagesAt),
    }),
    binaryForm(
      'trace-dat-7',
      [nested, failed, asVersion7(nested, true), asVersion7(failed, true), asVersion7(failed, false)],
      traceDatAnatomy,
      {},
    ),
    binaryForm('perf-file', [plain], perfAnatomy, { smallest: SMALLEST }),
    binaryForm('perf-pipe', [asPipe(plain)], perfAnatomy, { smallest: SMALLEST, kept: keptBy(perfAnatomy, recordsAt) }),
    binaryForm('perf-zstd', [short, asPipe(short), asPipe(asAligned(short))], perfAnatomy, {
      kept: keptBy(perfAnatomy, recordsAt),
    }),
    binaryForm('perf-kvm', [kvmStat], perfAnatomy, { smallest: SMALLEST }),
    binaryForm('xentrace', [firstWindows(xen, 12_000), firstWindows(xenLost, 24_000)], xentraceAnatomy, {
      smallest: 4,
      kept: keptBy(xentraceAnatomy, () => 0),
    }),
  ];
}

const NO_ANATOMY: Anatomy = { numbers: [], units: [] };
