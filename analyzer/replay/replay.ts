/** Replays a recorded run, compares all that it does with the trace, and tells the first divergence. */
import { REGISTERS } from '../../traces/schema.js';
import type { TraceReader } from '../../traces/store.js';
import { checkpointsOf } from './checkpoints.js';
import { Comparer, type ComparerStart, type Divergence, FROM_START } from './compare.js';
import { TableCursor } from './cursor.js';
import { Player } from './player.js';

export interface ReplayOptions {
  /** Checkpoint to start from; null: the image. */
  readonly from: number | null;
  /** Record memory accesses while replaying; they are compared where the trace has them all. */
  readonly memory: boolean;
  readonly progress?: (tick: number, end: number) => void;
}

export interface ReplayResult {
  readonly from: number | null;
  readonly events: number;
  readonly memoryRows: number;
  readonly checkpoints: number;
  readonly ticks: number;
  /** False where the recording was cut: it was compared up to its end. */
  readonly complete: boolean;
  readonly divergence: Divergence | null;
}

/** Rows of a table whose `column` is below a bound; the column never falls. */
function rowsBefore(reader: TraceReader, table: 'register' | 'memory' | 'message' | 'output', bound: number): number {
  const column = table === 'register' ? 'seq' : 'tick';
  const cursor = new TableCursor(reader, table);
  let rows = 0;
  while (cursor.next() && cursor.number(column) < bound) rows++;
  return rows;
}

function registersBefore(reader: TraceReader, seq: number): Uint32Array {
  const words = new Uint32Array(2 * REGISTERS.length);
  const cursor = new TableCursor(reader, 'register');
  while (cursor.next() && cursor.number('seq') < seq) {
    for (const [i, name] of REGISTERS.entries()) {
      if (!cursor.has(name)) continue;
      words[2 * i] = cursor.low(name);
      words[2 * i + 1] = cursor.high(name);
    }
  }
  return words;
}

function startAt(reader: TraceReader, from: number | null, memory: boolean): ComparerStart {
  const checkpoint = from === null ? undefined : checkpointsOf(reader).find(({ id }) => id === from);
  if (!checkpoint) return FROM_START;
  const { seq, tick } = checkpoint;
  return {
    event: seq,
    register: rowsBefore(reader, 'register', seq),
    memory: memory ? rowsBefore(reader, 'memory', tick) : 0,
    message: rowsBefore(reader, 'message', tick),
    output: rowsBefore(reader, 'output', tick),
    registers: registersBefore(reader, seq),
  };
}

/** True where the trace holds every memory access, so that a replay's can be compared with them. */
const recordsAllMemory = (reader: TraceReader): boolean => reader.run('memory') === '"all"';

/**
 * @throws AnalysisError, TraceError, EngineError where the trace cannot be replayed; a divergence is a result
 */
export function replay(reader: TraceReader, options: ReplayOptions): ReplayResult {
  const compareMemory = options.memory && recordsAllMemory(reader);
  const comparer = new Comparer(reader, startAt(reader, options.from, compareMemory), compareMemory);
  let checkpoints = 0;
  const player = new Player(reader, comparer, {
    from: options.from,
    memory: options.memory,
    onCheckpoint: ({ checkpoint, digest, tick }) => {
      checkpoints++;
      comparer.checkpoint(checkpoint.id, tick, checkpoint.digest, digest, checkpoint.tick);
    },
  });
  comparer.machine = player.machine;
  const { end } = player;
  player.play(
    () => comparer.divergence !== null,
    (tick) => options.progress?.(tick, end),
  );
  comparer.end();
  return {
    from: options.from,
    events: comparer.events,
    memoryRows: comparer.memoryRows,
    checkpoints,
    ticks: player.machine.now,
    complete: reader.complete,
    divergence: comparer.divergence,
  };
}
