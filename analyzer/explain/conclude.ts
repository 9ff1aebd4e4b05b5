/** From what happened and what the checks say to what was wrong. */
import type { Dump } from './dump.js';
import { errorOf, type Judged } from './evaluate.js';
import type { Outcome } from './outcome.js';
import { FACTS } from './processor.js';
import { ROWS } from './rows.js';
import { sentenceOf, type Verdict } from './sentences.js';

export interface Conclusion {
  readonly verdict: Verdict;
  readonly sentence: string;
  readonly violated: readonly Judged[];
  readonly suspects: readonly Judged[];
  readonly undecidable: readonly Judged[];
}

/** Printed by hypervisors that mask their controls by the capability MSRs. */
const MASKS_CONTROLS = new Set(['kvm-vmcs', 'xen-vmcs']);
const RESERVED_CONTROLS = /^controls\.(pin|primary|secondary|tertiary|exit|exit2|entry)\.reserved$|^controls\.eptp\./;

/** Stages whose violation a failure of this kind can mean. */
const STAGES_OF: { readonly [kind in Outcome['kind']]?: readonly string[] } = {
  'guest-state': ['guest'],
  'msr-load': ['msr'],
  vmfail: ['controls', 'host'],
  'vmrun-invalid': ['vmcb'],
};

/** A VMfail says by its error which checks did not fail. */
const permitsError = (error: number | null, { check }: Judged): boolean =>
  error === null || (errorOf(check) ?? error) === error;

/** Whether the violation of a check would explain the failure. */
const explains = ({ kind, failed, error, qualification }: Outcome, one: Judged): boolean =>
  failed === true &&
  STAGES_OF[kind]?.includes(one.check.stage) === true &&
  permitsError(error, one) &&
  (one.check.stage !== 'guest' || qualification === null || BigInt(one.check.qualification ?? 0) === qualification);

/** Undecidable checks that would explain the failure, and are violated on some processors. */
function suspectsOf(dump: Dump, outcome: Outcome, judged: readonly Judged[]): Judged[] {
  const masks = MASKS_CONTROLS.has(dump.format);
  return judged.filter(
    (one) => one.depends && explains(outcome, one) && !(masks && RESERVED_CONTROLS.test(one.check.id)),
  );
}

/** Fields that a dump lacks only where a line of it is missing. */
const ALWAYS_PRINTED: ReadonlySet<string | null> = new Set(
  ROWS.filter(({ optional }) => !optional).flatMap(({ names }) => names),
);

/** Undecidable checks that would explain the failure, and want a line that is missing or that cannot be read. */
const goneOf = ({ damage }: Dump, outcome: Outcome, judged: readonly Judged[]): Judged[] =>
  judged.filter(
    (one) =>
      damage.some(({ kind }) => kind === 'missing' || kind === 'garbled' || kind === 'edge') &&
      one.answer === 'undecidable' &&
      one.missing.some(({ kind, name }) => kind === 'field' && ALWAYS_PRINTED.has(name)) &&
      explains(outcome, one),
  );

/** What a line of /proc/cpuinfo settles. */
const WIDTHS: ReadonlySet<string> = new Set([FACTS.physicalBits, FACTS.linearBits]);
const isOfWidth = ({ missing }: Judged): boolean => missing.every(({ name }) => WIDTHS.has(name));

/** Violated where the processor lacks a feature, which one that ran the hypervisor seldom does. */
const isOfFeature = ({ missing }: Judged): boolean =>
  missing.some(({ kind, name }) => kind === 'msr' || (kind === 'processor' && !WIDTHS.has(name)));

export function conclude(dump: Dump, outcome: Outcome, judged: readonly Judged[]): Conclusion {
  const broken = judged.filter(({ answer }) => answer === 'violated');
  // What permits the reported qualification comes first: the processor may have met any of them.
  const fits = ({ check }: Judged): number =>
    outcome.qualification !== null && BigInt(check.qualification ?? 0) === outcome.qualification ? 0 : 1;
  // Last comes what a hypervisor masks by the processor's own MSRs: rather those that were given are of another.
  const masked = ({ check }: Judged): number =>
    MASKS_CONTROLS.has(dump.format) && RESERVED_CONTROLS.test(check.id) ? 1 : 0;
  const violated = broken
    .filter(({ check }) => !check.optional)
    // Behind what the dump alone says comes what is assumed of the processor.
    .sort((a, b) => fits(a) - fits(b) || masked(a) - masked(b) || a.assumes.length - b.assumes.length);
  const optional = outcome.failed ? broken.filter(({ check }) => check.optional) : [];
  const suspected = suspectsOf(dump, outcome, judged).sort((a, b) => Number(isOfFeature(a)) - Number(isOfFeature(b)));
  // A second fault beside a certain one is worth a look where a width alone is open.
  const suspects = violated.length > 0 ? suspected.filter(isOfWidth) : suspected;
  const gone = goneOf(dump, outcome, judged).filter((one) => !suspects.includes(one));
  const facts = { dump, outcome, judged, violated, optional, suspects, gone };
  return {
    ...sentenceOf(facts),
    violated: [...violated, ...optional],
    suspects,
    undecidable: judged.filter((one) => one.answer === 'undecidable' && !suspects.includes(one)),
  };
}
