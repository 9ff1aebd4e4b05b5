/**
 * Where the exits go: count, share and handler time by level (or lane) and reason, by what each exit was about, and
 * the instructions that cause most of them. Handler time runs from an exit to the next entry of the same vCPU, in
 * ticks on deterministic runs and in nanoseconds on hosts. One pass over columns; no object a row.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import { svmExitCodeName } from '../../engine/svm/exit-codes.js';
import { VM_ENTRY_FAILURE, vmxExitReasonName } from '../../engine/vmx/exit-reasons.js';
import type { Chunk, TraceReader } from '../../traces/store.js';
import { disassemble } from './code.js';
import { keyLabel } from './keys.js';
import { type Grouped, group, type Times, timesOf } from './stats.js';
import { Numbers, WordTable } from './table.js';
import { COLUMNS } from './view.js';
import { ExitWalker, UNKNOWN_LEVEL, type WalkedExit } from './walk.js';

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
export class Profiler {
  readonly #byLane: boolean;
  readonly #ripCount: number;
  readonly #walker = new ExitWalker((exit) => this.#exit(exit));
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
  #handled = 0;

  constructor({ by = 'level', rips = 10 }: ProfileOptions = {}) {
    this.#byLane = by === 'lane';
    this.#ripCount = rips;
  }

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    this.#walker.take(chunk);
  }

  #exit(exit: WalkedExit): void {
    const where = this.#byLane ? exit.lane : exit.level;
    const what = ((where << 8) | (exit.isa << 1) | (exit.failed ? 1 : 0)) >>> 0;
    const group = this.#groups.index(what, exit.reasonLow, exit.reasonHigh);
    const key = this.#keys.index(((group << 8) | exit.key.tag) >>> 0, exit.key.low, exit.key.high);
    this.#keyCount.add(key, 1);
    if (exit.time >= 0) {
      this.#sampleKey.push(key);
      this.#sampleTime.push(exit.time);
      this.#handled += exit.time;
    }
    if (!exit.hasRip) return;
    const rip = this.#rips.index(group, exit.ripLow, exit.ripHigh);
    this.#ripCounts.add(rip, 1);
    this.#ripTotals.add(rip, Math.max(0, exit.time));
  }

  /** The answer; nothing may be taken afterwards. */
  finish(nameOf: NameOf): Profile {
    const walker = this.#walker;
    walker.end();
    const samples = group(this.#sampleKey, this.#sampleTime, this.#keys.size);
    return {
      unit: walker.unit,
      exits: walker.exits,
      entries: walker.kinds[EVENT_KINDS.entry] ?? 0,
      open: walker.exits - samples.values.length,
      lost: walker.lost,
      span: walker.span,
      handled: this.#handled,
      rows: this.#rows(samples, nameOf),
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
        level: this.#byLane || where === UNKNOWN_LEVEL ? null : where,
        lane: this.#byLane ? where : null,
        isa: ISA[isa] ?? null,
        code,
        reason: reasonName(isa, code, nameOf),
        failed,
        count,
        share: count / this.#walker.exits,
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
      const found = this.#walker.code.get(rip);
      return {
        rip,
        level: this.#byLane || where === UNKNOWN_LEVEL ? null : where,
        reason: reasonName(isa, code, nameOf),
        count: this.#ripCounts.get(i),
        share: this.#ripCounts.get(i) / this.#walker.exits,
        total: this.#ripTotals.get(i),
        instruction: found === undefined ? null : disassemble(found.bytes, rip, found.bits),
      };
    });
  }
}

const byCount = (a: { readonly count: number }, b: { readonly count: number }): number => b.count - a.count;

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
