/** SQLite's locks, which are the system's: they end with the process that has them, however it ends. */
import { rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import { identityOf } from '../identity.js';

/**
 * Databases that traces are being written to from here. POSIX locks of a process end with any descriptor of the file that
 * it closes ("How To Corrupt An SQLite Database File", 2.2): SQLite minds its own, and nobody else may open these.
 */
const written = new Map<string, number>();

/** Whether a file is a database that is written from here, and would lose its lock if it were opened. */
export const isWrittenHere = (path: string): boolean => written.has(identityOf(path) ?? '');

/** Keeps a database from being opened by any but SQLite, until released. */
export class WrittenHere {
  readonly #identity: string | null;

  constructor(path: string) {
    this.#identity = identityOf(path);
    if (this.#identity !== null) written.set(this.#identity, (written.get(this.#identity) ?? 0) + 1);
  }

  release(): void {
    if (this.#identity === null) return;
    const left = (written.get(this.#identity) ?? 0) - 1;
    if (left > 0) written.set(this.#identity, left);
    else written.delete(this.#identity);
  }
}

/** An error of SQLite says that another has locked the database. */
export const isBusy = (error: unknown): boolean =>
  error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');

/** Whether another has a database for itself, in this process or any other. */
export function isLocked(path: string): boolean {
  let db: Database.Database | null = null;
  try {
    db = new Database(path, { readonly: true, fileMustExist: true, timeout: 0 });
    db.pragma('schema_version');
    return false;
  } catch (error) {
    return isBusy(error); // anything else is what is left of a database
  } finally {
    db?.close();
  }
}

/** Milliseconds. */
const PATIENCE = 1000;

/** Holds a file locked that nothing is in, as long as it is there; an empty file is an empty database. */
export class FileLock {
  readonly #path: string;
  readonly #db: Database.Database | null;
  readonly #identity: string | null;

  constructor(path: string) {
    this.#path = path;
    this.#db = exclusively(path);
    this.#identity = identityOf(path);
  }

  /** The file goes, unless it is another's by now. */
  release(): void {
    if (this.#identity !== null && identityOf(this.#path) === this.#identity) rmSync(this.#path, { force: true });
    this.#db?.close();
  }
}

/** Null where the file system has no locks. */
function exclusively(path: string): Database.Database | null {
  let db: Database.Database | null = null;
  try {
    db = new Database(path, { timeout: PATIENCE }); // whoever asks whether it is locked has it for a moment
    db.pragma('journal_mode = MEMORY');
    db.exec('BEGIN EXCLUSIVE');
    return db;
  } catch {
    db?.close();
    return null;
  }
}
