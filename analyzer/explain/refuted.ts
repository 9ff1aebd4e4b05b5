/**
 * Capabilities that were given and are not those of the host: it entered with controls, or runs with a CR4, that they
 * do not allow.
 */
import { conclude } from './conclude.js';
import { type Dump, fieldOf } from './dump.js';
import type { Judged } from './evaluate.js';
import type { Outcome } from './outcome.js';
import { deniedBy, type Processor, UNKNOWN } from './processor.js';

/** What a hypervisor copies from the processor that it runs on. */
const RUNS_WITH = /^host\.cr[04]\.fixed$/;
/** The same, and what it masks by the capability MSRs. */
const OF_THE_HOST = /^controls\.(pin|primary|secondary|tertiary|exit|exit2|entry)\.reserved$|^host\.cr[04]\.fixed$/;
/** Dumps of hypervisors that write host state from the registers of the host. */
const COPIES_HOST = new Set(['kvm-vmcs', 'xen-vmcs']);
/** VMfail for the controls, and for the host state. */
const [BAD_CONTROLS, BAD_HOST] = [7, 8];

export interface Refuted {
  /** In words, for the reader. */
  readonly says: string;
  /** What is still known of the processor. */
  readonly processor: Processor;
  /** The checks with that. */
  readonly judged: readonly Judged[];
}

const ids = (list: readonly Judged[]): string => list.map(({ check }) => check.id).join(', ');

/** A file's name is no processor's. */
const isNot = ({ name, isFile }: Processor, why: string): string =>
  `${isFile ? `${name} is not of this host` : `This host is not ${name}`}: ${why}. Nothing was decided by it: name another model with --cpu, or give what the host itself says with --msrs and --cpuid.`;

/** Something else of the controls or the host state would explain a VMfail. */
function isExplained(dump: Dump, outcome: Outcome, judged: readonly Judged[]): boolean {
  const { violated, suspects } = conclude(dump, outcome, judged);
  return [...violated, ...suspects].some(
    ({ check }) => (check.stage === 'controls' || check.stage === 'host') && !OF_THE_HOST.test(check.id),
  );
}

/**
 * Null where nothing speaks against the given processor.
 * @param judgeAs judges again, with less known of the processor
 */
export function refutedBy(
  processor: Processor,
  given: readonly Judged[],
  dump: Dump,
  outcome: Outcome,
  judgeAs: (processor: Processor) => readonly Judged[],
): Refuted | null {
  if (dump.machine !== undefined || dump.pieces > 1 || processor === UNKNOWN) return null;
  const { failed, passed, kind, error } = outcome;
  const isCopied = COPIES_HOST.has(dump.format);
  const cr4 = isCopied && error !== BAD_HOST ? (fieldOf(dump, 'HOST_CR4') ?? 0n) : 0n;
  const { capable, said } = processor.parts ?? { capable: processor, said: UNKNOWN };
  const against = given.filter(({ answer, check }) => answer === 'violated' && OF_THE_HOST.test(check.id));
  const rest = deniedBy(said, cr4).length > 0 ? UNKNOWN : said;
  const judged = against.length > 0 ? judgeAs(rest) : given;
  const only = against.filter(({ check }) =>
    judged.some((one) => one.check.id === check.id && one.answer !== 'violated'),
  );
  const past = only.filter(({ check }) => failed === false || passed.includes(check.stage));
  if (past.length > 0) {
    const says = isNot(capable, `an entry got past ${ids(past)}, which ${capable.name} would refuse`);
    return { says, processor: rest, judged };
  }
  const running = only.filter(({ check }) => RUNS_WITH.test(check.id));
  const isOther = error === BAD_CONTROLS || isExplained(dump, outcome, judged);
  if (running.length > 0 && kind === 'vmfail' && isCopied && isOther) {
    const says = isNot(capable, `it runs with control registers that ${capable.name} does not allow (${ids(running)})`);
    return { says, processor: rest, judged };
  }
  return refutedCpuid(processor, cr4, judgeAs);
}

/** What was said to be CPUID's denies a feature that the host runs with. */
function refutedCpuid(
  processor: Processor,
  cr4: bigint,
  judgeAs: (processor: Processor) => readonly Judged[],
): Refuted | null {
  const said = processor.parts?.said ?? processor;
  const denied = said.isFile ? deniedBy(said, cr4) : [];
  if (denied.length === 0) return null;
  const rest = processor.parts?.capable ?? UNKNOWN;
  const says = isNot(said, `it runs with CR4.${denied.join(', CR4.')}, which ${said.name} denies`);
  return { says, processor: rest, judged: judgeAs(rest) };
}
