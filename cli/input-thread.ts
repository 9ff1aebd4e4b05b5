/** The thread that reads what may never end, as the one sees it that listens to signals and shows what comes. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { printable } from '../engine/errors.js';
import { DescribedError } from './errors.js';
import { Control, type ThreadMessage } from './follow-protocol.js';
import type { Output } from './output.js';
import { Signals } from './signals.js';

/** Milliseconds in which a thread that is told to stop has to come out of the system, and from one look at it to the next. */
const PATIENCE = 2000;
const OFTEN = 20;

export interface ThreadView<Look> {
  look(look: Look): void;
  /** What the person should know meanwhile. */
  say(text: string): void;
  /** Nothing is shown afterwards. */
  close(): void;
}

interface Start {
  readonly file: string;
  readonly control: SharedArrayBuffer;
}

/** A pipe or a socket has somebody at its other end; a file or a device has not. */
function isWritten(file: string): boolean {
  const stat = file === '-' ? fstatSync(0) : statSync(file, { throwIfNoEntry: false });
  return stat?.isFIFO() === true || stat?.isSocket() === true;
}

/** A FIFO that is opened for reading waits for a writer: this is one, which goes at once. */
function letGo(path: string): void {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // nobody opens it (ENXIO), or it may only be read
  }
}

export class InputThread<Look, End> {
  readonly #worker: Worker;
  readonly #control: Control;
  readonly #file: string;
  #timer: NodeJS.Timeout | null = null;
  #over = false;
  #giveUp: (signal: NodeJS.Signals) => void = () => {};

  constructor(script: URL, start: Start) {
    this.#file = start.file;
    this.#control = new Control(start.control);
    this.#control.waits = true; // for its input to be opened
    // what node was told to load besides is for the program as a whole, and may be named from another folder
    this.#worker = new Worker(script, { workerData: start, execArgv: [] });
  }

  /**
   * The input ends here. A thread that waits inside the system for it to be opened hears nothing, and nothing but the
   * end of the process ends it: that comes from `signal` then. One that has ended is left alone.
   */
  stop(signal: NodeJS.Signals): void {
    if (this.#over) return;
    this.#control.stop();
    const until = performance.now() + PATIENCE;
    this.#timer ??= setInterval(() => {
      if (!this.#control.waits) return;
      if (performance.now() > until) this.#giveUp(signal);
      else if (this.#file !== '-') letGo(this.#file);
    }, OFTEN);
  }

  /** Resolves with what the thread ends with; rejects with its error. */
  async ended(view: ThreadView<Look>, out: Output): Promise<End> {
    const signals = new Signals(
      (signal) => this.stop(signal),
      (text) => view.say(text),
      // a FIFO that is still to be opened has nobody who would write more
      () => isWritten(this.#file) && (this.#file === '-' || !this.#control.waits),
    );
    const close = (): void => {
      view.close();
      signals.close();
      this.#over = true;
      if (this.#timer !== null) clearInterval(this.#timer);
    };
    this.#giveUp = (signal) => {
      close();
      signals.restore();
      out.note(`ended while ${printable(this.#file)} waited for somebody to write it: nothing was stored`);
      process.kill(process.pid, signal);
    };
    try {
      return await this.#last(view);
    } finally {
      close();
    }
  }

  #last(view: ThreadView<Look>): Promise<End> {
    return new Promise((resolve, reject) => {
      this.#worker.on('message', (message: ThreadMessage<Look, End>) => {
        if (message.kind === 'look') view.look(message.look);
        else if (message.kind === 'end') resolve(message.end);
        else reject(new DescribedError(message.error));
      });
      this.#worker.on('error', reject);
      this.#worker.on('exit', () => reject(new Error('the thread that reads ended without a word')));
    });
  }
}
