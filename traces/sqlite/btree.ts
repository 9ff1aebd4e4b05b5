/**
 * Pages of table b-trees as they lie in an SQLite file: https://www.sqlite.org/fileformat.html#b_tree_pages. Numbers are
 * big-endian; a varint is 1 to 9 bytes, the highest bit says that another follows. Bytes are untrusted: what does not
 * lie within its page is answered as null.
 */

/** Offsets in the header of the file: https://www.sqlite.org/fileformat.html#the_database_header */
export const FILE_HEADER = { pageSize: 16, reserved: 20, pages: 28, freelist: 32, bytes: 100 } as const;
/** Page types, and offsets in the header of a page. */
const LEAF = 0x0d;
const INTERIOR = 0x05;
const PAGE = { cells: 3, content: 5, right: 8, leafBytes: 8, interiorBytes: 12 } as const;
/** Page number, key, and the two bytes that point to the cell. */
const LARGEST_INTERIOR_CELL = 4 + 9 + 2;

/** How pages of a file are cut: bytes a page, and those of them that SQLite uses. */
export interface PageShape {
  readonly size: number;
  readonly usable: number;
}

/** Null where the header of the file says no size that there is. */
export function pageShape(header: Buffer): PageShape | null {
  const stored = header.readUInt16BE(FILE_HEADER.pageSize);
  const size = stored === 1 ? 0x1_0000 : stored;
  if (size < 512 || (size & (size - 1)) !== 0) return null;
  return { size, usable: size - header.readUInt8(FILE_HEADER.reserved) };
}

/** Rows of a leaf: the first and last rowid, and the serial types of the first row, which say what its cells are. */
export interface Leaf {
  readonly first: number;
  readonly last: number;
  readonly types: readonly number[];
}

interface Varint {
  readonly value: number;
  readonly end: number;
}

function varint(page: Buffer, at: number): Varint | null {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = page[at + i];
    if (byte === undefined) return null;
    value = i === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f);
    if (byte < 0x80 || i === 8) return Number.isSafeInteger(value) ? { value, end: at + i + 1 } : null;
  }
  return null;
}

export const isLeaf = (page: Buffer): boolean => page[0] === LEAF;

/** Where cell `index` of a page begins. */
function cellAt(page: Buffer, header: number, index: number): number | null {
  const pointer = header + 2 * index;
  return pointer + 2 <= page.length ? page.readUInt16BE(pointer) : null;
}

/** Page and rowid of a leaf's cell, and where its payload begins. */
function rowAt(page: Buffer, index: number): { readonly rowid: number; readonly payload: number } | null {
  const at = cellAt(page, PAGE.leafBytes, index);
  const length = at === null ? null : varint(page, at);
  const rowid = length && varint(page, length.end);
  return rowid ? { rowid: rowid.value, payload: rowid.end } : null;
}

function serialTypes(page: Buffer, at: number): number[] | null {
  const header = varint(page, at);
  if (header === null || at + header.value > page.length) return null;
  const types: number[] = [];
  for (let next = header.end; next < at + header.value; ) {
    const type = varint(page, next);
    if (type === null) return null;
    types.push(type.value);
    next = type.end;
  }
  return types;
}

/** What a page holds if it is a leaf with rows; null otherwise. */
export function leafOf(page: Buffer): Leaf | null {
  const cells = page.readUInt16BE(PAGE.cells);
  if (!isLeaf(page) || cells === 0) return null;
  const first = rowAt(page, 0);
  const last = rowAt(page, cells - 1);
  const types = first && serialTypes(page, first.payload);
  if (!first || !last || !types || last.rowid - first.rowid !== cells - 1) return null;
  return { first: first.rowid, last: last.rowid, types };
}

/** Pages below an interior page, in order; none where it is no such page. */
export function childrenOf(page: Buffer): number[] {
  if (page[0] !== INTERIOR) return [];
  const children: number[] = [];
  for (let i = 0; i < page.readUInt16BE(PAGE.cells); i++) {
    const at = cellAt(page, PAGE.interiorBytes, i);
    if (at !== null && at + 4 <= page.length) children.push(page.readUInt32BE(at));
  }
  return [...children, page.readUInt32BE(PAGE.right)];
}

/** A page and the greatest rowid below it. */
export interface Child {
  readonly page: number;
  readonly last: number;
}

/** Children that an interior page has room for, whatever their rowids. */
export const fanOut = ({ usable }: PageShape): number =>
  1 + Math.floor((usable - PAGE.interiorBytes) / LARGEST_INTERIOR_CELL);

const bytesOfVarint = (value: number): number[] => {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest % 128) | 0x80);
  return bytes;
};

/** An interior page over two children or more, at most as many as it has room for. */
export function interiorPage({ size, usable }: PageShape, children: readonly Child[]): Buffer {
  const page = Buffer.alloc(size);
  const keyed = children.slice(0, -1);
  let content = usable;
  keyed.forEach(({ page: number, last }, i) => {
    const key = bytesOfVarint(last);
    content -= 4 + key.length;
    page.writeUInt32BE(number, content);
    page.set(key, content + 4);
    page.writeUInt16BE(content, PAGE.interiorBytes + 2 * i);
  });
  page[0] = INTERIOR;
  page.writeUInt16BE(keyed.length, PAGE.cells);
  page.writeUInt16BE(content & 0xffff, PAGE.content);
  page.writeUInt32BE(children.at(-1)?.page ?? 0, PAGE.right);
  return page;
}

/** A leaf without rows. */
export function emptyLeaf({ size, usable }: PageShape): Buffer {
  const page = Buffer.alloc(size);
  page[0] = LEAF;
  page.writeUInt16BE(usable & 0xffff, PAGE.content);
  return page;
}
