/** `trapline verify`: every chunk is what was written, and the run replays to the same. */
import { checkpointsOf } from '../analyzer/replay/checkpoints.js';
import { type ReplayResult, replay } from '../analyzer/replay/replay.js';
import { type Integrity, integrityOf, isIntact } from '../analyzer/verify.js';
import { openTrace } from '../traces/open.js';
import type { TraceReader } from '../traces/store.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import type { Output, Progress } from './output.js';
import { showReplay } from './replay.js';
import { formatCount, formatDigest, formatNumber } from './table.js';

/** Where replays start: none where there is nothing to replay. */
function startsOf(call: Call, reader: TraceReader): (number | null)[] {
  if (reader.run('source') !== 'engine' || call.flag('no-replay')) return [];
  const checkpoints = call.flag('every-checkpoint') ? checkpointsOf(reader).map(({ id }) => id) : [];
  return [null, ...checkpoints];
}

/** Replays from each start, up to the first divergence. */
function replays(reader: TraceReader, starts: readonly (number | null)[], progress: Progress): ReplayResult[] {
  const results: ReplayResult[] = [];
  for (const [i, from] of starts.entries()) {
    const result = replay(reader, {
      from,
      memory: reader.run('memory') !== '"off"',
      progress: (tick, end) => progress.update(i * end + tick, starts.length * end),
    });
    results.push(result);
    if (result.divergence) break;
  }
  return results;
}

function show(out: Output, reader: TraceReader, integrity: Integrity, results: readonly ReplayResult[]): void {
  const { digest, recorded, breaches } = integrity;
  const verdict = isIntact(integrity) ? out.paint('green', 'intact') : out.paint('red', 'ALTERED');
  out.line(`${reader.path}: ${verdict}, ${formatCount(reader.rows('event'), 'event')}, digest ${formatDigest(digest)}`);
  if (recorded !== null && recorded !== digest) out.line(`  its digest was ${formatDigest(recorded)}`);
  for (const { table, row, says } of breaches) out.line(`  table ${table}, row ${formatNumber(row)}: ${says}`);
  if (!reader.complete) out.line('  the recording was cut: what is there is whole up to its last chunk');
  for (const result of results) showReplay(out, '  ', result);
  const source = reader.run('source');
  if (source !== 'engine') out.line(`  imported (${source ?? 'unknown source'}): nothing to replay`);
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace of either store' }],
  options: [
    { name: 'every-checkpoint', says: 'replay from each checkpoint too, not from the start alone' },
    { name: 'no-replay', says: 'only read it: lengths, digests, invariants' },
    JSON_OPTION,
  ],
  details: [
    'Reads all rows, checks the digest of every chunk and of the whole, and what the tables promise of each other; ' +
      'then replays a run that was recorded on the machine. Exit code 0: it holds. 1: the replay diverges, or the ' +
      'trace was altered. 2: it is damaged.',
  ],
  json: {
    path: 'the trace',
    holds: 'true where all is well',
    complete: 'false where the recording was cut',
    digest: 'logical digest of what is there',
    recorded: 'the digest that the recorder wrote; null where it was cut',
    breaches: 'rows that break a promise of the format: { table, row, says }',
    replays: 'as trapline replay --json prints them, one a start',
  },
  run(call) {
    const [path = ''] = call.args;
    const reader = openTrace(path);
    const progress = call.out.progress('verifying');
    try {
      const integrity = integrityOf(reader);
      const results = replays(reader, startsOf(call, reader), progress);
      progress.end();
      const holds = isIntact(integrity) && results.every(({ divergence }) => divergence === null);
      const { complete } = reader;
      if (call.flag('json')) call.out.json({ path, holds, complete, ...integrity, replays: results });
      else show(call.out, reader, integrity, results);
      return holds ? EXIT.holds : EXIT.differs;
    } finally {
      progress.end();
      reader.close();
    }
  },
};
