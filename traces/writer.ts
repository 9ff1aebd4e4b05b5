/** The writer of both stores: tables, facts of the run, and the order in which they become durable. */
import { TableAppender } from './appender.js';
import { diskFullSays, TraceError, traceError } from './errors.js';
import type { Place } from './place.js';
import { FORMAT_VERSION, TABLE_NAMES, type TableName } from './schema.js';
import type { Sink } from './sink.js';
import type { Appender, FinishOptions, TraceWriter } from './store.js';

/** Tables whose rows are many and small: flush() leaves their last chunk open. */
const LONG: ReadonlySet<TableName> = new Set(['event', 'register', 'memory']);
/** Facts go first: what follows cannot be read without them. */
const FACTS: readonly TableName[] = ['run', 'dictionary'];

export class StoreWriter implements TraceWriter {
  readonly #place: Place;
  readonly #sink: Sink;
  readonly #appenders = new Map<TableName, TableAppender>();
  /** Facts not yet written, so that setting one twice before that leaves one row. */
  readonly #facts = new Map<string, string | Uint8Array>();
  /** What is written is kept where more of it fails. */
  #begun = false;
  #closed = false;
  #ending = false;

  constructor(place: Place, sink: Sink) {
    this.#place = place;
    this.#sink = sink;
    this.setRun('format', String(FORMAT_VERSION));
    this.#drain(FACTS);
    this.#begun = true;
  }

  get path(): string {
    return this.#place.path;
  }

  setRun(key: string, value: string | Uint8Array): void {
    this.#open();
    this.#facts.set(key, value);
  }

  define(domain: string, code: number | bigint, name: string, says?: string): void {
    this.table('dictionary').row({ domain, code, name, says: says ?? null });
  }

  table(name: TableName): Appender {
    this.#open();
    return this.#appender(name);
  }

  flush(): void {
    this.#open();
    this.#drain(TABLE_NAMES.filter((name) => !LONG.has(name)));
    this.#guarded((sink) => sink.settle());
  }

  finish({ complete = true, replaces = complete }: FinishOptions = {}): { readonly digest: string } {
    this.#open();
    this.#drain(FACTS);
    this.#ending = true;
    for (const name of TABLE_NAMES) if (!FACTS.includes(name)) this.#end(name);
    const digest = this.#guarded((sink) => sink.settle());
    this.#ending = false;
    this.setRun('digest', digest);
    if (complete) this.setRun('complete', '1');
    this.#drain(FACTS);
    this.#guarded((sink) => sink.settle());
    this.#guarded((sink) => sink.close(true));
    this.#closed = true;
    this.#place.settle(replaces);
    return { digest };
  }

  abandon(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sink.close(false);
    this.#place.remove();
  }

  #open(): void {
    if (this.#closed) throw new TraceError('TRACE_CLOSED', this.path);
  }

  #appender(name: TableName): TableAppender {
    let appender = this.#appenders.get(name);
    if (appender === undefined) {
      appender = new TableAppender(name, (from, buffer, start, end) => {
        if (this.#closed) throw new TraceError('TRACE_CLOSED', this.path);
        if (!FACTS.includes(name)) this.#drain(FACTS);
        const last = this.#ending || end === from.layout.rows;
        const segment = { table: name, buffer, before: from.before, from: start, to: end, last };
        return this.#guarded((sink) => sink.append(segment));
      });
      this.#appenders.set(name, appender);
    }
    return appender;
  }

  /** A store that failed once takes nothing more: what it has is whole, what follows would leave a gap. */
  #guarded<T>(work: (sink: Sink) => T): T {
    try {
      // a thread that opens the files now must not find those of another trace
      this.#place.check();
      return work(this.#sink);
    } catch (error) {
      this.#closed = true;
      try {
        this.#sink.close(true);
      } catch {
        // The first failure is the one to tell.
      }
      const failure = traceError(error, this.#place.written, 'write');
      throw this.#begun ? this.#kept(failure) : failure;
    }
  }

  /** What there is stays as any trace that lacks its end, and the error says where. */
  #kept(error: Error): Error {
    const { written } = this.#place;
    try {
      this.#place.settle(false);
    } catch {
      // it is where it was, or another's
    }
    const isOfIt = error instanceof TraceError && error.path === written;
    const says = 'what was written opens up to its last whole chunk';
    return isOfIt ? diskFullSays(error, says, this.#place.written) : error;
  }

  #drain(tables: readonly TableName[]): void {
    if (tables.includes('run')) this.#writeFacts();
    for (const name of tables) this.#appenders.get(name)?.drain();
  }

  #writeFacts(): void {
    if (this.#facts.size === 0) return;
    const run = this.#appender('run');
    const facts = [...this.#facts];
    this.#facts.clear();
    for (const [key, value] of facts) run.row(typeof value === 'string' ? { key, text: value } : { key, bytes: value });
    run.drain();
  }

  #end(name: TableName): void {
    this.#appenders.get(name)?.close();
  }
}
