/** Runs a request to its end on a terminal: console, interrupts, progress; for `record`, `run` and `demo`. */
import type { Stop } from '../engine/machine.js';
import { type Runner, runSession } from '../recorder/run/session.js';
import type { Call, Option } from './command.js';
import { type Console, socketConsole, terminalConsole } from './console.js';
import type { Output } from './output.js';
import type { RunRequest } from './run-options.js';

export const CONSOLE_OPTIONS: readonly Option[] = [
  { name: 'interactive', short: 'i', says: "connect the guest's COM1 to this terminal (Ctrl-] ends the run)" },
  { name: 'socket', value: 'PATH', says: "connect the guest's COM1 to a Unix socket that clients connect to" },
];

/** The console that a call asks for; null where it asks for none. */
export async function openConsole(call: Call): Promise<Console | null> {
  const path = call.value('socket');
  if (path !== null) return socketConsole(path);
  return call.flag('interactive') ? terminalConsole(process.stdin, process.stdout) : null;
}

/** Output of the guest: to the console if there is one, else to `plain`. */
export function outputTo(console: Console | null, plain: (bytes: Uint8Array) => void) {
  return (port: string, bytes: Uint8Array): void => {
    if (port !== 'com1') return;
    if (console) console.write(bytes);
    else plain(bytes);
  };
}

/** Answers what ended the run. An interrupt (SIGINT, SIGTERM, Ctrl-]) ends it in order. */
export async function drive(
  runner: Runner,
  request: RunRequest,
  console: Console | null,
  out: Output,
  label: string,
): Promise<Exclude<Stop, 'checkpoint'>> {
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const progress = out.progress(label);
  try {
    return await runSession(runner, {
      budget: request.budget,
      inputs: request.inputs,
      console,
      progress: (tick) => {
        if (!console) progress.update(tick, request.budget);
      },
      interrupted: () => interrupted || console?.interrupted === true,
      refused: ({ port, tick }) => out.note(`input at tick ${tick} left out: the machine has no port "${port}"`),
    });
  } finally {
    progress.end();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    console?.close();
  }
}
