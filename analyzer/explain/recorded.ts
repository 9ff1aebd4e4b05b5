/**
 * Why entries failed in a recorded run: the same answer as for a dump of a real machine, from the VMCS as of the event,
 * with the processor and the memory that it had, and with who wrote what is wrong.
 */
import { EVENT_KINDS, FIELD_INDEX } from '../../engine/observer.js';
import { FIELDS } from '../../engine/vmx/fields.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { recordedRun } from '../replay/recorded.js';
import type { Dump, ListedMsr, Value } from './dump.js';
import { type DumpReport, explainDump } from './explain.js';
import { type Failure, type FieldWrite, failuresIn, lastWrites } from './failures.js';
import type { Printed } from './print.js';
import { UNKNOWN } from './processor.js';
import { PROCESSORS } from './processors.js';
import { atEvents, type Moment } from './vmcs-at.js';

/** Kinds of failure that are explained; further ones are counted. */
const MOST = 100;
/** Entries of an MSR-load area that are read: what the manual recommends as the most. */
const MOST_MSRS = 512;
const MSR_ENTRY_BYTES = 16n;

export interface RecordedReport extends DumpReport {
  readonly event: number;
  readonly tick: number;
  /** Failures that broke the same checks with the same outcome, this one included. */
  readonly times: number;
  /** Who wrote the fields of violated checks last; a field that nobody wrote is missing. */
  readonly writes: readonly (FieldWrite & { readonly field: string })[];
}

export interface RecordedExplanation {
  readonly processor: string;
  readonly dumps: readonly RecordedReport[];
  /** Kinds of failure that are not among `dumps`. */
  readonly more: number;
}

const given = (value: bigint): Value => ({ value, line: 0, piece: 0 });

/** The VM-entry MSR-load area. */
function loadArea({ fields, memory }: Moment): ListedMsr[] {
  const count = Math.min(Number(fields.get('VM_ENTRY_MSR_LOAD_COUNT') ?? 0n), MOST_MSRS);
  const start = fields.get('VM_ENTRY_MSR_LOAD_ADDR') ?? 0n;
  return Array.from({ length: count }, (_, i) => {
    const at = start + BigInt(i) * MSR_ENTRY_BYTES;
    const value = BigInt(memory(at + 8n)) | (BigInt(memory(at + 12n)) << 32n);
    return { list: 'guest', index: i + 1, msr: memory(at), value, reserved: BigInt(memory(at + 4n)), line: 0 };
  });
}

/** The VMCS of a moment as a dump that lacks nothing. */
export function dumpOf(moment: Moment): Dump {
  const { seq, event, fields, efer, vmcs, memory } = moment;
  const values = new Map<string, Value>([...fields].map(([name, value]) => [name, given(value)]));
  if (event.kind === EVENT_KINDS.vmfail) {
    values.set('error.vm', given(BigInt(event.words[2 * FIELD_INDEX.code] ?? 0)));
  }
  return {
    format: 'vmcs',
    first: seq,
    last: seq,
    values,
    msrs: loadArea(moment),
    efer: 'field',
    sections: [],
    damage: [],
    pieces: 1,
    machine: { efer, vmcs, memory },
  };
}

const ENCODINGS: ReadonlyMap<string, number> = new Map(FIELDS.map(({ name, encoding }) => [name, encoding]));

/** Fields of the checks that a report says are violated. */
const fieldsOf = ({ violated }: DumpReport): string[] => [
  ...new Set(violated.flatMap(({ values }) => values.map(({ field }) => field))),
];

/** The events that are asked about: one, or the first of every kind of failed entry. */
function asked(reader: TraceReader, event: number | null): Failure[] {
  if (event === null) {
    const failures = failuresIn(reader);
    if (failures.length === 0) throw new AnalysisError('NO_FAILURE', reader.path);
    return failures;
  }
  const events = reader.rows('event');
  if (event >= events) throw new AnalysisError('NO_VMCS', `${reader.path}, event ${event}`, `it has ${events} events`);
  return [{ seq: event, times: 1 }];
}

const noVmcs = (reader: TraceReader, [first]: readonly Failure[]): AnalysisError =>
  new AnalysisError('NO_VMCS', `${reader.path}, event ${first?.seq ?? 0}`);

/** The VMCS of each failed entry of a kind, or as of one event, to be printed; throws as `explainRecorded` does. */
export function vmcsOfEvents(reader: TraceReader, event: number | null): { vmcs: Printed; error: bigint | null }[] {
  const chosen = asked(reader, event).slice(0, MOST);
  const found: { vmcs: Printed; error: bigint | null }[] = [];
  const see = (moment: Moment): void => {
    const { values } = dumpOf(moment);
    found.push({ vmcs: moment, error: values.get('error.vm')?.value ?? null });
  };
  atEvents(
    reader,
    chosen.map(({ seq }) => seq),
    see,
  );
  if (found.length === 0) throw noVmcs(reader, chosen);
  return found;
}

/**
 * Explains the failed entries of a recorded run, each kind once, or the VMCS as of one event.
 * @param event seq; null: every failed entry
 * @throws AnalysisError NO_FAILURE where no entry failed, NO_VMCS where the event has none, NOT_REPLAYABLE; TraceError
 */
export function explainRecorded(
  reader: TraceReader,
  event: number | null,
  progress: (tick: number, end: number) => void = () => {},
): RecordedExplanation {
  const failures = asked(reader, event);
  const processor = PROCESSORS.get(`trapline-${recordedRun(reader).configuration.cpu}`) ?? UNKNOWN;
  const chosen = failures.slice(0, MOST);
  const reports: (DumpReport & { tick: number; vmcs: bigint })[] = [];
  const see = (moment: Moment): void => {
    // Checks that read memory read it as it is at the event: here and now.
    reports.push({ ...explainDump(dumpOf(moment), processor), tick: moment.tick, vmcs: moment.vmcs });
  };
  atEvents(
    reader,
    chosen.map(({ seq }) => seq),
    see,
    progress,
  );
  if (reports.length === 0) throw noVmcs(reader, chosen);
  const writes = lastWrites(
    reader,
    reports.map((report) => ({
      seq: report.first,
      vmcs: report.vmcs,
      encodings: fieldsOf(report).flatMap((field) => ENCODINGS.get(field) ?? []),
    })),
  );
  return {
    processor: processor.name,
    more: failures.length - chosen.length,
    dumps: reports.map(({ vmcs: _, ...report }, i) => ({
      ...report,
      event: report.first,
      times: chosen.find(({ seq }) => seq === report.first)?.times ?? 1,
      writes: fieldsOf(report).flatMap((field) => {
        const write = writes[i]?.get(ENCODINGS.get(field) ?? -1);
        return write === undefined ? [] : [{ field, ...write }];
      }),
    })),
  };
}
