/**
 * CSV of a table (RFC 4180, with a head): integers in decimal, u64 unsigned; bytes in hexadecimal. A null is an empty
 * field, an empty text a quoted one.
 */
import { TABLES, type TableName } from '../../traces/schema.js';
import type { Chunk, ColumnData, TraceReader } from '../../traces/store.js';
import { type Exported, readChunks, type TextSink } from './document.js';

const quote = (text: string): string =>
  text === '' || /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

function cellText({ type, valid, numbers, big, values }: ColumnData): (row: number) => string {
  const written = (row: number): string => {
    if (big !== null) return (type === 'i64' ? BigInt.asIntN(64, big[row] ?? 0n) : (big[row] ?? 0n)).toString();
    if (numbers !== null) return String(numbers[row] ?? 0);
    const value = values?.[row] ?? '';
    return typeof value === 'string' ? quote(value) : Buffer.from(value).toString('hex');
  };
  return (row) => (valid !== null && valid[row] !== 1 ? '' : written(row));
}

/** Writes all rows of a table; `written` counts them. Memory holds one chunk. */
export function exportCsv(reader: TraceReader, sink: TextSink, table: TableName): Exported {
  const names = TABLES[table].columns.map(({ name }) => name);
  let written = 0;
  sink.write(`${names.join(',')}\r\n`);
  const damage = readChunks(reader, table, names, (chunk: Chunk) => {
    const cells = names.map((name) => cellText(chunk.column(name)));
    for (let row = 0; row < chunk.rows; row++) sink.write(`${cells.map((cell) => cell(row)).join(',')}\r\n`);
    written += chunk.rows;
  });
  return { written, damage };
}
