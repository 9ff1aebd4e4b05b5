/** The ruler above the lanes. */
import { axisBottom, type ScaleLinear, select } from 'd3';
import type { Axis } from '../../analyzer/timeline-answers.js';
import { clockTime, place } from './format.js';

/** Pixels between labels, and what a label that is cut off at the right edge needs. */
const APART = { offset: 130, clock: 170, edge: 36, clockEdge: 64 } as const;

/** Places of the labels; one that would reach over the right edge is left out. */
export function ticksOf(scale: ScaleLinear<number, number>, width: number, isClock: boolean): number[] {
  const most = Math.max(2, Math.floor(width / (isClock ? APART.clock : APART.offset)));
  const edge = isClock ? APART.clockEdge : APART.edge;
  return scale.ticks(most).filter((tick) => Number.isInteger(tick) && scale(tick) < width - edge);
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
