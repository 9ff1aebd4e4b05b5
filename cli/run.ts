/** `trapline run`: runs a guest without a trace. */
import { PlainRun } from '../recorder/run/session.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { sayOutcome } from './record.js';
import { RUN_OPTIONS, runRequest } from './run-options.js';
import { CONSOLE_OPTIONS, drive, openConsole, outputTo } from './session.js';

const KIND = { exit: 'exit', shutdown: 'shutdown', idle: 'halt', limit: 'budget' } as const;

export const command: Command = {
  arguments: [{ name: 'GUEST', says: 'a guest program (see trapline guests), or the path of an image' }],
  options: [
    ...RUN_OPTIONS,
    ...CONSOLE_OPTIONS,
    { name: 'exit-code', says: "exit with the guest's own code" },
    JSON_OPTION,
  ],
  examples: [{ line: 'trapline run hypervisor --set cpuid=1000', says: 'see what it prints' }],
  async run(call) {
    const request = runRequest(call);
    const json = call.flag('json');
    const console = await openConsole(call);
    const output = outputTo(console, (bytes) => {
      if (!json) process.stdout.write(bytes);
    });
    const run = new PlainRun(request.configuration, request.image, request.imageName, output);
    const stop = await drive(run, request, console, call.out, 'running');
    const status = run.machine.exitStatus;
    const outcome = {
      kind: KIND[stop],
      code: status === null ? null : status >>> 1,
      ticks: run.machine.now,
      steps: run.machine.cpu.step,
    };
    if (json) call.out.json(outcome);
    else call.out.note(sayOutcome(outcome));
    return call.flag('exit-code') && outcome.code !== null ? outcome.code & 0xff : EXIT.holds;
  },
};
