/**
 * What changed between two runs: their exits aligned by content, the first place where they part, what appeared and
 * what vanished, and counts and handler times by reason. The left run is the baseline.
 */
import { EVENT_KINDS } from '../engine/observer.js';
import type { TraceReader } from '../traces/store.js';
import { align, commonSymbols } from './diff-align.js';
import { relationOf } from './diff-chance.js';
import { DiffSide, type ExitLine, type Match } from './diff-side.js';
import { otherLevel, type RowPair, type TimeChange, timeChanges } from './diff-times.js';
import { originOf } from './origin.js';
import type { Profile, Times } from './profile/profile.js';
import { WordTable } from './profile/table.js';
import { COLUMNS } from './profile/view.js';

export type { ExitLine, Match } from './diff-side.js';
export type { TimeChange } from './diff-times.js';

/** Exits shown around the first divergence, and changes told one by one. */
const CONTEXT = 3;
const MAX_CHANGES = 1000;
/** How to match where nothing is asked for, and which part of the shorter run must agree for it to be of use. */
const ATTEMPTS: readonly { readonly match: Match; readonly share: number }[] = [
  { match: 'rip', share: 0.5 },
  { match: 'key', share: 0.5 },
  { match: 'reason', share: 0.1 },
];

/** Part of the shorter run that must agree for two runs to count as related; chance alone must not explain it. */
const ENOUGH = 0.1;

export interface Divergence {
  /** Seq of the exit at which each side is where they part; of its last exit where it merely ends. */
  readonly at: { readonly left: number; readonly right: number };
  /** Exits that both have, right before. */
  readonly before: readonly ExitLine[];
  /** What each has instead; empty where one merely has more. */
  readonly left: readonly ExitLine[];
  readonly right: readonly ExitLine[];
  /** Exits that are left out of `left` and `right`. */
  readonly more: number;
  /** What comes next in both. */
  readonly after: readonly ExitLine[];
}

/** Exits of one content that only one side has. */
export interface Change {
  readonly exit: ExitLine;
  readonly vanished: number;
  readonly appeared: number;
}

export interface ReasonDelta {
  /** As in the right run, or as in the left where the right has none. */
  readonly level: number | null;
  /** That of the left run where actors of two levels are held against each other; null where it is the same. */
  readonly leftLevel: number | null;
  readonly isa: 'vmx' | 'svm' | null;
  readonly reason: string;
  readonly failed: boolean;
  readonly left: number;
  readonly right: number;
  readonly delta: number;
  readonly leftTimes: Times | null;
  readonly rightTimes: Times | null;
}

export interface Diff {
  /** What exits were matched by. */
  readonly match: Match;
  /** False where the runs have no more in common than chance gives; then nothing was aligned, unless `short` is true. */
  readonly related: boolean;
  /** True where the runs are too short to tell whether what they have in common is chance; they are aligned all the same. */
  readonly short: boolean;
  /** False where there were too many differences to look for a shortest alignment. */
  readonly exact: boolean;
  readonly left: Profile;
  readonly right: Profile;
  readonly matched: number;
  readonly vanished: number;
  readonly appeared: number;
  /** Places where the runs part. */
  readonly hunks: number;
  readonly first: Divergence | null;
  readonly changes: readonly Change[];
  readonly reasons: readonly ReasonDelta[];
  /** What got slower or faster, the costliest first. */
  readonly times: readonly TimeChange[];
  /** Events by kind where their number differs. */
  readonly events: readonly { readonly kind: string; readonly left: number; readonly right: number }[];
}

export interface DiffOptions {
  /** Without it: by RIP, else by what exits are about, else by reason, whichever first finds enough in common. */
  readonly match?: Match;
  /** Reasons to leave out of the alignment, for example those of host interrupts. */
  readonly ignore?: Iterable<string>;
}

/** A place where the runs part: positions [left, leftEnd) and [right, rightEnd) in the order of each side. */
interface Hunk {
  readonly left: number;
  readonly leftEnd: number;
  readonly right: number;
  readonly rightEnd: number;
}

interface Aligned {
  readonly match: Match;
  readonly related: boolean;
  readonly short: boolean;
  readonly exact: boolean;
  readonly matched: number;
  readonly hunks: readonly Hunk[];
  readonly symbols: { readonly left: Uint32Array; readonly right: Uint32Array; readonly count: number };
}

/** Compares two sides that were finished. */
export function compare(left: DiffSide, right: DiffSide, options: Pick<DiffOptions, 'match'> = {}): Diff {
  if (left.profile === null || right.profile === null) throw new Error('compare before finish');
  const aligned = alignSides(left, right, options.match);
  const { hunks } = aligned;
  const pairs = pairRows(left.profile, right.profile);
  return {
    match: aligned.match,
    related: aligned.related,
    short: aligned.short,
    exact: aligned.exact,
    left: left.profile,
    right: right.profile,
    matched: aligned.matched,
    vanished: left.exits - aligned.matched,
    appeared: right.exits - aligned.matched,
    hunks: hunks.length,
    first: firstDivergence(left, right, hunks),
    changes: changesOf(left, right, aligned),
    reasons: reasonDeltas(pairs),
    times: timeChanges(left, right, pairs),
    events: eventDeltas(left, right),
  };
}

function alignSides(left: DiffSide, right: DiffSide, wanted: Match | undefined): Aligned {
  const attempts = wanted === undefined ? ATTEMPTS : [{ match: wanted, share: ENOUGH }];
  const shorter = Math.min(left.exits, right.exits);
  let unclear: Aligned | null = null;
  for (const { match, share } of attempts) {
    const symbols = symbolsOf(left, right, match);
    if (commonSymbols(symbols.left, symbols.right, symbols.count) < share * shorter) continue;
    const { exact, matched, hunks, partner } = alignLanes(left, right, symbols);
    if (matched < ENOUGH * shorter) continue;
    const relation = relationOf({ ...symbols, partner, matched, hunks: hunks.length });
    const aligned = { match, exact, matched, hunks, symbols };
    if (relation === 'related') return { ...aligned, related: true, short: false };
    if (relation === 'too short') unclear ??= { ...aligned, related: false, short: true };
  }
  if (unclear !== null) return unclear;
  const symbols = { left: new Uint32Array(0), right: new Uint32Array(0), count: 0 };
  return { match: wanted ?? 'reason', related: false, short: false, exact: false, matched: 0, hunks: [], symbols };
}

/** Equal exits of two sides get equal symbols. */
function symbolsOf(left: DiffSide, right: DiffSide, match: Match): Aligned['symbols'] {
  const table = new WordTable();
  const [own, other] = [left.reasons(table), right.reasons(table)];
  if (match === 'reason')
    return { left: left.inOrder(own.symbols), right: right.inOrder(other.symbols), count: table.size };
  const [keys, rips] = [new WordTable(), new WordTable()];
  return {
    left: left.inOrder(left.details(own, other, match === 'rip', keys, rips)),
    right: right.inOrder(right.details(other, own, match === 'rip', keys, rips)),
    count: match === 'rip' ? rips.size : keys.size,
  };
}

/** Aligns the lanes of both sides by their rank; a lane that only one side has is one hunk. */
function alignLanes(left: DiffSide, right: DiffSide, symbols: Aligned['symbols']) {
  const hunks: Hunk[] = [];
  let matched = 0;
  let exact = true;
  const partner = new Int32Array(left.exits).fill(-1);
  for (let lane = 0; lane + 1 < Math.max(left.lanes.length, right.lanes.length); lane++) {
    const [from, to] = laneRange(left, lane);
    const [start, end] = laneRange(right, lane);
    const result = align(symbols.left.subarray(from, to), symbols.right.subarray(start, end));
    matched += result.matched;
    exact &&= result.exact;
    for (let i = 0; i < result.partner.length; i++) {
      const at = result.partner[i] as number;
      if (at >= 0) partner[from + i] = start + at;
    }
    collectHunks(result.partner, { left: from, leftEnd: to, right: start, rightEnd: end }, hunks);
  }
  return { exact, matched, hunks, partner };
}

const laneRange = ({ lanes, exits }: DiffSide, lane: number): readonly [number, number] => [
  lanes[lane] ?? exits,
  lanes[lane + 1] ?? exits,
];

function collectHunks(partner: Int32Array, lane: Hunk, hunks: Hunk[]): void {
  let i = 0;
  let j = 0;
  const height = lane.rightEnd - lane.right;
  while (i < partner.length || j < height) {
    if (i < partner.length && partner[i] === j) {
      i += 1;
      j += 1;
      continue;
    }
    const left = i;
    const right = j;
    while (i < partner.length && (partner[i] as number) < 0) i += 1;
    j = i < partner.length ? (partner[i] as number) : height;
    hunks.push({
      left: lane.left + left,
      leftEnd: lane.left + i,
      right: lane.right + right,
      rightEnd: lane.right + j,
    });
  }
}

/** The hunk that starts first in the baseline; beyond its end, in the other run. */
function firstDivergence(left: DiffSide, right: DiffSide, hunks: readonly Hunk[]): Divergence | null {
  const start = ({ left: at, right: other }: Hunk): number =>
    at < left.exits ? left.line(at).seq : left.exits + (other < right.exits ? right.line(other).seq : 0);
  let first: Hunk | null = null;
  for (const hunk of hunks) if (first === null || start(hunk) < start(first)) first = hunk;
  if (first === null) return null;
  const lines = (side: DiffSide, from: number, to: number): ExitLine[] =>
    Array.from({ length: Math.max(0, to - from) }, (_, k) => side.line(from + k));
  const lane = laneStart(left, first.left);
  const shown = 2 * CONTEXT;
  const next = Math.min(first.leftEnd + CONTEXT, laneEnd(left, first.leftEnd));
  const seqAt = (side: DiffSide, at: number): number =>
    side.exits === 0 ? 0 : side.line(Math.min(at, side.exits - 1)).seq;
  return {
    at: { left: seqAt(left, first.left), right: seqAt(right, first.right) },
    before: lines(left, Math.max(lane, first.left - CONTEXT), first.left),
    left: lines(left, first.left, Math.min(first.leftEnd, first.left + shown)),
    right: lines(right, first.right, Math.min(first.rightEnd, first.right + shown)),
    more: Math.max(0, first.leftEnd - first.left - shown) + Math.max(0, first.rightEnd - first.right - shown),
    after: lines(left, first.leftEnd, next),
  };
}

const laneStart = ({ lanes }: DiffSide, at: number): number => lanes.findLast((start) => start <= at) ?? 0;
const laneEnd = ({ lanes, exits }: DiffSide, at: number): number => lanes.find((start) => start > at) ?? exits;

/** What is on one side only, by content. */
function changesOf(left: DiffSide, right: DiffSide, { hunks, symbols }: Aligned): Change[] {
  const found = new Map<number, { exit: () => ExitLine; vanished: number; appeared: number }>();
  const count = (side: DiffSide, all: Uint32Array, from: number, to: number, field: 'vanished' | 'appeared'): void => {
    for (let at = from; at < to; at++) {
      const symbol = all[at] as number;
      let change = found.get(symbol);
      if (change === undefined) {
        change = { exit: () => side.line(at), vanished: 0, appeared: 0 };
        found.set(symbol, change);
      }
      change[field] += 1;
    }
  };
  for (const hunk of hunks) {
    count(left, symbols.left, hunk.left, hunk.leftEnd, 'vanished');
    count(right, symbols.right, hunk.right, hunk.rightEnd, 'appeared');
  }
  return [...found.values()]
    .sort((a, b) => b.vanished + b.appeared - (a.vanished + a.appeared))
    .slice(0, MAX_CHANGES)
    .map(({ exit, vanished, appeared }) => ({ exit: exit(), vanished, appeared }));
}

/** Rows of both profiles side by side, actors held against each other from the innermost guest outwards. */
function pairRows(left: Profile, right: Profile): RowPair[] {
  const rows = new Map<string, RowPair>();
  const add = (side: 'left' | 'right', profile: Profile): void => {
    const highest = Math.max(0, ...profile.rows.map(({ level }) => level ?? 0));
    for (const row of profile.rows) {
      const actor = row.level === null ? 'unknown' : highest - row.level;
      const id = `${actor} ${row.isa} ${row.code} ${row.failed}`;
      rows.set(id, { ...rows.get(id), [side]: row });
    }
  };
  add('left', left);
  add('right', right);
  return [...rows.values()];
}

function reasonDeltas(pairs: readonly RowPair[]): ReasonDelta[] {
  return pairs
    .flatMap((pair): ReasonDelta[] => {
      const row = pair.right ?? pair.left;
      if (row === undefined) return [];
      const before = pair.left?.count ?? 0;
      const after = pair.right?.count ?? 0;
      return [
        {
          level: row.level,
          leftLevel: otherLevel(pair),
          isa: row.isa,
          reason: row.reason,
          failed: row.failed,
          left: before,
          right: after,
          delta: after - before,
          leftTimes: pair.left?.times ?? null,
          rightTimes: pair.right?.times ?? null,
        },
      ];
    })
    .sort((a, b) => Math.abs(b.delta) - Math.abs(a.delta) || b.right - a.right);
}

function eventDeltas(left: DiffSide, right: DiffSide): Diff['events'] {
  return Object.entries(EVENT_KINDS).flatMap(([kind, code]) => {
    const before = left.kinds[code] ?? 0;
    const after = right.kinds[code] ?? 0;
    return before === after ? [] : [{ kind, left: before, right: after }];
  });
}

/** Reads one side of a comparison from a trace. Throws TraceError where it is damaged. */
export function readSide(reader: TraceReader, options: Pick<DiffOptions, 'ignore'> = {}): DiffSide {
  const side = new DiffSide(options.ignore);
  for (const chunk of reader.chunks('event', { columns: COLUMNS })) side.take(chunk);
  side.finish(
    (domain, code) => reader.name(domain, code),
    originOf((key) => reader.run(key), reader.complete),
  );
  return side;
}

/** What changed from `left`, the baseline, to `right`. */
export function diff(left: TraceReader, right: TraceReader, options: DiffOptions = {}): Diff {
  return compare(readSide(left, options), readSide(right, options), options);
}
