/** `trapline record`: runs a guest and writes everything it does into a trace. */
import { type Outcome, Recording } from '../recorder/run/recording.js';
import { createTrace } from '../traces/open.js';
import type { TraceWriter } from '../traces/store.js';
import { type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { MEMORY_OPTION, parseMemory, RUN_OPTIONS, runRequest } from './run-options.js';
import { CONSOLE_OPTIONS, drive, openConsole, outputTo } from './session.js';

const count = (value: number): string => value.toLocaleString('en-US');

/** How a run ended, in a sentence for people. */
export function sayOutcome({ kind, code, ticks }: Pick<Outcome, 'kind' | 'code' | 'ticks'>): string {
  const at = `after ${count(ticks)} ticks`;
  switch (kind) {
    case 'exit':
      return `the guest exited with code ${code} ${at}`;
    case 'halt':
      return `the guest halted ${at}: it waits for an interrupt that no device will raise`;
    case 'shutdown':
      return `the guest shut down ${at}: a triple fault`;
    case 'budget':
      return `stopped ${at}: the budget is used up (see --budget)`;
    default:
      return `stopped ${at}`;
  }
}

export const command: Command = {
  arguments: [{ name: 'GUEST', says: 'a guest program (see trapline guests), or the path of an image' }],
  options: [OUTPUT_OPTION, REPLACE_OPTION, ...RUN_OPTIONS, MEMORY_OPTION, ...CONSOLE_OPTIONS, JSON_OPTION],
  details: [
    'The trace holds the image, the configuration and every input, so that it replays from its own file alone, on any ' +
      'machine. What the guest prints on COM1 goes to stdout.',
  ],
  examples: [
    { line: 'trapline record hypervisor -o run.sqlite', says: 'a VMX hypervisor and all exits of its guest' },
    { line: 'trapline record hypervisor --set cpuid=1000 --memory all -o run.arrow', says: 'with every memory access' },
    { line: 'trapline record echo -i -o echo.sqlite', says: 'type to the guest; replay types the same' },
  ],
  async run(call) {
    const request = { ...runRequest(call), memory: parseMemory(call.value('memory') ?? 'off') };
    const path = call.needed('output');
    const json = call.flag('json');
    const writer: TraceWriter = createTrace(path, { replace: call.flag('replace') });
    let recording: Recording;
    const console = await openConsole(call).catch((error: unknown) => {
      writer.abandon();
      throw error;
    });
    try {
      recording = new Recording(writer, {
        ...request,
        onOutput: outputTo(console, (bytes) => {
          if (!json) process.stdout.write(bytes);
        }),
      });
    } catch (error) {
      writer.abandon();
      console?.close();
      throw error;
    }
    const stop = await drive(recording, request, console, call.out, 'recording');
    const { outcome, digest } = recording.finish(stop);
    if (json) call.out.json({ path, ...outcome, digest });
    else {
      call.out.note(sayOutcome(outcome));
      call.out.note(`${path}: ${count(outcome.events)} events, digest ${digest}`);
    }
    return EXIT.holds;
  },
};
