/**
 * The trace's events as columns in memory, read once: what a viewport is answered from. An event costs 24 bytes here
 * at the most, and 14 more on each axis that is looked at.
 */
import { EVENT_KINDS } from '../engine/observer.js';
import type { Chunk, ColumnData, TraceReader } from '../traces/store.js';
import { AnalysisError } from './errors.js';
import { originOf } from './origin.js';
import { countedReason } from './profile/keys.js';
import { readableEvents, reasonOf } from './timeline-chunks.js';

/** Names of the trace are cut to this length, and no more lanes and categories are told apart than this. */
export const LIMITS = {
  name: 120,
  lanes: 4096,
  categories: 1024,
  events: 200_000_000,
  problem: 300,
  problems: 20,
} as const;

const KIND_NAMES = new Map(Object.entries(EVENT_KINDS).map(([name, code]) => [code as number, name]));
/** Kinds whose `reason` tells them apart. */
const REASONED = new Set<number>([EVENT_KINDS.exit, EVENT_KINDS.nested_exit, EVENT_KINDS.entry_failed]);
/** Kinds that belong to the level that runs next; the others belong to the one that was running. */
const ENTERING = new Set<number>([EVENT_KINDS.entry, EVENT_KINDS.nested_entry]);
const FAILED_ENTRY = 0x8000_0000n;

export interface IndexedCategory {
  readonly kind: number;
  readonly kindName: string;
  readonly reason: string | null;
  readonly isa: number | null;
  readonly failure: boolean;
  count: number;
}

export interface IndexedLane {
  readonly vcpu: number;
  readonly level: number | null;
  readonly name: string;
  count: number;
  readonly categories: Set<number>;
}

/** Rows of which nothing is known: from row `before` (the last one known, -1: none) to row `after`. */
export interface Hole {
  readonly vcpu: number | null;
  readonly before: number;
  readonly after: number | null;
  readonly lost: number | null;
  readonly says: string;
}

export interface EventIndex {
  readonly rows: number;
  readonly lanes: readonly IndexedLane[];
  readonly categories: readonly IndexedCategory[];
  /** By row; NO_LANE where the row could not be read. */
  readonly lane: Uint16Array;
  readonly category: Uint16Array;
  /** Row of the entry that ended an exit's handling; 0: not known. */
  readonly end: Uint32Array;
  /** Null where no event has one. An event without takes that before it on its vCPU, a loss that of the event behind it. */
  readonly tick: Float64Array | null;
  /** Nanoseconds since `timeBase`. */
  readonly time: Float64Array | null;
  readonly timeBase: bigint | null;
  readonly holes: readonly Hole[];
  readonly problems: readonly string[];
}

export const NO_LANE = 0xffff;
/** Stands for a level that the source does not say. */
const NO_LEVEL = 255;
const NESTED = 256;

const COLUMNS = ['vcpu', 'tick', 'time_ns', 'kind', 'isa', 'from_level', 'to_level', 'reason', 'value'] as const;
type Columns = { readonly [name in (typeof COLUMNS)[number]]: ColumnData };

interface Words {
  readonly low: number;
  readonly high: number;
}
const ZERO: Words = { low: 0, high: 0 };

const clip = (name: string): string => (name.length > LIMITS.name ? `${name.slice(0, LIMITS.name - 1)}…` : name);
const has = (column: ColumnData, row: number): boolean => column.valid === null || column.valid[row] === 1;
const small = (column: ColumnData, row: number): number | null =>
  has(column, row) ? (column.numbers?.[row] ?? null) : null;
/** A 64-bit cell as a number, exact below 2^53; with `base`, the signed difference to it, exact where that is small. */
function wide(column: ColumnData, row: number, base: Words = ZERO): number | null {
  if (column.numbers === null || !has(column, row)) return null;
  const low = column.numbers[2 * row] ?? 0;
  const high = column.numbers[2 * row + 1] ?? 0;
  return (high - base.high) * 0x1_0000_0000 + (low - base.low);
}

/** An axis as it is read: the latest value of each vCPU stands in where an event has none. */
class AxisColumn {
  values: Float64Array | null = null;
  readonly #rows: number;
  readonly #latest = new Map<number, number>();
  #previous = 0;
  /** First of the losses without a value that were set last, or -1. */
  #lost = -1;

  constructor(rows: number) {
    this.#rows = rows;
  }

  set(row: number, vcpu: number, value: number | null): void {
    if (value !== null) {
      this.values ??= new Float64Array(this.#rows);
      if (this.#lost >= 0) this.values.fill(value, this.#lost, row);
      this.#latest.set(vcpu, value);
      this.#previous = value;
    }
    this.#lost = -1;
    if (this.values !== null) this.values[row] = value ?? this.#latest.get(vcpu) ?? this.#previous;
  }

  /** A loss without a value lasts until the event that follows it. */
  lose(row: number): void {
    if (this.#lost < 0) this.#lost = row;
    if (this.values !== null) this.values[row] = this.#previous;
  }

  /** Rows that could not be read stand where the row before them does. */
  hold(from: number, to: number): void {
    this.#lost = -1;
    this.values?.fill(this.#previous, from, to);
  }
}

function put(axis: AxisColumn, kind: number, row: number, vcpu: number, value: number | null): void {
  if (value === null && kind === EVENT_KINDS.lost) axis.lose(row);
  else axis.set(row, vcpu, value);
}

/** Reads the events of a trace, one chunk a call of `next`, so that a server can breathe in between. */
export class IndexBuilder {
  readonly #reader: TraceReader;
  readonly #rows: number;
  readonly #lanes: IndexedLane[] = [];
  readonly #laneOf = new Map<number, number>();
  readonly #categories: IndexedCategory[] = [];
  readonly #categoryOf = new Map<number | string, number>();
  readonly #lane: Uint16Array;
  readonly #category: Uint16Array;
  readonly #end: Uint32Array;
  readonly #tick: AxisColumn;
  readonly #time: AxisColumn;
  #timeBase: Words | null = null;
  readonly #holes: Hole[] = [];
  readonly #problems: string[] = [];
  /** Exits whose handling has not ended: by vCPU, their rows by level (plus NESTED for nested exits). */
  readonly #open = new Map<number, Map<number, number>>();
  /** vCPUs of which more is known than losses. */
  readonly #told = new Set<number>();
  /** The last row of each vCPU. */
  readonly #last = new Map<number, number>();
  readonly #chunks: Iterator<Chunk>;
  #row = 0;

  constructor(reader: TraceReader) {
    this.#reader = reader;
    this.#rows = reader.rows('event');
    if (this.#rows > LIMITS.events) {
      throw new AnalysisError('TOO_MANY_EVENTS', reader.path, `${this.#rows}, of ${LIMITS.events} at the most`);
    }
    this.#lane = new Uint16Array(this.#rows).fill(NO_LANE);
    this.#category = new Uint16Array(this.#rows);
    this.#end = new Uint32Array(this.#rows);
    this.#tick = new AxisColumn(this.#rows);
    this.#time = new AxisColumn(this.#rows);
    this.#chunks = readableEvents(reader, COLUMNS, (from, to, why) => this.#skip(from, to, why));
  }

  /** Share of the trace that has been read, 0 to 1. */
  get progress(): number {
    return this.#rows === 0 ? 1 : this.#row / this.#rows;
  }

  /** Reads one chunk; false at the end. */
  next(): boolean {
    const step = this.#chunks.next();
    if (step.done !== true) this.#add(step.value);
    return step.done !== true;
  }

  finish(): EventIndex {
    if (!this.#reader.complete) {
      const { cut } = originOf((key) => this.#reader.run(key), false);
      this.#problem(this.#damage() ?? `the recording was cut: ${cut}`);
      const before = this.#rows - 1;
      this.#holes.push({ vcpu: null, before, after: null, lost: null, says: 'the recording was cut here' });
    }
    return {
      rows: this.#rows,
      lanes: this.#lanes,
      categories: this.#categories,
      lane: this.#lane,
      category: this.#category,
      end: this.#end,
      tick: this.#tick.values,
      time: this.#time.values,
      timeBase:
        this.#timeBase === null
          ? null
          : BigInt.asIntN(64, (BigInt(this.#timeBase.high) << 32n) | BigInt(this.#timeBase.low)),
      holes: this.#holes.map((hole) => this.#placed(hole)),
      problems: this.#problems,
    };
  }

  /**
   * A lane that has nothing but losses is the buffer of a host CPU: whatever ran there lost events, since the event
   * before in the trace.
   */
  #placed(hole: Hole): Hole {
    if (hole.vcpu === null || hole.after === null || this.#told.has(hole.vcpu)) return hole;
    return { ...hole, vcpu: null, before: hole.after - 1 };
  }

  /** What is wrong with the file behind its last event; null where nothing is. */
  #damage(): string | null {
    try {
      for (const _ of this.#reader.chunks('event', { from: this.#rows, columns: COLUMNS }));
      return null;
    } catch (error) {
      return reasonOf(error, this.#reader.path);
    }
  }

  #skip(from: number, to: number, why: string): void {
    this.#problem(`events ${from} to ${to - 1} cannot be read: ${why.slice(0, LIMITS.problem)}`);
    const hole = { vcpu: null, before: from - 1, after: to, lost: to - from };
    this.#holes.push({ ...hole, says: clip(`unreadable: ${why}`) });
    this.#tick.hold(from, to);
    this.#time.hold(from, to);
    this.#open.clear();
    this.#row = to;
  }

  #add(chunk: Chunk): void {
    const columns = Object.fromEntries(COLUMNS.map((name) => [name, chunk.column(name)])) as Columns;
    for (let i = this.#row - chunk.first; i < chunk.rows && this.#row < this.#rows; i++) {
      this.#addRow(columns, i, this.#row);
      this.#row++;
    }
  }

  #addRow(columns: Columns, i: number, row: number): void {
    const kind = small(columns.kind, i) ?? EVENT_KINDS.other;
    const vcpu = small(columns.vcpu, i) ?? 0;
    const from = small(columns.from_level, i);
    const to = small(columns.to_level, i);
    put(this.#tick, kind, row, vcpu, wide(columns.tick, i));
    if (this.#timeBase === null && has(columns.time_ns, i)) {
      const words = columns.time_ns.numbers;
      this.#timeBase = { low: words?.[2 * i] ?? 0, high: words?.[2 * i + 1] ?? 0 };
    }
    put(this.#time, kind, row, vcpu, wide(columns.time_ns, i, this.#timeBase ?? ZERO));

    const level = ENTERING.has(kind) ? (to ?? from) : (from ?? to);
    const lane = this.#laneIndex(vcpu, level);
    this.#lane[row] = lane;
    const ofLane = this.#lanes[lane];
    if (ofLane !== undefined) ofLane.count++;
    const category = REASONED.has(kind)
      ? this.#categoryIndex(kind, small(columns.isa, i), has(columns.reason, i) ? columns.reason : null, i)
      : this.#categoryIndex(kind, null, null, i);
    this.#category[row] = category;
    ofLane?.categories.add(category);
    const ofCategory = this.#categories[category];
    if (ofCategory !== undefined) ofCategory.count++;

    if (kind === EVENT_KINDS.lost) this.#lose(vcpu, row, wide(columns.value, i));
    else {
      this.#told.add(vcpu);
      this.#pair(kind, vcpu, level ?? NO_LEVEL, row);
    }
    this.#last.set(vcpu, row);
  }

  #lose(vcpu: number, row: number, lost: number | null): void {
    const before = this.#last.get(vcpu) ?? -1;
    this.#holes.push({ vcpu, before, after: row, lost, says: 'events were lost' });
    this.#open.delete(vcpu);
  }

  /**
   * The handling of an exit ends where its level, or one above it, is entered: an exit of level 1 that asks for level 2
   * to run (VMRESUME) is served once level 2 runs, while an exit of level 2 is not served by an entry to level 1.
   */
  #pair(kind: number, vcpu: number, level: number, row: number): void {
    const nested = kind === EVENT_KINDS.nested_exit || kind === EVENT_KINDS.nested_entry ? NESTED : 0;
    let open = this.#open.get(vcpu);
    if (kind === EVENT_KINDS.exit || kind === EVENT_KINDS.nested_exit) {
      if (open === undefined) {
        open = new Map();
        this.#open.set(vcpu, open);
      }
      open.set(level + nested, row);
    } else if (open !== undefined && (kind === EVENT_KINDS.entry || kind === EVENT_KINDS.nested_entry)) {
      for (const [key, exit] of open) {
        if (key < nested || key > level + nested) continue;
        this.#end[exit] = row;
        open.delete(key);
      }
    }
  }

  #laneIndex(vcpu: number, level: number | null): number {
    const key = vcpu * 256 + (level ?? NO_LEVEL);
    const known = this.#laneOf.get(key);
    if (known !== undefined) return known;
    const index = this.#lanes.length;
    if (index >= LIMITS.lanes) {
      this.#problem(`more than ${LIMITS.lanes} lanes: the rest is shown in the last one`);
      return LIMITS.lanes - 1;
    }
    const name = clip(this.#reader.name('vcpu', vcpu) ?? `vCPU ${vcpu}`);
    this.#lanes.push({ vcpu, level: level === NO_LEVEL ? null : level, name, count: 0, categories: new Set() });
    this.#laneOf.set(key, index);
    return index;
  }

  #categoryIndex(kind: number, isa: number | null, reasons: ColumnData | null, i: number): number {
    const low = countedReason(isa ?? 0, reasons?.numbers?.[2 * i] ?? 0);
    const high = reasons?.numbers?.[2 * i + 1] ?? 0;
    const group = (kind * 4 + ((isa ?? 3) & 3)) * 2 + (reasons === null ? 0 : 1);
    const key = high === 0 ? group * 0x1_0000_0000 + low : `${group} ${reasons?.big?.[i]}`;
    const known = this.#categoryOf.get(key);
    if (known !== undefined) return known;
    const index = this.#categories.length;
    if (index >= LIMITS.categories) {
      this.#problem(`more than ${LIMITS.categories} kinds and reasons: the rest is shown as the last one`);
      return LIMITS.categories - 1;
    }
    this.#categories.push(this.#describe(kind, isa, reasons?.big?.[i] ?? null));
    this.#categoryOf.set(key, index);
    return index;
  }

  #describe(kind: number, isa: number | null, reason: bigint | null): IndexedCategory {
    const kindName = clip(this.#reader.name('kind', kind) ?? KIND_NAMES.get(kind) ?? `kind ${kind}`);
    const named = reason === null ? null : clip(reasonName(this.#reader, isa, reason));
    // What L0 told L1 of a failed entry (nested_exit) is not a second failure.
    const failedExit = kind === EVENT_KINDS.exit && reason !== null && entryFailed(isa, reason);
    const failure = kind === EVENT_KINDS.entry_failed || kind === EVENT_KINDS.vmfail || failedExit;
    return { kind, kindName, reason: named, isa, failure, count: 0 };
  }

  #problem(says: string): void {
    if (!this.#problems.includes(says) && this.#problems.length < LIMITS.problems) this.#problems.push(says);
  }
}

/** Whether an exit says that the entry before it failed: bit 31 of VMX reasons, VMEXIT_INVALID (-1) of SVM. */
export function entryFailed(isa: number | null, reason: bigint): boolean {
  if (isa === 2) return BigInt.asIntN(64, reason) === -1n || reason === 0xffff_ffffn;
  return isa === 1 && (reason & FAILED_ENTRY) !== 0n;
}

/** Name of an exit reason by the trace's own dictionary, else its number. */
export function reasonName(reader: TraceReader, isa: number | null, reason: bigint): string {
  const hex = `0x${reason.toString(16)}`;
  if (isa === 2) return reader.name('reason.svm', reason) ?? hex;
  if (isa !== 1) return hex;
  // Intel SDM, "Format of Exit Reason in Basic VM-Exit Information": bits 15:0 are the basic reason
  const basic = reason & 0xffffn;
  return reader.name('reason.vmx', reason) ?? reader.name('reason.vmx', basic) ?? `0x${basic.toString(16)}`;
}
