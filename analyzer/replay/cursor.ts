/** Walks the rows of one table in order, chunk by chunk. */
import type { TableName } from '../../traces/schema.js';
import type { Chunk, ColumnData, TraceReader } from '../../traces/store.js';

export class TableCursor {
  readonly #chunks: Iterator<Chunk>;
  #chunk: Chunk | null = null;
  #columns = new Map<string, ColumnData>();
  /** Row in the current chunk. */
  index = -1;

  /** Stands before row `from`; `columns` limits what is read. */
  constructor(reader: TraceReader, table: TableName, from = 0, columns?: readonly string[]) {
    this.#chunks = reader.chunks(table, columns ? { from, columns } : { from })[Symbol.iterator]();
    this.#load();
    if (this.#chunk) this.index = from - this.#chunk.first - 1;
  }

  #load(): void {
    const next = this.#chunks.next();
    this.#chunk = next.done ? null : next.value;
    this.#columns = new Map();
    this.index = -1;
  }

  /** Moves to the next row; false where there is none. */
  next(): boolean {
    this.index++;
    while (this.#chunk && this.index >= this.#chunk.rows) {
      this.#load();
      this.index = 0;
    }
    return this.#chunk !== null;
  }

  get chunk(): Chunk {
    if (!this.#chunk) throw new RangeError('the cursor stands behind the last row');
    return this.#chunk;
  }

  /** Position of the row in its table. */
  get row(): number {
    return this.chunk.first + this.index;
  }

  column(name: string): ColumnData {
    let column = this.#columns.get(name);
    if (!column) {
      column = this.chunk.column(name);
      this.#columns.set(name, column);
    }
    return column;
  }

  has(name: string): boolean {
    const { valid } = this.column(name);
    return valid === null || valid[this.index] === 1;
  }

  /** Low and high half of a cell; narrow ones have high half 0. */
  low(name: string): number {
    const { numbers, big } = this.column(name);
    if (!numbers) throw new TypeError(`${name} holds no numbers`);
    return numbers[big ? 2 * this.index : this.index] ?? 0;
  }
  high(name: string): number {
    const { numbers, big } = this.column(name);
    return numbers && big ? (numbers[2 * this.index + 1] ?? 0) : 0;
  }
  /** A cell below 2^53; beyond it, the nearest double. */
  number(name: string): number {
    return this.low(name) + this.high(name) * 0x1_0000_0000;
  }
  big(name: string): bigint {
    return BigInt(this.low(name)) | (BigInt(this.high(name)) << 32n);
  }
  text(name: string): string {
    return String(this.column(name).values?.[this.index] ?? '');
  }
  bytes(name: string): Uint8Array {
    const value = this.column(name).values?.[this.index];
    return value instanceof Uint8Array ? value : new Uint8Array();
  }
}

/** Rows of a table whose `column`, 64 bits wide, is below `bound`; the column never falls. */
export function rowsBelow(reader: TraceReader, table: TableName, column: string, bound: number): number {
  let rows = 0;
  for (const chunk of reader.chunks(table, { columns: [column] })) {
    const { big } = chunk.column(column);
    const last = big?.[chunk.rows - 1];
    if (!big || last === undefined) return rows;
    if (Number(last) >= bound) {
      const within = big.subarray(0, chunk.rows).findIndex((value) => Number(value) >= bound);
      return rows + within;
    }
    rows += chunk.rows;
  }
  return rows;
}
