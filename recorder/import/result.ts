/** What an import came to. */
import { printable } from '../../engine/errors.js';
import type { NamedTracepoint } from './dictionaries.js';
import type { ImportError } from './errors.js';
import type { Lane } from './lanes.js';
import type { CoinedReason } from './reasons.js';
import type { EventTaker } from './sink.js';

export interface ImportOptions {
  /** Called now and then with the bytes read and their total, 0 where it is unknown. */
  readonly progress?: (done: number, total: number) => void;
  /** Columns of the event table that are wanted; without it all. What is not is not even decoded from binary files. */
  readonly columns?: readonly string[];
  /** Fields of EVENT_FIELDS that are wanted of events, by kind, none of kinds that are not named; without it all. */
  readonly fields?: { readonly [kind: number]: readonly string[] };
  /**
   * Kinds whose events are all wanted; without it all are. Events of other kinds may be left out where they change
   * nothing, though not the first and the last of a lane, which tell how long it was seen. They are counted all the same.
   */
  readonly kinds?: ReadonlySet<number>;
  /** Gets each event instead of the event table, which then has no rows. */
  readonly taker?: EventTaker;
  /** Leaves out what no column has: fields of binary records, the whole text of lines that have no exit. */
  readonly brief?: boolean;
  /** Cycles a second of the TSC, for recordings whose times are cycles and that do not say it. */
  readonly tscHz?: number;
  /** The input still grows: what is there is not to wait for what comes. */
  readonly live?: boolean;
  /** True once somebody ended the reading, from when on an end amid its data is no damage of an input; as its source says. */
  readonly isEnded?: () => boolean;
  /** Called before the first event with the lanes, to which each thread that appears is added: for who looks on. */
  readonly lanes?: (lanes: readonly Lane[]) => void;
  /** Called before the first event with the tracepoints so far, by number, that no kind names. */
  readonly tracepoints?: (tracepoints: readonly NamedTracepoint[]) => void;
  /** Called before the first event with what gives the reasons so far that only the input itself has names for. */
  readonly reasons?: (coined: () => readonly CoinedReason[]) => void;
}

/** Something the user should know about the input; `line` is null where it is about all of it. */
export interface Note {
  readonly line: number | null;
  readonly says: string;
}

export interface ImportCounts {
  readonly lines: number;
  readonly events: number;
  readonly exits: number;
  readonly entries: number;
  /** VM entries that failed after loading guest state, and nested ones that KVM refused. */
  readonly failedEntries: number;
  readonly nestedExits: number;
  /** Events that the source says are missing, and the rows of kind `lost` that say where. */
  readonly lost: number;
  readonly gaps: number;
  /** Lines that are no event and no header. */
  readonly damaged: number;
  /** Lines of call chains and of function_graph's calls, which are not kept. */
  readonly frames: number;
  readonly lanes: number;
  /** Lanes of a thread or a vCPU; the others are of what the source says of a host CPU. */
  readonly threads: number;
}

export interface ImportResult {
  /** Where the trace is (`path` of its writer). */
  readonly path: string;
  readonly source: string;
  readonly format: string;
  readonly counts: ImportCounts;
  readonly notes: readonly Note[];
  /** Where reading had to stop before the end; what came before it is in the trace. */
  readonly stopped: ImportError | null;
  readonly digest: string;
}

/** Notes, bounded in number and length: damaged input must not fill memory or trace. */
export class Notes {
  readonly all: Note[] = [];
  dropped = 0;

  add(line: number | null, says: string): void {
    const shown = printable(says.length > 300 ? `${says.slice(0, 300)}…` : says);
    if (this.all.length < 200) this.all.push({ line, says: shown });
    else this.dropped += 1;
  }

  finish(): readonly Note[] {
    return this.dropped === 0 ? this.all : [...this.all, { line: null, says: `${this.dropped} more notes left out` }];
  }
}
