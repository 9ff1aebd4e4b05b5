/** Runs a machine to its end: scheduled inputs at their ticks, and bytes from a console whenever the host has some. */
import { driveTo } from '../../engine/drive.js';
import type { Machine, Stop } from '../../engine/machine.js';
import { nullObserver } from '../../engine/observer.js';
import { type RunConfiguration, start } from '../../engine/start.js';
import { FilteringObserver } from './filter.js';
import type { ScheduledInput } from './recording.js';

/** What a session drives: a Recording, or a run that nobody records. */
export interface Runner {
  readonly machine: Machine;
  runTo(target: number, stopWhenIdle: boolean): Exclude<Stop, 'checkpoint'>;
  receive(port: string, bytes: Uint8Array): boolean;
  flush(): void;
}

/** A run without a trace. */
export class PlainRun implements Runner {
  readonly machine: Machine;

  constructor(
    configuration: RunConfiguration,
    image: Uint8Array,
    imageName: string,
    onOutput: (port: string, bytes: Uint8Array) => void,
  ) {
    this.machine = start(configuration, image, imageName, new FilteringObserver(nullObserver, null, onOutput));
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
  /** Resolves when bytes arrive or the source ends. */
  wait(): Promise<void>;
  readonly ended: boolean;
}

export interface SessionOptions {
  /** Ticks after which the run ends in any case. */
  readonly budget: number;
  /** By rising tick. */
  readonly inputs: readonly ScheduledInput[];
  readonly console: ConsoleSource | null;
  readonly progress: (tick: number) => void;
  /** Asked between slices; true ends the run in order (an interrupt from the keyboard). */
  readonly interrupted: () => boolean;
  /** Called with an input that no device or monitor takes. */
  readonly refused: (input: ScheduledInput) => void;
}

/** Ticks between two looks at the host. */
const SLICE = 4_000_000;
const INTERACTIVE_SLICE = 400_000;

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Answers what ended the run: `limit` where its budget or an interrupt did. */
export async function runSession(runner: Runner, options: SessionOptions): Promise<Exclude<Stop, 'checkpoint'>> {
  const { budget, inputs, console } = options;
  const { machine } = runner;
  let next = 0;
  for (;;) {
    for (let input = inputs[next]; input && machine.now >= input.tick; input = inputs[++next]) {
      if (!runner.receive(input.port, input.bytes)) options.refused(input);
    }
    const typed = console?.take() ?? null;
    if (typed) runner.receive('com1', typed);
    if (options.interrupted() || machine.now >= budget) return 'limit';
    const slice = console ? INTERACTIVE_SLICE : SLICE;
    const target = Math.min(budget, machine.now + slice, inputs[next]?.tick ?? Number.POSITIVE_INFINITY);
    const waitsForHost = console !== null && !console.ended;
    // With an input still scheduled, a waiting processor lets time pass until it comes.
    const stop = runner.runTo(target, next >= inputs.length);
    options.progress(machine.now);
    if (stop === 'idle') {
      if (!waitsForHost) return stop;
      runner.flush();
      await console.wait();
    } else if (stop !== 'limit') return stop;
    await breathe();
  }
}
