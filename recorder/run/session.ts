/** Runs a machine to its end: scheduled inputs at their ticks, and bytes from a console whenever the host has some. */
import { driveTo } from '../../engine/drive.js';
import type { Machine, Stop } from '../../engine/machine.js';
import { type RunConfiguration, start } from '../../engine/start.js';
import { FilteringObserver, type OutputListener } from './filter.js';
import type { ScheduledInput } from './recording.js';

/** What a session drives: a Recording, or a run that nobody records. */
export interface Runner {
  /** Its clock is all that a session looks at. */
  readonly machine: { readonly now: number };
  runTo(target: number, stopWhenIdle: boolean): Exclude<Stop, 'checkpoint'>;
  receive(port: string, bytes: Uint8Array): boolean;
  flush(): void;
}

/** A run without a trace. */
export class PlainRun implements Runner {
  readonly machine: Machine;

  /** @throws EngineError where the image or the configuration will not do */
  constructor(configuration: RunConfiguration, image: Uint8Array, imageName: string, onOutput: OutputListener) {
    this.machine = start(configuration, image, imageName, new FilteringObserver('off', onOutput));
  }

  runTo(target: number, stopWhenIdle: boolean): Exclude<Stop, 'checkpoint'> {
    for (;;) {
      const stop = driveTo(this.machine, target, stopWhenIdle);
      if (stop !== 'checkpoint') return stop;
    }
  }

  receive(port: string, bytes: Uint8Array): boolean {
    return this.machine.receive(port, bytes);
  }

  flush(): void {}
}

/** Where bytes for COM1 come from while the machine runs. */
export interface ConsoleSource {
  /** Bytes that have arrived since the last call; null: none. */
  take(): Uint8Array | null;
  /** Resolves when bytes arrive, the source ends, or who waits should look around for another reason. */
  wait(): Promise<void>;
  /** No byte will come any more. */
  readonly ended: boolean;
}

export interface SessionOptions {
  /** Ticks after which the run ends in any case. */
  readonly budget: number;
  /** Ticks that the run may still take once no byte can come from the console any more; without it, the budget alone. */
  readonly alone?: number;
  /** Ticks between two looks at the host; by default as many as a person does not notice. */
  readonly slice?: number;
  /** By rising tick. */
  readonly inputs: readonly ScheduledInput[];
  readonly console: ConsoleSource | null;
  readonly progress: (tick: number) => void;
  /** Asked between slices; true ends the run in order (an interrupt from the keyboard). */
  readonly interrupted: () => boolean;
  /** Called with an input that no device or monitor takes, or for which the run ended too early. */
  readonly refused: (input: ScheduledInput, why: 'port' | 'end') => void;
}

/** Ticks between two looks at the host. */
const SLICE = 4_000_000;
const INTERACTIVE_SLICE = 400_000;

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Answers what ended the run: `limit` where its budget did, `stopped` where an interrupt did. Inputs for which the run
 * ended too early are refused.
 */
export async function runSession(
  runner: Runner,
  { budget, alone = budget, slice, inputs, console, progress, interrupted, refused }: SessionOptions,
): Promise<Exclude<Stop, 'checkpoint'> | 'stopped'> {
  const { machine } = runner;
  let limit = budget;
  let left = false;
  const step = slice ?? (console ? INTERACTIVE_SLICE : SLICE);
  let next = 0;
  let typed: Uint8Array | null = null;
  const deliver = (): void => {
    for (let input = inputs[next]; input && machine.now >= input.tick; input = inputs[++next]) {
      if (!runner.receive(input.port, input.bytes)) refused(input, 'port');
    }
    typed ??= console?.take() ?? null;
    // COM1 takes nothing where too many bytes wait in it already: these wait too.
    if (typed && runner.receive('com1', typed)) typed = null;
  };
  /** To the end of a slice, or to what ends the run: null where it goes on. */
  const runOn = async (): Promise<Exclude<Stop, 'checkpoint'> | 'stopped' | null> => {
    deliver();
    if (interrupted()) return 'stopped';
    if (console?.ended && !left) {
      left = true;
      limit = Math.min(budget, machine.now + alone);
    }
    if (machine.now >= limit) return 'limit';
    const target = Math.min(limit, machine.now + step, inputs[next]?.tick ?? Number.POSITIVE_INFINITY);
    // With an input still scheduled, a waiting processor lets time pass until it comes.
    const stop = runner.runTo(target, next >= inputs.length);
    progress(machine.now);
    if (stop === 'limit') await breathe();
    else if (stop !== 'idle' || console === null || console.ended) return stop;
    else {
      runner.flush();
      await console.wait();
    }
    return null;
  };
  let end = await runOn();
  while (end === null) end = await runOn();
  for (const input of inputs.slice(next)) refused(input, 'end');
  return end;
}
