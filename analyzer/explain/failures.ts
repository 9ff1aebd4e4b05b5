/** Entries that failed in a recorded run, and who wrote the fields that were wrong. */
import { EVENT_KINDS } from '../../engine/observer.js';
import { ENTRY_ERRORS } from '../../engine/vmx/controls.js';
import type { TraceReader } from '../../traces/store.js';
import { TableCursor } from '../replay/cursor.js';

/** Failures of one kind: the first of them stands for all. */
export interface Failure {
  readonly seq: number;
  /** How many there are that broke the same checks with the same outcome. */
  readonly times: number;
}

const OUTCOME = ['reason', 'qualification', 'code'] as const;

/** Every kind of failed entry in a trace, by its first event, in their order. */
export function failuresIn(reader: TraceReader): Failure[] {
  const found = new Map<string, { seq: number; times: number }>();
  let broken: number[] = [];
  const events = new TableCursor(reader, 'event', 0, ['seq', 'kind', ...OUTCOME]);
  while (events.next()) {
    const kind = events.low('kind');
    if (kind === EVENT_KINDS.check) {
      broken.push(events.low('code'));
      continue;
    }
    const isVmfail = kind === EVENT_KINDS.vmfail && ENTRY_ERRORS.has(events.low('code'));
    if (kind === EVENT_KINDS.entry_failed || isVmfail) {
      const key = [kind, ...OUTCOME.map((name) => events.number(name)), ...broken].join(' ');
      const known = found.get(key);
      if (known) known.times++;
      else found.set(key, { seq: events.number('seq'), times: 1 });
    }
    broken = [];
  }
  return [...found.values()];
}

/** A VMWRITE. */
export interface FieldWrite {
  readonly seq: number;
  readonly tick: number;
  readonly rip: bigint;
  readonly value: bigint;
}

/** Fields of one VMCS whose last writer is wanted, as of an event. */
export interface WritesWanted {
  readonly seq: number;
  readonly vmcs: bigint;
  /** Field encodings, full access. */
  readonly encodings: readonly number[];
}

/** A field by its full access, whichever half is written. */
const keyOf = (vmcs: bigint, encoding: number): string => `${vmcs}:${encoding & ~1}`;

/** For each wish, in the order of `wanted`: the last VMWRITE of each field before the event, by encoding. */
export function lastWrites(reader: TraceReader, wanted: readonly WritesWanted[]): ReadonlyMap<number, FieldWrite>[] {
  const asked = new Set(wanted.flatMap(({ vmcs, encodings }) => encodings.map((encoding) => keyOf(vmcs, encoding))));
  const answers = wanted.map(() => new Map<number, FieldWrite>());
  if (asked.size === 0) return answers;
  const last = new Map<string, FieldWrite>();
  const open = wanted.map((wish, i) => ({ ...wish, i })).sort((a, b) => a.seq - b.seq);
  const answerBefore = (seq: number): void => {
    while (open[0] !== undefined && open[0].seq <= seq) {
      const { i, vmcs, encodings } = open.shift() ?? open[0];
      for (const encoding of encodings) {
        const write = last.get(keyOf(vmcs, encoding));
        if (write) answers[i]?.set(encoding, write);
      }
    }
  };
  const events = new TableCursor(reader, 'event', 0, ['seq', 'tick', 'kind', 'vmcs', 'rip', 'code', 'value']);
  while (open.length > 0 && events.next()) {
    if (events.low('kind') !== EVENT_KINDS.vmwrite) continue;
    const seq = events.number('seq');
    answerBefore(seq);
    const key = keyOf(events.big('vmcs'), events.low('code'));
    if (!asked.has(key)) continue;
    last.set(key, { seq, tick: events.number('tick'), rip: events.big('rip'), value: events.big('value') });
  }
  answerBefore(Number.POSITIVE_INFINITY);
  return answers;
}
