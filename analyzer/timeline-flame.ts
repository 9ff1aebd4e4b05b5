/** The flame graph as the page draws it: one tree with both weights, its smallest frames left out. */
import { breakdownOf } from './profile/breakdown.js';
import type { ExitIndex } from './profile/exit-index.js';
import type { NameOf } from './profile/lane-names.js';
import type { Symbols } from './symbols/symbols.js';
import type { Flame, FlameFrame } from './timeline-answers.js';
import { dimensionsOf, framesOf } from './timeline-exits.js';

/** Frames of an answer. */
const MOST_FRAMES = 1500;
const FAILED = / failed entry$/;

interface Node {
  readonly name: string;
  readonly parent: Node | null;
  readonly reason: string | null;
  readonly children: Map<string, Node>;
  exits: number;
  time: number;
}

const nodeOf = (name: string, parent: Node | null, reason: string | null): Node => ({
  name,
  parent,
  reason,
  children: new Map(),
  exits: 0,
  time: 0,
});

function treeOf(index: ExitIndex, nameOf: NameOf, symbols: Symbols | null): Node {
  const dimensions = dimensionsOf(symbols);
  const root = nodeOf('all', null, null);
  for (const { labels, count, times } of breakdownOf(index, dimensions, { nameOf, symbols })) {
    const reason = dimensions.indexOf('reason');
    let node = root;
    const add = (): void => {
      node.exits += count;
      node.time += times?.total ?? 0;
    };
    add();
    for (const [depth, name] of framesOf(dimensions, labels).entries()) {
      const child = node.children.get(name) ?? nodeOf(name, node, depth === reason ? name : node.reason);
      node.children.set(name, child);
      node = child;
      add();
    }
  }
  return root;
}

/** Frames of an index, those below before those above; the heaviest by either weight. */
export function flameOf(index: ExitIndex, nameOf: NameOf, symbols: Symbols | null): Omit<Flame, 'problem'> {
  const root = treeOf(index, nameOf, symbols);
  const all: Node[] = [root];
  for (let at = 0; at < all.length; at++) all.push(...(all[at]?.children.values() ?? []));
  const weight = ({ exits, time }: Node): number =>
    Math.max(exits / Math.max(1, root.exits), time / Math.max(1, root.time));
  // a frame weighs no more than the one below it, which is before it in `all`: a stable sort never parts the two
  const kept = [...all].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_FRAMES);
  const places = new Map(kept.map((node, at) => [node, at]));
  const frames = kept.map(
    ({ name, parent, reason, exits, time }): FlameFrame => ({
      parent: parent === null ? -1 : (places.get(parent) ?? 0),
      name,
      reason: reason?.replace(FAILED, '') ?? null,
      failure: reason !== null && FAILED.test(reason),
      exits,
      time,
    }),
  );
  return { unit: index.unit, frames, left: all.length - kept.length };
}
