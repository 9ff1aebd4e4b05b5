/** `trapline replay`: plays a recorded run again and compares all that it does with the trace. */
import type { Divergence } from '../analyzer/replay/divergence.js';
import { type ReplayResult, replay } from '../analyzer/replay/replay.js';
import { openTrace } from '../traces/open.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import type { Output } from './output.js';
import { formatCount, formatDigest, formatNumber } from './table.js';

/** Keys of a replay in `--json`. */
export const REPLAY_JSON = {
  from: 'checkpoint that it started from; null: the image',
  events: 'events compared',
  memoryRows: 'memory accesses compared',
  checkpoints: 'checkpoints compared',
  ticks: 'machine time at which it ended',
  complete: 'false where the recording was cut: it was compared up to its end',
  divergence: 'null, or the first difference: { table, row, tick, fields, recorded, replayed }',
} as const;

/** What differs, in a sentence. */
function place({ table, row, tick }: Divergence): string {
  const at = `tick ${formatNumber(tick)}`;
  if (table === 'end') return `the state in which the run ended, ${at}`;
  if (table === 'checkpoint') return `checkpoint ${formatNumber(row)}, ${at}`;
  return `${table} ${formatNumber(row)}, ${at}`;
}

/** A value of one side; digests by their beginning. */
const cell = (name: string, value: string | undefined): string =>
  value === undefined ? '' : name === 'digest' ? formatDigest(value) : value;

/** Prints both sides of a divergence, field by field. */
function showSides(out: Output, { fields, recorded, replayed }: Divergence): void {
  if (recorded === null) out.line('the replay did what was not recorded:');
  if (replayed === null) out.line('the replay did not do what was recorded:');
  const names = [...new Set([...Object.keys(recorded ?? {}), ...Object.keys(replayed ?? {})])];
  out.table(
    [{ title: '  field' }, { title: 'recorded', shrinks: 12 }, { title: 'replayed', shrinks: 12 }],
    names.map((name) => {
      const mark = fields.includes(name) ? '* ' : '  ';
      return [mark + name, cell(name, recorded?.[name]), cell(name, replayed?.[name])];
    }),
  );
}

/** Prints one replay; `what` is the trace, or an indent below it. */
export function showReplay(out: Output, what: string, result: ReplayResult): void {
  const { from, events, checkpoints, memoryRows, ticks, divergence } = result;
  const start = from === null ? 'the start' : `checkpoint ${from}`;
  if (divergence) {
    out.line(`${what}${out.paint('red', 'DIVERGES')} at ${place(divergence)}, replayed from ${start}`);
    showSides(out, divergence);
    return;
  }
  const counts = [formatCount(events, 'event'), formatCount(checkpoints, 'checkpoint')];
  if (memoryRows > 0) counts.push(`${formatNumber(memoryRows)} memory accesses`);
  const verdict = out.paint('green', 'identical');
  out.line(`${what}${verdict} from ${start} to tick ${formatNumber(ticks)} (${counts.join(', ')})`);
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace that trapline record wrote' }],
  options: [
    { name: 'from', value: 'CHECKPOINT', says: 'start at this checkpoint, counted from 0, instead of the image' },
    { name: 'memory', says: 'record memory accesses too, and compare them where the trace has them' },
    JSON_OPTION,
  ],
  details: [
    'Compares every event, register, message, output and checkpoint, and the state in which the run ended. Exit code ' +
      '0: identical. 1: it diverges; both sides of the first difference are printed, * marks what differs.',
  ],
  json: { path: 'the trace', ...REPLAY_JSON, identical: 'true where nothing differs' },
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
      else showReplay(call.out, `${path}: `, result);
      if (!result.complete) call.out.note('the recording was cut: it was compared up to its last whole chunk');
      return result.divergence ? EXIT.differs : EXIT.holds;
    } finally {
      progress.end();
      reader.close();
    }
  },
};
