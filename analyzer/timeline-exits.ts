/**
 * The exits of a trace, each with its place, its cell and its handler time: what a profile of any stretch is made from
 * without reading the trace again. An exit costs 24 bytes here.
 */
import type { TraceReader } from '../traces/store.js';
import { DIMENSIONS, type DimensionName } from './profile/breakdown.js';
import { CELL_WORDS, readCell } from './profile/cells.js';
import { ExitCells, type ExitIndex, Growing, type LaneSpan, type LevelTime } from './profile/exit-index.js';
import type { NameOf } from './profile/lane-names.js';
import { sortCells } from './profile/stats.js';
import { COLUMNS, type Unit } from './profile/view.js';
import { type Code, ExitWalker } from './profile/walk.js';
import type { Symbols } from './symbols/symbols.js';
import { readableEvents } from './timeline-chunks.js';

/** Names of frames are cut to this length. */
const FRAME_LENGTH = 120;
const PROBLEM_LENGTH = 300;
/** A frame of code that no symbol names. */
const UNNAMED = '[unknown]';

export interface Exits {
  readonly unit: Unit;
  /** Row of each exit, the cell it belongs to, and its time; -1 where that is not known. */
  readonly rows: Uint32Array;
  readonly cells: Uint32Array;
  readonly times: Float64Array;
  /** Time that its guest ran before it; -1 where that is not known. */
  readonly guests: Float64Array;
  /** CELL_WORDS words a cell. */
  readonly words: Uint32Array;
  readonly code: ReadonlyMap<bigint, Code>;
  /** What could not be read, and is missing therefore. */
  readonly problem: string | null;
}

/** Reads what can be read; nothing is paired across a part of the file that cannot be. */
export async function readExits(reader: TraceReader, breathe: () => Promise<void>): Promise<Exits> {
  const table = new ExitCells();
  const rows = new Growing((length) => new Uint32Array(length));
  const cells = new Growing((length) => new Uint32Array(length));
  const times = new Growing((length) => new Float64Array(length));
  const guests = new Growing((length) => new Float64Array(length));
  const walker = new ExitWalker((exit) => {
    rows.push(exit.seq);
    cells.push(table.index(exit));
    times.push(exit.time);
    guests.push(exit.guest);
  });
  let problem: string | null = null;
  const hole = (from: number, to: number, why: string): void => {
    walker.end();
    problem ??= `events ${from} to ${to - 1} cannot be read: ${why}`.slice(0, PROBLEM_LENGTH);
  };
  for (const chunk of readableEvents(reader, COLUMNS, hole)) {
    walker.take(chunk);
    await breathe();
  }
  walker.end();
  return {
    unit: walker.unit,
    rows: rows.values,
    cells: cells.values,
    times: times.values,
    guests: guests.values,
    words: table.words,
    code: walker.code,
    problem,
  };
}

/** Which exits a profile is of, by their row, and how much of the time that the guest ran before one belongs to it. */
export interface Within {
  keep(row: number): boolean;
  ran(row: number, guest: number): number;
}

/** A profile's index of the exits that are kept. */
export function indexWithin(exits: Exits, { keep, ran }: Within): ExitIndex {
  const { rows, cells, times, guests, words, unit, code } = exits;
  const place = new Int32Array(words.length / CELL_WORDS).fill(-1);
  const used: number[] = [];
  const counts: number[] = [];
  /** By cell, of exits that are kept or not: a guest may run up to an exit that is not. */
  const guest = new Float64Array(place.length);
  const timed = new Growing((length) => new Uint32Array(length));
  const durations = new Growing((length) => new Float64Array(length));
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number;
    const cell = cells[i] as number;
    const before = guests[i] as number;
    if (before > 0) guest[cell] = (guest[cell] as number) + ran(row, before);
    if (!keep(row)) continue;
    if (place[cell] === -1) {
      place[cell] = used.length;
      used.push(cell);
      counts.push(0);
    }
    const at = place[cell] as number;
    counts[at] = (counts[at] as number) + 1;
    const time = times[i] as number;
    if (time < 0) continue;
    timed.push(at);
    durations.push(time);
  }
  const kept = new Uint32Array(used.length * CELL_WORDS);
  for (const [at, cell] of used.entries()) {
    kept.set(words.subarray(cell * CELL_WORDS, (cell + 1) * CELL_WORDS), at * CELL_WORDS);
  }
  const sorted = sortCells(timed.values, durations.values, used.length);
  return {
    unit,
    lost: 0,
    coarse: 0,
    lanes: lanesWithin(words, guest, used, sorted.sums),
    cells: kept,
    counts: Float64Array.from(counts),
    times: sorted,
    code,
  };
}

/** Where the time of each lane went: `guest` by cell, `outside` by cell that is used; of a stretch no more is known. */
function lanesWithin(
  words: Uint32Array,
  guest: Float64Array,
  used: readonly number[],
  outside: Float64Array,
): LaneSpan[] {
  const lanes = new Map<number, Map<number, LevelTime>>();
  const add = (cell: number, ran: number, passed: number): void => {
    const { lane, level } = readCell(words, cell);
    const levels = lanes.get(lane) ?? new Map<number, LevelTime>();
    lanes.set(lane, levels);
    const { guest: before, outside: behind } = levels.get(level) ?? { guest: 0, outside: 0 };
    levels.set(level, { level, guest: before + ran, outside: behind + passed });
  };
  for (const [cell, ran] of guest.entries()) if (ran > 0) add(cell, ran, 0);
  for (const [at, cell] of used.entries()) add(cell, 0, outside[at] ?? 0);
  return [...lanes].map(([lane, levels]) => ({
    lane,
    span: Number.NaN,
    levels: [...levels.values()],
    entries: 0,
    refused: 0,
    failedEarly: 0,
  }));
}

/** What the frames of a stack are: with symbols, the guest's function comes behind the level. */
export const dimensionsOf = (symbols: Symbols | null): readonly DimensionName[] =>
  symbols === null ? ['level', 'reason', 'key'] : ['level', 'symbol', 'reason', 'key'];

/** Frames of a row of a breakdown by these dimensions; what is not known of a sub-key is no frame. */
export function framesOf(dimensions: readonly DimensionName[], labels: readonly string[]): string[] {
  return labels.flatMap((label, i) => {
    if (label !== '') return [label.slice(0, FRAME_LENGTH)];
    return dimensions[i] === 'symbol' ? [UNNAMED] : [];
  });
}

/** Marks in `keep`, by row, the exits whose stack begins with these frames. */
export function markStack(
  exits: Exits,
  stack: readonly string[],
  names: { readonly nameOf: NameOf; readonly symbols: Symbols | null },
  keep: Uint8Array,
): void {
  const dimensions = dimensionsOf(names.symbols);
  const fits = Uint8Array.from({ length: exits.words.length / CELL_WORDS }, (_, index) => {
    const cell = readCell(exits.words, index);
    const labels = dimensions.map((name) => DIMENSIONS[name].label(cell, { ...names, saysOf: () => null }));
    const frames = framesOf(dimensions, labels);
    return stack.every((name, i) => frames[i] === name) ? 1 : 0;
  });
  for (let i = 0; i < exits.rows.length; i++) {
    if (fits[exits.cells[i] as number] === 1) keep[exits.rows[i] as number] = 1;
  }
}
