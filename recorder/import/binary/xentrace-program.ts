/** Xen's events, compiled once for each number of words to what their records are decoded by. */
import { EVENT_KINDS, type EventKind } from '../../../engine/observer.js';
import { ascii } from '../cursor.js';
import { FIELD } from '../row.js';
import { type Use, XEN_EVENTS, type XenEvent, type XenField } from './xentrace-events.js';

/** What a word does that fills no column; columns are their index in EVENT_FIELDS. */
export const DOES = {
  text: -1,
  vcpu: -2,
  domain: -3,
  domain_vcpu: -4,
  next_vcpu: -1,
  next_domain: -1,
} as const;

/** A field of a record. */
export interface Step {
  readonly label: Uint8Array;
  /** Word at which it begins, and how many it has. */
  readonly word: number;
  readonly words: 1 | 2;
  /** Field of EVENT_FIELDS, or below zero one of DOES. */
  readonly does: number;
  readonly none: number;
  readonly mask: number;
  readonly decimal: boolean;
  /** Goes into the text even if it has a column. */
  readonly told: boolean;
}

export interface XenProgram {
  readonly event: XenEvent | null;
  readonly kind: number;
  readonly steps: readonly Step[];
  /** First word that no field takes. */
  readonly words: number;
  readonly flags: number;
  /** Number of its name in the dictionary of events, or -1 where its kind says all. */
  readonly tracepoint: number;
  /** What the event is about without a word that says it, or -1. */
  readonly code: number;
  readonly heading: Uint8Array | null;
}

/** Words that count or number something; others are written in hexadecimal. */
const DECIMAL =
  /^(domain|vcpu|next_domain|next_vcpu|runtime|wait|r_time|cpu|new_cpu|irq\d?|active|credit|delta|count|size|tn|cstate|.*_us|.*_mhz)$/;

/** Kinds that several events share, whose text has all of their words. */
const WHOLE: ReadonlySet<EventKind> = new Set<EventKind>(['other', 'timer', 'irq_line', 'mmu']);
/** Kinds that are one event. */
const ALONE: ReadonlySet<EventKind> = new Set<EventKind>(['exit', 'entry']);

const doesOf = (use: Use): number => (use in DOES ? DOES[use as keyof typeof DOES] : FIELD[use as keyof typeof FIELD]);

function stepsOf(fields: readonly XenField[], whole: boolean): Step[] {
  let word = 0;
  return fields.map(({ name, words, use, none = -1, mask = 0xffff_ffff }) => {
    const at = word;
    word += words;
    const label = ascii(`${name}=`);
    const decimal = words === 1 && DECIMAL.test(name);
    const told = whole && use !== 'domain_vcpu';
    return { label, word: at, words, does: doesOf(use), none, mask, decimal, told };
  });
}

const length = (fields: readonly XenField[]): number => fields.reduce((sum, { words }) => sum + words, 0);

/** The layout of records with so many words: their own, else the longest that they have room for. */
function layoutOf({ layouts }: XenEvent, words: number): readonly XenField[] | null {
  const fitting = layouts.filter((fields) => length(fields) <= words);
  return fitting.toSorted((a, b) => length(b) - length(a))[0] ?? null;
}

const nameless = (number: number): string => `xen_0x${number.toString(16)}`;

/** `numberOf` gives the number of an event's name in the dictionary. */
export function compile(number: number, words: number, numberOf: (name: string) => number): XenProgram {
  const event = XEN_EVENTS.get(number) ?? null;
  const fields = event === null ? null : layoutOf(event, words);
  const kind = event === null || fields === null ? 'other' : event.kind;
  const name = event?.name ?? nameless(number);
  const whole = WHOLE.has(kind);
  const steps = stepsOf(fields ?? [], whole);
  const says = whole ? `${name}:` : event?.says;
  const tracepoint = ALONE.has(kind) ? -1 : numberOf(name);
  return {
    event: fields === null ? null : event,
    kind: EVENT_KINDS[kind],
    steps,
    words: length(fields ?? []),
    flags: event?.flags ?? 0,
    tracepoint,
    code: kind === 'other' ? tracepoint : (event?.code ?? -1),
    heading: says === undefined ? null : ascii(says),
  };
}
