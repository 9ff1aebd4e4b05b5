/** Copies a trace into another store: the same rows, hence the same digest. */
import { ColumnVector, isVariable } from './column.js';
import { TraceError } from './errors.js';
import { bytesOf } from './form.js';
import { TABLE_NAMES, TABLES, type TableName } from './schema.js';
import type { Appender, Chunk, TraceReader, TraceWriter } from './store.js';

/** Short tables first: a copy that cannot grow to its end then holds all that it takes to replay what it has. */
const LONG: readonly TableName[] = ['event', 'register', 'memory'];
const ORDER: readonly TableName[] = [...TABLE_NAMES.filter((name) => !LONG.includes(name)), ...LONG];

/** Facts that the writer sets by itself. */
const OWN: ReadonlySet<string> = new Set(['format', 'digest', 'complete']);

/** A copy as a trace says of itself. */
interface Copy {
  readonly digest: string;
}

/**
 * Copies all rows, a chunk a step; the copy is complete if the original is. Returns its digest.
 * @throws TraceError after all that could be read is copied, where the original is damaged; at once, where the copy
 * cannot grow
 */
export function* convert(reader: TraceReader, writer: TraceWriter): Generator<void, Copy> {
  const damage: TraceError[] = [];
  for (const table of ORDER) {
    const appender = writer.table(table);
    for (const chunk of readable(reader, table, damage)) {
      if (table === 'run') copyFacts(appender, chunk);
      else copyRows(appender, chunk);
      yield;
    }
  }
  const [first] = damage;
  if (first !== undefined) throw first;
  return writer.finish({ complete: reader.complete, replaces: true });
}

/** Chunks up to the damage, which is told. What another table holds can still be read. */
function* readable(reader: TraceReader, table: TableName, damage: TraceError[]): Generator<Chunk> {
  try {
    yield* reader.chunks(table);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    damage.push(error);
  }
}

function copyFacts(appender: Appender, chunk: Chunk): void {
  for (let i = 0; i < chunk.rows; i++) {
    const row = chunk.row(i);
    if (typeof row.key !== 'string' || !OWN.has(row.key)) appender.row(row);
  }
}

/** Columns with values, and where they go. */
interface Copied {
  readonly index: number;
  readonly vector: ColumnVector;
}

function columnsOf(appender: Appender, chunk: Chunk, table: TableName): Copied[] {
  return TABLES[table].columns.flatMap(({ name }) => {
    const vector = chunk.column(name);
    return vector instanceof ColumnVector && !vector.empty ? [{ index: appender.index(name), vector }] : [];
  });
}

/** Copies cells by column, as many rows at once as the open chunk has room for. */
function copyRows(appender: Appender, chunk: Chunk): void {
  const columns = columnsOf(appender, chunk, chunk.table);
  const variable = columns.filter(({ vector }) => isVariable(vector.type));
  for (let from = 0; from < chunk.rows; ) {
    const count = Math.min(chunk.rows - from, appender.capacity - appender.filled);
    for (const column of columns) if (!isVariable(column.vector.type)) copyCells(appender, column, from, count);
    if (variable.length === 0) appender.advance(count);
    else for (let row = from; row < from + count; row++) copyBytes(appender, variable, row);
    from += count;
  }
}

function copyCells(appender: Appender, { index, vector }: Copied, from: number, count: number): void {
  const { slab, filled } = appender;
  const { width, values, valid } = appender.place(index);
  if (vector.numbers === null) return;
  const cells = bytesOf(vector.numbers).subarray(from * width, (from + count) * width);
  slab.bytes.set(cells, values + filled * width);
  if (vector.valid !== null) slab.bytes.set(vector.valid.subarray(from, from + count), valid + filled);
  slab.touched[index] = 1;
}

function copyBytes(appender: Appender, columns: readonly Copied[], row: number): void {
  for (const { index, vector } of columns) {
    const bytes = vector.bytesAt(row);
    if (bytes !== null) appender.bytes(index, bytes);
  }
  appender.end();
}
