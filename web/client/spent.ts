/** Where the time went: in the guest and outside, by VM, level and vCPU. */
import type { HandlerUnit, ProfileSpent, ProfileSpentLine, ProfileTable } from '../../analyzer/timeline-answers.js';
import { el } from './dom.js';
import { handlerTime, percent, whole } from './format.js';

const BAR_PIXELS = 64;

const shareOf = ({ guest, outside }: { readonly guest: number; readonly outside: number }): number =>
  guest + outside === 0 ? 0 : outside / (guest + outside);

/** The share of all time that is known, for a line of facts; empty where none is. */
export const outsideFact = ({ time }: ProfileTable): string =>
  time === null ? '' : `${percent(shareOf(time))} % of the observed time outside the guest`;

/** A table for each of what there are several of. */
export const spentTables = ({ spent, unit }: ProfileTable): HTMLElement[] =>
  spent.flatMap((each) => [
    el('h2', { class: 'next' }, `Time outside the guest, by ${each.by}`),
    tableOf(each, unit),
    ...(each.left > 0 ? [el('p', { class: 'quiet' }, `${whole(each.left)} more`)] : []),
  ]);

function tableOf({ by, lines }: ProfileSpent, unit: HandlerUnit): HTMLElement {
  const gaps = lines.some(({ unobserved }) => unobserved !== null);
  const head = el('tr');
  head.append(
    el('th', {}, by === 'level' ? 'Level' : by),
    el('th', {}, 'Exits'),
    el('th', { class: 'mid', title: 'in the guest and outside' }, 'Observed'),
    el('th', {}, 'Outside'),
    el('th', { title: 'share of the observed time that is outside the guest, in %' }, '%'),
    el('th', { class: 'mid', title: 'outside because the guest had nothing to do: HLT, MWAIT' }, 'Halted'),
  );
  if (gaps) {
    const says = 'before the first entry, behind the last exit, across lost events, and of entries without an exit';
    head.append(el('th', { class: 'wide', title: says }, 'Not observed'));
  }
  const body = el('tbody', {}, ...lines.map((line) => lineOf(line, unit, gaps)));
  return el('table', { class: 'spent', 'aria-label': `Time outside the guest, by ${by}` }, el('thead', {}, head), body);
}

function lineOf(line: ProfileSpentLine, unit: HandlerUnit, gaps: boolean): HTMLElement {
  const { name, exits, guest, outside, halted, unobserved } = line;
  const share = shareOf(line);
  const bar = el('i', { class: 'outside' });
  bar.style.width = `${share * BAR_PIXELS}px`;
  const time = (value: number): string => (value === 0 ? '–' : handlerTime(unit, value));
  const row = el(
    'tr',
    {},
    el('td', { class: 'place', title: name }, name),
    el('td', {}, whole(exits)),
    el('td', { class: 'mid' }, time(guest + outside)),
    el('td', {}, time(outside)),
    el('td', {}, el('span', { class: 'share' }, bar, el('span', {}, guest + outside === 0 ? '–' : percent(share)))),
    el('td', { class: 'mid' }, time(halted)),
  );
  if (gaps) row.append(el('td', { class: 'wide' }, time(unobserved ?? 0)));
  return row;
}
