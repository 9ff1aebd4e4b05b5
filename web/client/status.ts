/** The line that says what is in view. Its data attributes hold the same as exact numbers. */
import type { Domain, Filter, View } from '../../analyzer/timeline-answers.js';
import { byId } from './dom.js';
import { amount, whole } from './format.js';

/** Names that are told before the others are counted. */
const FEW = 3;

const named = (what: string, names: readonly string[]): string[] => {
  const more = names.length > FEW ? ` and ${names.length - FEW} more` : '';
  return names.length === 0 ? [] : [`${what} ${names.slice(0, FEW).join(', ')}${more}`];
};

/** What an event must be to pass: without it, one could not tell which part of a filter hides all. */
const asked = ({ kinds, reasons, vcpus, levels, text, stack }: Filter): string =>
  [
    ...named('kind', kinds),
    ...named('reason', reasons),
    ...(vcpus.length > 0 ? ['the chosen vCPUs'] : []),
    ...(levels.length > 0 ? ['the chosen levels'] : []),
    ...(text === '' ? [] : [`“${text}”`]),
    ...(stack.length > 0 ? ['the chosen frames'] : []),
  ].join(' and ');

export function showStatus(view: View, range: Domain, filter: Filter): void {
  let shown = 0;
  for (let i = 1; i < view.totals.length; i += 2) shown += view.totals[i] ?? 0;
  const isEmpty = view.extent === null;
  const parts = [
    shown === view.passing ? `${whole(shown)} in view` : `${whole(shown)} of ${whole(view.passing)} in view`,
    amount(view.axis, range.to - range.from),
    view.detail === 'bins' ? `bins of ${view.axis === 'time' ? amount('time', view.step) : whole(view.step)}` : '',
    view.lanesLeftOut > 0 ? `${view.lanesLeftOut} lanes left out: choose vCPUs` : '',
  ];
  const status = byId('status', HTMLElement);
  const condition = asked(filter);
  const empty = condition === '' ? 'No events' : `Nothing passes the filter: ${condition} (Esc clears it)`;
  status.textContent = isEmpty ? empty : parts.filter((part) => part !== '').join(' · ');
  status.classList.toggle('empty', isEmpty);
  byId('canvas', HTMLCanvasElement).setAttribute('aria-label', `Timeline: ${status.textContent}`);
  const { from, to } = range;
  Object.assign(status.dataset, { shown: String(shown), from: String(from), to: String(to), detail: view.detail });
}
