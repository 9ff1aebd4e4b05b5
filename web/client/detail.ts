/** The panel of one event: what it was, what its bits mean, the registers as of then, the code, and what it served. */
import type { Axis, Category, CheckedField, Detail, Said } from '../../analyzer/timeline-answers.js';
import type { Palette } from './colours.js';
import { button, byId, el, redraw } from './dom.js';
import { amount, clockTime, moment, whole } from './format.js';
import { swatch } from './ink.js';

export interface DetailActions {
  go(seq: number): void;
  step(direction: 1 | -1): void;
  close(): void;
}

type Bits = 16 | 32 | 64;
/** The mode that was chosen by hand; null: as the trace says. */
let chosen: Bits | null = null;

export function showNoDetail(says: string): void {
  byId('detail', HTMLElement).replaceChildren(el('h2', {}, 'Event'), el('p', { class: 'none' }, says));
  byId('spoken', HTMLElement).textContent = '';
}

export function showDetail(
  detail: Detail,
  category: Category | undefined,
  axis: Axis,
  palette: Palette,
  actions: DetailActions,
  timeBase: string | null,
): void {
  const panel = byId('detail', HTMLElement);
  const { seq, at } = detail.place;
  const here = at[axis];
  const where = [
    detail.lane,
    `#${whole(seq)}`,
    here === undefined || axis === 'seq' ? '' : `${axis === 'tick' ? 'tick ' : '+'}${moment(axis, here)}`,
    detail.place.at.time === undefined || timeBase === null
      ? ''
      : `host clock ${clockTime(timeBase, detail.place.at.time)}`,
  ];
  redraw(
    panel,
    el(
      'div',
      { class: 'head' },
      el('h2', {}, category === undefined ? null : swatch(palette.style(category)), detail.title),
      button('‹', { title: 'Previous event (P)', 'aria-label': 'Previous event', 'data-hold': 'previous' }, () =>
        actions.step(-1),
      ),
      button('›', { title: 'Next event (N)', 'aria-label': 'Next event', 'data-hold': 'next' }, () => actions.step(1)),
      button('×', { title: 'Close (Esc)', 'aria-label': 'Close' }, actions.close),
    ),
    el('p', { class: 'quiet' }, where.filter((part) => part !== '').join(' · ')),
    ...handled(detail, axis, actions),
    ...section('Why the entry failed', checksOf(detail, actions)),
    ...section('Message', detail.messages.length === 0 ? null : pairs(detail.messages)),
    ...section('Exit information', detail.decoded.length === 0 ? null : pairs(detail.decoded)),
    ...section('Instruction', codeOf(detail.code)),
    ...section('Registers', registersOf(detail)),
    ...section('Serves', parentsOf(detail, actions)),
    ...section('Event', pairs(detail.fields)),
  );
  panel.dataset.seq = String(seq);
  byId('spoken', HTMLElement).textContent = [detail.title, ...where].filter((part) => part !== '').join(', ');
}

const FAILED: ReadonlySet<string> = new Set(['vmfail', 'entry_failed']);

/** What the manual demands, what this entry had instead, and who wrote that. */
function checksOf({ checks, fields, kind }: Detail, { go }: DetailActions): HTMLElement | null {
  if (checks.length === 0 && !FAILED.has(kind)) return null;
  const list = el('ul', { class: 'checks' });
  const answer = fields.find(({ name }) => name === 'code' || name === 'reason');
  if (answer?.says !== undefined && answer.says !== null && FAILED.has(kind)) {
    list.append(el('li', {}, `The processor answered: ${answer.says} (${answer.value}).`));
  }
  const told = fields.find(({ name }) => name === 'text');
  if (told !== undefined && FAILED.has(kind))
    list.append(el('li', {}, 'The host recorded: ', el('code', {}, told.value)));
  for (const { id, says, cites, causes, fields: read } of checks) {
    list.append(
      el(
        'li',
        {},
        el('p', { class: 'rule' }, says === null ? id : `Broken rule: ${says}.`),
        read.length === 0 ? null : fieldList(read, go),
        ...causes.map((cause) => el('p', {}, `Usual cause: ${cause}.`)),
        el('p', { class: 'quiet' }, el('code', {}, id), cites === null ? '' : ` · ${cites}`),
      ),
    );
  }
  return list.childElementCount === 0 ? null : list;
}

/** Each field that the rule reads, with its value and the VMWRITE that gave it. */
function fieldList(fields: readonly CheckedField[], go: DetailActions['go']): HTMLElement {
  const list = el('dl', { class: 'fields' });
  for (const { name, value, says, old, by, stale } of fields) {
    const link =
      by === null
        ? null
        : el('button', { type: 'button', class: 'link', on: { click: () => go(by) } }, `#${whole(by)}`);
    const was = old === null || old === value ? '' : ` over ${old}`;
    list.append(
      el(
        'dt',
        {},
        el('code', {}, name),
        value === null
          ? el('span', { class: 'quiet' }, 'never written in this trace')
          : el('code', { class: 'value' }, value),
        link === null ? null : el('span', {}, 'written by ', link, was),
        stale ? el('span', { class: 'quiet' }, 'an exit since then may have saved another value') : null,
      ),
    );
    if (says !== null) list.append(el('dd', { class: 'quiet' }, says));
  }
  return list;
}

function section(title: string, content: HTMLElement | null): HTMLElement[] {
  return content === null ? [] : [el('h3', {}, title), content];
}

function handled({ end }: Detail, axis: Axis, actions: DetailActions): HTMLElement[] {
  if (end === null) return [];
  const clock: Axis = axis === 'seq' ? (end.took.tick !== undefined ? 'tick' : 'time') : axis;
  const took = end.took[clock] ?? end.took.seq ?? 0;
  const link = el(
    'button',
    { type: 'button', class: 'link', on: { click: () => actions.go(end.seq) } },
    `#${whole(end.seq)}`,
  );
  return [el('p', {}, `Handled in ${amount(end.took[clock] === undefined ? 'seq' : clock, took)}, until `, link)];
}

function pairs(list: readonly Said[]): HTMLElement {
  const rows = el('dl', { class: 'pairs' });
  for (const { name, value, says } of list) {
    rows.append(el('dt', {}, name), el('dd', {}, el('code', {}, value), says === null ? null : el('span', {}, says)));
  }
  return rows;
}

function codeOf(code: Detail['code']): HTMLElement | null {
  if (code === null) return null;
  const text = el('code');
  const modes = el('fieldset', { class: 'segments', 'aria-label': 'Mode of the guest' });
  const show = (bits: Bits): void => {
    text.textContent = code.decodings.find((each) => each.bits === bits)?.text ?? '';
    for (const each of modes.querySelectorAll('button'))
      each.setAttribute('aria-pressed', String(each.value === String(bits)));
  };
  for (const bits of [16, 32, 64] as const) {
    modes.append(
      button(String(bits), { value: String(bits), title: `Decode as ${bits}-bit code` }, () => {
        chosen = bits;
        show(bits);
      }),
    );
  }
  show(chosen ?? code.bits);
  return el('div', { class: 'code' }, text, el('code', { class: 'quiet' }, code.bytes), modes);
}

function registersOf({ registers }: Detail): HTMLElement | null {
  if (registers === null) return null;
  const grid = el('div', { class: 'registers' });
  for (const { name, value, changed } of registers) {
    const title = changed ? 'changed since the exit before' : value === null ? 'no exit has told it yet' : 'as before';
    grid.append(
      el(
        'div',
        { class: changed ? 'changed' : '', title },
        el('span', {}, name),
        el('b', { class: value === null ? 'quiet' : '' }, value ?? 'unknown'),
      ),
    );
  }
  return grid;
}

function parentsOf({ parents }: Detail, actions: DetailActions): HTMLElement | null {
  if (parents.length === 0) return null;
  const list = el('ul', { class: 'chain' });
  for (const { seq, title, lane } of parents) {
    const link = el(
      'button',
      { type: 'button', class: 'link', on: { click: () => actions.go(seq) } },
      `#${whole(seq)} ${title}`,
    );
    list.append(el('li', {}, link, el('span', { class: 'quiet' }, ` ${lane}`)));
  }
  return list;
}
