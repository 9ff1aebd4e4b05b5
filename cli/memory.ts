/** `trapline memory`: the memory accesses of a run that was recorded without them, by replaying it. */
import { configurationOf, endOf } from '../analyzer/replay/player.js';
import { recordAgain } from '../recorder/run/again.js';
import { createTrace, openTrace } from '../traces/open.js';
import { type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { parseMemory } from './run-options.js';

const count = (value: number): string => value.toLocaleString('en-US');

export const command: Command = {
  arguments: [
    { name: 'TRACE', says: 'a trace that trapline record wrote' },
    { name: 'RANGE', says: 'all, or FROM-TO in guest physical addresses, several with commas' },
  ],
  options: [OUTPUT_OPTION, REPLACE_OPTION, JSON_OPTION],
  details: [
    'Replays the run from its trace and writes it with the memory table that recording it with --memory RANGE would ' +
      'have given. Exit code 1 where the replay diverged from the trace.',
  ],
  examples: [
    { line: 'trapline memory run.sqlite 0x200000-0x201000 -o page.arrow', says: 'who touched this page, and when' },
  ],
  async run(call) {
    const [path = '', range = ''] = call.args;
    const memory = parseMemory(range);
    const target = call.needed('output');
    const reader = openTrace(path);
    const progress = call.out.progress('replaying');
    try {
      const configuration = configurationOf(reader);
      const image = reader.image() ?? new Uint8Array();
      const end = endOf(reader);
      const writer = createTrace(target, { replace: call.flag('replace') });
      try {
        const run = { configuration, image, imageName: reader.run('image_name') ?? 'image', end };
        const { digest } = await recordAgain(reader, writer, run, memory, (tick) => progress.update(tick, end));
        progress.end();
        const identical = !reader.complete || digest === reader.run('digest');
        const made = openTrace(target);
        const accesses = made.rows('memory');
        made.close();
        if (call.flag('json')) call.out.json({ path: target, from: path, accesses, digest, identical });
        else {
          call.out.line(`${target}: ${count(accesses)} memory accesses, digest ${digest}`);
          if (!identical) call.out.line(call.out.paint('red', 'the replay diverged: see trapline replay'));
        }
        return identical ? EXIT.holds : EXIT.differs;
      } catch (error) {
        writer.abandon();
        throw error;
      }
    } finally {
      progress.end();
      reader.close();
    }
  },
};
