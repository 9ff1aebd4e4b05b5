/** Numbers for people: grouped by thin spaces, units where there are any, never more digits than are known. */
import type { Axis, HandlerUnit, Lane } from '../../analyzer/timeline-answers.js';

const THIN = '\u202f';

/** A whole number with its digits in groups of three. */
export function whole(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

/** A number in few characters: 950, 12.4 k, 3.05 M. */
export function brief(value: number): string {
  const size = Math.abs(value);
  if (size < 10_000) return whole(value);
  const [unit, name] = size < 1e6 ? [1e3, 'k'] : size < 1e9 ? [1e6, 'M'] : size < 1e12 ? [1e9, 'G'] : [1e12, 'T'];
  return `${(value / unit).toPrecision(3)}${THIN}${name}`;
}

const TIME_UNITS = [
  { size: 1e9, name: 's' },
  { size: 1e6, name: 'ms' },
  { size: 1e3, name: 'µs' },
  { size: 1, name: 'ns' },
] as const;

/** Nanoseconds in the unit that suits them, with so many digits that count. */
export function duration(ns: number, figures = 4): string {
  const { size, name } = TIME_UNITS.find((unit) => Math.abs(ns) >= unit.size) ?? TIME_UNITS[3];
  const digits =
    size === 1
      ? whole(ns)
      : (ns / size)
          .toPrecision(figures)
          .replace(/(\.\d*?)0+$/, '$1')
          .replace(/\.$/, '');
  return `${digits}${THIN}${name}`;
}

/** A handler time in its unit, with three digits that count of nanoseconds. */
export const handlerTime = (unit: HandlerUnit, time: number): string =>
  unit === null ? '–' : unit === 'ns' ? duration(time, 3) : whole(time);

/** A number of ticks, nanoseconds or events. */
export function amount(axis: Axis, value: number): string {
  if (axis === 'time') return duration(value);
  const noun = axis === 'tick' ? 'tick' : 'event';
  return `${whole(value)} ${noun}${Math.round(value) === 1 ? '' : 's'}`;
}

/** A place on an axis, told apart from places `step` away. */
export function place(axis: Axis, value: number, step: number): string {
  if (axis !== 'time') return whole(value);
  const { size, name } = TIME_UNITS.find((unit) => step >= unit.size / 10) ?? TIME_UNITS[3];
  const digits = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / size))));
  const [integer = '0', fraction] = (value / size).toFixed(digits).split('.');
  const grouped = integer.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
  return `${grouped}${fraction === undefined ? '' : `.${fraction}`}${THIN}${name}`;
}

/** A moment to the nanosecond, tick or event. */
export const moment = (axis: Axis, value: number): string =>
  axis === 'time' ? `${(value / 1e6).toFixed(6).replace(/\.?0+$/, '')}${THIN}ms` : whole(value);

export const percent = (share: number): string =>
  share === 0 ? '0' : share < 0.001 ? '<0.1' : (share * 100).toFixed(share < 0.1 ? 1 : 0);

export const AXIS_NAMES: { readonly [axis in Axis]: string } = { tick: 'Ticks', time: 'Host time', seq: 'Sequence' };

/** Said of the handler times of exits in view: shares of time are of what lies in view. */
export const WHOLE_TIMES = 'whole where it ends beyond the view';

export const levelName = (level: number | null): string => (level === null ? 'L–' : `L${level}`);
export const laneTitle = (lane: Lane | undefined): string =>
  lane === undefined ? '' : lane.level === null ? lane.name : `${lane.name} · L${lane.level}`;

/** Nanoseconds of the host's clock, `base` (decimal) and so many more, in seconds: as trace-cmd and perf print them. */
export function clockTime(base: string, offset: number, digits = 9): string {
  const at = BigInt(base) + BigInt(Math.round(offset));
  const size = at < 0n ? -at : at;
  const fraction = (size % 1_000_000_000n).toString().padStart(9, '0').slice(0, digits);
  return `${at < 0n ? '−' : ''}${size / 1_000_000_000n}${digits === 0 ? '' : '.'}${fraction}${THIN}s`;
}
