/** `trapline query`: SQL over a trace of either store. */
import { TABLES } from '../traces/schema.js';
import { type AnswerCell, type AnswerColumn, TraceSql } from '../traces/sql.js';
import { VIEWS } from '../traces/views.js';
import { runBounded } from './bounded.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError } from './errors.js';
import type { Output } from './output.js';
import { formatNumber } from './table.js';

/** Columns whose values people read in hexadecimal. */
const HEXADECIMAL = new Set([
  ...['vmcs', 'reason', 'qualification', 'info2', 'intr_info', 'error_code', 'rip', 'cr3', 'gva', 'gpa', 'code', 'old'],
  ...['value', ...TABLES.register.columns.map(({ name }) => name).filter((name) => name !== 'seq')],
]);

const unsigned = (cell: bigint, column: AnswerColumn): bigint =>
  column.of?.type === 'u64' ? BigInt.asUintN(64, cell) : cell;

/** A cell for programs: numbers in decimal, as in the CSV of `trapline export`. */
function textOf(out: Output, cell: AnswerCell, column: AnswerColumn): string {
  if (cell === null) return '';
  if (typeof cell === 'string') return out.foreign(cell);
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('hex');
  return String(typeof cell === 'bigint' ? unsigned(cell, column) : cell);
}

/** A cell for people. */
const show = (out: Output, cell: AnswerCell, column: AnswerColumn): string =>
  typeof cell === 'bigint' && column.of && HEXADECIMAL.has(column.of.name)
    ? `0x${BigInt.asUintN(64, cell).toString(16)}`
    : textOf(out, cell, column);

/** The longest that --timeout may be: a day. */
const MOST_SECONDS = 86_400;

/** The first rows of an answer; `rest` is told where there are more. */
function* first<T>(rows: IterableIterator<T>, most: number, rest: () => void): Generator<T> {
  let count = 0;
  try {
    while (count < most) {
      const { done, value } = rows.next();
      if (done === true) return;
      count += 1;
      yield value;
    }
    if (rows.next().done !== true) rest();
  } finally {
    rows.return?.();
  }
}

/** Rows between two looks at what happens outside. */
const LOOK = 1000;

/** The same rows, with looks in between at whether their reader went away: an answer may have no end. */
async function* attentive<T>(rows: Iterable<T>): AsyncGenerator<T> {
  let count = 0;
  for (const row of rows) {
    yield row;
    count += 1;
    if (count % LOOK === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Rows that are laid out together. A recursive query without end must not fill the memory. */
const LARGEST = 1_000_000;

function gather<T>(rows: Iterable<T>): T[] {
  const all: T[] = [];
  for (const row of rows) {
    if (all.length === LARGEST)
      throw new CliError(
        'BAD_VALUE',
        'query',
        `more than ${LARGEST} rows`,
        'add --limit, or print them one by one with --csv',
      );
    all.push(row);
  }
  return all;
}

const quoteCsv = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** RFC 4180, 2: lines end in CR and LF. */
const csvLine = (cells: readonly string[]): string => `${cells.map(quoteCsv).join(',')}\r`;

const ofJson = (cell: AnswerCell, column: AnswerColumn): unknown => {
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('hex');
  if (typeof cell !== 'bigint') return cell;
  const is64 = column.of?.type === 'u64' || column.of?.type === 'i64';
  return is64 || BigInt.asIntN(53, cell) !== cell ? unsigned(cell, column) : Number(cell);
};

/** Keys of an object a row: a column of a name that was had before gets a number, as SQLite names those of a subquery. */
function keysOf(columns: readonly AnswerColumn[]): string[] {
  const keys = new Set<string>();
  for (const { name } of columns) {
    let key = name;
    for (let i = 1; keys.has(key); i++) key = `${name}:${i}`;
    keys.add(key);
  }
  return [...keys];
}

/** A row as a block of lines, for rows of many columns. */
async function printVertical(
  out: Output,
  columns: readonly AnswerColumn[],
  rows: AsyncIterable<readonly AnswerCell[]>,
): Promise<void> {
  const width = Math.max(0, ...columns.map(({ name }) => name.length));
  let number = 0;
  for await (const row of rows) {
    if (number > 0) out.line();
    out.title(`row ${++number}`);
    for (const [i, column] of columns.entries()) {
      const cell = row[i] ?? null;
      if (cell !== null) out.line(`  ${column.name.padEnd(width)}  ${show(out, cell, column)}`);
    }
    const empty = columns.filter((_, i) => (row[i] ?? null) === null).length;
    if (empty > 0) out.line(`  (${empty} ${empty === 1 ? 'column is' : 'columns are'} null)`);
  }
}

const tables = Object.values(TABLES).map(
  ({ name, columns }) => `${name}: ${columns.map((column) => column.name).join(', ')}.`,
);

/** The same call without its --timeout. */
const withoutTimeout = (call: Call, limit: number | null): string[] => [
  call.command,
  ...['vertical', 'csv', 'json'].filter((name) => call.flag(name)).map((name) => `--${name}`),
  ...(limit === null ? [] : ['--limit', String(limit)]),
  '--',
  ...call.args,
];

export const command: Command = {
  arguments: [
    { name: 'TRACE', says: 'a trace of either store' },
    { name: 'SQL', says: 'one SELECT, in the language of SQLite' },
  ],
  json: {
    '[]': 'one object a row, with the names of the columns as keys; of several columns of a name the second is NAME:1',
  },
  options: [
    {
      name: 'vertical',
      short: 'x',
      says: 'print each row as lines of column and value, as is done where rows are wider than the terminal; those that are null are counted',
    },
    { name: 'limit', value: 'ROWS', says: 'print at most so many rows, and say where there are more (no limit)' },
    {
      name: 'timeout',
      value: 'SECONDS',
      says: 'end a statement that takes longer, with exit code 2; rows that it printed stay (no limit)',
    },
    { name: 'csv', says: 'print CSV with a header line (RFC 4180), numbers in decimal' },
    JSON_OPTION,
  ],
  alternatives: [['json', 'csv', 'vertical']],
  details: [
    'Reads, never writes. 64-bit integers are two’s complement: u64(x) and hex64(x) print them, ult(a, b) and ule(a, b) ' +
      'compare them without sign. Names of numbers are in the table dictionary, and in the view named. As JSON: one object a row, 64-bit ' +
      'values as hex strings, bytes as hex.',
    'A statement may compute without end, as a recursive one without a condition does: --timeout bounds the time that it ' +
      'takes, --limit the rows that it gives. Neither is set by default, and Ctrl-C ends it too.',
    ...tables,
    ...VIEWS.map(({ name, says, columns }) => `${name} (a view: ${says}): ${columns.map((c) => c.name).join(', ')}.`),
    'docs/query.md has every column with its meaning, and worked examples.',
  ],
  examples: [
    {
      line: 'trapline query run.sqlite "select name, count(*) n from exit group by 1"',
      says: 'exits by reason',
    },
    {
      line: 'trapline query run.sqlite "select seq, value from event where code = 26654"',
      says: 'reads and writes of the VMCS field 681eh, GUEST_RIP',
    },
    { line: 'trapline query run.sqlite -x "select * from event where seq = 100"', says: 'all of one event' },
    {
      line: 'trapline query big.arrow "select * from exit" --csv --limit 1000 --timeout 60',
      says: 'the first 1,000 rows, in a minute at the most',
    },
    { line: 'trapline query page.arrow "select tick, gpa, value from memory limit 20"', says: 'the first accesses' },
  ],
  async run(call) {
    const [path = '', statement = ''] = call.args;
    const limit = call.integer('limit', 0, Number.MAX_SAFE_INTEGER);
    const seconds = call.integer('timeout', 1, MOST_SECONDS);
    if (seconds !== null) return runBounded(withoutTimeout(call, limit), seconds, `query ${path}`);
    const sql = new TraceSql(path);
    try {
      const { columns: named, rows: all } = sql.ask(statement);
      // a column that was given no name has its expression's
      const columns = named.map((column) => ({ ...column, name: call.out.foreign(column.name) }));
      const rows =
        limit === null
          ? all
          : first(all, limit, () =>
              call.out.note(`the first ${limit === 1 ? 'row' : `${formatNumber(limit)} rows`}; there are more`),
            );
      if (call.flag('json')) {
        const keys = keysOf(named);
        const objects = gather(rows).map((row) =>
          Object.fromEntries(named.map((column, i) => [keys[i] ?? '', ofJson(row[i] ?? null, column)])),
        );
        call.out.json(objects);
      } else if (call.flag('csv')) {
        call.out.line(csvLine(columns.map(({ name }) => name)));
        for await (const row of attentive(rows))
          call.out.line(csvLine(columns.map((column, i) => textOf(call.out, row[i] ?? null, column))));
      } else if (call.flag('vertical')) await printVertical(call.out, columns, attentive(rows));
      else {
        const answered = gather(rows);
        const shown = answered.map((row) => columns.map((column, i) => show(call.out, row[i] ?? null, column)));
        const numeric = columns.map((_, i) => shown.every((row) => /^-?[0-9]*$|^0x/.test(row[i] ?? '')));
        const laid = columns.map(({ name }, i) => ({ title: name, align: numeric[i] ? 'right' : 'left' }) as const);
        if (call.out.fits(laid, shown)) call.out.table(laid, shown);
        else await printVertical(call.out, columns, attentive(answered));
      }
      return EXIT.holds;
    } finally {
      sql.close();
    }
  },
};
