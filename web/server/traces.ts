/** The traces that are served: each read once, when somebody first asks for it. */
import type { Details } from '../../analyzer/detail.js';
import { compare } from '../../analyzer/diff.js';
import type { DiffSide } from '../../analyzer/diff-side.js';
import type { Timeline } from '../../analyzer/timeline.js';
import { comparisonOf } from '../../analyzer/timeline-compare.js';
import type { Comparison } from '../../analyzer/timeline-compare-answers.js';

/** A trace that has been opened, with the questions that can be put to it. */
export interface OpenedTrace {
  readonly timeline: Timeline;
  readonly details: Details;
  /** The trace as one side of a comparison, these reasons left out of what is aligned. */
  side(ignore: readonly string[]): Promise<DiffSide>;
}

/** A trace as it is given to the server. `open` is called once; `progress` takes the share that was read, 0 to 1. */
export interface GivenTrace {
  readonly name: string;
  open(progress: (share: number) => void): Promise<OpenedTrace>;
}

/** A line of the list of traces. */
export interface TraceState {
  readonly id: number;
  readonly name: string;
  readonly state: 'idle' | 'loading' | 'ready' | 'failed';
  /** Share that was read, 0 to 1. */
  readonly progress: number;
  readonly problem: string | null;
}

const MOST_COMPARISONS = 64;

export class ServedTrace {
  readonly name: string;
  readonly #given: GivenTrace;
  #opened: Promise<OpenedTrace> | null = null;
  /** The latest comparisons, by the name of the other trace and what is left out. */
  readonly #comparisons = new Map<string, Promise<Comparison>>();
  #state: TraceState['state'] = 'idle';
  #progress = 0;
  #problem: string | null = null;

  constructor(given: GivenTrace) {
    this.#given = given;
    this.name = given.name;
  }

  open(): Promise<OpenedTrace> {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  /** What changed from this trace to another one; `ignore` names reasons to leave out of what is aligned. */
  comparison(other: ServedTrace, ignore: readonly string[]): Promise<Comparison> {
    const names = [...new Set(ignore)].sort();
    const key = JSON.stringify([other.name, names]);
    const known = this.#comparisons.get(key) ?? this.#compare(other, names);
    this.#comparisons.set(key, known);
    const [oldest] = this.#comparisons.keys();
    if (this.#comparisons.size > MOST_COMPARISONS && oldest !== undefined) this.#comparisons.delete(oldest);
    return known;
  }

  async #compare(other: ServedTrace, ignore: readonly string[]): Promise<Comparison> {
    const left = await (await this.open()).side(ignore);
    const right = await (await other.open()).side(ignore);
    return comparisonOf({
      leftFile: this.name,
      rightFile: other.name,
      answer: compare(left, right),
      lacks: { left, right },
      ignored: ignore,
    });
  }

  state(id: number): TraceState {
    return { id, name: this.name, state: this.#state, progress: this.#progress, problem: this.#problem };
  }

  async #open(): Promise<OpenedTrace> {
    this.#state = 'loading';
    try {
      const opened = await this.#given.open((share) => {
        this.#progress = share;
      });
      this.#state = 'ready';
      this.#progress = 1;
      return opened;
    } catch (error) {
      this.#state = 'failed';
      this.#problem = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }
}
