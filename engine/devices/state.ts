/**
 * State that can be saved: described once as data, from which its type, its first value, its copy and the check of what
 * comes back from a file all follow. Saved state is JSON: numbers, booleans, strings, null, lists and records.
 */
import { EngineError } from '../errors.js';

export type StateValue = number | boolean | string | null | readonly StateValue[] | DeviceState;
export interface DeviceState {
  readonly [name: string]: StateValue;
}

/** A kind of value: `first` makes the initial one, `read` copies a value or throws BAD_STATE. */
export interface Kind<T> {
  first(): T;
  read(value: unknown, where: string): T;
}
export type ValueOf<K> = K extends Kind<infer T> ? T : never;

const mismatch = (where: string, expected: string): EngineError =>
  new EngineError('BAD_STATE', where, `expected ${expected}`);

/** An integer in [min, max], both exact as a double. */
export const integer = (max: number, initial = 0, min = 0): Kind<number> => ({
  first: () => initial,
  read(value, where) {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw mismatch(where, `an integer in [${min}, ${max}]`);
    }
    return value;
  },
});

export const byte = (initial = 0): Kind<number> => integer(0xff, initial);
/** A tick, or anything else that only grows. */
export const count = (initial = 0): Kind<number> => integer(Number.MAX_SAFE_INTEGER, initial);

export const flag = (initial = false): Kind<boolean> => ({
  first: () => initial,
  read(value, where) {
    if (typeof value !== 'boolean') throw mismatch(where, 'true or false');
    return value;
  },
});

export const text = (maxLength: number, initial = ''): Kind<string> => ({
  first: () => initial,
  read(value, where) {
    if (typeof value !== 'string' || value.length > maxLength) {
      throw mismatch(where, `text of up to ${maxLength} characters`);
    }
    return value;
  },
});

/** A 64-bit value as hex text. */
export const hex64 = (initial = 0n): Kind<string> => ({
  first: () => initial.toString(16),
  read(value, where) {
    if (typeof value !== 'string' || !/^[0-9a-f]{1,16}$/.test(value)) throw mismatch(where, '1 to 16 hex digits');
    return value;
  },
});

export const optional = <T>(kind: Kind<T>): Kind<T | null> => ({
  first: () => null,
  read: (value, where) => (value === null ? null : kind.read(value, where)),
});

export const list = <T>(kind: Kind<T>, maxLength: number, initialLength = 0): Kind<T[]> => ({
  first: () => Array.from({ length: initialLength }, () => kind.first()),
  read(value, where) {
    if (!Array.isArray(value) || value.length > maxLength || value.length < initialLength) {
      throw mismatch(where, `a list of ${initialLength} to ${maxLength} entries`);
    }
    return value.map((entry, i) => kind.read(entry, `${where}[${i}]`));
  },
});

type Shape = { readonly [name: string]: Kind<unknown> };
type RecordOf<T extends Shape> = { -readonly [K in keyof T]: ValueOf<T[K]> };

export function record<T extends Shape>(shape: T): Kind<RecordOf<T>> {
  const build = (make: (name: string, kind: Kind<unknown>) => unknown): RecordOf<T> =>
    Object.fromEntries(Object.entries(shape).map(([name, kind]) => [name, make(name, kind)])) as RecordOf<T>;
  return {
    first: () => build((_name, kind) => kind.first()),
    read(value, where) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw mismatch(where, 'a record');
      const fields = value as { readonly [name: string]: unknown };
      return build((name, kind) => kind.read(fields[name], `${where}.${name}`));
    },
  };
}
