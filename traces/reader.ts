/** The reader of both stores: facts, dictionaries, checked chunks and the logical digest over a store's chunk index. */
import { TableAppender } from './appender.js';
import { type ColumnVector, chunkOver, chunkRows, emptyVector, TableChunk } from './column.js';
import { chunkTags, DIGESTED, indexDigest, type Tags, TraceDigest } from './digest.js';
import { TraceError, traceError } from './errors.js';
import { type Column, TABLE_NAMES, TABLES, type TableName } from './schema.js';
import type { StoredChunk } from './sink.js';
import type { TraceReader } from './store.js';
import { type Upgrader, upgradedFact } from './upgrade.js';

/** What a store does for the reader. */
export interface Source {
  readonly kind: 'sqlite' | 'arrow';
  readonly path: string;
  /** Chunks of each table in order, without gaps from row 0. */
  readonly chunks: ReadonlyMap<TableName, readonly StoredChunk[]>;
  /** What is wrong with the store itself, by the tables that it concerns: `chunks` holds what comes before it. */
  readonly damage: Damage;
  /** What it takes to read it as the newest version. */
  readonly upgrades: readonly Upgrader[];
  /** Reads columns of a chunk, with their tags as computed from what was read. */
  read(chunk: StoredChunk, columns: readonly Column[]): TaggedColumn[];
  /** What TraceReader says of it; `complete` as the facts do. */
  flaws(complete: boolean): string[];
  close(): void;
}

export type Damage = ReadonlyMap<TableName, TraceError>;

export interface TaggedColumn {
  readonly vector: ColumnVector;
  readonly tag: string | null;
}

interface Meaning {
  readonly name: string;
  readonly says: string | null;
}

const placeOf = ({ table, first, rows }: StoredChunk, column?: string): string =>
  `table ${table}, rows ${first} to ${first + rows - 1}${column === undefined ? '' : `, column ${column}`}`;

export class StoreReader implements TraceReader {
  readonly path: string;
  readonly kind: 'sqlite' | 'arrow';
  readonly complete: boolean;
  readonly #source: Source;
  readonly #facts = new Map<string, string | Uint8Array>();
  readonly #dictionaries = new Map<string, Map<bigint, Meaning>>();

  constructor(source: Source) {
    this.#source = source;
    this.path = source.path;
    this.kind = source.kind;
    const whole = [this.#learn('run', (row) => this.#learnFact(row))];
    whole.push(this.#learn('dictionary', (row) => this.#learnName(row)));
    this.complete = this.run('complete') === '1' && source.damage.size === 0 && !whole.includes(false);
  }

  /** What is there of the facts, up to their damage, which is told to whoever reads their table. */
  #learn(table: TableName, learn: (row: ReturnType<TableChunk['row']>) => void): boolean {
    try {
      for (const chunk of this.chunks(table, { to: this.rows(table) })) {
        for (let i = 0; i < chunk.rows; i++) learn(chunk.row(i));
      }
      return true;
    } catch (error) {
      if (error instanceof TraceError) return false;
      throw error;
    }
  }

  run(key: string): string | null {
    const value = this.#facts.get(key);
    return typeof value === 'string' ? value : null;
  }

  image(): Uint8Array | null {
    const value = this.#facts.get('image');
    return value instanceof Uint8Array ? value : null;
  }

  rows(table: TableName): number {
    const last = this.#stored(table).at(-1);
    return last === undefined ? 0 : last.first + last.rows;
  }

  *chunks(
    table: TableName,
    options: { from?: number; to?: number; columns?: readonly string[] } = {},
  ): Generator<TableChunk> {
    const { from = 0, to = Number.POSITIVE_INFINITY } = options;
    const columns = this.#columns(table, options.columns);
    const stored = this.#stored(table);
    for (let i = firstHolding(stored, from); i < stored.length; i++) {
      const chunk = stored[i];
      if (chunk === undefined || chunk.first >= to) return;
      yield this.#read(chunk, columns);
    }
    const damage = this.#source.damage.get(table);
    if (damage !== undefined && to > this.rows(table)) throw damage;
  }

  name(domain: string, code: number | bigint): string | null {
    return this.#dictionaries.get(domain)?.get(BigInt(code))?.name ?? null;
  }

  dictionary(domain: string): ReadonlyMap<bigint, Meaning> {
    return this.#dictionaries.get(domain) ?? new Map();
  }

  digest(): string {
    const digest = new TraceDigest();
    for (const table of DIGESTED) {
      if (this.#stored(table).every(({ first, rows }) => first % chunkRows(table) === 0 && rows <= chunkRows(table))) {
        this.#addWhole(table, digest);
      } else this.#recut(table, digest);
    }
    return digest.hex();
  }

  fingerprint(table: TableName): string {
    return indexDigest(this.#stored(table));
  }

  flaws(): string[] {
    return this.#source.flaws(this.complete);
  }

  close(): void {
    this.#source.close();
  }

  /** A chunk whose columns were all read has the tags that were stored with it. */
  #addWhole(table: TableName, digest: TraceDigest): void {
    const stored = this.#stored(table)[Symbol.iterator]();
    for (const chunk of this.chunks(table)) {
      const tags: Tags = stored.next().value?.tags ?? new Map();
      const ordered = TABLES[table].columns.flatMap(({ name }): [string, string][] => {
        const tag = tags.get(name);
        return tag === undefined ? [] : [[name, tag]];
      });
      digest.add(table, chunk.rows, new Map(ordered));
    }
  }

  /** Stored runs of rows that end inside a chunk (a flush did that) are put together again for the digest. */
  #recut(table: TableName, digest: TraceDigest): void {
    const appender = new TableAppender(table, ({ layout }, buffer, from, to) => {
      digest.add(table, to - from, chunkTags(chunkOver(layout, buffer, 0, from, to)));
      return buffer;
    });
    for (const chunk of this.chunks(table)) {
      for (let i = 0; i < chunk.rows; i++) appender.row(chunk.row(i));
    }
    appender.drain();
  }

  #stored(table: TableName): readonly StoredChunk[] {
    return this.#source.chunks.get(table) ?? [];
  }

  #columns(table: TableName, names: readonly string[] | undefined): readonly Column[] {
    const all = TABLES[table].columns;
    if (names === undefined) return all;
    return names.map((name) => {
      const column = all.find((candidate) => candidate.name === name);
      if (column === undefined) throw new TraceError('TRACE_COLUMN', this.path, `table ${table}, column ${name}`);
      return column;
    });
  }

  #read(chunk: StoredChunk, columns: readonly Column[]): TableChunk {
    const present = columns.filter(({ name }) => chunk.tags.has(name));
    let read: TaggedColumn[];
    try {
      read = this.#source.read(chunk, present);
    } catch (error) {
      throw traceError(error, this.path, 'read', placeOf(chunk));
    }
    for (const { vector, tag } of read) {
      if (vector.rows !== chunk.rows || tag !== chunk.tags.get(vector.name)) {
        throw new TraceError('TRACE_DAMAGED', this.path, placeOf(chunk, vector.name));
      }
    }
    const found = new Map(read.map(({ vector }) => [vector.name, vector]));
    const whole = columns.map((column) => found.get(column.name) ?? this.#absent(chunk, column));
    return new TableChunk(chunk.table, chunk.first, chunk.rows, whole);
  }

  #absent(chunk: StoredChunk, column: Column): ColumnVector {
    if (!column.nullable) throw new TraceError('TRACE_DAMAGED', this.path, placeOf(chunk, column.name));
    return emptyVector(column, chunk.rows);
  }

  #learnFact(row: ReturnType<TableChunk['row']>): void {
    const value = row.text ?? row.bytes ?? null;
    if (typeof row.key !== 'string') return;
    if (typeof value === 'string') this.#facts.set(row.key, upgradedFact(this.#source.upgrades, row.key, value));
    else if (value instanceof Uint8Array) this.#facts.set(row.key, value);
  }

  #learnName({ domain, code, name, says }: ReturnType<TableChunk['row']>): void {
    if (typeof domain !== 'string' || typeof code !== 'bigint' || typeof name !== 'string') return;
    let names = this.#dictionaries.get(domain);
    if (names === undefined) {
      names = new Map();
      this.#dictionaries.set(domain, names);
    }
    names.set(code, { name, says: typeof says === 'string' ? says : null });
  }
}

/** Index of the first chunk that holds a row at or after `row`. */
function firstHolding(chunks: readonly StoredChunk[], row: number): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const chunk = chunks[middle];
    if (chunk !== undefined && chunk.first + chunk.rows <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Sorts stored chunks by table. Those of a table follow each other without a gap: one that does not ends its table. */
export function indexChunks(
  path: string,
  stored: Iterable<StoredChunk>,
): { chunks: Map<TableName, StoredChunk[]>; damage: Map<TableName, TraceError> } {
  const chunks = new Map<TableName, StoredChunk[]>(TABLE_NAMES.map((name) => [name, []]));
  const damage = new Map<TableName, TraceError>();
  for (const chunk of stored) {
    const list = chunks.get(chunk.table);
    if (list === undefined || damage.has(chunk.table)) continue;
    const last = list.at(-1);
    const limit = chunkRows(chunk.table);
    const expected = last === undefined ? 0 : last.first + last.rows;
    const fits = chunk.rows > 0 && (chunk.first % limit) + chunk.rows <= limit;
    if (chunk.first === expected && fits) list.push(chunk);
    else damage.set(chunk.table, new TraceError('TRACE_DAMAGED', path, placeOf(chunk), 'its index has a gap here'));
  }
  return { chunks, damage };
}

/** Damage of which nobody knows what it took. */
export const everywhere = (error: TraceError): Damage => new Map(TABLE_NAMES.map((name) => [name, error]));
