/**
 * Where the data of each CPU lies in a buffer of a trace.dat that lost its description: taken from the data itself, as
 * trace-cmd lays it (trace-cmd.dat.v7(5), "COMPRESSION FORMAT OF THE TRACE DATA"). The data of a CPU begins at a
 * multiple of the page size. Packed data says its number of chunks; plain pages of one CPU follow in time, so that the
 * next CPU's begin where time goes back.
 */
import { timeOf } from '../time.js';
import { INFLATE_START, type Inflate } from './compression.js';
import type { PageLayout } from './metadata.js';
import { CHUNK_HEAD, MAX_CHUNK } from './pages.js';
import { type Pages, RingCursor } from './ring.js';
import { type RandomBytes, Scanner } from './scanner.js';
import type { Section } from './sections.js';

const MAX_PAGE = 1 << 20;
/** One page in so many may be damaged. */
const DAMAGED = 8;
/** Pages after which a size of pages that does not fit is given up. */
const TRIED = 64;

export interface Place {
  readonly offset: number;
  readonly size: number;
}

export interface Layout {
  readonly pageSize: number;
  /** Data of the CPUs that have some, in the order of the file. */
  readonly places: readonly Place[];
  /** First byte that none of them could be made of, or the section's end. */
  readonly end: number;
}

/** What is needed of a file. */
export interface Paged {
  readonly bytes: RandomBytes;
  readonly little: boolean;
  readonly page: PageLayout;
  readonly pageSize: number;
  readonly inflate: Inflate | null;
}

/**
 * The layout of a buffer, its pages at least as large as the file's; without places where the file ends before any data
 * can be read. Null where its data is not like that of a buffer.
 */
export function inferLayout(file: Paged, section: Section): Layout | null {
  let nothing: Layout | null = null;
  for (let size = file.pageSize; size <= MAX_PAGE; size *= 2) {
    const layout = section.compressed ? packedLayout(file, section, size) : plainLayout(file, section, size);
    if (layout !== null && layout.places.length > 0) return layout;
    if (layout !== null && layout.end >= file.bytes.size) nothing ??= layout;
  }
  return nothing;
}

const aligned = (offset: number, size: number): number => Math.ceil(offset / size) * size;

/** What the place between data of two CPUs is filled with. */
function isPadding({ bytes }: Paged, from: number, to: number): boolean {
  const gap = new Uint8Array(Math.max(0, Math.min(to, bytes.size) - from));
  bytes.readAt(gap, from);
  return gap.every((byte) => byte === 0);
}

function packedLayout(file: Paged, section: Section, pageSize: number): Layout {
  const places: Place[] = [];
  const end = Math.min(section.end, file.bytes.size);
  const isCut = section.end > end;
  let behind = section.data;
  for (;;) {
    const offset = aligned(behind, pageSize);
    if (offset >= end) return { pageSize, places, end: isPadding(file, behind, end) ? end : behind };
    const found = isPadding(file, behind, offset) ? chunksAt(file, offset, end, pageSize) : null;
    if (found === null || (found.missing && !isCut)) return { pageSize, places, end: behind };
    const { holds, missing } = found;
    if (holds) places.push({ offset, size: (missing ? section.end : found.end) - offset });
    if (missing) return { pageSize, places, end };
    behind = found.end;
  }
}

interface Chunks {
  readonly end: number;
  /** Some of them lie behind the end of the file. */
  readonly missing: boolean;
  /** The first holds pages that can be read. */
  readonly holds: boolean;
}

/** The chunks of a CPU at an offset; null where there are none. */
function chunksAt(file: Paged, offset: number, end: number, pageSize: number): Chunks | null {
  const scanner = new Scanner(file.bytes, offset, end, file.little);
  if (scanner.left < 4 + CHUNK_HEAD) return { end, missing: true, holds: false };
  const count = scanner.u32('number of chunks');
  for (let i = 0; i < count; i++) {
    if (scanner.left < CHUNK_HEAD) return { end, missing: true, holds: true };
    const packed = scanner.u32('packed size of a chunk');
    const unpacked = scanner.u32('size of a chunk');
    const sane = packed > 0 && packed <= MAX_CHUNK && unpacked > 0 && unpacked <= MAX_CHUNK;
    if (!sane || unpacked % pageSize !== 0)
      return i === 0 ? null : { end: scanner.at - CHUNK_HEAD, missing: false, holds: true };
    const there = Math.min(packed, scanner.left);
    const missing = there < packed;
    if (i > 0) scanner.skip(there, 'a chunk');
    else {
      const holds = holdsPages(file, scanner.bytes(there, 'a chunk'), unpacked, pageSize, missing);
      if (!holds) return missing ? { end, missing, holds } : null;
    }
    if (missing) return { end, missing, holds: true };
  }
  return count === 0 ? null : { end: scanner.at, missing: false, holds: true };
}

/** Whether a chunk consists of pages; of one that is cut the start, which must have a record. */
function holdsPages(file: Paged, packed: Uint8Array, size: number, pageSize: number, isCut: boolean): boolean {
  const { inflate } = file;
  if (inflate === null) return false;
  const unpacked = new Uint8Array(size);
  const start = isCut ? (INFLATE_START.get(inflate)?.(packed, unpacked) ?? 0) : size;
  if (!isCut && inflate(packed, unpacked) !== null) return false;
  const view = new DataView(unpacked.buffer);
  for (let at = 0; at + pageSize <= start; at += pageSize) {
    if (pageTimes(file, view, at, at + pageSize, false) === null) return false;
  }
  if (start >= pageSize) return true;
  return start >= file.page.dataAt && pageTimes(file, view, 0, start, true)?.first !== undefined;
}

function plainLayout(file: Paged, section: Section, pageSize: number): Layout | null {
  const places: { offset: number; size: number }[] = [];
  const first = aligned(section.data, pageSize);
  const end = Math.min(section.end, file.bytes.size);
  if (!isPadding(file, section.data, first)) return null;
  const page = new Uint8Array(pageSize);
  const view = new DataView(page.buffer);
  let last = -1n;
  let pages = 0;
  let damaged = 0;
  for (let at = first; at < end; at += pageSize) {
    const filled = file.bytes.readAt(page.subarray(0, Math.min(pageSize, end - at)), at);
    const times = pageTimes(file, view, 0, filled, filled < pageSize);
    pages += 1;
    if (times === null) damaged += 1;
    if (damaged * DAMAGED > pages && pages >= TRIED) return null;
    const place = places.at(-1);
    if (place === undefined || (times?.first ?? last) < last) places.push({ offset: at, size: pageSize });
    else place.size += pageSize;
    last = times?.last ?? last;
  }
  const place = places.at(-1);
  if (place !== undefined) place.size = Math.max(section.end, end) - place.offset;
  return damaged * DAMAGED > pages ? null : { pageSize, places, end };
}

/** One page by itself. */
class OnePage implements Pages {
  readonly view: DataView;
  readonly start: number;
  readonly end: number;
  readonly cut: boolean;
  #left = 1;

  constructor(view: DataView, start: number, end: number, cut: boolean) {
    this.view = view;
    this.start = start;
    this.end = end;
    this.cut = cut;
  }

  next(): boolean {
    this.#left -= 1;
    return this.#left === 0;
  }

  where(): string {
    return '';
  }
}

/** Times of the first and the last record of a page, none of a page without records; null where it is no page. */
function pageTimes(
  { page, little }: Paged,
  view: DataView,
  start: number,
  end: number,
  cut: boolean,
): { readonly first?: bigint; readonly last?: bigint } | null {
  let damaged = false;
  const cursor = new RingCursor(0, new OnePage(view, start, end, cut), page, little, () => {
    damaged = true;
  });
  if (!cursor.next()) return damaged ? null : {};
  const first = view.getBigUint64(start, little);
  while (cursor.next());
  return damaged ? null : { first, last: timeOf(cursor.timeHigh, cursor.timeLow) };
}
