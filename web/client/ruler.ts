/** The ruler above the lanes. */
import { axisBottom, type ScaleLinear, select } from 'd3';
import type { Axis } from '../../analyzer/timeline-answers.js';
import { clockTime, place } from './format.js';

/** Pixels between labels, and what a label that is cut off at the right edge needs. */
const APART = { offset: 130, clock: 170, edge: 36, clockEdge: 64 } as const;

/** Clocks are counted from a multiple of this many nanoseconds, so that numbers of the scale stay exact. */
const EPOCH = 1_000_000_000_000n;

/** Places of the labels, round on the clock where there is one; what would reach over the right edge is left out. */
export function ticksOf(scale: ScaleLinear<number, number>, width: number, clock: string | null): number[] {
  const most = Math.max(2, Math.floor(width / (clock === null ? APART.offset : APART.clock)));
  const edge = clock === null ? APART.edge : APART.clockEdge;
  const shift = clock === null ? 0 : Number(BigInt(clock) % EPOCH);
  const [from = 0, to = 1] = scale.domain();
  return scale
    .copy()
    .domain([from + shift, to + shift])
    .ticks(most)
    .map((tick) => tick - shift)
    .filter((tick) => Number.isInteger(tick) && scale(tick) < width - edge);
}

/** `clock`: what the host's clock said at 0, where its times are wanted. */
export function drawRuler(
  svg: SVGSVGElement,
  scale: ScaleLinear<number, number>,
  ticks: readonly number[],
  axis: Axis,
  clock: string | null,
): void {
  const step = Math.abs((ticks[1] ?? 1) - (ticks[0] ?? 0)) || 1;
  const digits = Math.max(0, Math.min(9, Math.ceil(9 - Math.log10(step))));
  const label = (value: number): string =>
    clock === null ? place(axis, value, step) : clockTime(clock, value, digits);
  const ruler = axisBottom(scale)
    .tickValues([...ticks])
    .tickSize(5)
    .tickFormat((value) => label(Number(value)));
  select(svg).call(ruler);
}
