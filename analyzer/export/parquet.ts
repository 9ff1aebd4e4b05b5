/**
 * A trace as a partitioned dataset of Parquet files, which Spark, DuckDB and ClickHouse read as it is: a folder a table,
 * that of events divided by kind as Hive does (`event/kind=exit/part-0.parquet`), so that a query about exits reads
 * exits alone.
 *
 * Columns have the names and the nulls of the trace (traces/schema.ts). Unsigned integers have the unsigned type
 * of their width, but for those of 32 bits, which are INT64: every engine has that. Texts are STRING with dictionaries.
 * Events carry `reason_name`, by their own architecture's table, and `tracepoint_name` besides, so that nobody has to
 * join. Row groups are bounded, and so is memory.
 */
import type { SchemaElement } from 'hyparquet';
import { type ColumnSource, ParquetWriter, type Writer } from 'hyparquet-writer';
import { VM_ENTRY_FAILURE } from '../../engine/vmx/exit-reasons.js';
import { type Column, type ColumnType, TABLES, type TableName } from '../../traces/schema.js';
import type { Chunk, ColumnData, TraceReader } from '../../traces/store.js';
import { reasonName } from '../profile/profile.js';
import { type Exported, readChunks } from './document.js';

/** Opens a file of the dataset by its path in it; folders on the way are made. */
export type OpenPart = (path: string) => Writer;

/** Tables of a dataset. Checkpoints and pages are the machine's own: they mean nothing to another program. */
export const DATASET_TABLES = ['event', 'register', 'memory', 'message', 'input', 'output', 'dictionary'] as const;
export type DatasetTable = (typeof DATASET_TABLES)[number];

/** Rows of a row group, and rows that wait in all partitions together. */
const GROUP_ROWS = 65_536;
const WAITING_ROWS = 131_072;

const TYPES: { readonly [type in ColumnType]: Pick<SchemaElement, 'type' | 'converted_type'> } = {
  u8: { type: 'INT32', converted_type: 'UINT_8' },
  u16: { type: 'INT32', converted_type: 'UINT_16' },
  u32: { type: 'INT64', converted_type: 'INT_64' },
  u64: { type: 'INT64', converted_type: 'UINT_64' },
  i64: { type: 'INT64', converted_type: 'INT_64' },
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  bytes: { type: 'BYTE_ARRAY' },
};

type Cell = number | bigint | string | Uint8Array | undefined;

/** A column of the dataset and how a chunk gives its cells. */
interface Part {
  readonly column: Column;
  readonly cells: (chunk: Chunk) => (row: number) => Cell;
}

function cellsOf({ type, valid, numbers, big, values }: ColumnData): (row: number) => Cell {
  const cell = (row: number): Cell => {
    if (big !== null) return type === 'i64' ? BigInt.asIntN(64, big[row] ?? 0n) : (big[row] ?? 0n);
    if (numbers !== null) return type === 'u32' ? BigInt(numbers[row] ?? 0) : numbers[row];
    return values?.[row] ?? undefined;
  };
  return valid === null ? cell : (row) => (valid[row] === 1 ? cell(row) : undefined);
}

const asInTrace = (column: Column): Part => ({ column, cells: (chunk) => cellsOf(chunk.column(column.name)) });

/** One Parquet file that is being written. */
class PartFile {
  readonly #parts: readonly Part[];
  readonly #writer: ParquetWriter;
  #cells: Cell[][];
  rows = 0;

  constructor(file: Writer, parts: readonly Part[]) {
    this.#parts = parts;
    this.#cells = parts.map(() => []);
    const fields = parts.map(
      ({ column: { name, type, nullable } }): SchemaElement => ({
        name,
        ...TYPES[type],
        repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED',
      }),
    );
    const schema = [{ name: 'trapline', num_children: fields.length }, ...fields];
    this.#writer = new ParquetWriter({ writer: file, schema, createdBy: 'trapline' });
  }

  get waiting(): number {
    return this.#cells[0]?.length ?? 0;
  }

  take(chunk: Chunk, rows: readonly number[]): void {
    this.#parts.forEach((part, i) => {
      const cell = part.cells(chunk);
      const cells = this.#cells[i];
      for (const row of rows) cells?.push(cell(row));
    });
    this.rows += rows.length;
  }

  flush(): void {
    if (this.waiting === 0) return;
    const columnData = this.#parts.map(
      ({ column }, i): ColumnSource => ({ name: column.name, data: this.#cells[i] ?? [] }),
    );
    void this.#writer.write({ columnData, rowGroupSize: GROUP_ROWS });
    this.#cells = this.#parts.map(() => []);
  }

  close(): void {
    this.flush();
    void this.#writer.finish();
  }
}

/** The files of a table, by partition. */
class Dataset {
  readonly #open: OpenPart;
  readonly #parts: readonly Part[];
  readonly #files = new Map<string, PartFile>();

  constructor(open: OpenPart, parts: readonly Part[]) {
    this.#open = open;
    this.#parts = parts;
  }

  take(folder: string, chunk: Chunk, rows: readonly number[]): void {
    let file = this.#files.get(folder);
    if (!file) {
      file = new PartFile(this.#open(`${folder}/part-0.parquet`), this.#parts);
      this.#files.set(folder, file);
    }
    file.take(chunk, rows);
    if (file.waiting >= GROUP_ROWS) file.flush();
    const files = [...this.#files.values()];
    if (files.reduce((sum, { waiting }) => sum + waiting, 0) < WAITING_ROWS) return;
    files.reduce((most, one) => (one.waiting > most.waiting ? one : most)).flush();
  }

  /** Answers the rows that were written. */
  close(): number {
    const files = [...this.#files.values()];
    for (const file of files) file.close();
    return files.reduce((sum, { rows }) => sum + rows, 0);
  }
}

const everyRow = (chunk: Chunk): number[] => Array.from({ length: chunk.rows }, (_, i) => i);

const textColumn = (name: string, says: string): Column => ({ name, type: 'text', nullable: true, says });

const VMX = 1;

/** Names of reasons as Linux writes them; made once each. */
function reasonNamer(reader: TraceReader): (isa: number, reason: bigint) => string {
  const known = new Map<string, string>();
  return (isa, reason) => {
    const key = `${isa} ${reason}`;
    let name = known.get(key);
    if (name === undefined) {
      const failed = isa === VMX && (reason & BigInt(VM_ENTRY_FAILURE)) !== 0n;
      const code = failed ? reason & ~BigInt(VM_ENTRY_FAILURE) : reason;
      name = reasonName(isa, code, (domain, of) => reader.name(domain, of)) + (failed ? ' FAILED_VMENTRY' : '');
      known.set(key, name);
    }
    return name;
  };
}

const tracepointName = (reader: TraceReader): Part => ({
  column: textColumn('tracepoint_name', 'name of the tracepoint, of events that share their kind'),
  cells: (chunk) => {
    const { numbers, valid } = chunk.column('tracepoint');
    return (row) => (valid?.[row] === 1 ? (reader.name('event', numbers?.[row] ?? 0) ?? undefined) : undefined);
  },
});

/** Columns of `event/`: `kind` is the folder's name; its number, and names of reason and tracepoint, stand in the file. */
function eventParts(reader: TraceReader): Part[] {
  const nameOf = reasonNamer(reader);
  const reasonName: Part = {
    column: textColumn('reason_name', 'name of the reason in its own architecture'),
    cells: (chunk) => {
      const [reasons, isas] = [chunk.column('reason'), chunk.column('isa')];
      return (row) => {
        const reason = reasons.valid?.[row] === 1 ? reasons.big?.[row] : undefined;
        return reason === undefined ? undefined : nameOf(isas.numbers?.[row] ?? 0, reason);
      };
    },
  };
  return TABLES.event.columns.flatMap((column): Part[] => {
    if (column.name === 'kind') return [{ ...asInTrace(column), column: { ...column, name: 'kind_code' } }];
    if (column.name === 'tracepoint') return [asInTrace(column), tracepointName(reader)];
    return column.name === 'reason' ? [asInTrace(column), reasonName] : [asInTrace(column)];
  });
}

/** Rows of a chunk of events by the name of their kind. */
function byKind(reader: TraceReader, chunk: Chunk): ReadonlyMap<string, readonly number[]> {
  const kinds = chunk.column('kind').numbers;
  const found = new Map<string, number[]>();
  for (let row = 0; row < chunk.rows; row++) {
    const kind = kinds?.[row] ?? 0;
    // A name becomes a folder's: what a trace calls its kinds is not believed.
    const name = reader.name('kind', kind)?.replace(/[^a-z0-9_]/gi, '_') ?? String(kind);
    const rows = found.get(name);
    if (rows) rows.push(row);
    else found.set(name, [row]);
  }
  return found;
}

function exportTable(reader: TraceReader, table: DatasetTable, open: OpenPart): Exported {
  const names = TABLES[table as TableName].columns.map(({ name }) => name);
  const isEvents = table === 'event';
  const dataset = new Dataset(open, isEvents ? eventParts(reader) : TABLES[table].columns.map(asInTrace));
  const damage = readChunks(reader, table, names, (chunk) => {
    if (!isEvents) dataset.take(table, chunk, everyRow(chunk));
    else for (const [kind, rows] of byKind(reader, chunk)) dataset.take(`event/kind=${kind}`, chunk, rows);
  });
  return { written: dataset.close(), damage };
}

/** Writes tables of a trace as a dataset; `written` counts rows. A damaged table ends where its damage begins. */
export function exportParquet(reader: TraceReader, tables: readonly DatasetTable[], open: OpenPart): Exported {
  const exported = tables.map((table) => exportTable(reader, table, open));
  return {
    written: exported.reduce((sum, { written }) => sum + written, 0),
    damage: exported.find(({ damage }) => damage !== null)?.damage ?? null,
  };
}
