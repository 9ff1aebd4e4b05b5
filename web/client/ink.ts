/** Textures and shapes as they are drawn: on a canvas, and as swatches of the legend. */
import { inkOn, type Style } from './colours.js';
import { svg } from './dom.js';
import type { Texture } from './marks.js';

const TILE = 8;

/** Draws what lies over the colour, in a tile that repeats. */
const OVERLAYS: { readonly [texture in Texture]: (context: CanvasRenderingContext2D) => void } = {
  solid: () => {},
  rising: (context) => stripes(context, 1),
  falling: (context) => stripes(context, -1),
  lines: (context) => {
    for (const y of [1, 5]) context.fillRect(0, y, TILE, 1.6);
  },
  dots: (context) => {
    for (const [x, y] of [
      [2, 2],
      [6, 6],
    ] as const) {
      context.beginPath();
      context.arc(x, y, 1.4, 0, 2 * Math.PI);
      context.fill();
    }
  },
  checks: (context) => {
    context.fillRect(0, 0, TILE / 2, TILE / 2);
    context.fillRect(TILE / 2, TILE / 2, TILE / 2, TILE / 2);
  },
  grid: (context) => {
    context.fillRect(0, 3, TILE, 1.3);
    context.fillRect(3, 0, 1.3, TILE);
  },
};

function stripes(context: CanvasRenderingContext2D, slope: 1 | -1): void {
  context.lineWidth = 1.8;
  context.beginPath();
  for (const at of [-TILE, 0, TILE]) {
    context.moveTo(at, slope === 1 ? TILE : 0);
    context.lineTo(at + TILE, slope === 1 ? 0 : TILE);
  }
  context.stroke();
}

const tiles = new Map<string, HTMLCanvasElement>();

function tileOf({ colour, texture }: Style): HTMLCanvasElement {
  const id = `${colour} ${texture}`;
  const known = tiles.get(id);
  if (known !== undefined) return known;
  const tile = document.createElement('canvas');
  tile.width = tile.height = TILE * 2;
  const context = tile.getContext('2d');
  if (context !== null) {
    context.scale(2, 2);
    context.fillStyle = colour;
    context.fillRect(0, 0, TILE, TILE);
    const over = inkOn(colour) === '#ffffff' ? '#ffffffc8' : '#11141890';
    context.fillStyle = over;
    context.strokeStyle = over;
    OVERLAYS[texture](context);
  }
  tiles.set(id, tile);
  return tile;
}

const patterns = new Map<string, CanvasPattern>();

/** What a canvas is filled with for a style. */
export function fillOf(context: CanvasRenderingContext2D, style: Style): string | CanvasPattern {
  if (style.texture === 'solid') return style.colour;
  const id = `${style.colour} ${style.texture}`;
  const known = patterns.get(id);
  if (known !== undefined) return known;
  const pattern = context.createPattern(tileOf(style), 'repeat');
  if (pattern === null) return style.colour;
  pattern.setTransform(new DOMMatrix().scale(0.5));
  patterns.set(id, pattern);
  return pattern;
}

/** Outlines of failures in a box of 9 by 9 around the origin. */
const OUTLINES: { readonly [shape: string]: string } = {
  triangle: 'M-4.5 -4H4.5L0 4Z',
  diamond: 'M0 -4.5L4.5 0L0 4.5L-4.5 0Z',
  square: 'M-3.8 -3.8H3.8V3.8H-3.8Z',
  circle: 'M-4 0A4 4 0 1 1 4 0A4 4 0 1 1 -4 0Z',
  cross: 'M-4 -2.4L-2.4 -4L0 -1.6L2.4 -4L4 -2.4L1.6 0L4 2.4L2.4 4L0 1.6L-2.4 4L-4 2.4L-1.6 0Z',
  pentagon: 'M0 -4.5L4.4 -1.2L2.7 4H-2.7L-4.4 -1.2Z',
};
const outlineOf = (shape: string): string => OUTLINES[shape.replace('open ', '')] ?? OUTLINES.triangle ?? '';
const isOpen = (shape: string): boolean => shape.startsWith('open');

const paths = new Map<string, Path2D>();

/** Draws the mark of a failure around a point; `paper` fills open ones. */
export function drawMark(context: CanvasRenderingContext2D, style: Style, x: number, y: number, paper: string): void {
  const shape = style.shape ?? 'triangle';
  const path = paths.get(shape) ?? new Path2D(outlineOf(shape));
  paths.set(shape, path);
  context.save();
  context.translate(x, y);
  context.fillStyle = isOpen(shape) ? paper : style.colour;
  context.fill(path);
  if (isOpen(shape)) {
    context.strokeStyle = style.colour;
    context.lineWidth = 1.4;
    context.stroke(path);
  }
  context.restore();
}

/** The style as a small picture beside a name. */
export function swatch(style: Style): Element {
  if (style.shape !== null) {
    const open = isOpen(style.shape);
    const picture = svg('svg', { class: 'swatch', viewBox: '-5.2 -5.2 10.4 10.4', 'aria-hidden': 'true' });
    picture.dataset.shape = style.shape;
    picture.append(
      svg('path', {
        d: outlineOf(style.shape),
        fill: open ? 'none' : style.colour,
        stroke: style.colour,
        'stroke-width': open ? 1.4 : 0,
      }),
    );
    return picture;
  }
  const square = document.createElement('i');
  square.className = 'swatch';
  square.setAttribute('aria-hidden', 'true');
  square.dataset.texture = style.texture;
  fillElement(square, style);
  return square;
}

const images = new Map<string, string>();

/** Gives an element the style's colour and texture; by script, as the policy of the page forbids inline styles. */
export function fillElement(element: HTMLElement, style: Style): void {
  element.style.backgroundColor = style.colour;
  if (style.texture === 'solid') return;
  const id = `${style.colour} ${style.texture}`;
  const image = images.get(id) ?? `url(${tileOf(style).toDataURL()})`;
  images.set(id, image);
  element.style.backgroundImage = image;
  element.style.backgroundSize = `${TILE}px ${TILE}px`;
}
