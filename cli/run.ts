/** `trapline run`: runs a guest without a trace. */
import { outcomeOf } from '../recorder/run/recording.js';
import { PlainRun } from '../recorder/run/session.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { CONSOLE_OPTIONS, RUN_OPTIONS, runRequest } from './run-options.js';
import { drive, guestOutput, OUTCOME_JSON, openConsole, sayOutcome } from './session.js';

export const command: Command = {
  arguments: [{ name: 'GUEST', says: 'a guest program (see trapline guests), or the path of an image' }],
  options: [
    ...RUN_OPTIONS,
    ...CONSOLE_OPTIONS,
    { name: 'exit-code', says: "exit with the guest's own code, modulo 256; 1 where it ended without one" },
    JSON_OPTION,
  ],
  json: OUTCOME_JSON,
  examples: [
    { line: 'trapline run hypervisor --set cpuid=1000', says: 'see what it prints' },
    { line: 'trapline run ./kernel.elf --ram 256 --exit-code', says: 'a test of your own kernel, in CI' },
  ],
  async run(call) {
    const { configuration, image, imageName, ...request } = runRequest(call);
    const console = await openConsole(call);
    let run: PlainRun;
    try {
      run = new PlainRun(configuration, image, imageName, guestOutput(call, console));
    } catch (error) {
      console?.close();
      throw error;
    }
    const end = await drive(run, request, console, call.out, 'running');
    const outcome = outcomeOf(run.machine, end);
    if (call.flag('json')) call.out.json(outcome);
    else call.out.note(sayOutcome(outcome));
    if (!call.flag('exit-code')) return EXIT.holds;
    return outcome.code === null ? EXIT.differs : outcome.code & 0xff;
  },
};
