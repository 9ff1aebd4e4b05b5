/** What a trace says that its run is a function of. Whoever wrote the trace wrote this too: nothing of it is believed. */
import { type AddressRange, ALL_KINDS, type MemoryFilter } from '../../engine/access-filter.js';
import { type RunConfiguration, readConfiguration } from '../../engine/configuration.js';
import type { EndKind } from '../../engine/drive.js';
import { EngineError } from '../../engine/errors.js';
import { SEMANTICS_VERSION } from '../../engine/machine.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { TableCursor } from './cursor.js';

export interface RecordedInput {
  readonly tick: number;
  readonly port: string;
  readonly bytes: Uint8Array;
}

export interface RecordedRun {
  readonly configuration: RunConfiguration;
  readonly image: Uint8Array;
  readonly imageName: string;
  /** By rising tick. */
  readonly inputs: readonly RecordedInput[];
  /** Which memory accesses the trace holds. */
  readonly memory: MemoryFilter;
  /** Tick at which the recording ended; of one that was cut, the one after the last that it tells of. */
  readonly end: number;
  /** What ended it; of one that was cut, `stopped`. */
  readonly ending: EndKind;
  /** Digest of the state in which it ended; null where it was cut. */
  readonly finalState: string | null;
}

const ENDINGS: readonly EndKind[] = ['exit', 'halt', 'shutdown', 'budget', 'stopped'];

function json(reader: TraceReader, key: string): unknown {
  const text = reader.run(key);
  if (text === null) throw new AnalysisError('NOT_REPLAYABLE', reader.path, `it does not say its ${key}`);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new AnalysisError('NOT_REPLAYABLE', reader.path, `its ${key} is no JSON`);
  }
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === 'object' && value !== null;

const isRange = (value: unknown): value is AddressRange =>
  isRecord(value) && Number.isSafeInteger(value.from) && Number.isSafeInteger(value.to);

function memoryOf(reader: TraceReader): MemoryFilter {
  const value = json(reader, 'memory');
  if (value === 'off') return value;
  const { ranges = null, kinds = null } = isRecord(value) ? value : {};
  const all = ranges === 'all';
  if ((all || (Array.isArray(ranges) && ranges.every(isRange))) && Array.isArray(kinds)) {
    return {
      ranges: all ? 'all' : ranges.map(({ from, to }) => ({ from, to })),
      kinds: ALL_KINDS.filter((kind) => kinds.includes(kind)),
    };
  }
  throw new AnalysisError('NOT_REPLAYABLE', reader.path, 'its memory is neither "off" nor ranges and kinds');
}

function configurationOf(reader: TraceReader): RunConfiguration {
  try {
    return readConfiguration(json(reader, 'configuration'));
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new AnalysisError('NOT_REPLAYABLE', reader.path, error.message);
  }
}

/** A cell that counts: exact as a number. */
export function countOf(reader: TraceReader, cursor: TableCursor, name: string): number {
  const value = cursor.number(name);
  if (Number.isSafeInteger(value)) return value;
  throw new AnalysisError('BAD_RECORD', placeOf(reader, cursor), `${name} is beyond 2^53`);
}

export const placeOf = (reader: TraceReader, cursor: TableCursor): string =>
  `${reader.path}, table ${cursor.chunk.table}, row ${cursor.row}`;

function inputsOf(reader: TraceReader): RecordedInput[] {
  const inputs: RecordedInput[] = [];
  const cursor = new TableCursor(reader, 'input');
  let last = 0;
  while (cursor.next()) {
    const tick = countOf(reader, cursor, 'tick');
    if (tick < last) {
      throw new AnalysisError('BAD_RECORD', placeOf(reader, cursor), `tick ${tick} comes after ${last}`);
    }
    last = tick;
    inputs.push({ tick, port: cursor.text('port'), bytes: cursor.bytes('bytes').slice() });
  }
  return inputs;
}

/** Tick of the last row of a table, or `otherwise`. */
function lastTick(reader: TraceReader, table: 'event' | 'checkpoint', otherwise: number): number {
  const cursor = new TableCursor(reader, table, Math.max(0, reader.rows(table) - 1));
  return cursor.next() ? countOf(reader, cursor, 'tick') : otherwise;
}

function endOf(reader: TraceReader): Pick<RecordedRun, 'end' | 'ending' | 'finalState'> {
  if (!reader.complete) {
    const end = Math.max(lastTick(reader, 'checkpoint', 0), lastTick(reader, 'event', -1) + 1);
    return { end, ending: 'stopped', finalState: null };
  }
  const ticks = reader.run('ticks') ?? '';
  const end = Number(ticks);
  if (!/^\d+$/.test(ticks) || !Number.isSafeInteger(end)) {
    throw new AnalysisError('NOT_REPLAYABLE', reader.path, 'its end is no tick');
  }
  const outcome = json(reader, 'outcome');
  const ending = ENDINGS.find((kind) => isRecord(outcome) && outcome.kind === kind);
  if (ending === undefined) throw new AnalysisError('NOT_REPLAYABLE', reader.path, 'its outcome is none');
  return { end, ending, finalState: reader.run('state') };
}

/**
 * All that a replay needs besides checkpoints.
 * @throws AnalysisError where the trace was imported, recorded by another version of the engine, or makes no sense
 */
export function recordedRun(reader: TraceReader): RecordedRun {
  const source = reader.run('source');
  if (source !== 'engine') {
    throw new AnalysisError('NOT_REPLAYABLE', reader.path, `it was imported (${source ?? 'unknown source'})`);
  }
  const semantics = reader.run('semantics');
  if (semantics !== String(SEMANTICS_VERSION)) {
    const why = `it was recorded with engine semantics ${semantics ?? '?'}, this is ${SEMANTICS_VERSION}`;
    throw new AnalysisError('OTHER_SEMANTICS', reader.path, why);
  }
  const image = reader.image();
  if (image === null) throw new AnalysisError('NOT_REPLAYABLE', reader.path, 'it has no image');
  return {
    configuration: configurationOf(reader),
    image,
    imageName: reader.run('image_name') ?? 'image',
    inputs: inputsOf(reader),
    memory: memoryOf(reader),
    ...endOf(reader),
  };
}
