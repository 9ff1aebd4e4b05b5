/** Reads chunks from an SQLite trace. Columns are read as 32-bit halves, which costs a third of reading BigInts. */
import { readFileSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { ColumnVector, cellsOver, isVariable, isWide, WIDTH } from '../column.js';
import { formTag } from '../digest.js';
import { TraceError, traceError } from '../errors.js';
import { formOf } from '../form.js';
import { indexChunks, type Source, type TaggedColumn } from '../reader.js';
import { type Column, TABLE_NAMES, type TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';
import { type Upgrader, upgradesFor } from '../upgrade.js';
import { APPLICATION_ID, defineFunctions, MAGIC, quoted } from './schema.js';

export class SqliteSource implements Source {
  readonly kind = 'sqlite';
  readonly path: string;
  readonly chunks: ReadonlyMap<TableName, readonly StoredChunk[]>;
  readonly damage: TraceError | null;
  readonly upgrades: readonly Upgrader[];
  readonly #db: Database.Database;

  /** @throws TraceError where the file is no trace, or one of a version that cannot be read */
  constructor(path: string) {
    this.path = path;
    this.#db = openForReading(path);
    try {
      const header = (name: string) => Number(this.#db.pragma(name, { simple: true }));
      if (header('application_id') !== APPLICATION_ID) throw new TraceError('TRACE_NOT_A_TRACE', path);
      this.upgrades = upgradesFor(header('user_version'), path);
      const { chunks, damage } = this.#index();
      this.chunks = chunks;
      this.damage = damage;
    } catch (error) {
      this.#db.close();
      throw traceError(error, path, 'read');
    }
  }

  read(chunk: StoredChunk, columns: readonly Column[]): TaggedColumn[] {
    if (columns.length === 0) return [];
    const picked = columns.map(({ name, type }) => {
      const cell = quoted(name);
      return isWide(type) ? `${cell} & 4294967295, (${cell} >> 32) & 4294967295` : cell;
    });
    const rows = this.#db
      .prepare(`SELECT ${picked.join(', ')} FROM ${quoted(chunk.table)} WHERE rowid > ? AND rowid <= ? ORDER BY rowid`)
      .raw()
      .all(chunk.first, chunk.first + chunk.rows) as unknown[][];
    if (rows.length !== chunk.rows) throw new TraceError('TRACE_CUT', this.path, `table ${chunk.table}`);
    let at = 0;
    return columns.map((column) => {
      const start = at;
      at += isWide(column.type) ? 2 : 1;
      const vector = isVariable(column.type) ? variableColumn(column, rows, start) : fixedColumn(column, rows, start);
      return { vector, tag: formTag(formOf(vector)) };
    });
  }

  close(): void {
    this.#db.close();
  }

  /** Also what an interrupted write of the index left readable: rows that cannot be parsed end it. */
  #index() {
    const rows = this.#db.prepare('SELECT "table", first, rows, length, tags FROM chunk ORDER BY rowid').raw();
    const stored: StoredChunk[] = [];
    let damage: TraceError | null = null;
    try {
      for (const row of rows.iterate() as IterableIterator<unknown[]>) {
        const chunk = storedChunk(row);
        if (chunk === null) {
          damage = new TraceError('TRACE_DAMAGED', this.path, `table chunk, row ${stored.length}`);
          break;
        }
        stored.push(chunk);
      }
    } catch (error) {
      const failure = traceError(error, this.path, 'read', `table chunk, row ${stored.length}`);
      if (!(failure instanceof TraceError) || stored.length === 0) throw failure;
      damage = failure;
    }
    const index = indexChunks(this.path, stored);
    if (this.#db.memory) damage ??= new TraceError('TRACE_CUT', this.path);
    return { chunks: index.chunks, damage: index.damage ?? damage };
  }
}

/** Offsets in the header of the file: https://www.sqlite.org/fileformat.html#the_database_header */
const HEADER = { pageSize: 16, pages: 28, bytes: 100 } as const;
/** A cut file is read from memory; larger ones are refused. */
const LARGEST_CUT = 1 << 30;

/**
 * SQLite refuses a file that is shorter than its header says. A copy whose header says what is there can be read up to
 * the first page that is missing. Null where the file is not cut, or holds nothing.
 */
function openCut(path: string): Database.Database | null {
  const { size } = statSync(path);
  if (size < HEADER.bytes || size > LARGEST_CUT) return null;
  const file = readFileSync(path);
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const stored = file.readUInt16BE(HEADER.pageSize);
  const pageSize = stored === 1 ? 0x1_0000 : stored;
  const pages = Math.floor(size / pageSize);
  if (pageSize < 512 || pages === 0 || pages >= file.readUInt32BE(HEADER.pages)) return null;
  file.writeUInt32BE(pages, HEADER.pages);
  return new Database(file.subarray(0, pages * pageSize));
}

/** A recorder that was killed leaves a journal: rolling it back needs to write; everything else reads only. */
function openForReading(path: string): Database.Database {
  let db: Database.Database | null = null;
  try {
    db = new Database(path, { readonly: true, fileMustExist: true });
    db.pragma('schema_version');
  } catch {
    db?.close();
    try {
      db = new Database(path, { fileMustExist: true });
      db.pragma('schema_version');
    } catch (error) {
      db?.close();
      db = openCut(path);
      if (db === null) throw traceError(error, path, 'read');
    }
  }
  db.pragma('query_only = ON');
  defineFunctions(db);
  return db;
}

const isTable = (name: unknown): name is TableName => TABLE_NAMES.some((table) => table === name);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function storedChunk([table, first, rows, length, tags]: readonly unknown[]): StoredChunk | null {
  if (!isTable(table) || !isCount(first) || !isCount(rows) || !isCount(length) || typeof tags !== 'string') return null;
  try {
    const parsed: unknown = JSON.parse(tags);
    if (typeof parsed !== 'object' || parsed === null) return null;
    const entries = Object.entries(parsed).map(([name, tag]): [string, string] => [name, String(tag)]);
    return { table, first, rows, offset: 0, length, tags: new Map(entries) };
  } catch {
    return null;
  }
}

function fixedColumn(column: Column, rows: readonly unknown[][], at: number): ColumnVector {
  const cells = cellsOver(column.type, new ArrayBuffer(rows.length * WIDTH[column.type]), 0, rows.length);
  const valid = column.nullable ? new Uint8Array(rows.length) : null;
  const wide = isWide(column.type);
  rows.forEach((row, i) => {
    const cell = row[at];
    if (typeof cell !== 'number') return;
    if (valid !== null) valid[i] = 1;
    cells[wide ? 2 * i : i] = cell;
    if (wide) cells[2 * i + 1] = Number(row[at + 1]);
  });
  return new ColumnVector(column, rows.length, cells, valid, null);
}

const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);

function variableColumn(column: Column, rows: readonly unknown[][], at: number): ColumnVector {
  const valid = column.nullable ? new Uint8Array(rows.length) : null;
  const offsets = new Uint32Array(rows.length + 1);
  const pieces = rows.map((row, i) => {
    const cell = row[at];
    const piece = typeof cell === 'string' ? encoder.encode(cell) : cell instanceof Uint8Array ? cell : null;
    if (piece !== null && valid !== null) valid[i] = 1;
    offsets[i + 1] = (offsets[i] ?? 0) + (piece?.length ?? 0);
    return piece ?? NOTHING;
  });
  return new ColumnVector(column, rows.length, offsets, valid, Buffer.concat(pieces));
}
