/** `trapline import`: a trace that another tool recorded, in our format. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { importTrace } from '../recorder/import/import.js';
import { openSource } from '../recorder/import/source.js';
import { checkPlace, createTrace } from '../traces/open.js';
import { type Call, type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { CliError, type Described, describeError, formatError } from './errors.js';
import type { FollowedResult } from './follow-protocol.js';
import { describeCounts, printNotes } from './import-text.js';
import { withAdvice } from './log.js';
import { sayPlaced } from './placed.js';
import { formatDigest } from './table.js';
import { readTscHz, TSC_OPTION } from './tsc.js';

export const command: Command = {
  arguments: [{ name: 'FILE', says: 'the file; - reads standard input' }],
  options: [
    OUTPUT_OPTION,
    REPLACE_OPTION,
    { name: 'follow', says: 'show where the exits go while the recording goes on; -o is optional then' },
    { name: 'interval', value: 'SECONDS', says: 'with --follow: from one look to the next; 1 without it' },
    { name: 'by', value: 'WHAT', says: 'with --follow: rows by level, vm or vcpu; level without it' },
    TSC_OPTION,
    JSON_OPTION,
  ],
  details: [
    'Reads `trace.dat` (trace-cmd record), `perf.data` (perf record, perf kvm stat record) and what `xentrace` writes, and the text of ' +
      '`trace-cmd report`, `perf script`, `trace_pipe` and tracefs `trace`, told apart by their content. All events of kvm and kvmmmu become events of the trace; others are kept as text. What the source ' +
      'does not say stays unknown.',
    'Of Xen, vCPUs are told by the events of the scheduler (`xentrace -e 0xaf000` records them and those of HVM and PVH ' +
      'guests), a VM is a domain, and times are cycles of the TSC, or with --tsc-hz nanoseconds. Events without a ' +
      'time of their own have none.',
    'Text that a terminal or a mail program broke at a width is put together again, quoted or not: how it is wrapped is told ' +
      'by its first 64 KiB.',
    'Frames of stack traces and calls of function_graph are counted and left out, functions of the function tracer are ' +
      'events. Damaged lines are kept as notes with their number. What cannot be read at all ends the import with exit code 2; ' +
      'what came before it is kept. Ctrl-C ends the recorder before the pipe, and what it still writes is read; a second one ' +
      'ends the import there, with exit code 2, and so does one where a file or a device is read, which has nobody at its other end: ' +
      'what came is kept, and the trace is INCOMPLETE. A file of up to 64 MiB that replaces nothing is ended by the signal itself. Text without an event in its first 64 MiB is refused: it may have no end.',
    'With --replace the trace that is there stays until the new one is whole. One that lacks its end does not replace it, ' +
      'but lies beside it in a folder: `.NAME.incomplete-XXXXXX/NAME`, or, where the import was killed, `.NAME.new-XXXXXX/NAME`; ' +
      'where it was killed while the new one took the place, the old one is at `.NAME.new-XXXXXX/old/NAME`. ' +
      'It is a trace like any other, and imports that follow name it. What --follow has when it is interrupted is all that ' +
      'was asked for, and replaces. Nothing but a trace is ever replaced: no database of another program, and no folder ' +
      'with other files in it.',
    '--follow reads a recorder as it writes. On a terminal it fills the screen: q quits, space pauses, c r t m 9 x sort ' +
      'by count, rate, time, mean, p99 and maximum, v shows all vCPUs together, by VM or by vCPU, w the newest interval ' +
      'alone. In a pipe it prints a table each interval, with --json a line. Percentiles are within 0.4 %; rates are by ' +
      "the recording's clock. Ctrl-C ends the recorder, and what it still writes is read. To be interrupted is how a look " +
      'at what has no end ends: the exit code is 0, and the trace is whole up to there.',
    'What can be followed: `perf record -o - ...`, and the text of `trace-cmd stream`, of trace_pipe and of `perf ' +
      'script -i -`. perf hands on nothing until half of the ring of a CPU is full (seen with 6.1), and order is known ' +
      'one round later: `-m 16` makes rings small, --no-buffering wakes perf for each event, which costs the host more. ' +
      '`trace-cmd record -o -` is no pipe: trace-cmd (3.1.6 to 3.4) writes a file of the name "-", and trace.dat is ' +
      'complete only at its end.',
    'With --follow, --json prints one document a line: type `interval`, and at last `end`, which has the keys below too. ' +
      'Each has number, elapsed (ms), bytes, lag and quiet (ms behind, ms since an event), group, and profile: unit, ' +
      'newest (ns), all and recent (span in ns, events, exits, entries, failedEntries, lost, gaps), and rows: group, ' +
      'level, isa, reason, failed, and for all and recent count, rate (1/s), share, timeShare, and times (total, mean, ' +
      'p50, p99, max in ns, or in cycles, as unit says).',
  ],
  json: {
    path: 'the trace that was written; with --replace another than was asked for, where it lacks its end',
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
    {
      line: "perf record -m 16 -o - -e 'kvm:*' -a | trapline import - --follow -o run.arrow",
      says: 'watch the exits of this host, and keep them',
    },
    { line: 'trace-cmd stream -e kvm | trapline import - --follow', says: 'the same with trace-cmd, as text' },
    {
      line: 'xentrace -e 0xaf000 | trapline import - -o xen.arrow --tsc-hz 2.4G',
      says: 'record the guests of a Xen host',
    },
  ],
  async run(call) {
    const [file = '-'] = call.args;
    if (call.flag('follow')) {
      const { follow } = await import('./follow.js');
      return follow(call, file);
    }
    for (const name of ['interval', 'by']) {
      if (call.value(name) !== null) throw new CliError('BAD_VALUE', `import --${name}`, 'it goes with --follow');
    }
    // who ends an import is told what is there, which needs a thread that listens; to start one takes a moment
    return takesLong(file) || call.flag('replace') ? importPiped(call, file) : importFile(call, file);
  },
};

/** Bytes of a file that is read in about a second. */
const MOMENT = 64 << 20;

/**
 * Standard input, a FIFO, a device, or a file of tracefs, which counts as empty although it is not: whatever writes it
 * may go on for long. So may the reading of a large file.
 */
function takesLong(file: string): boolean {
  if (file === '-') return true;
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat !== undefined && !stat.isDirectory() && (!stat.isFile() || stat.size === 0 || stat.size > MOMENT);
}

async function importPiped(call: Call, file: string): Promise<number> {
  const output = call.needed('output');
  if (file === '-' && isatty(0))
    throw new CliError('BAD_VALUE', 'import -', 'standard input is a terminal', 'pipe a recording into it');
  checkPlace(output, { replace: call.flag('replace') });
  const { out } = call;
  const progress = out.progress(file === '-' ? 'standard input' : basename(file));
  try {
    const { importPipe } = await import('./import-pipe.js');
    const start = { file, output, replace: call.flag('replace'), tscHz: readTscHz(call) };
    const size = file === '-' ? 0 : (statSync(file, { throwIfNoEntry: false })?.size ?? 0);
    const { result, stopped } = await importPipe(start, size, progress, out);
    return report(call, output, result, stopped);
  } finally {
    progress.end();
  }
}

function importFile(call: Call, file: string): number {
  const path = call.needed('output');
  const tscHz = readTscHz(call);
  checkPlace(path);
  const source = openSource(file);
  const progress = call.out.progress(basename(source.name));
  try {
    const { stopped, ...result } = importTrace(source, () => createTrace(path), {
      progress: (done, total) => progress.update(done, total),
      ...(tscHz === null ? {} : { tscHz }),
    });
    progress.end();
    return report(call, path, result, stopped === null ? null : describeError(stopped));
  } catch (error) {
    throw withAdvice(error, file);
  } finally {
    progress.end();
    source.close();
  }
}

function report({ out, flag }: Call, asked: string, result: FollowedResult, stopped: Described | null): number {
  const { path } = result;
  if (flag('json')) out.json({ ...result, stopped });
  else {
    out.line(`${result.source}: ${describeCounts(result)}`);
    out.line(`${path}: digest ${formatDigest(result.digest)}`);
    printNotes(out, result);
  }
  sayPlaced(out, asked, path);
  if (stopped === null) return EXIT.holds;
  out.note(formatError(stopped));
  return EXIT.wrong;
}
