/** General registers as of an exit, rebuilt from what changed at each. */
import { REGISTERS } from '../traces/schema.js';
import type { ColumnData, TraceReader } from '../traces/store.js';
import type { Register } from './timeline-answers.js';

/** Values of one vCPU's registers; null: not told yet. */
type Values = (bigint | null)[];

/** What was known when a stored chunk of the table begins. */
interface Snapshot {
  readonly row: number;
  /** Seq of the chunk's first row. */
  readonly seq: number;
  readonly values: ReadonlyMap<number, Values>;
}

interface History {
  readonly snapshots: readonly Snapshot[];
  /** From this event on nothing is known, because the table cannot be read further. */
  readonly until: number;
}

const COLUMNS = ['seq', ...REGISTERS] as const;

/**
 * Reads the register table once, keeps the values at the start of each chunk, and rebuilds any exit's from there.
 * `vcpuOf` names the vCPU of an event, null where that event cannot be read.
 */
export class RegisterHistory {
  readonly #reader: TraceReader;
  readonly #vcpuOf: (seq: number) => number | null;
  #history: Promise<History> | null = null;
  /** The chunk that was read last. */
  #latest: { readonly row: number; readonly columns: readonly ColumnData[]; readonly rows: number } | null = null;

  constructor(reader: TraceReader, vcpuOf: (seq: number) => number | null) {
    this.#reader = reader;
    this.#vcpuOf = vcpuOf;
  }

  /** Registers as of event `seq` of `vcpu`: those of the last exit up to it; null where the trace has none. */
  async at(seq: number, vcpu: number, breathe: () => Promise<void>): Promise<readonly Register[] | null> {
    this.#history ??= this.#scan(breathe);
    const { snapshots, until } = await this.#history;
    const snapshot = snapshots.findLast((each) => each.seq <= seq);
    if (snapshot === undefined || seq >= until) return null;
    const values: Values = [...(snapshot.values.get(vcpu) ?? REGISTERS.map(() => null))];
    let changed = new Set<number>();
    const { columns, rows } = this.#chunk(snapshot.row);
    for (let i = 0; i < rows && seqOf(columns, i) <= seq; i++) {
      if (this.#vcpuOf(seqOf(columns, i)) !== vcpu) continue;
      const told = apply(columns, i, values);
      changed = seqOf(columns, i) === seq ? told : new Set();
    }
    if (values.every((value) => value === null)) return null;
    return REGISTERS.map((name, r) => {
      const value = values[r] ?? null;
      return { name, value: value === null ? null : value.toString(16).padStart(16, '0'), changed: changed.has(r) };
    });
  }

  #chunk(row: number): { readonly columns: readonly ColumnData[]; readonly rows: number } {
    if (this.#latest?.row === row) return this.#latest;
    for (const chunk of this.#reader.chunks('register', { from: row, to: row + 1, columns: COLUMNS })) {
      this.#latest = { row, columns: COLUMNS.map((name) => chunk.column(name)), rows: chunk.rows };
      return this.#latest;
    }
    return { columns: [], rows: 0 };
  }

  async #scan(breathe: () => Promise<void>): Promise<History> {
    const snapshots: Snapshot[] = [];
    const values = new Map<number, Values>();
    let last = -1;
    try {
      for (const chunk of this.#reader.chunks('register', { columns: COLUMNS })) {
        const columns = COLUMNS.map((name) => chunk.column(name));
        snapshots.push({ row: chunk.first, seq: seqOf(columns, 0), values: copy(values) });
        for (let i = 0; i < chunk.rows; i++) {
          last = seqOf(columns, i);
          const vcpu = this.#vcpuOf(last);
          if (vcpu !== null) apply(columns, i, valuesOf(values, vcpu));
        }
        await breathe();
      }
    } catch {
      // deltas behind a damaged chunk say nothing of the whole
      return { snapshots, until: last + 1 };
    }
    return { snapshots, until: Number.POSITIVE_INFINITY };
  }
}

function valuesOf(values: Map<number, Values>, vcpu: number): Values {
  const known = values.get(vcpu) ?? REGISTERS.map(() => null);
  values.set(vcpu, known);
  return known;
}

const copy = (values: ReadonlyMap<number, Values>): Map<number, Values> =>
  new Map([...values].map(([vcpu, ofVcpu]) => [vcpu, [...ofVcpu]]));

function seqOf([column]: readonly ColumnData[], i: number): number {
  const words = column?.numbers ?? null;
  return words === null ? -1 : (words[2 * i + 1] ?? 0) * 0x1_0000_0000 + (words[2 * i] ?? 0);
}

/** Takes over what row `i` says; returns the registers it told anew. */
function apply(columns: readonly ColumnData[], i: number, values: Values): Set<number> {
  const changed = new Set<number>();
  for (let r = 0; r < REGISTERS.length; r++) {
    const column = columns[r + 1];
    if (column === undefined || column.big === null || (column.valid !== null && column.valid[i] !== 1)) continue;
    const value = column.big[i] ?? 0n;
    if (values[r] !== value) changed.add(r);
    values[r] = value;
  }
  return changed;
}
