/**
 * `trapline demo`: the tour. Every step is a command line that anyone can type, printed before it runs, over traces
 * that stay in a folder afterwards.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inPackage } from '../traces/guests/guest.js';
import { openTrace } from '../traces/open.js';
import type { TraceReader } from '../traces/store.js';
import { type Command, type CommandEntry, EXIT, JSON_OPTION } from './command.js';
import { CliError } from './errors.js';
import { Output } from './output.js';
import { runProgram } from './program.js';

const DEFAULT_FOLDER = 'trapline-demo';
const DEFAULT_PORT = 8037;

interface Step {
  readonly says: string;
  readonly words: readonly string[];
  /** Exit code that the step must end with. */
  readonly exit: number;
}

const step = (says: string, words: readonly string[], exit: number = EXIT.holds): Step => ({ says, words, exit });

function stepsIn(folder: string): { readonly steps: readonly Step[]; readonly shown: readonly string[] } {
  const at = (name: string): string => join(folder, name);
  const record = (guest: string, name: string, says: string, ...more: string[]): Step =>
    step(says, ['record', guest, ...more, '--replace', '-o', at(name)]);
  const verify = (name: string): Step =>
    step('Replay it, from the start and from every checkpoint', ['verify', at(name), '--every-checkpoint']);
  return {
    shown: [
      'hypervisor.sqlite',
      'more-cpuid.arrow',
      'failing.sqlite',
      'ymir.sqlite',
      'backdoor.sqlite',
      'kvm.arrow',
    ].map(at),
    steps: [
      record(
        'hypervisor',
        'hypervisor.sqlite',
        'Record a VMX hypervisor and every exit of its guest',
        '--checkpoint-every',
        '500000',
      ),
      verify('hypervisor.sqlite'),
      step('Where do its exits go?', ['profile', at('hypervisor.sqlite')]),
      record(
        'hypervisor',
        'more-cpuid.arrow',
        'Record it again, with five CPUID more',
        '--set',
        'cpuid=15',
        '--checkpoint-every',
        '500000',
      ),
      verify('more-cpuid.arrow'),
      step(
        'What changed between the two runs?',
        ['diff', at('hypervisor.sqlite'), at('more-cpuid.arrow')],
        EXIT.differs,
      ),
      record('hypervisor', 'failing.sqlite', 'Record one whose VM entry fails', '--set', 'fail=blocking'),
      verify('failing.sqlite'),
      step('Why did that VM entry fail?', ['explain', at('failing.sqlite')], EXIT.differs),
      record('ymir-hello', 'ymir.sqlite', 'Record a guest that calls the hypervisor ymir'),
      verify('ymir.sqlite'),
      record('backdoor', 'backdoor.sqlite', "Record a guest that talks over VMware's Backdoor"),
      verify('backdoor.sqlite'),
      record('echo', 'echo.sqlite', 'Record a guest with inputs from outside'),
      verify('echo.sqlite'),
      step('Import what Linux KVM recorded on a real kernel', [
        'import',
        inPackage('traces', 'samples', 'kvm-vmx-basic.txt'),
        '--replace',
        '-o',
        at('kvm.arrow'),
      ]),
    ],
  };
}

/** The commands of the tour: a table of its own, since the table of all commands names the demo. */
const TOUR: readonly CommandEntry[] = [
  { name: 'record', summary: '', load: () => import('./record.js') },
  { name: 'verify', summary: '', load: () => import('./verify.js') },
  { name: 'profile', summary: '', load: () => import('./profile.js') },
  { name: 'diff', summary: '', load: () => import('./diff.js') },
  { name: 'explain', summary: '', load: () => import('./explain.js') },
  { name: 'import', summary: '', load: () => import('./import.js') },
];

/** Runs the steps; with `json`, what they print is left out. */
async function runSteps(out: Output, steps: readonly Step[], json: boolean): Promise<void> {
  const silent = new Output({ write() {} }, { write() {} }, {});
  for (const [i, { says, words, exit }] of steps.entries()) {
    if (!json) {
      out.line();
      out.title(`[${i + 1}/${steps.length}] ${says}`);
      out.line(out.paint('dim', `$ trapline ${words.join(' ')}`));
    }
    const code = json ? await runProgram([...words, '--json'], silent, TOUR) : await runProgram(words, out, TOUR);
    if (code !== exit) throw new CliError('STEP_FAILED', `trapline ${words.join(' ')}`, `exit code ${code}`);
  }
}

export const command: Command = {
  arguments: [{ name: 'FOLDER', says: `where the traces go (${DEFAULT_FOLDER})`, optional: true }],
  options: [
    { name: 'no-serve', says: 'end when the traces are made' },
    { name: 'port', value: 'PORT', says: `port of the page on 127.0.0.1; 0 takes any that is free (${DEFAULT_PORT})` },
    JSON_OPTION,
  ],
  json: {
    steps: '{ says, command, exit }: what was run, in order, and its exit code',
    traces: 'the traces that were made',
    url: 'where the page is, once it can be opened; null with --no-serve',
  },
  async run(call) {
    const folder = call.args[0] ?? DEFAULT_FOLDER;
    const port = call.integer('port', 0, 65_535) ?? DEFAULT_PORT;
    const json = call.flag('json');
    mkdirSync(folder, { recursive: true });
    const { steps, shown } = stepsIn(folder);
    await runSteps(call.out, steps, json);
    const told = steps.map(({ says, words, exit }) => ({ says, command: `trapline ${words.join(' ')}`, exit }));
    const tell = (url: string | null, sentence: string): void => {
      if (json) call.out.json({ steps: told, traces: shown, url });
      else call.out.line(sentence);
    };
    if (!json) call.out.line();
    if (call.flag('no-serve')) {
      tell(null, `The traces are in ${folder}: see them with trapline serve ${shown.join(' ')}`);
      return EXIT.holds;
    }
    const { serveUntilInterrupted } = await import('./serve.js');
    const traces: TraceReader[] = [];
    try {
      for (const path of shown) traces.push(openTrace(path));
      const report = (line: string): void => call.out.note(line);
      await serveUntilInterrupted({ traces, port, report }, (url) =>
        tell(url, `${call.out.paint('bold', `The timeline: ${url}`)} (Ctrl-C ends)`),
      );
      return EXIT.holds;
    } finally {
      for (const trace of traces) trace.close();
    }
  },
};
