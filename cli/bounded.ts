/**
 * Work that may never end, in a process of its own that can be ended: SQLite computes a statement in one call, which
 * nothing in this process could interrupt.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CliError } from './errors.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What a shell reports for a program that a signal ended, beyond the signal's number. */
const BY_SIGNAL = 128;
const NUMBERS: { readonly [signal: string]: number } = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

/**
 * Runs trapline with these words, writing where this process writes, for `seconds` at the most; returns its exit code. A
 * signal that ends this process ends it too. Throws CliError TIMED_OUT.
 */
export function runBounded(words: readonly string[], seconds: number, where: string): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, MAIN, ...words], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, 1000 * seconds);
    const passOn = (signal: NodeJS.Signals): void => {
      child.kill('SIGKILL');
      done();
      process.kill(process.pid, signal); // as if nobody had waited for it
    };
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of SIGNALS) process.off(signal, passOn);
    };
    for (const signal of SIGNALS) process.on(signal, passOn);
    child.on('error', (error) => {
      done();
      reject(error);
    });
    child.on('exit', (code, signal) => {
      done();
      if (timedOut) reject(new CliError('TIMED_OUT', where, `no end after ${seconds} s`));
      else resolve(code ?? BY_SIGNAL + (NUMBERS[signal ?? ''] ?? 0));
    });
  });
}
