/** What `explain` can say of a recording of another tool: which entries failed in it, and where their state is to be had. */
import { basename } from 'node:path';
import { AnalysisError } from '../analyzer/errors.js';
import type { Bytes } from '../analyzer/explain/lines.js';
import { explainFailure, FAILURE_COLUMNS, FailedEntries, type ForeignReport } from '../analyzer/explain/recording.js';
import { ImportError } from '../recorder/import/errors.js';
import { importTrace } from '../recorder/import/import.js';
import type { ImportResult } from '../recorder/import/result.js';
import { type ByteSource, openSource } from '../recorder/import/source.js';
import { StreamWriter } from '../recorder/import/stream.js';
import { TEXT_FORMAT } from '../recorder/import/text-lines.js';
import type { TraceReader } from '../traces/store.js';
import type { Call } from './command.js';
import { describeError, formatError } from './errors.js';
import { feed } from './feed.js';
import { describeCounts } from './import-text.js';
import { formatNumber } from './table.js';

/** How files of trace-cmd and of perf begin. */
const BEGINNINGS = ['\u0017\u0008Dtracing', 'PERFILE2', '2ELIFREP'];

/** True where a file that begins so is a binary recording, which is no log. */
export function isRecording(head: Bytes): boolean {
  const text = Buffer.from(head.subarray(0, Math.min(16, head.length))).toString('latin1');
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
    if (!isKnown(result)) throw new ImportError('NOT_A_TRACE', source.name);
    progress.end();
    const holds = describeCounts(result);
    const unread = unreadOf(result);
    if (entries.all.length > 0 && unread !== null) call.out.note(`${file}: ${unread}`);
    return explained(file, entries, unread === null ? holds : `${holds}; ${unread}`);
  } finally {
    progress.end();
    source.close();
  }
}

/** Why failures may be missing, in one line; null: everything was read. */
function unreadOf({ stopped, counts }: ImportResult): string | null {
  const damage = stopped === null ? null : describeError(stopped);
  if (damage !== null) return `not all of it could be read: ${formatError(damage)}`;
  if (counts.gaps + counts.damaged === 0) return null;
  return 'failed entries may be among what is lost or damaged';
}

/** A binary recording is one whatever it holds; any text may have a line that reads like an event's. */
const isKnown = ({ format, counts }: ImportResult): boolean =>
  format !== TEXT_FORMAT || counts.exits + counts.entries + counts.failedEntries + counts.nestedExits > 0;

function explained(file: string, entries: FailedEntries, holds: string | null): ExplainedRecording {
  if (entries.all.length === 0) {
    const why = [holds, internalErrors(entries)].filter((part) => part !== null);
    throw new AnalysisError('NO_FAILURE_RECORDED', file, why.length === 0 ? null : why.join(', '));
  }
  return { dumps: entries.all.map((failure) => ({ file, ...explainFailure(failure) })), more: entries.more };
}

/** What is no failed entry, and may be taken for one. */
function internalErrors({ internal }: FailedEntries): string | null {
  if (internal === null) return null;
  const { first, times } = internal;
  const where = times === 1 ? `event ${first}` : `the first is event ${first}`;
  return (
    `${formatNumber(times)} KVM_EXIT_INTERNAL_ERROR (${where}): KVM could not go on after an exit, ` +
    "and QEMU's stderr has the suberror"
  );
}
