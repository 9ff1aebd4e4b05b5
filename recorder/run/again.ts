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

/** Ticks from one step to the next: about a second of the slowest guests, all of whose accesses are recorded. */
const SLICE = 100_000;

/**
 * Records `run` into `writer`: the same trace, with the memory accesses that `memory` asks for. Steps are ticks.
 * @throws EngineError where the image or the configuration will not do
 */
export function* recordAgain(
  run: RecordedRun,
  writer: () => TraceWriter,
  memory: MemoryFilter,
): Generator<number, { readonly outcome: Outcome; readonly digest: string }> {
  const recording = new Recording(writer, { ...run, memory });
  for (const { tick, port, bytes } of run.inputs) {
    if (tick > run.end) break;
    yield* runTo(recording, tick);
    recording.receive(port, bytes);
  }
  yield* runTo(recording, limitOf(run.end, run.ending));
  return recording.finish(run.ending);
}

function* runTo(recording: Recording, target: number): Generator<number, void> {
  while (recording.machine.now < target) {
    const stop = recording.runTo(Math.min(target, recording.machine.now + SLICE), false);
    yield recording.machine.now;
    if (stop !== 'limit') return;
  }
}
