/** Handler times of a run by level and reason, for budgets on them. Failed entries have no handler. */
import { type Cell, readCell } from './profile/cells.js';
import { UNKNOWN_LEVEL } from './profile/event.js';
import type { ExitIndex } from './profile/exit-index.js';
import type { NameOf } from './profile/lane-names.js';
import { type ProfileRow, reasonName } from './profile/profile.js';
import { sortDurations } from './profile/sort.js';

/** Architectures as events have them. */
export const ISA_CODES = { unknown: 0, vmx: 1, svm: 2 } as const;

/** Times of a level and a reason, ascending; null: of all. */
export function samplesOf(index: ExitIndex, level: number | null, reason: string | null, nameOf: NameOf): Float64Array {
  return ascending(
    index,
    (cell) =>
      (level === null || cell.level === level) &&
      (reason === null || reasonName(cell.isa, cell.reason, nameOf) === reason),
  );
}

/** Times of a row of a profile, ascending. */
export function samplesOfRow(
  index: ExitIndex,
  { level, isa, code }: Pick<ProfileRow, 'level' | 'isa' | 'code'>,
): Float64Array {
  return ascending(
    index,
    (cell) =>
      cell.level === (level ?? UNKNOWN_LEVEL) && cell.isa === ISA_CODES[isa ?? 'unknown'] && cell.reason === code,
  );
}

function ascending({ counts, cells, times }: ExitIndex, isWanted: (cell: Cell) => boolean): Float64Array {
  const { starts, values } = times;
  const wanted = Array.from(counts, (_, cell) => cell).filter((at) => {
    const cell = readCell(cells, at);
    return !cell.failed && isWanted(cell);
  });
  const lengthOf = (cell: number): number => (starts[cell + 1] as number) - (starts[cell] as number);
  const found = new Float64Array(wanted.reduce((sum, cell) => sum + lengthOf(cell), 0));
  let at = 0;
  for (const cell of wanted) {
    found.set(values.subarray(starts[cell], starts[cell + 1]), at);
    at += lengthOf(cell);
  }
  sortDurations(found);
  return found;
}
