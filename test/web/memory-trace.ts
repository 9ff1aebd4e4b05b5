/** A trace in memory alone: what the contracts of traces/store.ts ask for, and no more. For tests of what reads traces. */
import { CHUNK_ROWS, type Column, TABLES, type TableName } from '../../traces/schema.js';
import type { Appender, Cell, Chunk, ColumnData, Row, TraceReader, TraceWriter } from '../../traces/store.js';

const rowsOf = (table: TableName): number =>
  'event' === table || 'register' === table ? CHUNK_ROWS[table] : CHUNK_ROWS.other;

class MemoryColumn implements ColumnData {
  readonly name: string;
  readonly type: Column['type'];
  readonly valid: Uint8Array | null;
  readonly numbers: Uint8Array | Uint16Array | Uint32Array | null;
  readonly big: BigUint64Array | null;
  readonly values: (Uint8Array | string | null)[] | null;

  constructor({ name, type, nullable }: Column, rows: number) {
    this.name = name;
    this.type = type;
    this.valid = nullable ? new Uint8Array(rows) : null;
    const wide = type === 'u64' || type === 'i64';
    const variable = type === 'text' || type === 'bytes';
    this.big = wide ? new BigUint64Array(rows) : null;
    this.numbers = this.big !== null ? new Uint32Array(this.big.buffer) : variable ? null : new Uint32Array(rows);
    this.values = variable ? Array.from<null>({ length: rows }).fill(null) : null;
  }

  set(row: number, cell: Cell): void {
    if (cell === null) return;
    if (this.valid !== null) this.valid[row] = 1;
    if (this.big !== null) this.big[row] = BigInt.asUintN(64, BigInt(cell as number | bigint));
    else if (this.numbers !== null) this.numbers[row] = Number(cell);
    else if (this.values !== null && (typeof cell === 'string' || cell instanceof Uint8Array)) this.values[row] = cell;
  }

  cell(row: number): Cell {
    if (this.valid !== null && this.valid[row] === 0) return null;
    return this.big?.[row] ?? this.numbers?.[row] ?? this.values?.[row] ?? null;
  }
}

class MemoryChunk implements Chunk {
  rows = 0;
  readonly table: TableName;
  readonly first: number;
  readonly columns: readonly MemoryColumn[];

  constructor(table: TableName, first: number) {
    this.table = table;
    this.first = first;
    this.columns = TABLES[table].columns.map((column) => new MemoryColumn(column, rowsOf(table)));
  }

  column(name: string): MemoryColumn {
    const found = this.columns.find((column) => column.name === name);
    if (found === undefined) throw new Error(`no column ${name}`);
    return found;
  }

  row(index: number): Row {
    return Object.fromEntries(this.columns.map((column) => [column.name, column.cell(index)]));
  }
}

class MemoryTable implements Appender {
  readonly chunks: MemoryChunk[] = [];
  rows = 0;
  readonly #table: TableName;
  #chunk: MemoryChunk;

  constructor(table: TableName) {
    this.#table = table;
    this.#chunk = new MemoryChunk(table, 0);
  }

  index(column: string): number {
    return TABLES[this.#table].columns.findIndex(({ name }) => name === column);
  }
  #set(column: number, cell: Cell): void {
    this.#chunk.columns[column]?.set(this.#chunk.rows, cell);
  }
  number(column: number, value: number): void {
    this.#set(column, value);
  }
  words(column: number, low: number, high: number): void {
    this.#set(column, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  }
  big(column: number, value: bigint): void {
    this.#set(column, value);
  }
  text(column: number, value: string): void {
    this.#set(column, value);
  }
  bytes(column: number, value: Uint8Array): void {
    this.#set(column, value.slice());
  }
  end(): void {
    if (this.#chunk.rows === 0) this.chunks.push(this.#chunk);
    this.#chunk.rows++;
    this.rows++;
    if (this.#chunk.rows === rowsOf(this.#table)) this.#chunk = new MemoryChunk(this.#table, this.rows);
  }
  row(row: Row): void {
    for (const [name, cell] of Object.entries(row)) this.#set(this.index(name), cell);
    this.end();
  }
}

export class MemoryTrace implements TraceReader, TraceWriter {
  readonly path = 'memory';
  readonly kind = 'arrow';
  complete = false;
  /** Chunks of events that throw when they are read. */
  readonly damaged = new Set<number>();
  readonly #run = new Map<string, string>();
  readonly #names = new Map<string, Map<bigint, { name: string; says: string | null }>>();
  readonly #tables = new Map<TableName, MemoryTable>();

  setRun(key: string, value: string | Uint8Array): void {
    if (typeof value === 'string') this.#run.set(key, value);
  }
  define(domain: string, code: number | bigint, name: string, says?: string): void {
    const names = this.#names.get(domain) ?? new Map();
    this.#names.set(domain, names.set(BigInt(code), { name, says: says ?? null }));
  }
  table(name: TableName): MemoryTable {
    const table = this.#tables.get(name) ?? new MemoryTable(name);
    this.#tables.set(name, table);
    return table;
  }
  flush(): void {}
  finish(): { digest: string } {
    this.complete = true;
    return { digest: '' };
  }
  abandon(): void {}
  run(key: string): string | null {
    return this.#run.get(key) ?? null;
  }
  image(): null {
    return null;
  }
  rows(table: TableName): number {
    return this.table(table).rows;
  }
  *chunks(name: TableName, options: { from?: number; to?: number } = {}): Iterable<Chunk> {
    const { from = 0, to = Number.POSITIVE_INFINITY } = options;
    for (const [at, chunk] of this.table(name).chunks.entries()) {
      if (chunk.first + chunk.rows <= from || chunk.first >= to) continue;
      if (name === 'event' && this.damaged.has(at))
        throw Object.assign(new Error(`chunk ${at} is damaged`), { code: 'DAMAGED' });
      yield chunk;
    }
  }
  name(domain: string, code: number | bigint): string | null {
    return this.#names.get(domain)?.get(BigInt(code))?.name ?? null;
  }
  dictionary(domain: string): ReadonlyMap<bigint, { name: string; says: string | null }> {
    return this.#names.get(domain) ?? new Map();
  }
  digest(): string {
    return '';
  }
  close(): void {}
}
