/** The profile: where the exits go, by level and reason, what they were about, and which instructions cause them. */
import type { ProfileKeyLine, ProfileLine, ProfileTable, ProfileTimes } from '../../analyzer/timeline-answers.js';
import type { Palette, Style } from './colours.js';
import { byId, el, redraw } from './dom.js';
import { handlerTime, levelName, percent, WHOLE_TIMES, whole } from './format.js';
import { histogramOf } from './histogram.js';
import { fillElement, swatch } from './ink.js';
import { outsideFact, spentTables } from './spent.js';

interface Column {
  readonly name: string;
  readonly says: string;
  /** Left out where there is little room; `mid`: only where there is less still. */
  readonly shown?: 'wide' | 'mid';
  order(line: ProfileLine): number | string;
}

/** Statistics, and where there is room for them. */
const TIMES = { mean: 'mid', p50: '', p90: 'wide', p99: '', p999: 'wide', max: 'mid' } as const;
const TIME_KEYS = Object.keys(TIMES) as readonly (keyof typeof TIMES)[];
const by = (pick: keyof ProfileTimes): ((line: ProfileLine) => number) => {
  return ({ times }) => times?.[pick] ?? -1;
};
const COLUMNS: readonly Column[] = [
  { name: 'Level', says: 'level that exited', order: ({ level }) => level ?? -1 },
  { name: 'Reason', says: 'exit reason', order: ({ reason }) => reason },
  { name: 'Count', says: 'exits', order: ({ count }) => count },
  { name: '%', says: 'share of all exits, in %', shown: 'wide', order: ({ count }) => count },
  { name: 'Time %', says: 'share of all handler time, in %', shown: 'mid', order: ({ timeShare }) => timeShare },
  { name: 'Mean', says: 'mean time of the handler', shown: TIMES.mean, order: by('mean') },
  { name: 'p50', says: 'median', order: by('p50') },
  { name: 'p90', says: 'of 10 exits, 9 took no longer', shown: TIMES.p90, order: by('p90') },
  { name: 'p99', says: 'of 100 exits, 99 took no longer', order: by('p99') },
  { name: 'p99.9', says: 'of 1000 exits, 999 took no longer', shown: TIMES.p999, order: by('p999') },
  { name: 'Max', says: 'longest', shown: TIMES.max, order: by('max') },
];
const BAR_PIXELS = 28;
const HANDLER = {
  ticks: 'handler in ticks',
  cycles: 'handler in cycles',
  ns: 'handler time',
  none: 'no times in this trace',
} as const;

export interface ProfileActions {
  /** Shows one reason alone, or no longer. */
  reason(reason: string): void;
  /** What the table is of. */
  of(): 'whole trace' | 'in view';
  /** Why the whole of it has no exit. */
  noExit(): string;
  /** Filters by text. */
  text(text: string): void;
}

export class ProfilePanel {
  readonly #panel = byId('profile', HTMLElement);
  readonly #actions: ProfileActions;
  #table: ProfileTable | null = null;
  #reasons: readonly string[] = [];
  #palette: Palette;
  #sort = { column: 'Count', down: true };
  readonly #unfolded = new Set<string>();

  constructor(palette: Palette, actions: ProfileActions) {
    this.#palette = palette;
    this.#actions = actions;
  }

  say(text: string): void {
    this.#table = null;
    this.#unfolded.clear();
    this.#panel.replaceChildren(el('p', { class: 'none' }, text));
  }

  show(table: ProfileTable): void {
    this.#table = table;
    this.#draw();
  }

  mark(reasons: readonly string[], palette: Palette): void {
    this.#reasons = reasons;
    this.#palette = palette;
    this.#draw();
  }

  #draw(): void {
    const table = this.#table;
    if (table === null) return;
    const problem = table.problem === null ? [] : [el('p', { class: 'problem' }, `Not all of it: ${table.problem}`)];
    if (table.exits === 0 && table.time === null) {
      const none = this.#actions.of() === 'whole trace' ? this.#actions.noExit() : 'No exit begins in view.';
      this.#panel.replaceChildren(...(problem.length > 0 ? problem : [el('p', { class: 'none' }, none)]));
      return;
    }
    const facts = el('p', { class: 'quiet facts' }, this.#facts(table).join(' · '));
    const exits = table.exits === 0 ? [] : [this.#exits(table), ...this.#instructions(table)];
    redraw(this.#panel, ...problem, facts, ...exits, ...spentTables(table));
  }

  #facts(table: ProfileTable): string[] {
    const { exits, unit, handled, lost, left } = table;
    const of = this.#actions.of();
    const count = exits === 0 ? 'No exit begins' : `${whole(exits)} exit${exits === 1 ? '' : 's'}`;
    const facts = [
      of === 'in view' ? `${count} in view` : count,
      exits === 0 ? '' : `${HANDLER[unit ?? 'none']}${of === 'in view' && handled > 0 ? `, ${WHOLE_TIMES}` : ''}`,
      of === 'in view' ? '' : of,
      outsideFact(table),
      lost > 0 ? `${whole(lost)} event${lost === 1 ? '' : 's'} lost` : '',
      left > 0 ? `${whole(left)} line${left === 1 ? '' : 's'} left out` : '',
    ];
    return facts.filter((fact) => fact !== '');
  }

  #exits(table: ProfileTable): HTMLElement {
    const lines = this.#sorted(table).flatMap((line) => this.#line(line, table));
    return el('table', { 'aria-label': 'Exits by reason' }, this.#head(), el('tbody', {}, ...lines));
  }

  #head(): HTMLElement {
    const row = el('tr');
    for (const { name, says, shown = '' } of COLUMNS) {
      const sorted = this.#sort.column === name;
      const press = (): void => {
        this.#sort = { column: name, down: sorted ? !this.#sort.down : name !== 'Reason' && name !== 'Level' };
        this.#draw();
      };
      const arrow = sorted ? el('span', { 'aria-hidden': 'true' }, this.#sort.down ? ' ↓' : ' ↑') : null;
      const head = el('th', { class: shown, title: says });
      head.append(el('button', { type: 'button', 'data-hold': `sort ${name}`, on: { click: press } }, name, arrow));
      if (sorted) head.setAttribute('aria-sort', this.#sort.down ? 'descending' : 'ascending');
      row.append(head);
    }
    return el('thead', {}, row);
  }

  #sorted({ lines }: ProfileTable): ProfileLine[] {
    const column = COLUMNS.find(({ name }) => name === this.#sort.column) ?? COLUMNS[2];
    const sign = this.#sort.down ? -1 : 1;
    return [...lines].sort((a, b) => {
      const [x, y] = [column?.order(a) ?? 0, column?.order(b) ?? 0];
      return sign * (typeof x === 'string' ? x.localeCompare(String(y)) : x - Number(y)) || b.count - a.count;
    });
  }

  #line(line: ProfileLine, table: ProfileTable): HTMLElement[] {
    const style = this.#palette.style({ kind: 'exit', reason: line.reason, failure: line.failure });
    const key = `${line.level} ${line.isa} ${line.failure} ${line.reason}`;
    const open = this.#unfolded.has(key);
    const most = table.lines.reduce((peak, { share, timeShare }) => Math.max(peak, share, timeShare), 0);
    const row = el(
      'tr',
      {
        class: this.#reasons.includes(line.reason) ? 'on' : '',
        'data-reason': line.reason,
        on: { click: () => this.#fold(key) },
      },
      el('td', {}, levelName(line.level)),
      el('td', {}, this.#reason(line, key, style, open)),
      el('td', {}, whole(line.count)),
      shareCell(line.share, most, style, 'wide'),
      shareCell(line.timeShare, most, style, 'mid'),
      ...timeCells(line.times, table.unit),
    );
    return open ? [row, this.#more(line, table, style), ...keyLines(line, table)] : [row];
  }

  #fold(key: string): void {
    if (!this.#unfolded.delete(key)) this.#unfolded.add(key);
    this.#draw();
  }

  #reason({ reason, failure }: ProfileLine, key: string, style: Style, open: boolean): HTMLElement {
    const name = failure ? `${reason} failed` : reason;
    const fold = el(
      'button',
      {
        type: 'button',
        class: 'fold',
        'aria-expanded': String(open),
        'data-hold': key,
        title: 'Spread of the handler times, and what these exits were about',
      },
      swatch(style),
      el('span', {}, name),
      el('span', { class: 'arrow', 'aria-hidden': 'true' }, open ? '▾' : '▸'),
    );
    return el('span', { class: 'reason' }, fold);
  }

  /** The histogram of a line, and the way to its exits. */
  #more(line: ProfileLine, { unit }: ProfileTable, style: Style): HTMLElement {
    const picture = histogramOf(line, unit, style);
    const on = this.#reasons.includes(line.reason);
    const show = el(
      'button',
      {
        type: 'button',
        'aria-pressed': String(on),
        'data-hold': `only ${line.reason}`,
        on: { click: () => this.#actions.reason(line.reason) },
      },
      on ? 'Show all reasons again' : `Show only ${line.reason} on the timeline`,
    );
    const cell = el('td', {}, picture ?? el('p', { class: 'quiet' }, 'No handler time is known of these exits.'), show);
    cell.colSpan = COLUMNS.length - 1;
    return el('tr', { class: 'more' }, el('td'), cell);
  }

  #instructions({ rips, unit }: ProfileTable): HTMLElement[] {
    if (rips.length === 0) return [];
    const body = el('tbody');
    for (const { rip, level, reason, count, share, total, instruction, symbol } of rips) {
      const press = (): void => this.#actions.text(`rip:${rip}`);
      body.append(
        el(
          'tr',
          { on: { click: press } },
          el('td', {}, levelName(level)),
          el(
            'td',
            { class: 'place', title: symbol ?? '' },
            el(
              'button',
              {
                type: 'button',
                class: 'link',
                title: `Show the exits at ${rip}`,
                'data-hold': `at ${rip} ${reason} ${level}`,
              },
              el('code', {}, rip),
            ),
            symbol === null ? null : el('span', { class: 'symbol' }, symbol),
          ),
          el('td', { class: 'text mid' }, instruction === null ? '' : el('code', {}, instruction)),
          el('td', { class: 'text wide' }, reason),
          el('td', {}, whole(count)),
          el('td', {}, percent(share)),
          el('td', {}, total === 0 ? '–' : handlerTime(unit, total)),
        ),
      );
    }
    const names = ['Level', 'RIP', 'Instruction', 'Reason', 'Count', '%', 'Total'];
    const head = el('tr');
    for (const name of names) {
      head.append(
        el('th', { class: name === 'Reason' ? 'text wide' : name === 'Instruction' ? 'text mid' : '' }, name),
      );
    }
    return [
      el('h2', { class: 'next' }, 'Hottest instructions'),
      el('table', { class: 'rips', 'aria-label': 'Hottest instructions' }, el('thead', {}, head), body),
    ];
  }
}

function shareCell(share: number, most: number, style: Style, shown: string): HTMLElement {
  const bar = el('i');
  bar.style.width = `${most === 0 ? 0 : (share / most) * BAR_PIXELS}px`;
  fillElement(bar, style);
  return el('td', { class: shown }, el('span', { class: 'share' }, bar, el('span', {}, percent(share))));
}

function timeCells(times: ProfileTimes | null, unit: ProfileTable['unit']): HTMLElement[] {
  return TIME_KEYS.map((key) => el('td', { class: TIMES[key] }, times === null ? '–' : handlerTime(unit, times[key])));
}

function keyLines(line: ProfileLine, table: ProfileTable): HTMLElement[] {
  const more = el('tr', { class: 'key' }, el('td'), el('td', {}, `${whole(line.keysLeft)} more`));
  return [...line.keys.map((each) => keyLine(each, table)), ...(line.keysLeft > 0 ? [more] : [])];
}

function keyLine({ label, count, times }: ProfileKeyLine, { exits, unit }: ProfileTable): HTMLElement {
  return el(
    'tr',
    { class: 'key' },
    el('td'),
    el('td', {}, label),
    el('td', {}, whole(count)),
    el('td', { class: 'wide' }, percent(count / exits)),
    el('td', { class: 'mid' }),
    ...timeCells(times, unit),
  );
}
