/** The program as a shell runs it, in a process of its own, or, where that makes no difference, in this one. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { COMMANDS } from '../../cli/commands.js';
import { Output } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';

export const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

export interface Ran {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Looks at whether a program waits, one behind the other, and the milliseconds between them. */
const LOOKS = 5;
const LOOK = 50;

/** True where all threads of a process sleep; false where one ends while it is looked at. */
function sleeps(pid = 0): boolean {
  const folder = `/proc/${pid}/task`;
  try {
    return readdirSync(folder).every((thread) => {
      const stat = readFileSync(`${folder}/${thread}/stat`, 'latin1');
      return stat.charAt(stat.lastIndexOf(')') + 2) === 'S';
    });
  } catch {
    return false;
  }
}

/** A program that runs. Texts are Latin-1, so that every byte is a character. */
export class Running {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly #exit: Promise<unknown>;

  constructor(command: string, words: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(command, words, { stdio: 'pipe', ...options });
    this.child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      this.out += text;
    });
    this.child.stderr?.setEncoding('latin1').on('data', (text: string) => {
      this.err += text;
    });
    this.#exit = once(this.child, 'close');
  }

  type(text: string): void {
    this.child.stdin?.write(Buffer.from(text, 'latin1'));
  }

  /** Resolves once `holds` does; rejects where the program ends before. */
  async until(holds: (running: Running) => boolean): Promise<void> {
    while (!holds(this)) {
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode}: ${this.out}${this.err}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Resolves once it waits for something outside: all its threads sleep, look after look (proc_pid_stat(5)). */
  async idle(): Promise<void> {
    for (let looks = 0; looks < LOOKS; ) {
      await new Promise((resolve) => setTimeout(resolve, LOOK));
      looks = sleeps(this.child.pid) ? looks + 1 : 0;
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode}: ${this.out}${this.err}`);
    }
  }

  async ended(): Promise<Ran> {
    await this.#exit;
    return { code: this.child.exitCode, out: this.out, err: this.err };
  }
}

/** Starts `trapline`; its input stays open. */
export const start = (words: readonly string[], cwd: string): Running =>
  new Running(process.execPath, [MAIN, ...words], { cwd });

/** Runs `trapline` to its end. */
export function trapline(words: readonly string[], cwd: string, input = ''): Promise<Ran> {
  const running = start(words, cwd);
  running.child.stdin?.end(Buffer.from(input, 'latin1'));
  return running.ended();
}

/** Runs a command line in this process; for guests that print nothing, which would go to this process's stdout. */
export async function call(...words: readonly string[]): Promise<Ran> {
  const said = { out: '', err: '' };
  const sink = (name: 'out' | 'err') => ({
    write(text: string): void {
      said[name] += text;
    },
  });
  const code = await runProgram(words, new Output(sink('out'), sink('err'), {}), COMMANDS);
  return { code, ...said };
}
