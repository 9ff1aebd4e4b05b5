/**
 * Entries that failed in a recording of another tool: what its events say of them. There is no state to check, but a
 * failed entry has its reason and qualification, and KVM names the rule by which it refuses a nested one.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import { SVM_CHECKS } from '../../engine/svm/checks/table.js';
import { SVM_EXIT_INVALID } from '../../engine/svm/exit-codes.js';
import { MSR_RULES } from '../../engine/vmx/checks/msr-loading.js';
import { CHECKS } from '../../engine/vmx/checks/table.js';
import { VM_ENTRY_FAILURE } from '../../engine/vmx/exit-reasons.js';
import type { Chunk } from '../../traces/store.js';
import { VM_INSTRUCTION_ERRORS } from '../detail-bits.js';
import { consistencyOf } from './consistency.js';
import type { Dump, Value } from './dump.js';
import { type DumpReport, explainDump, type Finding, findingOf } from './explain.js';
import { Entries, type LaneEvent, meaningOf, nextOfTold, type ToldFailure } from './fail-entry.js';
import type { Outcome } from './outcome.js';
import { UNKNOWN } from './processor.js';

/** Columns of the event table that are read. */
export const FAILURE_COLUMNS = [
  'seq',
  'vcpu',
  'kind',
  'isa',
  'from_level',
  'reason',
  'qualification',
  'code',
  'text',
] as const;
/** Kinds of failure that are told one by one; further ones are counted. */
const MOST = 100;
const TITLE = 'Failed entry of a recording';

/** Failed entries of which the recording says the same. */
export interface RecordedFailure {
  /** The first of them, and how many there are. */
  readonly seq: number;
  times: number;
  readonly isa: number | null;
  readonly fromLevel: number | null;
  readonly reason: bigint | null;
  readonly qualification: bigint | null;
  /** What KVM says of a nested entry that it refused, and the VM-instruction error if it names one. */
  readonly message: string | null;
  readonly error: number | null;
  /** KVM told user space of it, and no other event does. */
  readonly told: ToldFailure | null;
}

const numberOf = (cell: unknown): number | null =>
  typeof cell === 'number' ? cell : typeof cell === 'bigint' ? Number(cell) : null;
const bigOf = (cell: unknown): bigint | null =>
  typeof cell === 'bigint' ? cell : typeof cell === 'number' ? BigInt(cell) : null;

/** Without the event's name, and the name and the error of libtraceevent's fields. */
const messageOf = (text: string): string =>
  text
    .replace(/^kvm_nested_vmenter_failed: */, '')
    .replace(/^msg=(.*?)(?: err=\d+)?$/, '$1')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '\ufffd') // of a text that anyone may have written
    .trim();

/** Gathers the failed entries of a recording. */
export class FailedEntries {
  readonly #entries = new Entries();
  readonly #found = new Map<string, RecordedFailure>();
  /** Failures that KVM told of as exits of a nested guest: the same ones, where the exits themselves were recorded too. */
  readonly #nested = new Map<string, RecordedFailure>();
  /** Kinds of failure that are not among `all`. */
  more = 0;

  get all(): readonly RecordedFailure[] {
    return [...(this.#found.size > 0 ? this.#found : this.#nested).values()];
  }

  /** Exits to user space because KVM could not go on, which are no failed entries. */
  get internal(): Entries['internal'] {
    return this.#entries.internal;
  }

  /** Takes a chunk of the event table with FAILURE_COLUMNS, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    if (chunk.table !== 'event') return;
    const { numbers } = chunk.column('kind');
    for (let i = 0; i < chunk.rows; i++) {
      const kind = numbers?.[i] ?? -1;
      const told = OF_AN_ENTRY.has(kind) ? this.#entries.take(laneEvent(chunk, i, kind)) : null;
      if (kind === EVENT_KINDS.entry_failed || told !== null) this.#add(this.#found, chunk, i, told);
      else if (kind === EVENT_KINDS.nested_exit && isFailed(chunk, i)) this.#add(this.#nested, chunk, i, null);
    }
  }

  #add(to: Map<string, RecordedFailure>, chunk: Chunk, i: number, told: ToldFailure | null): void {
    const { isa, from_level, reason, qualification, code, text } = chunk.row(i);
    const failure: RecordedFailure = {
      seq: chunk.first + i,
      times: 1,
      isa: told?.isa ?? numberOf(isa),
      fromLevel: numberOf(from_level),
      reason: bigOf(reason),
      qualification: bigOf(qualification),
      message: bigOf(reason) === null && typeof text === 'string' ? messageOf(text) : null,
      error: told === null ? numberOf(code) : null,
      told,
    };
    const { isa: of, fromLevel, reason: why, qualification: detail, message, error } = failure;
    const key = [told?.exited, of, fromLevel, why, detail, message, error].map(String).join('\n');
    const known = to.get(key);
    if (known !== undefined) known.times += 1;
    else if (to.size < MOST) to.set(key, failure);
    else this.more += 1;
  }
}

const { entry, exit, entry_failed, userspace_exit } = EVENT_KINDS;
const OF_AN_ENTRY: ReadonlySet<number> = new Set([entry, exit, entry_failed, userspace_exit]);

/** What of an event matters to the entry before it; the cells of others are not looked at. */
function laneEvent(chunk: Chunk, i: number, kind: number): LaneEvent {
  const lane = chunk.column('vcpu').numbers?.[i] ?? 0;
  const event = { seq: chunk.first + i, kind, lane, isa: null, reason: null, code: null };
  if (kind === EVENT_KINDS.entry) return event;
  const { isa, reason, code } = chunk.row(i);
  return { ...event, isa: numberOf(isa), reason: bigOf(reason), code: numberOf(code) };
}

/** Whether an exit is none, but a failed entry by its reason. */
function isFailed(chunk: Chunk, i: number): boolean {
  const { isa, reason } = chunk.row(i);
  const code = bigOf(reason) ?? 0n;
  return isa === 1 ? (code & BigInt(VM_ENTRY_FAILURE)) !== 0n : code === SVM_EXIT_INVALID;
}

export interface ForeignReport extends DumpReport {
  readonly event: number;
  readonly times: number;
}

/** Explains one kind of failed entry of a recording. */
export function explainFailure(failure: RecordedFailure): ForeignReport {
  const { seq, times, reason, told } = failure;
  const report = told !== null ? toldAlone(told) : reason === null ? refused(failure) : failed(failure, reason);
  return { ...report, format: 'recording', title: TITLE, first: seq, last: seq, event: seq, times };
}

/** All that a recording has of a state: nothing but these values. */
const bare = (seq: number, values: { readonly [name: string]: bigint | null }): Dump => ({
  format: 'report',
  first: seq,
  last: seq,
  values: new Map(
    Object.entries(values).flatMap(([name, value]): [string, Value][] =>
      value === null ? [] : [[name, { value, line: 0, piece: 0 }]],
    ),
  ),
  msrs: [],
  efer: 'field',
  sections: [],
  damage: [],
  pieces: 1,
});

/** An entry that the processor refused after it had loaded guest state. */
function failed({ seq, isa, fromLevel, qualification }: RecordedFailure, reason: bigint): DumpReport {
  const isInvalid = isa === 2 || reason === SVM_EXIT_INVALID;
  const values = isInvalid
    ? { 'error.hardware': SVM_EXIT_INVALID }
    : { 'failure.reason': reason | BigInt(VM_ENTRY_FAILURE), 'failure.qualification': qualification };
  const report = explainDump(bare(seq, values), UNKNOWN);
  if (fromLevel === null || fromLevel < 2) return report;
  const nested =
    'The entry was one into a guest of the guest (L2): the state is what KVM made of that of the hypervisor in the guest (L1).';
  return { ...report, next: [nested, ...report.next] };
}

const ISAS = { 1: 'vmx', 2: 'svm' } as const;

/** An entry that failed, of which nothing but that was recorded. */
function toldAlone(told: ToldFailure): DumpReport {
  const isa = told.isa === null ? null : ISAS[told.isa];
  const says = meaningOf(told);
  return {
    ...stateless(told.seq),
    isa,
    outcome: outcomeOf(isa, null, says),
    verdict: 'undecidable',
    sentence: says,
    next: nextOfTold(told.isa),
  };
}

type Rule = Parameters<typeof findingOf>[0]['check'];
const RULES: ReadonlyMap<string, Rule> = new Map(
  [
    ...CHECKS.map((rule): Rule => ({ ...rule, fields: [] })),
    ...MSR_RULES.map((rule): Rule => ({ ...rule, stage: 'msr', fields: [] })),
    ...SVM_CHECKS.map((rule): Rule => ({ ...rule, stage: 'vmcb', fields: [] })),
  ].map((rule) => [rule.id, rule]),
);

/** A nested entry that KVM refused itself. */
function refused({ seq, message, error }: RecordedFailure): DumpReport {
  const { checks, errors } = consistencyOf(message ?? '');
  const named = checks.flatMap((id) => RULES.get(id) ?? []);
  const isa = named.length === 0 ? null : named.every(({ stage }) => stage === 'vmcb') ? 'svm' : 'vmx';
  const found = named.map((check): Finding => {
    const judged = { check, answer: 'violated', missing: [], assumes: [], depends: false } as const;
    return findingOf(judged, bare(seq, {}), UNKNOWN);
  });
  const certain = found.length === 1;
  const says = `KVM refused the entry of a nested guest${quotedMessage(message)}`;
  return {
    ...stateless(seq),
    isa,
    outcome: outcomeOf(isa, error ?? errors[0] ?? null, says),
    verdict: certain ? 'violated' : found.length > 0 ? 'suspect' : 'undecidable',
    sentence: sentenceOf(says, found, error === null || error === 0 ? errors : [error]),
    violated: certain ? found : [],
    suspects: certain ? [] : found,
    next: [NEXT_NESTED],
  };
}

/** What a report says of a state that nobody has. */
const stateless = (
  seq: number,
): Pick<
  DumpReport,
  | 'format'
  | 'title'
  | 'first'
  | 'last'
  | 'violated'
  | 'suspects'
  | 'undecidable'
  | 'holds'
  | 'damage'
  | 'traps'
  | 'decoded'
  | 'against'
> => ({
  format: 'recording',
  title: TITLE,
  first: seq,
  last: seq,
  violated: [],
  suspects: [],
  undecidable: [],
  holds: 0,
  damage: [],
  traps: [],
  decoded: [],
  against: UNKNOWN.name,
});

const NEXT_NESTED =
  'The state is that of the hypervisor in the guest (vmcs12, vmcb12), which KVM does not print: have that hypervisor print it (KVM there: dump_invalid_vmcs=1, on AMD dump_invalid_vmcb=1), and give its log to trapline explain.';

const quotedMessage = (message: string | null): string =>
  message === null || message === '' ? ', and the recording does not say why' : `: ${message}`;

const outcomeOf = (isa: 'vmx' | 'svm' | null, error: number | null, says: string): Outcome => ({
  kind: 'unknown',
  isa,
  failed: true,
  reason: null,
  qualification: null,
  error,
  says,
  passed: [],
});

/** What the guest's hypervisor is told, and the rule. */
function sentenceOf(says: string, found: readonly Finding[], errors: readonly number[]): string {
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return `${says}. The rule that is broken: ${only.says}.`;
  if (only !== undefined) return `${says}. That stands for one of ${found.length} rules.`;
  const [error] = errors;
  if (error === undefined) return `${says}.`;
  if (error === 0) return `${says}. The guest's hypervisor is told VMfailInvalid: it has no current VMCS.`;
  const named = errors.map((one) => `${one} (${VM_INSTRUCTION_ERRORS[one] ?? 'none of the manual'})`).join(' or ');
  return `${says}. The guest's hypervisor is told VM-instruction error ${named}.`;
}
