/** Questions to the server. A failure is an ApiError that says what, why and what to do. */
import type {
  Axis,
  Detail,
  Filter,
  Flame,
  Overview,
  Place,
  ProfileTable,
  Scope,
  View,
} from '../../analyzer/timeline-answers.js';
import type { Comparison } from '../../analyzer/timeline-compare-answers.js';
import { filterParameters, joinNames } from './state.js';

export interface TraceState {
  readonly id: number;
  readonly name: string;
  readonly state: 'idle' | 'loading' | 'ready' | 'failed';
  readonly progress: number;
  readonly problem: string | null;
}

export class ApiError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
  }
}

async function ask<T>(path: string, query?: URLSearchParams): Promise<T> {
  let response: Response;
  try {
    response = await fetch(query === undefined ? path : `${path}?${query}`);
  } catch {
    throw new ApiError('UNREACHABLE', 'the server does not answer: is trapline serve still running?');
  }
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer as T;
  const said = (typeof answer === 'object' && answer !== null ? answer : {}) as { readonly [name: string]: unknown };
  const parts = [said.what, said.where, said.why].filter((part) => typeof part === 'string');
  const advice = typeof said.advice === 'string' ? `; ${said.advice}` : '';
  const text = `${parts.join(': ')}${advice}`;
  throw new ApiError(String(said.code ?? response.status), text.charAt(0).toUpperCase() + text.slice(1));
}

export const listTraces = (): Promise<readonly TraceState[]> => ask('api/traces');
export const openTrace = (id: number): Promise<Overview> => ask(`api/traces/${id}`);
export const detailOf = (id: number, seq: number): Promise<Detail> => ask(`api/traces/${id}/events/${seq}`);
export const profileOf = (id: number, scope: Scope): Promise<ProfileTable> =>
  ask(`api/traces/${id}/profile`, scopeParameters(scope));
export const flameOf = (id: number, scope: Scope): Promise<Flame> =>
  ask(`api/traces/${id}/flame`, scopeParameters(scope));
export const compare = (left: number, right: number, without: readonly string[]): Promise<Comparison> =>
  ask(
    `api/traces/${left}/compare/${right}`,
    new URLSearchParams(without.length === 0 ? {} : { without: joinNames(without) }),
  );

function scopeParameters({ window, vcpus }: Scope): URLSearchParams {
  const query = new URLSearchParams();
  if (window !== null) for (const name of ['axis', 'from', 'to'] as const) query.set(name, String(window[name]));
  if (vcpus.length > 0) query.set('vcpu', vcpus.join(','));
  return query;
}

export function viewOf(id: number, axis: Axis, from: number, to: number, bins: number, filter: Filter): Promise<View> {
  const query = new URLSearchParams({ axis, from: String(from), to: String(to), bins: String(bins) });
  filterParameters(query, filter);
  return ask(`api/traces/${id}/view`, query);
}

export function nearestTo(id: number, axis: Axis, lane: number, x: number, filter: Filter): Promise<Place | null> {
  const query = new URLSearchParams({ axis, lane: String(lane), x: String(x) });
  filterParameters(query, filter);
  return ask(`api/traces/${id}/nearest`, query);
}

export function stepFrom(
  id: number,
  seq: number,
  direction: 1 | -1,
  filter: Filter,
  failures: boolean,
): Promise<Place | null> {
  const query = new URLSearchParams({ seq: String(seq), direction: String(direction) });
  if (failures) query.set('failures', '1');
  filterParameters(query, filter);
  return ask(`api/traces/${id}/step`, query);
}
