/** `trapline import`: a trace that another tool recorded, in our format. */
import { basename } from 'node:path';
import { importTrace } from '../recorder/import/import.js';
import type { ImportResult } from '../recorder/import/result.js';
import { openSource } from '../recorder/import/source.js';
import { createTrace } from '../traces/open.js';
import { type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { describeError, formatError } from './errors.js';
import type { Output } from './output.js';
import { formatDigest, formatNumber } from './table.js';

const count = (n: number, one: string, many = `${one}s`): string => `${formatNumber(n)} ${n === 1 ? one : many}`;

/** A recorder may say that events are missing and not how many. */
const lostEvents = (lost: number): string => (lost === 0 ? 'events' : count(lost, 'event'));

/** What came in, in words; counts of zero are left out but for the exits. */
export function describeCounts({ counts }: ImportResult): string {
  const parts = [
    count(counts.events - counts.gaps, 'event'),
    count(counts.exits, 'exit'),
    counts.failedEntries === 0 ? '' : count(counts.failedEntries, 'failed entry', 'failed entries'),
    counts.nestedExits === 0 ? '' : count(counts.nestedExits, 'nested exit'),
    counts.threads === 0 ? '' : count(counts.threads, 'thread'),
    counts.gaps === 0 ? '' : `${lostEvents(counts.lost)} lost by the recorder in ${count(counts.gaps, 'gap')}`,
    counts.damaged === 0 ? '' : count(counts.damaged, counts.lines === 0 ? 'damaged place' : 'damaged line'),
    counts.frames === 0 ? '' : `${count(counts.frames, 'call-chain line')} left out`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

/** Remarks on the input, each on a line of its own. */
export function printNotes(out: Output, result: ImportResult): void {
  for (const { line, says } of result.notes) out.note(line === null ? says : `line ${line}: ${says}`);
}

export const command: Command = {
  arguments: [{ name: 'FILE', says: 'the file; - reads standard input' }],
  options: [OUTPUT_OPTION, REPLACE_OPTION, JSON_OPTION],
  details: [
    'Reads `trace.dat` (trace-cmd record) and `perf.data` (perf record, perf kvm stat record), and the text of ' +
      '`trace-cmd report`, `perf script`, `trace_pipe` and tracefs `trace`, told apart by their content. All events of kvm and kvmmmu become events of the trace; others are kept as text. What the source ' +
      'does not say stays unknown.',
    'Damaged lines are kept as notes with their number. What cannot be read at all ends the import with exit code 2; ' +
      'what came before it is kept.',
  ],
  json: {
    path: 'the trace that was written',
    source: 'the input',
    format: 'what it was taken for',
    counts:
      'lines, events, exits, entries, failedEntries, nestedExits, lost, gaps, damaged, frames, lanes, threads; ' +
      'events are rows of the trace, of which each gap is one',
    notes: 'what to know of the input: { line, says }, line null where it is about all of it',
    stopped: 'null, or the error that ended the import early: { code, what, where, why, advice }',
    digest: 'logical digest of the trace',
  },
  examples: [
    { line: 'trapline import trace.dat -o run.sqlite', says: 'import a file' },
    { line: 'trace-cmd report trace.dat | trapline import - -o run.arrow', says: 'import a pipe' },
  ],
  run(call) {
    const [file = '-'] = call.args;
    const path = call.needed('output');
    const source = openSource(file);
    const progress = call.out.progress(basename(source.name));
    try {
      const result = importTrace(source, () => createTrace(path, { replace: call.flag('replace') }), {
        progress: (done, total) => progress.update(done, total),
      });
      progress.end();
      const stopped = result.stopped === null ? null : describeError(result.stopped);
      if (call.flag('json')) {
        call.out.json({ path, ...result, stopped });
      } else {
        call.out.line(`${source.name}: ${describeCounts(result)}`);
        call.out.line(`${path}: digest ${formatDigest(result.digest)}`);
        printNotes(call.out, { ...result, notes: stopped === null ? result.notes : result.notes.slice(0, -1) });
      }
      if (stopped === null) return EXIT.holds;
      call.out.note(formatError(stopped));
      return EXIT.wrong;
    } finally {
      progress.end();
      source.close();
    }
  },
};
