/** What changed from one trace to another: where they first part, and the counts and times of each reason. */
import type { ProfileTimes } from '../../analyzer/timeline-answers.js';
import type { ComparedExit, ComparedReason, Comparison } from '../../analyzer/timeline-compare-answers.js';
import { menu } from './choices.js';
import type { Looks, Palette } from './colours.js';
import { button, byId, el, redraw } from './dom.js';
import { handlerTime, levelName, whole } from './format.js';
import { swatch } from './ink.js';
import { shiftTables } from './shifts.js';

export interface CompareActions {
  /** Looks at an event of the trace on the left or on the right. */
  go(side: 0 | 1, seq: number): void;
  /** Compares with another trace. */
  other(name: string): void;
  /** Leaves these reasons out of what is aligned. */
  without(reasons: string[]): void;
  /** Shows the trace that this one is compared with, compared with this one. */
  swap(name: string): void;
  /** Shows one reason alone, or no longer. */
  reason(reason: string): void;
}

const MATCHED: { readonly [match in Comparison['match']]: string } = {
  rip: 'reason, what it was about, and RIP',
  key: 'reason and what it was about',
  reason: 'reason alone',
};

/** What is compared: the trace itself and another one, which may be any of `choices`; and what is left out. */
interface About {
  readonly names: readonly [string, string];
  readonly choices: readonly string[];
  readonly without: readonly string[];
}

export class ComparePanel {
  readonly #panel = byId('compare', HTMLElement);
  readonly #actions: CompareActions;
  #palette: Palette;
  #about: About = { names: ['', ''], choices: [], without: [] };
  #comparison: Comparison | null = null;
  /** Reasons of both traces, and those that are shown alone. */
  #ofBoth: readonly ComparedReason[] = [];
  #reasons: readonly string[] = [];

  constructor(palette: Palette, actions: CompareActions) {
    this.#palette = palette;
    this.#actions = actions;
  }

  say(text: string): void {
    this.#comparison = null;
    this.#panel.replaceChildren(el('p', { class: 'none' }, text));
  }

  /** Says why there is no comparison, or not yet; another one can be chosen. */
  tell(about: About, text: string): void {
    this.#comparison = null;
    this.#about = about;
    redraw(this.#panel, this.#head(), el('p', { class: 'none' }, text));
  }

  show(about: About, comparison: Comparison): void {
    this.#about = about;
    this.#comparison = comparison;
    this.#ofBoth = comparison.reasons;
    this.#palette = this.#palette.with(looksOf(this.#ofBoth));
    this.#draw();
  }

  mark(reasons: readonly string[], palette: Palette): void {
    this.#reasons = reasons;
    this.#palette = palette.with(looksOf(this.#ofBoth));
    this.#draw();
  }

  #draw(): void {
    const comparison = this.#comparison;
    if (comparison === null) return;
    const { names, without } = this.#about;
    const { first, missing } = comparison;
    const facts = factsOf(comparison, without);
    redraw(
      this.#panel,
      this.#head(facts === '' ? null : el('p', { class: 'quiet' }, facts)),
      ...outcomeOf(comparison),
      ...(first === null || missing ? [] : this.#divergence(names, first)),
      ...(missing ? [] : shiftTables(comparison, (reason, hold) => this.#reason(reason, false, hold))),
      ...(missing ? [] : [el('h2', { class: 'next' }, 'Exits by reason'), this.#byReason(names, comparison)]),
    );
  }

  /** The choice of what is compared, and what is said of that. */
  #head(facts: HTMLElement | null = null): HTMLElement {
    const { names, choices, without } = this.#about;
    const list = el(
      'select',
      { 'aria-label': 'Trace to compare with', 'data-hold': 'other' },
      ...choices.map((name) => el('option', { value: name }, name)),
    );
    list.value = names[1];
    list.addEventListener('change', () => this.#actions.other(list.value));
    const swap = { title: 'The other way round', 'aria-label': 'The other way round' };
    const pair = el(
      'div',
      { class: 'pair' },
      el('span', { class: 'quiet' }, 'from'),
      el('b', {}, names[0]),
      el('label', { class: 'field' }, el('span', { class: 'quiet' }, 'to'), list),
      button('⇄', swap, () => this.#actions.swap(names[1])),
      this.#omit(without),
    );
    return el('div', { class: 'facts' }, pair, facts);
  }

  /** The choice of reasons to leave out: interrupts of a host come when they come. */
  #omit(without: readonly string[]): HTMLElement | null {
    const counts = new Map<string, number>();
    for (const { reason, left, right } of this.#ofBoth) counts.set(reason, (counts.get(reason) ?? 0) + left + right);
    for (const reason of without) if (!counts.has(reason)) counts.set(reason, 0);
    const options = [...counts].map(([value, count]) => ({ value, label: value, count }));
    const open = this.#panel.querySelector('.choice[open]') !== null;
    return menu('Leave out', options, without, (reasons) => this.#actions.without(reasons), open);
  }

  /** A reason by its name, which shows it alone on the timeline. */
  #reason(reason: string, failure: boolean, hold: string): HTMLElement {
    const on = this.#reasons.includes(reason);
    return el(
      'button',
      {
        type: 'button',
        class: 'fold',
        'aria-pressed': String(on),
        'data-hold': hold,
        title: on ? 'Show all reasons again' : `Show only ${reason} on the timeline`,
        on: { click: () => this.#actions.reason(reason) },
      },
      swatchOf(this.#palette, reason, failure),
      failure ? `${reason} failed` : reason,
    );
  }

  #divergence(names: readonly [string, string], first: NonNullable<Comparison['first']>): HTMLElement[] {
    const list = el('ol', { class: 'divergence' });
    const add = (lines: readonly ComparedExit[], sign: string, side: 0 | 1): void => {
      for (const exit of lines) {
        const item = el('li', { class: SIGNS[sign] ?? '' }, el('span', { class: 'sign' }, sign));
        item.append(...this.#exit(exit), this.#number(exit.seq, names[side], side));
        list.append(item);
      }
    };
    add(first.before, ' ', 0);
    add(first.left, '−', 0);
    add(first.right, '+', 1);
    if (first.more > 0) list.append(el('li', { class: 'quiet' }, `${whole(first.more)} more`));
    add(first.after, ' ', 0);
    const links = names.map((name, side) =>
      button(`${side === 0 ? '−' : '+'} ${name} at #${whole(first.at[side === 0 ? 0 : 1])}`, {}, () =>
        this.#actions.go(side === 0 ? 0 : 1, first.at[side === 0 ? 0 : 1]),
      ),
    );
    return [
      el('h2', { class: 'next' }, 'First divergence'),
      el('p', { class: 'links' }, 'Look at it in ', ...links),
      list,
    ];
  }

  /** The number of an event, in the column of its trace: the first is of the trace itself. */
  #number(seq: number, name: string, side: 0 | 1): HTMLElement {
    const link = button(`#${whole(seq)}`, { class: 'link', title: `Event ${whole(seq)} of ${name}` }, () =>
      this.#actions.go(side, seq),
    );
    return el('span', { class: 'numbers' }, ...(side === 0 ? [link, el('span')] : [el('span'), link]));
  }

  #exit({ level, reason, failure, key, rip }: ComparedExit): (Node | string)[] {
    const name = `${levelName(level)} ${reason}${failure ? ' failed' : ''}`;
    return [
      swatchOf(this.#palette, reason, failure),
      el('span', {}, name, key === '' ? '' : ` ${key}`),
      rip === null ? '' : el('code', { class: 'quiet' }, rip),
    ];
  }

  #byReason([left, right]: readonly [string, string], { reasons, units, left: omitted }: Comparison): HTMLElement {
    const head = el('tr');
    for (const [name, says, shown] of REASON_COLUMNS) head.append(el('th', { title: says, class: shown }, name));
    for (const cell of head.cells) cell.title = { Before: left, After: right }[cell.textContent ?? ''] ?? cell.title;
    const body = el('tbody');
    for (const { level, reason, failure, left: before, right: after, leftTimes, rightTimes } of reasons) {
      const delta = after - before;
      body.append(
        el(
          'tr',
          { 'data-reason': reason, class: this.#reasons.includes(reason) ? 'on' : '' },
          el('td', {}, levelName(level)),
          el('td', {}, this.#reason(reason, failure, `${level} ${reason} ${failure}`)),
          el('td', {}, whole(before)),
          el('td', {}, whole(after)),
          el('td', { class: delta > 0 ? 'more' : delta < 0 ? 'fewer' : 'quiet' }, signed(delta)),
          ...timeCells(leftTimes, rightTimes, units),
        ),
      );
    }
    if (omitted > 0) body.append(el('tr', {}, el('td'), el('td', {}, `${whole(omitted)} more`)));
    return el('table', { 'aria-label': 'Exits by reason' }, el('thead', {}, head), body);
  }
}

/** What was aligned, in one line; empty where nothing was. */
function factsOf(comparison: Comparison, without: readonly string[]): string {
  const { related, short, missing, matched, vanished, appeared, alone, match, hunks, exact } = comparison;
  if (missing || !(related || short)) return '';
  const facts = [
    `${whole(matched)} exit${matched === 1 ? '' : 's'} alike`,
    vanished === 0 ? '' : `${whole(vanished)} ${alone.vanished}`,
    appeared === 0 ? '' : `${whole(appeared)} ${alone.appeared}`,
    hunks === 0 ? '' : `in ${whole(hunks)} place${hunks === 1 ? '' : 's'}`,
    `matched by ${MATCHED[match]}`,
    without.length === 0 ? '' : `without ${without.join(', ')}`,
    exact ? '' : 'too many differences for a shortest alignment',
  ];
  return facts.filter((fact) => fact !== '').join(' · ');
}

/** Whether the exits are the same, and what is to be known besides. */
function outcomeOf({ same, verdict, remarks }: Comparison): HTMLElement[] {
  return [
    ...(same ? [el('p', { class: 'same' }, 'The exits of both are the same, one by one.')] : []),
    ...(verdict === null ? [] : [el('p', { class: 'verdict' }, el('b', {}, verdict.word), ` ${verdict.says}`)]),
    ...remarks.map((remark) => el('p', { class: 'remark quiet' }, remark)),
  ];
}

const REASON_COLUMNS = [
  ['Level', 'level that exited', ''],
  ['Reason', 'exit reason', ''],
  ['Before', '', ''],
  ['After', '', ''],
  ['Change', '', ''],
  ['p50', 'median time of the handler, before and after', 'mid'],
  ['p99', 'of 100 exits, 99 took no longer; before and after', 'mid'],
] as const;

const SIGNS: { readonly [sign: string]: string } = { '−': 'vanished', '+': 'appeared' };

const looksOf = (reasons: readonly ComparedReason[]): Looks[] =>
  reasons.map(({ reason, failure }) => ({ kind: 'exit', reason, failure }));

const swatchOf = (palette: Palette, reason: string, failure: boolean): Element =>
  swatch(palette.style({ kind: 'exit', reason, failure }));

const signed = (n: number): string => (n > 0 ? `+${whole(n)}` : n < 0 ? `−${whole(-n)}` : '0');

function timeCells(before: ProfileTimes | null, after: ProfileTimes | null, units: Comparison['units']): HTMLElement[] {
  const show = (times: ProfileTimes | null, side: 0 | 1, key: 'p50' | 'p99'): string =>
    times === null ? '–' : handlerTime(units[side], times[key]);
  return (['p50', 'p99'] as const).map((key) => {
    const both = [show(before, 0, key), show(after, 1, key)];
    return el('td', { class: 'mid' }, [...new Set(both)].join(' → '));
  });
}
