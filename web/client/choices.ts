/** Menus of which any number can be chosen: of kinds, vCPUs and levels, and others. */
import type { Filter, Overview } from '../../analyzer/timeline-answers.js';
import { byId, el, redraw } from './dom.js';
import { brief, levelName } from './format.js';

interface Option<T> {
  readonly value: T;
  readonly label: string;
  readonly count: number;
}

/** Null where there is nothing to choose from. */
export function menu<T extends string | number>(
  name: string,
  options: readonly Option<T>[],
  chosen: readonly T[],
  choose: (values: T[]) => void,
  open: boolean,
): HTMLDetailsElement | null {
  if (options.length < 2) return null;
  const labels = options.filter(({ value }) => chosen.includes(value)).map((each) => each.label);
  const shown = labels.length > 2 ? String(labels.length) : labels.join(', ');
  const details = el(
    'details',
    { class: chosen.length > 0 ? 'choice set' : 'choice', 'data-menu': name },
    el('summary', { 'data-hold': name }, shown === '' ? name : `${name}: ${shown}`),
    el(
      'div',
      {},
      ...options.map(({ value, label: text, count }) => {
        const box = el('input', { type: 'checkbox', value: String(value), 'data-hold': `${name} ${value}` });
        box.checked = chosen.includes(value);
        box.addEventListener('change', () =>
          choose(box.checked ? [...chosen, value] : chosen.filter((each) => each !== value)),
        );
        return el('label', {}, box, el('span', {}, text), el('span', {}, brief(count)));
      }),
    ),
  );
  details.open = open;
  return details;
}

function tally<T>(
  items: readonly { readonly value: T; readonly label: string; readonly count: number }[],
): Option<T>[] {
  const options = new Map<T, Option<T>>();
  for (const { value, label, count } of items) {
    options.set(value, { value, label, count: (options.get(value)?.count ?? 0) + count });
  }
  return [...options.values()];
}

/** Builds the menus anew; the one that is open stays open. */
export function showChoices(overview: Overview, filter: Filter, choose: (part: Partial<Filter>) => void): void {
  const place = byId('choices', HTMLElement);
  const open = place.querySelector('details[open]')?.getAttribute('data-menu');
  const { lanes, categories } = overview;
  const kinds = tally(categories.map(({ kind, count }) => ({ value: kind, label: kind, count })));
  const vcpus = tally(lanes.map(({ vcpu, name, count }) => ({ value: vcpu, label: name, count })));
  const levels = tally(lanes.map(({ level, count }) => ({ value: level ?? -1, label: levelName(level), count })));
  const menus = [
    menu(
      'Kinds',
      kinds.sort((a, b) => b.count - a.count),
      filter.kinds,
      (values) => choose({ kinds: values }),
      open === 'Kinds',
    ),
    menu(
      'vCPUs',
      vcpus.sort((a, b) => a.value - b.value),
      filter.vcpus,
      (values) => choose({ vcpus: values }),
      open === 'vCPUs',
    ),
    menu(
      'Levels',
      levels.sort((a, b) => a.value - b.value),
      filter.levels,
      (values) => choose({ levels: values }),
      open === 'Levels',
    ),
  ];
  redraw(place, ...menus.flatMap((each) => each ?? []));
  for (const each of place.querySelectorAll('details')) {
    each.addEventListener('toggle', () => {
      // told late, perhaps of a menu that was built anew meanwhile
      if (each.open && each.isConnected)
        for (const other of place.querySelectorAll('details')) if (other !== each) other.open = false;
    });
  }
}

/** Closes the menu that is open; says whether there was one. */
export function closeChoices(): boolean {
  const open = document.querySelector<HTMLDetailsElement>('.choice[open]');
  if (open === null) return false;
  const held = open.contains(document.activeElement);
  open.open = false;
  if (held) open.querySelector('summary')?.focus();
  return true;
}
