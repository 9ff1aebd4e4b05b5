/** A terminal for a view that fills it: another screen, keys from /dev/tty, and everything as it was afterwards. */
import { openSync } from 'node:fs';
import { ReadStream } from 'node:tty';

const ESC = '\u001b';
const ENTER = `${ESC}[?1049h${ESC}[?25l${ESC}[2J`;
const LEAVE = `${ESC}[?25h${ESC}[?1049l`;
const ETX = '\u0003';
const SUB = '\u001a';

export interface ScreenEvents {
  key(key: string): void;
  resize(): void;
}

/** The parts of process.stdout that a screen needs. */
export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/** Opens the keyboard; null where there is none. Standard input is the recording. */
function openKeyboard(): ReadStream | null {
  try {
    const stream = new ReadStream(openSync('/dev/tty', 'r'));
    stream.setRawMode(true);
    return stream;
  } catch {
    return null;
  }
}

export class Screen {
  readonly #out: Terminal;
  readonly #events: ScreenEvents;
  readonly #keyboard: ReadStream | null;
  readonly #leave = (): void => this.#restore();
  readonly #resize = (): void => this.#events.resize();
  readonly #resume = (): void => {
    this.#keyboard?.setRawMode(true);
    this.#enter();
    this.#events.resize();
  };
  #entered = false;

  constructor(out: Terminal, events: ScreenEvents) {
    this.#out = out;
    this.#events = events;
    this.#keyboard = openKeyboard();
    this.#keyboard?.setEncoding('utf8').on('data', (text) => this.#typed(String(text)));
    this.#keyboard?.on('error', () => {
      // the terminal went away: what is left is to read on
    });
    // whatever ends the process, the terminal stays usable
    process.on('exit', this.#leave);
    process.on('SIGCONT', this.#resume);
    out.on('resize', this.#resize);
    this.#enter();
  }

  get keys(): boolean {
    return this.#keyboard !== null;
  }

  get width(): number {
    return this.#out.columns ?? 80;
  }

  get height(): number {
    return this.#out.rows ?? 24;
  }

  /** Draws over what was there, without a moment in which nothing is. */
  draw(lines: readonly string[]): void {
    if (!this.#entered) return;
    this.#out.write(`${ESC}[H${lines.map((line) => `${line}${ESC}[K`).join('\r\n')}${ESC}[J`);
  }

  close(): void {
    process.off('exit', this.#leave);
    process.off('SIGCONT', this.#resume);
    this.#out.off('resize', this.#resize);
    this.#restore();
    this.#keyboard?.destroy();
  }

  #enter(): void {
    if (this.#entered) return;
    this.#entered = true;
    this.#out.write(ENTER);
  }

  #restore(): void {
    if (!this.#entered) return;
    this.#entered = false;
    this.#out.write(LEAVE);
    try {
      this.#keyboard?.setRawMode(false);
    } catch {
      // a terminal that went away has no mode
    }
  }

  #typed(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: keys beyond letters come as sequences that begin with ESC
    for (const key of text.match(/\u001b\[[0-9;]*[A-Za-z~]|\u001bO[A-Z]|./gsu) ?? []) {
      // a raw terminal sends no signals, but the recorder at the other end of the pipe waits for them
      if (key === ETX) process.kill(0, 'SIGINT');
      else if (key === SUB) this.#suspend();
      else this.#events.key(key);
    }
  }

  #suspend(): void {
    this.#restore();
    process.kill(0, 'SIGTSTP');
  }
}
