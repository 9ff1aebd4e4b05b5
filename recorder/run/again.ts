/** Makes a recorded run once more from its trace, with memory accesses, into a trace of its own. */
import type { RunConfiguration } from '../../engine/start.js';
import type { TraceReader, TraceWriter } from '../../traces/store.js';
import { type MemoryFilter, type Outcome, Recording, type ScheduledInput } from './recording.js';
import { runSession } from './session.js';

export interface RecordedRun {
  readonly configuration: RunConfiguration;
  readonly image: Uint8Array;
  readonly imageName: string;
  /** Tick at which the recording ended. */
  readonly end: number;
}

const inputsOf = (reader: TraceReader): ScheduledInput[] => {
  const inputs: ScheduledInput[] = [];
  for (const chunk of reader.chunks('input')) {
    for (let i = 0; i < chunk.rows; i++) {
      const { tick, port, bytes } = chunk.row(i);
      inputs.push({
        tick: Number(tick),
        port: String(port),
        bytes: bytes instanceof Uint8Array ? bytes : new Uint8Array(),
      });
    }
  }
  return inputs;
};

/** Records the run of `reader` into `writer`: the same trace, with the memory accesses that `memory` asks for. */
export async function recordAgain(
  reader: TraceReader,
  writer: TraceWriter,
  run: RecordedRun,
  memory: MemoryFilter,
  progress: (tick: number) => void,
): Promise<{ readonly outcome: Outcome; readonly digest: string }> {
  const recording = new Recording(writer, { ...run, memory });
  const stop = await runSession(recording, {
    budget: run.end,
    inputs: inputsOf(reader),
    console: null,
    progress,
    interrupted: () => false,
    refused: () => {},
  });
  return recording.finish(stop);
}
