/** Parameters of a question, checked: anything else is answered with BAD_PARAMETER. */
import { AXES, type Axis, type Filter, type Scope } from '../../analyzer/timeline-answers.js';
import { WebError } from './errors.js';

export const PARAMETER_LIMITS = { bins: 4096, list: 256, text: 200, name: 120, url: 8192 } as const;

/** A query string's parameters; each at the most once. */
export class Parameters {
  readonly #query: URLSearchParams;

  /** Throws BAD_PARAMETER for a parameter that is given twice or is none of `known`. */
  constructor(query: URLSearchParams, known: readonly string[]) {
    this.#query = query;
    for (const name of new Set(query.keys())) {
      if (!known.includes(name))
        throw new WebError('BAD_PARAMETER', name.slice(0, 40), `known are ${known.join(', ')}`);
      if (query.getAll(name).length > 1) throw new WebError('BAD_PARAMETER', name, 'given twice');
    }
  }

  #need(name: string): string {
    const value = this.#query.get(name);
    if (value === null || value === '') throw new WebError('BAD_PARAMETER', name, 'missing');
    return value;
  }

  /** A finite decimal number whose size is at most 2^53. */
  number(name: string): number {
    const text = this.#need(name);
    const value = /^-?\d{1,16}(\.\d{1,20})?(e[+-]?\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
    if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER))
      throw new WebError('BAD_PARAMETER', name, 'not a number below 2^53');
    return value;
  }

  integer(name: string, min: number, max: number): number {
    const value = this.number(name);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new WebError('BAD_PARAMETER', name, `not a whole number from ${min} to ${max}`);
    }
    return value;
  }

  axis(): Axis {
    const text = this.#need('axis');
    const axis = AXES.find((each) => each === text);
    if (axis === undefined) throw new WebError('BAD_PARAMETER', 'axis', `one of ${AXES.join(', ')}`);
    return axis;
  }

  has(name: string): boolean {
    return this.#query.get(name) !== null;
  }

  filter(): Filter {
    const text = this.#query.get('text') ?? '';
    if (text.length > PARAMETER_LIMITS.text) {
      throw new WebError('BAD_PARAMETER', 'text', `longer than ${PARAMETER_LIMITS.text} characters`);
    }
    return {
      kinds: this.names('kind'),
      reasons: this.names('reason'),
      vcpus: this.names('vcpu').map((item) => whole('vcpu', item, 0xffff_ffff)),
      levels: this.names('level').map((item) => (item === 'none' ? -1 : whole('level', item, 255))),
      text,
      stack: this.names('stack'),
    };
  }

  /** What a profile is of: a stretch of an axis where one is given, and these vCPUs. */
  scope(): Scope {
    const { vcpus } = this.filter();
    if (!this.has('axis')) return { window: null, vcpus };
    return { window: { axis: this.axis(), ...this.stretch() }, vcpus };
  }

  /** From below to. */
  stretch(): { readonly from: number; readonly to: number } {
    const from = this.number('from');
    const to = this.number('to');
    if (!(to > from)) throw new WebError('BAD_PARAMETER', 'to', 'not above from');
    return { from, to };
  }

  /** Names joined by commas; a comma or backslash of a name has a backslash before it. */
  names(name: string): string[] {
    const text = this.#query.get(name) ?? '';
    if (text === '') return [];
    const items = (text.match(/(?:[^,\\]|\\.)+/g) ?? []).map((item) => item.replace(/\\(.)/g, '$1'));
    if (items.length > PARAMETER_LIMITS.list) {
      throw new WebError('BAD_PARAMETER', name, `more than ${PARAMETER_LIMITS.list} items`);
    }
    return items;
  }
}

export const FILTER_PARAMETERS = ['kind', 'reason', 'vcpu', 'level', 'text', 'stack'] as const;
export const SCOPE_PARAMETERS = ['axis', 'from', 'to', 'vcpu'] as const;

function whole(name: string, text: string, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > max) throw new WebError('BAD_PARAMETER', name, `not a whole number from 0 to ${max}`);
  return value;
}
