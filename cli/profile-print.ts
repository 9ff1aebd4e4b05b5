/** Tables of a profile for people. */
import { type Bucket, Histogram, type HistogramData } from '../analyzer/histogram.js';
import { type BreakdownRow, labelText } from '../analyzer/profile/breakdown.js';
import { levelName, vmName } from '../analyzer/profile/lane-names.js';
import type { NestedProfile } from '../analyzer/profile/nested.js';
import type { Profile, ProfileKey, ProfileRow, Times } from '../analyzer/profile/profile.js';
import type { Spent } from '../analyzer/profile/spent.js';
import type { Output } from './output.js';
import { formatBar, formatCount, formatHex, formatNs, formatNumber, formatPercent, type TableColumn } from './table.js';
import { WIDTH, wrap } from './wrap.js';

const BAR = 8;
const HISTOGRAM_BAR = 40;
/** Characters of a vCPU's name that tell it from others: VM 1234, vCPU 0. */
const LANE = 16;
const PARTS = [8, 4, 2] as const;
const FEW_BUCKETS = 16;

export type Unit = Profile['unit'];

export const formatTime = (unit: Unit, value: number | undefined, digits = 0): string => {
  if (value === undefined) return '';
  return unit === 'ns' ? formatNs(value) : formatNumber(value, digits);
};

/** What times count, for titles. */
export const unitName = (unit: Unit): string => (unit === null || unit === 'ns' ? 'time' : unit);

const right = (title: string, drops?: number): TableColumn =>
  drops === undefined ? { title, align: 'right' } : { title, align: 'right', drops };
/** A column of times. */
const times = (title: string, drops?: number): TableColumn => ({ ...right(title, drops), sparse: true });

/**
 * Columns of shares and times, behind that of counts; those of the lowest number go first where the terminal is narrow. Three are left out
 * where there is no terminal, so that logs and pagers get lines of ordinary length, unless they are asked for.
 */
const COLUMNS: readonly TableColumn[] = [
  right('%'),
  times('time%'),
  { title: '', drops: 1, sparse: true },
  times('mean', 6),
  times('±', 2),
  times('min', 3),
  times('p50'),
  times('p90', 5),
  times('p99', 8),
  times('p99.9', 4),
  times('max', 7),
];

const EXTRA: ReadonlySet<string> = new Set(['±', 'min', 'p99.9']);

/** Lays a table of which COLUMNS are the last. */
function lay(
  out: Output,
  { wide, counted = 'exits' }: { readonly wide: boolean; readonly counted?: string },
  first: readonly TableColumn[],
  rows: readonly (readonly string[])[],
): void {
  const all = [...first, right(counted), ...COLUMNS];
  const kept = all.flatMap((column, i) => {
    const extra = !wide && out.width === Number.POSITIVE_INFINITY && EXTRA.has(column.title);
    return extra ? [] : [i];
  });
  const pick = <T>(from: readonly T[]): T[] =>
    kept.flatMap((i) => {
      const cell = from[i];
      return cell === undefined ? [] : [cell];
    });
  const columns = wide ? pick(all).map(({ drops: _, ...column }) => column) : pick(all);
  out.table(columns, rows.map(pick));
}

const timeCells = (unit: Unit, times: Times | null): string[] => [
  formatTime(unit, times?.mean, 1),
  times === null ? '' : formatPercent(times.error),
  ...[times?.min, times?.p50, times?.p90, times?.p99, times?.p999, times?.max].map((value) => formatTime(unit, value)),
];

interface Counted {
  readonly count: number;
  readonly share: number;
  readonly timeShare: number;
  readonly times: Times | null;
}

const countCells = (out: Output, unit: Unit, { count, share, timeShare, times }: Counted): string[] => [
  formatNumber(count),
  formatPercent(share),
  times === null ? '' : formatPercent(timeShare),
  out.paint('cyan', formatBar(timeShare, BAR)),
  ...timeCells(unit, times),
];

export function printRows(
  out: Output,
  { unit, exits }: Profile,
  rows: readonly ProfileRow[],
  { place, keys, wide }: { place: (row: ProfileRow) => string; keys: number; wide: boolean },
): void {
  const first = rows[0]?.lane === null ? right('L') : { title: 'vCPU', shrinks: LANE };
  const lines = rows.flatMap((row) => {
    const known = row.keys.filter(({ label }) => label !== '');
    const shown = known.slice(0, keys).map((key) => keyLine(out, unit, key, exits));
    if (known.length > keys && keys > 0) shown.push(['', out.paint('dim', `  ${known.length - keys} more`)]);
    return [[place(row), reasonCell(out, row), ...countCells(out, unit, row)], ...shown];
  });
  lay(out, { wide }, [first, { title: 'reason', shrinks: 16 }], lines);
}

const reasonCell = (out: Output, { reason, failed }: { readonly reason: string; readonly failed: boolean }): string =>
  failed ? out.paint('red', `${reason} failed entry`) : out.paint('bold', reason);

const keyLine = (out: Output, unit: Unit, { label, count, times }: ProfileKey, exits: number): string[] =>
  ['', `  ${label}`, formatNumber(count), formatPercent(count / exits), '', '', ...timeCells(unit, times)].map((text) =>
    out.paint('dim', text),
  );

export function printBreakdown(
  out: Output,
  unit: Unit,
  rows: readonly BreakdownRow[],
  { by, wide, counted }: { by: readonly string[]; wide: boolean; counted: string },
): void {
  lay(
    out,
    { wide, counted },
    by.map((title) => ({ title, shrinks: title === 'vcpu' ? LANE : 12 })),
    rows.map((row) => [...row.labels, ...countCells(out, unit, row)]),
  );
}

export function printRips(out: Output, { unit, rips }: Profile): void {
  if (rips.length === 0) return;
  const named = rips.some(({ symbol }) => symbol !== null);
  out.line();
  out.title('Hottest instructions');
  out.table(
    [
      { title: 'RIP' },
      ...(named ? [{ title: 'symbol', shrinks: 16 }] : []),
      right('exits'),
      right('%'),
      right('time'),
      { title: 'reason' },
      { title: 'instruction', shrinks: 12 },
    ],
    rips.map(({ rip, symbol, count, share, samples, total, reason, instruction }) => [
      formatHex(rip),
      ...(named ? [symbol ?? ''] : []),
      formatNumber(count),
      formatPercent(share),
      samples === 0 ? '' : formatTime(unit, total),
      reason,
      instruction ?? '',
    ]),
  );
}

/** What shares of time divide by, and what of the span is not in it. */
const observed = ({ guest, outside }: Pick<Spent, 'guest' | 'outside'>): number => guest + outside;
const unobserved = (spent: Spent): number => Math.max(0, spent.span - observed(spent));

/** A row of time outside the guest; of a level no span is known, since it is not known of what is not observed. */
type SpentRow = Omit<Spent, 'span'> & { readonly exits: number; readonly halted: number; readonly span?: number };

function printSpentBy(out: Output, unit: Unit, by: string, rows: readonly (readonly [string, SpentRow])[]): void {
  if (rows.length < 2) return;
  const spans = rows.some(([, { span }]) => span !== undefined);
  out.line();
  out.title(`Time outside the guest, by ${by}`);
  out.table(
    [
      { title: by, shrinks: 12 },
      right('exits'),
      right('observed'),
      right('outside'),
      right('%'),
      right('halted'),
      ...(spans ? [right('not observed', 2)] : []),
      { title: '', drops: 1 },
    ],
    rows.map(([name, { span, ...row }]) => [
      name,
      formatNumber(row.exits),
      formatTime(unit, observed(row)),
      formatTime(unit, row.outside),
      observed(row) === 0 ? '' : formatPercent(row.outside / observed(row)),
      row.halted === 0 ? '' : formatTime(unit, row.halted),
      ...(span === undefined ? [] : [formatTime(unit, unobserved({ ...row, span }))]),
      observed(row) === 0 ? '' : out.paint('cyan', formatBar(row.outside / observed(row), 2 * BAR)),
    ]),
  );
}

/** Time outside the guest by VM, level and vCPU, where there are several of each. */
export function printSpent(out: Output, { unit, vms, levels, lanes }: Profile): void {
  if (unit === null) return;
  const vmOf = (vm: number | null): string => labelText('vm', vm === null ? '' : vmName(vm));
  printSpentBy(
    out,
    unit,
    'VM',
    vms.map((vm) => [vmOf(vm.vm), vm]),
  );
  printSpentBy(
    out,
    unit,
    'level',
    levels.map((level) => [levelName(level.level), level]),
  );
  printSpentBy(
    out,
    unit,
    'vCPU',
    lanes.map((lane) => [lane.name, lane]),
  );
}

/** Powers of two, or parts of them where that gives few lines. */
function bucketsOf(histogram: Histogram): Bucket[] {
  for (const parts of PARTS) {
    const buckets = histogram.octaves(parts);
    if (buckets.length <= FEW_BUCKETS) return buckets;
  }
  return histogram.octaves();
}

/** Histograms of rows, a bucket a line. */
export function printHistograms(
  out: Output,
  unit: Unit,
  rows: readonly { readonly name: string; readonly histogram: HistogramData | null }[],
  counted: string,
): void {
  for (const { name, histogram } of rows) {
    if (histogram === null || histogram.count === 0) continue;
    out.line();
    out.title(`${name}, ${formatCount(histogram.count, 'sample')}`);
    const buckets = bucketsOf(Histogram.fromData(histogram));
    const most = buckets.reduce((peak, { count }) => Math.max(peak, count), 0);
    const line = ({ from, to, count }: Bucket): string[] => [
      formatTime(unit, from),
      `to ${formatTime(unit, to)}`,
      formatNumber(count),
      formatPercent(count / histogram.count),
      out.paint('cyan', formatBar(count / most, HISTOGRAM_BAR)),
    ];
    out.table(
      [right(unitName(unit)), right(''), right(counted), right('%'), { title: '', shrinks: 8 }],
      buckets.map(line),
    );
  }
}

/** What is counted: of one, and of many; what the share of the observed time is spent with; and from when to when. */
export interface Counting {
  readonly noun: readonly [one: string, many: string];
  readonly spent: string;
  readonly span: string;
}

const failedEntries = (count: number): string => formatCount(count, 'failed entry', 'failed entries');
const refusedEntries = (count: number): string => formatCount(count, 'nested entry refused', 'nested entries refused');

/** How long is observed, what part of that is spent how, and how much is not. */
function timeParts(profile: Profile, { spent }: Counting): string[] {
  const { unit, handled, lanes } = profile;
  if (unit === null) return ['no times'];
  const all = observed(profile);
  const rest = unobserved(profile);
  const halted = lanes.reduce((sum, lane) => sum + lane.halted, 0);
  const on = lanes.length > 1 ? ` on ${formatNumber(lanes.length)} vCPUs` : '';
  const amount = (time: number): string => `${formatTime(unit, time)}${unit === 'ns' ? '' : ` ${unit}`}`;
  return [
    `${amount(all)} observed${on}`,
    all > 0 && handled <= all ? `${formatPercent(handled / all)} of it ${spent}` : '',
    halted / all >= 0.0005 ? `${formatPercent(halted / all)} halted` : '',
    rest > 0 ? `${amount(rest)} not observed` : '',
  ];
}

/** What the profile is of, in a sentence. */
export function printHead(out: Output, profile: Profile, counting: Counting): void {
  const { unit, exits, failed, entries, failedEarly, refused, open, lost, coarse } = profile;
  const [one, many] = counting.noun;
  const among = [
    failed > 0 ? failedEntries(failed) : '',
    open > 0 && unit !== null ? `${formatNumber(open)} not followed by an entry` : '',
  ].filter((part) => part !== '');
  const parts = [
    formatCount(exits, one, many) + (among.length === 0 ? '' : ` (${among.join(', ')})`),
    formatCount(entries, 'entry', 'entries') +
      (failedEarly > 0 ? ` (${out.paint('red', `${formatNumber(failedEarly)} failed without an exit`)})` : ''),
    refused > 0 ? refusedEntries(refused) : '',
    ...timeParts(profile, counting),
    coarse > 0 ? `${formatNumber(coarse)} without their RIP, of which there are too many` : '',
    lost > 0 ? out.paint('yellow', `${formatCount(lost, 'event')} lost`) : '',
  ];
  for (const line of wrap(parts.filter((part) => part !== '').join(', '), WIDTH)) out.line(line);
}

/** What exits of nested guests cost; a line below says which exits of lower levels they caused. */
export function printNested(out: Output, nested: NestedProfile): void {
  const { unit, count, reflected, unfinished, amplification, rows } = nested;
  out.line();
  out.title(`Exits of nested guests; ${unitName(unit)} until their level runs again`);
  const cost =
    count === unfinished
      ? 'none is known to have ended with its level running again, so that their cost is unknown'
      : `each costs ${amplification.toFixed(2)} exits of lower levels`;
  for (const line of wrap(`${formatCount(count, 'exit')}, ${formatNumber(reflected)} reflected; ${cost}`, WIDTH)) {
    out.line(line);
  }
  const lines = rows.flatMap(({ level, reason, failed, times, l0, causes, ...row }) => {
    const served = row.count - row.unfinished;
    const head = [
      `L${level}`,
      reasonCell(out, { reason, failed }),
      ...[row.count, row.direct, row.reflected, row.unfinished].map((value) => formatNumber(value)),
      served === 0 ? '' : row.amplification.toFixed(2),
      ...[times?.mean, times?.p50, times?.p99, times?.max].map((value) => formatTime(unit, value)),
      times === null || times.total === 0 ? '' : formatPercent(l0 / times.total),
    ];
    const below = causes.map((cause) =>
      [
        '',
        `  L${cause.level} ${cause.reason}`,
        formatNumber(cause.count),
        '',
        '',
        '',
        (cause.count / served).toFixed(2),
      ].map((text) => out.paint('dim', text)),
    );
    return [head, ...below];
  });
  const columns = [
    right('L'),
    { title: 'reason', shrinks: 16 },
    ...['exits', 'by L0', 'by L1'].map((title) => right(title)),
    right('open', 1),
    right('each'),
    right('mean', 2),
    ...['p50', 'p99'].map((title) => right(title)),
    right('max', 3),
    right('in L0'),
  ];
  out.table(columns, lines);
}

/** That no guest in a guest exits; where entries of one were refused, that. */
export function printNoNested(out: Output, { refused }: Profile): void {
  out.line();
  const why = refused === 0 ? '' : `; ${refusedEntries(refused)} before it ran: \`trapline explain\` says why`;
  for (const line of wrap(`No nested guest exits${why}.`, WIDTH)) out.line(line);
}
