/** Tables of text: aligned, measured without colour codes, narrowed to a width where one is given. */

export interface TableColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** May be cut, with an ellipsis, down to this many characters when the table is too wide. */
  readonly shrinks?: number;
  /** May be left out when the table is too wide; columns with the lowest number go first. */
  readonly drops?: number;
  /** Left out where no row has anything in it. */
  readonly sparse?: boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes start with ESC
const COLOUR = /\u001b\[[0-9;]*m/g;

/** Width of a text on the terminal: without colour codes, in code points. */
export const widthOf = (text: string): number => Array.from(text.replace(COLOUR, '')).length;

/** A text of at most `width`; what is cut loses its colours. */
export const cutText = (text: string, width: number): string =>
  widthOf(text) <= width
    ? text
    : `${Array.from(text.replace(COLOUR, ''))
        .slice(0, Math.max(0, width - 1))
        .join('')}…`;

function fit(text: string, width: number, align: 'left' | 'right'): string {
  const excess = widthOf(text) - width;
  if (excess > 0) return cutText(text, width);
  const pad = ' '.repeat(-excess);
  return align === 'right' ? pad + text : text + pad;
}

/**
 * Lays out rows under their titles, two spaces between columns, no trailing blanks.
 * `width` is that of the terminal; Infinity never cuts.
 */
export function layTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
  paintTitle: (text: string) => string = (text) => text,
): string[] {
  const widths = columns.map((column, i) =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[i] ?? '')), widthOf(column.title)),
  );
  const empty = columns.map(({ sparse }, i) => sparse === true && rows.every((row) => (row[i] ?? '') === ''));
  const shown = dropColumns(columns, widths, width, empty);
  let excess = shown.reduce((sum, i) => sum + (widths[i] ?? 0) + GAP.length, -GAP.length) - width;
  for (const i of shown) {
    const w = widths[i] ?? 0;
    const least = columns[i]?.shrinks ?? w;
    if (excess <= 0 || w <= least) continue;
    const cut = Math.min(excess, w - least);
    widths[i] = w - cut;
    excess -= cut;
  }
  const lay = (cells: readonly string[]): string =>
    shown
      .map((i) => fit(cells[i] ?? '', widths[i] ?? 0, columns[i]?.align ?? 'left'))
      .join(GAP)
      .trimEnd();
  return [paintTitle(lay(columns.map((column) => column.title))), ...rows.map(lay)];
}

const GAP = '  ';

/** Indices of the columns that stay. */
function dropColumns(
  columns: readonly TableColumn[],
  widths: readonly number[],
  width: number,
  empty: readonly boolean[],
): number[] {
  let shown = columns.flatMap((_, i) => (empty[i] === true ? [] : [i]));
  const order = shown.filter((i) => columns[i]?.drops !== undefined);
  order.sort((a, b) => (columns[a]?.drops ?? 0) - (columns[b]?.drops ?? 0));
  for (const candidate of order) {
    if (shown.reduce((sum, i) => sum + (widths[i] ?? 0) + GAP.length, -GAP.length) <= width) break;
    shown = shown.filter((i) => i !== candidate);
  }
  return shown;
}

/** 1234567 as 1,234,567; a fraction keeps `digits` places. */
export function formatNumber(value: number, digits = 0): string {
  const [whole = '', fraction] = value.toFixed(digits).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A number with its noun: 1 event, 2 events; `plural` where it is not the noun with an s. */
export const formatCount = (value: number, noun: string, plural = `${noun}s`): string =>
  `${formatNumber(value)} ${value === 1 ? noun : plural}`;

/** A logical digest for people: its first 64 bits. --json has the whole. */
export const formatDigest = (digest: string): string => digest.slice(0, 16);

export const formatPercent = (share: number): string => `${(share * 100).toFixed(1)}%`;

/** Nanoseconds in the unit that leaves one to three digits before the point; whole values stay whole. */
export function formatNs(ns: number): string {
  const units = ['ns', 'µs', 'ms', 's'] as const;
  let value = ns;
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = Number.isInteger(value) ? 0 : value >= 100 || unit === 0 ? 0 : value >= 10 ? 1 : 2;
  return `${formatNumber(value, digits)} ${units[unit]}`;
}

export const formatHex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A bar of eighths, `width` characters at share 1. */
export function formatBar(share: number, width: number): string {
  const eighths = Math.round(Math.max(0, Math.min(1, share)) * width * 8);
  const rest = eighths % 8;
  return '█'.repeat(Math.floor(eighths / 8)) + (rest === 0 ? '' : String.fromCodePoint(0x2590 - rest));
}
