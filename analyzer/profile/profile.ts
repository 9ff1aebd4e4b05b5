/**
 * Where the exits go: count, share and handler time by level (or lane) and reason, by what each exit was about, and
 * the instructions that cause most of them; and how much of its time each vCPU is outside its guest. Handler time runs
 * from an exit to the next entry of the same vCPU, in ticks on deterministic runs and in nanoseconds on hosts.
 */
import { svmExitCodeName } from '../../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, vmxExitReasonName } from '../../engine/vmx/exit-reasons.js';
import type { Chunk, TraceReader } from '../../traces/store.js';
import { Histogram, type HistogramData } from '../histogram.js';
import type { Symbols } from '../symbols/symbols.js';
import { type Cell, readCell } from './cells.js';
import { disassemble } from './code.js';
import { UNKNOWN_LEVEL } from './event.js';
import { type ExitIndex, ExitIndexBuilder } from './exit-index.js';
import { allCells, exitCells, groupCells, type Parts } from './groups.js';
import { keyLabel } from './keys.js';
import type { NameOf } from './lane-names.js';
import {
  type Counted,
  lanesOf,
  levelsOf,
  type ProfileLane,
  type ProfileLevel,
  type ProfileVm,
  type Spent,
  spentOf,
  vmsOf,
} from './spent.js';
import { type Times, timesOf } from './stats.js';
import { COLUMNS, type Unit } from './view.js';

export type { Times } from './stats.js';

export interface ProfileKey {
  /** For example `port 0x3f8 out`; empty where nothing is known. */
  readonly label: string;
  readonly value: bigint;
  readonly count: number;
  readonly times: Times | null;
}

export interface ProfileRow {
  /** Level that exited, or null where it is unknown or lanes were asked for. */
  readonly level: number | null;
  /** Lane, where lanes were asked for. */
  readonly lane: number | null;
  readonly isa: 'vmx' | 'svm' | null;
  readonly code: bigint;
  readonly reason: string;
  /** A VM entry that failed after loading guest state. */
  readonly failed: boolean;
  readonly count: number;
  readonly share: number;
  readonly times: Times | null;
  /** Part of all handler time. */
  readonly timeShare: number;
  readonly keys: readonly ProfileKey[];
  /** Of the handler times, where histograms were asked for; Histogram.fromData reads it. */
  readonly histogram: HistogramData | null;
}

export interface ProfileRip {
  readonly rip: bigint;
  readonly level: number | null;
  readonly reason: string;
  readonly count: number;
  readonly share: number;
  /** Those of them whose handler time is known, and its sum. */
  readonly samples: number;
  readonly total: number;
  readonly instruction: string | null;
  /** `name+0x1a`, where symbols were given and have the address. */
  readonly symbol: string | null;
}

export interface Profile extends Spent {
  readonly unit: Unit;
  /** All exits; an entry that failed after loading guest state ends as one does, with a reason, and is one of them. */
  readonly exits: number;
  /** Those of them that are failed entries. */
  readonly failed: number;
  /** VM entries that were tried. */
  readonly entries: number;
  /** Those of them that failed without an exit, as VMfail does; KVM tells user space so. */
  readonly failedEarly: number;
  /** Nested entries that the hypervisor refused: none was tried, and they are no exits. */
  readonly refused: number;
  /** Exits that no entry followed: the last of each vCPU, and those before a gap. */
  readonly open: number;
  /** Events that the recorder lost. */
  readonly lost: number;
  /** Exits counted without their RIP, or even by reason alone, because there are more places than are told apart. */
  readonly coarse: number;
  /** Machines, levels, and lanes that exit, each with the busiest outside their guest first. */
  readonly vms: readonly ProfileVm[];
  readonly levels: readonly ProfileLevel[];
  readonly lanes: readonly ProfileLane[];
  readonly rows: readonly ProfileRow[];
  readonly rips: readonly ProfileRip[];
}

export interface ProfileOptions {
  readonly by?: 'level' | 'lane';
  /** Hottest RIPs to tell; 10 without it. */
  readonly rips?: number;
  readonly symbols?: Symbols | null;
  /** What the trace's dictionary says of a lane, as JSON; tells VMs apart. */
  readonly saysOf?: NameOf;
  /** Give each row a histogram. */
  readonly histograms?: boolean;
}

const ISA = [null, 'vmx', 'svm'] as const;

/** Makes the tables of one profile from its index. */
class Tables {
  readonly #index: ExitIndex;
  readonly #nameOf: NameOf;
  readonly #options: ProfileOptions;
  readonly #all: Uint32Array;
  readonly exits: number;
  readonly failed: number;
  readonly handled: number;

  constructor(index: ExitIndex, nameOf: NameOf, options: ProfileOptions) {
    this.#index = index;
    this.#nameOf = nameOf;
    this.#options = options;
    this.#all = exitCells(index);
    this.exits = this.#count(this.#all);
    this.failed = this.#count(this.#all.filter((cell) => readCell(index.cells, cell).failed));
    this.handled = this.#total(this.#all);
  }

  rows(): ProfileRow[] {
    const place = this.#options.by === 'lane' ? { lane: true } : { level: true };
    const groups = groupCells(this.#index.cells, this.#all, { ...place, reason: true });
    const rows = groups.map((cells) => this.#row(cells));
    return rows.sort((a, b) => (b.times?.total ?? 0) - (a.times?.total ?? 0) || byCount(a, b));
  }

  #row(cells: Uint32Array): ProfileRow {
    const byLane = this.#options.by === 'lane';
    const first = this.#first(cells);
    const count = this.#count(cells);
    const times = timesOf(this.#index.times, cells);
    const keys = groupCells(this.#index.cells, cells, { key: true }).map((same) => this.#key(same));
    return {
      level: byLane ? null : levelOf(first),
      lane: byLane ? first.lane : null,
      isa: ISA[first.isa] ?? null,
      code: first.reason,
      reason: reasonName(first.isa, first.reason, this.#nameOf),
      failed: first.failed,
      count,
      share: count / this.exits,
      times,
      timeShare: times === null || this.handled === 0 ? 0 : times.total / this.handled,
      keys: keys.sort(byCount),
      histogram: this.#options.histograms === true ? histogramOf(this.#index, cells) : null,
    };
  }

  #key(cells: Uint32Array): ProfileKey {
    const { tag, key: value } = this.#first(cells);
    return { label: keyLabel(tag, value), value, count: this.#count(cells), times: timesOf(this.#index.times, cells) };
  }

  rips(): ProfileRip[] {
    const { rips = 10, by, symbols = null } = this.#options;
    if (rips === 0) return [];
    const byLane = by === 'lane';
    const parts = { reason: true, rip: true, ...(byLane ? { lane: true } : { level: true }) };
    const groups = groupCells(this.#index.cells, this.#all, parts).map((cells) => ({
      cells,
      count: this.#count(cells),
      total: this.#total(cells),
    }));
    groups.sort((a, b) => byCount(a, b) || b.total - a.total);
    const found: ProfileRip[] = [];
    for (const { cells, count, total } of groups) {
      if (found.length === rips) break;
      const first = this.#first(cells);
      const { rip, isa, reason } = first;
      if (rip === null) continue;
      const code = this.#index.code.get(rip);
      found.push({
        rip,
        level: byLane ? null : levelOf(first),
        reason: reasonName(isa, reason, this.#nameOf),
        count,
        share: count / this.exits,
        samples: this.#samples(cells),
        total,
        instruction: code === undefined ? null : disassemble(code.bytes, rip, code.bits),
        symbol: symbols?.label(levelOf(first), rip) ?? null,
      });
    }
    return found;
  }

  /** What was counted, by what Parts say; also what has no exit, but time in a stretch. */
  counted(parts: Parts): Counted[] {
    const within = this.#index.within ?? this.#index.times.sums;
    const total = (cells: Uint32Array): number => cells.reduce((sum, cell) => sum + (within[cell] as number), 0);
    return groupCells(this.#index.cells, allCells(this.#index), parts).map((cells) => {
      const halts = groupCells(this.#index.cells, cells, { reason: true }).filter((same) => isHalt(this.#first(same)));
      return {
        cell: this.#first(cells),
        exits: this.#count(cells),
        handled: total(cells),
        halted: halts.reduce((sum, same) => sum + total(same), 0),
      };
    });
  }

  /** What the cells of a group agree in is that of the first. */
  #first(cells: Uint32Array): Cell {
    return readCell(this.#index.cells, cells[0] ?? 0);
  }

  #count(cells: Uint32Array): number {
    let count = 0;
    for (const cell of cells) count += this.#index.counts[cell] as number;
    return count;
  }

  #samples(cells: Uint32Array): number {
    const { starts } = this.#index.times;
    return cells.reduce((sum, cell) => sum + (starts[cell + 1] as number) - (starts[cell] as number), 0);
  }

  #total(cells: Uint32Array): number {
    let total = 0;
    for (const cell of cells) total += this.#index.times.sums[cell] as number;
    return total;
  }
}

/** Exits by which a guest waits. Intel SDM volume 3D, appendix C; AMD64 APM volume 2, appendix C. */
const HALTS: { readonly [isa: number]: readonly bigint[] } = { 1: [12n, 36n], 2: [0x78n, 0x8bn, 0x8cn, 0xa6n] };
const isHalt = ({ isa, reason, failed }: Cell): boolean => !failed && HALTS[isa]?.includes(reason) === true;

const levelOf = ({ level }: Cell): number | null => (level === UNKNOWN_LEVEL ? null : level);
const byCount = (a: { readonly count: number }, b: { readonly count: number }): number => b.count - a.count;

/** Histogram of the handler times of some cells. */
export function histogramOf({ times: { starts, values } }: ExitIndex, cells: Iterable<number>): HistogramData {
  const histogram = new Histogram();
  for (const cell of cells) {
    for (let i = starts[cell] as number; i < (starts[cell + 1] as number); i++) histogram.record(values[i] as number);
  }
  return histogram.toData();
}

/** The profile of an index; `nameOf` gives names of the trace's dictionaries. */
export function profileOf(index: ExitIndex, nameOf: NameOf, options: ProfileOptions = {}): Profile {
  const tables = new Tables(index, nameOf, options);
  const byLane = tables.counted({ lane: true });
  const counted = new Set(byLane.map(({ cell }) => cell.lane));
  const vcpus = index.lanes.filter(({ lane, entries, refused }) => entries + refused > 0 || counted.has(lane));
  const sum = (part: 'entries' | 'failedEarly' | 'refused'): number => vcpus.reduce((all, lane) => all + lane[part], 0);
  return {
    unit: index.unit,
    exits: tables.exits,
    failed: tables.failed,
    entries: sum('entries'),
    failedEarly: sum('failedEarly'),
    refused: sum('refused'),
    open: tables.exits - index.times.values.length,
    lost: index.lost,
    coarse: index.coarse,
    ...spentOf(vcpus),
    handled: tables.handled,
    vms: vmsOf(vcpus, byLane, options.saysOf ?? (() => null)),
    levels: levelsOf(vcpus, tables.counted({ level: true })),
    lanes: lanesOf(vcpus, byLane, nameOf),
    rows: tables.rows(),
    rips: tables.rips(),
  };
}

/** Profile of events that are handed over in chunks. */
export class Profiler {
  readonly #builder = new ExitIndexBuilder();
  readonly #options: ProfileOptions;

  constructor(options: ProfileOptions = {}) {
    this.#options = options;
  }

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    this.#builder.take(chunk);
  }

  /** What takes events one by one instead, in order. */
  get events(): ExitIndexBuilder['events'] {
    return this.#builder.events;
  }

  /** The answer; nothing may be taken afterwards. */
  finish(nameOf: NameOf): Profile {
    return profileOf(this.#builder.finish(), nameOf, this.#options);
  }
}

/** Name of a reason by the event's own architecture: the trace's dictionary, else the manual's table, else hex. */
export function reasonName(isa: number, code: bigint, nameOf: NameOf): string {
  const basic = isa === 1 ? code & 0xffffn : code;
  const domain = isa === 1 ? 'reason.vmx' : 'reason.svm';
  const known = isa === 1 ? vmxExitReasonName(Number(basic)) : isa === 2 ? svmExitCodeName(code) : null;
  const name = (isa === 0 ? null : nameOf(domain, basic)) ?? known;
  if (name !== null) return name;
  return `0x${(isa === 1 ? code & ~BigInt(VM_ENTRY_FAILURE) : code).toString(16)}`;
}

/** Profile of a trace. Throws TraceError where the trace is damaged. */
export function profile(reader: TraceReader, options: ProfileOptions = {}): Profile {
  const profiler = new Profiler(options);
  for (const chunk of reader.chunks('event', { columns: COLUMNS })) profiler.take(chunk);
  return profiler.finish((domain, code) => reader.name(domain, code));
}
