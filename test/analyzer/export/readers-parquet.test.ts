/**
 * Datasets of Parquet files, read by parquet-wasm, which is Apache's implementation in Rust (arrow-rs) and no kin of the
 * writer, and held against what `trapline query` says of the same trace.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Table, tableFromIPC } from 'apache-arrow';
import fc from 'fast-check';
import { readParquet } from 'parquet-wasm';
import { DATASET_TABLES, type DatasetTable } from '../../../analyzer/export/parquet.js';
import { createTrace } from '../../../traces/open.js';
import { type Column, type ColumnType, TABLES } from '../../../traces/schema.js';
import { call } from '../../cli/process.js';
import { fixturePath } from '../../recorder/import-helpers.js';
import { rowOf, scratch } from '../../traces/rows.js';

/** What a column is to Arrow. 32 bits are 64 with a sign, which every engine has. */
const ARROW: { readonly [type in ColumnType]: string } = {
  u8: 'Uint8',
  u16: 'Uint16',
  u32: 'Int64',
  u64: 'Uint64',
  i64: 'Int64',
  text: 'Utf8',
  bytes: 'Binary',
};

/** Columns that a dataset has besides those of the trace; `kind` is the folder's. */
const NAMES: readonly Column[] = ['tracepoint_name', 'reason_name'].map((name) => ({
  name,
  type: 'text',
  nullable: true,
  says: 'a name',
}));

/** Rows of each table that is made up. */
const ROWS = 100;

type Asked = { readonly [column: string]: unknown };

/** A cell in one form: integers as bigint, bytes as hex. `query --json` has 64 bits as hexadecimal text without sign. */
function plain({ type }: Column, cell: unknown): unknown {
  if (cell === null || cell === undefined) return null;
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('hex');
  if (typeof cell === 'number') return BigInt(cell);
  if (typeof cell !== 'string' || type === 'text' || type === 'bytes') return cell;
  return type === 'i64' ? BigInt.asIntN(64, BigInt(cell)) : BigInt(cell);
}

/** Each Parquet file of a dataset by its path in it. */
const filesOf = (dataset: string): Map<string, Table> =>
  new Map(
    readdirSync(dataset, { recursive: true })
      .map((path) => String(path).replaceAll('\\', '/'))
      .filter((path) => path.endsWith('.parquet'))
      .sort()
      .map((path) => [path, tableFromIPC(readParquet(readFileSync(join(dataset, path))).intoIPCStream())]),
  );

/** Columns that a file of a table is to have, each with what it is called in the trace. */
function columnsOf(table: DatasetTable): Map<string, Column> {
  const own = TABLES[table].columns.map((column): [string, Column] => [column.name, column]);
  if (table !== 'event') return new Map(own);
  const named = own.map(([name, column]): [string, Column] => [name === 'kind' ? 'kind_code' : name, column]);
  return new Map([...named, ...NAMES.map((column): [string, Column] => [column.name, column])]);
}

/** The rows of a table in their order, events with the names that a dataset gives them. */
const ASKED: { readonly [table in DatasetTable]?: string } = {
  event: `select e.*, n.kind as folder, n.tracepoint as tracepoint_name, d.name as reason_name
    from event e join named n on n.seq = e.seq
    left join dictionary d on d.domain = iif(e.isa = 1, 'reason.vmx', 'reason.svm') and d.code = e.reason
    order by e.seq`,
};

async function ask(trace: string, sql: string): Promise<readonly Asked[]> {
  const { code, out, err } = await call('query', trace, sql, '--json');
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

function checkFile(path: string, file: Table, table: DatasetTable, asked: readonly Asked[], leave: readonly string[]) {
  const columns = columnsOf(table);
  assert.deepEqual(
    new Map(file.schema.fields.map(({ name, type, nullable }) => [name, `${type} ${nullable}`])),
    new Map([...columns].map(([name, { type, nullable }]) => [name, `${ARROW[type]} ${nullable}`])),
    path,
  );
  for (const [name, column] of columns) {
    if (leave.includes(name)) continue;
    const read = Array.from(file.getChild(name) ?? [], (cell) => plain(column, cell));
    const expected = asked.map((row) => plain(column, row[column.name]));
    assert.deepEqual(read, expected, `${path}, column ${name}`);
  }
}

/** File of a row: the partition column of events is in its path. */
const pathOf = (table: DatasetTable, { folder }: Asked): string =>
  `${table === 'event' ? `event/kind=${folder}` : table}/part-0.parquet`;

/** Exports a trace and holds every file against the answers of query. Answers how many rows each file has. */
async function check(t: TestContext, trace: string, leave: readonly string[] = []): Promise<Map<string, number>> {
  const dataset = join(scratch(t), 'dataset');
  const { code, out, err } = await call('export', trace, '-o', dataset, '--as', 'parquet', '--json');
  assert.equal(code, 0, err);
  const files = filesOf(dataset);
  let compared = 0;
  for (const table of DATASET_TABLES) {
    const rows = await ask(trace, ASKED[table] ?? `select * from ${table} order by rowid`);
    const before = compared;
    for (const [path, file] of files) {
      if (!path.startsWith(`${table}/`)) continue;
      const asked = rows.filter((row) => pathOf(table, row) === path);
      checkFile(path, file, table, asked, leave);
      compared += asked.length;
    }
    assert.equal(compared - before, rows.length, table);
  }
  assert.equal(compared, JSON.parse(out).written);
  return new Map([...files].map(([path, { numRows }]) => [path, numRows]));
}

test('arrow-rs reads what query answers of an imported recording, each kind from the folder of its name', async (t) => {
  const trace = join(scratch(t), 'nested.sqlite');
  assert.equal((await call('import', fixturePath('svm-nested.trace.dat'), '-o', trace)).code, 0);
  const seen = await check(t, trace);
  assert.equal(seen.get('event/kind=exit/part-0.parquet'), 69);
});

test('arrow-rs reads every type of column, its bounds and its nulls', async (t) => {
  const trace = join(scratch(t), 'any.arrow');
  const writer = createTrace(trace);
  for (const table of DATASET_TABLES.filter((name) => name !== 'dictionary')) {
    for (const [i, row] of fc.sample(rowOf(table), { numRuns: ROWS, seed: 7 }).entries()) {
      writer.table(table).row(table === 'event' ? { ...row, seq: BigInt(i), kind: i % 4 } : row);
    }
  }
  writer.define('event', 1, 'kvm_\u{1f980}', 'a name of two UTF-16 units');
  writer.finish();
  // What an architecture that there is not calls its reasons is parquet.test.ts's.
  const seen = await check(t, trace, ['reason_name']);
  for (const table of DATASET_TABLES) {
    const rows = [...seen].reduce((sum, [path, found]) => (path.startsWith(`${table}/`) ? sum + found : sum), 0);
    assert.equal(rows, table === 'dictionary' ? 1 : ROWS);
  }
});
