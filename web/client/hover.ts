/** What lies under the pointer, and the tooltip that tells it. */
import type { Gap } from '../../analyzer/timeline-answers.js';
import { byId, el } from './dom.js';
import { amount, laneTitle, moment, place, whole } from './format.js';
import { swatch } from './ink.js';
import type { LaneRow } from './layout.js';
import { eventBox, type Scene } from './paint.js';

export interface Hit {
  readonly row: LaneRow;
  /** The event under the pointer, where events are shown one by one, or the first failure of the bin. */
  readonly seq: number | null;
  /** Index of the event in LaneView.events. */
  readonly event: number | null;
  readonly bin: number;
  readonly gaps: readonly Gap[];
}

/** Pixels by which a pointer may miss. */
const REACH = 4;
/** The head of a lane, where failures are marked. */
const HEAD = 10;
const MOST_LINES = 10;

export class Hover {
  pointer: number | null = null;
  readonly #tip = byId('tip', HTMLElement);
  readonly #canvas: HTMLCanvasElement;
  readonly #scene: () => Scene | null;

  constructor(canvas: HTMLCanvasElement, scene: () => Scene | null, redraw: () => void) {
    this.#canvas = canvas;
    this.#scene = scene;
    canvas.addEventListener('pointermove', (event) => {
      this.pointer = event.pointerType === 'touch' ? null : event.offsetX;
      this.#show(event);
      redraw();
    });
    canvas.addEventListener('pointerleave', () => {
      this.pointer = null;
      this.#tip.hidden = true;
      redraw();
    });
    canvas.addEventListener('pointerdown', () => {
      this.#tip.hidden = true;
    });
  }

  hit(px: number, py: number): Hit | null {
    const scene = this.#scene();
    if (scene === null) return null;
    const y = py + scene.scroll;
    const row = scene.rows.find(({ top, height }) => y >= top && y < top + height);
    if (row === undefined) return null;
    const { view, x } = scene;
    const lane = view.lanes.find((each) => each.lane === row.index);
    const bin = Math.floor((px - x(view.start)) / (x(view.start + view.step) - x(view.start)));
    const gaps = view.gaps.filter(
      (gap) => (gap.vcpu === null || gap.vcpu === row.lane.vcpu) && px >= x(gap.from) - 2 && px <= x(gap.to) + REACH,
    );
    const hit = { row, bin, gaps };
    if (lane === undefined) return { ...hit, seq: null, event: null };
    if (view.detail === 'events') {
      const event = nearestEvent(scene, row, lane.events, px, y);
      return { ...hit, event, seq: event === null ? null : (lane.events[event] ?? null) };
    }
    if (y - row.top <= HEAD) {
      for (let i = 0; i < lane.failures.length; i += 3) {
        const at = x(view.start + ((lane.failures[i] ?? 0) + 0.5) * view.step);
        if (Math.abs(at - px) <= REACH) return { ...hit, event: null, seq: lane.failures[i + 1] ?? null };
      }
    }
    return { ...hit, seq: null, event: null };
  }

  #show(event: PointerEvent): void {
    const scene = this.#scene();
    const hit = event.buttons === 0 && event.pointerType !== 'touch' ? this.hit(event.offsetX, event.offsetY) : null;
    const lines = scene === null || hit === null ? null : tell(scene, hit);
    if (lines === null) {
      this.#tip.hidden = true;
      return;
    }
    this.#tip.replaceChildren(...lines);
    this.#tip.hidden = false;
    const box = this.#canvas.getBoundingClientRect();
    const frame = byId('timeline', HTMLElement).getBoundingClientRect();
    const left = box.left - frame.left + event.offsetX;
    const top = box.top - frame.top + event.offsetY;
    const { offsetWidth, offsetHeight } = this.#tip;
    const flip = left + 16 + offsetWidth > frame.width;
    this.#tip.style.left = `${Math.max(4, flip ? left - 14 - offsetWidth : left + 14)}px`;
    const lowest = innerHeight - frame.top - offsetHeight - 6;
    this.#tip.style.top = `${Math.min(top + 14, lowest)}px`;
  }
}

function nearestEvent(scene: Scene, row: LaneRow, events: readonly number[], px: number, y: number): number | null {
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < events.length; i += 4) {
    const left = scene.x(events[i + 2] ?? 0);
    const end = events[i + 3] ?? -1;
    const right = end < 0 ? left : scene.x(end);
    if (px < left - REACH || px > right + REACH) continue;
    const isExit = scene.categories[events[i + 1] ?? 0]?.kind.endsWith('exit') ?? false;
    const box = eventBox(row, isExit);
    // what starts close to the pointer goes before what merely reaches there; what is under it before what is not
    const distance = Math.min(Math.abs(px - left), px <= right ? REACH : REACH * 2) + (y < box.top ? REACH : 0);
    if (distance < least) {
      least = distance;
      best = i;
    }
  }
  return best;
}

function tell(scene: Scene, hit: Hit): Node[] | null {
  const { view, categories, palette } = scene;
  const lines: Node[] = [];
  const lane = view.lanes.find((each) => each.lane === hit.row.index);
  if (hit.event !== null && lane !== undefined) {
    const category = categories[lane.events[hit.event + 1] ?? 0];
    const at = lane.events[hit.event + 2] ?? 0;
    const end = lane.events[hit.event + 3] ?? -1;
    const name = category?.reason ?? category?.kind ?? '';
    const title = el('p', {}, category === undefined ? null : swatch(palette.style(category)), ' ', el('b', {}, name));
    lines.push(
      title,
      el('p', { class: 'quiet' }, `${laneTitle(hit.row.lane)} · #${whole(lane.events[hit.event] ?? 0)}`),
    );
    lines.push(
      el(
        'p',
        { class: 'quiet' },
        `at ${moment(view.axis, at)}${end < 0 ? '' : `, handled in ${amount(view.axis, end - at)}`}`,
      ),
    );
  } else if (lane !== undefined && view.detail === 'bins') {
    const counts = countsOf(lane.cells, hit.bin);
    if (counts.length > 0) {
      const from = view.start + hit.bin * view.step;
      lines.push(
        el('p', {}, `${place(view.axis, from, view.step)} – ${place(view.axis, from + view.step, view.step)}`),
      );
      const list = el('dl');
      for (const [category, count] of counts.slice(0, MOST_LINES)) {
        const of = categories[category];
        if (of === undefined) continue;
        const name = `${of.reason ?? of.kind}${of.failure ? ' (failed)' : ''}`;
        list.append(swatch(palette.style(of)), el('dt', {}, name), el('dd', {}, whole(count)));
      }
      if (counts.length > MOST_LINES)
        list.append(el('i'), el('dt', {}, `and ${counts.length - MOST_LINES} more`), el('dd'));
      lines.push(list);
    }
  }
  for (const gap of hit.gaps.slice(0, 3)) lines.push(el('p', {}, el('b', {}, 'Gap: '), gapName(gap)));
  return lines.length === 0 ? null : lines;
}

function gapName({ says, lost, gaps }: Gap): string {
  const many = gaps > 1 ? `${whole(gaps)} gaps, ` : '';
  return `${many}${lost === null ? says : `${whole(lost)} events lost`}`;
}

function countsOf(cells: readonly number[], bin: number): [category: number, count: number][] {
  const counts: [number, number][] = [];
  for (let i = 0; i < cells.length; i += 3) if (cells[i] === bin) counts.push([cells[i + 1] ?? 0, cells[i + 2] ?? 0]);
  return counts.sort((a, b) => b[1] - a[1]);
}
