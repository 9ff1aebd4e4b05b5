/** `trapline explain`: why entries failed, those whose dumps a log holds and those of a recorded run. */
import { statSync } from 'node:fs';
import { AnalysisError } from '../analyzer/errors.js';
import { readCpuid } from '../analyzer/explain/cpuid-file.js';
import type { DumpReport } from '../analyzer/explain/explain.js';
import { usedOf } from '../analyzer/explain/foreign.js';
import type { Bytes } from '../analyzer/explain/lines.js';
import { explain, LARGEST, type LogReport } from '../analyzer/explain/log.js';
import { readMsrs } from '../analyzer/explain/msr-file.js';
import { PRINTED_AS, type PrintedAs, printVmcs } from '../analyzer/explain/print.js';
import { type Processor, UNKNOWN, withCpuid } from '../analyzer/explain/processor.js';
import { PROCESSORS } from '../analyzer/explain/processors.js';
import type { RecordedReport } from '../analyzer/explain/recorded.js';
import { ImportError } from '../recorder/import/errors.js';
import { type ByteSource, memorySource, openSource } from '../recorder/import/source.js';
import { openTrace } from '../traces/open.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError, type Described, describeError, formatError } from './errors.js';
import { printReports, type Rest } from './explain-print.js';
import { explainImported, explainRecording, isImported, isRecording } from './explain-recording.js';
import { isOurs } from './feed.js';
import { readBounded } from './files.js';
import { openLog } from './stored-log.js';

/** Bytes of a file of MSRs or of CPUID; /proc/cpuinfo of a large host has a few MiB. */
const LARGEST_LIST = 16 << 20;

/** A processor by name; throws CliError BAD_VALUE. */
function processorOf(name: string): Processor {
  const known = PROCESSORS.get(name);
  if (known !== undefined) return known;
  throw new CliError('BAD_VALUE', `explain --cpu ${name}`, `known are ${[...PROCESSORS.keys()].join(', ')}`);
}

/** A file or standard input; throws AnalysisError LOG_TOO_LARGE. */
const read = (path: string): Buffer => readBounded(path, LARGEST, tooLarge);

const tooLarge = (path: string, says = `more than ${LARGEST / 2 ** 20} MiB`): AnalysisError =>
  new AnalysisError('LOG_TOO_LARGE', path, says);

/** What is said of a processor; such lists are short. */
const listOf = (path: string): string => readBounded(path, LARGEST_LIST).toString('utf8');

/** What one file gave. */
interface Found {
  readonly dumps: readonly (DumpReport & Partial<RecordedReport & LogReport> & { readonly file: string })[];
  readonly more: number;
  /** Of a log: the line at which those begin that are not told. */
  readonly from?: number | null;
}

/** One of several files that could not be explained, and why. */
interface Unexplained extends Described {
  readonly file: string;
}

/** The processor as the options name it: capabilities of a model or a list, and what CPUID says of the host. */
function chosenProcessor(call: Call): Processor {
  const capable = capableProcessor(call);
  const cpuid = call.value('cpuid');
  return cpuid === null ? capable : withCpuid(capable, readCpuid(listOf(cpuid), cpuid));
}

function capableProcessor(call: Call): Processor {
  const model = call.value('cpu');
  const msrs = call.value('msrs');
  if (model !== null && msrs !== null) {
    const why = 'both say what the processor can do';
    throw new CliError('BAD_VALUE', 'explain --cpu and --msrs', why, 'give one of them');
  }
  if (msrs !== null) return readMsrs(listOf(msrs), msrs);
  return model === null ? UNKNOWN : processorOf(model);
}

function formatOf(call: Call): PrintedAs | null {
  const name = call.value('as');
  if (name === null) return null;
  const known = PRINTED_AS.find((one) => one === name);
  if (known === undefined)
    throw new CliError('BAD_VALUE', `explain --as ${name}`, `known are ${PRINTED_AS.join(', ')}`);
  return known;
}

const eventOf = (call: Call): number | null => call.integer('event', 0, Number.MAX_SAFE_INTEGER);

/** Options that say where in a file to look, and what has no such place. */
function refusePlaces(call: Call, file: string, option: string, why: string): void {
  if (call.value(option) !== null) throw new CliError('BAD_VALUE', `explain --${option} with ${file}`, why);
}

/** What replays runs; the machine is loaded for those only. */
const loadRecorded = (): Promise<typeof import('../analyzer/explain/recorded.js')> =>
  import('../analyzer/explain/recorded.js');

async function explainFile(call: Call, file: string, processor: Processor): Promise<Found> {
  if (isOurs(file)) return explainTrace(call, file);
  refusePlaces(call, file, 'event', 'it is no trace, and has no events');
  const name = file === '-' ? 'standard input' : file;
  if (file !== '-' && statSync(file).size > LARGEST) return explainLarge(call, file);
  const log = file === '-' ? null : openLog(file);
  try {
    const bytes = log ?? read(file);
    const source = (): ByteSource => (bytes instanceof Uint8Array ? memorySource(bytes, name) : openSource(file));
    if (isRecording(bytes)) return explainRecording(call, name, source());
    try {
      return explainLog(call, bytes, file, name, processor);
    } catch (error) {
      if (!(error instanceof AnalysisError) || error.code !== 'NO_DUMP' || fromOf(call) !== null) throw error;
      return elseRecording(error, () => explainRecording(call, name, source()));
    }
  } finally {
    log?.close();
  }
}

const fromOf = (call: Call): number | null => call.integer('from', 1, Number.MAX_SAFE_INTEGER);

function explainLog(call: Call, bytes: Bytes, file: string, name: string, processor: Processor): Found {
  const progress = call.out.progress('explaining');
  try {
    const { dumps, more, from } = explain(bytes, name, {
      processor,
      from: fromOf(call) ?? 1,
      each: call.flag('all'),
      progress: (line) => progress.update(line, 0),
    });
    return { dumps: dumps.map((dump) => ({ file, ...dump })), more, from };
  } finally {
    progress.end();
  }
}

/** A file that is too large for a log may be a recording. */
const explainLarge = (call: Call, file: string): Found =>
  elseRecording(tooLarge(file), () => explainRecording(call, file));

/** What is no log is a recording, or nothing that can be explained. */
function elseRecording(noLog: AnalysisError, recording: () => Found): Found {
  try {
    return recording();
  } catch (error) {
    throw error instanceof ImportError ? noLog : error;
  }
}

async function explainTrace(call: Call, file: string): Promise<Found> {
  refusePlaces(call, file, 'from', 'it is a trace, and has no lines: give --event');
  const { explainRecorded } = await loadRecorded();
  const reader = openTrace(file);
  if (eventOf(call) === null && isImported(reader)) {
    reader.close();
    return explainImported(call, file);
  }
  const progress = call.out.progress('replaying');
  try {
    const { dumps, more } = explainRecorded(reader, eventOf(call), (tick, end) => progress.update(tick, end));
    return { dumps: dumps.map((dump) => ({ file, ...dump })), more };
  } finally {
    progress.end();
    reader.close();
  }
}

/** Prints the VMCS of each failed entry, or as of one event. */
async function printFile(call: Call, file: string, as: PrintedAs): Promise<Found> {
  if (!isOurs(file)) throw new CliError('BAD_VALUE', `explain --as with ${file}`, 'it is no trace of ours');
  const { vmcsOfEvents } = await loadRecorded();
  const reader = openTrace(file);
  try {
    for (const { vmcs, error } of vmcsOfEvents(reader, eventOf(call))) {
      for (const line of printVmcs(as, vmcs, error)) call.out.line(line);
    }
    return { dumps: [], more: 0 };
  } finally {
    reader.close();
  }
}

/** Something failed or will fail, or lines are lost that may say so. */
const isWrong = ({ format, violated, outcome, damage }: DumpReport): boolean =>
  (format === 'report' && outcome.kind !== 'exit') ||
  violated.length > 0 ||
  outcome.failed === true ||
  damage.length > 0;

export const command: Command = {
  arguments: [
    {
      name: 'FILE',
      says: 'a kernel, Xen or QEMU log, a mail, anything with a dump in it, a trace of a run, or a recording of another tool; - is standard input',
      repeats: true,
    },
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
    {
      name: 'cpuid',
      value: 'FILE',
      says: 'widths and features of the host: its /proc/cpuinfo, or what cpuid -1 -r or kcpuid -r prints; also beside --cpu or --msrs',
    },
    { name: 'event', value: 'SEQ', says: 'of a trace: explain the VMCS as of this event (every entry that failed)' },
    { name: 'from', value: 'LINE', says: 'of a log: tell the dumps that begin at this line or later' },
    { name: 'as', value: 'FORMAT', says: `of a trace: print the VMCS itself, as ${PRINTED_AS.join(', ')} would` },
    {
      name: 'all',
      says: 'list undecidable checks one by one, every value decoded, and dumps that differ in any value apart',
    },
    JSON_OPTION,
  ],
  details: [
    'Finds every dump: of KVM (dump_vmcs, dump_vmcb) and Xen (on Intel and AMD), registers of QEMU, and bare VM-instruction errors. Each ' +
      'check of the manual holds, is violated, or cannot be decided, and then it is said what that would take. The ' +
      'manual orders stages, not the checks in them: all violated ones are reported, never which the processor met first.',
    'Dumps of a log with the same outcome, which break the same rules with the same values, are told once: the first of ' +
      'them whole, with how many there are and where the last is; with --all only those that agree in every value. After ' +
      '100 kinds further dumps are counted, and it is said from which line on to see them.',
    'Of a trace that trapline record wrote, every VM entry that failed is explained, each kind once: the run is made ' +
      'again to have the VMCS as of that event, whole, and the last VMWRITE of each field in question is named.',
    'Of what trace-cmd, perf or tracefs recorded, every kind of failed entry is named, with its reason, or with the rule ' +
      'by which KVM refused a nested one, or as KVM_EXIT_FAIL_ENTRY tells it; the state itself is in no recording.',
    'Dumps are held against each other before any is told, so that the input must end; of one that has no end take a ' +
      'part: `timeout 60 cat /sys/kernel/tracing/trace_pipe | trapline explain -`.',
    'The exit code is 0 where nothing is violated, 1 where a check is violated, an entry or a VMX instruction failed, or a dump is ' +
      'damaged or not whole, 2 where no dump was found. Of several files, those that can be are explained; each that cannot ' +
      'is told in a line on standard error and makes the exit code 2.',
  ],
  json: {
    processor:
      'whose capabilities were given and held against a dump: a model, a file or both; unknown where none were',
    dumps: 'one object a kind of failure (of dumps with --all), in the order of files and their lines, with these keys',
    file: 'where it was found',
    format:
      'kvm-vmcs, xen-vmcs, kvm-vmcb, xen-vmcb, xen-check, qemu, report, vmcs (of a trace), or recording (of another tool)',
    title: 'the format in words',
    isa: 'vmx, svm or null',
    first: 'first line of the dump, from 1, or the event of a trace',
    last: 'its last line',
    outcome: '{ kind, failed, reason, qualification, error, says, passed }: what the dump says that happened',
    verdict: 'violated, suspect, optional, undecidable, damaged or valid',
    sentence: 'what is wrong, in one sentence',
    violated:
      'checks: { id, stage, says, cites, values, permits, detail, causes, missing, assumes, optional }; values are { field, ' +
      'value, line }, missing { kind, name }',
    suspects: 'checks that are violated on some processors and would explain the failure; the same keys',
    undecidable: 'other checks that the dump cannot decide; the same keys',
    holds: 'number of checks that hold',
    damage:
      '{ kind, line, what, says }: cut, garbled, mixed, conflicting, spliced or missing lines, or messages dropped amid them',
    traps:
      'capabilities that were given and are not those of the host; what looks wrong here and is not, or the reverse',
    next: 'likely causes, and what to look at',
    against: 'of these, what the dump was held against; of a trace, its own processor',
    decoded: '{ field, value, line, says }: values bit by bit',
    event: 'of a trace: seq of the event',
    tick: 'of a trace: machine time of the event',
    times: 'how many dumps or failed entries of this kind there are, this one included',
    latest: '{ first, last } of a log: lines of the last dump of this kind',
    identical: 'of a log: dumps of this kind agree in every value',
    writes: 'of a trace: { field, seq, tick, rip, value }: the last VMWRITE of each field of violated checks',
    more: 'of a trace: kinds of failure beyond those that are told; of a log: dumps of further kinds',
    rest: '{ file, more, from }: where more is not 0, in which file, and from which line of a log on (--from)',
    unexplained:
      '{ file, code, what, where, why, advice }: of several files those that could not be explained; the exit code is then 2',
  },
  examples: [
    { line: 'dmesg | trapline explain -', says: 'why the last entry failed on this host' },
    { line: 'trapline explain run.sqlite', says: 'every entry that failed in a recorded run, and who wrote the field' },
    {
      line: 'trapline explain run.sqlite --event 412 --as kvm',
      says: 'the VMCS as of an event, as dump_vmcs prints it',
    },
    { line: 'trapline explain qemu.log --msrs host.msrs', says: 'with the capability MSRs of the host' },
    { line: 'dmesg | trapline explain - --cpuid /proc/cpuinfo', says: 'with the address widths of this host' },
  ],
  async run(call) {
    const files = call.args;
    const as = formatOf(call);
    const processor = chosenProcessor(call);
    const found: (Found | null)[] = [];
    const unexplained: Unexplained[] = [];
    for (const file of files) {
      try {
        found.push(await (as === null ? explainFile(call, file, processor) : printFile(call, file, as)));
      } catch (error) {
        // Of several files, those that can be read are explained.
        const described = files.length > 1 ? describeError(error) : null;
        if (described === null) throw error;
        call.out.note(formatError(described));
        found.push(null);
        unexplained.push({ file, ...described });
      }
    }
    const reports = found.flatMap((one) => one?.dumps ?? []);
    const rest = found.flatMap((one, i): Rest[] =>
      one === null || one.more === 0 ? [] : [{ file: files[i] ?? '', more: one.more, from: one.from ?? null }],
    );
    const more = rest.reduce((sum, one) => sum + one.more, 0);
    const used = usedOf(processor, reports);
    if (as === null && call.flag('json')) call.out.json({ processor: used, dumps: reports, more, rest, unexplained });
    else if (as === null)
      printReports(call.out, used, reports, rest, { all: call.flag('all'), named: files.length > 1 });
    if (unexplained.length > 0) return EXIT.wrong;
    return reports.some(isWrong) ? EXIT.differs : EXIT.holds;
  },
};
