/**
 * SQL over a trace of either store: the tables and columns of the schema and a few views (views.ts), read-only, with the functions u64, hex64,
 * ult and ule for 64-bit integers, which are two's complement here. Before a statement runs, the tables that it names
 * are read, so that each chunk's digest is checked; those of an Arrow trace are copied into a temporary database, of
 * which SQLite keeps what does not fit into its cache on disk.
 */
import Database from 'better-sqlite3';
import { TraceError, traceError } from './errors.js';
import { openTrace } from './open.js';
import { type Column, TABLE_NAMES, TABLES, type TableName } from './schema.js';
import { defineFunctions, quoted, SCHEMA_SQL } from './sqlite/schema.js';
import type { Chunk, TraceReader } from './store.js';
import { VIEWS } from './views.js';

/** A column of an answer; `of` is the column of the schema that it is, where it is one as it stands. */
export interface AnswerColumn {
  readonly name: string;
  readonly of: Column | null;
}

export type AnswerCell = bigint | number | string | Uint8Array | null;

export interface Answer {
  readonly columns: readonly AnswerColumn[];
  /** Rows as they are computed; integers as bigint, two's complement. */
  readonly rows: IterableIterator<readonly AnswerCell[]>;
}

export class SqlError extends Error {
  readonly code = 'SQL_REFUSED';
  readonly what = 'statement cannot be run';
  readonly where: string;
  readonly why: string;
  readonly advice = 'see trapline query --help for tables, columns and examples';
  constructor(where: string, why: string) {
    super(`statement cannot be run: ${where}: ${why}`);
    this.where = where;
    this.why = why;
  }
}

export class TraceSql {
  readonly #db: Database.Database;
  readonly #reader: TraceReader;
  /** Tables of an Arrow trace that were copied, with their columns. */
  readonly #copied = new Map<TableName, ReadonlySet<string>>();
  /** Tables of an SQLite trace that are known to have all columns. */
  readonly #completed = new Set<TableName>();

  /** @throws TraceError where the trace cannot be opened */
  constructor(path: string) {
    this.#reader = openTrace(path);
    try {
      // The empty name is a temporary database on disk.
      this.#db = this.#reader.kind === 'sqlite' ? new Database(path, { readonly: true }) : new Database('');
      this.#db.defaultSafeIntegers(true);
      defineFunctions(this.#db);
      if (this.#reader.kind === 'arrow') this.#db.exec(SCHEMA_SQL);
      for (const { name, sql } of VIEWS) this.#db.exec(`CREATE TEMP VIEW ${quoted(name)} AS ${sql}`);
    } catch (error) {
      this.#reader.close();
      throw traceError(error, path, 'read');
    }
  }

  /** The trace itself, for names of its dictionaries. */
  get reader(): TraceReader {
    return this.#reader;
  }

  /** A table that an older version wrote has its newer columns too, without values. */
  #complete(table: TableName): void {
    if (this.#completed.has(table)) return;
    this.#completed.add(table);
    const stored = this.#db.prepare('SELECT name FROM pragma_table_info(?)').pluck().all(table);
    const { columns } = TABLES[table];
    if (columns.every(({ name }) => stored.includes(name))) return;
    const cells = columns.map(({ name }) => (stored.includes(name) ? quoted(name) : `NULL AS ${quoted(name)}`));
    this.#db.pragma('query_only = 0');
    this.#db.exec(`CREATE TEMP VIEW ${quoted(table)} AS SELECT ${cells.join(', ')} FROM main.${quoted(table)}`);
  }

  /** Checks what the statement can mean, and copies it where the store is not SQLite. */
  #prepare(statement: string): void {
    const names = (word: string): boolean => new RegExp(`\\b${word}\\b`, 'i').test(statement);
    // `*` and NATURAL mean columns without naming them.
    const all = /\*|\bnatural\b/i.test(statement);
    const views = VIEWS.filter(({ name }) => names(name));
    for (const table of TABLE_NAMES) {
      const passed = (name: string): boolean => table === 'event' && (all || names(name));
      const ofViews = new Set(
        views.flatMap(({ reads, passes }) => [...(reads[table] ?? []), ...(passes ?? []).filter(passed)]),
      );
      const named = names(table);
      if (!named && ofViews.size === 0) continue;
      const columns = TABLES[table].columns.filter(({ name }) => ofViews.has(name) || (named && (all || names(name))));
      if (this.#reader.kind === 'arrow') this.#copy(table, columns);
      else {
        for (const _ of this.#reader.chunks(table, { columns: columns.map(({ name }) => name) }));
        this.#complete(table); // only what was read whole can be asked for its columns
      }
    }
  }

  /** Cells of columns that no statement named are null, or 0 where the schema wants a value. */
  #copy(table: TableName, columns: readonly Column[]): void {
    const known = this.#copied.get(table);
    if (known && columns.every(({ name }) => known.has(name))) return;
    const wanted = TABLES[table].columns.filter((column) => columns.includes(column) || known?.has(column.name));
    this.#copied.set(table, new Set(wanted.map(({ name }) => name)));
    const every = TABLES[table].columns;
    this.#db.pragma('query_only = 0');
    this.#db.exec(`DELETE FROM ${quoted(table)}`);
    const insert = this.#db.prepare(`INSERT INTO ${quoted(table)} VALUES (${every.map(() => '?').join(', ')})`);
    this.#db.transaction(() => {
      for (const chunk of this.#reader.chunks(table, { columns: wanted.map(({ name }) => name) })) {
        const cells = every.map((column) =>
          wanted.includes(column) ? cellReader(chunk, column.name) : () => (column.nullable ? null : 0n),
        );
        for (let row = 0; row < chunk.rows; row++) insert.run(cells.map((cell) => cell(row)));
      }
    })();
  }

  /**
   * Runs one SELECT.
   * @throws SqlError where it is none, or not valid; TraceError where the trace is damaged under it
   */
  ask(statement: string): Answer {
    const prepared = this.#guard(statement, () => {
      this.#prepare(statement);
      // From here on, no statement can write, attach a file that is then written, or change the schema.
      this.#db.pragma('query_only = 1');
      return this.#db.prepare(statement);
    });
    if (!prepared.reader || !prepared.readonly) throw new SqlError(excerpt(statement), 'it is not a SELECT');
    const columns = prepared.columns().map(({ name, column, table }) => ({ name, of: schemaColumn(table, column) }));
    // a statement with parameters has no values for them
    const rows = this.#guard(statement, () => prepared.raw(true).iterate() as IterableIterator<AnswerCell[]>);
    return { columns, rows: this.#guarded(statement, rows) };
  }

  *#guarded(statement: string, rows: IterableIterator<AnswerCell[]>): Generator<AnswerCell[]> {
    try {
      for (;;) {
        const next = this.#guard(statement, () => rows.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      // who stops reading early must still be able to close
      rows.return?.();
    }
  }

  #guard<T>(statement: string, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof TraceError) throw error;
      const { code } = error as { code?: unknown };
      if (typeof code === 'string' && /^SQLITE_(CORRUPT|NOTADB|IOERR)/.test(code)) {
        throw traceError(error, this.#reader.path, 'read');
      }
      throw new SqlError(excerpt(statement), error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    this.#db.close();
    this.#reader.close();
  }
}

const excerpt = (statement: string): string => (statement.length > 60 ? `${statement.slice(0, 57)}...` : statement);

const schemaColumn = (table: string | null, column: string | null): Column | null => {
  if (table === null || column === null || !Object.hasOwn(TABLES, table)) return null;
  return TABLES[table as TableName].columns.find(({ name }) => name === column) ?? null;
};

/** Reads the cells of one column as SQLite takes them. */
function cellReader(chunk: Chunk, name: string): (row: number) => unknown {
  const { valid, numbers, big, values } = chunk.column(name);
  return (row) => {
    if (valid !== null && valid[row] !== 1) return null;
    if (big !== null) return BigInt.asIntN(64, big[row] ?? 0n);
    if (numbers !== null) return BigInt(numbers[row] ?? 0);
    const value = values?.[row] ?? null;
    return value instanceof Uint8Array ? Buffer.from(value) : value;
  };
}
