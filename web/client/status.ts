/** The line that says what is in view. Its data attributes hold the same as exact numbers. */
import type { Domain, View } from '../../analyzer/timeline-answers.js';
import { byId } from './dom.js';
import { amount, whole } from './format.js';

export function showStatus(view: View, range: Domain): void {
  let shown = 0;
  for (let i = 1; i < view.totals.length; i += 2) shown += view.totals[i] ?? 0;
  const parts = [
    view.extent === null
      ? 'Nothing passes the filter (Esc clears it)'
      : shown === view.passing
        ? `${whole(shown)} in view`
        : `${whole(shown)} of ${whole(view.passing)} in view`,
    amount(view.axis, range.to - range.from),
    view.detail === 'bins' ? `bins of ${view.axis === 'time' ? amount('time', view.step) : whole(view.step)}` : '',
    view.lanesLeftOut > 0 ? `${view.lanesLeftOut} lanes left out: choose vCPUs` : '',
  ];
  const status = byId('status', HTMLElement);
  status.textContent = parts.filter((part) => part !== '').join(' · ');
  byId('canvas', HTMLCanvasElement).setAttribute('aria-label', `Timeline: ${status.textContent}`);
  const { from, to } = range;
  Object.assign(status.dataset, { shown: String(shown), from: String(from), to: String(to), detail: view.detail });
}
