/** Buffers of a trace.dat: one of the top instance, one of each other; and those whose description a cut file lost. */
import { ImportError } from '../errors.js';
import { inferLayout, type Paged } from './layout.js';
import type { Section } from './sections.js';

export interface CpuData {
  readonly cpu: number;
  readonly offset: number;
  readonly size: number;
}

export interface Buffer {
  readonly name: string;
  readonly clock: string;
  readonly pageSize: number;
  readonly compressed: boolean;
  readonly cpus: readonly CpuData[];
  /** The file says which CPU is which; else their numbers only tell them apart. */
  readonly numbered: boolean;
}

/** What is known of the CPUs of a buffer without its description. */
export interface Cpus {
  /** CPUs that had events by the kernel's own counters. */
  readonly counted: readonly number[];
  /** CPUs of the host, 0 where that is unknown. */
  readonly count: number;
}

export interface Inferred {
  readonly buffer: Buffer | null;
  /** How it was made out. */
  readonly says: string | null;
  /** What of it is left out. */
  readonly problem: ImportError | null;
}

/** Makes out a buffer from its data alone. What may be read in two ways is left out, and that is said. */
export function inferBuffer(file: Paged & { readonly clock: string }, section: Section, known: Cpus): Inferred {
  const leftOut = (at: number, why: string): ImportError =>
    new ImportError('CORRUPT', `${file.bytes.name} (offset ${at})`, `${why}: left out`);
  const layout = inferLayout(file, section);
  if (layout === null || (known.count > 0 && layout.places.length > known.count)) {
    const why = 'pages of a buffer of which it is not clear where those of each CPU are';
    return { buffer: null, says: null, problem: leftOut(section.data, why) };
  }
  const { places, pageSize, end } = layout;
  if (places.length === 0) return { buffer: null, says: null, problem: null };
  const { compressed } = section;
  const numbers = numbersOf(places.length, known, compressed);
  const cpus = places.map(({ offset, size }, i) => ({ cpu: numbers?.[i] ?? i, offset, size }));
  const buffer = { name: '', clock: file.clock, pageSize, compressed, cpus, numbered: numbers !== null };
  const many = cpus.length === 1 ? 'one CPU' : `${cpus.length} CPUs`;
  const which = numbers === null ? `${many}, of unknown number` : `CPU ${numbers.join(', ')}`;
  const what = compressed ? 'its packed chunks' : 'the times of its pages';
  const says = `where each CPU's data lies in the buffer at offset ${section.at} was inferred from ${what}: ${which}`;
  const problem = end < Math.min(section.end, file.bytes.size) ? leftOut(end, 'bytes that are no data of a CPU') : null;
  return { buffer, says, problem };
}

/** The CPUs whose data was found, where that is certain. Packed data cannot hide a CPU within that of another. */
function numbersOf(found: number, { counted, count }: Cpus, compressed: boolean): readonly number[] | null {
  if (counted.length === found || (compressed && counted.length > found)) return counted.slice(0, found);
  return count === found ? Array.from({ length: found }, (_, cpu) => cpu) : null;
}
