/** `trapline memory`: the memory accesses of a run that was recorded without them, by replaying it. */
import { recordedRun } from '../analyzer/replay/recorded.js';
import { recordAgain } from '../recorder/run/again.js';
import { createTrace, openTrace } from '../traces/open.js';
import type { TraceWriter } from '../traces/store.js';
import { type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { refuseSame } from './files.js';
import { stepwise } from './interrupted.js';
import { keptOf, sayPlaced } from './placed.js';
import { KINDS_OPTION, parseMemory } from './run-options.js';
import { formatDigest, formatNumber } from './table.js';

const rowsOf = (path: string): number => {
  const made = openTrace(path);
  try {
    return made.rows('memory');
  } finally {
    made.close();
  }
};

export const command: Command = {
  arguments: [
    { name: 'TRACE', says: 'a trace that trapline record wrote' },
    { name: 'RANGE', says: 'all, or FROM-TO in guest physical addresses, several with commas' },
  ],
  options: [OUTPUT_OPTION, REPLACE_OPTION, KINDS_OPTION, JSON_OPTION],
  details: [
    'Replays the run from its trace and writes it with the memory table that recording it with --memory RANGE would ' +
      'have given. Exit code 1 where the replay diverged from the trace. Where it is interrupted nothing is kept, and a ' +
      'trace that it was to replace is as it was.',
  ],
  json: {
    path: 'the trace that was written',
    from: 'the trace that it was made from',
    accesses: 'rows of its memory table',
    digest: 'its logical digest, which does not cover the memory table',
    identical: 'whether that is the digest of the original; true where the original was cut',
  },
  examples: [
    { line: 'trapline memory run.sqlite 0x200000-0x201000 -o page.arrow', says: 'who touched this page, and when' },
    { line: 'trapline memory run.sqlite all --kinds fetch -o code.arrow', says: 'every instruction that ran' },
  ],
  async run(call) {
    const [path = '', range = ''] = call.args;
    const memory = parseMemory(call, range, 'RANGE');
    const target = call.needed('output');
    refuseSame(path, target);
    const kept = keptOf(target);
    const reader = openTrace(path);
    const progress = call.out.progress('replaying');
    let writer: TraceWriter | null = null;
    try {
      const run = recordedRun(reader);
      const create = (): TraceWriter => {
        writer = createTrace(target, { replace: call.flag('replace') });
        return writer;
      };
      const { digest } = await stepwise(recordAgain(run, create, memory), kept, (tick) =>
        progress.update(tick, run.end),
      );
      progress.end();
      const identical = !reader.complete || digest === reader.run('digest');
      const accesses = rowsOf(target);
      if (call.flag('json')) call.out.json({ path: target, from: path, accesses, digest, identical });
      else {
        call.out.line(`${target}: ${formatNumber(accesses)} memory accesses, digest ${formatDigest(digest)}`);
        if (!identical) call.out.line(call.out.paint('red', `the replay diverged: see trapline replay ${path}`));
      }
      sayPlaced(call.out, target, target);
      return identical ? EXIT.holds : EXIT.differs;
    } catch (error) {
      (writer as TraceWriter | null)?.abandon();
      throw error;
    } finally {
      progress.end();
      reader.close();
    }
  },
};
