/** `trapline convert`: the same trace in the other store. */
import { convert } from '../traces/convert.js';
import { createTrace, openTrace } from '../traces/open.js';
import type { TraceReader, TraceWriter } from '../traces/store.js';
import { type Call, type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { refuseSame } from './files.js';
import { Interrupted, stepwise } from './interrupted.js';
import { keptOf, sayPlaced } from './placed.js';
import { formatCount, formatDigest } from './table.js';

/** The copy is begun as a step like any other, which a signal may follow. */
function* copied(reader: TraceReader, call: Call, made: TraceWriter[]): ReturnType<typeof convert> {
  const writer = createTrace(call.needed('output'), { replace: call.flag('replace') });
  made.push(writer);
  return yield* convert(reader, writer);
}

function endIncomplete({ out }: Call, writer: TraceWriter, target: string): void {
  try {
    writer.finish({ complete: false });
    sayPlaced(out, target, writer.path);
  } catch {
    // A copy that failed takes no end; the first failure is the one to tell.
  }
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'the trace to copy' }],
  options: [OUTPUT_OPTION, REPLACE_OPTION, JSON_OPTION],
  details: [
    'Copies every row, so that the logical digest of both is the same. Where the original is damaged, the copy holds ' +
      'what could be read, counts as incomplete, and the exit code is 2; it replaces no trace then, even with --replace, but ' +
      'lies beside it. Of a copy that is interrupted nothing is kept, and a trace that it was to replace is as it was.',
  ],
  json: {
    path: 'the copy',
    from: 'the original',
    events: 'rows of the event table',
    digest: 'logical digest of both',
    complete: 'whether the recording ended in order',
  },
  examples: [{ line: 'trapline convert run.sqlite -o run.arrow', says: 'from one file to a folder of Arrow chunks' }],
  async run(call) {
    const [path = ''] = call.args;
    const target = call.needed('output');
    refuseSame(path, target);
    const kept = keptOf(target);
    const reader = openTrace(path);
    const made: TraceWriter[] = [];
    try {
      const { digest } = await stepwise(copied(reader, call, made), kept);
      const events = reader.rows('event');
      if (call.flag('json')) call.out.json({ path: target, from: path, events, digest, complete: reader.complete });
      else call.out.line(`${target}: ${formatCount(events, 'event')}, digest ${formatDigest(digest)}`);
      sayPlaced(call.out, target, target);
      return EXIT.holds;
    } catch (error) {
      for (const writer of made) {
        if (error instanceof Interrupted) writer.abandon();
        else endIncomplete(call, writer, target);
      }
      throw error;
    } finally {
      reader.close();
    }
  },
};
