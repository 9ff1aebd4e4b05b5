/** Copies a trace into another store: the same rows, hence the same digest. */
import { TABLE_NAMES } from './schema.js';
import type { TraceReader, TraceWriter } from './store.js';

/** Facts that the writer sets by itself. */
const OWN: ReadonlySet<string> = new Set(['format', 'digest', 'complete']);

/** Copies all rows; the copy is complete if the original is. Returns its digest. */
export function convert(reader: TraceReader, writer: TraceWriter): { readonly digest: string } {
  for (const table of TABLE_NAMES) {
    const appender = writer.table(table);
    for (const chunk of reader.chunks(table)) {
      for (let i = 0; i < chunk.rows; i++) {
        const row = chunk.row(i);
        if (table === 'run' && typeof row.key === 'string' && OWN.has(row.key)) continue;
        appender.row(row);
      }
    }
  }
  return writer.finish({ complete: reader.complete });
}
