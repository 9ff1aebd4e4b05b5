/** `trapline profile`: where the exits go. Takes our traces, and foreign ones without storing them. */
import { foldedLine, stacksOf } from '../analyzer/export/folded.js';
import { type Profile, type ProfileKey, type ProfileRow, Profiler, type Times } from '../analyzer/profile/profile.js';
import { COLUMNS } from '../analyzer/profile/view.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { feed } from './feed.js';
import { WIDTH, wrap } from './help.js';
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
    rows[0]?.lane === null ? right('L') : { title: 'vCPU', shrinks: 8 },
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
    span > 0 && handled <= span ? `${formatPercent(handled / span)} of it from exit to entry` : '',
    open > 0 && unit !== null ? `${formatNumber(open)} without an entry` : '',
    lost > 0 ? out.paint('yellow', `${formatNumber(lost)} events lost`) : '',
  ];
  for (const line of wrap(parts.filter((part) => part !== '').join(', '), WIDTH)) out.line(line);
  if (answer.rows.length === 0) return;
  out.line();
  const unitWord = unit === 'ticks' ? 'ticks' : 'time';
  out.title(unit === null ? 'Exits by reason' : `Exits by reason; ${unitWord} from the exit to the next entry`);
  printRows(out, answer, place, keys);
  printRips(out, answer);
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace, or a file that `trapline import` understands; - reads standard input' }],
  options: [
    { name: 'by-lane', says: 'tell the vCPU threads apart instead of the levels' },
    { name: 'keys', value: 'N', says: `ports, MSRs, pages, ... to show for each reason (${DEFAULT_KEYS})` },
    { name: 'rips', value: 'N', says: `hottest instructions to show (${DEFAULT_RIPS})` },
    {
      name: 'folded',
      says: 'print folded stacks instead, LEVEL;REASON;SUB-KEY and handler time: what flamegraph.pl reads',
    },
    JSON_OPTION,
  ],
  details: [
    'Handler time runs from an exit to the next entry of the same vCPU: ticks on runs of our machine, which are exact, ' +
      'host time on imported traces, which are samples. Percentiles are exact, by nearest rank.',
  ],
  json: {
    unit: 'ticks, ns, or null where the trace has no times',
    exits: 'exits and failed entries',
    entries: 'entries',
    open: 'exits that no entry followed',
    lost: 'events that the recorder lost',
    span: 'from the first to the last event of each vCPU, summed',
    handled: 'the part of it between exits and entries',
    rows: 'by level or lane and reason: level, lane, isa, code, reason, failed, count, share, times, timeShare, keys',
    rips: 'rip, level, reason, count, share, total, instruction',
  },
  examples: [
    { line: 'trapline profile run.sqlite', says: 'where the exits of a run go' },
    { line: 'trapline profile run.sqlite --folded | flamegraph.pl > run.svg', says: 'a flame graph by another tool' },
    { line: 'perf script | trapline profile -', says: 'of what perf recorded, without storing it' },
  ],
  run(call) {
    const [file = '-'] = call.args;
    const by = call.flag('by-lane') ? 'lane' : 'level';
    const rips = call.integer('rips', 0, 1_000_000) ?? DEFAULT_RIPS;
    const keys = call.integer('keys', 0, 1_000_000) ?? DEFAULT_KEYS;
    const profiler = new Profiler({ by, rips });
    const { nameOf, whole, remark } = feed(file, COLUMNS, (chunk) => profiler.take(chunk), call.out);
    const answer = profiler.finish(nameOf);
    if (call.flag('json')) {
      call.out.json(answer);
    } else if (call.flag('folded')) {
      for (const stack of stacksOf(answer)) call.out.line(foldedLine(stack));
    } else {
      if (remark !== null) call.out.line(remark);
      const laneOf = (lane: number): string => nameOf('vcpu', BigInt(lane)) ?? String(lane);
      const levelOf = (level: number | null): string => (level === null ? '?' : `L${level}`);
      printProfile(call.out, answer, ({ lane, level }) => (lane === null ? levelOf(level) : laneOf(lane)), keys);
    }
    return whole ? EXIT.holds : EXIT.wrong;
  },
};
