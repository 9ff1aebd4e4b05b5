/** `trapline profile`: where the exits go. Takes our traces, and foreign ones without storing them. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { type Profile, type ProfileKey, type ProfileRow, Profiler, profile, type Times } from '../analyzer/profile.js';
import { importTrace } from '../recorder/import/import.js';
import { openSource } from '../recorder/import/source.js';
import { StreamWriter } from '../recorder/import/stream.js';
import { openTrace, traceKind } from '../traces/open.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { describeError, formatError } from './errors.js';
import { describeCounts, printNotes } from './import.js';
import type { Output } from './output.js';
import { formatBar, formatHex, formatNs, formatNumber, formatPercent, type TableColumn } from './table.js';

const DEFAULT_KEYS = 5;
const DEFAULT_RIPS = 10;
const BAR = 8;

type Unit = Profile['unit'];

const time = (unit: Unit, value: number | undefined, digits = 0): string => {
  if (value === undefined) return '';
  return unit === 'ns' ? formatNs(value) : formatNumber(value, digits);
};

const timeCells = (unit: Unit, times: Times | null): string[] => [
  time(unit, times?.mean, 1),
  time(unit, times?.p50),
  time(unit, times?.p90),
  time(unit, times?.p99),
  time(unit, times?.max),
];

const right = (title: string): TableColumn => ({ title, align: 'right' });

function printRows(
  out: Output,
  { unit, rows, exits }: Profile,
  place: (row: ProfileRow) => string,
  keys: number,
): void {
  const columns = [
    right('L'),
    { title: 'reason', shrinks: 16 },
    right('exits'),
    right('%'),
    right('time%'),
    { title: '', drops: 1 },
    { ...right('mean'), drops: 3 },
    right('p50'),
    { ...right('p90'), drops: 2 },
    right('p99'),
    right('max'),
  ];
  const lines = rows.flatMap((row) => {
    const head = [
      place(row),
      row.failed ? out.paint('red', `${row.reason} failed entry`) : out.paint('bold', row.reason),
      formatNumber(row.count),
      formatPercent(row.share),
      formatPercent(row.timeShare),
      out.paint('cyan', formatBar(row.timeShare, BAR)),
      ...timeCells(unit, row.times),
    ];
    const known = row.keys.filter(({ label }) => label !== '');
    const shown = known.slice(0, keys).map((key) => keyLine(out, unit, key, exits));
    if (known.length > keys && keys > 0) shown.push(['', out.paint('dim', `  ${known.length - keys} more`)]);
    return [head, ...shown];
  });
  out.table(columns, lines);
}

const keyLine = (out: Output, unit: Unit, { label, count, times }: ProfileKey, exits: number): string[] =>
  ['', `  ${label}`, formatNumber(count), formatPercent(count / exits), '', '', ...timeCells(unit, times)].map((text) =>
    out.paint('dim', text),
  );

function printRips(out: Output, { unit, rips }: Profile): void {
  if (rips.length === 0) return;
  out.line();
  out.title('Hottest instructions');
  out.table(
    [
      { title: 'RIP' },
      right('exits'),
      right('%'),
      right('time'),
      { title: 'reason' },
      { title: 'instruction', shrinks: 12 },
    ],
    rips.map(({ rip, count, share, total, reason, instruction }) => [
      formatHex(rip),
      formatNumber(count),
      formatPercent(share),
      time(unit, total),
      reason,
      instruction ?? '',
    ]),
  );
}

export function printProfile(out: Output, answer: Profile, place: (row: ProfileRow) => string, keys: number): void {
  const { unit, exits, entries, open, lost, span, handled } = answer;
  const parts = [
    `${formatNumber(exits)} exits`,
    `${formatNumber(entries)} entries`,
    unit === null ? 'no times' : `${time(unit, span)}${unit === 'ticks' ? ' ticks' : ''}`,
    span > 0 ? `${formatPercent(handled / span)} of it from exit to entry` : '',
    open > 0 && unit !== null ? `${formatNumber(open)} without an entry` : '',
    lost > 0 ? out.paint('yellow', `${formatNumber(lost)} events lost`) : '',
  ];
  out.line(parts.filter((part) => part !== '').join(', '));
  if (answer.rows.length === 0) return;
  out.line();
  const unitWord = unit === 'ticks' ? 'ticks' : 'time';
  out.title(unit === null ? 'Exits by reason' : `Exits by reason; ${unitWord} from the exit to the next entry`);
  printRows(out, answer, place, keys);
  printRips(out, answer);
}

interface Source {
  readonly answer: Profile;
  /** Names of lanes, for `--by lane`. */
  readonly laneOf: (lane: number) => string;
  readonly exit: number;
}

const isOurs = (file: string): boolean =>
  file !== '-' && (statSync(file).isDirectory() || (statSync(file).isFile() && traceKind(file) !== null));

function ofTrace(file: string, options: { by: 'level' | 'lane'; rips: number }): Source {
  const reader = openTrace(file);
  try {
    const lanes = reader.dictionary('vcpu');
    return {
      answer: profile(reader, options),
      laneOf: (lane) => lanes.get(BigInt(lane))?.name ?? String(lane),
      exit: EXIT.holds,
    };
  } finally {
    reader.close();
  }
}

/** A foreign file goes through the importer into the profile, and is never stored. */
function ofForeign(file: string, call: Call, options: { by: 'level' | 'lane'; rips: number }): Source {
  const profiler = new Profiler(options);
  const writer = new StreamWriter((chunk) => profiler.take(chunk));
  const source = openSource(file);
  const progress = call.out.progress(basename(source.name));
  try {
    const result = importTrace(source, () => writer, { progress: (done, total) => progress.update(done, total) });
    progress.end();
    if (!call.flag('json')) call.out.line(`${source.name}: ${describeCounts(result)}`);
    printNotes(call.out, { ...result, notes: result.stopped === null ? result.notes : result.notes.slice(0, -1) });
    const stopped = result.stopped === null ? null : describeError(result.stopped);
    if (stopped !== null) call.out.note(formatError(stopped));
    return {
      answer: profiler.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null),
      laneOf: (lane) => writer.dictionary('vcpu').get(BigInt(lane))?.name ?? String(lane),
      exit: stopped === null ? EXIT.holds : EXIT.wrong,
    };
  } finally {
    progress.end();
    source.close();
  }
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace, or a file that `trapline import` understands; - reads standard input' }],
  options: [
    { name: 'by-lane', says: 'tell the vCPU threads apart instead of the levels' },
    { name: 'keys', value: 'N', says: `ports, MSRs, pages, ... to show for each reason (${DEFAULT_KEYS})` },
    { name: 'rips', value: 'N', says: `hottest instructions to show (${DEFAULT_RIPS})` },
    JSON_OPTION,
  ],
  details: [
    'Handler time runs from an exit to the next entry of the same vCPU: ticks on runs of our machine, which are exact, ' +
      'host time on imported traces, which are samples. Percentiles are exact, by nearest rank.',
  ],
  examples: [
    { line: 'trapline profile run.sqlite', says: 'where the exits of a run go' },
    { line: 'perf script | trapline profile -', says: 'of what perf recorded, without storing it' },
  ],
  run(call) {
    const [file = '-'] = call.args;
    const by = call.flag('by-lane') ? 'lane' : 'level';
    const rips = call.integer('rips', 0, 1_000_000) ?? DEFAULT_RIPS;
    const keys = call.integer('keys', 0, 1_000_000) ?? DEFAULT_KEYS;
    const { answer, laneOf, exit } = isOurs(file) ? ofTrace(file, { by, rips }) : ofForeign(file, call, { by, rips });
    if (call.flag('json')) {
      call.out.json(answer);
    } else {
      const place = ({ lane, level }: ProfileRow): string =>
        lane === null ? (level === null ? '?' : `L${level}`) : laneOf(lane);
      printProfile(call.out, answer, place, keys);
    }
    return exit;
  },
};
