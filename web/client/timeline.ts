/** The timeline: D3 scale, axis and zoom over a canvas that is painted from the latest answer of the server. */
import { type ScaleLinear, scaleLinear, select, type ZoomTransform, zoom, zoomIdentity, zoomTransform } from 'd3';
import type { Axis, Category, Domain, Filter, Overview, Place, View } from '../../analyzer/timeline-answers.js';
import * as api from './api.js';
import type { Palette } from './colours.js';
import { byId } from './dom.js';
import { Hover } from './hover.js';
import { nameLanes } from './lane-names.js';
import { type LaneRow, layLanes } from './layout.js';
import { type Bars, paint, type Scene, stack } from './paint.js';
import { drawRuler, ticksOf } from './ruler.js';

export interface Shown {
  readonly id: number;
  readonly overview: Overview;
  readonly axis: Axis;
  readonly filter: Filter;
  /** Whether times are those of the host's clock, not from the start of the trace. */
  readonly absolute: boolean;
}

interface Listeners {
  /** The viewport moved, or its answer came. */
  moved(range: Domain): void;
  answered(view: View, range: Domain): void;
  failed(error: unknown): void;
  selected(place: Place | null): void;
}

/** A viewport is never narrower than this many ticks, nanoseconds or events. */
const LEAST_SPAN = 8;
/** Pixels a bin has at the least. */
const BIN_PIXELS = 2;
/** An answer that takes longer is waited for visibly. */
const PATIENCE_MS = 200;
/** An event this close to the edge, in pixels, is brought to the middle. */
const EDGE = 4;

export class TimelineView {
  readonly #canvas = byId('canvas', HTMLCanvasElement);
  readonly #ruler = byId('ruler', SVGSVGElement);
  readonly #scroll = byId('scroll', HTMLElement);
  readonly #lanes = byId('lanes', HTMLElement);
  readonly #names = byId('names', HTMLElement);
  readonly #listeners: Listeners;
  readonly #zoom = zoom<HTMLCanvasElement, unknown>();
  readonly #hover: Hover;
  #shown: Shown | null = null;
  #palette: Palette;
  #rows: LaneRow[] = [];
  #view: View | null = null;
  #bars: ReadonlyMap<number, Bars> = new Map();
  #base: ScaleLinear<number, number> = scaleLinear();
  #width = 1;
  #height = 1;
  #selected: Place | null = null;
  #frame = 0;
  #asking = false;
  #stale = false;
  #generation = 0;

  constructor(palette: Palette, listeners: Listeners) {
    this.#palette = palette;
    this.#listeners = listeners;
    this.#hover = new Hover(
      this.#canvas,
      () => this.scene(),
      () => this.redraw(),
    );
    this.#zoom
      .filter((event: Event) => this.#zooms(event))
      .on('zoom', () => {
        this.redraw();
        this.#ask();
        this.#listeners.moved(this.range);
      });
    select(this.#canvas).call(this.#zoom);
    this.#canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    this.#canvas.addEventListener('click', (event) => void this.#click(event));
    this.#scroll.addEventListener('scroll', () => this.redraw());
    new ResizeObserver(() => this.#resize()).observe(byId('timeline', HTMLElement));
  }

  get range(): Domain {
    const [from = 0, to = 1] = this.#scale().domain();
    return { from, to };
  }

  get rows(): readonly LaneRow[] {
    return this.#rows;
  }

  /** Shows a trace, another axis of it or another filter; `range` null: all of it. */
  show(shown: Shown, range: Domain | null): void {
    this.#shown = shown;
    this.#generation++;
    this.#view = null;
    const { from, to } = shown.overview.axes[shown.axis] ?? { from: 0, to: 1 };
    this.#base = scaleLinear().domain([from, to]);
    this.#resize();
    this.setRange(range ?? { from, to });
  }

  /** The same viewport through another filter. */
  refilter(filter: Filter): void {
    if (this.#shown === null) return;
    this.#shown = { ...this.#shown, filter };
    this.#generation++;
    this.#layLanes();
    this.#ask();
    this.redraw();
  }

  /** At once: a page that goes to the printer has no further frame. */
  recolour(palette: Palette): void {
    this.#palette = palette;
    this.#paint();
  }

  setRange({ from, to }: Domain): void {
    const [first = 0, last = 1] = this.#base.domain();
    const span = Math.min(last - first, Math.max(LEAST_SPAN, to - from));
    const start = Math.min(Math.max(first, from), last - span);
    const k = (last - first) / span;
    const transform = zoomIdentity.translate(-this.#base(start) * k, 0).scale(k);
    select(this.#canvas).call(this.#zoom.transform, transform);
  }

  /** Shows the whole trace. */
  showAll(): void {
    const [from = 0, to = 1] = this.#base.domain();
    this.setRange({ from, to });
  }

  /** Times from the start of the trace, or those of the host's clock. */
  setAbsolute(absolute: boolean): void {
    if (this.#shown === null) return;
    this.#shown = { ...this.#shown, absolute };
    this.redraw();
  }

  zoomBy(factor: number): void {
    const at = this.#selected === null ? null : this.#pixelOf(this.#selected);
    const centre = at !== null && at >= 0 && at <= this.#width ? at : this.#width / 2;
    select(this.#canvas).call(this.#zoom.scaleBy, factor, [centre, 0]);
  }

  /** Moves by a share of what is seen; positive is later. */
  panBy(share: number): void {
    const { k } = zoomTransform(this.#canvas);
    select(this.#canvas).call(this.#zoom.translateBy, (-share * this.#width) / k, 0);
  }

  /** Marks an event; `reveal` brings it into the viewport. */
  select(place: Place | null, reveal: boolean): void {
    this.#selected = place;
    if (place !== null && reveal) this.#reveal(place);
    this.redraw();
  }

  redraw(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  /** What is painted now; null before the first answer. */
  scene(): Scene | null {
    if (this.#shown === null || this.#view === null) return null;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    const scale = this.#scale();
    const at = this.#selected?.at[this.#shown.axis];
    return {
      view: this.#view,
      bars: this.#bars,
      rows: this.#rows,
      categories: this.#shown.overview.categories,
      palette: this.#palette,
      colours: {
        line: colour('line'),
        grid: colour('grid'),
        accent: colour('accent'),
        ink: colour('ink'),
        hatch: colour('hatch'),
        paper: colour('surface'),
        lost: colour('lost'),
      },
      x: (value) => scale(value),
      ticks: this.#ticks(scale),
      width: this.#width,
      height: this.#height,
      scroll: this.#scroll.scrollTop,
      selected: at === undefined || this.#selected === null ? null : { x: at, lane: this.#selected.lane },
      pointer: this.#hover.pointer,
    };
  }

  #scale(): ScaleLinear<number, number> {
    const transform: ZoomTransform = zoomTransform(this.#canvas);
    return transform.rescaleX(this.#base);
  }

  #ticks(scale: ScaleLinear<number, number>): number[] {
    return ticksOf(scale, this.#width, this.#clock);
  }

  /** The host's clock at the start of the axis, where times are shown as it had them. */
  get #clock(): string | null {
    const shown = this.#shown;
    return shown?.axis === 'time' && shown.absolute ? shown.overview.timeBase : null;
  }

  /** The wheel zooms; where lanes overflow it scrolls, and zooms with Ctrl. */
  #zooms(event: Event): boolean {
    if (event instanceof WheelEvent) {
      const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      return !sideways && (event.ctrlKey || this.#scroll.scrollHeight <= this.#scroll.clientHeight + 1);
    }
    return !(event instanceof MouseEvent) || (event.button === 0 && !event.ctrlKey);
  }

  #wheel(event: WheelEvent): void {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!sideways) return;
    event.preventDefault();
    this.panBy((event.deltaX === 0 ? event.deltaY : event.deltaX) / this.#width);
  }

  #resize(): void {
    const width = Math.max(50, this.#scroll.clientWidth - this.#names.offsetWidth);
    const range = this.#shown === null || width === this.#width ? null : this.range;
    this.#width = width;
    this.#layLanes();
    this.#base.range([0, width]);
    const [from = 0, to = 1] = this.#base.domain();
    this.#zoom
      .extent([
        [0, 0],
        [width, 1],
      ])
      .translateExtent([
        [0, Number.NEGATIVE_INFINITY],
        [width, Number.POSITIVE_INFINITY],
      ])
      .scaleExtent([1, Math.max(1, (to - from) / LEAST_SPAN)]);
    if (range !== null) this.setRange(range);
    this.redraw();
  }

  #layLanes(): void {
    if (this.#shown === null) return;
    const { overview, filter } = this.#shown;
    const space = Math.max(150, Math.round(innerHeight * (innerWidth < 720 ? 0.36 : 0.4)));
    this.#rows = layLanes(overview, filter, space);
    const high = this.#rows.reduce((low, row) => Math.max(low, row.top + row.height), 0);
    this.#height = Math.max(60, Math.min(space, high));
    this.#scroll.style.height = `${this.#height + 1}px`;
    this.#lanes.style.height = `${Math.max(high, this.#height)}px`;
    const ratio = Math.min(3, devicePixelRatio);
    this.#canvas.width = Math.round(this.#width * ratio);
    this.#canvas.height = Math.round(this.#height * ratio);
    this.#canvas.style.width = `${this.#width}px`;
    this.#canvas.style.height = `${this.#height}px`;
    this.#canvas.getContext('2d')?.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#nameLanes();
  }

  #nameLanes(): void {
    const binned = this.#view?.detail === 'bins';
    nameLanes(this.#names, this.#rows, (lane) => (binned ? (this.#bars.get(lane)?.peak ?? 0) : 0));
  }

  #ask(): void {
    if (this.#asking) {
      this.#stale = true;
      return;
    }
    const shown = this.#shown;
    if (shown === null) return;
    this.#asking = true;
    const waiting = setTimeout(() => this.#canvas.classList.add('waiting'), PATIENCE_MS);
    const generation = this.#generation;
    const range = this.range;
    const bins = Math.min(4096, Math.max(1, Math.floor(this.#width / BIN_PIXELS)));
    api
      .viewOf(shown.id, shown.axis, range.from, range.to, bins, shown.filter)
      .then((view) => {
        if (generation === this.#generation) this.#take(view, shown.overview.categories, range);
      })
      .catch((error: unknown) => {
        if (generation === this.#generation) this.#listeners.failed(error);
      })
      .finally(() => {
        this.#asking = false;
        clearTimeout(waiting);
        this.#canvas.classList.remove('waiting');
        if (!this.#stale) return;
        this.#stale = false;
        this.#ask();
      });
  }

  #take(view: View, categories: readonly Category[], range: Domain): void {
    this.#view = view;
    const order = categories
      .map((_, at) => at)
      .sort((a, b) => (categories[b]?.count ?? 0) - (categories[a]?.count ?? 0));
    this.#bars = new Map(view.detail === 'bins' ? view.lanes.map((lane) => [lane.lane, stack(lane, order)]) : []);
    this.#nameLanes();
    this.redraw();
    this.#listeners.answered(view, range);
  }

  #paint(): void {
    const context = this.#canvas.getContext('2d');
    if (context === null || this.#shown === null) return;
    const scale = this.#scale();
    drawRuler(this.#ruler, scale, this.#ticks(scale), this.#shown.axis, this.#clock);
    const scene = this.scene();
    if (scene === null) context.clearRect(0, 0, this.#width, this.#height);
    else paint(context, scene);
  }

  #pixelOf(place: Place): number | null {
    const at = this.#shown === null ? undefined : place.at[this.#shown.axis];
    return at === undefined ? null : this.#scale()(at);
  }

  #reveal(place: Place): void {
    const pixel = this.#pixelOf(place);
    if (pixel === null) return;
    if (pixel < EDGE || pixel > this.#width - EDGE) {
      const { from, to } = this.range;
      const centre = this.#scale().invert(pixel);
      this.setRange({ from: centre - (to - from) / 2, to: centre + (to - from) / 2 });
    }
    const row = this.#rows.find(({ index }) => index === place.lane);
    if (row === undefined) return;
    if (row.top < this.#scroll.scrollTop) this.#scroll.scrollTop = row.top;
    const below = row.top + row.height - this.#height;
    if (below > this.#scroll.scrollTop) this.#scroll.scrollTop = below;
  }

  async #click(event: MouseEvent): Promise<void> {
    const shown = this.#shown;
    const hit = this.#hover.hit(event.offsetX, event.offsetY);
    if (shown === null || hit === null) return;
    try {
      const x = this.#scale().invert(event.offsetX);
      const place =
        hit.seq === null
          ? await api.nearestTo(shown.id, shown.axis, hit.row.index, x, shown.filter)
          : await api.stepFrom(shown.id, hit.seq - 1, 1, { ...shown.filter, text: '' }, false);
      this.#listeners.selected(place);
    } catch (error) {
      this.#listeners.failed(error);
    }
  }
}
