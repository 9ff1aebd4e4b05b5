/** The legend: a chip a reason with its count in the viewport. A press shows that reason alone, with others that are pressed. */
import type { Overview, View } from '../../analyzer/timeline-answers.js';
import type { Palette, Style } from './colours.js';
import { byId, el } from './dom.js';
import { whole } from './format.js';
import { swatch } from './ink.js';

interface Entry {
  /** What the filter calls it: a reason, or a kind that has no reasons. */
  readonly name: string;
  readonly isReason: boolean;
  readonly failure: boolean;
  readonly style: Style;
  readonly count: number;
  readonly total: number;
}

export function showLegend(
  overview: Overview,
  view: View,
  kinds: readonly string[],
  reasons: readonly string[],
  palette: Palette,
  toggle: (name: string, isReason: boolean) => void,
): void {
  const legend = byId('legend', HTMLElement);
  const focused = document.activeElement instanceof HTMLElement && legend.contains(document.activeElement);
  const held = focused ? document.activeElement?.getAttribute('data-name') : null;
  const entries = entriesOf(overview, view, kinds, palette);
  legend.replaceChildren(
    ...entries.map((entry) => chipOf(entry, kinds, reasons, toggle)),
    ...remarks(entries, palette.shared),
  );
  if (typeof held === 'string') {
    for (const chip of legend.querySelectorAll('button')) if (chip.dataset.name === held) chip.focus();
  }
}

/** What tells apart what colours alone do not. */
function remarks(entries: readonly Entry[], shared: number): HTMLElement[] {
  const styles = entries.map(({ style }) => style);
  const parts = [
    styles.some(({ texture }) => texture !== 'solid') ? 'patterns tell related reasons apart' : '',
    styles.filter(({ shape }) => shape !== null).length > 1 ? 'shapes tell failures apart' : '',
    shared > 0 ? `${shared} reasons share one grey grid: point at them for their names` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? [] : [el('span', { class: 'quiet remark' }, parts.join('; '))];
}

function entriesOf(overview: Overview, view: View, kinds: readonly string[], palette: Palette): Entry[] {
  const counts = new Map<number, number>();
  for (let i = 0; i < view.totals.length; i += 2) counts.set(view.totals[i] ?? 0, view.totals[i + 1] ?? 0);
  const entries = new Map<string, Entry>();
  overview.categories.forEach((category, at) => {
    const { kind, reason, failure } = category;
    if (!failure && kinds.length > 0 && !kinds.includes(kind)) return;
    const name = reason ?? kind;
    const key = `${failure} ${reason === null} ${name}`;
    const known = entries.get(key);
    entries.set(key, {
      name,
      isReason: reason !== null,
      failure,
      style: palette.style(category),
      count: (known?.count ?? 0) + (counts.get(at) ?? 0),
      total: (known?.total ?? 0) + category.count,
    });
  });
  // the order is that of the whole trace, so that chips stay where they are while the viewport moves
  return [...entries.values()].sort((a, b) => Number(b.failure) - Number(a.failure) || b.total - a.total);
}

function chipOf(
  entry: Entry,
  kinds: readonly string[],
  reasons: readonly string[],
  toggle: (name: string, isReason: boolean) => void,
): HTMLElement {
  const { name, isReason, failure, style, count, total } = entry;
  const pressed = isReason ? reasons.includes(name) : kinds.includes(name);
  const off = !failure && isReason && reasons.length > 0 && !pressed;
  const chip = el(
    'button',
    {
      type: 'button',
      class: `chip${failure ? ' failure' : ''}${off ? ' off' : ''}`,
      'aria-pressed': String(pressed),
      'data-name': name,
      'data-failure': String(failure),
      'data-count': String(count),
      title: `${name}: ${whole(count)} in view, ${whole(total)} in the trace`,
      on: { click: () => toggle(name, isReason) },
    },
    swatch(style),
    failure && isReason ? `${name} failed` : name,
    el('b', {}, whole(count)),
  );
  return chip;
}
