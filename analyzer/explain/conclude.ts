/** From what happened and what the checks say to what was wrong, in one sentence. */
import { type Dump, FORMATS, fieldOf } from './dump.js';
import type { Judged } from './evaluate.js';
import type { Outcome } from './outcome.js';

export const VERDICTS = {
  violated: 'a rule is broken',
  suspect: 'a rule is broken on some processors',
  optional: 'a rule is broken that not every processor applies',
  undecidable: 'an entry failed, and the dump does not hold the cause',
  damaged: 'the dump is damaged',
  valid: 'nothing is wrong with this state',
} as const;
export type Verdict = keyof typeof VERDICTS;

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

const DAMAGING = new Set(['spliced', 'conflict', 'garbled', 'cut']);

/** Stages whose violation a failure of this kind can mean. */
const STAGES_OF: { readonly [kind in Outcome['kind']]?: readonly string[] } = {
  'guest-state': ['guest'],
  'msr-load': ['msr'],
  vmfail: ['controls', 'host'],
  'vmrun-invalid': ['vmcb'],
};

/** Undecidable checks that would explain the failure. */
function suspectsOf(dump: Dump, { kind, qualification, failed }: Outcome, judged: readonly Judged[]): Judged[] {
  const stages = STAGES_OF[kind];
  if (!failed || stages === undefined) return [];
  const masks = MASKS_CONTROLS.has(dump.format);
  return judged.filter(
    ({ check, depends }) =>
      depends &&
      stages.includes(check.stage) &&
      (check.stage !== 'guest' || qualification === null || BigInt(check.qualification ?? 0) === qualification) &&
      !(masks && RESERVED_CONTROLS.test(check.id)),
  );
}

const decapitalise = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

/** The values that a rule is about, for the sentence. */
function shown(dump: Dump, { check }: Judged): string {
  const [field] = check.fields;
  const value = field === undefined ? null : fieldOf(dump, field);
  return value === null ? '' : ` (${field} is 0x${value.toString(16)})`;
}

const rulesOf = (dump: Dump, list: readonly Judged[]): string => {
  const [first] = list;
  if (first === undefined) return '';
  const rule = `"${first.check.says}"${shown(dump, first)}`;
  return list.length === 1 ? `breaks the rule ${rule}` : `breaks ${list.length} rules, among them ${rule}`;
};

const what = (dump: Dump): string => (FORMATS[dump.format].isa === 'svm' ? 'VMRUN' : 'VM entry');

function qualified(outcome: Outcome, judged: readonly Judged[]): string {
  const { kind, qualification } = outcome;
  if (kind === 'msr-load') {
    return `entry ${qualification ?? '?'} of the VM-entry MSR-load area was refused`;
  }
  const meanings: { readonly [qualification: string]: string } = {
    2: 'a page-directory-pointer-table entry (PDPTE) has a reserved bit set',
    3: 'an NMI was injected while blocking by STI was indicated, which this processor refuses',
    4: 'the VMCS link pointer is invalid',
  };
  const meaning = kind === 'guest-state' && qualification !== null ? meanings[String(qualification)] : undefined;
  if (meaning !== undefined) return `by its qualification, ${meaning}`;
  const open = judged.filter(({ answer }) => answer === 'undecidable').length;
  return open === 0
    ? 'no check of the manual is violated by what the dump says'
    : `the cause is among ${plural(open, 'check')} that this dump cannot decide`;
}

interface Facts {
  readonly dump: Dump;
  readonly outcome: Outcome;
  readonly judged: readonly Judged[];
  readonly violated: readonly Judged[];
  readonly optional: readonly Judged[];
  readonly suspects: readonly Judged[];
}

/** The first line that applies gives verdict and sentence. */
const CASES: readonly {
  readonly verdict: Verdict;
  readonly applies: (facts: Facts) => boolean;
  readonly says: (facts: Facts) => string;
}[] = [
  {
    verdict: 'violated',
    applies: ({ violated, outcome }) => violated.length > 0 && outcome.failed === true,
    says: ({ dump, outcome, violated }) =>
      `${what(dump)} failed: the state ${rulesOf(dump, violated)}; ${decapitaliseOutcome(outcome)}.`,
  },
  {
    verdict: 'violated',
    applies: ({ violated }) => violated.length > 0,
    says: ({ dump, outcome, violated }) =>
      `The state ${rulesOf(dump, violated)}, so an entry with it fails; ${decapitaliseOutcome(outcome)}, which is then older than this state.`,
  },
  {
    verdict: 'damaged',
    applies: ({ dump }) => dump.pieces > 1 || dump.damage.some(({ kind }) => DAMAGING.has(kind)),
    says: ({ dump, outcome }) => {
      const first = dump.damage.find(({ kind }) => DAMAGING.has(kind));
      const spliced =
        dump.pieces > 1 ? `spliced from ${dump.pieces} pieces of different moments` : `damaged at line ${first?.line}`;
      const failure = outcome.failed
        ? ` It says that ${decapitaliseOutcome(outcome)}, but of which state cannot be told.`
        : '';
      return `The dump is ${spliced}, so no cause is named: no check is violated inside what belongs together.${failure}`;
    },
  },
  {
    verdict: 'suspect',
    applies: ({ suspects }) => suspects.length > 0,
    says: ({ dump, suspects }) => {
      const needs = [...new Set(suspects.flatMap(({ missing }) => missing.map(({ name }) => name)))].join(', ');
      return `${what(dump)} failed, and what can be decided holds; it ${rulesOf(dump, suspects)} unless this processor allows it (${needs}).`;
    },
  },
  {
    verdict: 'optional',
    applies: ({ optional, outcome }) => optional.length > 0 && outcome.failed === true,
    says: ({ dump, optional }) =>
      `${what(dump)} failed: the state ${rulesOf(dump, optional)}, which the manual does not ask of every processor.`,
  },
  {
    verdict: 'undecidable',
    applies: ({ outcome }) => outcome.failed === true,
    says: ({ outcome, judged }) => `${outcome.says}: ${qualified(outcome, judged)}.`,
  },
  {
    verdict: 'valid',
    applies: ({ outcome }) => outcome.failed === false,
    says: ({ outcome, judged }) => {
      const open = judged.filter(({ answer }) => answer === 'undecidable').length;
      const rest = open === 0 ? '' : ` (${plural(open, 'check')} cannot be decided)`;
      return `The state is valid, no check is violated${rest}: ${outcome.says}.`;
    },
  },
  {
    verdict: 'valid',
    applies: () => true,
    says: ({ outcome, judged }) => {
      const open = judged.filter(({ answer }) => answer === 'undecidable').length;
      return `No check is violated by what the dump says (${plural(open, 'check')} cannot be decided): ${outcome.says}.`;
    },
  },
];

const decapitaliseOutcome = ({ says }: Outcome): string => (says.startsWith('VM') ? says : decapitalise(says));

export function conclude(dump: Dump, outcome: Outcome, judged: readonly Judged[]): Conclusion {
  const broken = judged.filter(({ answer }) => answer === 'violated');
  const violated = broken.filter(({ check }) => !check.optional);
  const optional = outcome.failed ? broken.filter(({ check }) => check.optional) : [];
  const suspects = violated.length > 0 ? [] : suspectsOf(dump, outcome, judged);
  const facts: Facts = { dump, outcome, judged, violated, optional, suspects };
  const found = CASES.find(({ applies }) => applies(facts));
  return {
    verdict: found?.verdict ?? 'undecidable',
    sentence: found?.says(facts) ?? outcome.says,
    violated: [...violated, ...optional],
    suspects,
    undecidable: judged.filter((one) => one.answer === 'undecidable' && !suspects.includes(one)),
  };
}
