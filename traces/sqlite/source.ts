/** Reads chunks from an SQLite trace. Columns are read as 32-bit halves, which costs a third of reading BigInts. */
import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { ColumnVector, cellsOver, isVariable, isWide, WIDTH } from '../column.js';
import { formTag } from '../digest.js';
import { TraceError, traceError } from '../errors.js';
import { formOf } from '../form.js';
import { type Damage, everywhere, indexChunks, type Source, type TaggedColumn } from '../reader.js';
import { type Column, TABLE_NAMES, TABLES, type TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';
import type { Upgrader } from '../upgrade.js';
import { openForReading } from './database.js';
import { quoted } from './schema.js';

export class SqliteSource implements Source {
  readonly kind = 'sqlite';
  readonly path: string;
  readonly chunks: ReadonlyMap<TableName, readonly StoredChunk[]>;
  readonly damage: Damage;
  readonly upgrades: readonly Upgrader[];
  readonly #db: Database.Database;
  readonly #cut: boolean;
  /** Cells of one chunk cannot be longer: nothing is compressed. */
  readonly #bytes: number;

  /** @throws TraceError where the file is no trace, or one of a version that cannot be read */
  constructor(path: string) {
    this.path = path;
    this.#bytes = statSync(path).size;
    const { db, cut, upgrades } = openForReading(path);
    this.upgrades = upgrades;
    this.#db = db;
    this.#cut = cut;
    try {
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
    const rows = this.#rows(chunk, columns);
    if (rows.length !== chunk.rows) throw new TraceError('TRACE_CUT', this.path, `table ${chunk.table}`);
    let at = 0;
    return columns.map((column) => {
      const start = at;
      at += isWide(column.type) ? 2 : 1;
      const vector = isVariable(column.type) ? variableColumn(column, rows, start) : fixedColumn(column, rows, start);
      return { vector, tag: formTag(formOf(vector)) };
    });
  }

  /** Pages and b-trees are SQLite's: what cannot be read of them is damage of the rows. */
  flaws(): string[] {
    return [];
  }

  close(): void {
    this.#db.close();
  }

  /** Rows of a chunk as SQLite tells them, 64-bit cells as two halves; one more at the most. */
  #rows({ table, first, rows }: StoredChunk, columns: readonly Column[]): unknown[][] {
    const from = `FROM ${quoted(table)} WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?`;
    const range = [first, first + rows, rows + 1];
    const picked = columns.map(({ name, type }) => {
      const cell = quoted(name);
      return isWide(type) ? `${cell} & 4294967295, (${cell} >> 32) & 4294967295` : cell;
    });
    try {
      const variable = columns.filter(({ type }) => isVariable(type));
      if (variable.length > 0) {
        // Rows of a file that was made to deceive can share their cells: SQLite would read them again for each.
        const lengths = variable.map(({ name }) => `total(octet_length(${quoted(name)}))`).join(' + ');
        const inner = `SELECT ${variable.map(({ name }) => quoted(name)).join(', ')} ${from}`;
        const length = this.#db.prepare(`SELECT ${lengths} FROM (${inner})`).pluck().get(range);
        if (Number(length) > this.#bytes) {
          throw new TraceError('TRACE_DAMAGED', this.path, `table ${table}`, 'its cells are longer than the file');
        }
      }
      return this.#db
        .prepare(`SELECT ${picked.join(', ')} ${from}`)
        .raw()
        .all(range) as unknown[][];
    } catch (error) {
      if (this.#cut && error instanceof Database.SqliteError) {
        throw new TraceError('TRACE_CUT', this.path, `table ${table}`);
      }
      throw error;
    }
  }

  /** Descriptions that cannot be parsed are left out; the gap that they leave ends their table. */
  #index() {
    const rows = this.#db.prepare('SELECT rowid, "table", first, rows, length, tags FROM chunk ORDER BY rowid').raw();
    const stored: StoredChunk[] = [];
    let damage = this.#cut ? new TraceError('TRACE_CUT', this.path) : null;
    let last = 0;
    try {
      for (const [rowid, ...row] of rows.iterate() as IterableIterator<unknown[]>) {
        if (Number(rowid) <= last) throw new TraceError('TRACE_DAMAGED', this.path, `table chunk, row ${last}`);
        last = Number(rowid);
        const chunk = storedChunk(row);
        if (chunk === null) damage ??= new TraceError('TRACE_DAMAGED', this.path, `table chunk, row ${last - 1}`);
        else if (chunk.rows > 0) stored.push(chunk);
      }
    } catch (error) {
      const failure = traceError(error, this.path, 'read', `table chunk, row ${last}`);
      if (!(failure instanceof TraceError) || stored.length === 0) throw failure;
      damage ??= failure;
    }
    const there = this.#cut ? stored.filter(this.#isThere()) : stored;
    const index = indexChunks(this.path, there);
    return { chunks: index.chunks, damage: damage === null ? index.damage : everywhere(damage) };
  }

  /** A chunk can be described before the cut, and lie behind it. */
  #isThere(): (chunk: StoredChunk) => boolean {
    const ends = new Map(
      TABLE_NAMES.map((name) => {
        const end = this.#db
          .prepare(`SELECT max(rowid) FROM ${quoted(name)}`)
          .pluck()
          .get();
        return [name, Number(end ?? 0)];
      }),
    );
    return ({ table, first, rows }) => first + rows <= (ends.get(table) ?? 0);
  }
}

const isTable = (name: unknown): name is TableName => TABLE_NAMES.some((table) => table === name);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function storedChunk([table, first, rows, length, tags]: readonly unknown[]): StoredChunk | null {
  if (!isTable(table) || !isCount(first) || !isCount(rows) || !isCount(length) || typeof tags !== 'string') return null;
  try {
    const parsed: unknown = JSON.parse(tags);
    if (typeof parsed !== 'object' || parsed === null) return null;
    // a column without a tag has no values: its name must not have become that of none, or of another
    const isColumn = (name: string): boolean => TABLES[table].columns.some((column) => column.name === name);
    const isWhole = JSON.stringify(parsed) === tags && Object.keys(parsed).every(isColumn);
    if (rows > 0 && !isWhole) return null; // those of no rows only take room
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
