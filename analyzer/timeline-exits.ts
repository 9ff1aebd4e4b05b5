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

/** Which exits a profile is of, by their row, and which times. */
export interface Within {
  keep(row: number): boolean;
  /** How much belongs to it of the time between two moments, both told from that of the exit in this row. */
  part(row: number, from: number, to: number): number;
}

/**
 * A profile's index of the exits that are kept, with their handler times whole. Where the time of each lane went is told
 * of exits that are kept or not: what belongs to a stretch may begin before it, and end behind it.
 */
export function indexWithin(exits: Exits, { keep, part }: Within): ExitIndex {
  const { rows, cells, times, guests, words, unit, code } = exits;
  const all = words.length / CELL_WORDS;
  const counts = new Float64Array(all);
  const guest = new Float64Array(all);
  const outside = new Float64Array(all);
  const timed = new Growing((length) => new Uint32Array(length));
  const durations = new Growing((length) => new Float64Array(length));
  for (let i = 0; i < rows.length; i++) {
    const [row, cell] = [rows[i] as number, cells[i] as number];
    const [before, time] = [guests[i] as number, times[i] as number];
    if (before > 0) guest[cell] = (guest[cell] as number) + part(row, -before, 0);
    if (time > 0) outside[cell] = (outside[cell] as number) + part(row, 0, time);
    if (!keep(row)) continue;
    counts[cell] = (counts[cell] as number) + 1;
    if (time < 0) continue;
    timed.push(cell);
    durations.push(time);
  }
  const used = Uint32Array.from(counts.keys()).filter((cell) =>
    [counts, guest, outside].some((values) => (values[cell] as number) > 0),
  );
  const places = new Uint32Array(all);
  const kept = new Uint32Array(used.length * CELL_WORDS);
  for (const [at, cell] of used.entries()) {
    places[cell] = at;
    kept.set(words.subarray(cell * CELL_WORDS, (cell + 1) * CELL_WORDS), at * CELL_WORDS);
  }
  const only = (values: Float64Array): Float64Array => Float64Array.from(used, (cell) => values[cell] as number);
  const within = only(outside);
  return {
    unit,
    lost: 0,
    coarse: 0,
    lanes: lanesWithin(kept, only(guest), within),
    cells: kept,
    counts: only(counts),
    times: sortCells(
      timed.values.map((cell) => places[cell] as number),
      durations.values,
      used.length,
    ),
    within,
    code,
  };
}

/** Where the time of each lane went, from that of its cells; what passed besides is not known of a stretch. */
function lanesWithin(words: Uint32Array, guest: Float64Array, outside: Float64Array): LaneSpan[] {
  const lanes = new Map<number, Map<number, LevelTime>>();
  for (const [at, ran] of guest.entries()) {
    const { lane, level } = readCell(words, at);
    const levels = lanes.get(lane) ?? new Map<number, LevelTime>();
    lanes.set(lane, levels);
    const { guest: before, outside: behind } = levels.get(level) ?? { guest: 0, outside: 0 };
    levels.set(level, { level, guest: before + ran, outside: behind + (outside[at] as number) });
  }
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
