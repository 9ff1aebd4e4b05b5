/** A flame graph of folded stacks as one SVG file: width by weight, what called below, names as tooltips. No script. */
import { escapeXml } from './document.js';
import type { Stack } from './folded.js';

const WIDTH = 1200;
const ROW = 18;
const MARGIN = 10;
const TITLE = 28;
/** Width of a letter of the font below, and of the narrowest box that is drawn. */
const LETTER = 6.6;
const NARROWEST = 0.2;

interface Box {
  readonly name: string;
  weight: number;
  readonly children: Map<string, Box>;
}

const boxOf = (name: string): Box => ({ name, weight: 0, children: new Map() });

function treeOf(stacks: readonly Stack[]): Box {
  const root = boxOf('all');
  for (const { frames, weight } of stacks) {
    let box = root;
    box.weight += weight;
    for (const name of frames) {
      let child = box.children.get(name);
      if (child === undefined) {
        child = boxOf(name);
        box.children.set(name, child);
      }
      child.weight += weight;
      box = child;
    }
  }
  return root;
}

/** A warm colour that depends on the name alone, so that two graphs can be held side by side. */
function colourOf(name: string): string {
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return `hsl(${10 + (hash % 45)} 85% ${58 + ((hash >>> 8) % 14)}%)`;
}

const depthOf = (box: Box): number => 1 + Math.max(0, ...[...box.children.values()].map(depthOf));

/** The graph; `unit` says what the weights are. */
export function flameGraph(stacks: readonly Stack[], title: string, unit: string): string {
  const root = treeOf(stacks);
  const height = TITLE + depthOf(root) * ROW + MARGIN;
  const scale = (WIDTH - 2 * MARGIN) / Math.max(1, root.weight);
  const boxes: string[] = [];
  const draw = (box: Box, x: number, depth: number): void => {
    const width = box.weight * scale;
    if (width < NARROWEST) return;
    const y = height - MARGIN - (depth + 1) * ROW;
    const share = ((100 * box.weight) / Math.max(1, root.weight)).toFixed(2);
    const letters = Math.floor((width - 6) / LETTER);
    const shown = box.name.length <= letters ? box.name : letters >= 3 ? `${box.name.slice(0, letters - 1)}…` : '';
    const place = `x="${x.toFixed(2)}" y="${y}" width="${width.toFixed(2)}" height="${ROW - 1}"`;
    const text = shown === '' ? '' : `<text x="${(x + 3).toFixed(2)}" y="${y + 13}">${escapeXml(shown)}</text>`;
    const says = escapeXml(`${box.name}: ${box.weight} ${unit}, ${share}%`);
    boxes.push(`<g><title>${says}</title><rect ${place} fill="${colourOf(box.name)}"/>${text}</g>`);
    let at = x;
    for (const child of box.children.values()) {
      draw(child, at, depth + 1);
      at += child.weight * scale;
    }
  };
  draw(root, MARGIN, 0);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    '<style>text { font: 11px monospace } g:hover rect { stroke: #222 }</style>',
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${WIDTH / 2}" y="18" text-anchor="middle">${escapeXml(title)}</text>`,
    ...boxes,
    '</svg>',
    '',
  ].join('\n');
}
