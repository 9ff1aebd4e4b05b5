/** What `explain` can say of a recording of another tool: which entries failed in it, and where their state is to be had. */
import { basename } from 'node:path';
import { AnalysisError } from '../analyzer/errors.js';
import { explainFailure, FAILURE_COLUMNS, FailedEntries, type ForeignReport } from '../analyzer/explain/recording.js';
import { ImportError } from '../recorder/import/errors.js';
import { importTrace } from '../recorder/import/import.js';
import type { ImportResult } from '../recorder/import/result.js';
import { type ByteSource, openSource } from '../recorder/import/source.js';
import { StreamWriter } from '../recorder/import/stream.js';
import type { TraceReader } from '../traces/store.js';
import type { Call } from './command.js';
import { describeError, formatError } from './errors.js';
import { feed } from './feed.js';
import { describeCounts, printNotes } from './import-text.js';

/** How files of trace-cmd and of perf begin. */
const BEGINNINGS = ['\u0017\u0008Dtracing', 'PERFILE2', '2ELIFREP'];

/** True where a file that begins so is a binary recording, which is no log. */
export function isRecording(head: Uint8Array): boolean {
  const text = Buffer.from(head.subarray(0, 16)).toString('latin1');
  return BEGINNINGS.some((beginning) => text.startsWith(beginning));
}

/** A trace of ours whose events are not of the machine. */
export const isImported = (reader: TraceReader): boolean => reader.run('source') !== 'engine';

export interface ExplainedRecording {
  readonly dumps: readonly (ForeignReport & { readonly file: string })[];
  readonly more: number;
}

/** Explains the failed entries of an imported trace; throws AnalysisError NO_FAILURE_RECORDED where there are none. */
export function explainImported(call: Call, file: string): ExplainedRecording {
  const entries = new FailedEntries();
  feed(file, { columns: FAILURE_COLUMNS }, (chunk) => entries.take(chunk), call.out);
  return explained(file, entries, null);
}

/** The same of a binary recording or of one's text, which is not stored; throws ImportError besides. */
export function explainRecording(call: Call, file: string, source: ByteSource = openSource(file)): ExplainedRecording {
  const entries = new FailedEntries();
  const progress = call.out.progress(basename(source.name));
  try {
    const result = importTrace(source, () => new StreamWriter((chunk) => entries.take(chunk)), {
      progress: (done, total) => progress.update(done, total),
      columns: FAILURE_COLUMNS,
    });
    if (!isOfGuests(result)) throw new ImportError('NOT_A_TRACE', source.name);
    progress.end();
    const { stopped, notes } = result;
    printNotes(call.out, { notes: stopped === null ? notes : notes.slice(0, -1) });
    const damage = stopped === null ? null : describeError(stopped);
    if (damage !== null) call.out.note(formatError(damage));
    return explained(file, entries, describeCounts(result));
  } finally {
    progress.end();
    source.close();
  }
}

const isOfGuests = ({ counts }: ImportResult): boolean =>
  counts.exits + counts.entries + counts.failedEntries + counts.nestedExits > 0;

function explained(file: string, entries: FailedEntries, holds: string | null): ExplainedRecording {
  if (entries.all.length === 0) throw new AnalysisError('NO_FAILURE_RECORDED', file, holds);
  return { dumps: entries.all.map((failure) => ({ file, ...explainFailure(failure) })), more: entries.more };
}
