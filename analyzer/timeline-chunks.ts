/** Reads what can be read of a trace's events: a chunk that is damaged is told, and what follows it is read all the same. */
import { CHUNK_ROWS } from '../traces/schema.js';
import type { Chunk, TraceReader } from '../traces/store.js';

/** Rows [from, to) that cannot be read, and why. */
export type TellHole = (from: number, to: number, why: string) => void;

/** Chunks of events in order, each row once; `hole` is told before the chunk that follows it. */
export function* readableEvents(reader: TraceReader, columns: readonly string[], hole: TellHole): Generator<Chunk> {
  const rows = reader.rows('event');
  let row = 0;
  while (row < rows) {
    try {
      for (const chunk of reader.chunks('event', { from: row, to: rows, columns })) {
        if (chunk.first > row) hole(row, chunk.first, 'rows are missing');
        yield chunk;
        row = chunk.first + chunk.rows;
      }
      if (row < rows) hole(row, rows, 'the file ends before its last event');
      return;
    } catch (error) {
      // chunks never reach over a multiple of CHUNK_ROWS, so that the next one starts there at the latest
      const next = Math.min(rows, (Math.floor(row / CHUNK_ROWS.event) + 1) * CHUNK_ROWS.event);
      hole(row, next, reasonOf(error, reader.path));
      row = next;
    }
  }
}

/** What an error says, without the path, which whoever opened the trace knows. */
export function reasonOf(error: unknown, path: string): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.startsWith(path) ? message.slice(path.length).replace(/^[:, ]+/, '') : message;
}
