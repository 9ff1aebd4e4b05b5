/** Runs a request to its end on a terminal: console, interrupts, progress; for `record` and `run`. */
import type { EndKind } from '../engine/drive.js';
import type { Stop } from '../engine/machine.js';
import type { Outcome } from '../recorder/run/recording.js';
import { type Runner, runSession } from '../recorder/run/session.js';
import type { Call } from './command.js';
import { type Console, socketConsole, terminalConsole } from './console.js';
import { CliError } from './errors.js';
import type { Output } from './output.js';
import { DEFAULT_BUDGET, type RunRequest } from './run-options.js';
import { formatCount, formatNumber } from './table.js';

/** Keys of `--json` that say how a run ended. */
export const OUTCOME_JSON = {
  kind: 'exit, halt, shutdown (a triple fault), budget, or stopped (by an interrupt)',
  code: "the guest's exit code; null unless it exited",
  ticks: 'machine time at the end',
  steps: 'retired instructions',
  events: 'events of the run',
} as const;

/** The console that a call asks for; null where it asks for none. With `--json`, stdout is the document's alone. */
export async function openConsole(call: Call): Promise<Console | null> {
  const path = call.value('socket');
  if (path !== null && call.flag('interactive')) {
    throw new CliError(
      'BAD_VALUE',
      `--socket ${path}`,
      'COM1 is connected to the terminal or to a socket, not to both',
    );
  }
  if (path !== null) {
    const console = await socketConsole(path);
    call.out.note(`the guest's console is at ${path}: socat - UNIX-CONNECT:${path}`);
    return console;
  }
  if (!call.flag('interactive')) return null;
  if (process.stdin.isTTY) call.out.note("this terminal is the guest's console; Ctrl-] ends the run");
  return terminalConsole(process.stdin, call.flag('json') ? process.stderr : process.stdout);
}

/** Where what the guest sends to COM1 goes: to the console if there is one, else to stdout. */
export function guestOutput(call: Call, console: Console | null): (port: string, bytes: Uint8Array) => void {
  const silent = call.flag('json');
  return (port, bytes) => {
    if (port !== 'com1') return;
    if (console) console.write(bytes);
    else if (!silent) process.stdout.write(bytes);
  };
}

/** How a run ended, in a sentence for people. */
export function sayOutcome({ kind, code, ticks }: Outcome): string {
  const at = `after ${formatCount(ticks, 'tick')}`;
  const sentences: { readonly [kind in EndKind]: string } = {
    exit: `the guest exited with code ${code} ${at}`,
    halt: `the guest halted ${at}: it waits for an interrupt that no device will raise`,
    shutdown: `the guest shut down ${at}: a triple fault`,
    budget: `stopped ${at}: the budget is used up (see --budget)`,
    stopped: `stopped ${at}: interrupted`,
  };
  return sentences[kind];
}

const REFUSED = {
  port: 'the machine takes none there',
  end: 'the run ended before',
} as const;

/** Answers what ended the run. An interrupt (SIGINT, SIGTERM, Ctrl-]) ends it in order; a second one kills. */
export async function drive(
  runner: Runner,
  { budget, inputs }: Pick<RunRequest, 'budget' | 'inputs'>,
  console: Console | null,
  out: Output,
  label: string,
): Promise<Exclude<Stop, 'checkpoint'> | 'stopped'> {
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
    console?.wake();
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const progress = out.progress(label);
  try {
    return await runSession(runner, {
      budget,
      alone: DEFAULT_BUDGET,
      inputs,
      console,
      progress: (tick) => {
        if (!console) progress.update(tick, budget);
      },
      interrupted: () => interrupted || console?.interrupted === true,
      refused: ({ port, tick }, why) =>
        out.note(`input at tick ${formatNumber(tick)} to "${port}" left out: ${REFUSED[why]}`),
    });
  } finally {
    progress.end();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    console?.close();
  }
}
