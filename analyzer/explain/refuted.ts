/**
 * Capabilities that were given and are not those of the host: it entered with controls, or runs with a CR4, that they
 * do not allow.
 */
import type { Dump } from './dump.js';
import type { Judged } from './evaluate.js';
import type { Outcome } from './outcome.js';

/** What a hypervisor copies from the processor that it runs on, or masks by its capability MSRs. */
const OF_THE_HOST = /^controls\.(pin|primary|secondary|tertiary|exit|exit2|entry)\.reserved$|^host\.cr[04]\.fixed$/;

export interface Refuted {
  /** Ids of the checks that only the given capabilities violate. */
  readonly by: readonly string[];
  /** The checks without those capabilities. */
  readonly judged: readonly Judged[];
}

/**
 * Null where nothing speaks against the given capabilities.
 * @param without judges again, without them
 */
export function refutedBy(
  given: readonly Judged[],
  { machine, pieces }: Dump,
  { failed, passed }: Outcome,
  without: () => readonly Judged[],
): Refuted | null {
  if (machine !== undefined || pieces > 1) return null;
  const against = given.filter(
    ({ answer, check }) =>
      answer === 'violated' && OF_THE_HOST.test(check.id) && (failed === false || passed.includes(check.stage)),
  );
  if (against.length === 0) return null;
  const judged = without();
  const by = against
    .filter(({ check }) => judged.some((one) => one.check.id === check.id && one.answer !== 'violated'))
    .map(({ check }) => check.id);
  return by.length === 0 ? null : { by, judged };
}

/** In words, for the reader. */
export const notThatModel = (name: string, by: readonly string[]): string =>
  `This host is not ${name}: an entry got past ${by.join(', ')}, which ${name} would refuse. Nothing was decided by its capabilities; give those of the host with --msrs.`;
