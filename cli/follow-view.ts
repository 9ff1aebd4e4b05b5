/** What `import --follow` shows of a snapshot: columns, order, and the frame that fills a terminal. */
import type { Figures, RollingRow, Totals } from '../analyzer/profile/rolling.js';
import type { Group, Snapshot } from './follow-protocol.js';
import type { Style } from './output.js';
import { formatTime, type Unit } from './profile-print.js';
import {
  cutText,
  formatBar,
  formatCount,
  formatNs,
  formatNumber,
  formatPercent,
  layTable,
  type TableColumn,
  widthOf,
} from './table.js';

export type Paint = (style: Style, text: string) => string;

/** Which exits figures are of. */
export type Span = 'all' | 'recent';

/** What rows can be ordered by, largest first. */
export const ORDERS = {
  count: { column: 'exits', of: ({ count }: Figures) => count },
  rate: { column: 'exits/s', of: (_: Figures, recent: Figures) => recent.rate ?? 0 },
  time: { column: 'time%', of: ({ times }: Figures) => times?.total ?? 0 },
  mean: { column: 'mean', of: ({ times }: Figures) => times?.mean ?? 0 },
  p99: { column: 'p99', of: ({ times }: Figures) => times?.p99 ?? 0 },
  max: { column: 'max', of: ({ times }: Figures) => times?.max ?? 0 },
} as const;
export type Order = keyof typeof ORDERS;

/** What the person at the terminal has chosen. */
export interface Choice {
  readonly order: Order;
  readonly span: Span;
  readonly paused: boolean;
  /** Rows that were scrolled over. */
  readonly from: number;
}

const BAR = 8;
const HEADINGS: { readonly [group in Group]: string } = { level: '', vm: 'VM', vcpu: 'vCPU' };

/** Blanks before a title keep a column's width while its numbers grow. */
const COLUMNS: readonly TableColumn[] = [
  { title: '    exits', align: 'right' },
  { title: ' exits/s', align: 'right' },
  { title: '     %', align: 'right' },
  { title: '        ', drops: 1 },
  { title: ' time%', align: 'right', drops: 4 },
  { title: '   mean', align: 'right', drops: 2 },
  { title: '    p50', align: 'right', drops: 5 },
  { title: '    p99', align: 'right' },
  { title: '    max', align: 'right', drops: 3 },
];

const rate = (value: number | null): string =>
  value === null ? '' : formatNumber(value, value !== 0 && value < 9.95 ? 1 : 0);

function cells(figures: Figures, perSecond: number | null, { paint, unit }: TableOptions): string[] {
  const { count, share, timeShare, times } = figures;
  return [
    formatNumber(count),
    rate(perSecond),
    formatPercent(share),
    paint('cyan', formatBar(share, BAR)),
    times === null ? '' : formatPercent(timeShare),
    ...[times?.mean, times?.p50, times?.p99, times?.max].map((time) => formatTime(unit, time)),
  ];
}

/** Rows in an order; ties by count, then by name, so that nothing jumps about. */
export function ordered(rows: readonly RollingRow[], order: Order, span: Span): RollingRow[] {
  const { of } = ORDERS[order];
  const key = (row: RollingRow): number => of(row[span], row.recent);
  return [...rows].sort(
    (a, b) => key(b) - key(a) || b[span].count - a[span].count || (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0),
  );
}

const name = ({ group, reason, level }: RollingRow): string => `${group} ${reason} ${level}`;

/** The column that rows are ordered by, which is never left out. */
const marked = ({ title, align = 'right' }: TableColumn): TableColumn => ({
  title: `${title.replace(/^ /, '')}↓`,
  align,
});

/** Columns from which on there is room for all there is to say, and those of a name where there is not. */
const WIDE = 110;
const NARROW_NAME = 15;

export interface TableOptions {
  readonly group: Group;
  readonly order: Order;
  readonly span: Span;
  /** Whose rates are shown. */
  readonly rates: Span;
  readonly width: number;
  readonly paint: Paint;
  /** What times count. */
  readonly unit: Unit;
}

/** Title line and rows. */
export function rowLines(rows: readonly RollingRow[], options: TableOptions): string[] {
  const { group, order, span, rates, width, paint } = options;
  const columns = COLUMNS.map((column) => (column.title.trim() === ORDERS[order].column ? marked(column) : column));
  const lines = rows.map((row) => {
    const reason = row.failed ? paint('red', `${row.reason} failed entry`) : paint('bold', row.reason);
    const level = row.level === null ? '' : `L${row.level}`;
    const text = [level, reason, ...cells(row[span], row[rates].rate, options)];
    return group === 'level' ? text : [cutText(row.group || '?', width < WIDE ? NARROW_NAME : width), ...text];
  });
  const first = group === 'level' ? [] : [{ title: HEADINGS[group], shrinks: 8 }];
  const all = [...first, { title: 'L', align: 'right' as const }, { title: 'reason', shrinks: 14 }, ...columns];
  return layTable(all, lines, width, (text) => paint('dim', text));
}

/** Hours, minutes and seconds of nanoseconds. */
export function formatClock(ns: number): string {
  const seconds = Math.floor(ns / 1e9);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < BYTES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${formatNumber(value, unit === 0 || value >= 99.5 ? 0 : 1)} ${BYTES[unit]}`;
}

const perSecond = (count: number, { span }: Totals): string => (span > 0 ? ` (${rate((count * 1e9) / span)}/s)` : '');

/** Counts in words; those of zero that mean trouble are left out. */
export function totals({ profile }: Snapshot, rates: Span, paint: Paint): string[] {
  const { all } = profile;
  const of = profile[rates];
  return [
    formatCount(all.events, 'event') + perSecond(of.events, of),
    formatCount(all.exits, 'exit') + perSecond(of.exits, of),
    formatCount(all.entries, 'entry', 'entries'),
    all.failedEntries === 0 ? '' : paint('red', formatCount(all.failedEntries, 'failed entry', 'failed entries')),
    all.gaps === 0 ? '' : paint('yellow', `${all.lost === 0 ? '' : `${formatNumber(all.lost)} `}events lost`),
  ].filter((text) => text !== '');
}

/** Milliseconds after which input counts as late or as silent: what a recorder that writes in blocks takes anyway. */
const PATIENCE = 2500;

/** What to know of the input: that nothing comes, or comes late. */
export function trouble({ lag, quiet, profile, bytes }: Snapshot): string | null {
  if (quiet === null) return bytes === 0 ? 'waiting for input' : `no event yet in ${formatBytes(bytes)}`;
  if (quiet > PATIENCE) return `no event for ${formatNs(Math.round(quiet / 1000) * 1e9)}`;
  if (lag > PATIENCE) return `the input lags ${formatNs(Math.round(lag / 1000) * 1e9)} behind`;
  if (profile.unit === 'cycles') return 'times are cycles; --tsc-hz makes them time, and gives rates';
  return profile.unit === null ? 'no time stamps, hence no times and rates' : null;
}

const KEYS = {
  narrow: 'q quit  space pause  sort: c r t m 9 x  v by VM, vCPU  w interval  ↑↓',
  wide: 'q quit  space pause  sort: c count r rate t time m mean 9 p99 x max  v by VM, vCPU  w newest interval  ↑↓ scroll',
} as const;
const SPANS: { readonly [span in Span]: string } = { all: 'since the start', recent: 'newest interval' };
const GROUPED: { readonly [group in Group]: string } = { level: 'all vCPUs', vm: 'by VM', vcpu: 'by vCPU' };

/** Parts put on lines of a width, two spaces apart. */
function flow(parts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 3 + widthOf(part) <= width) lines[lines.length - 1] = `${last}   ${part}`;
    else lines.push(part);
  }
  return lines;
}

export interface FrameOptions {
  readonly title: string;
  readonly choice: Choice;
  readonly width: number;
  readonly height: number;
  /** Whether there is a keyboard. */
  readonly keys: boolean;
  /** What is going on, if anything. */
  readonly says: string | null;
  readonly paint: Paint;
}

/** A whole screen: `height` lines at the most, none longer than `width`. */
export function frame(snapshot: Snapshot, options: FrameOptions): string[] {
  const { title, choice, width, height, keys, says, paint } = options;
  const { profile, group, bytes } = snapshot;
  const rows = ordered(profile.rows, choice.order, choice.span);
  const remark = says ?? trouble(snapshot);
  const right = `${formatClock(profile.all.span)} recorded   ${formatBytes(bytes)}`;
  const left = cutText(title, Math.max(0, width - right.length - 3));
  const mode = `${GROUPED[group]}, ${SPANS[choice.span]}`;
  const head = [
    `${paint('bold', left)}${' '.repeat(Math.max(1, width - widthOf(left) - right.length))}${right}`,
    ...flow(totals(snapshot, 'recent', paint), width),
    [choice.paused ? paint('yellow', 'paused') : '', paint('dim', mode), remark === null ? '' : paint('yellow', remark)]
      .filter((text) => text !== '')
      .join('   '),
    '',
  ].map((line) => cutText(line, width));
  const room = Math.max(0, height - head.length - 1 - 1);
  const from = Math.max(0, Math.min(choice.from, rows.length - room));
  const shown = rows.slice(from, from + room);
  const table = rowLines(shown, {
    group,
    order: choice.order,
    span: choice.span,
    rates: 'recent',
    width,
    paint,
    unit: snapshot.profile.unit,
  });
  const more = rows.length > shown.length ? `rows ${from + 1}-${from + shown.length} of ${rows.length}` : '';
  const foot = [more, keys ? KEYS[width < WIDE ? 'narrow' : 'wide'] : ''].filter((text) => text !== '').join('   ');
  const body = [...head, ...table.map((line) => cutText(line, width))].slice(0, Math.max(0, height - 1));
  while (body.length < height - 1) body.push('');
  return [...body, paint('dim', cutText(foot, width))];
}
