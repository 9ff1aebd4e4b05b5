/**
 * Where the exits go: count, share and handler time by level (or lane) and reason, by what each exit was about, and
 * the instructions that cause most of them. Handler time runs from an exit to the next entry of the same vCPU, in
 * ticks on deterministic runs and in nanoseconds on hosts. One pass over columns; no object a row.
 */
import { EVENT_FLAGS, EVENT_KINDS } from '../engine/observer.js';
import { svmExitCodeName } from '../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, vmxExitReasonName } from '../engine/vmx/exit-reasons.js';
import type { Chunk, TraceReader } from '../traces/store.js';
import { codeWidth, disassemble } from './profile-code.js';
import { type ExitWords, HAS, isPage, keyLabel, keyOfExit, keyOfWork, SubKey, WORK } from './profile-keys.js';
import { type Grouped, group, type Times, timesOf } from './profile-stats.js';
import { Numbers, WordTable } from './profile-table.js';
import { COLUMNS, EventView, type Wide, wide } from './profile-view.js';

export type { Times } from './profile-stats.js';

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
}

export interface ProfileRip {
  readonly rip: bigint;
  readonly level: number | null;
  readonly reason: string;
  readonly count: number;
  readonly share: number;
  readonly total: number;
  readonly instruction: string | null;
}

export interface Profile {
  readonly unit: 'ticks' | 'ns' | null;
  /** Exits and failed entries. */
  readonly exits: number;
  readonly entries: number;
  /** Exits that no entry followed: the last of each vCPU, and those before a gap. */
  readonly open: number;
  /** Events that the recorder lost. */
  readonly lost: number;
  /** From the first to the last event of each vCPU, summed; and the part of it between exits and entries. */
  readonly span: number;
  readonly handled: number;
  readonly rows: readonly ProfileRow[];
  readonly rips: readonly ProfileRip[];
}

export interface ProfileOptions {
  readonly by?: 'level' | 'lane';
  /** Hottest RIPs to tell; 10 without it. */
  readonly rips?: number;
}

export type NameOf = (domain: string, code: bigint) => string | null;

const ISA = [null, 'vmx', 'svm'] as const;
const UNKNOWN = 255;
/** RIPs whose instruction is remembered. */
const MAX_CODE = 100_000;

/** What is open on a lane. */
class OpenExit {
  group = -1;
  low = 0;
  high = 0;
  timed = false;
  rip = -1;
  firstLow = 0;
  firstHigh = 0;
  lastLow = 0;
  lastHigh = 0;
  seen = false;
  readonly key = new SubKey();
}

export class Profiler {
  readonly #byLane: boolean;
  readonly #ripCount: number;
  /** Groups: (level or lane) << 8 | isa << 1 | failed, reason. */
  readonly #groups = new WordTable();
  /** Sub-keys: group << 8 | tag, value. */
  readonly #keys = new WordTable();
  readonly #keyCount = new Numbers();
  readonly #sampleKey = new Numbers();
  readonly #sampleTime = new Numbers();
  /** RIPs: group, rip. */
  readonly #rips = new WordTable();
  readonly #ripCounts = new Numbers();
  readonly #ripTotals = new Numbers();
  readonly #code = new Map<bigint, { readonly bytes: Uint8Array; readonly bits: 16 | 32 | 64 }>();
  readonly #lanes = new Map<number, OpenExit>();
  readonly #words: ExitWords = {
    has: 0,
    code: 0,
    codeHigh: 0,
    qualification: 0,
    info2: 0,
    info2High: 0,
    intr: 0,
    gpa: 0,
    gpaHigh: 0,
  };
  #unit: 'ticks' | 'ns' | null = null;
  #exits = 0;
  #entries = 0;
  #openExits = 0;
  #lost = 0;
  #handled = 0;

  constructor({ by = 'level', rips = 10 }: ProfileOptions = {}) {
    this.#byLane = by === 'lane';
    this.#ripCount = rips;
  }

  /** Takes a chunk of the event table; other tables are ignored. */
  take(chunk: Chunk): void {
    if (chunk.table !== 'event') return;
    const view = new EventView(chunk);
    const clock = this.#clock(chunk);
    for (let i = 0; i < chunk.rows; i++) {
      const kind = view.kind[i] as number;
      const lane = this.#lane(view.lane[i] as number);
      if (clock !== null && clock.valid[i] === 1) visit(lane, clock, i);
      if (kind === EVENT_KINDS.exit || kind === EVENT_KINDS.entry_failed) this.#exit(view, i, kind, lane, clock);
      else if (kind === EVENT_KINDS.entry) this.#entry(i, lane, clock);
      else if (kind === EVENT_KINDS.lost) this.#gap(view.value, i);
      else if (lane.group >= 0 && lane.key.tag === 0) work(view, i, kind, lane.key);
      if (kind === EVENT_KINDS.emulate) this.#learn(view, i);
    }
  }

  #lane(id: number): OpenExit {
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = new OpenExit();
      this.#lanes.set(id, lane);
    }
    return lane;
  }

  /** Ticks where the trace has them, else host time; decided by the first chunk that has either. */
  #clock(chunk: Chunk): Wide | null {
    for (const [name, unit] of [
      ['tick', 'ticks'],
      ['time_ns', 'ns'],
    ] as const) {
      if (this.#unit !== null && this.#unit !== unit) continue;
      const column = wide(chunk.column(name));
      if (this.#unit === null && !column.valid.includes(1)) continue;
      this.#unit = unit;
      return column;
    }
    return null;
  }

  #exit(view: EventView, i: number, kind: number, lane: OpenExit, clock: Wide | null): void {
    this.#close(lane, null);
    const { reason, isa: isas, level, rip } = view;
    if (reason.valid[i] === 0) return; // a nested entry that KVM refused
    this.#exits += 1;
    const isa = isas.valid[i] === 1 ? (isas.cells[i] as number) : 0;
    const levelOf = level.valid[i] === 1 ? (level.cells[i] as number) : UNKNOWN;
    const where = this.#byLane ? (view.lane[i] as number) : levelOf;
    const failed = kind === EVENT_KINDS.entry_failed ? 1 : 0;
    const low = reason.cells[2 * i] as number;
    lane.group = this.#groups.index(((where << 8) | (isa << 1) | failed) >>> 0, low, reason.cells[2 * i + 1] as number);
    lane.timed = clock !== null && clock.valid[i] === 1;
    lane.low = clock?.cells[2 * i] ?? 0;
    lane.high = clock?.cells[2 * i + 1] ?? 0;
    lane.key.clear();
    keyOfExit(isa, low, readWords(view, i, this.#words), lane.key);
    lane.rip = -1;
    if (rip.valid[i] === 0) return;
    lane.rip = this.#rips.index(lane.group, rip.cells[2 * i] as number, rip.cells[2 * i + 1] as number);
    this.#ripCounts.add(lane.rip, 1);
    if (this.#ripCounts.get(lane.rip) === 1) this.#learn(view, i);
  }

  #entry(i: number, lane: OpenExit, clock: Wide | null): void {
    this.#entries += 1;
    const timed = lane.timed && clock !== null && clock.valid[i] === 1;
    const low = clock?.cells[2 * i] ?? 0;
    const high = clock?.cells[2 * i + 1] ?? 0;
    this.#close(lane, timed ? (high - lane.high) * 0x1_0000_0000 + (low - lane.low) : null);
  }

  /** Ends what is open on a lane: with its time, or without where no entry ended it. */
  #close(lane: OpenExit, time: number | null): void {
    if (lane.group < 0) return;
    const { tag, low, high } = lane.key;
    const key = this.#keys.index(((lane.group << 8) | tag) >>> 0, low, high);
    this.#keyCount.add(key, 1);
    if (time === null || time < 0) {
      this.#openExits += 1;
    } else {
      this.#sampleKey.push(key);
      this.#sampleTime.push(time);
      this.#handled += time;
      if (lane.rip >= 0) this.#ripTotals.add(lane.rip, time);
    }
    lane.group = -1;
  }

  /** After a gap nobody knows which entry belongs to which exit. */
  #gap(value: Wide, i: number): void {
    if (value.valid[i] === 1)
      this.#lost += (value.cells[2 * i + 1] as number) * 0x1_0000_0000 + (value.cells[2 * i] as number);
    for (const lane of this.#lanes.values()) this.#close(lane, null);
  }

  /** Remembers the instruction bytes at a RIP. */
  #learn({ chunk, bytes, rip }: EventView, i: number): void {
    if (bytes[i] !== 1 || rip.valid[i] === 0 || this.#code.size >= MAX_CODE) return;
    const at = (BigInt(rip.cells[2 * i + 1] as number) << 32n) | BigInt(rip.cells[2 * i] as number);
    if (this.#code.has(at)) return;
    const row = chunk.row(i);
    if (!(row.bytes instanceof Uint8Array)) return;
    this.#code.set(at, { bytes: row.bytes.slice(), bits: codeWidth(typeof row.text === 'string' ? row.text : null) });
  }

  /** The answer; nothing may be taken afterwards. */
  finish(nameOf: NameOf): Profile {
    let span = 0;
    for (const lane of this.#lanes.values()) {
      this.#close(lane, null);
      if (lane.seen) span += (lane.lastHigh - lane.firstHigh) * 0x1_0000_0000 + (lane.lastLow - lane.firstLow);
    }
    const samples = group(this.#sampleKey, this.#sampleTime, this.#keys.size);
    const rows = this.#rows(samples, nameOf);
    return {
      unit: this.#unit,
      exits: this.#exits,
      entries: this.#entries,
      open: this.#openExits,
      lost: this.#lost,
      span,
      handled: this.#handled,
      rows,
      rips: this.#hottest(nameOf),
    };
  }

  #rows(samples: Grouped, nameOf: NameOf): ProfileRow[] {
    const members = new Map<number, number[]>();
    for (let key = 0; key < this.#keys.size; key++) {
      const g = this.#keys.a(key) >>> 8;
      const list = members.get(g);
      if (list === undefined) members.set(g, [key]);
      else list.push(key);
    }
    const rows = [...members].map(([g, keys]): ProfileRow => {
      const { where, isa, failed, code } = this.#group(g);
      const count = keys.reduce((sum, key) => sum + this.#keyCount.get(key), 0);
      const times = timesOf(joined(samples, keys));
      return {
        level: this.#byLane || where === UNKNOWN ? null : where,
        lane: this.#byLane ? where : null,
        isa: ISA[isa] ?? null,
        code,
        reason: reasonName(isa, code, nameOf),
        failed,
        count,
        share: count / this.#exits,
        times,
        timeShare: times === null || this.#handled === 0 ? 0 : times.total / this.#handled,
        keys: keys.map((key) => this.#key(key, samples)).sort(byCount),
      };
    });
    return rows.sort((a, b) => (b.times?.total ?? 0) - (a.times?.total ?? 0) || byCount(a, b));
  }

  #key(key: number, samples: Grouped): ProfileKey {
    const tag = this.#keys.a(key) & 0xff;
    const value = this.#keys.value(key);
    const times = timesOf(samples.values.subarray(samples.starts[key], samples.starts[key + 1]));
    return { label: keyLabel(tag, value), value, count: this.#keyCount.get(key), times };
  }

  #group(g: number): { where: number; isa: number; failed: boolean; code: bigint } {
    const a = this.#groups.a(g);
    return { where: a >>> 8, isa: (a >>> 1) & 3, failed: (a & 1) === 1, code: this.#groups.value(g) };
  }

  #hottest(nameOf: NameOf): ProfileRip[] {
    const order = Array.from({ length: this.#rips.size }, (_, i) => i);
    order.sort(
      (a, b) => this.#ripCounts.get(b) - this.#ripCounts.get(a) || this.#ripTotals.get(b) - this.#ripTotals.get(a),
    );
    return order.slice(0, this.#ripCount).map((i): ProfileRip => {
      const rip = this.#rips.value(i);
      const { where, isa, code } = this.#group(this.#rips.a(i));
      const found = this.#code.get(rip);
      return {
        rip,
        level: this.#byLane || where === UNKNOWN ? null : where,
        reason: reasonName(isa, code, nameOf),
        count: this.#ripCounts.get(i),
        share: this.#ripCounts.get(i) / this.#exits,
        total: this.#ripTotals.get(i),
        instruction: found === undefined ? null : disassemble(found.bytes, rip, found.bits),
      };
    });
  }
}

const byCount = (a: { readonly count: number }, b: { readonly count: number }): number => b.count - a.count;

function visit(lane: OpenExit, clock: Wide, i: number): void {
  lane.lastLow = clock.cells[2 * i] as number;
  lane.lastHigh = clock.cells[2 * i + 1] as number;
  if (lane.seen) return;
  lane.seen = true;
  lane.firstLow = lane.lastLow;
  lane.firstHigh = lane.lastHigh;
}

/** What work for an exit says of it. */
function work({ gpa, code, flags }: EventView, i: number, kind: number, key: SubKey): void {
  const known = WORK[kind];
  if (known === undefined) return;
  const source = isPage(known) ? gpa : code;
  if (source.valid[i] === 0) return;
  const written = ((flags[i] as number) & EVENT_FLAGS.write) !== 0;
  keyOfWork(known, source.cells[2 * i] as number, source.cells[2 * i + 1] as number, written, key);
}

function readWords({ code, qualification, info2, gpa, intr }: EventView, i: number, out: ExitWords): ExitWords {
  out.has =
    (code.valid[i] as number) * HAS.code +
    (qualification.valid[i] as number) * HAS.qualification +
    (info2.valid[i] as number) * HAS.info2 +
    (intr.valid[i] as number) * HAS.intr +
    (gpa.valid[i] as number) * HAS.gpa;
  out.code = code.cells[2 * i] as number;
  out.codeHigh = code.cells[2 * i + 1] as number;
  out.qualification = qualification.cells[2 * i] as number;
  out.info2 = info2.cells[2 * i] as number;
  out.info2High = info2.cells[2 * i + 1] as number;
  out.intr = intr.cells[i] as number;
  out.gpa = gpa.cells[2 * i] as number;
  out.gpaHigh = gpa.cells[2 * i + 1] as number;
  return out;
}

function joined({ starts, values }: Grouped, keys: readonly number[]): Float64Array {
  const parts = keys.map((key) => values.subarray(starts[key], starts[key + 1]));
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
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
