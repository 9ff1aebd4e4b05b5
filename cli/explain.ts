/** `trapline explain`: why the entries failed whose dumps a log holds. */
import { readFileSync, statSync } from 'node:fs';
import { AnalysisError } from '../analyzer/errors.js';
import { explain, LARGEST } from '../analyzer/explain/explain.js';
import { readMsrs } from '../analyzer/explain/msr-file.js';
import { type Processor, UNKNOWN } from '../analyzer/explain/processor.js';
import { PROCESSORS } from '../analyzer/explain/processors.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError } from './errors.js';
import { printExplanation } from './explain-print.js';

/** A processor by name; throws CliError BAD_VALUE. */
function processorOf(name: string): Processor {
  const known = PROCESSORS.get(name);
  if (known !== undefined) return known;
  throw new CliError('BAD_VALUE', `explain --cpu ${name}`, `known are ${[...PROCESSORS.keys()].join(', ')}`);
}

/** A text file or standard input; throws AnalysisError LOG_TOO_LARGE. */
function read(path: string): string {
  const from = path === '-' ? 0 : path;
  const { size } = path === '-' ? { size: 0 } : statSync(path);
  const bytes = size > LARGEST ? null : readFileSync(from);
  if (bytes === null || bytes.length > LARGEST)
    throw new AnalysisError('LOG_TOO_LARGE', path, `more than ${LARGEST / 2 ** 20} MiB`);
  return bytes.toString('utf8');
}

export const command: Command = {
  arguments: [
    { name: 'FILE', says: 'a kernel, Xen or QEMU log, a mail, anything with a dump in it; - is standard input' },
  ],
  options: [
    {
      name: 'cpu',
      value: 'MODEL',
      says: `the processor, for what depends on its capabilities: ${[...PROCESSORS.keys()].join(', ')}`,
    },
    {
      name: 'msrs',
      value: 'FILE',
      says: 'capability MSRs of the host: a line "NUMBER VALUE" each (rdmsr 0x480 to 0x493)',
    },
    { name: 'all', says: 'list undecidable checks one by one, and every value decoded' },
    JSON_OPTION,
  ],
  details: [
    'Finds every dump: of KVM (dump_vmcs, dump_vmcb) and Xen, registers of QEMU, and bare VM-instruction errors. Each ' +
      'check of the manual holds, is violated, or cannot be decided, and then it is said what that would take. The ' +
      'manual orders stages, not the checks in them: all violated ones are reported, never which the processor met first.',
    'The exit code is 0 where nothing is violated, 1 where a check is violated or an entry failed, 2 where no dump was ' +
      'found.',
  ],
  json: {
    processor: 'whose capabilities were used; unknown where none were given',
    dumps: 'one object a dump, in the order of their first lines, with these keys',
    format: 'kvm-vmcs, xen-vmcs, kvm-vmcb, qemu or report',
    title: 'the format in words',
    isa: 'vmx, svm or null',
    first: 'first line of the dump, from 1; last: its last',
    outcome: '{ kind, failed, reason, qualification, error, says, passed }: what the dump says that happened',
    verdict: 'violated, suspect, optional, undecidable, damaged or valid',
    sentence: 'what is wrong, in one sentence',
    violated:
      'checks: { id, stage, says, cites, values, permits, detail, causes, missing, assumes, optional }; values are { field, ' +
      'value, line }, missing { kind, name }',
    suspects: 'checks that are violated on some processors and would explain the failure; the same keys',
    undecidable: 'other checks that the dump cannot decide; the same keys',
    holds: 'number of checks that hold',
    damage: '{ kind, line, what, says }: cut, garbled, conflicting, spliced or missing lines',
    traps: 'what looks wrong here and is not, or the reverse',
    next: 'likely causes, and what to look at',
    decoded: '{ field, value, line, says }: values bit by bit',
  },
  examples: [
    { line: 'dmesg | trapline explain -', says: 'why the last entry failed on this host' },
    { line: 'trapline explain qemu.log --msrs host.msrs', says: 'with the capability MSRs of the host' },
  ],
  run(call) {
    const [path = ''] = call.args;
    const model = call.value('cpu');
    const msrs = call.value('msrs');
    if (model !== null && msrs !== null)
      throw new CliError(
        'BAD_VALUE',
        'explain --cpu and --msrs',
        'both say what the processor can do',
        'give one of them',
      );
    const processor = msrs !== null ? readMsrs(read(msrs), msrs) : model !== null ? processorOf(model) : UNKNOWN;
    const explanation = explain(read(path), path === '-' ? 'standard input' : path, processor);
    if (call.flag('json')) call.out.json(explanation);
    else printExplanation(call.out, explanation, call.flag('all'));
    const wrong = explanation.dumps.some(({ violated, outcome }) => violated.length > 0 || outcome.failed === true);
    return wrong ? EXIT.differs : EXIT.holds;
  },
};
