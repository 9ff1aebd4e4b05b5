/** The legend: a chip a reason with its count in the viewport. A press shows that reason alone, with others that are pressed. */
import type { Overview, View } from '../../analyzer/timeline-answers.js';
import type { Palette } from './colours.js';
import { byId, el, swatch } from './dom.js';
import { whole } from './format.js';

interface Entry {
  /** What the filter calls it: a reason, or a kind that has no reasons. */
  readonly name: string;
  readonly isReason: boolean;
  readonly failure: boolean;
  readonly colour: string;
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
  legend.replaceChildren(
    ...entriesOf(overview, view, kinds, palette).map((entry) => chipOf(entry, kinds, reasons, toggle)),
  );
  if (typeof held === 'string') {
    for (const chip of legend.querySelectorAll('button')) if (chip.dataset.name === held) chip.focus();
  }
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
      colour: palette.category(category),
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
  const { name, isReason, failure, colour, count, total } = entry;
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
    swatch(colour),
    failure && isReason ? `${name} failed` : name,
    el('b', {}, whole(count)),
  );
  return chip;
}
