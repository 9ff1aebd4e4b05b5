/** The observer before the one that writes: picks memory accesses, and copies output to who asked for it. */
import { AccessFilter, type MemoryFilter } from '../../engine/access-filter.js';
import { type EventRecord, type Message, nullObserver, type Observer } from '../../engine/observer.js';

export type OutputListener = (port: string, bytes: Uint8Array) => void;

export class FilteringObserver implements Observer {
  /** Who is told. The machine tells nothing before its first tick, so that it may be set once the machine stands. */
  next: Observer = nullObserver;
  readonly #filter: AccessFilter | null;
  readonly #onOutput: OutputListener | null;

  constructor(memory: MemoryFilter, onOutput: OutputListener | null) {
    this.#filter = AccessFilter.of(memory);
    this.#onOutput = onOutput;
  }

  event(event: EventRecord): void {
    this.next.event(event);
  }

  message(message: Message): void {
    this.next.message(message);
  }

  output(port: string, bytes: Uint8Array): void {
    this.next.output(port, bytes);
    this.#onOutput?.(port, bytes);
  }

  memory(ring: DataView, count: number): void {
    const filter = this.#filter;
    if (filter === null) {
      this.next.memory(ring, count);
      return;
    }
    const kept = filter.keep(ring, count);
    if (kept > 0) this.next.memory(filter.kept, kept);
  }
}
