/** What the thread that reads a recording and the one that shows it say to each other. */
import type { Rolling } from '../analyzer/profile/rolling.js';
import type { ImportResult } from '../recorder/import/result.js';
import type { Described } from './errors.js';

/** What rows of different vCPUs are put together by. */
export const GROUPS = ['level', 'vm', 'vcpu'] as const;
export type Group = (typeof GROUPS)[number];

export interface FollowStart {
  readonly file: string;
  /** Trace to write, or null. */
  readonly output: string | null;
  readonly replace: boolean;
  /** Milliseconds from one look to the next. */
  readonly interval: number;
  /** Cycles a second of the recording's TSC, where the person said it. */
  readonly tscHz: number | null;
  readonly control: SharedArrayBuffer;
}

export interface Snapshot {
  readonly number: number;
  /** Milliseconds since reading began. */
  readonly elapsed: number;
  /** Bytes of the input so far. */
  readonly bytes: number;
  /** Milliseconds that events came later than the quickest of them; and since the last one came, null before any. */
  readonly lag: number;
  readonly quiet: number | null;
  readonly group: Group;
  readonly profile: Rolling;
}

/** An import's result without its error, which does not survive the way from thread to thread. */
export type FollowedResult = Omit<ImportResult, 'stopped'>;

/** What a thread that reads says: how far it is, again and again, and at last its end or its error. */
export type ThreadMessage<Look, End> =
  | { readonly kind: 'look'; readonly look: Look }
  | { readonly kind: 'end'; readonly end: End }
  | { readonly kind: 'failed'; readonly error: Described };

export interface FollowEnd {
  readonly snapshot: Snapshot;
  /** Null where the person ended it before the first event. */
  readonly result: FollowedResult | null;
  readonly stopped: Described | null;
}

export type Message = ThreadMessage<Snapshot, FollowEnd>;

const WORD = { stop: 0, seen: 1, group: 2, waits: 3 } as const;

/** What the showing thread tells the reading one, which never waits for it: words in shared memory. */
export class Control {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(4 * Object.keys(WORD).length);
  }

  /** The input is to end here. */
  stop(): void {
    Atomics.store(this.#words, WORD.stop, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, WORD.stop) === 1;
  }

  /** Whether the reading thread is in a call of the system that may take any time, and hears nothing. */
  set waits(waits: boolean) {
    Atomics.store(this.#words, WORD.waits, waits ? 1 : 0);
  }

  get waits(): boolean {
    return Atomics.load(this.#words, WORD.waits) === 1;
  }

  /** Number of the snapshot that was shown last: the next one is sent only then, so that none pile up. */
  set seen(number: number) {
    Atomics.store(this.#words, WORD.seen, number);
  }

  get seen(): number {
    return Atomics.load(this.#words, WORD.seen);
  }

  set group(group: Group) {
    Atomics.store(this.#words, WORD.group, GROUPS.indexOf(group));
  }

  get group(): Group {
    return GROUPS[Atomics.load(this.#words, WORD.group)] ?? 'level';
  }
}
