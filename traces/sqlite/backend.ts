/**
 * Writes chunks into SQLite, one transaction a chunk. The rollback journal is on and nothing waits for the disk: a
 * killed process loses the chunk it was writing and no more (SQLite rolls it back when the file is next opened); loss
 * of power may lose what the operating system had not yet written.
 */
import { closeSync, linkSync, mkdtempSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { ColumnVector, TableChunk } from '../column.js';
import { chunkTags } from '../digest.js';
import { TraceError, traceError } from '../errors.js';
import { identityOf } from '../identity.js';
import { newRows, prepareSegment } from '../prepare.js';
import { FORMAT_VERSION, type TableName } from '../schema.js';
import type { Backend, Prepared, Segment, Store } from '../sink.js';
import { isLocked, isWrittenHere, WrittenHere } from './lock.js';
import { APPLICATION_ID, APPLICATION_ID_AT, BESIDE, quoted, SCHEMA_SQL } from './schema.js';

type Bound = number | bigint | string | Uint8Array | null;
type Binder = (row: number) => Bound;
/** Rows that one statement inserts: a call of SQLite costs as much as ten cells. */
const AT_ONCE = 64;
/** 2^21: a 64-bit value whose high word, taken as signed, lies within it is exact as a number. */
const EXACT_HIGH = 0x20_0000;
const HALF = 0x1_0000_0000;

/**
 * The index begins with descriptions of no rows that fill a page each. SQLite moves the first page of a table when the
 * second is begun: from here on a page of descriptions stays where it was begun, before the rows that it describes.
 */
const FILLER = JSON.stringify({ filler: ' '.repeat(3500) });

function begin(path: string): void {
  const db = new Database(path);
  try {
    db.pragma('journal_mode = DELETE');
    db.pragma('synchronous = OFF');
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${FORMAT_VERSION}`);
    db.exec(`BEGIN; ${SCHEMA_SQL}`);
    const description = db.prepare('INSERT INTO chunk VALUES (?, ?, ?, ?, ?)');
    for (const name of ['run', 'dictionary']) description.run(name, 0, 0, 0, FILLER);
    db.exec('COMMIT');
  } finally {
    db.close();
  }
}

const journalOf = (path: string): string => `${path}-journal`;

class SqliteBackend implements Backend {
  readonly #path: string;
  readonly #db: Database.Database;
  readonly #inserts = new Map<string, Database.Statement>();
  readonly #chunk: Database.Statement;
  readonly #identity: string | null;
  #failed = false;

  constructor(path: string) {
    this.#path = path;
    this.#db = new Database(path, { fileMustExist: true });
    this.#identity = identityOf(path);
    this.#db.pragma('locking_mode = EXCLUSIVE');
    this.#db.pragma('journal_mode = TRUNCATE');
    this.#db.pragma('synchronous = OFF');
    this.#db.pragma('cache_spill = OFF');
    this.#chunk = this.#db.prepare('INSERT INTO chunk VALUES (?, ?, ?, ?, ?)');
  }

  prepare(segment: Segment): Prepared {
    return prepareSegment(segment, (chunk) => ({ message: null, tags: chunkTags(chunk) }));
  }

  write({ table, first, rows, tags }: Prepared, segment: Segment | null): void {
    if (rows === 0 || segment === null || this.#failed) return;
    let length = 0;
    try {
      this.#db.exec('BEGIN');
      const chunk = newRows(segment);
      const columns = [...tags.keys()].map((name) => chunk.column(name));
      length = columns.reduce((sum, column) => sum + sizeOf(column), 0);
      // Before the rows, so that no cut leaves rows without their description.
      this.#chunk.run(table, first, rows, length, JSON.stringify(Object.fromEntries(tags)));
      this.#insert(chunk, columns);
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#failed = true;
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      const place = `table ${table}, row ${first}`;
      throw traceError(causeOf(error, this.#path, 2 * length + MORE), this.#path, 'write', place);
    }
  }

  close(): void {
    this.#db.close();
    // another trace may have the name by now
    if (identityOf(this.#path) === this.#identity) rmSync(journalOf(this.#path), { force: true });
  }

  #insert(chunk: TableChunk, columns: readonly ColumnVector[]): void {
    const cells = columns.map(binder);
    const bound: Bound[] = [];
    for (let row = 0; row < chunk.rows; ) {
      const count = chunk.rows - row >= AT_ONCE ? AT_ONCE : 1;
      let at = 0;
      for (const end = row + count; row < end; row++) {
        for (let c = 0; c < cells.length; c++) bound[at++] = (cells[c] as Binder)(row);
      }
      bound.length = at;
      this.#statement(chunk.table, columns, count).run(bound);
    }
  }

  #statement(table: TableName, columns: readonly ColumnVector[], rows: number): Database.Statement {
    const names = columns.map(({ name }) => quoted(name)).join(', ');
    const key = `${rows} ${table} ${names}`;
    let statement = this.#inserts.get(key);
    if (statement === undefined) {
      const row = `(${columns.map(() => '?').join(', ')})`;
      const values = new Array<string>(rows).fill(row).join(', ');
      statement = this.#db.prepare(`INSERT INTO ${quoted(table)} (${names}) VALUES ${values}`);
      this.#inserts.set(key, statement);
    }
    return statement;
  }
}

/** Bytes of b-trees and heads that a chunk takes besides its cells. */
const MORE = 1 << 20;

/**
 * Of what stopped a write SQLite tells a full disk (ENOSPC) alone, neither a quota nor the limit of a file's size: a file
 * beside is asked, as long as the database would have become at the most. The same error where that can be written.
 */
function causeOf(error: unknown, path: string, growth: number): unknown {
  if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_IOERR')) return error;
  let folder: string | null = null;
  let file: number | null = null;
  try {
    folder = mkdtempSync(`${path}.`);
    file = openSync(join(folder, 'space'), 'wx');
    writeSync(file, Uint8Array.of(0), 0, 1, statSync(path).size + growth);
    return error;
  } catch (cause) {
    const failure = traceError(cause, path, 'write');
    return failure instanceof TraceError && failure.code === 'TRACE_DISK_FULL' ? cause : error;
  } finally {
    if (file !== null) closeSync(file);
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  }
}

const sizeOf = ({ numbers, offsets, data }: ColumnVector): number =>
  (numbers?.byteLength ?? 0) + (offsets?.byteLength ?? 0) + (data?.byteLength ?? 0);

/** A cell of a column as SQLite binds it. Numbers are bound as doubles; the column's affinity stores them as integers. */
function binder(column: ColumnVector): Binder {
  const { valid, values, numbers, big } = column;
  const whole = (value: (row: number) => Bound) =>
    valid === null ? value : (row: number) => (valid[row] === 0 ? null : value(row));
  if (values !== null) return (row) => values[row] ?? null;
  if (numbers === null) return () => null;
  if (big === null) return whole((row) => numbers[row] ?? null);
  const signed = new BigInt64Array(big.buffer, big.byteOffset, big.length);
  return whole((row) => {
    const high = (numbers[2 * row + 1] as number) | 0;
    if (high >= -EXACT_HIGH && high < EXACT_HIGH) return high * HALF + (numbers[2 * row] as number);
    return signed[row] as bigint;
  });
}

/** By a link, as that takes no name that anything has; where the file system has none, by an empty file. */
function place(path: string, target: string): void {
  try {
    linkSync(path, target);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw error;
    closeSync(openSync(target, 'wx'));
    renameSync(path, target);
  }
}

/** Any program may keep its data in a database: ours says so in its header, which is there even where it is damaged. */
function refusal(path: string): string | null {
  if (isWrittenHere(path)) return null;
  const file = openSync(path, 'r');
  try {
    const id = Buffer.alloc(4);
    const got = readSync(file, id, 0, id.length, APPLICATION_ID_AT);
    return got === id.length && id.readUInt32BE() === APPLICATION_ID ? null : 'it is a database of another program';
  } finally {
    closeSync(file);
  }
}

export const sqliteStore: Store = {
  name: 'sqlite',
  begin,
  append: (path) => new SqliteBackend(path),
  place,
  files: (path) => [path],
  beside: BESIDE,
  hold: (path) => new WrittenHere(path),
  isWritten: isLocked,
  refusal,
};
