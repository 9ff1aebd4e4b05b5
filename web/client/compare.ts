/** What changed from one trace to another: where they first part, and the counts and times of each reason. */
import type { ComparedExit, Comparison, ProfileTimes } from '../../analyzer/timeline-answers.js';
import type { Looks, Palette } from './colours.js';
import { byId, el } from './dom.js';
import { duration, levelName, whole } from './format.js';
import { swatch } from './ink.js';

export interface CompareActions {
  /** Looks at an event of the trace on the left or on the right. */
  go(side: 0 | 1, seq: number): void;
  /** Compares with another trace. */
  other(name: string): void;
}

const MATCHED: { readonly [match in Comparison['match']]: string } = {
  rip: 'reason, what it was about, and RIP',
  key: 'reason and what it was about',
  reason: 'reason alone',
};

export class ComparePanel {
  readonly #panel = byId('compare', HTMLElement);
  readonly #actions: CompareActions;
  #palette: Palette;
  #shown: { readonly names: readonly [string, string]; readonly comparison: Comparison } | null = null;
  #choices: readonly string[] = [];
  #reasonsOfBoth: readonly Looks[] = [];

  constructor(palette: Palette, actions: CompareActions) {
    this.#palette = palette;
    this.#actions = actions;
  }

  say(text: string): void {
    this.#shown = null;
    this.#panel.replaceChildren(el('p', { class: 'none' }, text));
  }

  /** Says why there is no comparison with a trace, or not yet; another one can be chosen. */
  tell(other: string, choices: readonly string[], text: string): void {
    this.#shown = null;
    this.#choices = choices;
    this.#panel.replaceChildren(el('div', { class: 'facts' }, this.#choice(other)), el('p', { class: 'none' }, text));
  }

  /** `choices`: names of the other traces. */
  show(names: readonly [string, string], comparison: Comparison, choices: readonly string[]): void {
    this.#shown = { names, comparison };
    this.#reasonsOfBoth = comparison.reasons.map(({ reason, failure }) => ({ kind: 'exit', reason, failure }));
    this.#palette = this.#palette.with(this.#reasonsOfBoth);
    this.#choices = choices;
    this.#draw();
  }

  mark(palette: Palette): void {
    this.#palette = palette.with(this.#reasonsOfBoth);
    this.#draw();
  }

  #draw(): void {
    if (this.#shown === null) return;
    const { names, comparison } = this.#shown;
    const { first, related, matched, vanished, appeared, match, hunks, exact } = comparison;
    const facts = related
      ? [
          `${whole(matched)} exit${matched === 1 ? '' : 's'} in both`,
          `${whole(vanished)} only in ${names[0]}`,
          `${whole(appeared)} only in ${names[1]}`,
          hunks === 0 ? '' : `${whole(hunks)} place${hunks === 1 ? '' : 's'} where they part`,
          `matched by ${MATCHED[match]}`,
          exact ? '' : 'not the shortest alignment: too many differences',
        ]
      : ['These traces have next to nothing in common: nothing was aligned'];
    this.#panel.replaceChildren(
      el(
        'div',
        { class: 'facts' },
        this.#choice(names[1]),
        el('p', { class: 'quiet' }, facts.filter((fact) => fact !== '').join(' · ')),
      ),
      ...(first === null ? this.#same(comparison) : this.#divergence(names, first)),
      ...this.#times(comparison),
      el('h3', {}, 'Exits by reason'),
      this.#reasons(names, comparison),
    );
  }

  #choice(other: string): HTMLElement {
    const list = el(
      'select',
      { 'aria-label': 'Trace to compare with' },
      ...this.#choices.map((name) => el('option', { value: name }, name)),
    );
    list.value = other;
    list.addEventListener('change', () => this.#actions.other(list.value));
    return el('label', { class: 'field' }, el('span', { class: 'quiet' }, 'with'), list);
  }

  #same({ related }: Comparison): HTMLElement[] {
    return related ? [el('p', { class: 'same' }, 'The exits of both are the same, one by one.')] : [];
  }

  #divergence(names: readonly [string, string], first: NonNullable<Comparison['first']>): HTMLElement[] {
    const list = el('ol', { class: 'divergence' });
    const add = (lines: readonly ComparedExit[], sign: string, side: 0 | 1): void => {
      for (const exit of lines)
        list.append(
          el('li', { class: SIGNS[sign] ?? '' }, el('span', { class: 'sign' }, sign), ...this.#exit(exit, side)),
        );
    };
    add(first.before, ' ', 0);
    add(first.left, '−', 0);
    add(first.right, '+', 1);
    if (first.more > 0) list.append(el('li', { class: 'quiet' }, `${whole(first.more)} more`));
    add(first.after, ' ', 0);
    const links = names.map((name, side) =>
      el(
        'button',
        { type: 'button', on: { click: () => this.#actions.go(side === 0 ? 0 : 1, first.at[side === 0 ? 0 : 1]) } },
        `${side === 0 ? '−' : '+'} ${name} at #${whole(first.at[side === 0 ? 0 : 1])}`,
      ),
    );
    return [el('h3', {}, 'First divergence'), el('p', { class: 'links' }, 'Look at it in ', ...links), list];
  }

  #exit({ seq, level, reason, failure, key, rip }: ComparedExit, side: 0 | 1): (Node | string)[] {
    const link = el(
      'button',
      { type: 'button', class: 'link', on: { click: () => this.#actions.go(side, seq) } },
      `#${whole(seq)}`,
    );
    const name = `${levelName(level)} ${reason}${failure ? ' failed' : ''}`;
    return [
      swatchOf(this.#palette, reason, failure),
      el('span', {}, name, key === '' ? '' : ` ${key}`),
      rip === null ? '' : el('code', { class: 'quiet' }, rip),
      link,
    ];
  }

  /** What slowed and what got faster, beyond chance. */
  #times({ times, units: [, unit] }: Comparison): HTMLElement[] {
    const show = (time: number): string => (unit === 'ticks' ? whole(time) : duration(time));
    return SHIFTS.flatMap(({ title, slower }) => {
      const rows = times.filter((change) => change.slower === slower);
      if (rows.length === 0) return [];
      const body = rows.map(({ level, reason, shifts }) =>
        el(
          'tr',
          { 'data-slower': String(slower), 'data-reason': reason },
          el('td', {}, levelName(level)),
          el('td', {}, el('span', { class: 'reason' }, swatchOf(this.#palette, reason, false), reason)),
          ...MOVED.map((wanted) => {
            const shift = shifts.find(({ statistic }) => statistic === wanted);
            return el('td', {}, shift === undefined ? '' : `${show(shift.left)} → ${show(shift.right)}`);
          }),
        ),
      );
      const head = el('tr', {}, ...['Level', 'Reason', ...MOVED].map((name) => el('th', {}, name)));
      return [el('h3', {}, title), el('table', {}, el('thead', {}, head), el('tbody', {}, ...body))];
    });
  }

  #reasons([left, right]: readonly [string, string], { reasons, units, left: omitted }: Comparison): HTMLElement {
    const head = el('tr');
    for (const [name, says] of [
      ['Level', ''],
      ['Reason', ''],
      ['Before', left],
      ['After', right],
      ['Change', ''],
      ['p50 before', left],
      ['p50 after', right],
      ['p99 before', left],
      ['p99 after', right],
    ] as const) {
      head.append(el('th', { title: says, class: name.startsWith('p99') ? 'wide' : '' }, name));
    }
    const body = el('tbody');
    for (const { level, reason, failure, left: before, right: after, leftTimes, rightTimes } of reasons) {
      const delta = after - before;
      body.append(
        el(
          'tr',
          { 'data-reason': reason },
          el('td', {}, levelName(level)),
          el(
            'td',
            {},
            el(
              'span',
              { class: 'reason' },
              swatchOf(this.#palette, reason, failure),
              failure ? `${reason} failed` : reason,
            ),
          ),
          el('td', {}, whole(before)),
          el('td', {}, whole(after)),
          el('td', { class: delta > 0 ? 'more' : delta < 0 ? 'fewer' : 'quiet' }, signed(delta)),
          ...timeCells(leftTimes, rightTimes, units),
        ),
      );
    }
    if (omitted > 0) body.append(el('tr', {}, el('td'), el('td', {}, `${whole(omitted)} more`)));
    return el('table', {}, el('thead', {}, head), body);
  }
}

const MOVED = ['mean', 'p50', 'p90', 'p99'] as const;
const SHIFTS = [
  { title: 'What slowed', slower: true },
  { title: 'What got faster', slower: false },
] as const;

const SIGNS: { readonly [sign: string]: string } = { '−': 'vanished', '+': 'appeared' };

const swatchOf = (palette: Palette, reason: string, failure: boolean): Element =>
  swatch(palette.style({ kind: 'exit', reason, failure }));

const signed = (n: number): string => (n > 0 ? `+${whole(n)}` : n < 0 ? `−${whole(-n)}` : '0');

function timeCells(before: ProfileTimes | null, after: ProfileTimes | null, units: Comparison['units']): HTMLElement[] {
  const show = (times: ProfileTimes | null, side: 0 | 1, key: 'p50' | 'p99'): string =>
    times === null ? '–' : units[side] === 'ticks' ? whole(times[key]) : duration(times[key]);
  return (['p50', 'p99'] as const).flatMap((key) => [
    el('td', { class: key === 'p99' ? 'wide' : '' }, show(before, 0, key)),
    el('td', { class: key === 'p99' ? 'wide' : '' }, show(after, 1, key)),
  ]);
}
