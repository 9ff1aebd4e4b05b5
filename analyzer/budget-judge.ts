/**
 * Judges a run by its budgets. Counts and ticks are exact, and so is the verdict. Host times are samples: a budget on
 * them is broken only where the statistic is over its limit by a noticeable part and a test says that this is no
 * chance; with too few samples there is no verdict. A percentile is judged by the tail that it cuts off: to the rank
 * test all below that percentile of both runs is one, smaller than the tail.
 */
import { SVM_EXIT_CODES } from '../engine/svm/exit-codes.js';
import { VMX_EXIT_REASONS } from '../engine/vmx/exit-reasons.js';
import { type Budget, BudgetError, OPERATORS, type Place, STATISTICS } from './budget.js';
import {
  boundsOf,
  decide,
  decideTimes,
  exactly,
  failedWithoutExit,
  isOfAllFailures,
  limitBounds,
  limitOf,
  meaningOf,
  rowsOf,
} from './budget-bounds.js';
import { rankTest, signTest } from './budget-rank.js';
import { ISA_CODES } from './budget-samples.js';
import { nearest } from './nearest.js';
import { type Profile, type ProfileRow, reasonName } from './profile/profile.js';
import { percentile } from './profile/stats.js';

/** Fewest samples of each run, and of those in the tail that a percentile cuts off, for the normal approximation. */
export const LEAST_SAMPLES = 20;
export const LEAST_TAIL = 10;
/** Part of the limit by which a statistic of host times must be over it, and how likely chance may be. */
export const LEAST_EFFECT = 0.02;
export const SIGNIFICANCE = 0.01;

/** A run as budgets see it. */
export interface BudgetedRun {
  readonly profile: Profile | null;
  /** Why the recording is not there to its end; null where it is. */
  readonly cut: string | null;
  /** What makes its counts lower bounds, in words; null where they are exact. */
  readonly lack: string | null;
  /** How many events it lost; null where that is unknown. */
  readonly lost: number | null;
  /** Whether it has no events of exits, so that their number is unknown, not zero. */
  readonly lacksExits: boolean;
  /** Why it would not tell of entries that failed without an exit; null where it would. */
  readonly untold: string | null;
  /** Handler times of a level and a reason, ascending; null: of all. */
  times(level: number | null, reason: string | null): Float64Array;
}

export type Outcome = 'kept' | 'broken' | 'undecided';

export interface Verdict {
  readonly budget: string;
  readonly place: Place | null;
  readonly outcome: Outcome;
  /** Whether the outcome is `kept`. */
  readonly holds: boolean;
  readonly unit: 'exits' | 'ticks' | 'cycles' | 'ns';
  /** Null: there is nothing to measure. */
  readonly value: number | null;
  readonly limit: number | null;
  readonly baseline: number | null;
  /** Why, where the numbers alone do not say it. */
  readonly says: string | null;
  /** Of host times: how likely chance is, and samples of both runs (of LEFT only where it is the baseline). */
  readonly test: { readonly p: number | null; readonly left: number | null; readonly right: number } | null;
}

type Finding = Pick<Verdict, 'outcome' | 'unit' | 'value' | 'limit' | 'baseline'> &
  Partial<Pick<Verdict, 'says' | 'test'>>;

/** Names of reasons by architecture. */
const NAMES = {
  vmx: new Set(VMX_EXIT_REASONS.map(({ name }): string => name)),
  svm: new Set(SVM_EXIT_CODES.map(({ name }): string => name)),
} as const;
const ISAS = Object.keys(NAMES) as readonly (keyof typeof NAMES)[];

/** What a budget is held against: the right run, the left one being the baseline. */
export interface Judged {
  readonly left: BudgetedRun;
  readonly right: BudgetedRun;
  /** Whether they have no more in common than by chance (analyzer/diff.ts). */
  readonly unrelated?: boolean;
}

/**
 * Whether the right run keeps a budget.
 * @throws BudgetError NOISY_BUDGET, MIXED_BUDGET, UNKNOWN_REASON
 */
export function judge(runs: Judged, budget: Budget): Verdict {
  const { left, right } = runs;
  if (left.profile === null || right.profile === null) throw new Error('judge before finish');
  checkReason(budget, [left.profile, right.profile]);
  const finding =
    budget.measure === 'latency'
      ? judgeTimes(left, right, right.profile.unit ?? left.profile.unit, budget)
      : judgeCounts(runs, left.profile, right.profile, budget);
  const doubted = { ...finding, ...doubtOf(runs, budget, finding) };
  const { outcome } = doubted;
  return { budget: budget.text, place: budget.place, holds: outcome === 'kept', says: null, test: null, ...doubted };
}

/** What a finding becomes where not all is known of the runs that it rests on; null where it stands. */
function doubtOf(runs: Judged, budget: Budget, finding: Finding): Partial<Finding> | null {
  const lacking = doubtOfLack(runs, budget, finding);
  if ((lacking?.outcome ?? finding.outcome) !== 'kept' || !budget.baseline || runs.unrelated !== true) return lacking;
  return { outcome: 'undecided', says: 'unrelated runs: what the other did is no baseline for this one' };
}

/** The same, of what is not known of the runs themselves. */
function doubtOfLack({ left, right }: Judged, budget: Budget, finding: Finding): Partial<Finding> | null {
  const baseline = budget.baseline ? left : null;
  const lacking = [right, baseline].find((run) => run?.lacksExits);
  // an entry that failed without an exit breaks a budget on such all the same
  if (lacking !== undefined && (budget.measure !== 'failed' || finding.outcome !== 'broken')) {
    const unknown = lacking === right ? { value: null } : { baseline: null, limit: null };
    const says = `${lacking === right ? 'the run' : 'the baseline'} has no events of exits: they are unknown, not zero`;
    return { outcome: 'undecided', says, test: null, ...unknown };
  }
  const foreign = [right, baseline].flatMap((run) => foreignReason(budget, run?.profile ?? null) ?? [])[0];
  if (foreign !== undefined) return { outcome: 'undecided', says: foreign, test: null };
  if (budget.measure === 'latency') {
    const cut = [right, baseline].some((run) => (run?.cut ?? null) !== null);
    if (cut) return { outcome: 'undecided', says: 'the recording was cut: times of the rest are unknown' };
  }
  const lossy = [right, ...(baseline === null ? [] : [baseline])].filter(({ lack }) => lack !== null);
  const [first] = lossy;
  if (first === undefined) return null;
  const lacks = [...new Set(lossy.map(({ lack }) => lack))].join('; ');
  const found = [...((finding.says ?? null) === null ? [] : [finding.says]), lacks].join('; ');
  if (budget.measure !== 'latency') return { says: `${found}, ${meaningOf(first, budget)}` };
  if (finding.outcome === 'undecided') return null;
  const isProved = decideTimes(left, right, budget) === finding.outcome;
  return isProved
    ? { says: `${found}, but no times that are missing can turn it` }
    : { outcome: 'undecided', says: `${found}, and the times that are missing may turn it` };
}

const nameOf = ({ text, place }: Budget): string => (place === null ? text : `${place.file}:${place.line}: ${text}`);

/** Whether a name is one of an exit reason, by the manuals or by what the runs had, or the number of one without a name. */
export const isReason = (name: string, profiles: readonly Profile[]): boolean =>
  ISAS.some((isa) => NAMES[isa].has(name)) ||
  profiles.some(({ rows }) => rows.some(({ reason }) => reason === name)) ||
  isNumber(name, profiles);

/** Bits of a VMX exit reason, but for the one of failed entries; an SVM exit code has 64. */
const MOST = { vmx: 0x7fff_ffffn, svm: 0xffff_ffff_ffff_ffffn } as const;

/** Whether a profile of runs of this architecture would print a reason as this number: those that have names it names. */
function isNumber(name: string, profiles: readonly Profile[]): boolean {
  if (!/^0x[0-9a-f]+$/.test(name)) return false;
  const own = new Set(profiles.flatMap(({ rows }) => rows.flatMap(({ isa }) => isa ?? [])));
  const code = BigInt(name);
  return ISAS.some(
    (isa) =>
      (own.size === 0 || own.has(isa)) && code <= MOST[isa] && reasonName(ISA_CODES[isa], code, () => null) === name,
  );
}

/** The reason that a misspelt one may be: rather one that the runs had, or of their architecture where it is known. */
export function reasonMeant(name: string, profiles: readonly Profile[]): string | null {
  const rows = profiles.flatMap((profile) => profile.rows);
  const own = ISAS.filter((isa) => rows.some((row) => row.isa === isa));
  const namesOf = (isas: typeof ISAS): string[] => isas.flatMap((isa) => [...NAMES[isa]]);
  return nearest(name, [...rows.map(({ reason }) => reason), ...namesOf(own)]) ?? nearest(name, namesOf(ISAS));
}

/** A misspelt reason never exits, and its budget would hold for ever. */
function checkReason(budget: Budget, profiles: readonly Profile[]): void {
  const { reason, measure, statistic, level } = budget;
  if (reason === null || isReason(reason, profiles)) return;
  const close = nearest(reason, ['total']) ?? reasonMeant(reason, profiles);
  const metric = [
    measure,
    ...(statistic === null ? [] : [statistic]),
    ...(level === null ? [] : [`L${level}`]),
    close,
  ].join('.');
  const advice = close === null ? null : `did you mean ${metric}?`;
  throw new BudgetError('UNKNOWN_REASON', nameOf(budget), reason, advice);
}

/**
 * Why a budget says nothing of a run: its reason is one of an architecture that none of the run's exits is of, and would
 * be kept for ever. Null where it says something, or the run does not say what its exits are of.
 */
function foreignReason({ reason }: Budget, profile: Profile | null): string | null {
  const rows = profile?.rows ?? [];
  const known = reason === null ? [] : ISAS.filter((isa) => NAMES[isa].has(reason));
  const own = new Set(rows.map(({ isa }) => isa));
  if (known.length === 0 || own.size === 0 || own.has(null) || known.some((isa) => own.has(isa))) return null;
  if (rows.some((row) => row.reason === reason)) return null;
  const [theirs, ours] = [known, [...own]].map((isas) => isas.join(' and ').toUpperCase());
  return `${reason} is a reason of ${theirs}, and the run's exits are of ${ours}, which has none of that name`;
}

function judgeCounts(runs: Judged, left: Profile, right: Profile, budget: Budget): Finding {
  const value = measure(right, budget);
  const baseline = budget.baseline ? measure(left, budget) : null;
  const against = baseline === null ? exactly(0) : boundsOf(runs.left, budget, baseline);
  const outcome = decide(budget.operator, boundsOf(runs.right, budget, value), limitBounds(budget, against));
  const unit = budget.measure === 'ticks' ? ('ticks' as const) : ('exits' as const);
  return {
    outcome,
    unit,
    value,
    limit: limitOf(budget, baseline),
    baseline,
    says: saysOfFailures(runs, budget, outcome) ?? saysOfLevel([left, right], budget),
  };
}

/** What is to be known of entries that failed without an exit, where a budget is on such. */
function saysOfFailures({ left, right }: Judged, budget: Budget, outcome: Outcome): string | null {
  if (!isOfAllFailures(budget) || outcome !== 'undecided') return null;
  const untold = [right, ...(budget.baseline ? [left] : [])].flatMap((run) => run.untold ?? []);
  if (untold[0] !== undefined) return untold[0];
  return budget.level === null ? null : 'entries failed without an exit, so that their level is unknown';
}

/** A level that no run has is as good as a misspelt one. */
const saysOfLevel = (profiles: readonly Profile[], { level }: Budget): string | null =>
  level === null || profiles.some(({ rows }) => rows.some((row) => row.level === level))
    ? null
    : `neither run has an exit of L${level}`;

function measure(profile: Profile, budget: Budget): number {
  if (budget.measure === 'ticks' && profile.unit !== 'ticks') throw new BudgetError('NOISY_BUDGET', nameOf(budget));
  const amount = (row: ProfileRow): number => (budget.measure === 'ticks' ? (row.times?.total ?? 0) : row.count);
  const without = budget.level === null ? failedWithoutExit(profile, budget) : 0;
  return rowsOf(profile, budget).reduce((sum, row) => sum + amount(row), without);
}

/** A statistic of ascending times; null of none. */
function statisticOf(times: Float64Array, { statistic }: Budget): number | null {
  if (times.length === 0) return null;
  const share = STATISTICS[statistic ?? 'mean'];
  return share === null ? times.reduce((sum, time) => sum + time, 0) / times.length : percentile(times, share);
}

function judgeTimes(left: BudgetedRun, right: BudgetedRun, unit: Profile['unit'], budget: Budget): Finding {
  const units = [right, ...(budget.baseline ? [left] : [])].map(({ profile }) => profile?.unit ?? unit);
  if (new Set(units).size > 1 || (budget.timed && unit !== null && unit !== 'ns')) {
    throw new BudgetError('MIXED_BUDGET', nameOf(budget), budget.timed ? `the run has ${unit}, no nanoseconds` : null);
  }
  const times = right.times(budget.level, budget.reason);
  const before = budget.baseline ? left.times(budget.level, budget.reason) : null;
  const value = statisticOf(times, budget);
  const baseline = before === null ? null : statisticOf(before, budget);
  const limit = budget.baseline && baseline === null ? null : limitOf(budget, baseline);
  const found = { unit: unit ?? ('ns' as const), value, limit, baseline };
  if (unit === 'ns' || unit === 'cycles') return { ...found, ...judgeSamples(times, before, found, budget) };
  if (value === null && unit === 'ticks') {
    // none took longer than an upper limit, and none took as long as any other asks
    const outcome = budget.operator.startsWith('<') ? 'kept' : 'undecided';
    return { ...found, outcome, says: 'no such exit was handled' };
  }
  if (value === null || limit === null) return { ...found, outcome: 'undecided', says: 'not enough data: no times' };
  return { ...found, outcome: OPERATORS[budget.operator](value, limit) ? 'kept' : 'broken' };
}

function judgeSamples(
  times: Float64Array,
  before: Float64Array | null,
  { value, limit }: Pick<Verdict, 'value' | 'limit'>,
  budget: Budget,
): Pick<Verdict, 'outcome' | 'says' | 'test'> {
  const share = STATISTICS[budget.statistic ?? 'mean'];
  if (!budget.operator.startsWith('<') || share === 1 || (share === null && before === null)) {
    throw new BudgetError('NOISY_BUDGET', nameOf(budget));
  }
  const samples = { left: before?.length ?? null, right: times.length };
  const least = leastSamples(share);
  if (Math.min(times.length, before?.length ?? least) < least || value === null || limit === null) {
    const says = `not enough data: ${least} samples are needed of each run`;
    return { outcome: 'undecided', says, test: { p: null, ...samples } };
  }
  if (value <= limit) return { outcome: 'kept', says: null, test: { p: null, ...samples } };
  const p = before === null ? chanceAbove(times, limit, share ?? 0.5) : chanceOfRanks(times, before, share, budget);
  const test = { p, ...samples };
  if (value < limit * (1 + LEAST_EFFECT)) return { outcome: 'kept', says: 'over the limit by next to nothing', test };
  if (p >= SIGNIFICANCE) return { outcome: 'kept', says: 'over the limit, but within the noise', test };
  return { outcome: 'broken', says: null, test };
}

const chanceAbove = (times: Float64Array, limit: number, share: number): number =>
  signTest(times.length - countUpTo(times, limit), times.length, share);

/** How likely chance is where the baseline, with what the budget grants on top, gave these times. */
function chanceOfRanks(times: Float64Array, before: Float64Array, share: number | null, budget: Budget): number {
  const granted = before.map((time) => (budget.percent ? time * (1 + budget.amount / 100) : time + budget.amount));
  return chanceLarger(times, granted, share);
}

/**
 * How likely chance is where `x` looks larger than `y` by a percentile, or by its mean where `share` is null; both
 * ascending.
 */
export function chanceLarger(x: Float64Array, y: Float64Array, share: number | null): number {
  if (share === null) return rankTest(x, y).p;
  const pool = new Float64Array(x.length + y.length);
  pool.set(x);
  pool.set(y, x.length);
  return rankTest(x, y, percentile(pool.sort(), share)).p;
}

/** Samples of each run without which there is no verdict on a percentile, or on the mean. */
export const leastSamples = (share: number | null): number =>
  share === null ? LEAST_SAMPLES : Math.max(LEAST_SAMPLES, Math.ceil(LEAST_TAIL / (1 - share) - 1e-6));

/** How many of ascending values are at most `limit`. */
function countUpTo(ascending: Float64Array, limit: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
