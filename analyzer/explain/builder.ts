/** Puts the lines of one dump together, and notices what cannot belong together. */
import { VM_ENTRY_FAILURE } from '../../engine/vmx/exit-reasons.js';
import {
  areMixed,
  type Damage,
  type DamageKind,
  type Dump,
  type EferSource,
  type Format,
  type ListedMsr,
  type Value,
} from './dump.js';
import { brokenOff, hasGiven, lacking, missingFrom, type Read, shownOf, type Where } from './missing.js';
import { type Jump, jumpBetween, type Moment } from './moments.js';
import { type Family, FORMAT_OF, type Row } from './row.js';
import { ROWS } from './rows.js';
import type { Fit } from './template.js';
import { WORDS } from './words.js';

export interface LineContext extends Where {
  /** When it was printed, where the line says so. */
  readonly moment: Moment | null;
  /** Where in the log it begins. */
  readonly at: number;
  readonly xen: boolean;
}

/** More findings say no more. */
const MOST_DAMAGE = 20;
const MOST_MSRS = 512;
/** Lines of other processors that may stand between two that say what Xen refuses. */
const TOGETHER = 12;
/** Rows of all versions from one line to the next, where a few are not printed. */
const CLOSELY = 25;
/** Versions differ in their order by this many rows at most: Linux prints PinBased behind TertiaryExec since 5.19. */
const SWAPPED = 3;
/** Rows of all versions between two lines that came in the wrong order, as those of a remote syslog may. */
const REORDERED = 12;

/** What a line is to a dump: one of it, the first of the next, or one of another that was printed at the same time. */
export type Relation = 'own' | 'next' | 'mixed';

/** Printed by a processor while another may print its own; with the section that comes last. */
const CONCURRENT: ReadonlyMap<Family, string> = new Map([
  ['vmcs', 'control'],
  ['vmcb', 'state'],
  ['xen-vmcb', 'segments'],
]);

/** The row by which a dump without a head begins. */
const headingOf = (family: Family): Row | undefined =>
  ROWS.find((row) => row.family === family && row.opens === 'section');

const SOURCE = /^ ?\((effective|autoload)\)/i;

export class Builder {
  readonly family: Family;
  readonly first: number;
  readonly #firstIndex: number;
  last: number;
  /** Where its last line is, as `LineContext` has it. */
  lastIndex: number;
  section: string | null = null;
  readonly #values = new Map<string, Value>();
  readonly #seen = new Map<Row, string>();
  readonly #lines = new Map<Row, Where>();
  /** Which line each value stands in. */
  readonly #indexes = new Map<string, number>();
  readonly #garbled = new Set<Row>();
  readonly #sections = new Set<string>();
  /** Names that a line had, whichever of its forms it was printed in. */
  readonly #given = new Set<string>();
  readonly #msrs: ListedMsr[] = [];
  readonly #damage: Damage[] = [];
  #order = -1;
  #start: Row | null = null;
  #isMixed = false;
  #list: NonNullable<Row['list']> = 'guest';
  #efer: EferSource = 'field';
  #xen = false;
  #interrupted: 'prompt' | 'heading' | null = null;
  /** Where messages were lost behind its last line: amid it, if another line follows. */
  #dropped: { readonly line: number; readonly what: string } | null = null;
  #printed: { readonly moment: Moment; readonly at: number } | null = null;
  #pieces = 1;
  /** Where the clock of the wall jumps between two lines in order. */
  #clockJump: number | null = null;
  /** A dump of the same time, close above this one: where lines of two are mixed, they are of both. */
  #before: Builder | null;

  constructor(family: Family, { line, index }: Where, before: Builder | null = null) {
    this.family = family;
    this.#firstIndex = index;
    this.lastIndex = index;
    this.#before = before;
    this.first = line;
    this.last = line;
  }

  get isEmpty(): boolean {
    return this.#values.size === 0 && this.#msrs.length === 0;
  }

  has(row: Row): boolean {
    return this.#seen.has(row);
  }

  /** The row is of dumps like this one. */
  allows({ family, within }: Row): boolean {
    return family === this.family && within?.(shownOf(this.#read)) === true;
  }

  /** Its lines say when they were printed. */
  get isTimed(): boolean {
    return this.#printed !== null;
  }

  /**
   * A line begins another dump where it opens one, or where an earlier line is there already or is of a later moment. One
   * amid a dump that is not whole is of another that was printed at the same time, unless it is where this one began.
   */
  relationOf(row: Row, found: Fit, context: LineContext): Relation {
    if (row.opens === 'dump') return 'next';
    if (this.family === 'xen-check') return this.#isOfAnother(row, found, context) ? 'next' : 'own';
    if (this.#interrupted !== null && (row.order < this.#order || row.order > this.#order + CLOSELY)) return 'next';
    // Times of one moment prove that what stands below a heading goes on with what stands above.
    if (this.#interrupted === 'heading' && (!this.isTimed || context.moment === null || this.jumpTo(context) !== null))
      return 'next';
    if (row.order < this.#order && this.jumpTo(context)?.kind === 'forward') return 'next';
    const isNew = !this.#seen.has(row);
    if (row.repeats || !(this.#isBehind(row, found) || (isNew && this.#skips(row)))) return 'own';
    if (!this.#isMixed && this.#beginsAt(row)) return 'next';
    if (!this.isFollowedBy(context)) return isNew ? 'own' : 'next';
    if (this.#isMixed) return this.#beginsAt(row) && this.#isAtEnd ? 'next' : 'mixed';
    if (!isNew && !this.#isAmid && this.#isWhole) return 'next';
    // Where each line was logged twice so is this one.
    return row.order === this.#order ? 'own' : 'mixed';
  }

  /** No version prints the row after the last one; one with the same values may be logged twice. */
  #isBehind(row: Row, found: Fit): boolean {
    const before = this.#seen.get(row);
    if (before === undefined) return row.order < this.#order - (this.#before === null ? REORDERED : SWAPPED);
    return row.opens === 'section' || (before !== spell(found) && row.order < this.#order);
  }

  /** The dump above would go on here, and this one would not. */
  #skips({ order }: Row): boolean {
    const left = this.#before === null ? -1 : this.#before.#order;
    const isPast = this.#order <= left && order > left;
    return isPast && lacking(this.#read).some((row) => row.order > this.#order && row.order < order);
  }

  /** A dump begins here: with its first heading, where none had a head, or where this one did. */
  #beginsAt(row: Row): boolean {
    return row === this.#start || (row === headingOf(this.family) && this.#start?.opens !== 'dump');
  }

  get #isAtEnd(): boolean {
    return this.#sections.has(CONCURRENT.get(this.family) ?? '');
  }

  /** The line was printed at the time of this dump, as far as can be told. */
  isFollowedBy(context: LineContext): boolean {
    const isClose = context.index - this.lastIndex <= TOGETHER && this.#interrupted === null;
    return CONCURRENT.has(this.family) && isClose && this.jumpTo(context) === null;
  }

  get #isWhole(): boolean {
    return lacking(this.#read).length === 0;
  }

  /** The dump above was not whole when this one began. */
  get #isAmid(): boolean {
    return this.#before !== null && !this.#before.#isWhole;
  }

  /** Xen prints a line for each rule that a VMCB breaks, one after the other: none twice, and no value anew. */
  #isOfAnother(row: Row, { taken }: Fit, context: LineContext): boolean {
    const isOther = taken.some(({ name, value }) => (this.#values.get(name)?.value ?? value) !== value);
    return this.#seen.has(row) || isOther || context.index - this.lastIndex > TOGETHER || this.jumpTo(context) !== null;
  }

  /** A heading or a prompt stands here: what does not follow closely belongs to another dump. */
  interrupt(by: 'prompt' | 'heading'): void {
    this.#interrupted = by;
  }

  /** The log says that messages were lost; registers of QEMU are none. */
  drop(line: number, what: string): void {
    if (CONCURRENT.has(this.family)) this.#dropped ??= { line, what };
  }

  take(row: Row, found: Fit, text: string, context: LineContext): void {
    const { line, index, xen } = context;
    this.last = line;
    this.lastIndex = index;
    this.#start ??= row;
    this.#interrupted = null;
    this.section = row.section;
    this.#sections.add(row.section);
    this.#xen ||= xen || row.only === 'xen';
    this.#clock(row, context);
    const now = spell(found);
    if (this.#seen.get(row) !== now) this.#unbreak(row);
    const before = this.#seen.get(row);
    if (before !== undefined && !row.repeats) {
      if (before !== now && !this.#isMixed) this.#hurt('conflict', line, row.head);
      return;
    }
    if (this.#dropped !== null) this.#hurt('dropped', this.#dropped.line, this.#dropped.what);
    this.#dropped = null;
    this.#seen.set(row, now);
    this.#lines.set(row, { line, index });
    for (const name of row.names) if (name !== null) this.#given.add(name);
    this.#order = Math.max(this.#order, row.order);
    if (row.list !== undefined) this.#list = row.list;
    if (row.says !== undefined) this.#set(row.says, 1n, context);
    if (row.names.includes('list.msr')) this.#listed(found, line);
    else this.#store(found, text, context);
  }

  /** A line that begins like a row and does not go on like it; one that is quoted below the dump loses nothing of it. */
  garble(line: number, row: Row, kind: 'garbled' | 'edge' = 'garbled'): void {
    if (hasGiven(this.#read, row)) return;
    // Forms of one line begin alike.
    if (![...this.#garbled].some(({ head }) => head === row.head)) this.#hurt(kind, line, row.head);
    this.#garbled.add(row);
  }

  /** Gives up what the next line shows to be the end of another. */
  #unbreak(next: Row): void {
    const { end, of } = brokenOff(this.#read, next) ?? {};
    if (end === undefined || of === undefined) return;
    this.garble(this.#lines.get(end)?.line ?? this.first, of);
    for (const name of end.names)
      for (const kept of [this.#values, this.#indexes, this.#given]) kept.delete(name ?? '');
    for (const kept of [this.#seen, this.#lines]) kept.delete(end);
  }

  /** A line of another dump stands amid those of this one: of the others it is not known any more whose they are. */
  mix(line: number, row: Row): void {
    this.markMixed(line, row);
    if (this.#isAmid && this.#start !== null) this.#before?.markMixed(this.first, this.#start);
  }

  markMixed(line: number, { head }: Row): void {
    if (!this.#isMixed) this.#hurt('mixed', line, head.trim());
    this.#isMixed = true;
  }

  /** Gives up the dump above this one, and with it what it could say of this one. */
  release(): Builder | null {
    const before = this.#before;
    this.#before = null;
    return before;
  }

  /** Whether this may be the error that Xen prints before a dump: that of an entry, by the same printer and at one time. */
  announces(context: LineContext): boolean {
    const isOfEntry = this.#values.size === 1 && this.#values.has('error.vm');
    return isOfEntry && this.#xen === context.xen && this.jumpTo(context) === null;
  }

  /** Takes over the error that Xen printed before this dump; false where the dump is not Xen's, or says otherwise. */
  adopt(report: Builder): boolean {
    const reason = (this.#values.get('failure.reason') ?? this.#values.get('VM_EXIT_REASON'))?.value ?? 0n;
    if (!this.#xen || (reason & BigInt(VM_ENTRY_FAILURE)) !== 0n) return false;
    for (const [name, value] of report.#values) this.#values.set(name, value);
    for (const [name, index] of report.#indexes) this.#indexes.set(name, index);
    return true;
  }

  build(): Dump {
    for (const { line, what } of missingFrom(this.#read)) this.#hurt('missing', line, what);
    const pieces = areMixed({ damage: this.#damage }) ? this.#separate() : this.#pieces;
    return {
      format: this.#format,
      first: this.first,
      last: this.last,
      values: this.#values,
      msrs: this.#msrs,
      efer: this.#efer,
      sections: [...this.#sections],
      damage: this.#damage,
      pieces,
      isOneLine: this.#firstIndex === this.lastIndex,
      ...this.#setClock(),
    };
  }

  /** Nothing but one jump of a clock that can be set says that lines are of different moments. */
  #setClock(): Pick<Dump, 'clockSetAt'> {
    const isOnly = this.#damage.length === 1 && this.#pieces === 2;
    return isOnly && this.#clockJump !== null ? { clockSetAt: this.#clockJump } : {};
  }

  /** Makes each line a piece of its own, and returns their number. */
  #separate(): number {
    const pieces = new Map([...new Set(this.#indexes.values())].map((index, i) => [index, i + 1]));
    for (const [name, value] of this.#values)
      this.#values.set(name, { ...value, piece: pieces.get(this.#indexes.get(name) ?? -1) ?? 0 });
    return Math.max(2, pieces.size);
  }

  get #format(): Format {
    if (this.family === 'vmcs') return this.#xen ? 'xen-vmcs' : 'kvm-vmcs';
    // QEMU's error line alone has no state to check.
    return this.family === 'qemu' && !this.#sections.has('registers') ? 'report' : FORMAT_OF[this.family];
  }

  #store(found: Fit, text: string, where: Where): void {
    for (const { name, value, lost } of found.taken) {
      if (lost !== null) {
        this.#hurt(lost, where.line, name);
        continue;
      }
      if (name === 'GUEST_IA32_EFER') {
        const source = SOURCE.exec(text.slice(found.to))?.[1]?.toLowerCase();
        if (source === 'effective' || source === 'autoload') this.#efer = source;
      }
      const stored = name === 'GUEST_IA32_EFER' && this.#efer !== 'field' ? 'efer.list' : name;
      const [plain, decimal] = stored.endsWith('.decimal') ? [stored.slice(0, -8), true] : [stored, false];
      const digits = value.toString(16);
      if (decimal && /[a-f]/.test(digits)) this.#hurt('garbled', where.line, plain);
      else this.#set(plain, decimal ? BigInt(digits) : value, where);
    }
  }

  #set(name: string, value: bigint, { line, index }: Where): void {
    const fields = WORDS[name] ?? [{ field: name, low: 0, bits: 64 }];
    for (const { field, low, bits } of fields) {
      this.#indexes.set(field, index);
      this.#values.set(field, { value: BigInt.asUintN(bits, value >> BigInt(low)), line, piece: this.#pieces });
    }
  }

  /** Xen prints only the entry that was refused, after its number, which counts from 0 as the qualification does not. */
  get #refused(): number | null {
    const refused = this.section === 'header' ? this.#values.get('failure.msr') : undefined;
    return refused === undefined ? null : Number(refused.value & 0xffff_ffffn) + 1;
  }

  #listed({ taken }: Fit, line: number): void {
    const [msr, value, reserved] = taken;
    const list = this.#list;
    if (msr === undefined || value === undefined || list === 'stored' || this.#msrs.length >= MOST_MSRS) return;
    const lost = taken.find((one) => one.lost !== null)?.lost ?? null;
    if (lost !== null) {
      this.#hurt(lost, line, 'msr');
      return;
    }
    this.#msrs.push({
      list,
      index: this.#refused ?? this.#msrs.filter((other) => other.list === list).length + 1,
      msr: Number(msr.value),
      value: value.value,
      reserved: reserved?.value ?? null,
      line,
    });
  }

  jumpTo({ moment, at }: LineContext): Jump | null {
    return moment === null || this.#printed === null
      ? null
      : jumpBetween(this.#printed.moment, moment, at - this.#printed.at);
  }

  #clock(row: Row, context: LineContext): void {
    const { line, moment, at } = context;
    if (moment === null) return;
    const jump = this.jumpTo(context);
    if (jump !== null) {
      this.#pieces++;
      this.#hurt('spliced', line, jump.says);
      if (jump.canBeSet && row.order > this.#order) this.#clockJump = line;
    }
    this.#printed = { moment, at };
  }

  get #read(): Read {
    return {
      family: this.family,
      program: this.#xen ? 'xen' : 'kvm',
      first: this.first,
      lines: this.#lines,
      given: this.#given,
      garbled: this.#garbled,
      sections: this.#sections,
      value: (name) => this.#values.get(name)?.value ?? null,
    };
  }

  #hurt(kind: DamageKind, line: number, what: string): void {
    const isTold = kind === 'edge' && this.#damage.some((one) => one.kind === kind);
    if (!isTold && this.#damage.length < MOST_DAMAGE) this.#damage.push({ kind, line, what });
  }
}

const spell = ({ taken }: Fit): string => taken.map(({ value }) => value.toString(16)).join(' ');
