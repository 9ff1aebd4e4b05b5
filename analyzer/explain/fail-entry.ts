/**
 * Entries whose failure KVM told to user space alone: `kvm_userspace_exit` with KVM_EXIT_FAIL_ENTRY. VMfail is no exit, so
 * that KVM traces none; where it traced the failed entry too, that is the same failure.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import { KVM_EXIT } from '../../traces/codes.js';
import { GET_VMCB, GET_VMCS } from './advice.js';

/** Exit reason that kernels up to 5.8 trace for a VMfail. */
const VMFAIL_REASON = 0xdeadn;

/** What stands in the events around a failure that KVM told to user space. */
export interface ToldFailure {
  /** seq of the event, and of the entry where it was recorded. */
  readonly seq: number;
  readonly entry: number | null;
  readonly isa: 1 | 2 | null;
  /** There was an exit after the entry. */
  readonly exited: boolean;
  /** The recording has exits at all, so that one of this entry would have been recorded. */
  readonly hasExits: boolean;
}

/** An event of a vCPU. */
export interface LaneEvent {
  readonly seq: number;
  readonly kind: number;
  readonly lane: number;
  readonly isa: number | null;
  readonly reason: bigint | null;
  /** Of a userspace_exit. */
  readonly code: number | null;
}

interface Lane {
  entry: number | null;
  exited: boolean;
  /** The entry failed, and that is told already. */
  failed: boolean;
}

/** Follows each vCPU from an entry to what came of it. */
export class Entries {
  readonly #lanes = new Map<number, Lane>();
  #isa: 1 | 2 | null = null;
  #hasExits = false;
  /** seq of the first exit to user space with KVM_EXIT_INTERNAL_ERROR, and how many there are. */
  internal: { readonly first: number; times: number } | null = null;

  /** Takes an event in order; returns the failure that it tells of and that no event before it told. */
  take({ seq, kind, lane: id, isa, reason, code }: LaneEvent): ToldFailure | null {
    const lane = this.#lanes.get(id) ?? { entry: null, exited: false, failed: false };
    this.#lanes.set(id, lane);
    if (kind === EVENT_KINDS.entry) Object.assign(lane, { entry: seq, exited: false, failed: false });
    else if (kind === EVENT_KINDS.exit || (kind === EVENT_KINDS.entry_failed && reason !== null)) {
      lane.exited ||= reason !== VMFAIL_REASON;
      lane.failed ||= kind === EVENT_KINDS.entry_failed;
      this.#hasExits = true;
      if (isa === 1 || isa === 2) this.#isa = isa;
    } else if (kind === EVENT_KINDS.userspace_exit) return this.#left(seq, code, lane);
    return null;
  }

  #left(seq: number, code: number | null, lane: Lane): ToldFailure | null {
    if (code === KVM_EXIT.internalError) {
      this.internal ??= { first: seq, times: 0 };
      this.internal.times++;
    }
    const { entry, exited, failed } = lane;
    Object.assign(lane, { entry: null, exited: false, failed: false });
    if (code !== KVM_EXIT.failEntry || failed) return null;
    return { seq, entry, isa: this.#isa, exited, hasExits: this.#hasExits };
  }
}

const ASK_QEMU =
  'The event does not say why. KVM gives the number to user space as hardware_entry_failure_reason, and QEMU prints it to its stderr or log: look there for "KVM: entry failed, hardware error 0x..", and give that to trapline explain.';

/** What to look at next. */
export const nextOfTold = (isa: 1 | 2 | null): string[] => [
  ASK_QEMU,
  ...(isa === 2 ? [] : [GET_VMCS]),
  ...(isa === 1 ? [] : [GET_VMCB]),
];

const VMFAIL = 'VMfail: the controls or the host state were refused before any guest state was looked at';

/** What it means, as far as the events say. */
export function meaningOf({ entry, isa, exited, hasExits }: ToldFailure): string {
  const of = entry === null ? '' : ` of event ${entry}`;
  const said = `KVM told user space that the VM entry${of} failed (KVM_EXIT_FAIL_ENTRY)`;
  if (exited)
    return `${said}. The kvm_exit before it was none of a failed entry, so that KVM itself refused the next one.`;
  const untraced = `${said}, and there is no kvm_exit of it`;
  if (isa === 2)
    return `${untraced}. On AMD a failed VMRUN has one, so that KVM refused to run the vCPU itself (SEV-ES), or it was not recorded.`;
  const unless = hasExits ? '' : ', unless kvm_exit was not recorded at all';
  return `${untraced}. ${isa === 1 ? 'That is' : 'On Intel that is'} ${VMFAIL}${unless}.`;
}
