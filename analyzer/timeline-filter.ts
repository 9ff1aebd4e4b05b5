/** Which events a filter lets through: a mask of categories, a choice of lanes, and for words a mask of rows. */
import { EVENT_FLAGS } from '../engine/observer.js';
import { CODE_DOMAINS } from '../traces/codes.js';
import type { Chunk, ColumnData, TraceReader } from '../traces/store.js';
import { fieldNames } from './fields.js';
import { TextField } from './text-fields.js';
import type { Filter } from './timeline-answers.js';
import { readableEvents } from './timeline-chunks.js';
import { type EventIndex, NO_LANE } from './timeline-index.js';

/** By category: 1 where the filter lets it through. Failures always pass: they are never hidden by kind or reason. */
export function categoryMask(index: EventIndex, filter: Filter): Uint8Array {
  const kinds = new Set(filter.kinds);
  const reasons = new Set(filter.reasons);
  return Uint8Array.from(index.categories, ({ kindName, reason, failure }) => {
    if (failure) return 1;
    if (kinds.size > 0 && !kinds.has(kindName)) return 0;
    return reasons.size > 0 && (reason === null ? kinds.size === 0 : !reasons.has(reason)) ? 0 : 1;
  });
}

/** Lanes that the filter lets through, by vCPU, then level. */
export function lanesOf(index: EventIndex, filter: Filter): number[] {
  const passes = (list: readonly number[], value: number): boolean => list.length === 0 || list.includes(value);
  return index.lanes
    .map((lane, at) => ({ ...lane, at, level: lane.level ?? -1 }))
    .filter(({ vcpu, level }) => passes(filter.vcpus, vcpu) && passes(filter.levels, level))
    .sort((a, b) => a.vcpu - b.vcpu || a.level - b.level)
    .map(({ at }) => at);
}

/** Columns that a number in the text is compared with. */
const NUMBERS = [
  ...['rip', 'cr3', 'gva', 'gpa', 'code', 'value', 'old', 'qualification', 'info2', 'vmcs', 'reason'],
  ...['intr_info', 'error_code'],
] as const;
const COLUMNS = [...NUMBERS, 'kind', 'tracepoint', 'flags', 'text'] as const;

interface Word {
  /** Lower case; matched as part of names and of the event's text. Null: the number alone counts. */
  readonly part: string | null;
  /** By category: 1 where its name or kind has the part. */
  readonly categories: Uint8Array;
  /** Lanes whose name has the part. */
  readonly lanes: ReadonlySet<number>;
  readonly number: { readonly low: number; readonly high: number } | null;
  /** The column that the number has to be in; null: any. */
  readonly column: string | null;
  /** The number has to be that of a field of this name where no column holds it. */
  readonly inText: TextField | null;
  /** By number of a tracepoint, the columns or flags that hold a field of that name. */
  readonly fields: ReadonlyMap<number, readonly string[]>;
  /** `kind code` of the codes whose name has the part. */
  readonly codes: ReadonlySet<string>;
  /** Numbers of the tracepoints whose name, or the name of a field in a column, has the part. */
  readonly tracepoints: ReadonlySet<number>;
}

function parseWord(reader: TraceReader, index: EventIndex, word: string): Word {
  const [, column, digits] = /^(?:([a-z_0-9]+)[:=])?(0x[0-9a-f]{1,16}|[0-9]{1,20})$/.exec(word) ?? [];
  const number = BigInt(digits ?? -1);
  const value = number >= 0n && number >> 64n === 0n ? number : null;
  // a field that has no such number may be written so in the text
  const part = column === undefined || (value === null && word.includes('=')) ? word : null;
  const holds = (name: string | null): boolean => part !== null && (name ?? '').toLowerCase().includes(part);
  const codes = new Set<string>();
  for (const { kinds, domain } of CODE_DOMAINS) {
    for (const [code, { name }] of reader.dictionary(domain)) {
      if (holds(name)) for (const kind of kinds) codes.add(`${kind} ${code}`);
    }
  }
  const tracepoints = new Set<number>();
  const fields = new Map<number, string[]>();
  for (const [code, { name, says }] of reader.dictionary('event')) {
    const named = [...fieldNames(says)];
    if ([name, ...named.map(([, field]) => field)].some(holds)) tracepoints.add(Number(code));
    const holding = named.flatMap(([place, field]) => (field.toLowerCase() === column ? [place] : []));
    if (holding.length > 0) fields.set(Number(code), holding);
  }
  const failed = part !== null && 'failed'.startsWith(part) && part.length > 2;
  return {
    part,
    categories: Uint8Array.from(index.categories, ({ kindName, reason, failure }) =>
      holds(kindName) || holds(reason) || (failure && failed) ? 1 : 0,
    ),
    lanes: new Set(index.lanes.flatMap(({ name }, at) => (holds(name) ? [at] : []))),
    number: value === null ? null : { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) },
    column: column ?? null,
    inText: column === undefined || value === null ? null : new TextField(column, value),
    fields,
    codes,
    tracepoints,
  };
}

/**
 * By row: 1 where the event has all the words; null where the text has none. Failures always pass. Reads the trace;
 * `breathe` is awaited after each chunk.
 */
export async function textMask(
  reader: TraceReader,
  index: EventIndex,
  text: string,
  breathe: () => Promise<void>,
): Promise<Uint8Array | null> {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  if (words.length === 0) return null;
  const parsed = words.map((word) => parseWord(reader, index, word));
  const keep = new Uint8Array(index.rows);
  // what cannot be read is a hole of the index already, and is told there
  for (const chunk of readableEvents(reader, COLUMNS, () => {})) {
    markChunk(index, chunk, parsed, keep);
    await breathe();
  }
  return keep;
}

function markChunk(index: EventIndex, chunk: Chunk, words: readonly Word[], keep: Uint8Array): void {
  const columns = new Map<string, ColumnData>(COLUMNS.map((name) => [name, chunk.column(name)]));
  for (let i = 0; i < chunk.rows; i++) {
    const row = chunk.first + i;
    if ((index.lane[row] ?? NO_LANE) === NO_LANE) continue;
    const category = index.category[row] ?? 0;
    const passes =
      index.categories[category]?.failure === true || words.every((word) => hasWord(word, columns, i, row, index));
    if (passes) keep[row] = 1;
  }
}

function hasWord(
  word: Word,
  columns: ReadonlyMap<string, ColumnData>,
  i: number,
  row: number,
  index: EventIndex,
): boolean {
  if (word.categories[index.category[row] ?? 0] === 1 || word.lanes.has(index.lane[row] ?? NO_LANE)) return true;
  if (word.number !== null) {
    const { low, high } = word.number;
    if ((word.column === null || word.column === 'seq') && row === high * 0x1_0000_0000 + low) return true;
    for (const name of NUMBERS) {
      if ((word.column === null || word.column === name) && holdsNumber(columns.get(name), i, low, high)) return true;
    }
    if (hasField(word.fields, word.number, columns, i)) return true;
  }
  if (word.codes.size > 0 && word.codes.has(`${columns.get('kind')?.numbers?.[i]} ${columns.get('code')?.big?.[i]}`))
    return true;
  const tracepoint = columns.get('tracepoint');
  if (tracepoint?.valid?.[i] === 1 && word.tracepoints.has(tracepoint.numbers?.[i] ?? -1)) return true;
  const text = word.part === null && word.inText === null ? null : columns.get('text')?.values?.[i];
  if (typeof text !== 'string') return false;
  return word.inText?.isIn(text) ?? text.toLowerCase().includes(word.part ?? '');
}

/** A field of the event's tracepoint, which may be a flag, is the number. */
function hasField(
  fields: Word['fields'],
  { low, high }: NonNullable<Word['number']>,
  columns: ReadonlyMap<string, ColumnData>,
  i: number,
): boolean {
  const tracepoint = columns.get('tracepoint');
  const places = tracepoint?.valid?.[i] === 1 ? fields.get(tracepoint.numbers?.[i] ?? -1) : undefined;
  if (places === undefined) return false;
  const flags = columns.get('flags');
  return places.some((place) => {
    const mask = (EVENT_FLAGS as { readonly [flag: string]: number })[place];
    if (mask === undefined) return holdsNumber(columns.get(place), i, low, high);
    const isOn = ((flags?.numbers?.[i] ?? 0) & mask) !== 0;
    return flags?.valid?.[i] === 1 && high === 0 && low === (isOn ? 1 : 0);
  });
}

function holdsNumber(column: ColumnData | undefined, i: number, low: number, high: number): boolean {
  if (column === undefined || column.numbers === null || (column.valid !== null && column.valid[i] !== 1)) return false;
  if (column.big === null) return high === 0 && column.numbers[i] === low;
  return column.numbers[2 * i] === low && column.numbers[2 * i + 1] === high;
}
