/** Whether a trace is what was written: digests of all it holds, and what its tables promise of each other. */
import { EVENT_KINDS } from '../engine/observer.js';
import type { TableName } from '../traces/schema.js';
import { pageHash } from '../traces/state-digest.js';
import type { TraceReader } from '../traces/store.js';
import { TableCursor } from './replay/cursor.js';

/** A promise that a row breaks. */
export interface Breach {
  readonly table: TableName;
  readonly row: number;
  readonly says: string;
}

export interface Integrity {
  /** Over all rows that are there. */
  readonly digest: string;
  /** What the recorder wrote when it closed the trace; null where it did not. */
  readonly recorded: string | null;
  /** The first row of each table that breaks a promise of traces/schema.ts. */
  readonly breaches: readonly Breach[];
  /** What of its files is damaged though no row depends on it. */
  readonly flaws: readonly string[];
}

/** Looks at one row after the other; answers what is wrong with it, or null. */
type Check = (cursor: TableCursor) => string | null;

const unlike = (says: string, holds: boolean): string | null => (holds ? null : says);

/** A column that never falls. */
function rising(name: string): Check {
  let last = 0;
  return (cursor) => {
    if (!cursor.has(name)) return null;
    const value = cursor.number(name);
    const fault = unlike(`${name} ${value} comes after ${last}`, value >= last);
    last = value;
    return fault;
  };
}

/** A VM entry that failed loads the host's state like an exit, and work follows it. */
const EXITS: readonly number[] = [EVENT_KINDS.exit, EVENT_KINDS.entry_failed];

/** Rows of `event`: seq without gaps, ticks of our machine that do not fall within a vCPU, parents that are exits before. */
function events(reader: TraceReader): Check {
  const ours = reader.run('source') === 'engine';
  const ticks = new Map<number, number>();
  const exits = new Set<number>();
  return (cursor) => {
    const seq = cursor.number('seq');
    if (seq !== cursor.row) return `seq is ${seq}`;
    if (EXITS.includes(cursor.low('kind'))) exits.add(seq);
    if (cursor.has('parent') && !exits.has(cursor.number('parent'))) return 'its parent is no exit before it';
    if (!ours || !cursor.has('tick')) return null;
    const vcpu = cursor.low('vcpu');
    const tick = cursor.number('tick');
    const last = ticks.get(vcpu) ?? 0;
    ticks.set(vcpu, tick);
    return unlike(`tick ${tick} comes after ${last} on vCPU ${vcpu}`, tick >= last);
  };
}

/** Nothing is promised of its rows, but they are read, hence the tags of their chunks checked. */
const anything = (): Check => () => null;

const CHECKS: { readonly [table in TableName]?: (reader: TraceReader) => Check } = {
  run: anything,
  dictionary: anything,
  event: events,
  register: () => rising('seq'),
  memory: () => rising('tick'),
  input: () => rising('tick'),
  output: () => rising('tick'),
  checkpoint: () => (cursor) => unlike(`id is ${cursor.number('id')}`, cursor.number('id') === cursor.row),
  checkpoint_page: () => rising('checkpoint'),
  page: () => (cursor) =>
    unlike('its hash is of another content', pageHash(cursor.bytes('content')) === cursor.text('hash')),
};

function breachOf(reader: TraceReader, table: TableName, check: Check): Breach | null {
  const cursor = new TableCursor(reader, table);
  let breach: Breach | null = null;
  // To the end: damage behind a breach is to be found too.
  while (cursor.next()) {
    const says: string | null = breach === null ? check(cursor) : null;
    if (says !== null) breach = { table, row: cursor.row, says };
  }
  return breach;
}

/**
 * Reads the whole trace.
 * @throws TraceError at the first chunk that is damaged
 */
export function integrityOf(reader: TraceReader): Integrity {
  const breaches = Object.entries(CHECKS).flatMap(([table, check]) => {
    const breach = breachOf(reader, table as TableName, check(reader));
    return breach ? [breach] : [];
  });
  return { digest: reader.digest(), recorded: reader.run('digest'), breaches, flaws: reader.flaws() };
}

/** No row is broken, and the digest is the recorded one. */
export const isIntact = ({ digest, recorded, breaches }: Integrity): boolean =>
  breaches.length === 0 && (recorded === null || recorded === digest);
