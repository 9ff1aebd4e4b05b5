/** `trapline verify`: every chunk is what was written, and the run replays to the same. */
import { checkpointsOf } from '../analyzer/replay/checkpoints.js';
import { type ReplayResult, replay } from '../analyzer/replay/replay.js';
import { openTrace } from '../traces/open.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { showDivergence } from './replay.js';

const count = (value: number): string => value.toLocaleString('en-US');

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace of either store' }],
  options: [
    { name: 'every-checkpoint', says: 'replay from each checkpoint too, not from the start alone' },
    { name: 'no-replay', says: 'only read it: lengths, digests, invariants' },
    JSON_OPTION,
  ],
  details: [
    'Reads all rows, checks the digest of every chunk and of the whole, then replays a run that was recorded on the ' +
      'machine. Exit code 0: it holds. 1: the replay diverges or the digest is another. 2: the trace is damaged.',
  ],
  run(call) {
    const [path = ''] = call.args;
    const reader = openTrace(path);
    const progress = call.out.progress('verifying');
    try {
      const digest = reader.digest();
      const recorded = reader.run('digest');
      const digestHolds = !reader.complete || recorded === digest;
      const recordedHere = reader.run('source') === 'engine';
      const checkpoints = checkpointsOf(reader);
      const starts: (number | null)[] =
        !recordedHere || call.flag('no-replay')
          ? []
          : [null, ...(call.flag('every-checkpoint') ? checkpoints.map(({ id }) => id) : [])];
      const results: ReplayResult[] = [];
      for (const from of starts) {
        const result = replay(reader, {
          from,
          memory: reader.run('memory') === '"all"',
          progress: (tick, end) => progress.update(tick, end),
        });
        results.push(result);
        if (result.divergence) break;
      }
      progress.end();
      const divergence = results.find((result) => result.divergence)?.divergence ?? null;
      const holds = digestHolds && divergence === null;
      if (call.flag('json')) {
        call.out.json({ path, holds, complete: reader.complete, digest, recorded, checkpoints, replays: results });
        return holds ? EXIT.holds : EXIT.differs;
      }
      const verdict = digestHolds ? call.out.paint('green', 'intact') : call.out.paint('red', 'another digest');
      call.out.line(`${path}: ${verdict}, ${count(reader.rows('event'))} events, digest ${digest}`);
      if (!reader.complete) call.out.line('  the recording was cut: what is there is whole up to its last chunk');
      for (const { from, divergence: found, ticks } of results) {
        const start = from === null ? 'the start' : `checkpoint ${from}`;
        if (!found)
          call.out.line(`  replay from ${start}: ${call.out.paint('green', 'identical')} to tick ${count(ticks)}`);
        else showDivergence(call.out, found);
      }
      if (!recordedHere) call.out.line(`  imported (${reader.run('source') ?? '?'}): nothing to replay`);
      return holds ? EXIT.holds : EXIT.differs;
    } finally {
      progress.end();
      reader.close();
    }
  },
};
