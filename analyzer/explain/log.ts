/**
 * Why the entries failed whose dumps a log holds. A guest that fails is often started again, and a log may hold tens of
 * thousands of its dumps: each kind of failure is told once, with how often and where, and no more is kept of it.
 */
import { COMPRESSED_HEAD, compressionOf, unpackFor } from '../../traces/compressed.js';
import { AnalysisError } from '../errors.js';
import { type Dump, FORMATS } from './dump.js';
import { type DumpReport, explainDump, type Judgement, judgeDump } from './explain.js';
import { findEach } from './find.js';
import { usedOf } from './foreign.js';
import { isUtf16, type Log } from './lines.js';
import type { Host } from './outcome.js';
import { type Processor, UNKNOWN } from './processor.js';

/** Longer texts are no logs that a person reads: cut the part around the failure out. */
export const LARGEST = 256 * 1024 * 1024;
/** Kinds that are told one by one; dumps of further ones are counted. */
const MOST = 100;
/** Dumps of which it is remembered, value for value, what they came to. */
const REMEMBERED = 500;

/** Lines of a dump, from 1. */
export interface Place {
  readonly first: number;
  readonly last: number;
}

export interface LogReport extends DumpReport {
  /** Dumps of this kind, this one included: the first. */
  readonly times: number;
  /** Where the last one of them is. */
  readonly latest: Place;
  /** They agree in every value, and not only in what failed. */
  readonly identical: boolean;
}

export interface LogExplanation {
  readonly processor: string;
  readonly dumps: readonly LogReport[];
  /** Dumps of kinds that are not among `dumps`. */
  readonly more: number;
  /** Line at which the first of these begins, to go on from; null: there are none. */
  readonly from: number | null;
}

export interface LogOptions {
  readonly processor?: Processor | undefined;
  /** Tells dumps that begin at this line or later. */
  readonly from?: number;
  /** Takes dumps for one kind only where they agree in every value. */
  readonly each?: boolean;
  /** Is told the line that is reached. */
  readonly progress?: (line: number) => void;
}

interface Kind {
  dump: Dump;
  readonly content: string;
  latest: Place;
  times: number;
  identical: boolean;
}

/** Lines of the log that a damage names. */
const PLACE = /(?<=\b(?:line|lines|lines \d+ and) )\d+/g;

/** Every value of a dump, and what is wrong with its lines, wherever it stands. */
const contentOf = ({ format, values, msrs, efer, pieces, damage, first }: Dump): string =>
  [
    format,
    efer,
    pieces,
    ...[...values].map(([name, { value, piece }]) => `${name} ${value.toString(16)} ${piece}`),
    ...msrs.map(({ list, index, msr, value, reserved }) => `${list} ${index} ${msr} ${value} ${reserved}`),
    ...damage.map(({ kind, what }) => `${kind} ${what.replace(PLACE, (line) => String(Number(line) - first))}`),
  ].join('\n');

/** What failed: the outcome, and the broken rules with the values that break them. */
function failureOf({ dump, outcome, conclusion }: Judgement): string {
  const rules = [...conclusion.violated, ...conclusion.suspects].map(({ check }) => {
    const values = check.fields.map((field) => dump.values.get(field)?.value.toString(16) ?? '');
    return `${check.id} ${check.stage === 'msr' ? check.says : ''} ${values.join(' ')}`;
  });
  const refused =
    outcome.kind === 'msr-load' ? dump.msrs.filter(({ index }) => BigInt(index) === outcome.qualification) : [];
  return [
    dump.format,
    outcome.says,
    conclusion.verdict,
    ...new Set(dump.damage.map(({ kind }) => kind)),
    ...rules,
    ...refused.map(({ list, msr, value }) => `${list} ${msr} ${value}`),
  ].join('\n');
}

/** Formats whose lines other programs print as well. */
const COMMON: ReadonlySet<string> = new Set(['kvm-vmcs', 'xen-vmcs', 'xen-vmcb']);

/** One line that may be of anything, breaks no rule and does not say what happened: two registers that a debugger prints. */
function saysNothing(dump: Dump, processor: Processor): boolean {
  if (dump.isOneLine !== true || !COMMON.has(dump.format)) return false;
  const { outcome, conclusion } = judgeDump(dump, processor);
  return outcome.kind === 'unknown' && conclusion.violated.length + conclusion.suspects.length === 0;
}

/** Gathers dumps by their kinds, in a space that does not grow with their number. */
class Kinds {
  readonly #processor: Processor;
  readonly #each: boolean;
  readonly #kinds = new Map<string, Kind>();
  /** What dumps with this content came to; the oldest is forgotten first. */
  readonly #known = new Map<string, string>();
  readonly #isas = new Set<Host>();
  more = 0;
  from: number | null = null;

  constructor(processor: Processor, each: boolean) {
    this.#processor = processor;
    this.#each = each;
  }

  take(dump: Dump): void {
    const content = contentOf(dump);
    const key = this.#each ? content : this.#keyOf(dump, content);
    const { first, last } = dump;
    const kind = this.#kinds.get(key);
    if (kind !== undefined) {
      kind.times++;
      kind.identical &&= kind.content === content;
      if (first < kind.dump.first) kind.dump = dump;
      else if (first > kind.latest.first) kind.latest = { first, last };
    } else if (this.#kinds.size < MOST) {
      this.#kinds.set(key, { dump, content, latest: { first, last }, times: 1, identical: true });
    } else {
      this.more++;
      this.from = Math.min(this.from ?? first, first);
    }
  }

  /** Notes whose control structures the log has dumps of. */
  meet({ format }: Dump): void {
    const { isa } = FORMATS[format];
    if (isa !== null) this.#isas.add(isa);
  }

  reports(): LogReport[] {
    const [host = null, ...others] = this.#isas;
    return [...this.#kinds.values()]
      .sort((a, b) => a.dump.first - b.dump.first || a.dump.last - b.dump.last)
      .map(({ dump, times, latest, identical }) => ({
        ...explainDump(dump, this.#processor, others.length > 0 ? null : host),
        times,
        latest,
        identical,
      }));
  }

  #keyOf(dump: Dump, content: string): string {
    const known = this.#known.get(content);
    if (known !== undefined) return known;
    const key = failureOf(judgeDump(dump, this.#processor));
    this.#known.set(content, key);
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    return key;
  }
}

function refuseCompressed(log: Log, where: string): void {
  if (typeof log === 'string') return;
  const compression = compressionOf(log.subarray(0, Math.min(COMPRESSED_HEAD, log.length)));
  if (compression === null) return;
  throw new AnalysisError('LOG_COMPRESSED', where, `with ${compression.name}`, unpackFor(compression, 'explain'));
}

/**
 * Explains the dumps of a log, each kind of failure once. `where` names the log in errors; throws AnalysisError NO_DUMP
 * where it holds none, LOG_UTF16 where that is why, LOG_COMPRESSED where it is to be unpacked first.
 */
export function explain(log: Log, where: string, options: LogOptions = {}): LogExplanation {
  const { processor = UNKNOWN, from = 1, each = false, progress } = options;
  refuseCompressed(log, where);
  let kinds = new Kinds(processor, each);
  let found = 0;
  const take = (dump: Dump): void => {
    if (saysNothing(dump, processor)) return;
    found++;
    progress?.(dump.last);
    kinds.meet(dump);
    if (dump.first >= from) kinds.take(dump);
  };
  findEach(log, take, () => {
    kinds = new Kinds(processor, each);
    found = 0;
  });
  if (found === 0) throw new AnalysisError(isUtf16(log) ? 'LOG_UTF16' : 'NO_DUMP', where);
  const dumps = kinds.reports();
  if (dumps.length === 0) throw new AnalysisError('NO_DUMP', `${where}, from line ${from}`);
  return { processor: usedOf(processor, dumps), dumps, more: kinds.more, from: kinds.from };
}
