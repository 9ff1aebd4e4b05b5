/**
 * Where a trace comes from, and what it says is missing from it: an import that ended before its source did, places of
 * the source that could not be read, a recorder that did not come to the end. Counts of the rest are lower bounds.
 */
import { printable } from '../engine/errors.js';
import { EVENT_KINDS } from '../engine/observer.js';

/** A fact of the `run` table, by key; null where it is not there. */
export type FactOf = (key: string) => string | null;

export interface Origin {
  /** `engine`, or the name of an importer; null: unknown. */
  readonly source: string | null;
  /** Why the recording is not there to its end; null where it is. */
  readonly cut: string | null;
  /** Lines or places of the source that could not be read. */
  readonly damaged: number;
  /** Tracepoints that the source says were recorded, and of which it has no event; absent: it says it of none. */
  readonly silent?: readonly string[];
}

/** A run of the engine that was recorded to its end. */
export const WHOLE_RUN: Origin = { source: 'engine', cut: null, damaged: 0 };

const UNFINISHED = 'its recorder did not come to the end';
/** Characters of what a trace of others may say. */
const MOST = 300;

const shown = (text: string): string => printable(text.slice(0, MOST));

/** JSON of a fact; null where it is none, as in a trace that others wrote. */
function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

const textOf = (from: unknown, key: string): string | null => {
  const value: unknown = typeof from === 'object' && from !== null ? Reflect.get(from, key) : null;
  return typeof value === 'string' && value !== '' ? value : null;
};

const namesOf = (from: unknown): string[] =>
  (Array.isArray(from) ? from : []).filter((name: unknown) => typeof name === 'string');

/** What ended an import early, in a sentence; null where nothing did. */
function stopOf(fact: FactOf): string | null {
  const stopped = parsed(fact('stopped'));
  const said = ['what', 'where', 'why'].flatMap((key) => textOf(stopped, key) ?? []);
  return said.length === 0 ? null : shown(said.join(': '));
}

/** The origin of a trace by its facts; `complete` as its reader says. */
export function originOf(fact: FactOf, complete: boolean): Origin {
  const damaged = Number(fact('damaged') ?? 0);
  return {
    source: fact('source'),
    cut: stopOf(fact) ?? (complete ? null : UNFINISHED),
    damaged: Number.isSafeInteger(damaged) && damaged > 0 ? damaged : 0,
    silent: namesOf(parsed(fact('silent'))),
  };
}

/** What its importer has to say of all of a trace. */
export function notesOf(fact: FactOf): string[] {
  const notes = parsed(fact('notes'));
  return (Array.isArray(notes) ? notes : []).flatMap((note: unknown) => {
    const says = textOf(note, 'says');
    return says !== null && Reflect.get(note as object, 'line') === null ? [shown(says)] : [];
  });
}

/** Numbers of events by kind. */
type Kinds = ArrayLike<number>;

/** A whole number with its digits in groups of three. */
export const grouped = (count: number): string => count.toLocaleString('en-US');

/** A recorder that lost events may not know how many. */
const lostText = (lost: number): string =>
  lost === 0 ? 'events were lost' : lost === 1 ? '1 event was lost' : `${grouped(lost)} events were lost`;

/** What makes counts lower bounds of what happened, in words; null where nothing does. */
export function lackOf({ cut, damaged }: Origin, kinds: Kinds, lost: number): string | null {
  const gaps = kinds[EVENT_KINDS.lost] ?? 0;
  const reasons = [
    ...(cut === null ? [] : ['the recording was cut']),
    ...(gaps === 0 ? [] : [lostText(lost)]),
    ...(damaged === 0 || cut !== null
      ? []
      : [`${grouped(damaged)} ${damaged === 1 ? 'place' : 'places'} of its source could not be read`]),
  ];
  return reasons.length === 0 ? null : reasons.join(', ');
}

/** How many events a recording lost; null where that is unknown. `uncounted` gaps do not say it. */
export const lostOf = ({ cut, damaged }: Origin, uncounted: number, lost: number): number | null =>
  cut !== null || damaged > 0 || uncounted > 0 ? null : lost;

/** Instructions by which a guest hypervisor enters its guest. */
const ENTERING: ReadonlySet<string> = new Set(['VMLAUNCH', 'VMRESUME', 'VMRUN']);

/** Exits of a recording by reason, and nested entries that KVM refused. */
interface Exits {
  readonly rows: readonly { readonly isa: 'vmx' | 'svm' | null; readonly reason: string }[];
  readonly refused: number;
}

/**
 * Why a recording would not tell of entries that failed without an exit; null where it would. Our own machine records
 * them. On SVM a failed VMRUN has an exit (AMD64 APM volume 2, 15.5.1). KVM has no event of a VMLAUNCH or VMRESUME that
 * fails, but one of each return to user space (virt/kvm/kvm_main.c, KVM_RUN), and one of each nested entry that it
 * tries or refuses.
 */
export function untoldOf({ source, silent = [] }: Origin, kinds: Kinds, { rows, refused }: Exits): string | null {
  if (source === 'engine') return null;
  const mayBeVmx = rows.length === 0 || rows.some(({ isa }) => isa !== 'svm');
  if (source === 'xentrace')
    return mayBeVmx ? 'Xen records nothing of an entry that failed without an exit: their number is unknown' : null;
  if (mayBeVmx && (kinds[EVENT_KINDS.userspace_exit] ?? 0) === 0 && !silent.includes('kvm:kvm_userspace_exit'))
    return 'no kvm_userspace_exit was recorded, which alone tells that an entry failed without an exit: their number is unknown';
  const isNested = rows.some(({ reason }) => ENTERING.has(reason));
  if (!isNested || silent.includes('kvm:kvm_nested_vmenter_failed')) return null;
  if (refused + (kinds[EVENT_KINDS.nested_entry] ?? 0) > 0) return null;
  return 'no kvm_nested_vmenter and no kvm_nested_vmenter_failed was recorded: which entries of the guest KVM refused is unknown';
}

/** Whether a recording of other tools lacks the events of exits: then their number is unknown, not zero. */
export const lacksExits = ({ source }: Origin, kinds: Kinds): boolean =>
  source !== 'engine' && (kinds[EVENT_KINDS.exit] ?? 0) + (kinds[EVENT_KINDS.entry_failed] ?? 0) === 0;
