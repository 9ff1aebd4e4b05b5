/** The event that is looked at: choosing it, stepping from it, and its panel. */
import type { Axis, Detail, Filter, Overview, Place } from '../../analyzer/timeline-answers.js';
import * as api from './api.js';
import type { Palette } from './colours.js';
import { showDetail, showNoDetail } from './detail.js';
import { byId } from './dom.js';
import { whole } from './format.js';
import type { TimelineView } from './timeline.js';

const NOTHING_CHOSEN = 'Click an event, or press N for the first one in view.';
/** Lanes in which the first event in view is looked for. */
const MOST_LANES = 64;
/** An answer that takes longer is waited for visibly. */
const PATIENCE_MS = 200;
/** Zoomed to, an event's handling takes a quarter of the viewport, which is at the least this wide. */
const ZOOMED = { share: 4, least: { tick: 256, time: 20_000, seq: 64 } } as const;

export interface Context {
  readonly id: number;
  readonly overview: Overview;
  readonly axis: Axis;
  readonly filter: Filter;
  readonly palette: Palette;
}

export class Selection {
  readonly #timeline: TimelineView;
  readonly #context: () => Context | null;
  readonly #changed: (seq: number | null) => void;
  #seq: number | null = null;
  #detail: Detail | null = null;
  /** Steps wait for one another, so that each starts where the one before it ended. */
  #steps: Promise<void> = Promise.resolve();

  constructor(timeline: TimelineView, context: () => Context | null, changed: (seq: number | null) => void) {
    this.#timeline = timeline;
    this.#context = context;
    this.#changed = changed;
  }

  get seq(): number | null {
    return this.#seq;
  }

  close(): void {
    this.#seq = null;
    this.#detail = null;
    this.#timeline.select(null, false);
    showNoDetail(NOTHING_CHOSEN);
    delete byId('detail', HTMLElement).dataset.seq;
    this.#changed(null);
  }

  choose(place: Place, reveal: boolean): void {
    this.#timeline.select(place, reveal);
    void this.goTo(place.seq, false);
  }

  /** Chooses an event by its number; `reveal` brings it into the viewport. */
  async goTo(seq: number, reveal: boolean): Promise<void> {
    const context = this.#context();
    if (context === null) return;
    this.#seq = seq;
    this.#changed(seq);
    const waiting = setTimeout(() => this.#seq === seq && showNoDetail(`Reading event #${whole(seq)} …`), PATIENCE_MS);
    try {
      const detail = await api.detailOf(context.id, seq);
      if (this.#seq !== seq || this.#context()?.id !== context.id) return;
      this.#detail = detail;
      this.#timeline.select(detail.place, reveal);
      this.redraw();
    } catch (error) {
      if (this.#seq === seq) showNoDetail(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(waiting);
    }
  }

  /** Draws the panel anew, as on another axis or in other colours. */
  redraw(): void {
    const context = this.#context();
    const detail = this.#detail;
    if (context === null || detail === null) return;
    showDetail(
      detail,
      context.overview.categories[detail.place.category],
      context.axis,
      context.palette,
      {
        go: (to) => void this.goTo(to, true),
        step: (direction) => this.step(direction, false),
        close: () => this.close(),
      },
      context.overview.timeBase,
    );
  }

  /** To the next (1) or previous (-1) event that passes the filter, or failure. */
  step(direction: 1 | -1, failures: boolean): void {
    this.#steps = this.#steps.then(() => this.#step(direction, failures));
  }

  zoom(): void {
    const axis = this.#context()?.axis;
    const at = axis === undefined ? undefined : this.#detail?.place.at[axis];
    if (axis === undefined || at === undefined) return;
    const took = this.#detail?.end?.took[axis] ?? 0;
    const half = Math.max(ZOOMED.least[axis], took * ZOOMED.share) / 2;
    this.#timeline.setRange({ from: at + took / 2 - half, to: at + took / 2 + half });
  }

  async #step(direction: 1 | -1, failures: boolean): Promise<void> {
    const context = this.#context();
    if (context === null) return;
    try {
      const from = this.#seq ?? (await this.#beforeView(context, direction));
      const place = await api.stepFrom(context.id, from, direction, context.filter, failures);
      if (place !== null) this.choose(place, true);
      else if (this.#seq === null)
        showNoDetail(failures ? 'This trace has no failure.' : 'No event passes the filter.');
    } catch (error) {
      showNoDetail(error instanceof Error ? error.message : String(error));
    }
  }

  /** Where stepping starts when no event is chosen: before the first one in view, or behind the last. */
  async #beforeView({ id, overview, axis, filter }: Context, direction: 1 | -1): Promise<number> {
    const { from, to } = this.#timeline.range;
    let best: number | null = null;
    for (const { index } of this.#timeline.rows.slice(0, MOST_LANES)) {
      const place = await api.nearestTo(id, axis, index, direction === 1 ? from : to, filter);
      const at = place?.at[axis];
      if (place === null || at === undefined || at < from || at >= to) continue;
      if (best === null || (place.seq - best) * direction < 0) best = place.seq;
    }
    return best === null ? (direction === 1 ? -1 : overview.events) : best - direction;
  }
}
