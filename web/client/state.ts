/** What the page shows, and its form in the address: reloading or sharing an address brings back the same view. */
import type { Axis, Filter } from '../../analyzer/timeline-answers.js';

const AXES: readonly Axis[] = ['tick', 'time', 'seq'];
/** What is shown below the timeline, beside the event. */
export const PANELS = ['profile', 'flame', 'compare'] as const;
export type PanelName = (typeof PANELS)[number];

export interface ViewState {
  /** Name of the trace; null: the first one. */
  readonly trace: string | null;
  /** Null: the best one that the trace has. */
  readonly axis: Axis | null;
  /** Null: the whole trace. */
  readonly range: { readonly from: number; readonly to: number } | null;
  /** Seq of the event that is looked at. */
  readonly event: number | null;
  /** Null: exits, where the trace has any. An empty list: all. */
  readonly kinds: readonly string[] | null;
  readonly reasons: readonly string[];
  readonly vcpus: readonly number[];
  readonly levels: readonly number[];
  readonly text: string;
  /** Frames of the flame graph that exits have to have. */
  readonly stack: readonly string[];
  readonly panel: PanelName;
  /** Whether the panel is of what is in view alone. */
  readonly scoped: boolean;
  /** Whether times are shown as the host's clock had them. */
  readonly absolute: boolean;
  /** Name of the trace that this one is compared with. */
  readonly other: string | null;
  /** Reasons that the comparison leaves out of what it aligns. */
  readonly without: readonly string[];
}

export const START: ViewState = {
  trace: null,
  axis: null,
  range: null,
  event: null,
  kinds: null,
  reasons: [],
  vcpus: [],
  levels: [],
  text: '',
  stack: [],
  panel: 'profile',
  scoped: false,
  absolute: false,
  other: null,
  without: [],
};

/** Names joined by commas; a comma or backslash of a name gets a backslash. */
export const joinNames = (names: readonly (string | number)[]): string =>
  names.map((name) => String(name).replace(/[\\,]/g, '\\$&')).join(',');

const split = (text: string | null): string[] =>
  (text?.match(/(?:[^,\\]|\\.)+/g) ?? []).map((item) => item.replace(/\\(.)/g, '$1'));

const numbers = (text: string | null): number[] =>
  split(text).flatMap((item) => (item === 'none' ? [-1] : /^\d{1,10}$/.test(item) ? [Number(item)] : []));

const finite = (text: string | null): number | null => {
  const value = text === null || text === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : null;
};

export function toHash(state: ViewState): string {
  const query = new URLSearchParams();
  const set = (name: string, value: string | null): void => {
    if (value !== null && value !== '') query.set(name, value);
  };
  set('trace', state.trace);
  set('axis', state.axis);
  if (state.range !== null) {
    set('from', String(state.range.from));
    set('to', String(state.range.to));
  }
  set('event', state.event === null ? null : String(state.event));
  set('kind', state.kinds === null ? null : state.kinds.length === 0 ? '*' : joinNames(state.kinds));
  filterParameters(query, { ...state, kinds: [] });
  set('panel', state.panel === 'profile' ? null : state.panel);
  set('of', state.scoped ? 'view' : null);
  set('clock', state.absolute ? 'host' : null);
  set('with', state.other);
  set('without', joinNames(state.without));
  return `#${query.toString()}`;
}

/** Whatever the address says that cannot be is left out. */
export function fromHash(hash: string): ViewState {
  const query = new URLSearchParams(hash.replace(/^#/, ''));
  const from = finite(query.get('from'));
  const to = finite(query.get('to'));
  const event = finite(query.get('event'));
  const kind = query.get('kind');
  return {
    trace: query.get('trace'),
    axis: AXES.find((axis) => axis === query.get('axis')) ?? null,
    range: from !== null && to !== null && to > from ? { from, to } : null,
    event: event !== null && Number.isInteger(event) && event >= 0 ? event : null,
    kinds: kind === null ? null : kind === '*' ? [] : split(kind),
    reasons: split(query.get('reason')),
    vcpus: numbers(query.get('vcpu')),
    levels: numbers(query.get('level')),
    text: query.get('text') ?? '',
    stack: split(query.get('stack')),
    panel: PANELS.find((panel) => panel === query.get('panel')) ?? 'profile',
    scoped: query.get('of') === 'view',
    absolute: query.get('clock') === 'host',
    other: query.get('with'),
    without: split(query.get('without')),
  };
}

/**
 * What of an address can be shown where these traces are served, and the name of one that is not. All else of an
 * address is about the trace that it names, and is nothing without it.
 */
export function served(
  asked: ViewState,
  names: readonly string[],
): { readonly state: ViewState; readonly missing: string | null } {
  const absent = (name: string | null): boolean => name !== null && !names.includes(name);
  if (absent(asked.trace)) return { state: START, missing: asked.trace };
  if (absent(asked.other)) return { state: { ...asked, other: null }, missing: asked.other };
  return { state: asked, missing: null };
}

/** Adds a filter to the parameters of a question. */
export function filterParameters(query: URLSearchParams, filter: Filter): void {
  const lists = { kind: filter.kinds, reason: filter.reasons, vcpu: filter.vcpus, stack: filter.stack } as const;
  for (const [name, list] of Object.entries(lists)) if (list.length > 0) query.set(name, joinNames(list));
  if (filter.levels.length > 0)
    query.set('level', joinNames(filter.levels.map((level) => (level < 0 ? 'none' : level))));
  if (filter.text.trim() !== '') query.set('text', filter.text.trim());
}
