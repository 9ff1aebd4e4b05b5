/** A trace that is never stored: each full chunk goes to a consumer and is forgotten, for answers in one pass. */
import { TableAppender } from '../../traces/appender.js';
import { chunkOver } from '../../traces/column.js';
import type { TableName } from '../../traces/schema.js';
import type { Appender, Chunk, TraceWriter } from '../../traces/store.js';

interface Name {
  readonly name: string;
  readonly says: string | null;
}

export class StreamWriter implements TraceWriter {
  readonly path = 'stream';
  readonly run = new Map<string, string>();
  readonly #dictionaries = new Map<string, Map<bigint, Name>>();
  readonly #tables = new Map<TableName, TableAppender>();
  readonly #take: (chunk: Chunk) => void;

  /** `take` gets every chunk once, in order of its table; the chunk is valid during the call only. */
  constructor(take: (chunk: Chunk) => void) {
    this.#take = take;
  }

  setRun(key: string, value: string | Uint8Array): void {
    if (typeof value === 'string') this.run.set(key, value);
  }

  define(domain: string, code: number | bigint, name: string, says?: string): void {
    let names = this.#dictionaries.get(domain);
    if (names === undefined) {
      names = new Map();
      this.#dictionaries.set(domain, names);
    }
    names.set(BigInt.asUintN(64, BigInt(code)), { name, says: says ?? null });
  }

  dictionary(domain: string): ReadonlyMap<bigint, Name> {
    return this.#dictionaries.get(domain) ?? new Map();
  }

  table(name: TableName): Appender {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new TableAppender(name, (appender, buffer, from, to) => {
        this.#take(chunkOver(appender.layout, buffer, appender.before + from, from, to));
        return buffer;
      });
      this.#tables.set(name, table);
    }
    return table;
  }

  flush(): void {
    // nothing becomes durable
  }

  finish(): { readonly digest: string } {
    for (const table of this.#tables.values()) table.drain();
    return { digest: '' };
  }

  abandon(): void {
    this.#tables.clear();
  }
}
