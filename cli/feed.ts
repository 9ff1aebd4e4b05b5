/** Events for an analysis: from a trace of ours, or from a foreign file that is imported on the way and not stored. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { notesOf, type Origin, originOf } from '../analyzer/origin.js';
import { defineDictionaries, type NamedTracepoint } from '../recorder/import/dictionaries.js';
import { importTrace } from '../recorder/import/import.js';
import type { Lane } from '../recorder/import/lanes.js';
import { type CoinedReason, coinedName } from '../recorder/import/reasons.js';
import type { ImportOptions } from '../recorder/import/result.js';
import { openSource } from '../recorder/import/source.js';
import { StreamWriter } from '../recorder/import/stream.js';
import { TraceError } from '../traces/errors.js';
import { openTrace, traceKind } from '../traces/open.js';
import type { Chunk, TraceReader } from '../traces/store.js';
import { describeError, formatError, ofFile } from './errors.js';
import { describeCounts, printNotes } from './import-text.js';
import { withAdvice } from './log.js';
import type { Output } from './output.js';

export interface Names {
  /** Name of a code in a dictionary domain of the trace. */
  readonly nameOf: (domain: string, code: bigint) => string | null;
  /** What the dictionary says of it besides. */
  readonly saysOf: (domain: string, code: bigint) => string | null;
}

export interface Fed extends Names {
  /** False where reading had to stop before the end; that was said. */
  readonly whole: boolean;
  /** What the importer says of a foreign file. */
  readonly remark: string | null;
  readonly origin: Origin;
}

/** True where a path is a trace of ours; standard input is none. */
export const isOurs = (file: string): boolean => {
  if (file === '-') return false;
  const stat = statSync(file);
  try {
    return stat.isDirectory() || (stat.isFile() && traceKind(file) !== null);
  } catch (error) {
    throw ofFile(error, file);
  }
};

/** What is read of a trace, and decoded of a foreign file; who takes its events, if not as chunks. */
export type Reading = Required<Pick<ImportOptions, 'columns'>> &
  Pick<ImportOptions, 'fields' | 'kinds' | 'taker' | 'brief'>;

/** Takes a chunk, with the names that are known by then. */
export type Take = (chunk: Chunk, names: Names) => void;

/** Hands every chunk of the event table to `take`, in order; what it throws ends the reading. */
export function feed(file: string, reading: Reading, take: Take, out: Output): Fed {
  return isOurs(file) ? feedTrace(file, reading.columns, take, out) : feedForeign(file, reading, take, out);
}

/** A damaged trace is read up to the damage, which is then said. */
function feedTrace(file: string, columns: readonly string[], take: Take, out: Output): Fed {
  const reader = openTrace(file);
  const names = fedBy(reader);
  const progress = out.progress(basename(file));
  let whole = true;
  try {
    const total = reader.rows('event');
    for (const chunk of reader.chunks('event', { columns })) {
      take(chunk, names);
      progress.update(chunk.first + chunk.rows, total);
    }
    // names are part of every answer: whoever reads their table is told of its damage
    for (const _names of reader.chunks('dictionary'));
    progress.end();
    printOrigin(reader, out);
  } catch (error) {
    const described = error instanceof TraceError ? describeError(error) : null;
    if (described === null) throw error;
    progress.end();
    out.note(formatError(described));
    whole = false;
  } finally {
    progress.end();
    reader.close();
  }
  const fed = fedBy(reader);
  return whole ? fed : { ...fed, whole, origin: { ...fed.origin, cut: 'it could not be read to its end' } };
}

/** What a trace says of itself: what its importer had to say of all of it, and whether it was cut. */
export function printOrigin(reader: TraceReader, out: Output): void {
  for (const note of notesOf((key) => reader.run(key))) out.note(note);
  const { cut } = originOf((key) => reader.run(key), reader.complete);
  if (cut !== null) out.note(`${reader.path}: the recording is not there to its end; this is what it holds: ${cut}`);
}

/** What there is to say of a trace of ours whose events came from elsewhere. */
export const fedBy = (reader: TraceReader): Fed => ({
  nameOf: (domain, code) => reader.name(domain, code),
  saysOf: (domain, code) => reader.dictionary(domain).get(code)?.says ?? null,
  whole: true,
  remark: null,
  origin: originOf((key) => reader.run(key), reader.complete),
});

/** Names of a recording while it is imported: what every one has, and threads and reasons as they come. */
class ComingNames implements Names {
  readonly #writer: StreamWriter;
  lanes: readonly Lane[] = [];
  tracepoints: readonly NamedTracepoint[] = [];
  coined: () => readonly CoinedReason[] = () => [];

  constructor(writer: StreamWriter) {
    this.#writer = writer;
    defineDictionaries(writer, [], []);
  }

  readonly nameOf = (domain: string, code: bigint): string | null => {
    if (domain === 'vcpu') return this.lanes[Number(code)]?.name ?? null;
    if (domain === 'event') return this.tracepoints[Number(code)]?.name ?? null;
    return this.#writer.dictionary(domain).get(code)?.name ?? coinedName(this.coined(), domain, code);
  };

  readonly saysOf = (domain: string, code: bigint): string | null => {
    if (domain === 'vcpu') return this.lanes[Number(code)]?.says ?? null;
    if (domain === 'event') return this.tracepoints[Number(code)]?.says ?? null;
    return this.#writer.dictionary(domain).get(code)?.says ?? null;
  };
}

function feedForeign(file: string, reading: Reading, take: Take, out: Output): Fed {
  const writer: StreamWriter = new StreamWriter((chunk) => take(chunk, names));
  const names = new ComingNames(writer);
  const source = openSource(file);
  const progress = out.progress(basename(source.name));
  try {
    const result = importTrace(source, () => writer, {
      progress: (done, total) => progress.update(done, total),
      brief: true,
      ...reading,
      lanes: (lanes) => {
        names.lanes = lanes;
      },
      tracepoints: (tracepoints) => {
        names.tracepoints = tracepoints;
      },
      reasons: (coined) => {
        names.coined = coined;
      },
    });
    progress.end();
    printNotes(out, result);
    const stopped = result.stopped === null ? null : describeError(result.stopped);
    if (stopped !== null) out.note(formatError(stopped));
    return {
      nameOf: (domain, code) => writer.dictionary(domain).get(code)?.name ?? null,
      saysOf: (domain, code) => writer.dictionary(domain).get(code)?.says ?? null,
      whole: stopped === null,
      remark: `${source.name}: ${describeCounts(result)}`,
      origin: originOf((key) => writer.run.get(key) ?? null, stopped === null),
    };
  } catch (error) {
    throw withAdvice(error, file);
  } finally {
    progress.end();
    source.close();
  }
}
