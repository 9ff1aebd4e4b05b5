/** General registers as of an exit, rebuilt from what changed at each. */
import { CHUNK_ROWS, REGISTERS } from '../traces/schema.js';
import type { Chunk, ColumnData, TraceReader } from '../traces/store.js';
import type { Register } from './timeline-answers.js';

/** Values of one vCPU's registers; null: not told yet. */
type Values = (bigint | null)[];

interface Snapshot {
  /** Seq of the chunk's first row. */
  readonly seq: number;
  /** Row at which the chunk starts. */
  readonly row: number;
  /** Values before the chunk, by vCPU. */
  readonly values: ReadonlyMap<number, Values>;
}

const COLUMNS = ['seq', ...REGISTERS] as const;

/**
 * Reads the register table once, keeps the values at the start of each chunk, and rebuilds any exit's from there.
 * `vcpuOf` names the vCPU of an event, null where that event cannot be read.
 */
export class RegisterHistory {
  readonly #reader: TraceReader;
  readonly #vcpuOf: (seq: number) => number | null;
  #snapshots: Promise<readonly Snapshot[]> | null = null;

  constructor(reader: TraceReader, vcpuOf: (seq: number) => number | null) {
    this.#reader = reader;
    this.#vcpuOf = vcpuOf;
  }

  /** Registers as of event `seq` of `vcpu`: those of the last exit up to it; null where the trace has none. */
  async at(seq: number, vcpu: number, breathe: () => Promise<void>): Promise<readonly Register[] | null> {
    this.#snapshots ??= this.#scan(breathe);
    const snapshots = await this.#snapshots;
    let snapshot: Snapshot | undefined;
    for (const each of snapshots) if (each.seq <= seq) snapshot = each;
    if (snapshot === undefined) return null;
    const values: Values = [...(snapshot.values.get(vcpu) ?? REGISTERS.map(() => null))];
    let changed = new Set<number>();
    const { row } = snapshot;
    try {
      for (const chunk of this.#reader.chunks('register', {
        from: row,
        to: row + CHUNK_ROWS.register,
        columns: COLUMNS,
      })) {
        const columns = COLUMNS.map((name) => chunk.column(name));
        for (let i = Math.max(0, row - chunk.first); i < chunk.rows && seqOf(columns, i) <= seq; i++) {
          if (this.#vcpuOf(seqOf(columns, i)) !== vcpu) continue;
          const told = apply(columns, i, values);
          changed = seqOf(columns, i) === seq ? told : new Set();
        }
      }
    } catch {
      return null;
    }
    if (values.every((value) => value === null)) return null;
    return REGISTERS.map((name, r) => {
      const value = values[r] ?? null;
      return { name, value: value === null ? null : value.toString(16).padStart(16, '0'), changed: changed.has(r) };
    });
  }

  async #scan(breathe: () => Promise<void>): Promise<readonly Snapshot[]> {
    const snapshots: Snapshot[] = [];
    const values = new Map<number, Values>();
    try {
      for (const chunk of this.#reader.chunks('register', { columns: COLUMNS })) {
        snapshots.push({ seq: firstSeq(chunk), row: chunk.first, values: copy(values) });
        const columns = COLUMNS.map((name) => chunk.column(name));
        for (let i = 0; i < chunk.rows; i++) {
          const vcpu = this.#vcpuOf(seqOf(columns, i));
          if (vcpu === null) continue;
          let ofVcpu = values.get(vcpu);
          if (ofVcpu === undefined) {
            ofVcpu = REGISTERS.map(() => null);
            values.set(vcpu, ofVcpu);
          }
          apply(columns, i, ofVcpu);
        }
        await breathe();
      }
    } catch {
      // the deltas after a damaged chunk say nothing about the whole: registers are known up to it
    }
    return snapshots;
  }
}

const copy = (values: ReadonlyMap<number, Values>): Map<number, Values> =>
  new Map([...values].map(([vcpu, ofVcpu]) => [vcpu, [...ofVcpu]]));

const seqOf = (columns: readonly ColumnData[], i: number): number => Number(columns[0]?.big?.[i] ?? 0n);
const firstSeq = (chunk: Chunk): number => Number(chunk.column('seq').big?.[0] ?? 0n);

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
