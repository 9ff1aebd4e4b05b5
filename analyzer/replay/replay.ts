/** Replays a recorded run, compares all that it does with the trace, and tells the first divergence. */
import { EVERYTHING, ringContent } from '../../engine/access-filter.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { checkpointsOf } from './checkpoints.js';
import { Comparer } from './compare.js';
import type { Divergence } from './divergence.js';
import { Player } from './player.js';
import { recordedRun } from './recorded.js';

export interface ReplayOptions {
  /** Checkpoint to start from; null: the image. */
  readonly from: number | null;
  /** Record memory accesses while replaying; those that the trace has are compared. */
  readonly memory: boolean;
  readonly progress?: (tick: number, end: number) => void;
}

export interface ReplayResult {
  readonly from: number | null;
  readonly events: number;
  readonly memoryRows: number;
  /** Checkpoints that were reached and compared. */
  readonly checkpoints: number;
  readonly ticks: number;
  /** False where the recording was cut: it was compared up to its end. */
  readonly complete: boolean;
  readonly divergence: Divergence | null;
}

const isCoded = (error: unknown): boolean => error instanceof Error && 'code' in error;

/** Plays; a machine that breaks down on a checkpoint's state says so of the checkpoint. */
function playFrom(
  reader: TraceReader,
  player: Player,
  from: number | null,
  stop: () => boolean,
  options: ReplayOptions,
) {
  const { end } = player;
  try {
    player.play(stop, (tick) => options.progress?.(tick, end));
  } catch (error) {
    if (from === null || isCoded(error)) throw error;
    const why = `the machine cannot run from it: ${error instanceof Error ? error.message : String(error)}`;
    throw new AnalysisError('BAD_CHECKPOINT', `${reader.path}, checkpoint ${from}`, why);
  }
}

/**
 * @throws AnalysisError, TraceError where the trace cannot be replayed; a divergence is a result
 */
export function replay(reader: TraceReader, options: ReplayOptions): ReplayResult {
  const run = recordedRun(reader);
  const start = options.from === null ? null : (checkpointsOf(reader)[options.from] ?? null);
  const comparer = new Comparer(reader, { from: start, memory: options.memory ? run.memory : 'off' });
  let checkpoints = 0;
  const player = new Player(reader, run, comparer, {
    from: options.from,
    memory: options.memory ? ringContent(run.memory === 'off' ? EVERYTHING : run.memory) : 'none',
    onCheckpoint: (recorded, reached) => {
      comparer.checkpoint(recorded, reached);
      if (recorded !== null) checkpoints++;
    },
  });
  comparer.machine = player.machine;
  playFrom(reader, player, options.from, () => comparer.divergence !== null, options);
  comparer.end({
    recorded: { tick: String(run.end), digest: run.finalState ?? '' },
    replayed: { tick: String(player.machine.now), digest: run.finalState === null ? '' : player.state().digest },
  });
  const missing = reader.complete ? player.missingCheckpoint() : null;
  if (missing) comparer.missing(missing);
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
