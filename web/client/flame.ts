/**
 * The flame graph: level, guest function where symbols were given, reason, and what it was about, as wide as its
 * handler time or its number of exits. A press on a frame makes it the widest one, and shows its exits alone.
 */
import { type HierarchyRectangularNode, partition, select, stratify } from 'd3';
import type { Flame, FlameFrame } from '../../analyzer/timeline-answers.js';
import { inkOn, type Palette } from './colours.js';
import { button, byId, el, redraw } from './dom.js';
import { handlerTime, percent, WHOLE_TIMES, whole } from './format.js';
import { fillElement } from './ink.js';

type Weight = 'time' | 'exits';
interface Frame extends FlameFrame {
  readonly id: number;
}
type Node = HierarchyRectangularNode<Frame>;

/** Separates the names of a path (ASCII unit separator). */
const UNIT = '\u001f';
const ROW = 22;
/** Frames that are narrower than this many pixels are not drawn. */
const NARROWEST = 1.5;

export interface FlameActions {
  /** Shows the exits whose stack begins with these frames; all where there are none. */
  stack(frames: readonly string[]): void;
  of(): 'whole trace' | 'in view';
}

const pathOf = (node: Node): string[] =>
  node
    .ancestors()
    .reverse()
    .slice(1)
    .map(({ data }) => data.name);

export class FlamePanel {
  readonly #panel = byId('flame', HTMLElement);
  readonly #actions: FlameActions;
  #palette: Palette;
  #flame: Flame | null = null;
  #weight: Weight = 'time';
  #stack: readonly string[] = [];
  #width = 0;
  /** The frame that has the keyboard, by its path. */
  #held = '';

  constructor(palette: Palette, actions: FlameActions) {
    this.#palette = palette;
    this.#actions = actions;
    new ResizeObserver(() => {
      if (this.#panel.clientWidth !== this.#width) this.#draw();
    }).observe(this.#panel);
  }

  say(text: string): void {
    this.#flame = null;
    this.#panel.replaceChildren(el('p', { class: 'none' }, text));
  }

  show(flame: Flame): void {
    this.#flame = flame;
    this.#draw();
  }

  mark(stack: readonly string[], palette: Palette): void {
    this.#stack = stack;
    this.#palette = palette;
    this.#draw();
  }

  #draw(): void {
    const flame = this.#flame;
    this.#width = this.#panel.clientWidth;
    if (flame === null || this.#panel.hidden || this.#width === 0) return;
    if ((flame.frames[0]?.exits ?? 0) === 0) {
      const none = flame.problem === null ? 'There is no exit to draw.' : `Nothing to draw: ${flame.problem}`;
      this.#panel.replaceChildren(el('p', { class: flame.problem === null ? 'none' : 'problem' }, none));
      return;
    }
    const weight = (flame.frames[0]?.time ?? 0) > 0 ? this.#weight : 'exits';
    const root = treeOf(flame, weight);
    const focus = root.descendants().find((node) => pathOf(node).join(UNIT) === this.#stack.join(UNIT)) ?? root;
    const graph = this.#graph();
    redraw(this.#panel, this.#head(flame, weight, focus), graph);
    this.#frames(graph, root, focus, flame.unit, weight);
  }

  /** The element that holds the frames; kept, so that frames move to their new places. */
  #graph(): HTMLElement {
    const known = this.#panel.querySelector<HTMLElement>('.graph');
    if (known !== null) return known;
    const graph = el('div', {
      class: 'graph',
      role: 'group',
      'aria-label': 'Flame graph: arrow keys move, Enter zooms',
    });
    graph.addEventListener('keydown', (event) => this.#key(event));
    return graph;
  }

  #head(flame: Flame, weight: Weight, focus: Node): HTMLElement {
    const choices = el('fieldset', { class: 'segments', 'aria-label': 'Width of the frames' });
    for (const [each, name] of [
      ['time', flame.unit === 'ns' || flame.unit === null ? 'By time' : `By ${flame.unit}`],
      ['exits', 'By exits'],
    ] as const) {
      const choice = button(
        name,
        { 'aria-pressed': String(each === weight), 'data-weight': each, 'data-hold': each },
        () => {
          this.#weight = each;
          this.#draw();
        },
      );
      choice.disabled = each === 'time' && (flame.frames[0]?.time ?? 0) === 0;
      choices.append(choice);
    }
    const facts = [
      this.#actions.of(),
      weight === 'time' && this.#actions.of() === 'in view' ? `handler time, ${WHOLE_TIMES}` : '',
      flame.problem === null ? '' : `not all of it: ${flame.problem}`,
      flame.left > 0 ? `${whole(flame.left)} small frames left out` : '',
    ];
    const back =
      focus.depth === 0 ? null : button('Show all', { title: 'Zoom out (Esc)' }, () => this.#actions.stack([]));
    return el(
      'div',
      { class: 'facts' },
      choices,
      back,
      el('p', { class: 'quiet' }, facts.filter((fact) => fact !== '').join(' · ')),
    );
  }

  #frames(graph: HTMLElement, root: Node, focus: Node, unit: Flame['unit'], weight: Weight): void {
    const scale = this.#width / Math.max(Number.MIN_VALUE, focus.x1 - focus.x0);
    const above = new Set(focus.ancestors());
    const shown = root
      .descendants()
      .filter(
        (node) =>
          above.has(node) || (node.x0 >= focus.x0 && node.x1 <= focus.x1 && (node.x1 - node.x0) * scale >= NARROWEST),
      );
    const left = (node: Node): number => (above.has(node) ? 0 : (node.x0 - focus.x0) * scale);
    const width = (node: Node): number => (above.has(node) ? this.#width : (node.x1 - node.x0) * scale);
    const depth = Math.max(...shown.map((node) => node.depth));
    graph.style.height = `${(depth + 1) * ROW}px`;
    const held = shown.some((node) => pathOf(node).join(UNIT) === this.#held) ? this.#held : pathOf(focus).join(UNIT);
    select(graph)
      .selectAll<HTMLButtonElement, Node>('button')
      .data(shown, (node) => pathOf(node).join(UNIT))
      .join('button')
      .attr('type', 'button')
      .attr('class', (node) => (above.has(node) && node !== focus ? 'frame above' : 'frame'))
      .attr('tabindex', (node) => (pathOf(node).join(UNIT) === held ? '0' : '-1'))
      .attr('data-path', (node) => pathOf(node).join(UNIT))
      .attr('data-hold', (node) => `frame ${pathOf(node).join(UNIT)}`)
      .attr('aria-label', (node) => says(node, root, unit, weight))
      .attr('title', (node) => says(node, root, unit, weight))
      .style('left', (node) => `${left(node)}px`)
      .style('width', (node) => `${Math.max(1, width(node) - 1)}px`)
      .style('top', (node) => `${node.depth * ROW}px`)
      .text((node) => (width(node) > 24 ? node.data.name : ''))
      .each((node, i, elements) => this.#paint(node, elements[i]))
      .on('focus', (_event, node) => this.#hold(graph, node))
      .on('click', (_event, node) => this.#actions.stack(node === focus ? pathOf(node).slice(0, -1) : pathOf(node)));
  }

  #paint({ data: { reason, failure } }: Node, element: HTMLElement | undefined): void {
    if (element === undefined) return;
    element.style.background = '';
    element.style.color = '';
    if (reason === null) return;
    const style = this.#palette.style({ kind: 'exit', reason, failure });
    fillElement(element, style);
    if (style.texture === 'solid') element.style.color = inkOn(style.colour);
    else if (element.textContent !== '') {
      // a name on a pattern has plain colour behind it
      const label = el('span', { class: 'label' }, element.textContent ?? '');
      label.style.backgroundColor = style.colour;
      label.style.color = inkOn(style.colour);
      element.replaceChildren(label);
    }
  }

  #hold(graph: HTMLElement, node: Node): void {
    this.#held = pathOf(node).join(UNIT);
    for (const frame of graph.querySelectorAll<HTMLElement>('.frame'))
      frame.tabIndex = frame.dataset.path === this.#held ? 0 : -1;
  }

  /** Up and down go along the stack, left and right to the neighbours on the same height. */
  #key(event: KeyboardEvent): void {
    const from = event.target;
    if (!(from instanceof HTMLElement) || !event.key.startsWith('Arrow')) return;
    event.preventDefault();
    event.stopPropagation();
    const own = from.getBoundingClientRect();
    const rows = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0;
    const way = event.key === 'ArrowLeft' ? -1 : 1;
    let best: HTMLElement | null = null;
    let least = Number.POSITIVE_INFINITY;
    for (const frame of this.#panel.querySelectorAll<HTMLElement>('.frame')) {
      const box = frame.getBoundingClientRect();
      if (frame === from || Math.round((box.top - own.top) / ROW) !== rows) continue;
      if (rows === 0 && (box.left - own.left) * way <= 0) continue;
      if (rows === 1 && (box.right <= own.left || box.left >= own.right)) continue;
      if (rows === -1 && (box.left > own.left + 1 || box.right < own.right - 1)) continue;
      const distance = Math.abs(box.left - own.left);
      if (distance < least) [best, least] = [frame, distance];
    }
    best?.focus();
  }
}

function treeOf(flame: Flame, weight: Weight): Node {
  const frames = flame.frames.map((frame, id): Frame => ({ ...frame, id }));
  const tree = stratify<Frame>()
    .id(({ id }) => String(id))
    .parentId(({ parent }) => (parent < 0 ? null : String(parent)))(frames);
  tree.each((node) => {
    // what a frame weighs includes those above it: nothing is to be added up
    Object.assign(node, { value: node.data[weight] });
  });
  tree.sort((a, b) => (b.value ?? 0) - (a.value ?? 0) || (a.data.name < b.data.name ? -1 : 1));
  return partition<Frame>()(tree);
}

function says({ data }: Node, root: Node, unit: Flame['unit'], weight: Weight): string {
  const share = data[weight] / Math.max(1, root.data[weight]);
  const parts = [
    `${whole(data.exits)} exit${data.exits === 1 ? '' : 's'}`,
    unit === null ? '' : `${handlerTime(unit, data.time)}${unit === 'ns' ? '' : ` ${unit}`}`,
    `${percent(share)} %`,
  ];
  return `${data.name}: ${parts.filter((part) => part !== '').join(', ')}`;
}
