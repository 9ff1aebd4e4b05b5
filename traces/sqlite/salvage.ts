/**
 * Makes a cut SQLite file readable. Rows lie in leaf pages, and those are written in the order of the rows; but the
 * interior pages that lead to them are written last, so that SQLite finds next to nothing in a file that lost its end.
 * In a copy, interior pages are made anew over the leaves that are there, and the header says what is there. Which rows
 * are right is for the reader to find: every chunk has its tags.
 */
import { closeSync, copyFileSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import {
  type Child,
  childrenOf,
  emptyLeaf,
  FILE_HEADER,
  fanOut,
  interiorPage,
  isLeaf,
  type Leaf,
  leafOf,
  type PageShape,
  pageShape,
} from './btree.js';
import { MAGIC } from './schema.js';

/** What the header of a file promises, and the pages that are whole. */
interface Extent {
  readonly shape: PageShape;
  readonly promised: number;
  readonly present: number;
  readonly whole: boolean;
}

function extentOf(path: string, size: number): Extent | null {
  const header = Buffer.alloc(FILE_HEADER.bytes);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, header, 0, header.length, 0) < header.length) return null;
  } finally {
    closeSync(file);
  }
  const shape = header.subarray(0, MAGIC.length).equals(MAGIC) ? pageShape(header) : null;
  if (shape === null) return null;
  const promised = header.readUInt32BE(FILE_HEADER.pages);
  return { shape, promised, present: Math.floor(size / shape.size), whole: size >= promised * shape.size };
}

/** True where an SQLite file of `size` bytes is shorter than its header says. */
export const isCut = (path: string, size: number): boolean => extentOf(path, size)?.whole === false;

/** Pages of the copy. */
class PageFile {
  readonly shape: PageShape;
  readonly #file: number;
  #pages: number;

  constructor(path: string, { shape, present }: Extent) {
    this.shape = shape;
    this.#pages = present;
    this.#file = openSync(path, 'r+');
    ftruncateSync(this.#file, present * shape.size);
  }

  get pages(): number {
    return this.#pages;
  }

  read(number: number): Buffer {
    const page = Buffer.alloc(this.shape.size);
    readSync(this.#file, page, 0, page.length, (number - 1) * page.length);
    return page;
  }

  write(number: number, page: Buffer): void {
    writeSync(this.#file, page, 0, page.length, (number - 1) * this.shape.size);
  }

  add(page: Buffer): number {
    this.#pages++;
    this.write(this.#pages, page);
    return this.#pages;
  }

  /** Tells the header how many pages there are, and that none is free. */
  settle(): void {
    const counts = Buffer.alloc(FILE_HEADER.freelist + 8 - FILE_HEADER.pages);
    counts.writeUInt32BE(this.#pages, 0);
    writeSync(this.#file, counts, 0, counts.length, FILE_HEADER.pages);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** A table as the schema of the file describes it. */
interface StoredTable {
  readonly root: number;
  readonly columns: readonly { readonly type: string; readonly notnull: number }[];
}

function storedTables(path: string): StoredTable[] {
  const db = new Database(path, { readonly: true });
  try {
    const tables = db.prepare("SELECT name, rootpage AS root FROM sqlite_schema WHERE type = 'table'").all() as {
      name: string;
      root: number;
    }[];
    const columns = db.prepare('SELECT type, "notnull" FROM pragma_table_info(?)');
    return tables.map(({ name, root }) => ({ root, columns: columns.all(name) as StoredTable['columns'] }));
  } finally {
    db.close();
  }
}

/** Serial types of the cells of a column: https://www.sqlite.org/fileformat.html#record_format */
function isCellOf(type: number, { type: declared, notnull }: StoredTable['columns'][number]): boolean {
  if (type === 0) return notnull === 0;
  if (declared === 'INTEGER') return type <= 6 || type === 8 || type === 9;
  return type >= 12 && (type % 2 === 1) === (declared === 'TEXT');
}

const isRowOf = ({ types }: Leaf, { columns }: StoredTable): boolean =>
  types.length === columns.length && columns.every((column, i) => isCellOf(types[i] as number, column));

/** Leaves that interior pages still lead to, with the table's root. */
function ownersOf(file: PageFile, roots: readonly number[]): Map<number, number> {
  const owners = new Map<number, number>();
  for (const root of roots) {
    const open = [root];
    for (let page = open.pop(); page !== undefined; page = open.pop()) {
      if (page === 0 || page > file.pages || owners.has(page)) continue;
      owners.set(page, root);
      open.push(...childrenOf(file.read(page)));
    }
  }
  return owners;
}

interface Found extends Child {
  readonly first: number;
  readonly known: boolean;
}

/** In order of rowid; of leaves that hold the same rows, the one that the tree leads to, or else the first. */
function inOrder(leaves: Found[]): Child[] {
  leaves.sort((a, b) => a.first - b.first || Number(b.known) - Number(a.known) || a.page - b.page);
  let last = 0;
  return leaves.filter((leaf) => {
    const follows = leaf.first > last;
    if (follows) last = leaf.last;
    return follows;
  });
}

/** Every leaf of the file with the tables that it can belong to: by the tree, or by what its rows look like. */
function leavesOf(file: PageFile, tables: readonly StoredTable[]): Map<StoredTable, Found[]> {
  const found = new Map<StoredTable, Found[]>(tables.map((table) => [table, []]));
  const owners = ownersOf(
    file,
    tables.map(({ root }) => root),
  );
  for (let page = 2; page <= file.pages; page++) {
    const leaf = leafOf(file.read(page));
    if (leaf === null) continue;
    const owner = owners.get(page);
    for (const table of tables) {
      if (owner === undefined ? isRowOf(leaf, table) : owner === table.root) {
        found.get(table)?.push({ page, first: leaf.first, last: leaf.last, known: owner !== undefined });
      }
    }
  }
  return found;
}

/** Interior pages over children until one page has room for all; that one takes the place of the root. */
function plant(file: PageFile, root: number, leaves: readonly Child[]): void {
  const most = fanOut(file.shape);
  let children = leaves;
  while (children.length > most) {
    const groups = Math.ceil(children.length / most);
    const below = children;
    children = Array.from({ length: groups }, (_, i) => {
      const [from, to] = [i, i + 1].map((n) => Math.floor((n * below.length) / groups)) as [number, number];
      const group = below.slice(from, to);
      return { page: file.add(interiorPage(file.shape, group)), last: group.at(-1)?.last ?? 0 };
    });
  }
  const [only] = children;
  if (only === undefined) file.write(root, emptyLeaf(file.shape));
  else file.write(root, children.length === 1 ? file.read(only.page) : interiorPage(file.shape, children));
}

function rebuild(copy: string, extent: Extent): void {
  const file = new PageFile(copy, extent);
  try {
    file.settle();
    // A root that is a leaf is the whole table.
    const tables = storedTables(copy).filter(({ root }) => root <= file.pages && !isLeaf(file.read(root)));
    for (const [{ root }, leaves] of leavesOf(file, tables)) plant(file, root, inOrder(leaves));
    file.settle();
  } finally {
    file.close();
  }
}

/**
 * Opens a repaired copy of a cut file, of `size` bytes. The copy is of the size of the file, in the system's folder for
 * temporary files, and vanishes when the database is closed or the process ends.
 * @returns null where too little is left to know its tables
 * @throws errors of the file system and of SQLite
 */
export function openSalvaged(path: string, size: number): Database.Database | null {
  const extent = extentOf(path, size);
  if (extent === null || extent.present === 0) return null;
  const folder = mkdtempSync(join(tmpdir(), 'trapline-cut-'));
  try {
    const copy = join(folder, 'copy.sqlite');
    copyFileSync(path, copy);
    rebuild(copy, extent);
    const db = new Database(copy, { readonly: true });
    db.pragma('schema_version');
    return db;
  } finally {
    // Where a file that is open cannot be removed, the folder of temporary files keeps it.
    rmSync(folder, { recursive: true, force: true });
  }
}
