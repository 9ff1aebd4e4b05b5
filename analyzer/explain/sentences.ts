/** Verdict and sentence of each case, in the order in which they are tried. */
import { areMixed, type Dump, fieldOf } from './dump.js';
import type { Judged } from './evaluate.js';
import type { Outcome } from './outcome.js';
import { FACTS } from './processor.js';

export const VERDICTS = {
  violated: 'a rule is broken',
  suspect: 'a rule is broken on some processors',
  optional: 'a rule is broken that not every processor applies',
  undecidable: 'the dump does not hold the cause',
  damaged: 'the dump is damaged',
  valid: 'nothing is wrong with this state',
} as const;
export type Verdict = keyof typeof VERDICTS;

/** Lines of more than one state are mixed. */
const MIXED = new Set(['spliced', 'mixed', 'conflict']);
/** A value is lost. */
const LOST = new Set(['cut', 'garbled', 'edge']);

/** Nothing of it is lost that may be wrong. */
const isWhole = ({ damage }: Dump): boolean => damage.length === 0;
const lostOf = ({ damage }: Dump): Dump['damage'] => damage.filter(({ kind }) => LOST.has(kind));
const capitalise = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
const placesOf = (lost: Dump['damage']): string =>
  lost.length === 1 ? `at line ${lost[0]?.line}` : `in ${lost.length} places, the first at line ${lost[0]?.line}`;

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

/** Rules that not every processor applies: of a failed entry one of them may be the cause, and may not. */
const optionalOf = ({ dump, optional }: Pick<Facts, 'dump' | 'optional'>): string =>
  `${rulesOf(dump, optional)}, which the manual leaves to the processor`;

function qualified(dump: Dump, outcome: Outcome, judged: readonly Judged[]): string {
  const { kind, qualification } = outcome;
  if (kind === 'msr-load') {
    const entry = dump.msrs.find(({ list, index }) => list === 'guest' && BigInt(index) === qualification);
    const msr = entry === undefined ? '' : ` (MSR ${entry.msr.toString(16)}H, value 0x${entry.value.toString(16)})`;
    return `entry ${qualification ?? '?'} of the VM-entry MSR-load area was refused${msr}`;
  }
  const meanings: { readonly [qualification: string]: string } = {
    2: 'a page-directory-pointer-table entry (PDPTE) has a reserved bit set',
    3: 'an NMI was injected while blocking by STI was indicated, which this processor refuses',
    4: 'the VMCS link pointer is invalid',
  };
  const meaning = kind === 'guest-state' && qualification !== null ? meanings[String(qualification)] : undefined;
  if (meaning !== undefined) return `by its qualification, ${meaning}`;
  const open = judged.filter(({ answer }) => answer === 'undecidable').length;
  if (judged.length === 0) return 'no state is given to look for the cause in';
  return open === 0
    ? 'no check of the manual is violated by what the dump says'
    : `the cause is among ${plural(open, 'check')} that this dump cannot decide`;
}

export interface Facts {
  readonly dump: Dump;
  readonly outcome: Outcome;
  readonly judged: readonly Judged[];
  readonly violated: readonly Judged[];
  readonly optional: readonly Judged[];
  readonly suspects: readonly Judged[];
  /** Undecidable for want of a line that is missing, and able to explain the failure. */
  readonly gone: readonly Judged[];
}

const openOf = (judged: readonly Judged[]): number => judged.filter(({ answer }) => answer === 'undecidable').length;

const undecided = (judged: readonly Judged[]): string => {
  const open = openOf(judged);
  return open === 0 ? '' : ` (${plural(open, 'check')} cannot be decided)`;
};

/** A rule that only some processors break is no likelier than one about what is missing. */
const goneOf = ({ gone }: Facts): string =>
  gone.length === 0
    ? ''
    : ` Lines are missing, and ${plural(gone.length, 'check')} of what they say cannot be decided: the cause may be there.`;

/** What would clear a suspected check. */
function allowed(suspects: readonly Judged[], needs: string): string {
  const isField = suspects.some(({ missing }) => missing.some(({ kind }) => kind === 'field'));
  if (needs === FACTS.linearBits) return 'this processor has 57-bit linear addresses';
  return isField ? `what the dump lacks says otherwise (${needs})` : `this processor allows it (${needs})`;
}

/** Halves of two dumps look as one does during which the clock was set. */
function splicedOf({ pieces, clockSetAt }: Dump): string {
  const spliced = `is spliced from ${pieces} pieces of different moments`;
  return clockSetAt === undefined
    ? spliced
    : `${spliced}, or it is whole and the clock was set: the clock jumps at line ${clockSetAt}, where no line is missing or out of order`;
}

/** Why what a dump says is not all that there was to say. */
const brokenOf = ({ damage }: Dump): string => {
  if (damage.some(({ kind }) => kind === 'missing')) return 'The dump is not whole: ';
  return damage.some(({ kind }) => kind === 'dropped') ? 'The dump may not be whole: ' : '';
};

interface Case {
  readonly verdict: Verdict;
  readonly applies: (facts: Facts) => boolean;
  readonly says: (facts: Facts) => string;
}

/** The first that applies gives verdict and sentence. */
const CASES: readonly Case[] = [
  {
    verdict: 'damaged',
    applies: ({ dump }) => dump.damage.some(({ kind }) => MIXED.has(kind)),
    says: ({ dump, outcome, violated, optional }) => {
      const mixed = dump.pieces > 1 && !areMixed(dump) ? splicedOf(dump) : 'mixes the lines of two states';
      const failure = outcome.failed ? ` It says "${outcome.says}", but of which state cannot be told.` : '';
      const broken = violated.length > 0 ? rulesOf(dump, violated) : optionalOf({ dump, optional });
      const inside =
        violated.length + optional.length > 0
          ? `Inside what belongs together, it ${broken}`
          : 'No check is violated inside what belongs together, and no cause is guessed across';
      return `The dump is damaged: it ${mixed}. ${inside}.${failure}`;
    },
  },
  {
    verdict: 'violated',
    applies: ({ violated, outcome }) => violated.length > 0 && outcome.failed === true,
    says: ({ dump, outcome, violated }) => `${outcome.says}. The state ${rulesOf(dump, violated)}.`,
  },
  {
    verdict: 'violated',
    applies: ({ violated, outcome }) => violated.length > 0 && outcome.failed === false,
    says: ({ dump, outcome, violated }) =>
      `The state ${rulesOf(dump, violated)}, so that an entry with it fails. What the dump says of the exit is older: ${outcome.says}.`,
  },
  {
    verdict: 'violated',
    applies: ({ violated }) => violated.length > 0,
    says: ({ dump, outcome, violated }) =>
      `The state ${rulesOf(dump, violated)}, so that an entry with it fails; ${outcome.says}.`,
  },
  {
    verdict: 'damaged',
    applies: ({ dump, outcome }) => outcome.failed === true && lostOf(dump).length > 0,
    says: ({ dump, outcome, optional }) => {
      const left = optional.length > 0 ? optionalOf({ dump, optional }) : 'breaks no rule';
      return `The dump is damaged at line ${lostOf(dump)[0]?.line}, so that the cause may be lost; what is left ${left}. ${capitalise(outcome.says)}.`;
    },
  },
  {
    verdict: 'damaged',
    applies: ({ dump }) => lostOf(dump).length > 0,
    says: ({ dump, outcome }) =>
      `The dump is damaged ${placesOf(lostOf(dump))}; what is left breaks no rule, and that says little. ${capitalise(outcome.says)}.`,
  },
  {
    verdict: 'suspect',
    applies: ({ suspects }) => suspects.length > 0,
    says: (facts) => {
      const { dump, outcome, suspects, optional } = facts;
      const needs = [...new Set(suspects.flatMap(({ missing }) => missing.map(({ name }) => name)))].join(', ');
      const decided =
        optional.length > 0
          ? `What else can be decided holds; the state ${optionalOf(facts)}, and`
          : 'All that can be decided holds; the state';
      return `${outcome.says}.${goneOf(facts)} ${decided} ${rulesOf(dump, suspects)} unless ${allowed(suspects, needs)}.`;
    },
  },
  {
    verdict: 'optional',
    applies: ({ optional, outcome }) => optional.length > 0 && outcome.failed === true,
    says: ({ dump, outcome, optional }) => `${outcome.says}. The state ${optionalOf({ dump, optional })}.`,
  },
  {
    verdict: 'undecidable',
    applies: ({ outcome }) => outcome.failed === true,
    says: ({ dump, outcome, judged }) => `${outcome.says}: ${qualified(dump, outcome, judged)}.`,
  },
  {
    verdict: 'undecidable',
    applies: ({ dump }) => dump.format === 'report',
    says: ({ outcome }) => `${outcome.says}.`,
  },
  {
    verdict: 'valid',
    applies: ({ dump, outcome, judged }) => outcome.failed === false && judged.length === 0 && isWhole(dump),
    says: ({ outcome }) => `${outcome.says}. Registers of QEMU are no VMCB to check.`,
  },
  {
    verdict: 'valid',
    applies: ({ dump, outcome }) => outcome.failed === false && isWhole(dump),
    says: ({ outcome, judged }) => `The state is valid, no check is violated${undecided(judged)}: ${outcome.says}.`,
  },
  {
    verdict: 'valid',
    applies: ({ dump, outcome }) => outcome.kind === 'no-error' && isWhole(dump),
    says: ({ outcome, judged }) => `No check is violated${undecided(judged)}: ${outcome.says}.`,
  },
  {
    verdict: 'undecidable',
    applies: () => true,
    says: ({ dump, outcome, judged }) =>
      `${brokenOf(dump)}no check is violated by what it says${undecided(judged)}, and ${outcome.says}.`,
  },
];

/** What is wrong, in one sentence or two. */
export function sentenceOf(facts: Facts): { readonly verdict: Verdict; readonly sentence: string } {
  const found = CASES.find(({ applies }) => applies(facts));
  return { verdict: found?.verdict ?? 'undecidable', sentence: capitalise(found?.says(facts) ?? facts.outcome.says) };
}
