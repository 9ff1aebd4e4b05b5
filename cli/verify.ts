/** `trapline verify`: every chunk is what was written, and the run replays to the same. */

import { originOf } from '../analyzer/origin.js';
import { checkpointsOf } from '../analyzer/replay/checkpoints.js';
import { type ReplayResult, replay } from '../analyzer/replay/replay.js';
import { type Integrity, integrityOf, isIntact } from '../analyzer/verify.js';
import { openTrace } from '../traces/open.js';
import type { TraceReader } from '../traces/store.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import type { Progress } from './output.js';
import { showReplay } from './replay.js';
import { formatCount, formatDigest, formatNumber } from './table.js';

const INCOMPLETE = {
  name: 'allow-incomplete',
  says: 'exit with 0 also where the recorder did not come to the end, if what is there holds',
};
const WHOLE_UP_TO = 'what is there is whole up to its last chunk';

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

function verdictOf(integrity: Integrity): 'intact' | 'ALTERED' | 'DAMAGED' {
  if (!isIntact(integrity)) return 'ALTERED';
  return integrity.flaws.length === 0 ? 'intact' : 'DAMAGED';
}

function show(call: Call, reader: TraceReader, integrity: Integrity, results: readonly ReplayResult[]): void {
  const { out } = call;
  const { digest, recorded, breaches, flaws } = integrity;
  const verdict = verdictOf(integrity);
  const shown = out.paint(verdict === 'intact' ? 'green' : 'red', verdict);
  out.line(`${reader.path}: ${shown}, ${formatCount(reader.rows('event'), 'event')}, digest ${formatDigest(digest)}`);
  if (recorded !== null && recorded !== digest) out.line(`  its digest was ${formatDigest(recorded)}`);
  for (const { table, row, says } of breaches) out.line(`  table ${table}, row ${formatNumber(row)}: ${says}`);
  for (const flaw of flaws) out.paragraph(`  ${flaw}`, 4);
  showOrigin(call, reader);
  for (const result of results) showReplay(out, '  ', result);
  const source = reader.run('source');
  if (source !== 'engine') out.line(`  imported (${source ?? 'unknown source'}): nothing to replay`);
}

/** What of the recording is not there. */
function showOrigin(call: Call, reader: TraceReader): void {
  const { out } = call;
  const { cut, damaged } = originOf((key) => reader.run(key), reader.complete);
  if (cut !== null) {
    const accepted = call.flag(INCOMPLETE.name);
    out.paragraph(`  ${accepted ? 'incomplete' : out.paint('red', 'INCOMPLETE')}: ${cut}; ${WHOLE_UP_TO}`, 4);
    if (!accepted) out.line(`  --${INCOMPLETE.name} accepts it`);
  } else if (damaged > 0) {
    out.line(
      `  ${formatCount(damaged, 'place')} of its source could not be read, and ${damaged === 1 ? 'is' : 'are'} not in it`,
    );
  }
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace of either store' }],
  options: [
    { name: 'every-checkpoint', says: 'replay from each checkpoint too, not from the start alone' },
    { name: 'no-replay', says: 'only read it: lengths, digests, invariants' },
    INCOMPLETE,
    JSON_OPTION,
  ],
  details: [
    'Reads all rows, checks the digest of every chunk and of the whole, and what the tables promise of each other; ' +
      'then replays a run that was recorded on the machine.',
    'Exit code 0: it is whole and holds. 1: the replay diverges, the trace was altered, or its recorder did not come to ' +
      `the end (it was killed, its disk was full, or what it was imported from was cut): then ${WHOLE_UP_TO}, and --${INCOMPLETE.name} takes it for good. ` +
      '2: the file is damaged or cut, or it is no trace.',
    'DAMAGED says that all rows are what was written, but not what stands around them in the files of an Arrow trace ' +
      '(schemas, metadata, marks of ends, the manifest): Trapline reads it, other readers of Arrow may refuse it or read ' +
      'something else. `trapline convert` makes a good one of it.',
  ],
  json: {
    path: 'the trace',
    holds: 'true where the exit code is 0',
    complete:
      'false where the recorder or the import did not come to the end; then holds is too, unless --allow-incomplete is given',
    digest: 'logical digest of what is there',
    recorded: 'the digest that the recorder wrote; null where it did not come so far',
    cut: 'why the recording is not there to its end; null where it is',
    damaged: 'lines or places of the source of an import that could not be read',
    flaws: 'damage of the files on which no row depends, in words',
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
      const { complete } = reader;
      const accepted = complete || call.flag(INCOMPLETE.name);
      const holds =
        accepted && verdictOf(integrity) === 'intact' && results.every(({ divergence }) => divergence === null);
      const { cut, damaged } = originOf((key) => reader.run(key), complete);
      if (call.flag('json')) call.out.json({ path, holds, complete, ...integrity, cut, damaged, replays: results });
      else show(call, reader, integrity, results);
      if (integrity.flaws.length > 0) return EXIT.wrong;
      return holds ? EXIT.holds : EXIT.differs;
    } finally {
      progress.end();
      reader.close();
    }
  },
};
