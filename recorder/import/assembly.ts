/**
 * Events become a trace: each gets its lane's levels and the exit that it serves, the last one is held back until the
 * next says whether it came from an L2, and what was lost breaks every pairing. The importers of text and of binary
 * files differ in how they fill a row; from there on this is what they share.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import { KVM_EXIT } from '../../traces/codes.js';
import type { TraceWriter } from '../../traces/store.js';
import { defineDictionaries, type NamedTracepoint } from './dictionaries.js';
import type { ImportError } from './errors.js';
import { saysOfEvent } from './kvm/table.js';
import { type Lane, Lanes } from './lanes.js';
import type { CoinedReason } from './reasons.js';
import { type ImportCounts, type ImportOptions, type ImportResult, Notes } from './result.js';
import { EventRow, FIELD } from './row.js';
import { type EventSink, type EventTaker, RowSink, TableSink } from './sink.js';

/** Names of events that have no kind of their own; the last number stands for all beyond. */
export const MAX_NAMES = 4096;
const NO_EXITS =
  'no kvm_exit: either the event was not recorded, or this kernel emits none (software virtualization without kvm_intel or ' +
  'kvm_amd never exits); exits and their cost are unknown, not zero';
/** Names that a note lists. */
const SHOWN = 5;

const entriesAlone = (count: number): string =>
  `no kvm_exit, though ${count === 1 ? 'there is a VM entry' : `there are ${count} VM entries`}: either the event was not ` +
  'recorded, or no entry got as far as the guest; exits and their cost are unknown, not zero';

const noKvm = (names: readonly string[]): string =>
  `no event of KVM: the recording holds ${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ' and others' : ''}; ` +
  'record the events of kvm, with `trace-cmd record -e kvm` or `perf record -e "kvm:*"`';

function unknownReasons(coined: readonly CoinedReason[]): string {
  const shown = coined.slice(0, SHOWN).map(({ name, low }) => `${name} (code 0x${low.toString(16)} here)`);
  const others = coined.length > SHOWN ? ` and ${coined.length - SHOWN} others` : '';
  return `exit reasons that are newer than this version's tables, kept by their names: ${shown.join(', ')}${others}`;
}

/** Names that events get whose descriptions the file lacks. */
const NAMELESS = /^event_\d+$/;
/** Where formats have them. */
const DESCRIPTIONS_OF: { readonly [format: string]: string } = { perf: ', which stand at the end of a perf.data,' };
const noDescriptions = (format: string): string =>
  `the descriptions of the events${DESCRIPTIONS_OF[format] ?? ''} are missing or damaged: what its records are is ` +
  'unknown, and they are kept as bytes; copy the file again';

const { entry: ENTRY, exit: EXIT, entry_failed: ENTRY_FAILED, userspace_exit: USERSPACE } = EVENT_KINDS;

const unanswered = (count: number, first: number): string =>
  `${count === 1 ? '1 VM entry has' : `${count} VM entries have`} no exit before what the thread did next (the first is ` +
  `event ${first}): either VMfail, an entry that was refused before the guest was loaded, or the exit was not recorded`;

const refused = (count: number, first: number): string =>
  `${count === 1 ? '1 VM entry' : `${count} VM entries`} failed without an exit, as KVM told user space ` +
  `(KVM_EXIT_FAIL_ENTRY; the first is event ${first}): see trapline explain`;

/** How reading ended; `noExits` is what it means that there is no exit, where that is not about KVM. */
export interface Finish extends Pick<ImportResult, 'source' | 'format' | 'stopped'> {
  readonly noExits?: string;
}

const TSC_UNUSED =
  'the frequency of the TSC that was given (--tsc-hz) has no use here: the times are no cycles of the TSC, or the ' +
  'recording says itself how fast it counted';

const utf8 = new TextDecoder('utf-8', { fatal: false });

export class Assembly {
  readonly lanes = new Lanes();
  readonly notes = new Notes();
  /** The row to fill next, and the one held back. */
  row = new EventRow();
  held = new EventRow();
  heldLane: Lane | null = null;
  writer: TraceWriter | null = null;
  damaged = 0;
  lost = 0;
  /** Tracepoints of which the source says that all their events were recorded, and of which it has none. */
  silent: readonly string[] = [];
  /** Times of the source were made nanoseconds by the frequency that the user said. */
  usesTscHz = false;
  readonly #saysTscHz: boolean;
  readonly #open: () => TraceWriter;
  readonly #columns: readonly string[] | null;
  readonly #taker: EventTaker | null;
  readonly #tracepoints: NamedTracepoint[] = [];
  readonly #kinds = new Float64Array(256);
  #sink: EventSink | null = null;
  #seq = 0;
  #unanswered = 0;
  #firstUnanswered = 0;
  /** Unanswered entries of which KVM says that they failed. */
  #refused = 0;
  #firstRefused = 0;

  /** `open` is called with the first event, so that what is no trace writes nothing. */
  constructor(open: () => TraceWriter, { columns, lanes, tracepoints, taker, tscHz }: ImportOptions = {}) {
    this.#open = open;
    this.#columns = columns ?? null;
    this.#taker = taker ?? null;
    this.#saysTscHz = tscHz !== undefined;
    lanes?.(this.lanes.all);
    tracepoints?.(this.#tracepoints);
  }

  get events(): number {
    return this.#seq + (this.heldLane === null ? 0 : 1);
  }

  /** Number, in the dictionary domain `event`, of a name that is new; `fields` are those of its records, where known. */
  nameEvent(name: string, fields: readonly string[] | null = null): number {
    const tracepoints = this.#tracepoints;
    if (tracepoints.length >= MAX_NAMES) return MAX_NAMES;
    return tracepoints.push({ name, says: saysOfEvent(name, fields) }) - 1;
  }

  /** A nested exit right behind an exit of the same thread proves that it came from an L2. */
  learnNested(thread: number): void {
    const lane = this.heldLane;
    if (lane === null || this.held.kind !== EVENT_KINDS.exit) return;
    if (lane.thread !== null && lane.thread !== thread) return;
    this.held.fromLevel = 2;
    lane.guest = 2;
  }

  /** Holds the filled row back; the one before must have been flushed. */
  hold(lane: Lane): void {
    const row = this.held;
    this.held = this.row;
    this.row = row;
    this.heldLane = lane;
  }

  /** Ends the filled row: an exit is held back, as the next may say more of it. The one before must have been flushed. */
  end(lane: Lane): void {
    if (this.row.kind === EXIT) this.hold(lane);
    else this.#complete(this.row, lane);
  }

  /** Writes the row that was held back. */
  flush(): void {
    const lane = this.heldLane;
    if (lane === null) return;
    this.heldLane = null;
    this.#complete(this.held, lane);
  }

  /** Writes a row, and lets it change the state of its lane. */
  #complete(row: EventRow, lane: Lane): void {
    lane.recall();
    row.vcpu = lane.id;
    if (row.problem !== null) this.damage(row.line, row.problem, utf8.decode(row.text.subarray(0, row.textLength)));
    this.#answer(row, lane);
    place(row, lane, this.#seq);
    if (row.hasTime === true) lane.reach(-1, row.timeLow, row.timeHigh, false);
    else if (row.hasTick === true) lane.reach(-1, row.timeLow, row.timeHigh, true);
    this.#write(row);
  }

  /**
   * Counts an event of a kind that is not ACTING, and leaves it out; the one before must have been flushed. False where
   * it may not be left out: only the last of a lane leaves a trace, so that neither the first nor one that is late may.
   */
  pass(lane: Lane, kind: number, timeLow: number, timeHigh: number, inTicks: boolean): boolean {
    if (lane.seen !== true || lane.reach(kind, timeLow, timeHigh, inTicks) !== true) return false;
    this.#kinds[kind] = (this.#kinds[kind] as number) + 1;
    this.#seq += 1;
    return true;
  }

  /** Writes the last event of each lane that was left out. */
  #endLanes(): void {
    const { row } = this;
    for (const lane of this.lanes.all) {
      if (lane.passed < 0) continue;
      row.clear();
      row.kind = lane.passed;
      row.vcpu = lane.id;
      row.hasTime = !lane.lastInTicks;
      row.hasTick = lane.lastInTicks;
      row.timeLow = lane.lastLow;
      row.timeHigh = lane.lastHigh;
      this.sink().write(this.#seq, row);
      this.#seq += 1;
    }
  }

  /** A VM entry ends in an exit or in a failed entry; one that ends in neither never entered. */
  #answer({ kind, mask, words }: EventRow, lane: Lane): void {
    if (kind === ENTRY || kind === USERSPACE) {
      const isTold =
        kind === USERSPACE && (mask & (1 << FIELD.code)) !== 0 && words[2 * FIELD.code] === KVM_EXIT.failEntry;
      if (lane.entered >= 0 && isTold) {
        if (this.#refused === 0) this.#firstRefused = lane.entered;
        this.#refused += 1;
      } else if (lane.entered >= 0) {
        if (this.#unanswered === 0) this.#firstUnanswered = lane.entered;
        this.#unanswered += 1;
      }
      lane.entered = kind === ENTRY ? this.#seq : -1;
    } else if (kind === EXIT || kind === ENTRY_FAILED) lane.entered = -1;
  }

  /** A line, or without lines a place, that is no event or not what its event prints. */
  damage(line: number | null, says: string, text: string): void {
    this.damaged += 1;
    this.notes.add(line, `${says}: ${text.slice(0, 160)}`);
  }

  /** Events that the source says are missing: how many (0: unknown) and on which host CPU (-1: unknown). */
  lose(count: number, cpu: number, where: () => string): void {
    if (!Number.isSafeInteger(count)) return;
    this.flush();
    const { row } = this;
    row.clear();
    row.begin('lost', this.lanes.ofCpu(cpu, where).id, 0, 0, 255, 255);
    if (count > 0) row.setNumber('value', count);
    this.lost = Math.min(Number.MAX_SAFE_INTEGER, this.lost + count);
    this.lanes.gaps.count += 1;
    this.#write(row);
  }

  /** Where events go; it opens the trace. */
  sink(): EventSink {
    if (this.#sink === null) {
      this.writer = this.#open();
      const columns = this.#columns;
      this.#sink =
        this.#taker === null ? new TableSink(this.writer.table('event'), columns) : new RowSink(this.#taker, columns);
    }
    return this.#sink;
  }

  #write(row: EventRow): void {
    const sink = this.#sink ?? this.sink();
    this.#kinds[row.kind] = (this.#kinds[row.kind] as number) + 1;
    sink.write(this.#seq, row);
    this.#seq += 1;
  }

  /** What it means that there is no exit. */
  #noExits({ events, entries, gaps }: ImportCounts, format: string): string {
    if (entries > 0) return entriesAlone(entries);
    const others = (this.#kinds[EVENT_KINDS.other] as number) + gaps;
    const names = this.#tracepoints.map(({ name }) => name);
    if (names.length > 0 && names.every((name) => NAMELESS.test(name))) return noDescriptions(format);
    const foreign = others === events && !names.some((name) => name.includes('kvm'));
    return foreign && names.length > 0 ? noKvm(names) : NO_EXITS;
  }

  /** Writes names and notes and closes the trace, which must have an event. */
  finish(
    { source, format, stopped, noExits }: Finish,
    read: Pick<ImportCounts, 'lines' | 'frames'>,
    coined: readonly CoinedReason[] = [],
  ): ImportResult {
    const { writer } = this;
    if (writer === null) throw new Error('finish without an event');
    const count = (kind: keyof typeof EVENT_KINDS): number => this.#kinds[EVENT_KINDS[kind]] as number;
    const counts = {
      lines: read.lines,
      events: this.#seq,
      exits: count('exit'),
      entries: count('entry'),
      failedEntries: count('entry_failed'),
      nestedExits: count('nested_exit'),
      lost: this.lost,
      gaps: count('lost'),
      damaged: this.damaged,
      frames: read.frames,
      lanes: this.lanes.all.length,
      threads: this.lanes.threads,
    };
    const answers = counts.exits + counts.failedEntries;
    if (answers === 0 && (this.#refused === 0 || this.#refused < counts.entries))
      this.notes.add(null, noExits ?? this.#noExits(counts, format));
    if (this.#refused > 0) this.notes.add(null, refused(this.#refused, this.#firstRefused));
    if (this.#unanswered > 0) this.notes.add(null, unanswered(this.#unanswered, this.#firstUnanswered));
    if (this.#saysTscHz && !this.usesTscHz) this.notes.add(null, TSC_UNUSED);
    if (coined.length > 0) this.notes.add(null, unknownReasons(coined));
    const notes = this.notes.finish();
    this.#endLanes();
    defineDictionaries(writer, this.#tracepoints, coined);
    this.lanes.define(writer);
    writer.setRun('source', format);
    writer.setRun('notes', JSON.stringify(notes));
    if (stopped !== null) writer.setRun('stopped', JSON.stringify(factOf(stopped)));
    if (this.damaged > 0) writer.setRun('damaged', String(this.damaged));
    if (this.silent.length > 0) writer.setRun('silent', JSON.stringify(this.silent));
    const { digest } = writer.finish({ complete: stopped === null });
    return { path: writer.path, source, format, counts, notes, stopped, digest };
  }
}

/** An error as a trace keeps it. */
const factOf = ({ code, what, where, why, advice }: ImportError) => ({ code, what, where, why, advice });

const serves = (row: EventRow, parent: number): void => {
  row.setAt(FIELD.parent, parent >>> 0, parent > 0xffff_ffff ? Math.floor(parent / 0x1_0000_0000) : 0);
};

/** Kinds that change what is known of their lane: `place` and `#answer` look at them. */
export const ACTING: ReadonlySet<number> = new Set(
  (['exit', 'entry_failed', 'entry', 'userspace_exit', 'nested_entry', 'nested_exit', 'nested_inject'] as const).map(
    (kind) => EVENT_KINDS[kind],
  ),
);

/** Levels, parent and pairing: what the row gets from its lane, and the lane from the row. */
function place(row: EventRow, lane: Lane, seq: number): void {
  const served = lane.exit >= 0 ? lane.exit : lane.reflected;
  if (row.fromLevel === 2 && row.kind === EVENT_KINDS.exit) lane.guest = 2;
  switch (row.kind) {
    case EVENT_KINDS.exit:
    case EVENT_KINDS.entry_failed:
      if (row.isa === 0 && (row.mask & (1 << FIELD.reason)) === 0) break; // a nested entry that KVM refused
      row.fromLevel = lane.guest;
      row.toLevel = 0;
      if (lane.guest === 1 && lane.reflected >= 0) serves(row, lane.reflected);
      lane.exit = seq;
      lane.exitIsa = row.isa;
      lane.exitReason = (row.words[2 * FIELD.reason] as number) & 0xffff;
      return;
    case EVENT_KINDS.entry:
      row.fromLevel = 0;
      row.toLevel = lane.guest;
      if (lane.exit >= 0) serves(row, lane.exit);
      lane.exit = -1;
      lane.exitIsa = 0;
      lane.exitReason = -1;
      return;
    case EVENT_KINDS.nested_entry:
      row.fromLevel = 1;
      row.toLevel = 2;
      lane.guest = 2;
      lane.reflected = -1;
      break;
    case EVENT_KINDS.nested_exit:
      row.fromLevel = 2;
      lane.guest = 2;
      break;
    case EVENT_KINDS.nested_inject:
      row.fromLevel = 2;
      row.toLevel = 1;
      lane.guest = 1;
      lane.reflected = lane.exit;
      break;
  }
  if (served >= 0) serves(row, served);
}
