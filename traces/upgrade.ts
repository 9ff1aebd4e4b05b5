/**
 * Place of the upgraders. A change of FORMAT_VERSION adds one here: it says how a trace of its version reads as one of
 * the next. A column that a version adds must be nullable: what was written before has no values there.
 */
import { TraceError } from './errors.js';
import { type Column, FORMAT_VERSION, TABLES, type TableName } from './schema.js';

/** One step from a version to the next. */
export interface Upgrader {
  readonly from: number;
  readonly says: string;
  /** Facts of the `run` table that read otherwise, by key: from their text to that of the next version. */
  readonly facts?: { readonly [key: string]: (text: string) => string };
  /** Columns that the next version adds, by table. */
  readonly adds?: { readonly [table in TableName]?: readonly string[] };
}

/** Version 1 named ranges alone, and meant loads, stores and walks. */
function memoryWithKinds(text: string): string {
  if (text === '"off"') return text;
  try {
    return JSON.stringify({ ranges: JSON.parse(text) as unknown, kinds: ['load', 'store', 'walk'] });
  } catch {
    // Whoever asks what it means is told that it means nothing.
    return text;
  }
}

/** One for each version before FORMAT_VERSION, in order. */
export const UPGRADERS: readonly Upgrader[] = [
  { from: 1, says: 'accesses that were recorded are named by kind too', facts: { memory: memoryWithKinds } },
  { from: 2, says: 'chunks are described beside their rows; what has no such description is read all the same' },
  {
    from: 3,
    says: 'events of other tools have a column for the name of their tracepoint',
    adds: { event: ['tracepoint'] },
  },
  { from: 4, says: 'an import says what of its source it could not read; one without a word of it may have been cut' },
  { from: 5, says: 'an import names the events that never came; one without a word of it knows none' },
  {
    from: 6,
    says: 'the text of an event that shares its kind may begin with its name, and repeat what its columns hold',
  },
];

/** A fact of the `run` table as this version has it. */
export const upgradedFact = (upgrades: readonly Upgrader[], key: string, text: string): string =>
  upgrades.reduce((value, { facts }) => facts?.[key]?.(value) ?? value, text);

/** Columns of a table as a trace that needs these upgraders has them. */
export const storedColumns = (upgrades: readonly Upgrader[], table: TableName): readonly Column[] =>
  TABLES[table].columns.filter(({ name }) => !upgrades.some(({ adds }) => adds?.[table]?.includes(name)));

/**
 * The upgraders that a trace of `version` needs, in order.
 * @throws TraceError TRACE_NEWER, TRACE_OLDER, or TRACE_NOT_A_TRACE where `version` is no version at all
 */
export function upgradesFor(
  version: number,
  path: string,
  current: number = FORMAT_VERSION,
  upgraders: readonly Upgrader[] = UPGRADERS,
): readonly Upgrader[] {
  if (!Number.isSafeInteger(version) || version < 0) throw new TraceError('TRACE_NOT_A_TRACE', path, 'format version');
  if (version > current) {
    throw new TraceError('TRACE_NEWER', path, null, `its format version is ${version}, this program knows ${current}`);
  }
  const needed = upgraders.filter(({ from }) => from >= version);
  const steps = current - version;
  if (needed.length !== steps || needed.some(({ from }, i) => from !== version + i)) {
    throw new TraceError('TRACE_OLDER', path, null, `its format version is ${version}`);
  }
  return needed;
}
