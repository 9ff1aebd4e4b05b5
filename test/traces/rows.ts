/** Random rows of every table, and small helpers that the tests of this room share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { openTrace } from '../../traces/open.js';
import { type Column, type ColumnType, TABLE_NAMES, TABLES, type TableName } from '../../traces/schema.js';
import type { Cell, Row, TraceReader, TraceWriter } from '../../traces/store.js';

/** A folder of a file of tests, for it to remove. */
export const folderOf = (name: string): string => mkdtempSync(join(tmpdir(), `trapline-${name}-`));

/** A folder of the test's own, removed when it ends. */
export function scratch(test: TestContext): string {
  const folder = folderOf('test');
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const U64 = 0xffff_ffff_ffff_ffffn;
const cellOf: { readonly [type in ColumnType]: fc.Arbitrary<Cell> } = {
  u8: fc.integer({ min: 0, max: 0xff }),
  u16: fc.integer({ min: 0, max: 0xffff }),
  u32: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff })),
  u64: fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: U64 }), fc.constantFrom(2n ** 63n, U64)),
  i64: fc.oneof(fc.bigInt({ min: -5n, max: 5n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  text: fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constant('\0 with "quotes", \u{1f980}\n')),
  bytes: fc.uint8Array({ maxLength: 15 }),
};

const columnCell = ({ type, nullable }: Column): fc.Arbitrary<Cell> =>
  nullable ? fc.oneof(fc.constant(null), cellOf[type]) : cellOf[type];

export const rowOf = (table: TableName): fc.Arbitrary<Row> =>
  fc.record(Object.fromEntries(TABLES[table].columns.map((column) => [column.name, columnCell(column)])));

/** Tables that a writer fills from outside; run and dictionary have their own methods. */
export const FILLED: readonly TableName[] = TABLE_NAMES.filter((name) => name !== 'run' && name !== 'dictionary');

export interface Step {
  readonly table: TableName;
  readonly row: Row;
  readonly flush: boolean;
}
export const steps = (maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.constantFrom(...FILLED).chain((table) =>
      fc.record({
        table: fc.constant(table),
        row: rowOf(table),
        flush: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      }),
    ),
    { maxLength },
  );

export function write(writer: TraceWriter, script: readonly Step[], flushes = true): { readonly digest: string } {
  writer.setRun('source', 'test');
  writer.setRun('image', Uint8Array.of(1, 2, 3));
  writer.define('kind', 1, 'exit', 'a VM exit');
  for (const { table, row, flush } of script) {
    writer.table(table).row(row);
    if (flush && flushes) writer.flush();
  }
  return writer.finish();
}

/** A cell in one form: numbers as bigint, bytes as hex. */
const plain = (cell: Cell): string =>
  cell === null ? 'null' : cell instanceof Uint8Array ? `x${Buffer.from(cell).toString('hex')}` : String(cell);
export const plainRow = (row: Row): string[] => Object.entries(row).map(([name, cell]) => `${name}=${plain(cell)}`);

export function rowsOf(reader: TraceReader, table: TableName): string[][] {
  const rows: string[][] = [];
  for (const chunk of reader.chunks(table)) {
    for (let i = 0; i < chunk.rows; i++) rows.push(plainRow(chunk.row(i)));
  }
  return rows;
}

/** Opens a trace, and closes it whatever happens. */
export function reading<T>(path: string, use: (reader: TraceReader) => T): T {
  const reader = openTrace(path);
  try {
    return use(reader);
  } finally {
    reader.close();
  }
}

/** Many rows of the long tables, the same for the same seed. */
export function fillLong(writer: TraceWriter, events: number, accesses: number): void {
  const event = writer.table('event');
  const register = writer.table('register');
  const memory = writer.table('memory');
  for (let seq = 0; seq < events; seq++) {
    const exit = seq % 3 === 0;
    event.row({
      seq,
      tick: 1000 + seq * 7,
      vcpu: seq & 1,
      kind: exit ? 1 : 2,
      from_level: exit ? 1 : 0,
      reason: exit ? (seq * 2_654_435_761) % 60 : null,
      rip: 0xffff_ffff_8100_0000n + BigInt((seq * 37) % 4096),
      bytes: exit ? Uint8Array.of(0x0f, 0xa2, seq & 0xff) : null,
    });
    if (exit) register.row({ seq, rax: (seq * 40_503) & 0xffff, rcx: seq % 2 === 0 ? BigInt(seq) << 40n : null });
  }
  for (let i = 0; i < accesses; i++) {
    const address = 0x40_0000 + ((i * 8) & 0xf_ffff);
    memory.row({ tick: i * 2, vcpu: 0, level: 1, kind: i & 1, size: 8, gva: address, gpa: address, value: i * 3 });
  }
}
