/** What slowed and what got faster from one trace to another, as tables: what it was, what it is, and what that costs. */
import type { HandlerUnit } from '../../analyzer/timeline-answers.js';
import type { ComparedTimes, Comparison } from '../../analyzer/timeline-compare-answers.js';
import { el } from './dom.js';
import { handlerTime, levelName, whole } from './format.js';

const MOVED = ['mean', 'p50', 'p90', 'p99'] as const;
const COLUMNS = [
  { name: 'Level', says: 'level that exited', shown: '' },
  { name: 'Reason', says: 'exit reason', shown: '' },
  { name: 'Exits', says: 'exits with a time, before and after', shown: 'wide' },
  { name: 'Mean', says: 'mean time of the handler', shown: 'mid' },
  { name: 'p50', says: 'median', shown: '' },
  { name: 'p90', says: 'of 10 exits, 9 took no longer', shown: 'wide' },
  { name: 'p99', says: 'of 100 exits, 99 took no longer', shown: '' },
  { name: 'Cost', says: 'time that all of these exits took more, or less, than with the mean before', shown: '' },
] as const;
const SECTIONS = [
  { title: 'What slowed', slower: true, certain: true },
  { title: 'What got faster', slower: false, certain: true },
  { title: 'Slower of the exits that were timed', slower: true, certain: false },
  { title: 'Faster of the exits that were timed', slower: false, certain: false },
] as const;
const UNCERTAIN = 'The times that are missing may explain it';

/** Names an exit reason; `hold` tells the cell from all others. */
export type ReasonCell = (name: string, hold: string) => Node;

/** The tables, or why there are none. */
export function shiftTables({ times, units, judged }: Comparison, reason: ReasonCell): HTMLElement[] {
  const [left, right] = units;
  if (left === null || right === null) return [];
  if (left !== right) {
    return [told('Handler times are not compared: the traces have clocks of two kinds.')];
  }
  if (!judged) return [told('There are too few exits to tell whether handler times changed.')];
  if (times.length === 0) {
    return [told(right === 'ticks' ? 'Handler times are the same.' : 'Handler times differ no more than by chance.')];
  }
  const tables = SECTIONS.flatMap(({ title, slower, certain }) => {
    const rows = times.filter((change) => change.slower === slower && isCertain(change) === certain);
    if (rows.length === 0) return [];
    const head = COLUMNS.map(({ name, says, shown }) => el('th', { class: shown, title: says }, name));
    return [
      el('h2', { class: 'next' }, title),
      el(
        'table',
        { class: 'shifts', 'aria-label': title },
        el('thead', {}, el('tr', {}, ...head)),
        el('tbody', {}, ...rows.map((change) => rowOf(change, right, reason))),
      ),
    ];
  });
  const how = 'Host times are samples: shown is what a rank test takes for more than chance (≈: it does not).';
  const marked = markedIn(times);
  return [
    ...tables,
    ...(right === 'ticks' ? [] : [told(how)]),
    ...(marked === null ? [] : [told(`?: ${UNCERTAIN.toLowerCase()}.`, marked)]),
  ];
}

/** Columns are shown where there is room; which of those that have marks is shown the longest, null where none has any. */
function markedIn(times: readonly ComparedTimes[]): (typeof COLUMNS)[number]['shown'] | null {
  const marked = times.flatMap(({ shifts }) =>
    shifts.flatMap((shift) => (shift.certain ? [] : shownOf(shift.statistic))),
  );
  return (['', 'mid', 'wide'] as const).find((shown) => marked.includes(shown)) ?? null;
}

const shownOf = (statistic: (typeof MOVED)[number]): (typeof COLUMNS)[number]['shown'] =>
  COLUMNS.find(({ name }) => name.toLowerCase() === statistic)?.shown ?? '';

const isCertain = ({ shifts }: ComparedTimes): boolean => shifts.some(({ certain }) => certain);

const told = (text: string, shown = ''): HTMLElement => el('p', { class: `quiet told ${shown}` }, text);

function rowOf(change: ComparedTimes, unit: HandlerUnit, reason: ReasonCell): HTMLElement {
  const { level, samples, cost, shifts } = change;
  const moved = MOVED.map((wanted) => {
    const shown = shownOf(wanted);
    const shift = shifts.find(({ statistic }) => statistic === wanted);
    if (shift === undefined) {
      return el('td', { class: `${shown} quiet`, title: 'no change beyond chance' }, unit === 'ticks' ? '=' : '≈');
    }
    return el(
      'td',
      shift.certain ? { class: shown } : { class: `${shown} quiet`, title: UNCERTAIN },
      `${handlerTime(unit, shift.left)} → ${handlerTime(unit, shift.right)}`,
      el('small', {}, `${changeOf(shift.left, shift.right)}${shift.certain ? '' : '?'}`),
    );
  });
  const exits = [...new Set([samples.left, samples.right].map(whole))].join(' → ');
  const more = cost === null ? '' : `${cost < 0 ? '−' : '+'}${handlerTime(unit, Math.abs(cost))}`;
  return el(
    'tr',
    { 'data-slower': String(change.slower), 'data-reason': change.reason },
    el('td', {}, levelName(level)),
    el('td', {}, reason(change.reason, `${change.slower} ${level} ${change.reason}`)),
    el('td', { class: 'wide' }, exits),
    ...moved,
    el('td', { class: change.slower ? 'more' : 'fewer' }, more),
  );
}

/** +177 %, −42 %, or ×12 where a percentage would be hard to read. */
function changeOf(before: number, after: number): string {
  if (before === 0) return '';
  const ratio = after / before;
  if (ratio >= 10) return `×${ratio.toPrecision(ratio < 100 ? 2 : 3)}`;
  const change = (ratio - 1) * 100;
  return `${change < 0 ? '−' : '+'}${Math.abs(change).toFixed(Math.abs(change) < 10 ? 1 : 0)} %`;
}
