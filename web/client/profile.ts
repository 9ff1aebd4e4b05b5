/** The profile table: where the exits go, by level and reason. */
import type { ProfileLine, ProfileTable } from '../../analyzer/timeline-answers.js';
import type { Palette } from './colours.js';
import { byId, el, swatch } from './dom.js';
import { duration, levelName, percent, whole } from './format.js';

interface Column {
  readonly name: string;
  readonly says: string;
  readonly wide?: true;
  order(line: ProfileLine): number | string;
}

const time = (pick: 'mean' | 'p50' | 'p99' | 'max' | 'total'): ((line: ProfileLine) => number) => {
  return ({ times }) => times?.[pick] ?? -1;
};
const COLUMNS: readonly Column[] = [
  { name: 'Level', says: 'level that exited', order: ({ level }) => level ?? -1 },
  { name: 'Reason', says: 'exit reason', order: ({ reason }) => reason },
  { name: 'Count', says: 'exits', order: ({ count }) => count },
  { name: 'Share', says: 'share of all exits, in %', order: ({ count }) => count },
  { name: 'Mean', says: 'mean time of the handler', order: time('mean') },
  { name: 'p50', says: 'median', order: time('p50') },
  { name: 'p99', says: 'of 100 exits, 99 took no longer', order: time('p99') },
  { name: 'Max', says: 'longest', order: time('max') },
  { name: 'Total', says: 'time in the handler', wide: true, order: time('total') },
];

export class ProfilePanel {
  readonly #panel = byId('profile', HTMLElement);
  readonly #choose: (reason: string) => void;
  #table: ProfileTable | null = null;
  #reasons: readonly string[] = [];
  #palette: Palette;
  #sort = { column: 'Count', down: true };

  constructor(palette: Palette, choose: (reason: string) => void) {
    this.#palette = palette;
    this.#choose = choose;
  }

  say(text: string): void {
    this.#table = null;
    this.#panel.replaceChildren(el('h2', {}, 'Profile'), el('p', { class: 'none' }, text));
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
    if (table.exits === 0) {
      this.#panel.replaceChildren(
        el('h2', {}, 'Profile'),
        el(
          'p',
          { class: 'none' },
          'This trace has no exit. A kernel without kvm_intel or kvm_amd emits none, though its other kvm events are here.',
        ),
      );
      return;
    }
    const unit = table.unit === 'ticks' ? 'handler in ticks' : 'handler time';
    const shown = el(
      'table',
      {},
      this.#head(),
      el('tbody', {}, ...this.#sorted(table).map((line) => this.#line(line, table))),
    );
    this.#panel.replaceChildren(
      el('h2', {}, 'Profile', el('span', { class: 'quiet' }, `${whole(table.exits)} exits · ${unit} · whole trace`)),
      shown,
    );
  }

  #head(): HTMLElement {
    const row = el('tr');
    for (const { name, says, wide } of COLUMNS) {
      const sorted = this.#sort.column === name;
      const press = (): void => {
        this.#sort = { column: name, down: sorted ? !this.#sort.down : name !== 'Reason' && name !== 'Level' };
        this.#draw();
      };
      const label = `${name}${sorted ? (this.#sort.down ? ' ↓' : ' ↑') : ''}`;
      const head = el(
        'th',
        { class: wide ? 'wide' : '', title: says },
        el('button', { type: 'button', on: { click: press } }, label),
      );
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

  #line(line: ProfileLine, { unit, lines }: ProfileTable): HTMLElement {
    const colour = this.#palette.category({ kind: 'exit', reason: line.reason, failure: line.failure });
    const show = unit === 'ticks' ? whole : duration;
    const most = lines.reduce((peak, { share }) => Math.max(peak, share), 0);
    const bar = el('i');
    bar.style.width = `${(line.share / most) * 44}px`;
    bar.style.backgroundColor = colour;
    const times = (['mean', 'p50', 'p99', 'max', 'total'] as const).map((key) =>
      el('td', { class: key === 'total' ? 'wide' : '' }, line.times === null ? '–' : show(line.times[key])),
    );
    const name = line.failure ? `${line.reason} failed` : line.reason;
    return el(
      'tr',
      {
        class: this.#reasons.includes(line.reason) ? 'on' : '',
        'data-reason': line.reason,
        on: { click: () => this.#choose(line.reason) },
      },
      el('td', {}, levelName(line.level)),
      el('td', {}, el('span', { class: 'reason' }, swatch(colour), name)),
      el('td', {}, whole(line.count)),
      el('td', {}, el('span', { class: 'share' }, bar, el('span', {}, percent(line.share)))),
      ...times,
    );
  }
}
