/** An observer that holds what a machine does against what a trace says, and keeps the first difference. */
import type { MemoryFilter } from '../../engine/access-filter.js';
import type { Machine } from '../../engine/machine.js';
import { EVENT_KINDS, type EventRecord, type Message, type Observer } from '../../engine/observer.js';
import type { TraceReader } from '../../traces/store.js';
import type { Checkpoint, StoredCheckpoint } from './checkpoints.js';
import { EventComparer, RegisterComparer } from './compare-events.js';
import { MemoryComparer } from './compare-memory.js';
import { rowsBelow, TableCursor } from './cursor.js';
import { type Divergence, differing, hexBytes, type Report, type Side } from './divergence.js';
import { type ReachedState, stateDifference } from './state-difference.js';

/** Rows of a table that are few, cell by cell as text. */
class RowComparer {
  readonly #cursor: TableCursor;
  readonly #table: 'message' | 'output';
  readonly #numbers: readonly string[];
  readonly #report: Report;
  #row: number;

  /** `numbers`: columns beside `protocol`, `port`, `body` and `bytes`. */
  constructor(
    reader: TraceReader,
    table: 'message' | 'output',
    numbers: readonly string[],
    from: number,
    report: Report,
  ) {
    this.#cursor = new TableCursor(reader, table, from);
    this.#table = table;
    this.#numbers = numbers;
    this.#row = from;
    this.#report = report;
  }

  take(replayed: Side): void {
    const row = this.#row++;
    const recorded = this.#cursor.next() ? this.#side() : null;
    if (recorded === null || differing(recorded, replayed).length > 0) {
      this.#report({ table: this.#table, row, recorded, replayed });
    }
  }

  end(): void {
    if (!this.#cursor.next()) return;
    this.#report({ table: this.#table, row: this.#row, recorded: this.#side(), replayed: null });
  }

  #side(): Side {
    const cursor = this.#cursor;
    const numbers = this.#numbers.filter((name) => cursor.has(name)).map((name) => [name, String(cursor.number(name))]);
    const [name, content] = this.#table === 'message' ? (['protocol', 'body'] as const) : (['port', 'bytes'] as const);
    return {
      ...Object.fromEntries(numbers),
      [name]: cursor.text(name),
      [content]: hexBytes(cursor.bytes(content)),
    };
  }
}

export interface ComparerOptions {
  /** Where the replay starts; null: before the first tick. */
  readonly from: Checkpoint | null;
  /** Memory accesses that the trace holds and the replay records; `off`: none are compared. */
  readonly memory: MemoryFilter;
}

export class Comparer implements Observer {
  divergence: Divergence | null = null;
  machine: Machine | null = null;
  readonly #checkpoints: number;
  /** A trace that was cut says nothing of what came after its end. */
  readonly #complete: boolean;
  readonly #events: EventComparer;
  readonly #registers: RegisterComparer;
  readonly #memory: MemoryComparer | null;
  readonly #messages: RowComparer;
  readonly #outputs: RowComparer;

  constructor(reader: TraceReader, { from, memory }: ComparerOptions) {
    this.#complete = reader.complete;
    this.#checkpoints = reader.rows('checkpoint');
    const seq = from?.seq ?? 0;
    const before = (table: 'memory' | 'message' | 'output'): number =>
      from === null ? 0 : rowsBelow(reader, table, 'tick', from.tick);
    const report: Report = (difference) => this.#report(difference);
    this.#events = new EventComparer(reader, seq, report);
    this.#registers = new RegisterComparer(reader, seq, report);
    this.#memory = memory === 'off' ? null : new MemoryComparer(reader, before('memory'), memory, report);
    const columns = ['seq', 'tick', 'vcpu', 'level', 'channel', 'direction'];
    this.#messages = new RowComparer(reader, 'message', columns, before('message'), report);
    this.#outputs = new RowComparer(reader, 'output', ['tick'], before('output'), report);
  }

  /** Events and memory accesses that were compared. */
  get events(): number {
    return this.#events.count;
  }
  get memoryRows(): number {
    return this.#memory?.count ?? 0;
  }

  #report(difference: Parameters<Report>[0], tick = this.machine?.now ?? 0): void {
    if (this.divergence || (difference.recorded === null && !this.#complete)) return;
    const fields = differing(difference.recorded, difference.replayed);
    this.divergence = { ...difference, tick, fields };
  }

  /** A checkpoint is due. `recorded` null: the trace has none there. */
  checkpoint(recorded: StoredCheckpoint | null, reached: ReachedState): void {
    if (recorded === null) {
      const replayed = { tick: String(reached.tick), digest: reached.digest };
      this.#report({ table: 'checkpoint', row: this.#checkpoints, recorded: null, replayed }, reached.tick);
      return;
    }
    const difference = stateDifference(recorded, reached);
    if (difference) this.#report({ table: 'checkpoint', row: recorded.id, ...difference }, reached.tick);
  }

  event(event: EventRecord): void {
    if (this.divergence) return;
    const { seq } = this.#events;
    const known = this.#events.take(event);
    if (known && event.kind === EVENT_KINDS.exit && this.machine) this.#registers.take(seq, this.machine.cpu);
  }

  memory(ring: DataView, count: number): void {
    if (!this.divergence) this.#memory?.take(ring, count);
  }

  message({ tick, vcpu, level, protocol, channel, direction, body }: Message): void {
    if (this.divergence) return;
    const { seq } = this.#events;
    const numbers = { tick, vcpu, level, channel, direction, ...(seq === 0 ? {} : { seq: seq - 1 }) };
    const side = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)]));
    this.#messages.take({ ...side, protocol, body: hexBytes(body) });
  }

  output(port: string, bytes: Uint8Array): void {
    if (this.divergence) return;
    this.#outputs.take({ tick: String(this.machine?.now ?? 0), port, bytes: hexBytes(bytes) });
  }

  /** A checkpoint was recorded that the replay has not come to. */
  missing({ id, tick, digest }: Checkpoint): void {
    this.#report({ table: 'checkpoint', row: id, recorded: { tick: String(tick), digest }, replayed: null });
  }

  /** The replay has ended: what was recorded beyond it is missing from it. `state`: where both ended. */
  end(state: { readonly recorded: Side; readonly replayed: Side }): void {
    if (!this.#complete) return;
    this.#events.end();
    this.#registers.end();
    this.#memory?.end();
    this.#messages.end();
    this.#outputs.end();
    if (differing(state.recorded, state.replayed).length > 0) this.#report({ table: 'end', row: 0, ...state });
  }
}
