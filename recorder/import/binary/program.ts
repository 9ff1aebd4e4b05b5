/**
 * Each event's format, compiled once to what its records are decoded by: a line of integers a field (what to do, where
 * it lies, how wide it is, which cells it fills), so that a record costs no look-up of a name.
 */
import { EVENT_FLAGS, EVENT_KINDS } from '../../../engine/observer.js';
import { ACTING } from '../assembly.js';
import { ascii } from '../cursor.js';
import { tracepointOf } from '../kvm/table.js';
import { holdsAll, knows, type Special, type Tracepoint, type Use, usesIn } from '../kvm/tracepoint.js';
import { FIELD, holdsWhole } from '../row.js';
import type { EventSink } from '../sink.js';
import type { EventFormat, Field } from './formats.js';
import { DOES } from './kvm.js';

/** Beyond DOES, which are above: the value goes into its column as it is, in place or by way of the row. */
export const STORE = 0;
export const PUT = -1;
/** The same by way of the row, of a number without a sign that its column holds whatever it is. */
const COPY = -2;
/**
 * Integers a step: what to do; offset and width of the field, a width below zero where it is signed; the field of
 * EVENT_FIELDS, or a label; and for STORE where the cells of its column lie: width, first, validity, column.
 */
export const STEP = 8;

/** Names of fields whose values are text where no column holds them; steps refer to them by number. */
export const LABELS: Uint8Array[] = [];
const labels = new Map<string, number>();

function labelOf({ name }: Field): number {
  const known = labels.get(name);
  if (known !== undefined) return known;
  const label = LABELS.push(ascii(`${name}=`)) - 1;
  labels.set(name, label);
  return label;
}

/** How a field that has no column is written. */
export interface TextField {
  readonly label: Uint8Array;
  readonly field: Field;
  readonly style: 'hex' | 'decimal' | 'string' | 'bytes' | 'numbers';
  /** Of a single number, below zero where it is signed; else 0. */
  readonly width: number;
}

export interface Program {
  readonly format: EventFormat;
  readonly event: Tracepoint | null;
  /** Fields beyond those that all events have. */
  readonly own: readonly Field[];
  readonly kind: number;
  readonly flags: number;
  /** Steps of the fields, those that name the vCPU last; empty until the first record binds them to the trace's columns. */
  steps: Int32Array;
  /** Integers of `steps`, and of them where the vCPU of the lane is known: V8 takes the length of an array as a double. */
  long: number;
  short: number;
  /** Fields of 4 or 8 bytes that are copied into the row: offset, first of its words, width. They fill those of `copied`. */
  copies: Int32Array;
  copied: number;
  bound: boolean;
  /** How fields are read that steps cannot; none where nobody wants them. */
  special: Special | null;
  /** Where the fields lie that the special readers know: offset and width, width 0 where there is none. */
  readonly slots: Int32Array;
  /** Bytes of the instruction, 0 where the event has none. */
  readonly insnSize: number;
  /** Its name, where that and its fields are all text. */
  readonly heading: Uint8Array | null;
  readonly text: readonly TextField[];
  readonly size: number;
  readonly pid: number;
  readonly pidSize: number;
  /** Its number in the dictionary of events where its kind does not name it, or -1. */
  readonly tracepoint: number;
  readonly nested: boolean;
  /** Its events change what is known of their lane: none may be left out. */
  readonly acts: boolean;
  /** Nobody wants events of its kind. */
  readonly mute: boolean;
  /** Its records name the vCPU of their lane. */
  readonly namesVcpu: boolean;
  /** Nothing else is wanted of its records. */
  isBare: boolean;
}

const HEXADECIMAL = /\b(u64|unsigned long|gpa_t|gva_t|gfn_t|hpa_t|phys_addr_t|size_t|pfn_t|__u64|dma_addr_t)\b|\*/;

function styleOf(field: Field): TextField['style'] {
  if (field.type.includes('char') && (field.count !== null || field.dynamic !== null) && !/unsigned/.test(field.type))
    return 'string';
  if (field.dynamic !== null) return 'bytes';
  if (field.count !== null) {
    const width = field.count > 0 ? field.size / field.count : 0;
    return width === 2 || width === 4 || width === 8 ? 'numbers' : 'bytes';
  }
  if (field.size !== 1 && field.size !== 2 && field.size !== 4 && field.size !== 8) return 'bytes';
  return HEXADECIMAL.test(field.type) ? 'hex' : 'decimal';
}

/** Columns do not hold all of a field of an event. */
export const isText = (event: Tracepoint, { name }: Pick<Field, 'name'>): boolean =>
  !knows(event, name) || !holdsAll(event, name);

function textOf(field: Field): TextField {
  const style = styleOf(field);
  const single = style === 'hex' || style === 'decimal';
  const width = !single ? 0 : field.signed ? -field.size : field.size;
  return { label: ascii(`${field.name}=`), field, style, width };
}

const isNumber = ({ size, count, dynamic }: Field): boolean =>
  count === null && dynamic === null && (size === 1 || size === 2 || size === 4 || size === 8);

/** What is wanted of records besides the columns of the sink. */
export interface Wanted {
  /** Fields by kind of event, none of other kinds; null: all. */
  readonly fields: { readonly [kind: number]: readonly string[] } | null;
  /** What has no column. */
  readonly text: boolean;
  /** The vCPU of every record, not only that which its lane lacks. */
  readonly vcpus: boolean;
}

/** The steps of a field; none where it does nothing, or where nobody wants its column or, without `text`, its text. */
function stepsOf(event: Tracepoint, field: Field, sink: EventSink, text: boolean): readonly (readonly number[])[] {
  if (!isNumber(field)) return [];
  return usesIn(event, field.name).flatMap(([use]) => {
    const step = stepOf(use, field, sink, text);
    return step === null ? [] : [step];
  });
}

function stepOf(use: Use, field: Field, sink: EventSink, text: boolean): readonly number[] | null {
  if (use === 'special') return null;
  const does = (DOES as { readonly [name: string]: number })[use];
  const width = field.signed ? -field.size : field.size;
  if (does === DOES.rare && !text) return null;
  if (does !== undefined) return [does, field.offset, width, labelOf(field), 0, 0, 0, 0];
  const column = (FIELD as { readonly [name: string]: number })[use] ?? 0;
  const cells = sink.cells(column);
  if (cells === null) return null;
  const isCopied = (width === 4 || field.size === 8) && holdsWhole(column, width);
  if (cells === 'row') return [isCopied ? COPY : PUT, field.offset, width, column, 0, 0, 0, 0];
  return [STORE, field.offset, width, column, cells.width, cells.first, cells.valid, cells.column];
}

/** Which architecture a reason belongs to must be known before the reason is read; once it is known, the vCPU need not be. */
const FIRST: { readonly [does: number]: number } = { [DOES.isa]: -1, [DOES.vcpu]: 1 };
const placeOf = ([does = STORE]: readonly number[]): number => FIRST[does] ?? 0;

/** True for a step that fills what is wanted of its kind; a vCPU names the lane, and other doings may fill any column. */
function isWanted(step: readonly number[], kind: number, { fields }: Wanted): boolean {
  const [does = STORE, , , column = -1] = step;
  if (fields === null || does === DOES.vcpu) return true;
  const wanted = fields[kind] ?? [];
  return does <= STORE ? wanted.some((name) => column === (FIELD as Record<string, number>)[name]) : wanted.length > 0;
}

/** Makes a program ready for the columns of a trace. */
export function bind(program: Program, sink: EventSink, wanted: Wanted): void {
  const { event, own, kind } = program;
  program.bound = true;
  if (event === null) return;
  const all = own.flatMap((field) => stepsOf(event, field, sink, wanted.text));
  const steps = all.filter((step) => isWanted(step, kind, wanted)).sort((a, b) => placeOf(a) - placeOf(b));
  const isCopy = ([does]: readonly number[]): boolean => does === COPY;
  const copies = steps.filter(isCopy);
  const rest = steps.filter((step) => !isCopy(step));
  program.copies = Int32Array.from(
    copies.flatMap(([, offset = 0, width = 0, field = 0]) => [offset, 2 * field, width]),
  );
  program.copied = copies.reduce((mask, [, , , field = 0]) => mask | (1 << field), 0);
  program.steps = Int32Array.from(rest.flat());
  program.long = STEP * rest.length;
  program.short = STEP * rest.filter(([does]) => wanted.vcpus || does !== DOES.vcpu).length;
  if (wanted.fields !== null && (wanted.fields[kind] ?? []).length === 0) program.special = null;
  const isBare = copies.length === 0 && program.short === 0 && program.special === null;
  program.isBare = isBare && !wanted.text && program.flags === 0 && kind !== EVENT_KINDS.exit;
}

/** Fields that the special readers know, by their slot. */
export const SLOT = {
  csbase: 0,
  len: 1,
  insn: 2,
  flags: 3,
  failed: 4,
  vector: 5,
  irq: 6,
  soft: 7,
  reinjected: 8,
  has_error: 9,
  error_code: 10,
  errno: 11,
  reason: 12,
  info1: 13,
  info2: 14,
  rip: 15,
} as const;

/** Older names of fields of an exit. */
const OLDER: { readonly [name: string]: string } = { info1: 'exit_info1', info2: 'exit_info2' };

function slotsOf(fields: readonly Field[]): Int32Array {
  const slots = new Int32Array(2 * Object.keys(SLOT).length);
  for (const [name, slot] of Object.entries(SLOT)) {
    const field = fields.find((each) => each.name === name || each.name === OLDER[name]);
    if (field === undefined) continue;
    slots[2 * slot] = field.offset;
    if (isNumber(field)) slots[2 * slot + 1] = field.signed ? -field.size : field.size;
  }
  return slots;
}

function fits(event: Tracepoint, format: EventFormat): boolean {
  const has = (name: string): boolean => format.fields.some((field) => field.name === name);
  const numbers = format.fields.every((field) => !knows(event, field.name) || isNumber(field) || event.special);
  return numbers && (event.needs ?? []).every((names) => names.split('|').some(has));
}

const namesVcpu = (event: Tracepoint, fields: readonly Field[]): boolean =>
  fields.some(({ name }) => usesIn(event, name).some(([use]) => use === 'vcpu'));

/** `number` gives an event that its kind does not name its number in the dictionary; `isWanted` says which kinds are. */
export function compile(
  format: EventFormat,
  number: (name: string, fields: readonly string[]) => number,
  isWanted: (kind: number) => boolean = () => true,
): Program {
  const named = tracepointOf(format.name);
  const event = named !== undefined && fits(named, format) ? named : null;
  const own = format.fields.filter(({ name }) => !name.startsWith('common_'));
  const names = own.map(({ name }) => name);
  const pid = format.fields.find(({ name }) => name === 'common_pid');
  const kind = event === null ? EVENT_KINDS.other : EVENT_KINDS[event.kind];
  return {
    format,
    kind,
    acts: ACTING.has(kind),
    mute: !isWanted(kind),
    namesVcpu: event !== null && namesVcpu(event, own),
    flags: event?.flags === 'write' ? EVENT_FLAGS.write : 0,
    event,
    own,
    steps: new Int32Array(0),
    long: 0,
    short: 0,
    copies: new Int32Array(0),
    copied: 0,
    bound: false,
    isBare: false,
    special: event?.special ?? null,
    slots: slotsOf(own),
    insnSize: own.find(({ name }) => name === 'insn')?.size ?? 0,
    heading: event === null ? ascii(`${format.name}:`) : null,
    text: own.filter((field) => event === null || isText(event, field)).map(textOf),
    size: format.size,
    pid: pid?.size === 4 ? pid.offset : -1,
    pidSize: pid?.size ?? 0,
    tracepoint: event === null || event.shared ? number(format.name, names) : -1,
    nested: event !== null && EVENT_KINDS[event.kind] === EVENT_KINDS.nested_exit,
  };
}
