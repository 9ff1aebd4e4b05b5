/** What the page is told of a comparison of two traces; types alone, which its client shares. */
import type { HandlerUnit, ProfileTimes } from './timeline-answers.js';

/** An exit on one side of a comparison. */
export interface ComparedExit {
  readonly seq: number;
  readonly level: number | null;
  readonly reason: string;
  readonly failure: boolean;
  readonly key: string;
  readonly rip: string | null;
}

export interface ComparedReason {
  readonly level: number | null;
  readonly reason: string;
  readonly failure: boolean;
  readonly left: number;
  readonly right: number;
  readonly leftTimes: ProfileTimes | null;
  readonly rightTimes: ProfileTimes | null;
}

/** The statistics of a reason's handler times that moved one way, beyond chance. */
export interface ComparedTimes {
  readonly level: number | null;
  readonly reason: string;
  readonly slower: boolean;
  readonly samples: { readonly left: number; readonly right: number };
  /** Time that the right trace's exits took more than with the mean of the left; null where that did not move. */
  readonly cost: number | null;
  readonly shifts: readonly {
    readonly statistic: 'mean' | 'p50' | 'p90' | 'p99';
    readonly left: number;
    readonly right: number;
    readonly p: number | null;
    /** False where the times that are missing may explain it. */
    readonly certain: boolean;
  }[];
}

/** What changed from one trace to another. */
export interface Comparison {
  readonly match: 'rip' | 'key' | 'reason';
  /** False where the two have no more in common than by chance; `short`: where they are too short to tell. */
  readonly related: boolean;
  readonly short: boolean;
  readonly exact: boolean;
  readonly units: readonly [left: HandlerUnit, right: HandlerUnit];
  readonly exits: readonly [left: number, right: number];
  readonly matched: number;
  readonly vanished: number;
  readonly appeared: number;
  /** What is said of the exits that one of them has alone, which may only not have been recorded of the other. */
  readonly alone: { readonly vanished: string; readonly appeared: string };
  /** Places where the runs part. */
  readonly hunks: number;
  /** Whether the exits of both are known to be the same. */
  readonly same: boolean;
  /** Why it cannot be told whether they are, or what tells it though something is missing; null where it is plain. */
  readonly verdict: { readonly word: string; readonly says: string } | null;
  /** What is to be known besides before that is believed. */
  readonly remarks: readonly string[];
  /** Whether one of them has no events of exits, so that there is nothing to compare. */
  readonly missing: boolean;
  readonly first: {
    /** Seq of each side's exit where they part; of its last one where that side merely ends. */
    readonly at: readonly [left: number, right: number];
    readonly before: readonly ComparedExit[];
    readonly left: readonly ComparedExit[];
    readonly right: readonly ComparedExit[];
    readonly more: number;
    readonly after: readonly ComparedExit[];
  } | null;
  readonly reasons: readonly ComparedReason[];
  /** Whether any reason has times enough on both sides to tell a change from chance. */
  readonly judged: boolean;
  /** What got slower or faster, the costliest first. */
  readonly times: readonly ComparedTimes[];
  /** Reasons that were left out, because an answer is bounded. */
  readonly left: number;
}
