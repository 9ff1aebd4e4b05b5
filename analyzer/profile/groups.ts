/** Cells that agree in some of their words, put together without an object a cell. */
import { CELL, CELL_WORDS, CellTable, WHAT } from './cells.js';

/** What cells of a group agree in. */
export interface Parts {
  readonly lane?: boolean;
  readonly level?: boolean;
  /** Architecture, reason, and whether it is an entry that failed. */
  readonly reason?: boolean;
  readonly key?: boolean;
  readonly rip?: boolean;
  readonly handler?: boolean;
}

const BITS = { level: 0xffff_0000, key: 0xff00, isa: 0x30 } as const;

/** The bits of each word that take part. */
function maskOf({ lane, level, reason, key, rip, handler }: Parts): Uint32Array {
  const mask = new Uint32Array(CELL_WORDS);
  const all = (on: boolean | undefined, from: number): void => {
    if (on === true) mask.fill(0xffff_ffff, from, from + 2);
  };
  mask[CELL.lane] = lane === true ? 0xffff_ffff : 0;
  mask[CELL.what] =
    (level === true ? BITS.level : 0) |
    (reason === true ? BITS.isa | WHAT.failed : 0) |
    (key === true ? BITS.key : 0) |
    (rip === true ? WHAT.hasRip : 0) |
    (handler === true ? WHAT.reflected : 0);
  all(reason, CELL.reasonLow);
  all(key, CELL.keyLow);
  all(rip, CELL.ripLow);
  return mask;
}

/** The groups of some cells, in the order in which they were met, each with its cells. */
export function groupCells(words: Uint32Array, cells: ArrayLike<number>, parts: Parts): Uint32Array[] {
  const mask = maskOf(parts);
  const table = new CellTable();
  const key = new Uint32Array(CELL_WORDS);
  const group = new Uint32Array(cells.length);
  for (let i = 0; i < cells.length; i++) {
    const at = (cells[i] as number) * CELL_WORDS;
    for (let w = 0; w < CELL_WORDS; w++) key[w] = (words[at + w] as number) & (mask[w] as number);
    group[i] = table.index(key);
  }
  const starts = new Uint32Array(table.size + 1);
  for (const g of group) starts[g + 1] = (starts[g + 1] as number) + 1;
  for (let g = 0; g < table.size; g++) starts[g + 1] = (starts[g + 1] as number) + (starts[g] as number);
  const next = starts.slice();
  const members = new Uint32Array(cells.length);
  for (let i = 0; i < cells.length; i++) {
    const at = next[group[i] as number] as number;
    members[at] = cells[i] as number;
    next[group[i] as number] = at + 1;
  }
  return Array.from({ length: table.size }, (_, g) => members.subarray(starts[g], starts[g + 1]));
}

/** All cells of an index, and those of them that have exits. */
export const allCells = ({ counts }: { readonly counts: ArrayLike<number> }): Uint32Array =>
  Uint32Array.from({ length: counts.length }, (_, i) => i);
export const exitCells = (index: { readonly counts: ArrayLike<number> }): Uint32Array =>
  allCells(index).filter((cell) => (index.counts[cell] as number) > 0);
