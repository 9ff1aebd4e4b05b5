/** Draws a view on a canvas. Counts are stacked once when an answer arrives; a frame only moves them. */
import type { Category, Gap, LaneView, View } from '../../analyzer/timeline-answers.js';
import { inkOn, type Palette } from './colours.js';
import { brief } from './format.js';
import { drawMark, fillOf } from './ink.js';
import type { LaneRow } from './layout.js';

/** A lane's bars: for each category in turn, bins with their foot and top as shares of the lane's peak. */
export interface Bars {
  readonly peak: number;
  readonly runs: readonly { readonly category: number; readonly bars: Float32Array }[];
}

/** Stacks a lane's cells; `order` says which category lies at the foot. */
export function stack({ cells }: LaneView, order: readonly number[]): Bars {
  const rank = new Map(order.map((category, at) => [category, at]));
  const bins = new Map<number, { category: number; count: number }[]>();
  let peak = 0;
  for (let i = 0; i < cells.length; i += 3) {
    const bin = cells[i] ?? 0;
    const ofBin = bins.get(bin) ?? [];
    ofBin.push({ category: cells[i + 1] ?? 0, count: cells[i + 2] ?? 0 });
    bins.set(bin, ofBin);
  }
  for (const ofBin of bins.values())
    peak = Math.max(
      peak,
      ofBin.reduce((sum, { count }) => sum + count, 0),
    );
  const runs = new Map<number, number[]>();
  for (const [bin, ofBin] of bins) {
    let foot = 0;
    for (const { category, count } of ofBin.sort((a, b) => (rank.get(a.category) ?? 0) - (rank.get(b.category) ?? 0))) {
      const bars = runs.get(category) ?? [];
      bars.push(bin, foot / peak, (foot + count) / peak);
      runs.set(category, bars);
      foot += count;
    }
  }
  return { peak, runs: [...runs].map(([category, bars]) => ({ category, bars: Float32Array.from(bars) })) };
}

export interface Scene {
  readonly view: View;
  readonly bars: ReadonlyMap<number, Bars>;
  readonly rows: readonly LaneRow[];
  readonly categories: readonly Category[];
  readonly palette: Palette;
  readonly colours: {
    readonly line: string;
    readonly grid: string;
    readonly accent: string;
    readonly ink: string;
    readonly hatch: string;
    readonly paper: string;
    readonly lost: string;
  };
  /** Pixel of a place on the axis. */
  readonly x: (value: number) => number;
  readonly ticks: readonly number[];
  readonly width: number;
  readonly height: number;
  readonly scroll: number;
  readonly selected: { readonly x: number; readonly lane: number } | null;
  readonly pointer: number | null;
}

/** Room above the bars of a lane, for marks. */
const HEAD = 9;
/** Gaps that say how much was lost; where there are more, the tooltip tells. */
const MOST_LABELLED = 8;
const LABEL_FONT = '11px system-ui, sans-serif';

export function paint(context: CanvasRenderingContext2D, scene: Scene): void {
  const { width, height, scroll, rows, view } = scene;
  context.clearRect(0, 0, width, height);
  context.save();
  context.translate(0, -scroll);
  const visible = rows.filter((row) => row.top + row.height > scroll && row.top < scroll + height);
  grid(context, scene, visible);
  const lanes = new Map(view.lanes.map((lane) => [lane.lane, lane]));
  for (const gap of view.gaps) hatch(context, scene, gap);
  for (const row of visible) {
    const lane = lanes.get(row.index);
    if (lane === undefined) continue;
    if (view.detail === 'bins') drawBars(context, scene, row);
    else drawEvents(context, scene, row, lane);
  }
  for (const row of visible) drawFailures(context, scene, row, lanes.get(row.index));
  for (const gap of view.gaps) gapEdge(context, scene, gap);
  drawSelection(context, scene);
  context.restore();
}

function grid(
  context: CanvasRenderingContext2D,
  { rows, ticks, x, colours, height, scroll, width }: Scene,
  visible: readonly LaneRow[],
): void {
  context.fillStyle = colours.grid;
  const end = Math.min(
    scroll + height,
    rows.reduce((low, row) => Math.max(low, row.top + row.height), 0),
  );
  for (const tick of ticks) context.fillRect(Math.round(x(tick)), scroll, 1, end - scroll);
  for (const row of visible) {
    context.fillStyle = row.first ? colours.line : colours.grid;
    context.fillRect(0, row.top, width, 1);
  }
  context.fillStyle = colours.line;
  if (visible.length > 0) context.fillRect(0, end - 1, width, 1);
}

function drawBars(context: CanvasRenderingContext2D, scene: Scene, row: LaneRow): void {
  const { view, x, categories, palette, bars } = scene;
  const room = row.height - HEAD - 1;
  const floor = row.top + row.height - 1;
  const step = x(view.start + view.step) - x(view.start);
  const gap = step >= 5 ? 1 : 0;
  const origin = x(view.start);
  for (const { category, bars: run } of bars.get(row.index)?.runs ?? []) {
    const of = categories[category];
    if (of === undefined) continue;
    context.fillStyle = fillOf(context, palette.style(of));
    for (let i = 0; i < run.length; i += 3) {
      const left = origin + (run[i] ?? 0) * step;
      if (left > scene.width || left + step < 0) continue;
      const foot = (run[i + 1] ?? 0) * room;
      // what is there is seen, however little it is beside the peak
      const tall = Math.max(1, ((run[i + 2] ?? 0) - (run[i + 1] ?? 0)) * room);
      context.fillRect(left, floor - foot - tall, Math.max(1, step - gap), tall);
    }
  }
}

/** Top and height of what is drawn for an event: exits fill the lane, other events are shorter. */
export function eventBox(row: LaneRow, isExit: boolean): { readonly top: number; readonly height: number } {
  const room = row.height - HEAD - 4;
  return isExit ? { top: row.top + HEAD, height: room } : { top: row.top + HEAD + room * 0.55, height: room * 0.45 };
}

function drawEvents(context: CanvasRenderingContext2D, scene: Scene, row: LaneRow, { events }: LaneView): void {
  const { x, categories, palette, width } = scene;
  context.font = LABEL_FONT;
  context.textBaseline = 'middle';
  for (let i = 0; i < events.length; i += 4) {
    const category = categories[events[i + 1] ?? 0];
    if (category === undefined) continue;
    const left = x(events[i + 2] ?? 0);
    const end = events[i + 3] ?? -1;
    const right = end < 0 ? left : x(end);
    if (left > width || right < -2) continue;
    const style = palette.style(category);
    const { top, height } = eventBox(row, category.kind.endsWith('exit'));
    context.fillStyle = fillOf(context, style);
    if (end >= 0) {
      context.globalAlpha = 0.78;
      context.fillRect(left, top, Math.max(1, right - left - 0.5), height);
      context.globalAlpha = 1;
    }
    context.fillStyle = style.colour;
    context.fillRect(left, top, 2, height);
    const from = Math.max(0, left) + 6;
    const space = Math.min(width, right) - from - 4;
    if (space <= 30 || height < 14) continue;
    const text = fit(context, category.reason ?? category.kind, space);
    if (text === '') continue;
    if (style.texture !== 'solid') {
      context.fillRect(from - 3, top + height / 2 - 8, context.measureText(text).width + 6, 16);
    }
    context.fillStyle = inkOn(style.colour);
    context.fillText(text, from, top + height / 2);
  }
}

/** The text, or as much of it as the space holds; empty where that says nothing. */
function fit(context: CanvasRenderingContext2D, text: string, space: number): string {
  if (context.measureText(text).width <= space) return text;
  for (let length = text.length - 1; length >= 4; length--) {
    const cut = `${text.slice(0, length)}…`;
    if (context.measureText(cut).width <= space) return cut;
  }
  return '';
}

/** A failure is a red mark at the head of its lane and a line down to its foot, however many events surround it. */
function drawFailures(context: CanvasRenderingContext2D, scene: Scene, row: LaneRow, lane: LaneView | undefined): void {
  if (lane === undefined) return;
  const { view, x, categories, palette, colours } = scene;
  const marks: [at: number, category: Category | undefined][] = [];
  const failed = failedCategories(lane, categories);
  for (let i = 0; i < lane.failures.length; i += 3) {
    const bin = lane.failures[i] ?? 0;
    marks.push([view.start + (bin + 0.5) * view.step, categories[failed.get(bin) ?? -1]]);
  }
  for (let i = 0; i < lane.events.length; i += 4) {
    const category = categories[lane.events[i + 1] ?? 0];
    if (category?.failure === true) marks.push([lane.events[i + 2] ?? 0, category]);
  }
  for (const [mark, category] of marks) {
    const at = x(mark);
    const style = category === undefined ? palette.failure : palette.style(category);
    context.fillStyle = style.colour;
    context.fillRect(at - 0.5, row.top + 5, 1, row.height - 6);
    drawMark(context, style, at, row.top + 5, colours.paper);
  }
}

/** The category of each bin's failures; of several, one. */
function failedCategories({ cells, failures }: LaneView, categories: readonly Category[]): Map<number, number> {
  const found = new Map<number, number>();
  if (failures.length === 0) return found;
  for (let i = 0; i < cells.length; i += 3) {
    if (categories[cells[i + 1] ?? 0]?.failure === true) found.set(cells[i] ?? 0, cells[i + 1] ?? 0);
  }
  return found;
}

function gapBox({ rows, x }: Scene, gap: Gap): { left: number; right: number; top: number; bottom: number } | null {
  const lanes = rows.filter(({ lane }) => gap.vcpu === null || lane.vcpu === gap.vcpu);
  const first = lanes[0];
  const last = lanes.at(-1);
  if (first === undefined || last === undefined) return null;
  const left = x(gap.from);
  const right = Math.max(x(gap.to), left + 3);
  return { left, right, top: first.top + 1, bottom: last.top + last.height - 1 };
}

/** A gap is hatched over all lanes of its vCPU: here nothing is known. */
function hatch(context: CanvasRenderingContext2D, scene: Scene, gap: Gap): void {
  const box = gapBox(scene, gap);
  if (box === null) return;
  const left = Math.max(-8, box.left);
  const right = Math.min(scene.width + 8, box.right);
  if (right <= left) return;
  context.save();
  context.beginPath();
  context.rect(left, box.top, right - left, box.bottom - box.top);
  context.clip();
  context.strokeStyle = scene.colours.hatch;
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.beginPath();
  const high = box.bottom - box.top;
  for (let at = Math.floor((left - high) / 6) * 6; at < right; at += 6) {
    context.moveTo(at, box.bottom);
    context.lineTo(at + high, box.top);
  }
  context.stroke();
  context.restore();
}

function gapEdge(context: CanvasRenderingContext2D, scene: Scene, gap: Gap): void {
  const box = gapBox(scene, gap);
  if (box === null || box.right < 0 || box.left > scene.width) return;
  context.fillStyle = scene.colours.hatch;
  const at = Math.round(box.right) - 1;
  context.fillRect(at, box.top, 1, box.bottom - box.top);
  context.fillRect(at - 3, box.top, 7, 3);
  if (gap.lost === null || scene.view.gaps.length > MOST_LABELLED) return;
  context.font = LABEL_FONT;
  context.textBaseline = 'middle';
  const text = `${brief(gap.lost)} lost`;
  const { width } = context.measureText(text);
  const left = at + 6 + width > scene.width ? at - 8 - width : at + 6;
  context.fillStyle = scene.colours.paper;
  context.fillRect(left - 2, box.top + 3, width + 4, 15);
  context.fillStyle = scene.colours.lost;
  context.fillText(text, left, box.top + 11);
}

function drawSelection(
  context: CanvasRenderingContext2D,
  { selected, rows, x, colours, pointer, height, scroll }: Scene,
): void {
  if (pointer !== null) {
    context.fillStyle = colours.ink;
    context.globalAlpha = 0.3;
    context.fillRect(Math.round(pointer), scroll, 1, height);
    context.globalAlpha = 1;
  }
  if (selected === null) return;
  const at = Math.round(x(selected.x));
  context.fillStyle = colours.accent;
  context.globalAlpha = 0.45;
  context.fillRect(at, scroll, 1, height);
  context.globalAlpha = 1;
  const row = rows.find(({ index }) => index === selected.lane);
  if (row === undefined) return;
  context.fillRect(at - 1, row.top + 1, 3, row.height - 2);
  context.beginPath();
  context.arc(at + 0.5, row.top + row.height - 5, 4, 0, 2 * Math.PI);
  context.fill();
}
