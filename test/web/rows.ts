/** Rows of a trace read one by one, the slow way: what answers of the timeline are compared with. */
import type { Row, TraceReader } from '../../traces/store.js';

export interface PlainEvent {
  readonly seq: number;
  readonly vcpu: number;
  readonly level: number | null;
  readonly kind: string;
  readonly reason: string | null;
  readonly failure: boolean;
  readonly tick: number | null;
  readonly time: bigint | null;
  readonly row: Row;
}

const number = (row: Row, name: string): number | null => {
  const cell = row[name] ?? null;
  return cell === null ? null : Number(cell);
};

/** All events with what a reader of the format's description would say of them. */
export function plainEvents(reader: TraceReader): PlainEvent[] {
  const events: PlainEvent[] = [];
  for (const chunk of reader.chunks('event')) {
    for (let i = 0; i < chunk.rows; i++) {
      const row = chunk.row(i);
      const kind = reader.name('kind', number(row, 'kind') ?? -1) ?? '?';
      const reason = number(row, 'reason');
      const time = row.time_ns ?? null;
      const entering = kind === 'entry';
      events.push({
        seq: Number(row.seq),
        vcpu: number(row, 'vcpu') ?? -1,
        level: entering ? number(row, 'to_level') : number(row, 'from_level'),
        kind,
        reason:
          reason === null || (kind !== 'exit' && kind !== 'entry_failed')
            ? null
            : reader.name('reason.vmx', reason % 0x1_0000),
        failure: kind === 'entry_failed',
        tick: number(row, 'tick'),
        time: typeof time === 'bigint' ? BigInt.asIntN(64, time) : null,
        row,
      });
    }
  }
  return events;
}
