/** Looks at the lines of a log one after the other, and gives each that is of a dump to that. */
import { respelled } from './bare-errors.js';
import { Builder, type LineContext } from './builder.js';
import { atEdge, Edges, toldOfEdge, withoutSign } from './cut-lines.js';
import { droppedBy } from './dropped.js';
import type { Dump } from './dump.js';
import {
  type Hit,
  hitsOf,
  isOfEither,
  isSpeaking,
  mayBeRow,
  mayHaveEnd,
  type Place,
  placesOf,
  starts,
} from './hits.js';
import type { Line, Seen } from './lines.js';
import { between, markOf, unmarked } from './marks.js';
import { momentAt } from './moments.js';
import { isPrinted, mayBeBroken, unglued } from './printed.js';
import { choose, familiesByWidth } from './rivals.js';
import type { Family, Row } from './row.js';
import { folded } from './template.js';
import { threadOf } from './threads.js';
import { wholeLines } from './whole-lines.js';
import {
  AHEAD,
  endsAmidError,
  endsAmidHead,
  endsInHead,
  endsInNumber,
  lostError,
  mayEndInHead,
  unwrap,
  WRAPPED,
  withSource,
  withValue,
} from './wrapped.js';

/** Other lines that may stand between two lines of a dump. */
const GAP = 200;
/** An error that Xen or QEMU reports goes with the dump that follows this closely. */
const ANNOUNCED = 12;
const XEN = /\(XEN\)/i;

export class Finder {
  /** The line that is looked at, and those after it that it may have been broken into. */
  readonly #window: Seen[] = [];
  /** Those before it that may have announced a dump, empty where one has them. */
  readonly #past: Seen[] = [];
  readonly #open = new Map<string, Builder>();
  /** Those of the open dumps; every thread of a log may have begun one. */
  #openFamilies: Set<Family> | null = null;
  /** Reports that stand before a dump. */
  readonly #announced = new WeakMap<Builder, Builder>();
  /** Dumps with a line that is of no other. */
  readonly #sure = new WeakSet<Builder>();
  readonly #found: (dump: Dump) => void;
  /** The column at which lines are cut; null where they are not. */
  readonly #edge: number | null;
  readonly #edges = new Edges();
  /** The line before was empty, or there was none. */
  #afterBlank = true;
  /** Where in the log the line begins. */
  #at = 0;
  /** Lines up to here were joined to the one before them. */
  #joined = -1;
  /** The longest line since a dump began, and the width of a terminal that broke longer ones. */
  #longest = 0;
  #width = 0;
  /** The last line of a dump, who printed it, and the mark in front of it, as long as no line lacks that. */
  #fed = { index: -1, thread: '', mark: '' };
  /** What marks the line as one of a comment or of a quote. */
  #mark = '';
  /** What follows the line tells that QEMU printed the error in it. */
  #isPrinted = false;

  constructor(found: (dump: Dump) => void, edge: number | null = null) {
    this.#found = found;
    this.#edge = edge;
  }

  /** Gives the column at which the lines turn out to be cut; null where they are not. */
  find(lines: Iterable<Line>): number | null {
    let next = 0;
    for (const line of wholeLines(lines)) {
      this.#window.push(line);
      if (this.#window.length > AHEAD) this.#step(next++);
    }
    while (this.#window.length > 0) this.#step(next++);
    this.#closeAll();
    return this.#edges.column;
  }

  #step(i: number): void {
    if (i % GAP === 0) this.#closeOld(i);
    const line = this.#window[0];
    if (line === undefined) return;
    const isRow = mayBeRow(line.text);
    this.#edges.look(this.#window, isRow);
    this.#line(i, line, isRow);
    this.#window.shift();
    const isFed = this.#fed.index >= i;
    if (this.#past.push(isFed ? { ...line, text: '' } : line) > ANNOUNCED) this.#past.shift();
  }

  #line(i: number, { text: whole, length, number }: Seen, isRow: boolean): void {
    const at = this.#at;
    this.#at += length + 1;
    if (i <= this.#joined) return;
    this.#isPrinted = isPrinted(whole, this.#window);
    const isCut = length === this.#edge;
    const shown = isCut ? withoutSign(this.#shown(whole)) : this.#shown(whole);
    const line = this.#isPrinted ? unglued(shown) : shown;
    const front = isCut ? line : this.#withValue(i, line);
    const dropped = this.#open.size > 0 ? droppedBy(front) : null;
    if (dropped !== null) for (const builder of this.#open.values()) builder.drop(number, dropped);
    this.#longest = this.#open.size === 0 ? 0 : Math.max(this.#longest, shown.length);
    const isBroken = !isCut && this.#isBroken(this.#lastOf(i, shown), this.#ahead(Math.max(1, this.#joined - i + 1)));
    if (!isBroken && !(front === whole ? isRow : mayBeRow(front))) {
      this.#between(front.trim());
      return;
    }
    let text = folded(respelled(front));
    let places = placesOf(text);
    let hits = this.#possible(hitsOf(text, places, front, this.#isPrinted));
    if (isCut) hits = atEdge(hits, text);
    else if (
      isBroken ||
      this.#isOpenEnded(text, places, hits) ||
      endsInNumber(text, hits, this.#ahead(1), shown.length >= this.#longest)
    )
      [text, hits] = this.#unwrap(i, [front, this.#lastOf(i, shown)], text, hits);
    const last = Math.max(i, this.#joined);
    const told = isCut ? null : withSource(text, this.#ahead(last - i + 1));
    if (told !== null) [text, this.#joined] = [told, last + 1];
    places = placesOf(text);
    if (places.length === 0) {
      this.#between(text);
      return;
    }
    this.#afterBlank = false;
    const moment = momentAt(shown);
    const thread = threadOf(shown) ?? (moment === null ? this.#goesOn(i) : '');
    const context = { line: number, index: i, thread, moment, at, xen: XEN.test(shown) };
    const taken = new Set<number>();
    for (const hit of hits) {
      const rivals = hits.filter(({ fit: other }) => other.from === hit.fit.from);
      if (taken.has(hit.fit.from)) continue;
      if (this.#feed(rivals, text, context)) taken.add(hit.fit.from);
    }
    if (this.#open.size > 0) this.#longest = Math.max(this.#longest, shown.length);
    this.#garbled(places, hits, context, isCut ? 'edge' : 'garbled');
  }

  /** One of the lines behind the one that is looked at, without the mark of that. */
  #ahead(n: number): string | undefined {
    const line = this.#window[n]?.text;
    return line === undefined ? undefined : this.#unmarked(line);
  }

  /** A line behind the one that is looked at, without as much as it has of the mark of that, and the blank behind it. */
  #unmarked(line: string): string {
    const own = markOf(line);
    return unmarked(line, this.#mark.startsWith(own) ? own : this.#mark)?.replace(/^ /, '') ?? line;
  }

  /** A line without its mark, where that of a dump goes on, or what follows tells that it is one of a dump. */
  #shown(line: string): string {
    const rest = unmarked(line, this.#fed.mark);
    if (rest === null && this.#fed.mark !== '' && line.trim() !== '') this.#fed.mark = '';
    this.#mark = rest === null ? markOf(line) : this.#fed.mark;
    if (rest !== null || this.#mark === '' || !this.#isPrinted) return rest ?? line;
    return unmarked(line, this.#mark) ?? line;
  }

  /** The line with the next one, where a report was broken amid its number, or a row before its `=`. */
  #withValue(i: number, front: string): string {
    const next = this.#ahead(1);
    if (next === undefined) return front;
    const beside = (): string[] => [
      this.#unmarked(this.#past.at(-1)?.text ?? ''),
      this.#ahead(2) ?? '',
      this.#ahead(3) ?? '',
    ];
    const joined = withValue(front, next, beside, this.#open.size > 0);
    if (joined !== null) this.#joined = i + 1;
    return joined ?? front;
  }

  /** Without forms of a line that no open dump has, and without a number of which the rest may follow. */
  #possible(hits: Hit[]): Hit[] {
    const isPossible = (row: Row): boolean => [...this.#open.values()].some((builder) => builder.allows(row));
    const isBroken = hits.some(mayHaveEnd) && mayBeBroken(this.#window);
    return hits.filter(
      (hit) => (hit.row.within === undefined || isPossible(hit.row)) && !(isBroken && mayHaveEnd(hit)),
    );
  }

  /** Who printed a line that was broken off the one before. */
  #goesOn(i: number): string {
    return i - this.#fed.index <= WRAPPED ? this.#fed.thread : '';
  }

  /** A line of no dump; dumps may be quoted with the sign that headings have, but those lines are rows. */
  #between(text: string): void {
    const by = between(text);
    if (by !== null) {
      for (const [id, builder] of this.#open) {
        if (builder.family === 'report' || (this.#afterBlank && !builder.isTimed)) this.#close(id);
        else builder.interrupt(by);
      }
    }
    this.#afterBlank = text === '';
  }

  get #families(): ReadonlySet<Family> {
    this.#openFamilies ??= new Set([...this.#open.values()].map(({ family }) => family));
    return this.#openFamilies;
  }

  /** Rows of open dumps that begin here and do not go on. */
  #unfinished(places: readonly Place[], hits: readonly Hit[]): Row[] {
    const families = this.#families;
    return places
      .filter(({ at }) => !hits.some(({ row, fit: { from, to } }) => families.has(row.family) && from <= at && at < to))
      .flatMap(({ rows }) => rows.filter(({ family, names }) => families.has(family) && names.length > 0));
  }

  /** The last of the lines that were joined. */
  #lastOf(i: number, line: string): string {
    return this.#joined > i ? (this.#ahead(this.#joined - i) ?? '') : line;
  }

  /** The line ends in the first words of a row, where others were broken, or amid a word of one where none is longer. */
  #isBroken(line: string, next: string | undefined): boolean {
    const isOpen = this.#open.size > 0;
    if (isOpen && line.length === this.#width) return true;
    if (!mayEndInHead(line)) return false;
    if (endsInHead(line, isOpen) || endsAmidError(line, next)) return true;
    return line.length >= this.#longest && endsAmidHead(line, isOpen);
  }

  /** A row of an open dump begins here and is not whole. */
  #isOpenEnded(text: string, places: readonly Place[], hits: readonly Hit[]): boolean {
    const isCut = hits.some(({ fit: { to, taken } }) => to === text.length && taken.some(({ lost }) => lost !== null));
    return (isCut && this.#open.size > 0) || this.#unfinished(places, hits).length > 0;
  }

  /** The line with those that it was broken into, and what of it fits a row. */
  #unwrap(i: number, broken: [line: string, last: string], text: string, hits: Hit[]): [text: string, hits: Hit[]] {
    let following = this.#window.slice(Math.max(1, this.#joined - i + 1)).map(({ text: line }) => this.#unmarked(line));
    let found: [text: string, hits: Hit[]] = [text, hits];
    let [line, last] = broken;
    for (let isOpen = true; isOpen && following.length > 0; ) {
      const whole = unwrap(line, following, last.length >= this.#longest, this.#isPrinted);
      if (whole === null) break;
      if (whole.isHard) this.#width = last.length;
      this.#joined = Math.max(i, this.#joined) + whole.lines;
      last = following[whole.lines - 1] ?? '';
      following = following.slice(whole.lines);
      line = whole.line;
      found = [whole.text, this.#possible(whole.hits)];
      const [next] = following;
      isOpen =
        this.#isBroken(last, next) ||
        this.#isOpenEnded(whole.text, placesOf(whole.text), whole.hits) ||
        endsInNumber(whole.text, whole.hits, next, last.length >= this.#longest);
    }
    return found;
  }

  #garbled(
    places: readonly Place[],
    hits: readonly Hit[],
    { line, thread }: { line: number; thread: string },
    kind: 'garbled' | 'edge',
  ): void {
    for (const row of this.#unfinished(places, hits)) {
      const builder = this.#open.get(key(row.family, thread));
      if (isSpeaking(row) || row.head.includes(': sel')) builder?.garble(line, row, kind);
    }
  }

  /** Gives the rows that fit one place of a line to the dump they belong to; false where there is none. */
  #feed(rivals: readonly Hit[], text: string, context: LineContext & { readonly thread: string }): boolean {
    for (const family of this.#familiesOf(rivals, context)) {
      const own = rivals.filter(({ row }) => row.family === family);
      const id = key(family, context.thread);
      let builder = this.#open.get(id);
      if (builder !== undefined && context.index - builder.lastIndex > GAP) {
        this.#close(id);
        builder = undefined;
      }
      // What a dump has and lacks says nothing of a line that was not printed with it.
      const hit = choose(own, (builder?.jumpTo(context) ?? null) === null ? builder : undefined);
      if (hit === null) continue;
      const relation = builder?.relationOf(hit.row, hit.fit, context) ?? 'next';
      if (relation === 'mixed') builder?.mix(context.line, hit.row);
      if (builder === undefined || relation === 'next') {
        if (!starts(hit.row, context.xen) || (isOfEither(hit.row) && this.#isAmidVmcs(context))) continue;
        builder = new Builder(family, context, this.#leave(id, builder, context));
        if (family === 'qemu' && hit.row.opens !== 'dump') this.#miss(builder);
        this.#announce(builder, context);
        this.#open.set(id, builder);
        this.#openFamilies?.add(family);
      }
      builder.take(hit.row, hit.fit, text, context);
      if (starts(hit.row, context.xen) && !isOfEither(hit.row)) this.#sure.add(builder);
      this.#fed = { index: Math.max(context.index, this.#joined), thread: context.thread, mark: this.#mark };
      return true;
    }
    return false;
  }

  /**
   * The families whose lines these can be: those with an open dump, the last one that was fed first. Where there is none,
   * a line begins a dump of the family whose widths it has.
   */
  #familiesOf(rivals: readonly Hit[], { thread, xen }: LineContext & { readonly thread: string }): Family[] {
    const families = [...new Set(rivals.map(({ row }) => row.family))];
    if (families.length === 1) return families;
    const last = (family: Family): number => this.#open.get(key(family, thread))?.lastIndex ?? -1;
    const open = families.filter((family) => last(family) >= 0).sort((a, b) => last(b) - last(a));
    if (open.length > 0) return open;
    return familiesByWidth(rivals, xen);
  }

  /** QEMU prints registers behind the error that they are of: what is left of one above them shows that it is lost. */
  #miss(builder: Builder): void {
    const lost = lostError(this.#past);
    if (lost !== null) builder.garble(lost.line, lost.row);
  }

  /** Xen says `VMLAUNCH error: 0x7` before it dumps; whether this was it is known when the dump is. */
  #announce(builder: Builder, context: LineContext & { readonly thread: string }): void {
    if (builder.family !== 'vmcs') return;
    const id = key('report', context.thread);
    const report = this.#open.get(id);
    if (report === undefined || context.index - report.lastIndex > ANNOUNCED || !report.announces(context)) return;
    this.#announced.set(builder, report);
    this.#open.delete(id);
    this.#openFamilies = null;
  }

  /** A processor has VMCSs or VMCBs, not both. */
  #isAmidVmcs({ thread, index }: LineContext & { readonly thread: string }): boolean {
    const vmcs = this.#open.get(key('vmcs', thread));
    return vmcs !== undefined && index - vmcs.lastIndex <= GAP;
  }

  /** Ends a dump before another. One that may be mixed with that is kept for as long as it goes on. */
  #leave(id: string, builder: Builder | undefined, context: LineContext): Builder | null {
    if (!builder?.isFollowedBy(context)) {
      this.#close(id);
      return null;
    }
    this.#give(builder.release());
    return builder;
  }

  #close(id: string): void {
    const builder = this.#open.get(id);
    this.#open.delete(id);
    this.#openFamilies = null;
    if (builder === undefined) return;
    this.#give(builder.release());
    this.#give(builder);
  }

  #give(builder: Builder | null): void {
    if (builder === null) return;
    const report = this.#announced.get(builder) ?? null;
    if (report !== null && !builder.adopt(report)) this.#give(report);
    if (!builder.isEmpty && this.#sure.has(builder)) this.#found(toldOfEdge(builder.build(), this.#edge));
  }

  /** Dumps that no further line can belong to; every thread of a log may have begun one. */
  #closeOld(i: number): void {
    for (const [id, { lastIndex }] of this.#open) if (i - lastIndex > GAP) this.#close(id);
  }

  #closeAll(): void {
    for (const id of [...this.#open.keys()]) this.#close(id);
  }
}

const key = (family: Family, thread: string): string => `${family} ${thread}`;
