/** Signals while the input comes from a recorder, which an interrupt from the keyboard reaches too. */

/** Milliseconds in which a recorder that was interrupted is expected to end its output. */
const GRACE = 5000;

/** Milliseconds in which what was read is told. */
const REPORTED = 2000;

/** Signals that end the reading. */
const HEARD = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What is read is told to its end: a signal comes too late to end anything. */
const ignore = (): void => {};

/** Ends the reading at a signal, until it is closed; signals that come later are ignored. */
export class Signals {
  readonly #end: (signal: NodeJS.Signals) => void;
  readonly #say: (text: string) => void;
  readonly #mayWait: () => boolean;
  #timer: NodeJS.Timeout | null = null;

  /** `mayWait` says that whoever writes the input gets an interrupt from the keyboard too. */
  constructor(end: (signal: NodeJS.Signals) => void, say: (text: string) => void, mayWait: () => boolean) {
    this.#end = end;
    this.#say = say;
    this.#mayWait = mayWait;
    for (const signal of HEARD) process.on(signal, this.#heard);
  }

  /**
   * The report and the exit code are still to come, and a signal would take them away; but not for ever: whoever takes
   * the report may wait.
   */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const signal of HEARD) process.on(signal, ignore).off(signal, this.#heard);
    setTimeout(() => this.restore(), REPORTED).unref();
  }

  /** Signals do what they do to any program. */
  restore(): void {
    for (const signal of HEARD) process.off(signal, this.#heard).off(signal, ignore);
  }

  readonly #heard = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGINT') this.#interrupt();
    else this.#end(signal);
  };

  /** The recorder ends in order at the first, and what it still writes is read; the second ends at once. */
  #interrupt(): void {
    if (this.#timer !== null || !this.#mayWait()) {
      this.#end('SIGINT');
      return;
    }
    this.#say('interrupted: reading what the recorder still writes; once more ends at once');
    this.#timer = setTimeout(this.#end, GRACE, 'SIGINT');
  }
}
