/** What `explain` can say of a recording of another tool: that entries failed in it, and where their state is to be had. */
import { closeSync, openSync, readSync } from 'node:fs';
import { AnalysisError } from '../analyzer/errors.js';
import { EVENT_KINDS } from '../engine/observer.js';
import type { TraceReader } from '../traces/store.js';
import type { Call } from './command.js';
import { feed } from './feed.js';

/** How files of trace-cmd and of perf begin. */
const BEGINNINGS = ['\u0017\u0008Dtracing', 'PERFILE2'];
const COLUMNS = ['seq', 'kind', 'isa', 'reason', 'qualification'] as const;

/** True where a file is a binary recording, which is no log. */
export function isRecording(file: string): boolean {
  if (file === '-') return false;
  const bytes = Buffer.alloc(10);
  const opened = openSync(file, 'r');
  try {
    const length = readSync(opened, bytes, 0, bytes.length, 0);
    const text = bytes.toString('latin1', 0, length);
    return BEGINNINGS.some((beginning) => text.startsWith(beginning));
  } finally {
    closeSync(opened);
  }
}

/** A trace of ours whose events are not of the machine. */
export const isImported = (reader: TraceReader): boolean => reader.run('source') !== 'engine';

/** Throws AnalysisError STATE_NOT_RECORDED with the first failed entry, or NO_FAILURE_RECORDED. */
export function refuseRecording(call: Call, file: string): never {
  const failed: { first: string | null; count: number } = { first: null, count: 0 };
  feed(
    file,
    COLUMNS,
    (chunk) => {
      const { numbers } = chunk.column('kind');
      for (let i = 0; i < chunk.rows; i++) {
        if (numbers?.[i] !== EVENT_KINDS.entry_failed) continue;
        failed.count++;
        const { reason } = failed.first === null ? chunk.row(i) : {};
        const why =
          typeof reason === 'bigint' || typeof reason === 'number' ? ` with reason 0x${reason.toString(16)}` : '';
        failed.first ??= `event ${chunk.first + i} is a failed entry${why}`;
      }
    },
    call.out,
  );
  if (failed.first === null) throw new AnalysisError('NO_FAILURE_RECORDED', file);
  const more = failed.count > 1 ? `, the first of ${failed.count}` : '';
  throw new AnalysisError('STATE_NOT_RECORDED', file, `${failed.first}${more}`);
}
