/** Signals while the input comes from a recorder, which an interrupt from the keyboard reaches too. */

/** Milliseconds in which a recorder that was interrupted is expected to end its output. */
const GRACE = 5000;

/** Ends the reading at a signal, until it is closed. */
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
    process.on('SIGINT', this.#interrupt);
    process.on('SIGTERM', end);
    process.on('SIGHUP', end);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    process.off('SIGINT', this.#interrupt);
    process.off('SIGTERM', this.#end);
    process.off('SIGHUP', this.#end);
  }

  /** The recorder ends in order at the first, and what it still writes is read; the second ends at once. */
  readonly #interrupt = (): void => {
    if (this.#timer !== null || !this.#mayWait()) {
      this.#end('SIGINT');
      return;
    }
    this.#say('interrupted: reading what the recorder still writes; once more ends at once');
    this.#timer = setTimeout(this.#end, GRACE, 'SIGINT');
  };
}
