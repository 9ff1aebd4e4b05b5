/** Names of the lanes, beside the canvas. */
import type { Lane } from '../../analyzer/timeline-answers.js';
import { el } from './dom.js';
import { brief, laneTitle, levelName, whole } from './format.js';
import type { LaneRow } from './layout.js';

/** Lanes lower than this, in pixels, have no room for what a full bar stands for. */
const LEAST = 34;
/** Those as high as this have room for a long name. */
const TALL = 56;

/** `peakOf`: what a full bar of a lane stands for; 0 where there are no bars. */
export function nameLanes(place: HTMLElement, rows: readonly LaneRow[], peakOf: (lane: number) => number): void {
  place.replaceChildren(
    ...rows.map(({ lane, index, top, height, first }) => {
      const peak = peakOf(index);
      const name = el(
        'div',
        { class: `lane${first ? ' first' : ''}${height >= TALL ? ' tall' : ''}`, title: titleOf(lane) },
        el('span', { class: 'who' }, ...(first ? nameOf(lane.name) : [])),
        el('span', { class: 'level' }, levelName(lane.level)),
        el('span', { class: 'peak' }, peak === 0 || height < LEAST ? '' : `↑ ${brief(peak)}`),
      );
      name.style.top = `${top}px`;
      name.style.height = `${height}px`;
      return name;
    }),
  );
}

function titleOf(lane: Lane): string {
  const level = lane.level === null ? ', of which the source does not say at what level' : '';
  return `${laneTitle(lane)}: ${whole(lane.count)} event${lane.count === 1 ? '' : 's'}${level}`;
}

/** The vCPU first, then what else the name says of it: VM, thread. */
function nameOf(name: string): (Node | string)[] {
  const parts = name.split(', ');
  const first = parts.find((part) => part.startsWith('vCPU ')) ?? parts[0] ?? '';
  const rest = parts.filter((part) => part !== first);
  return rest.length === 0 ? [first] : [first, el('small', {}, rest.join(', '))];
}
