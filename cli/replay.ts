/** `trapline replay`: plays a recorded run again and compares all that it does with the trace. */
import type { Divergence } from '../analyzer/replay/compare.js';
import { type ReplayResult, replay } from '../analyzer/replay/replay.js';
import { openTrace } from '../traces/open.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import type { Output } from './output.js';

const count = (value: number): string => value.toLocaleString('en-US');

/** Prints both sides of a divergence, field by field. */
export function showDivergence(out: Output, divergence: Divergence): void {
  const { table, row, tick, fields, recorded, replayed } = divergence;
  out.line(out.paint('red', `diverges at ${table} ${count(row)}, tick ${count(tick)}`));
  if (recorded === null) out.line('the replay did what was not recorded:');
  if (replayed === null) out.line('the replay did not do what was recorded:');
  const names = [...new Set([...Object.keys(recorded ?? {}), ...Object.keys(replayed ?? {})])];
  out.table(
    [{ title: 'field' }, { title: 'recorded' }, { title: 'replayed' }],
    names.map((name) => {
      const mark = fields.includes(name) ? '* ' : '  ';
      return [mark + name, recorded?.[name] ?? '', replayed?.[name] ?? ''];
    }),
  );
}

function show(out: Output, path: string, result: ReplayResult): void {
  if (result.divergence) {
    showDivergence(out, result.divergence);
    return;
  }
  const from = result.from === null ? 'the start' : `checkpoint ${result.from}`;
  const memory = result.memoryRows > 0 ? `, ${count(result.memoryRows)} memory accesses` : '';
  const what = `${count(result.events)} events, ${count(result.checkpoints)} checkpoints${memory}`;
  out.line(`${path}: ${out.paint('green', 'identical')} from ${from} to tick ${count(result.ticks)}: ${what}`);
  if (!result.complete) out.note('the recording was cut: it was compared up to its last whole chunk');
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace that trapline record wrote' }],
  options: [
    { name: 'from', value: 'CHECKPOINT', says: 'start at this checkpoint instead of the image' },
    { name: 'memory', says: 'record memory accesses too, and compare them where the trace has them' },
    JSON_OPTION,
  ],
  details: ['Exit code 0: identical. 1: it diverges; both sides of the first difference are printed.'],
  examples: [{ line: 'trapline replay run.sqlite --from 2', says: 'only what came after checkpoint 2' }],
  run(call) {
    const [path = ''] = call.args;
    const reader = openTrace(path);
    const progress = call.out.progress('replaying');
    try {
      const result = replay(reader, {
        from: call.integer('from', 0, 2 ** 32 - 1),
        memory: call.flag('memory'),
        progress: (tick, end) => progress.update(tick, end),
      });
      progress.end();
      if (call.flag('json')) call.out.json({ path, ...result, identical: result.divergence === null });
      else show(call.out, path, result);
      return result.divergence ? EXIT.differs : EXIT.holds;
    } finally {
      progress.end();
      reader.close();
    }
  },
};
