/** `trapline profile`: where the exits go. Takes our traces, and foreign ones without storing them. */
import { foldedLine, stacksOf } from '../analyzer/export/folded.js';
import { IndexBeside } from '../analyzer/profile/beside.js';
import {
  type BreakdownRow,
  breakdownOf,
  DIMENSIONS,
  type DimensionName,
  labelText,
} from '../analyzer/profile/breakdown.js';
import { type CountedEvent, type ExitIndex, ExitIndexBuilder, onlyLanes } from '../analyzer/profile/exit-index.js';
import { vcpuNumber } from '../analyzer/profile/lane-names.js';
import { type NestedProfile, NestedProfiler } from '../analyzer/profile/nested.js';
import { type Profile, type ProfileRow, profileOf, type Times } from '../analyzer/profile/profile.js';
import { PROFILE_READING } from '../analyzer/profile/walk.js';
import type { Symbols } from '../analyzer/symbols/symbols.js';
import { openTrace } from '../traces/open.js';
import type { Chunk } from '../traces/store.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError } from './errors.js';
import { type Fed, fedBy, feed, isOurs, printOrigin } from './feed.js';
import type { Output } from './output.js';
import {
  type Counting,
  printBreakdown,
  printHead,
  printHistograms,
  printNested,
  printNoNested,
  printRips,
  printRows,
  printSpent,
  unitName,
} from './profile-print.js';
import { openSymbols, SYMBOLS_DETAILS, SYMBOLS_OPTION } from './symbols.js';
import { formatNumber } from './table.js';

const DEFAULT_KEYS = 5;
const DEFAULT_RIPS = 10;
const DEFAULT_ROWS = 100;

interface Counted extends Counting {
  readonly by: readonly DimensionName[];
  /** Said where none has a time, and what lacks it is not counted. */
  readonly untimed?: string;
}

/** What is counted, and how it is called. */
const EVENTS: { readonly [event in CountedEvent]: Counted } = {
  vmexit: {
    noun: ['exit', 'exits'],
    spent: 'from exit to entry',
    span: 'from the exit to the next entry',
    by: [],
  },
  mmio: {
    noun: ['MMIO access', 'MMIO accesses'],
    spent: 'in them',
    span: 'to the entry (write), or from the exit (read)',
    untimed: 'No kvm_mmio has a time: a write counts with the kvm_entry behind it, a read with the kvm_exit before it',
    by: ['key'],
  },
  ioport: {
    noun: ['port access', 'port accesses'],
    spent: 'in them',
    span: 'to the next entry',
    untimed: 'No kvm_pio has a time: it counts with the kvm_entry behind it',
    by: ['key'],
  },
};

/** Orders of the rows; the most first, but names. */
interface Sortable {
  readonly name: string;
  readonly count: number;
  readonly times: Times | null;
}
const byTimes =
  (key: keyof Times) =>
  (a: Sortable, b: Sortable): number =>
    (b.times?.[key] ?? -1) - (a.times?.[key] ?? -1) || b.count - a.count;
const SORTS = {
  time: byTimes('total'),
  exits: (a, b) => b.count - a.count || (b.times?.total ?? 0) - (a.times?.total ?? 0),
  mean: byTimes('mean'),
  p99: byTimes('p99'),
  max: byTimes('max'),
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
} as const satisfies { readonly [name: string]: (a: Sortable, b: Sortable) => number };

/** Value of an option that is a key of a table. */
function choice<T extends string>(
  call: Call,
  option: string,
  known: { readonly [name in T]: unknown },
  fallback: T,
): T {
  return chosen(call, option, call.value(option) ?? fallback, known);
}

function chosen<T extends string>(
  call: Call,
  option: string,
  text: string,
  known: { readonly [name in T]: unknown },
): T {
  const names = Object.keys(known) as T[];
  const found = names.find((name) => name === text);
  if (found !== undefined) return found;
  throw new CliError('BAD_VALUE', `${call.command} --${option} ${text}`, `one of ${names.join(', ')} is meant`);
}

interface Wanted {
  readonly event: CountedEvent;
  readonly by: readonly DimensionName[];
  readonly lanes: boolean;
  readonly sort: keyof typeof SORTS;
  readonly keys: number;
  readonly rips: number;
  readonly most: number;
  readonly vcpu: number | null;
  readonly wide: boolean;
  readonly histograms: boolean;
  readonly symbols: Symbols | null;
}

function wantedBy(call: Call): Wanted {
  const event = choice(call, 'event', EVENTS, 'vmexit');
  const by = call.value('by');
  return {
    event,
    by: by === null ? EVENTS[event].by : by.split(',').map((name) => chosen(call, 'by', name.trim(), DIMENSIONS)),
    lanes: call.flag('by-lane'),
    sort: choice(call, 'sort', SORTS, 'time'),
    keys: call.integer('keys', 0, 1_000_000) ?? DEFAULT_KEYS,
    rips: call.integer('rips', 0, 1_000_000) ?? DEFAULT_RIPS,
    most: call.integer('rows', 1, 10_000_000) ?? DEFAULT_ROWS,
    vcpu: call.integer('vcpu', 0, 0xffff_ffff),
    wide: call.flag('wide'),
    histograms: call.flag('histogram'),
    symbols: openSymbols(call),
  };
}

const placeOf =
  ({ nameOf }: Fed) =>
  ({ lane, level }: ProfileRow): string =>
    lane === null ? `L${level ?? '?'}` : (nameOf('vcpu', BigInt(lane)) ?? String(lane));

/** The lanes that are vCPU `number`; those whose number the trace does not say count from 0. */
function ofVcpu(index: ExitIndex, number: number, { saysOf }: Fed, out: Output): ExitIndex {
  const isMeant = (lane: number): boolean => (vcpuNumber(lane, saysOf) ?? lane) === number;
  if (!index.lanes.some(({ lane }) => isMeant(lane))) out.note(`no vCPU of it is number ${number}: see --by vcpu`);
  return onlyLanes(index, isMeant);
}

function print(call: Call, answer: Profile, rows: readonly BreakdownRow[] | null, wanted: Wanted, fed: Fed): void {
  const { out } = call;
  const { by, sort, event, keys, most, wide } = wanted;
  if (fed.remark !== null) out.paragraph(fed.remark, 2);
  const counting = EVENTS[event];
  if (answer.exits === 0 && counting.untimed !== undefined) {
    out.paragraph(`${counting.untimed}. --by reason,key says of exits what was emulated.`, 0);
    return;
  }
  printHead(out, answer, counting);
  if (answer.exits === 0) return;
  const { unit } = answer;
  const place = placeOf(fed);
  const [noun, counted] = event === 'vmexit' ? ['Exits', 'exits'] : ['Accesses', 'accesses'];
  const span = `; ${unitName(unit)} ${counting.span}`;
  out.line();
  if (rows === null) {
    const sorted = answer.rows.map((row) => ({ ...row, name: `${place(row)} ${row.reason}` })).sort(SORTS[sort]);
    out.title(`${noun} by reason${unit === null ? '' : span}`);
    printRows(out, answer, sorted, { place, keys, wide });
    printHistograms(out, unit, sorted, counted);
  } else {
    const named = rows.map((row) => {
      const labels = row.labels.map((label, i) => labelText(by[i] ?? 'key', label));
      return { ...row, labels, name: labels.join(' ') };
    });
    const sorted = named.sort(SORTS[sort]);
    out.title(`${noun} by ${by.join(', ')}${unit === null ? '' : span}`);
    const shown = sorted.slice(0, most);
    printBreakdown(out, unit, shown, { by, wide, counted });
    if (shown.length < sorted.length) out.line(`${formatNumber(sorted.length - shown.length)} more: see --rows`);
    printHistograms(out, unit, shown, counted);
  }
  if (event !== 'vmexit') return;
  printSpent(out, answer);
  if (rows === null) printRips(out, answer);
}

interface Opened {
  readonly index: ExitIndex;
  readonly nested: NestedProfile | null;
  readonly fed: Fed;
}

const NO_SYMBOLS =
  '--by symbol names nothing without symbols: give --symbols FILE (ELF, System.map, kallsyms, nm or perf map of the guest)';

/** Reads the events of a file. */
function build(call: Call, file: string, event: CountedEvent): Opened {
  const builder = new ExitIndexBuilder(event);
  const nested = call.flag('nested') ? new NestedProfiler() : null;
  const take = (chunk: Chunk): void => {
    builder.take(chunk);
    nested?.take(chunk);
  };
  const events = nested === null ? builder.events : null;
  const reading = events === null ? PROFILE_READING : { ...PROFILE_READING, taker: events };
  const fed = feed(file, reading, take, call.out);
  return { index: builder.finish(), nested: nested?.finish(fed.nameOf) ?? null, fed };
}

/** The index of a file: that which is kept beside a trace of ours, else a new one, which is kept where it can be. */
function open(call: Call, file: string, event: CountedEvent): Opened {
  if (event !== 'vmexit' || call.flag('fresh') || call.flag('nested') || !isOurs(file)) return build(call, file, event);
  const reader = openTrace(file);
  try {
    const beside = new IndexBeside(reader);
    const kept = beside.read();
    if (kept !== null) {
      printOrigin(reader, call.out);
      return { index: kept, nested: null, fed: fedBy(reader) };
    }
    const built = build(call, file, event);
    if (built.fed.whole) beside.keep(built.index);
    return built;
  } finally {
    reader.close();
  }
}

function run(call: Call): number {
  const [file = '-'] = call.args;
  const wanted = wantedBy(call);
  const { index: whole, nested, fed } = open(call, file, wanted.event);
  const index = wanted.vcpu === null ? whole : ofVcpu(whole, wanted.vcpu, fed, call.out);
  const { nameOf, saysOf } = fed;
  const { by, symbols, histograms, lanes, rips } = wanted;
  if (call.flag('folded')) {
    for (const stack of stacksOf(index, nameOf, { by: lanes ? 'vcpu' : 'level', symbols })) {
      call.out.line(foldedLine(stack));
    }
    return fed.whole ? EXIT.holds : EXIT.wrong;
  }
  const answer = profileOf(index, nameOf, { by: lanes ? 'lane' : 'level', rips, symbols, saysOf, histograms });
  if (by.includes('symbol') && symbols === null && answer.exits > 0) call.out.note(NO_SYMBOLS);
  const rows = by.length === 0 ? null : breakdownOf(index, by, { nameOf, saysOf, symbols, histograms });
  if (call.flag('json')) {
    call.out.json({ event: wanted.event, ...answer, by: rows === null ? null : by, breakdown: rows, nested });
  } else {
    print(call, answer, rows, wanted, fed);
    if (nested !== null) printNested(call.out, nested);
    else if (call.flag('nested')) printNoNested(call.out, answer);
  }
  return fed.whole ? EXIT.holds : EXIT.wrong;
}

const dimensions = Object.entries(DIMENSIONS).map(([name, { says }]) => `${name} (${says})`);

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace, or a file that `trapline import` understands; - reads standard input' }],
  options: [
    { name: 'by', value: 'WHAT,...', says: 'one row a combination of what is named, instead of the rows by reason' },
    { name: 'by-lane', says: 'tell the vCPU threads apart instead of the levels' },
    {
      name: 'event',
      value: 'EVENT',
      says: `what to count, as perf kvm stat: ${Object.keys(EVENTS).join(', ')} (vmexit)`,
    },
    { name: 'sort', value: 'KEY', says: `order of the rows: ${Object.keys(SORTS).join(', ')} (time)` },
    { name: 'vcpu', value: 'N', says: 'this vCPU alone, of every VM' },
    { name: 'keys', value: 'N', says: `ports, MSRs, pages, ... to show for each reason (${DEFAULT_KEYS})` },
    { name: 'rows', value: 'N', says: `rows of --by to show; --json has them all (${DEFAULT_ROWS})` },
    { name: 'rips', value: 'N', says: `hottest instructions to show (${DEFAULT_RIPS})` },
    {
      name: 'nested',
      says: 'say what the exits of nested guests cost: by whom they are served, and the exits that takes',
    },
    { name: 'wide', says: 'print every column, however narrow the terminal' },
    { name: 'histogram', says: 'print a histogram of the times of each row' },
    SYMBOLS_OPTION,
    {
      name: 'folded',
      says: 'print folded stacks instead, LEVEL;REASON;SUB-KEY and handler time (with symbols LEVEL;FUNCTION;...)',
    },
    { name: 'fresh', says: 'read the trace, whatever is kept beside it' },
    JSON_OPTION,
  ],
  alternatives: [
    ['json', 'folded'],
    ['by', 'folded'],
  ],
  details: [
    'Handler time runs from an exit to the next entry of the same vCPU: ticks on runs of our machine, which are exact, ' +
      'host time on imported traces, which are samples. Percentiles are exact, by nearest rank; ± is the standard error ' +
      'of the mean, as perf kvm stat prints it. Time halted is that of HLT and MWAIT exits: outside the guest, but idle.',
    'Shares of time outside the guest divide by the time that is observed: from an entry to the next exit (in the guest) ' +
      'and from an exit to the next entry (outside). What else lies between the first and the last event of a vCPU, before ' +
      'its first entry, behind its last exit, or where events were lost, is told as not observed.',
    'Samples and times are those of `perf kvm stat report`, with these differences: exits before the first entry of a ' +
      'thread count; nothing is paired across lost events; an entry that failed is a row of its own; and every reason is ' +
      'named by the architecture of its event, where perf goes by the processor of the recording host. Times of mmio run ' +
      'from kvm_mmio to the entry for writes and from the exit to kvm_mmio for reads, times of ioport from kvm_pio to ' +
      'the entry.',
    `--by takes ${dimensions.join(', ')}.`,
    SYMBOLS_DETAILS,
    'Of a large trace the counts and times are kept beside it (in its folder, or as NAME.sqlite.profile), so that the ' +
      'next profile reads no events: exact all the same, used only while the trace has not changed, and free to be ' +
      'removed.',
    'A flame graph as SVG is made by `trapline export --as svg`, with the same symbols.',
  ],
  json: {
    event: 'what was counted: vmexit, mmio or ioport',
    unit: 'ticks, ns, cycles (of the TSC of a host), or null where the trace has no times',
    exits: 'exits, of which an entry that failed after loading guest state is one',
    failed: 'those of them that are failed entries',
    entries: 'entries',
    failedEarly:
      'those of them that failed without an exit, as VMfail does and KVM tells user space (KVM_EXIT_FAIL_ENTRY)',
    refused: 'nested entries that the hypervisor refused before anything was entered; they are no exits',
    open: 'exits that no entry followed',
    lost: 'events that the recorder lost',
    coarse: 'exits counted without their RIP, or even their sub-key, because there are too many',
    span: 'from the first to the last event of each vCPU, summed',
    guest: 'the part of it from entries to exits',
    outside:
      'the part of it from exits to entries; outside / (guest + outside) is the share of time outside the guest, and ' +
      'span - guest - outside is not observed',
    handled: 'time in what was counted: of vmexit that is outside',
    lanes: 'by vCPU: lane, name, exits, span, guest, outside, handled, halted (the part of outside in HLT and MWAIT)',
    vms: 'by VM: vm (null where the trace does not tell), else as by vCPU; the same sums',
    levels:
      'by level that exited: level (null where unknown), else as by vCPU, without span: guest is the time in it before ' +
      'its exits, outside until any guest ran again; the same sums, and time not observed is of no level',
    rows:
      'by level or lane and reason: level, lane, isa, code, reason, failed, count, share, times (samples, total, mean, ' +
      'error of the mean as a share of it, min, p50, p90, p99, p999, max), timeShare, keys, histogram (null without --histogram: count, ' +
      'sum, min, max, mean, squares, buckets [index, count], log-linear, 128 an octave, exact below 256)',
    rips: 'rip, level, reason, count, share, samples (of them with a time), total, instruction, symbol',
    by: 'names of --by, or null',
    breakdown:
      'rows of --by: labels (empty where nothing is known), count, share, times, timeShare, histogram; or null',
    nested:
      'null without --nested or nested exits; count, direct (served by L0 alone), reflected (to L1), exits (of lower ' +
      'levels meanwhile), amplification (exits for each), rows: level, reason, failed, the same, unfinished, times (until the ' +
      'level runs again), l0 (the part in L0), causes (level, reason, count)',
  },
  examples: [
    { line: 'trapline profile run.sqlite', says: 'where the exits of a run go' },
    { line: 'trapline profile kvm.arrow --by vcpu,reason --sort p99', says: 'the slowest tails, vCPU by vCPU' },
    { line: 'trapline profile kvm.arrow --symbols vmlinux --symbols guest-kallsyms', says: 'names of guest functions' },
    { line: 'trapline profile run.sqlite --folded | flamegraph.pl > run.svg', says: 'a flame graph by another tool' },
    { line: 'perf script | trapline profile -', says: 'of what perf recorded, without storing it' },
  ],
  run,
};
