/**
 * SQL over a trace of either store: the tables and columns of the schema, read-only, with the functions u64, hex64,
 * ult and ule for 64-bit integers, which are two's complement here. The tables are virtual ones over the chunks of the
 * trace, so that both stores answer alike and each chunk's digest is checked; of a chunk, only the columns that the
 * statement can mean are read.
 */
import Database from 'better-sqlite3';
import { TraceError, traceError } from './errors.js';
import { openTrace } from './open.js';
import { type Column, TABLE_NAMES, TABLES, type TableName } from './schema.js';
import { defineFunctions } from './sqlite/schema.js';
import type { Chunk, TraceReader } from './store.js';

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
  #statement = '';

  /** @throws TraceError where the trace cannot be opened */
  constructor(path: string) {
    this.#reader = openTrace(path);
    try {
      this.#db = this.#virtual();
      this.#db.defaultSafeIntegers(true);
      defineFunctions(this.#db);
      // After this, no statement can write, attach a file that is then written, or change the schema.
      this.#db.pragma('query_only = 1');
    } catch (error) {
      this.#reader.close();
      throw traceError(error, path, 'read');
    }
  }

  /** The trace itself, for names of its dictionaries. */
  get reader(): TraceReader {
    return this.#reader;
  }

  #virtual(): Database.Database {
    const db = new Database(':memory:');
    for (const name of TABLE_NAMES) {
      const columns = TABLES[name].columns;
      const rowsOf = (): Generator<unknown[]> => this.#rows(name, columns);
      db.table(name, {
        columns: columns.map((column) => column.name),
        safeIntegers: true,
        *rows() {
          yield* rowsOf();
        },
      });
    }
    return db;
  }

  /** Rows of a table; cells of columns that the statement does not name are null. */
  *#rows(table: TableName, columns: readonly Column[]): Generator<unknown[]> {
    // `*` and NATURAL mean columns without naming them.
    const all = /\*|\bnatural\b/i.test(this.#statement);
    const wanted = columns.filter(({ name }) => all || new RegExp(`\\b${name}\\b`, 'i').test(this.#statement));
    for (const chunk of this.#reader.chunks(table, { columns: wanted.map(({ name }) => name) })) {
      const cells = columns.map((column) => (wanted.includes(column) ? cellReader(chunk, column.name) : () => null));
      for (let row = 0; row < chunk.rows; row++) yield cells.map((cell) => cell(row));
    }
  }

  /**
   * Runs one SELECT.
   * @throws SqlError where it is none, or not valid; TraceError where the trace is damaged under it
   */
  ask(statement: string): Answer {
    this.#statement = statement;
    const prepared = this.#guard(statement, () => this.#db.prepare(statement));
    if (!prepared.reader || !prepared.readonly) throw new SqlError(excerpt(statement), 'it is not a SELECT');
    const columns = prepared.columns().map(({ name, column, table }) => ({ name, of: schemaColumn(table, column) }));
    const rows = prepared.raw(true).iterate() as IterableIterator<AnswerCell[]>;
    return { columns, rows: this.#guarded(statement, rows) };
  }

  *#guarded(statement: string, rows: IterableIterator<AnswerCell[]>): Generator<AnswerCell[]> {
    for (;;) {
      const next = this.#guard(statement, () => rows.next());
      if (next.done) return;
      yield next.value;
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
