/** How the handler times of a reason are spread: bars on a logarithmic axis, with the percentiles marked. */
import { scaleLinear, scaleLog } from 'd3';
import type { ProfileLine, ProfileTable } from '../../analyzer/timeline-answers.js';
import type { Style } from './colours.js';
import { el, svg } from './dom.js';
import { brief, duration, handlerTime, whole } from './format.js';

const SIZE = { width: 520, height: 116, left: 34, right: 12, top: 24, foot: 20 } as const;
const MARKS = [
  ['p50', 'p50'],
  ['p90', 'p90'],
  ['p99', 'p99'],
  ['p999', 'p99.9'],
] as const;
/** Pixels that a label of a percentile takes. */
const LABEL = 34;

export function histogramOf(
  { histogram, times, reason }: ProfileLine,
  unit: ProfileTable['unit'],
  style: Style,
): HTMLElement | null {
  if (histogram.length === 0 || times === null) return null;
  const show = (time: number): string => handlerTime(unit, time);
  const { width, height, left, right, top, foot } = SIZE;
  const bars = Array.from({ length: histogram.length / 3 }, (_, i) => ({
    from: histogram[3 * i] ?? 0,
    to: histogram[3 * i + 1] ?? 0,
    count: histogram[3 * i + 2] ?? 0,
  }));
  const least = Math.max(1, bars[0]?.from ?? 1);
  const most = Math.max(least * 1.25, bars.at(-1)?.to ?? 1);
  const x = scaleLog()
    .domain([least, most])
    .range([left, width - right]);
  const y = scaleLinear()
    .domain([0, Math.max(...bars.map(({ count }) => count))])
    .range([height - foot, top]);
  const at = (value: number): number => x(Math.max(least, Math.min(most, value)));
  const picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`,
    class: 'histogram',
    role: 'img',
    'aria-label': `Handler times of ${reason}: ${MARKS.map(([key, name]) => `${name} ${show(times[key])}`).join(', ')}`,
  });
  for (const { from, to, count } of bars) {
    const [start, end] = [at(from), at(to)];
    const bar = svg('rect', {
      x: start,
      y: y(count),
      width: Math.max(1, end - start - 0.5),
      height: Math.max(1, height - foot - y(count)),
      fill: style.colour,
    });
    bar.append(svg('title', {}, `${show(from)} to ${show(to)}: ${whole(count)}`));
    picture.append(bar);
  }
  picture.append(svg('path', { d: `M${left} ${height - foot + 0.5}H${width - right}`, class: 'axis' }));
  for (const tick of ticksOf(x.ticks(4), x)) {
    picture.append(
      svg('text', { x: x(tick), y: height - 6, 'text-anchor': 'middle' }, unit === 'ns' ? duration(tick) : brief(tick)),
    );
  }
  picture.append(svg('text', { x: left - 5, y: top + 4, 'text-anchor': 'end' }, brief(y.domain()[1] ?? 0)));
  let free = 0;
  for (const [key, name] of MARKS) {
    const place = at(times[key]);
    picture.append(svg('path', { d: `M${place} ${top - 4}V${height - foot}`, class: 'mark' }));
    // labels that would lie on one another are left to the table above
    if (place - LABEL / 2 < free) continue;
    free = place + LABEL / 2;
    picture.append(svg('text', { x: Math.min(place, width - 16), y: top - 9, 'text-anchor': 'middle' }, name));
  }
  return el('figure', {}, picture);
}

/** At the most one label every 60 pixels. */
function ticksOf(ticks: readonly number[], x: (value: number) => number): number[] {
  const kept: number[] = [];
  for (const tick of ticks) {
    const last = kept.at(-1);
    if (last === undefined || x(tick) - x(last) >= 60) kept.push(tick);
  }
  return kept;
}
