/** The columns of an event chunk that a profile reads, as typed arrays; a column without validity counts as valid. */
import type { Chunk, ColumnData } from '../../traces/store.js';

export const COLUMNS = [
  'vcpu',
  'kind',
  'isa',
  'from_level',
  'to_level',
  'tick',
  'step',
  'time_ns',
  'reason',
  'qualification',
  'info2',
  'intr_info',
  'rip',
  'gpa',
  'code',
  'value',
  'flags',
  'bytes',
  'text',
] as const;

/** 64-bit cells, low word first, and a 1 where there is a value. */
export interface Wide {
  readonly cells: Uint32Array;
  readonly valid: Uint8Array;
}

/** Cells of up to 32 bits. */
export interface Narrow {
  readonly cells: Uint8Array | Uint16Array | Uint32Array;
  readonly valid: Uint8Array;
}

const ALL = new Uint8Array(1 << 16).fill(1);

export function narrow(column: ColumnData): Narrow {
  if (column.numbers === null) throw new Error(`column ${column.name} holds no numbers`);
  return { cells: column.numbers, valid: column.valid ?? ALL };
}

export function wide(column: ColumnData): Wide {
  if (!(column.numbers instanceof Uint32Array) || column.big === null) {
    throw new Error(`column ${column.name} is not of 64 bits`);
  }
  return { cells: column.numbers, valid: column.valid ?? ALL };
}

export class EventView {
  readonly chunk: Chunk;
  readonly lane: Narrow['cells'];
  readonly kind: Narrow['cells'];
  readonly flags: Narrow;
  readonly isa: Narrow;
  readonly level: Narrow;
  readonly toLevel: Narrow;
  readonly intr: Narrow;
  readonly reason: Wide;
  readonly qualification: Wide;
  readonly info2: Wide;
  readonly rip: Wide;
  readonly gpa: Wide;
  readonly code: Wide;
  readonly value: Wide;
  readonly bytes: Uint8Array;

  constructor(chunk: Chunk) {
    this.chunk = chunk;
    this.lane = narrow(chunk.column('vcpu')).cells;
    this.kind = narrow(chunk.column('kind')).cells;
    this.flags = narrow(chunk.column('flags'));
    this.isa = narrow(chunk.column('isa'));
    this.level = narrow(chunk.column('from_level'));
    this.toLevel = narrow(chunk.column('to_level'));
    this.intr = narrow(chunk.column('intr_info'));
    this.reason = wide(chunk.column('reason'));
    this.qualification = wide(chunk.column('qualification'));
    this.info2 = wide(chunk.column('info2'));
    this.rip = wide(chunk.column('rip'));
    this.gpa = wide(chunk.column('gpa'));
    this.code = wide(chunk.column('code'));
    this.value = wide(chunk.column('value'));
    this.bytes = chunk.column('bytes').valid ?? ALL;
  }
}

/** Ticks are exact; cycles of a host's TSC, whose frequency nobody said, are samples as nanoseconds are. */
export type Unit = 'ticks' | 'cycles' | 'ns' | null;

/** Index of the first row that has a value; behind all rows where none has. */
function firstOf(chunk: Chunk, { valid }: Wide): number {
  const first = valid.subarray(0, chunk.rows).indexOf(1);
  return first < 0 ? chunk.rows : first;
}

/** The clock of a trace: ticks or host time, by the first event that has either, and ticks where it has both. */
export class Clock {
  unit: Unit = null;

  /** The clock's column in a chunk; null where there is no clock yet. */
  of(chunk: Chunk): Wide | null {
    const tick = wide(chunk.column('tick'));
    const time = wide(chunk.column('time_ns'));
    this.unit ??= unitOf(chunk, tick, time);
    return this.unit === null ? null : this.unit === 'ns' ? time : tick;
  }
}

/** The unit of the first time in a chunk. */
function unitOf(chunk: Chunk, tick: Wide, time: Wide): Unit {
  const first = firstOf(chunk, tick);
  if (firstOf(chunk, time) < first) return 'ns';
  if (first === chunk.rows) return null;
  // the machine counts instructions beside its ticks, a host does not
  return firstOf(chunk, wide(chunk.column('step'))) < chunk.rows ? 'ticks' : 'cycles';
}
