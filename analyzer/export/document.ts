/** What every export shares: where it writes, and how it reads a trace that may be damaged. */
import { TraceError } from '../../traces/errors.js';
import { TABLES, type TableName } from '../../traces/schema.js';
import type { Chunk, TraceReader } from '../../traces/store.js';

/** Takes text in pieces, in order. */
export interface TextSink {
  write(text: string): void;
}

export interface Exported {
  /** Slices, rows or stacks written. */
  readonly written: number;
  /** Where reading had to stop; the document is whole nevertheless and holds what came before. */
  readonly damage: TraceError | null;
  /** What was left out, in words. */
  readonly remark?: string;
}

/** Hands each chunk of a table to `take`, up to the damage if there is any. */
export function readChunks(
  reader: TraceReader,
  table: TableName,
  columns: readonly string[],
  take: (chunk: Chunk) => void,
): TraceError | null {
  try {
    for (const chunk of reader.chunks(table, { columns })) take(chunk);
    return null;
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
}

/** The damage of a table, or null where it is whole. */
export const damageOf = (reader: TraceReader, table: TableName): TraceError | null =>
  readChunks(
    reader,
    table,
    TABLES[table].columns.map(({ name }) => name),
    () => {},
  );

/** Escapes text for XML 1.0, attributes included; characters that may not stand there become U+FFFD. */
export const escapeXml = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are the ones that XML 1.0 forbids
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"\t\r\n]/g, (character) => `&#${character.charCodeAt(0)};`);
