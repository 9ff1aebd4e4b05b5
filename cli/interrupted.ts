/** Work that a signal ends between two of its steps, so that who asked for it is told what is kept. */
import { setImmediate } from 'node:timers/promises';

const HEARD = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal came: the command clears away what it made, and the program ends by it. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  /** `kept` says what there is afterwards. */
  constructor(signal: NodeJS.Signals, kept: string) {
    super(`interrupted: ${kept}`);
    this.signal = signal;
  }
}

/**
 * Does the work, and hears signals between its steps.
 * @throws Interrupted
 */
export async function stepwise<Step, Result>(
  work: Generator<Step, Result>,
  kept: string,
  each: (step: Step) => void = () => {},
): Promise<Result> {
  let heard: NodeJS.Signals | null = null;
  const hear = (signal: NodeJS.Signals): void => {
    heard ??= signal;
  };
  for (const signal of HEARD) process.on(signal, hear);
  try {
    for (;;) {
      const step = work.next();
      if (step.done === true) return step.value;
      each(step.value);
      await setImmediate(); // whatever came meanwhile is heard
      if (heard !== null) throw new Interrupted(heard, kept);
    }
  } finally {
    for (const signal of HEARD) process.off(signal, hear);
  }
}
