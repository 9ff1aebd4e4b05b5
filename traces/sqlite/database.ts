/** The database of an SQLite trace, opened for reading: whole, as a killed recorder left it, or cut. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { TraceError, traceError } from '../errors.js';
import { type Upgrader, upgradesFor } from '../upgrade.js';
import { isBusy } from './lock.js';
import { isCut, openSalvaged } from './salvage.js';
import { APPLICATION_ID, BESIDE, defineFunctions, statementsOf } from './schema.js';

interface Found {
  readonly db: Database.Database;
  /** The file lost its end: `db` is a copy that has what is left. */
  readonly cut: boolean;
}
export interface OpenedDatabase extends Found {
  readonly upgrades: readonly Upgrader[];
}

/** Milliseconds for another reader to roll back what a killed recorder left; a recorder keeps its lock to its end. */
const PATIENCE = 1000;

function tryOpen(path: string, readonly: boolean): Database.Database {
  const db = new Database(path, { readonly, fileMustExist: true, timeout: PATIENCE });
  try {
    db.pragma('schema_version');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** A recorder that was killed leaves a journal: rolling it back needs to write; everything else reads only. */
function openWhole(path: string): Database.Database {
  try {
    return tryOpen(path, true);
  } catch (error) {
    if (isBusy(error)) throw new TraceError('TRACE_BUSY', path);
    return tryOpen(path, false);
  }
}

/** Errors of SQLite where it may not write a database that it can read, or not make the files beside it. */
const REFUSED = /^SQLITE_(READONLY|CANTOPEN)/;

/** What keeps a file from being read that may be read: a journal to roll back, or a log that no index is there for. */
function refusedFor(path: string, failure: unknown): unknown {
  if (!(failure instanceof Database.SqliteError) || !REFUSED.test(failure.code)) return failure;
  try {
    const files = [path, ...BESIDE.map((suffix) => `${path}${suffix}`)].filter((file) => existsSync(file));
    for (const file of files) accessSync(file, constants.R_OK);
    return new TraceError('TRACE_UNSETTLED', path);
  } catch {
    return failure;
  }
}

function openLeft(path: string): Found {
  const tooLittle = new TraceError('TRACE_CUT', path, null, 'too little is left to know its tables');
  try {
    const db = openSalvaged(path, statSync(path).size);
    if (db === null) throw tooLittle;
    return { db, cut: true };
  } catch (error) {
    throw error instanceof Database.SqliteError ? tooLittle : error;
  }
}

function openEither(path: string): Found {
  let db: Database.Database | null = null;
  let failure: unknown = null;
  try {
    db = openWhole(path);
  } catch (error) {
    if (error instanceof TraceError) throw error;
    failure = error;
  }
  // Only now: rolling back may have changed the size.
  if (!isCut(path, statSync(path).size)) {
    if (db === null) throw refusedFor(path, failure);
    return { db, cut: false };
  }
  db?.close();
  return openLeft(path);
}

/** Tables are those of the format and nothing else of their name: a view or a default could answer for ever, or anything. */
function checkSchema(db: Database.Database, path: string, upgrades: readonly Upgrader[]): void {
  const known = db.prepare('SELECT sql FROM sqlite_schema WHERE name = ? COLLATE NOCASE').pluck();
  for (const [name, sql] of statementsOf(upgrades)) {
    const found = known.all(name);
    if (found.length === 1 && found[0] === sql) continue;
    throw new TraceError('TRACE_DAMAGED', path, `table ${name}`, 'it is not declared as the format says');
  }
}

/** @throws TraceError where the file is no trace, or one of a version that cannot be read */
export function openForReading(path: string): OpenedDatabase {
  let opened: Found | null = null;
  try {
    opened = openEither(path);
    const { db } = opened;
    const header = (name: string) => Number(db.pragma(name, { simple: true }));
    if (header('application_id') !== APPLICATION_ID) throw new TraceError('TRACE_NOT_A_TRACE', path);
    const upgrades = upgradesFor(header('user_version'), path);
    checkSchema(db, path, upgrades);
    db.pragma('query_only = ON');
    defineFunctions(db);
    return { ...opened, upgrades };
  } catch (error) {
    opened?.db.close();
    throw traceError(error, path, 'read');
  }
}
