/** Why a profile is empty, as far as what else is in the trace says it. */
import type { Overview } from '../../analyzer/timeline-answers.js';
import { whole } from './format.js';

const UNKNOWN = 'so that their number and cost are unknown, not zero';
/** Kinds of what is none of KVM's events: tracepoints that have no kind of their own, and gaps. */
const FOREIGN: readonly string[] = ['other', 'lost'];
const EXITS: readonly string[] = ['exit', 'entry_failed'];

/** Why there is no exit: of a run of our machine and of Xen, which have no kvm_exit, it says nothing of that. */
const BY_SOURCE: { readonly [source: string]: string } = {
  engine: 'This run has no exit.',
  xentrace: `This trace has no exit, ${UNKNOWN}: either they were not recorded, or no HVM or PVH guest ran.`,
};

export function whyNoExit({ categories, source }: Pick<Overview, 'categories' | 'source'>): string {
  const count = (kinds: readonly string[]): number =>
    categories.reduce((sum, category) => sum + (kinds.includes(category.kind) ? category.count : 0), 0);
  if (count(EXITS) > 0) return 'No exit is of the vCPUs that are chosen.';
  const known = BY_SOURCE[source ?? ''];
  if (known !== undefined) return known;
  const entries = count(['entry']);
  if (entries > 0) {
    const there = entries === 1 ? 'there is a VM entry' : `there are ${whole(entries)} VM entries`;
    return `This trace has no exit, though ${there}, ${UNKNOWN}: either kvm_exit was not recorded, or no entry got as far as the guest.`;
  }
  if (categories.every(({ kind }) => FOREIGN.includes(kind)))
    return `This trace has no event of KVM that is known, and no exit, ${UNKNOWN}: record the events of kvm.`;
  return `This trace has no exit, ${UNKNOWN}: either kvm_exit was not recorded, or the kernel emits none, as without kvm_intel or kvm_amd.`;
}
