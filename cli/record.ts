/** `trapline record`: runs a guest and writes everything it does into a trace. */
import { Recording } from '../recorder/run/recording.js';
import { createTrace } from '../traces/open.js';
import type { TraceWriter } from '../traces/store.js';
import { type Command, EXIT, JSON_OPTION, OUTPUT_OPTION, REPLACE_OPTION } from './command.js';
import { stdoutReader } from './pipe.js';
import { sayPlaced } from './placed.js';
import { CONSOLE_OPTIONS, KINDS_OPTION, MEMORY_OPTION, parseMemory, RUN_OPTIONS, runRequest } from './run-options.js';
import { drive, guestOutput, OUTCOME_JSON, openConsole, sayOutcome } from './session.js';
import { formatCount, formatDigest } from './table.js';

export const command: Command = {
  arguments: [{ name: 'GUEST', says: 'a guest program (see trapline guests), or the path of an image' }],
  options: [
    OUTPUT_OPTION,
    REPLACE_OPTION,
    ...RUN_OPTIONS,
    MEMORY_OPTION,
    KINDS_OPTION,
    ...CONSOLE_OPTIONS,
    JSON_OPTION,
  ],
  details: [
    'The trace holds the image, the configuration and every input, so that it replays from its own file alone, on any ' +
      'machine. What the guest prints on COM1 goes to stdout.',
    'Ctrl-C ends the recording in order. A killed one keeps all but its last chunk.',
  ],
  json: { path: 'the trace that was written', ...OUTCOME_JSON, digest: 'logical digest of the trace' },
  examples: [
    { line: 'trapline record hypervisor -o run.sqlite', says: 'a VMX hypervisor and all exits of its guest' },
    { line: 'trapline record hypervisor --set cpuid=1000 --memory all -o run.arrow', says: 'with every memory access' },
    { line: 'trapline record echo -i -o echo.sqlite', says: 'type to the guest, q ends it; replay types the same' },
  ],
  async run(call) {
    const path = call.needed('output');
    const request = runRequest(call);
    const memory = parseMemory(call, call.value('memory') ?? 'off');
    // What counts is the trace: what the guest prints may go unread.
    stdoutReader.optional = true;
    const console = await openConsole(call);
    let writer: TraceWriter | null = null;
    let recording: Recording;
    try {
      const create = (): TraceWriter => {
        writer = createTrace(path, { replace: call.flag('replace') });
        return writer;
      };
      recording = new Recording(create, { ...request, memory, onOutput: guestOutput(call, console) });
    } catch (error) {
      (writer as TraceWriter | null)?.abandon();
      console?.close();
      throw error;
    }
    const end = await drive(recording, request, console, call.out, 'recording');
    const { outcome, digest } = recording.finish(end);
    if (call.flag('json')) call.out.json({ path, ...outcome, digest });
    else {
      call.out.note(sayOutcome(outcome));
      call.out.note(`${path}: ${formatCount(outcome.events, 'event')}, digest ${formatDigest(digest)}`);
    }
    sayPlaced(call.out, path, path);
    return EXIT.holds;
  },
};
