/** Copies of traces in which something was changed before the writer took its digests: alterations that no digest finds. */
import { createTrace, openTrace } from '../../../traces/open.js';
import { TABLE_NAMES, type TableName } from '../../../traces/schema.js';
import type { Cell, Row } from '../../../traces/store.js';

/** Answers the row to be written instead, or null for none. */
export type Alteration = (table: TableName, row: Row, index: number) => Row | null;

/** Facts that the writer sets by itself. */
const OWN: ReadonlySet<Cell | undefined> = new Set(['format', 'digest', 'complete']);

export function alter(from: string, to: string, alteration: Alteration, options: { complete?: boolean } = {}): void {
  const reader = openTrace(from);
  try {
    const writer = createTrace(to, { replace: true });
    for (const table of TABLE_NAMES) {
      let index = 0;
      for (const chunk of reader.chunks(table)) {
        for (let i = 0; i < chunk.rows; i++, index++) {
          const row = chunk.row(i);
          if (table === 'run' && OWN.has(row.key)) continue;
          const altered = alteration(table, row, index);
          if (altered) writer.table(table).row(altered);
        }
      }
    }
    writer.finish(options);
  } finally {
    reader.close();
  }
}

/** Changes one row of a table. */
export const change =
  (table: TableName, index: number, cells: (row: Row) => Row): Alteration =>
  (its, row, at) =>
    its === table && at === index ? { ...row, ...cells(row) } : row;

/** Changes a fact of the run that is text. */
export const fact =
  (key: string, value: (text: string) => string): Alteration =>
  (table, row) =>
    table === 'run' && row.key === key ? { ...row, text: value(String(row.text)) } : row;

export function flipped(bytes: Cell | undefined, bit: number): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('no bytes');
  const copy = bytes.slice();
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
