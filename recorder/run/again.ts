/** Makes a recorded run once more, with memory accesses, into a trace of its own. */
import type { MemoryFilter } from '../../engine/access-filter.js';
import { type EndKind, limitOf } from '../../engine/drive.js';
import type { RunConfiguration } from '../../engine/start.js';
import type { TraceWriter } from '../../traces/store.js';
import { type Outcome, Recording, type ScheduledInput } from './recording.js';

export interface RecordedRun {
  readonly configuration: RunConfiguration;
  readonly image: Uint8Array;
  readonly imageName: string;
  /** By rising tick. */
  readonly inputs: readonly ScheduledInput[];
  /** Tick at which the recording ended, and what ended it. */
  readonly end: number;
  readonly ending: EndKind;
}

/** Ticks between two calls of `progress`. */
const SLICE = 4_000_000;

/**
 * Records `run` into `writer`: the same trace, with the memory accesses that `memory` asks for.
 * @throws EngineError where the image or the configuration will not do
 */
export function recordAgain(
  run: RecordedRun,
  writer: () => TraceWriter,
  memory: MemoryFilter,
  progress: (tick: number) => void,
): { readonly outcome: Outcome; readonly digest: string } {
  const recording = new Recording(writer, { ...run, memory });
  const runTo = (target: number): void => {
    while (recording.machine.now < target) {
      const stop = recording.runTo(Math.min(target, recording.machine.now + SLICE), false);
      progress(recording.machine.now);
      if (stop !== 'limit') return;
    }
  };
  for (const { tick, port, bytes } of run.inputs) {
    if (tick > run.end) break;
    runTo(tick);
    recording.receive(port, bytes);
  }
  runTo(limitOf(run.end, run.ending));
  return recording.finish(run.ending);
}
