/**
 * The tracepoints of KVM as they are printed: what kvm/table.ts says, compiled to what a line is decoded by. Sources of
 * the table's prints: the `print fmt` lines of events/kvm/ and events/kvmmmu/ in tracefs, and libtraceevent's
 * plugin_kvm.c.
 */
import { EVENT_FIELDS, EVENT_FLAGS, EVENT_KINDS, type EventField } from '../../engine/observer.js';
import { ascii, NameTable } from './cursor.js';
import { BITS, NAMES } from './kvm/names.js';
import { TRACEPOINTS } from './kvm/table.js';
import {
  CONVERSIONS,
  type Filled,
  knows,
  type Print,
  type Special,
  type Tracepoint,
  type Use,
  usesOf,
} from './kvm/tracepoint.js';
import { FIELD } from './row.js';

const latin1 = new TextDecoder('latin1');

/** How a value is written; `names`: by its name, else in hexadecimal; `bits`: by the names of its bits. */
export type Style = 'hex' | 'decimal' | 'names' | 'bits';

/** In place of a column: the architecture. */
export const ARCHITECTURE = -1;

/** A column, and what a word says that it holds. */
export interface Implied {
  readonly field: number;
  readonly value: number;
}

/** What to do with a word of the text, and with the value behind it. */
export interface Key {
  readonly name: Uint8Array;
  readonly implies: readonly Implied[];
  /** Null: the word alone counts. */
  readonly does:
    | 'field'
    | 'flag'
    | 'page'
    | 'vector'
    | 'vcpu'
    | 'reason'
    | 'info'
    | 'address'
    | 'fault'
    | 'count'
    | 'rare'
    | null;
  readonly style: Style;
  /** Numbers of the names that the value is written by. */
  readonly codes: NameTable<number> | null;
  /** Column that it fills; of a flag, its bit. */
  readonly field: number;
  /** Bits for all that it fills: no two words of a line can tell the same. */
  readonly targets: number;
  /** What is written stays text as well. */
  readonly keeps: boolean;
}

export interface EventSpec {
  /** Its place among all events of the table. */
  readonly index: number;
  readonly kind: number;
  /** Flags that every event of this name has. */
  readonly flags: number;
  /** In the order in which the kernel prints them. */
  readonly keys: readonly Key[];
  /** Their words that are no names of fields. */
  readonly printed: readonly Uint8Array[];
  /** What a number that stands alone is, if anything. */
  readonly unnamed: Key | null;
  /** It shares its kind with others; its keys are looked for anywhere in the text. */
  readonly shared: boolean;
  readonly special: Special | null;
  /** Fields that the event must have to be one. */
  readonly needs: number;
}

const CODES: { readonly [table: string]: NameTable<number> } = Object.fromEntries(
  Object.entries({ ...NAMES, ...BITS }).map(([table, names]) => [table, new NameTable(Object.entries(names))]),
);

const STYLES: { readonly [print: string]: Style } = { x: 'hex', s: 'hex', u: 'decimal', d: 'decimal' };

const FLAG: { readonly [use in Use]?: number } = {
  write: EVENT_FLAGS.write,
  refused: EVENT_FLAGS.refused,
  on: EVENT_FLAGS.on,
};

/** Bits of `flags` that the values of kvm_mmio's type stand for. */
export const ACCESS_FLAGS = [EVENT_FLAGS.refused, 0, EVENT_FLAGS.write] as const;

/** The column of a use that always fills the same one. */
function columnOf(use: Use): EventField | null {
  if (use in FLAG || use === 'access') return 'flags';
  if (use in CONVERSIONS) return CONVERSIONS[use as keyof typeof CONVERSIONS];
  return use in FIELD ? (use as EventField) : null;
}

/** Uses whose values are printed as they are read here, by what they do. */
const DOES: { readonly [use in Use]?: Key['does'] } = {
  page: 'page',
  vector: 'vector',
  vcpu: 'vcpu',
  reason: 'reason',
  info: 'info',
  address: 'address',
  fault: 'fault',
  count: 'count',
  rare: 'rare',
  write: 'flag',
  refused: 'flag',
  on: 'flag',
};

const VCPU_TARGET = 1 << 30;
const ADDRESS_TARGET = 1 << 29;

/** A page may stand beside its address. */
function targetsOf(use: Use): number {
  const flag = FLAG[use];
  if (flag !== undefined) return flag << EVENT_FIELDS.length;
  if (use === 'vcpu') return VCPU_TARGET;
  if (use === 'address') return ADDRESS_TARGET;
  const column = use === 'page' ? null : columnOf(use);
  return column === null ? 0 : 1 << FIELD[column];
}

function impliedBy(use: Use, value: number): Implied {
  if (use === 'isa') return { field: ARCHITECTURE, value };
  if (use === 'access') return { field: FIELD.flags, value: ACCESS_FLAGS[value] ?? 0 };
  const flag = FLAG[use];
  if (flag !== undefined) return { field: FIELD.flags, value: value === 0 ? 0 : flag };
  return { field: FIELD[columnOf(use) ?? 'value'], value };
}

/** What a print says of its word. */
interface Said extends Omit<Key, 'name'> {
  readonly word: string;
}

function saidBy(use: Use, print: Print): Said {
  const targets = targetsOf(use);
  const [, word = '', table] = /^(.*) %(\w+)$/.exec(print) ?? [];
  if (table === undefined) {
    const [name = '', value = ''] = print.split('=');
    const implies = [impliedBy(use, Number(value))];
    return { word: name, implies, does: null, style: 'hex', codes: null, field: 0, targets, keeps: false };
  }
  const style = STYLES[table] ?? (table in BITS ? 'bits' : 'names');
  const field = FLAG[use] ?? FIELD[columnOf(use) ?? 'value'];
  const codes = CODES[table] ?? null;
  const does = DOES[use] ?? 'field';
  return { word, implies: [], does, style, codes, field, targets, keeps: use === 'failure' };
}

/** The keys of an event; a word may stand for a value and have one behind it. */
function keysOf(fields: Tracepoint['fields']): Key[] {
  const words = new Map<string, Said[]>();
  for (const [use, ...prints] of Object.values(fields).flatMap((filled): readonly Filled[] => usesOf(filled))) {
    for (const print of prints) {
      const said = saidBy(use, print);
      words.set(said.word, [...(words.get(said.word) ?? []), said]);
    }
  }
  return [...words].map(([word, all]) => {
    const value = all.find(({ does }) => does !== null) ?? all.at(-1);
    const implies = all.flatMap((said) => said.implies);
    const targets = all.reduce((mask, said) => mask | said.targets, 0);
    // made in one place, so that V8 sees one shape
    const { does = null, style = 'hex', codes = null, field = 0, keeps = false } = value ?? {};
    return { name: ascii(word), implies, does, style, codes, field, targets, keeps };
  });
}

function neededBy({ fields, needs = [], needsText }: Tracepoint): readonly EventField[] {
  if (needsText !== undefined) return needsText;
  return needs.flatMap((names) => {
    const [name = ''] = names.split('|');
    return usesOf(fields[name] ?? []).flatMap(([use]) => columnOf(use) ?? []);
  });
}

function compile(tracepoint: Tracepoint, index: number): EventSpec {
  const keys = keysOf(tracepoint.fields);
  const words = keys.map(({ name }) => name).filter((name) => name.length > 0);
  return {
    index,
    kind: EVENT_KINDS[tracepoint.kind],
    flags: tracepoint.flags === 'write' ? EVENT_FLAGS.write : 0,
    keys: keys.filter(({ name }) => name.length > 0),
    printed: words.filter((name) => !knows(tracepoint, latin1.decode(name))),
    unnamed: keys.find(({ name }) => name.length === 0) ?? null,
    shared: tracepoint.shared,
    special: tracepoint.special ?? null,
    needs: neededBy(tracepoint).reduce((mask, field) => mask | (1 << FIELD[field]), 0),
  };
}

export const EVENTS = new NameTable(
  Object.entries(TRACEPOINTS).map(([name, tracepoint], i) => [name, compile(tracepoint, i)] as const),
);

/** Bit that refused accesses get, for events that say so behind their fields. */
export const REFUSED = EVENT_FLAGS.refused;
