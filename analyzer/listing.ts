/** Events one by one, as people read them: when, where, what, and the values of each by name. */
import { EVENT_FLAGS, EVENT_KINDS, EventRecord } from '../engine/observer.js';
import { VM_ENTRY_FAILURE, vmxExitModifiers } from '../engine/vmx/exit-reasons.js';
import { codeDomain } from '../traces/codes.js';
import type { Cell, Row } from '../traces/store.js';
import { VM_INSTRUCTION_ERRORS } from './detail-bits.js';
import { type FieldNames, fieldNamesOf, flagFields } from './fields.js';
import { codeWidth, disassemble } from './profile/code.js';
import { isPage, keyKind, keyOfExit, SubKey, WORK } from './profile/keys.js';
import type { NameOf } from './profile/lane-names.js';
import { reasonName } from './profile/profile.js';

export interface Listed {
  readonly seq: number;
  /** Ticks of our machine, or cycles; null where the source has none. */
  readonly tick: bigint | null;
  /** Nanoseconds of the host; null where the source has none. */
  readonly time: bigint | null;
  readonly lane: number;
  /** Level that was running, and the one that runs next. */
  readonly from: number | null;
  readonly to: number | null;
  readonly kind: string;
  /** What the source calls it, where events share their kind; else the kind. */
  readonly name: string;
  /** In the order of VALUES; numbers that have a name by it, others as 0x1f, sizes and counts in decimal. */
  readonly values: readonly (readonly [name: string, value: string])[];
  /** What the source says besides, or all of an event that no kind has, as it wrote it. */
  readonly text: string | null;
}

const VALUES = [
  ...['reason', 'code', 'rip', 'cr3', 'gva', 'gpa', 'old', 'value', 'size', 'flags', 'vmcs'],
  ...['qualification', 'info2', 'intr_info', 'error_code'],
] as const;

const KIND_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(EVENT_KINDS).map(([name, code]) => [code, name]),
);
const EXITS: ReadonlySet<number> = new Set([
  ...[EVENT_KINDS.exit, EVENT_KINDS.entry_failed, EVENT_KINDS.nested_exit, EVENT_KINDS.nested_inject],
]);

/** A text that has all fields of an event begins with its name, such as `cycles:pp`. */
const NAMED = /^(\S+?):(?:\s+|$)/;

/** `nameOf` gives names of the trace's dictionaries, and `saysOf` what they say besides. */
export function listed(row: Row, nameOf: NameOf, saysOf: NameOf): Listed {
  const kind = Number(row.kind);
  const kindName = KIND_NAMES.get(kind) ?? nameOf('kind', BigInt(kind)) ?? String(kind);
  const text = typeof row.text === 'string' ? row.text : null;
  const shared = (row.tracepoint ?? null) !== null;
  const known = shared ? nameOf('event', wide(row.tracepoint) ?? 0n) : null;
  const [head = '', named = null] = shared ? (NAMED.exec(text ?? '') ?? []) : [];
  const isWhole = named !== null && (known === null || named === known);
  return {
    seq: Number(row.seq),
    tick: wide(row.tick),
    time: wide(row.time_ns),
    lane: Number(row.vcpu),
    from: narrow(row.from_level),
    to: narrow(row.to_level),
    kind: kindName,
    name: known ?? (isWhole ? named : kindName),
    values: isWhole ? namesIn(row, kind, nameOf) : valuesOf(row, kind, nameOf, fieldNamesOf(row, saysOf)),
    text: isWhole ? (text?.slice(head.length) ?? null) : text,
  };
}

/** Of an event whose text has all of its fields: the names of those that are numbers in it. */
function namesIn(row: Row, kind: number, nameOf: NameOf): Listed['values'] {
  const code = wide(row.code);
  const says = code === null ? null : nameOfCode(row, kind, code, nameOf);
  return says === null ? [] : [[codeLabel(row, kind), says]];
}

function valuesOf(row: Row, kind: number, nameOf: NameOf, fields: FieldNames): Listed['values'] {
  if (kind === EVENT_KINDS.lost) return [['events', String(row.value ?? 'unknown')]];
  const values = VALUES.flatMap((name): [string, string][] => {
    const cell = wide(row[name]);
    if (cell === null) return [];
    if (name === 'reason') return reasonValues(Number(row.isa ?? 0), cell, nameOf);
    const label = labelOf(row, kind, name, fields);
    if (name === 'code') return [[label, nameOfCode(row, kind, cell, nameOf) ?? hex(cell)]];
    if (name === 'flags') return flagValues(cell, fields);
    return [[label, name === 'size' ? String(cell) : hex(cell)]];
  });
  const instruction = instructionOf(row);
  return instruction === null ? values : [...values, ['instruction', instruction]];
}

/** What a column is called: as its field, unless another column of the row is called so. */
function labelOf(row: Row, kind: number, name: string, fields: FieldNames): string {
  const field = fields.get(name);
  const isTaken = field !== undefined && field !== name && (row[field] ?? null) !== null;
  if (field !== undefined && !isTaken) return field;
  return name === 'code' ? codeLabel(row, kind) : name;
}

function flagValues(flags: bigint, fields: FieldNames): [string, string][] {
  const { said, rest } = flagFields(fields, flags);
  return rest === 0n ? said : [...said, ['flags', flagNames(rest).join('|')]];
}

/** The name of a reason, and what its other bits say. */
function reasonValues(isa: number, reason: bigint, nameOf: NameOf): [string, string][] {
  const others = isa === 1 ? vmxExitModifiers(Number(reason & ~BigInt(VM_ENTRY_FAILURE))) : [];
  const named: [string, string] = ['reason', reasonName(isa, reason, nameOf)];
  return others.length === 0 ? [named] : [named, ['with', others.join(', ')]];
}

/** What the column `code` is about, by kind and reason. */
function codeLabel(row: Row, kind: number): string {
  const work = WORK[kind];
  if (work !== undefined && !isPage(work)) return keyKind(work << 2);
  if (EXITS.has(kind)) {
    const exit = new EventRecord().set('code', 0).setBig('qualification', wide(row.qualification) ?? 0n);
    const key = new SubKey();
    keyOfExit(Number(row.isa ?? 0), Number((wide(row.reason) ?? 0n) & 0xffff_ffffn), exit, key);
    return key.tag === 0 ? 'code' : keyKind(key.tag);
  }
  return codeDomain(kind) ?? 'code';
}

/** What an event is about, by its name; null where it has none. */
export function nameOfCode(row: Row, kind: number, code: bigint, nameOf: NameOf): string | null {
  // KVM says of an entry of L1 that it refused which error L1 is told
  const refused = kind === EVENT_KINDS.entry_failed && (row.tracepoint ?? null) !== null;
  if (kind === EVENT_KINDS.vmfail || refused) return VM_INSTRUCTION_ERRORS[Number(code)] ?? null;
  const domain = codeDomain(kind);
  return domain === null ? null : nameOf(domain, code);
}

/** Names of the bits of `flags` that are set. */
export const flagNames = (flags: bigint): string[] =>
  Object.entries(EVENT_FLAGS)
    .filter(([, mask]) => (Number(flags) & mask) !== 0)
    .map(([name]) => name);

function instructionOf({ bytes, rip, text }: Row): string | null {
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) return null;
  const bits = codeWidth(typeof text === 'string' ? text : null);
  return disassemble(bytes, wide(rip) ?? 0n, bits) ?? Buffer.from(bytes).toString('hex');
}

const hex = (value: bigint): string => `0x${BigInt.asUintN(64, value).toString(16)}`;
const narrow = (cell: Cell | undefined): number | null => (cell === null || cell === undefined ? null : Number(cell));
const wide = (cell: Cell | undefined): bigint | null =>
  typeof cell === 'bigint' ? cell : typeof cell === 'number' ? BigInt(cell) : null;
