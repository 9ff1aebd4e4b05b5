/** Tells where most events of a trace are, while all of it is shown, and leads there. */
import type { Domain, View } from '../../analyzer/timeline-answers.js';
import { button, byId, el } from './dom.js';
import { percent, whole } from './format.js';
import { type Busy, busyOf } from './home.js';

/** Ticks, nanoseconds or events of a trace that is short enough to be seen as it is. */
const LEAST_SPAN = 64;

export class Hint {
  readonly #place = byId('hint', HTMLElement);
  readonly #moveTo: (range: Domain) => void;
  #busy: Busy | null = null;
  #passing = 0;
  #domain: Domain = { from: 0, to: 1 };
  #range: Domain = this.#domain;
  #dismissed = false;

  constructor(moveTo: (range: Domain) => void) {
    this.#moveTo = moveTo;
  }

  /** `view`: of the whole trace, through the filter. */
  show(view: View | null, domain: Domain, range: Domain): void {
    this.#busy = view === null ? null : busyOf(view, domain);
    this.#passing = view?.passing ?? 0;
    this.#domain = domain;
    this.moved(range);
  }

  moved(range: Domain): void {
    this.#range = range;
    this.#draw();
  }

  /** To the busy part; to the whole trace where it is in view already, or there is none. */
  go(): void {
    const { from, to } = this.#busy ?? this.#domain;
    const there = Math.abs(this.#range.from - from) + Math.abs(this.#range.to - to) < (to - from) * 1e-3;
    this.#moveTo(there ? this.#domain : { from, to });
  }

  #who(events: number): string {
    if (this.#passing === 1) return 'The only event shown lies';
    return `${events === this.#passing ? 'All' : whole(events)} of the ${whole(this.#passing)} shown lie`;
  }

  #draw(): void {
    const busy = this.#busy;
    const { from, to } = this.#range;
    const span = this.#domain.to - this.#domain.from;
    const all = to - from > span * 0.999 && span >= LEAST_SPAN;
    this.#place.hidden = busy === null || !all || this.#dismissed;
    if (busy === null || this.#place.hidden) return;
    this.#place.replaceChildren(
      el('span', {}, `Whole trace. ${this.#who(busy.events)} in ${percent(busy.share)} % of it.`),
      button('Zoom in there', { title: 'The busy part (B)' }, () => this.go()),
      button('×', { class: 'plain', 'aria-label': 'Hide this hint' }, () => {
        this.#dismissed = true;
        this.#draw();
      }),
    );
  }
}
