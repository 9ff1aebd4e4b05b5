/** The whole trace in one strip, with the viewport as a D3 brush: drag it, draw a new one. */
import { brushX, type D3BrushEvent, scaleLinear, select } from 'd3';
import type { Category, Domain, View } from '../../analyzer/timeline-answers.js';
import type { Palette } from './colours.js';
import { byId } from './dom.js';
import { fillOf } from './ink.js';

export class Strip {
  readonly #canvas = byId('strip-canvas', HTMLCanvasElement);
  readonly #svg = byId('strip-brush', SVGSVGElement);
  readonly #brush = brushX<unknown>();
  readonly #group = select(this.#svg).append('g');
  #scale = scaleLinear();
  #view: View | null = null;
  #categories: readonly Category[] = [];
  #palette: Palette;
  #range: Domain = { from: 0, to: 1 };
  #size = { width: 0, height: 0 };

  constructor(palette: Palette, moved: (range: Domain) => void) {
    this.#palette = palette;
    this.#brush.on('brush end', (event: D3BrushEvent<unknown>) => {
      if (event.sourceEvent === null || event.sourceEvent === undefined) return;
      const at = event.selection;
      if (at === null) {
        if (event.type === 'end') this.#jump(event.sourceEvent, moved);
        return;
      }
      const [left, right] = [Number(at[0]), Number(at[1])];
      if (right - left >= 1) moved({ from: this.#scale.invert(left), to: this.#scale.invert(right) });
    });
    new ResizeObserver(() => this.#resize()).observe(this.#svg);
  }

  /** A click without a drag brings the viewport there. */
  #jump(event: unknown, moved: (range: Domain) => void): void {
    if (!(event instanceof MouseEvent)) return;
    const at = this.#scale.invert(event.clientX - this.#svg.getBoundingClientRect().left);
    const span = this.#range.to - this.#range.from;
    moved({ from: at - span / 2, to: at + span / 2 });
  }

  show(view: View | null, categories: readonly Category[], domain: Domain): void {
    this.#view = view;
    this.#categories = categories;
    this.#scale.domain([domain.from, domain.to]);
    this.#resize();
  }

  recolour(palette: Palette): void {
    this.#palette = palette;
    this.#paint();
  }

  setRange(range: Domain): void {
    this.#range = range;
    if (this.#size.width === 0) return;
    const inside = (value: number): number => Math.min(this.#size.width, Math.max(0, this.#scale(value)));
    const left = inside(range.from);
    const right = inside(range.to);
    const middle = (left + right) / 2;
    // a viewport thinner than this could not be taken hold of
    const half = Math.max(2, (right - left) / 2);
    this.#group.call(this.#brush.move, [Math.max(0, middle - half), Math.min(this.#size.width, middle + half)]);
  }

  #resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#svg;
    if (width === 0) return;
    this.#size = { width, height };
    this.#scale.range([0, width]);
    const ratio = Math.min(3, devicePixelRatio);
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    this.#canvas.getContext('2d')?.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#brush.extent([
      [0, 0],
      [width, height],
    ]);
    this.#group.call(this.#brush);
    this.setRange(this.#range);
    this.#paint();
  }

  #paint(): void {
    const context = this.#canvas.getContext('2d');
    const view = this.#view;
    if (context === null) return;
    const { width, height } = this.#size;
    context.clearRect(0, 0, width, height);
    if (view === null) return;
    const bins = new Map<number, Map<number, number>>();
    const add = (bin: number, category: number, count: number): void => {
      const ofBin = bins.get(bin) ?? new Map<number, number>();
      bins.set(bin, ofBin.set(category, (ofBin.get(category) ?? 0) + count));
    };
    const failures = new Set<number>();
    for (const { cells, events, failures: failed } of view.lanes) {
      for (let i = 0; i < cells.length; i += 3) add(cells[i] ?? 0, cells[i + 1] ?? 0, cells[i + 2] ?? 0);
      for (let i = 0; i < failed.length; i += 3) failures.add(failed[i] ?? 0);
      for (let i = 0; i < events.length; i += 4) {
        const bin = Math.floor(((events[i + 2] ?? 0) - view.start) / view.step);
        add(bin, events[i + 1] ?? 0, 1);
        if (this.#categories[events[i + 1] ?? 0]?.failure === true) failures.add(bin);
      }
    }
    const sums = [...bins.values()].map((ofBin) => [...ofBin.values()].reduce((sum, count) => sum + count, 0));
    const peak = sums.reduce((most, sum) => Math.max(most, sum), 1);
    const step = this.#scale(view.start + view.step) - this.#scale(view.start);
    for (const [bin, ofBin] of bins) {
      let foot = height - 1;
      const left = this.#scale(view.start + bin * view.step);
      for (const [category, count] of [...ofBin].sort((a, b) => a[0] - b[0])) {
        const of = this.#categories[category];
        if (of === undefined) continue;
        const tall = (count / peak) * (height - 6);
        context.fillStyle = fillOf(context, this.#palette.style(of));
        context.fillRect(left, foot - tall, Math.max(1, step), tall);
        foot -= tall;
      }
    }
    context.fillStyle = this.#palette.failure.colour;
    for (const bin of failures) context.fillRect(this.#scale(view.start + bin * view.step), 0, Math.max(2, step), 4);
  }
}
