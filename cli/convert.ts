/** `trapline convert`: the same trace in the other store. */
import { convert } from '../traces/convert.js';
import { createTrace, openTrace } from '../traces/open.js';
import { type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { refuseSame } from './files.js';
import { sayPlaced } from './placed.js';
import { formatCount, formatDigest } from './table.js';

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'the trace to copy' }],
  options: [OUTPUT_OPTION, REPLACE_OPTION, JSON_OPTION],
  details: [
    'Copies every row, so that the logical digest of both is the same. Where the original is damaged, the copy holds ' +
      'what could be read, counts as incomplete, and the exit code is 2; it replaces no trace then, even with --replace, but ' +
      'lies beside it.',
  ],
  json: {
    path: 'the copy',
    from: 'the original',
    events: 'rows of the event table',
    digest: 'logical digest of both',
    complete: 'whether the recording ended in order',
  },
  examples: [{ line: 'trapline convert run.sqlite -o run.arrow', says: 'from one file to a folder of Arrow chunks' }],
  run(call) {
    const [path = ''] = call.args;
    const target = call.needed('output');
    refuseSame(path, target);
    const reader = openTrace(path);
    try {
      const writer = createTrace(target, { replace: call.flag('replace') });
      try {
        const { digest } = convert(reader, writer);
        const events = reader.rows('event');
        if (call.flag('json')) call.out.json({ path: target, from: path, events, digest, complete: reader.complete });
        else call.out.line(`${target}: ${formatCount(events, 'event')}, digest ${formatDigest(digest)}`);
        sayPlaced(call.out, target, target);
        return EXIT.holds;
      } catch (error) {
        try {
          writer.finish({ complete: false });
          sayPlaced(call.out, target, writer.path);
        } catch {
          // A copy that failed takes no end; the first failure is the one to tell.
        }
        throw error;
      }
    } finally {
      reader.close();
    }
  },
};
