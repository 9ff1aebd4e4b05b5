/**
 * How a tracepoint of KVM is described, once for binary records and for printed lines. The tables are in exits.ts,
 * interrupts.ts and memory.ts.
 */
import { EVENT_FIELDS, type EventField, type EventKind } from '../../../engine/observer.js';
import type { Codes } from './names.js';

/** What the value of a field does: it fills the column of that name as it is, or one of these. */
export type Use =
  | EventField
  /** The number of the vCPU whose thread this is. */
  | 'vcpu'
  /** Architecture, by which the reason is read. */
  | 'isa'
  | 'reason'
  /** Both information words, as old kernels print them. */
  | 'info'
  /** Physical behind a nested page fault, linear behind an exception. */
  | 'address'
  /** Error code of a page fault, or behind a nested one the exit's qualification again. */
  | 'fault'
  /** Accesses of a string instruction; kept as text unless it is 1. */
  | 'count'
  /** Kept as text unless it is zero. */
  | 'rare'
  /** kvm_mmio's: 0 unsatisfied read, 1 read, 2 write (KVM_TRACE_MMIO_*). */
  | 'access'
  /** Bits of the column `flags`. */
  | 'write'
  | 'refused'
  | 'on'
  /** Read by what is special about the event. */
  | 'special'
  | keyof typeof CONVERSIONS;

/** Values that are not what their column holds; what is printed is, but for the page's number. */
export const CONVERSIONS = {
  /** Number of a page of 4 KiB, whose address it gives where no better one is known. */
  page: 'gpa',
  /** Level of a shadow page: bits 3:0 of its role. */
  level: 'code',
  /** The low byte is an interrupt vector: ICR, MSI data, I/O APIC redirection entry. */
  vector: 'code',
  /** Destination of an I/O APIC redirection entry: bits 63:56. */
  destination: 'value',
  /** Destination of an MSI address: bits 19:12, and bits 63:40 as those above them. */
  msi_destination: 'value',
  /** An error number, of which 0 is none. */
  failure: 'code',
} as const satisfies { readonly [use: string]: EventField };

/**
 * How the kernel prints a field: the word before it, and how the value is written as in printk (`%x` with or without 0x,
 * `%u` and `%d` decimal), or by the names of `%apic` and the other tables of names.ts; `word=1` is a word that stands for
 * that value. A print without a word is a number that stands alone, and is no other field's.
 */
export type Print = `${string} %${'x' | 'u' | 'd' | 's' | Codes}` | `${string}=${number}`;
export type Filled = readonly [Use, ...Print[]];

export type Special = 'emulate' | 'interrupt' | 'exception' | 'userspace';

export interface Tracepoint {
  readonly kind: EventKind;
  /**
   * By the name of the field in the kernel's record, in the order in which the fields are printed. What is not listed has
   * no column, and is kept as text.
   */
  readonly fields: { readonly [field: string]: Filled | readonly Filled[] };
  /**
   * Fields that it must have to be this event, `a|b` either of them: tracepoints of other architectures share names with
   * those of x86.
   */
  readonly needs?: readonly string[];
  /** Columns without which a printed line is not this event, where they are not those of `needs`. */
  readonly needsText?: readonly EventField[];
  /** What the event itself says, whatever its fields. */
  readonly flags?: 'write';
  readonly special?: Special;
  /** It shares its kind with others: the column `tracepoint` names it. */
  readonly shared: boolean;
}

export interface Tracepoints {
  readonly [name: string]: Tracepoint;
}

/** A tracepoint that is all of its kind, or whose kind says enough. */
export const plain = (
  kind: EventKind,
  fields: Tracepoint['fields'],
  needs: readonly string[],
  more: Pick<Tracepoint, 'special' | 'flags' | 'needsText'> = {},
): Tracepoint => ({ kind, fields, needs, shared: false, ...more });

/** One of several of a kind. */
export const member = (
  kind: EventKind,
  fields: Tracepoint['fields'],
  needs: readonly string[] = [],
  more: Pick<Tracepoint, 'flags' | 'needsText'> = {},
): Tracepoint => ({ kind, fields, needs, shared: true, ...more });

/** A field that does nothing but fill the column of its own name, printed in hexadecimal behind that name. */
export const same = (...names: readonly EventField[]): Tracepoint['fields'] =>
  Object.fromEntries(names.map((name): [string, Filled] => [name, [name, `${name} %x`]]));

/** `vcpu %u`, of events that happen in the vCPU's own thread. */
export const VCPU = { vcpu_id: ['vcpu', 'vcpu %u'] } as const satisfies Tracepoint['fields'];

/** What a field does, one or several. */
export const usesOf = (filled: Filled | readonly Filled[]): readonly Filled[] =>
  typeof filled[0] === 'string' ? [filled as Filled] : (filled as readonly Filled[]);

/** An event has a use for a field of this name: a recording may call its fields anything. */
export const knows = ({ fields }: Tracepoint, field: string): boolean => Object.hasOwn(fields, field);

/** What a field of this name fills; nothing where the event knows none. */
export const usesIn = (tracepoint: Tracepoint, field: string): readonly Filled[] =>
  knows(tracepoint, field) ? usesOf(tracepoint.fields[field] ?? []) : [];

/** Uses of which the column holds a part, by what that is. */
const PART: { readonly [use in Use]?: string } = {
  level: 'level',
  vector: 'vector',
  destination: 'destination',
  msi_destination: 'destination',
};

/**
 * Whether the columns hold all of a field of a record; else it is kept as text as well. An error number is what the message
 * beside it ends in.
 */
export const holdsAll = (tracepoint: Tracepoint, field: string): boolean =>
  usesIn(tracepoint, field).every(([use]) => PART[use] === undefined && use !== 'failure');

/** Columns and bits of `flags` that a use fills with what the field's name says. */
const FILLS: { readonly [use in Use]?: readonly string[] } = {
  ...Object.fromEntries(EVENT_FIELDS.map((name) => [name, [name]])),
  address: ['gva', 'gpa'],
  failure: ['code'],
  on: ['on'],
  write: ['write'],
  refused: ['refused'],
};

/**
 * What the columns of a tracepoint that shares its kind hold, as the trace's dictionary says it: JSON, the names of fields
 * by column or by bit of `flags`, no name twice in a row. Null where the kind says it. `own` are the fields that its records
 * have, if that is known; a column that one of several may fill has no other name then.
 */
export function saysOf({ shared, fields }: Tracepoint, own: readonly string[] | null): string | null {
  if (!shared) return null;
  const said = new Map<string, string | null>();
  const present = Object.entries(fields).filter(([field]) => own === null || own.includes(field));
  const uses = present.flatMap(([field, filled]) => usesOf(filled).map(([use]) => ({ field, use })));
  for (const { field, use } of uses) {
    const part = PART[use];
    const columns = part === undefined ? FILLS[use] : [CONVERSIONS[use as keyof typeof CONVERSIONS]];
    for (const column of columns ?? []) said.set(column, said.has(column) ? null : (part ?? field));
  }
  if (uses.some(({ use }) => use === 'page')) said.delete('gpa');
  return JSON.stringify(Object.fromEntries([...said].filter(([, name]) => name !== null)));
}
