/** SQLite's locks, which are the system's: they end with the process that has them, however it ends. */
import { rmSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';

/** A file, whatever its name is meanwhile. */
export const inodeOf = (path: string): bigint | null =>
  statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? null;

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
  readonly #inode: bigint | null;

  constructor(path: string) {
    this.#path = path;
    this.#db = exclusively(path);
    this.#inode = inodeOf(path);
  }

  /** The file goes, unless it is another's by now. */
  release(): void {
    if (this.#inode !== null && inodeOf(this.#path) === this.#inode) rmSync(this.#path, { force: true });
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
