/**
 * How a trace lies in SQLite: each table of the schema is a plain table with the same columns, rows in order of rowid
 * (row i of a table has rowid i + 1). 64-bit integers are two's complement. Table `chunk` says which rows were written
 * together and carries their tags; descriptions of no rows only take room (backend.ts). `application_id` and
 * `user_version` are in the file's header.
 */
import type Database from 'better-sqlite3';
import { type ColumnType, TABLE_NAMES, type TableName } from '../schema.js';
import { storedColumns, type Upgrader } from '../upgrade.js';

/** "Trap" in the header of the file: https://www.sqlite.org/pragma.html#pragma_application_id */
export const APPLICATION_ID = 0x5472_6170;
/** Where it lies there, big-endian: "Database File Format", section 1.3. */
export const APPLICATION_ID_AT = 68;
/** First bytes of every SQLite file. */
export const MAGIC = Buffer.from('SQLite format 3\0', 'latin1');

/**
 * Ends of the names of files that SQLite keeps beside its own ("Temporary Files Used By SQLite"): a journal is rolled
 * back, and a write-ahead log read, by whoever opens the file.
 */
export const BESIDE = ['-journal', '-wal', '-shm'] as const;

const SQL_TYPE: { readonly [type in ColumnType]: string } = {
  u8: 'INTEGER',
  u16: 'INTEGER',
  u32: 'INTEGER',
  u64: 'INTEGER',
  i64: 'INTEGER',
  text: 'TEXT',
  bytes: 'BLOB',
};

export const quoted = (name: string): string => `"${name}"`;

const tableSql = (name: TableName, upgrades: readonly Upgrader[]): string => {
  const columns = storedColumns(upgrades, name).map(
    (column) => `${quoted(column.name)} ${SQL_TYPE[column.type]}${column.nullable ? '' : ' NOT NULL'}`,
  );
  return `CREATE TABLE ${quoted(name)} (${columns.join(', ')})`;
};

/** The statement that made each table of a trace that needs these upgraders, as SQLite keeps it. */
export const statementsOf = (upgrades: readonly Upgrader[]): ReadonlyMap<string, string> =>
  new Map([
    ...TABLE_NAMES.map((name): [string, string] => [name, tableSql(name, upgrades)]),
    [
      'chunk',
      'CREATE TABLE chunk ("table" TEXT NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL, length INTEGER NOT NULL, tags TEXT NOT NULL)',
    ],
  ]);

export const SCHEMA_SQL = [...statementsOf([]).values()].map((sql) => `${sql};`).join('\n');

/**
 * Functions for the two's complement integers: `u64(x)` decimal text, `hex64(x)` such as 0xffff..., and `ult(a, b)`,
 * `ule(a, b)`: unsigned less than, less or equal. All are null where an argument is,
 * and refuse what is no integer.
 */
export function defineFunctions(db: Database.Database): void {
  const unsigned = (value: unknown): bigint | null => {
    if (value === null) return null;
    // SQLite reads a decimal number of 2^63 or more as a real one, which is no longer that number.
    if (typeof value !== 'bigint') throw new RangeError(`${value} is no integer; write 2^63 and above as 0x...`);
    return BigInt.asUintN(64, value);
  };
  const options = { deterministic: true, safeIntegers: true };
  const define = (name: string, answer: (value: bigint) => string) =>
    db.function(name, options, (value: unknown) => {
      const x = unsigned(value);
      return x === null ? null : answer(x);
    });
  const compare = (name: string, answer: (a: bigint, b: bigint) => boolean) =>
    db.function(name, options, (left: unknown, right: unknown) => {
      const a = unsigned(left);
      const b = unsigned(right);
      return a === null || b === null ? null : Number(answer(a, b));
    });
  define('u64', (x) => x.toString());
  define('hex64', (x) => `0x${x.toString(16)}`);
  compare('ult', (a, b) => a < b);
  compare('ule', (a, b) => a <= b);
}
